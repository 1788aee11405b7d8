//! Where a redirect leads, and what is asked for there.

use http::header::{self, HeaderName};
use http::{Method, StatusCode};

use super::{Order, Payload};
use crate::error::{Error, Operation, Result};
use crate::session::AnswerHead;

/// Fields that were meant for one origin.
const CONFIDENTIAL: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    header::HOST,
];

/// Fields that say what the content is ("request-body-header name" of WHATWG Fetch).
const OF_CONTENT: [HeaderName; 6] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// What is asked for next; `None` when the answer is no redirect.
///
/// # Errors
/// When it leads to nowhere that can be fetched, or wants content that cannot be sent again.
pub(super) fn next(order: &Order, head: &AnswerHead) -> Result<Option<Order>> {
    use StatusCode as S;
    let followed = matches!(
        head.status,
        S::MOVED_PERMANENTLY
            | S::FOUND
            | S::SEE_OTHER
            | S::TEMPORARY_REDIRECT
            | S::PERMANENT_REDIRECT
    );
    let Some(to) = head.headers.get(header::LOCATION).filter(|_| followed) else {
        return Ok(None);
    };
    let to = String::from_utf8_lossy(to.as_bytes());
    let mut next = order.clone();
    next.location = order.location.join(&to)?;
    let becomes_get = match head.status {
        S::SEE_OTHER => order.method != Method::HEAD,
        S::MOVED_PERMANENTLY | S::FOUND => order.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.payload = Payload::Nothing;
        for name in &OF_CONTENT {
            next.headers.remove(name);
        }
    } else if !next.payload.can_be_sent_again() {
        let why = format!(
            "{} wants what was sent once more at {}, and what came through a pipe cannot be read again",
            head.status, next.location
        );
        return Err(Error::unsupported(Operation::Fetch, &order.location, why));
    }
    if !order.location.same_origin(&next.location) {
        for name in &CONFIDENTIAL {
            next.headers.remove(name);
        }
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Version};

    fn head(status: u16, to: Option<&str>) -> AnswerHead {
        let mut headers = HeaderMap::new();
        if let Some(to) = to {
            headers.insert(header::LOCATION, HeaderValue::from_str(to).unwrap());
        }
        AnswerHead {
            version: Version::HTTP_11,
            status: StatusCode::from_u16(status).unwrap(),
            reason: None,
            headers,
        }
    }

    fn order(method: Method) -> Order {
        let mut order = Order::get("http://h/a".parse().unwrap());
        order.method = method;
        order.payload = Payload::Bytes("x".into());
        for (name, value) in [
            (header::AUTHORIZATION, "secret"),
            (header::COOKIE, "secret"),
            (header::CONTENT_TYPE, "text/x"),
            (header::ACCEPT, "text/y"),
        ] {
            order.headers.insert(name, HeaderValue::from_static(value));
        }
        order
    }

    #[test]
    fn methods_change_as_in_browsers() {
        for (status, method, becomes) in [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (301, Method::PUT, Method::PUT),
            (302, Method::DELETE, Method::DELETE),
            (303, Method::PUT, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::POST, Method::POST),
        ] {
            let from = order(method.clone());
            let next = next(&from, &head(status, Some("b"))).unwrap().unwrap();
            assert_eq!(next.method, becomes, "{status} {method}");
            assert_eq!(next.location.to_string(), "http://h/b");
            let kept = next.method == method;
            assert_eq!(
                matches!(next.payload, Payload::Bytes(_)),
                kept,
                "{status} {method}"
            );
            assert_eq!(next.headers.contains_key(header::CONTENT_TYPE), kept);
            assert!(next.headers.contains_key(header::COOKIE));
        }
    }

    #[test]
    fn secrets_stay_with_their_origin() {
        for to in ["//other/", "https://h/", "http://h:81/"] {
            let next = next(&order(Method::GET), &head(302, Some(to)))
                .unwrap()
                .unwrap();
            let names: Vec<_> = next.headers.keys().map(HeaderName::as_str).collect();
            assert!(
                !names.contains(&"authorization") && !names.contains(&"cookie"),
                "{to} {names:?}"
            );
            assert!(names.contains(&"accept"));
        }
    }

    #[test]
    fn what_is_no_redirect_or_leads_nowhere() {
        let order = order(Method::GET);
        for (status, to) in [
            (200, Some("b")),
            (304, Some("b")),
            (300, Some("b")),
            (302, None),
        ] {
            assert!(
                next(&order, &head(status, to)).unwrap().is_none(),
                "{status}"
            );
        }
        assert!(next(&order, &head(302, Some("ftp://h/"))).is_err());
        let mut once = order;
        once.method = Method::PUT;
        once.payload = Payload::once(&b"x"[..]);
        let error = next(&once, &head(307, Some("b"))).unwrap_err().to_string();
        assert!(error.contains("cannot be read again"), "{error}");
    }
}
