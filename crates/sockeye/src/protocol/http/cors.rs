//! Pages of other sites that may ask, and what their browsers want to hear before they believe it: CORS
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use ::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::protocol::ws;

/// Whether the page that asks was named.
pub(super) enum Leave {
    /// No page of any other site was.
    NoSite,
    /// Others were, or no page asks.
    NotThis,
    /// This one was, and this is how it is told.
    Given(HeaderValue),
}

impl Leave {
    pub(super) fn of(settings: &ws::Settings, headers: &HeaderMap) -> Self {
        if settings.origins.is_empty() {
            return Self::NoSite;
        }
        if settings.lets_in_anyone() {
            return Self::Given(HeaderValue::from_static("*"));
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if origin.to_str().is_ok_and(|it| settings.lets_in(it)) => {
                Self::Given(origin.clone())
            }
            _ => Self::NotThis,
        }
    }

    pub(super) fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// Tells the browser, in any answer. Caches must know that another page would have got another one.
    pub(super) fn tell(self, answer: &mut HeaderMap) {
        let Self::Given(to) = self else {
            if matches!(self, Self::NotThis) {
                answer.append(header::VARY, HeaderValue::from_static("Origin"));
            }
            return;
        };
        if to != "*" {
            answer.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, to);
    }
}

/// Answers a browser that asks before it sends what a page could not send by a form: these `methods`, and the
/// fields that it wants to send. `*` would leave out `Authorization`.
pub(super) fn preflight(asked: &HeaderMap, methods: &HeaderValue, answer: &mut HeaderMap) {
    const METHOD: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;
    const FIELDS: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;
    if !asked.contains_key(METHOD) {
        return;
    }
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
    for fields in asked.get_all(FIELDS) {
        answer.append(header::ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
    }
    answer.append(header::VARY, HeaderValue::from_name(FIELDS));
}
