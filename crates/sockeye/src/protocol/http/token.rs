//! The token of a request: where clients can put it, and what those hear who have not.

use ::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Refusal;
use crate::request::Response;
use crate::token::Token;

/// Whether a request says the token: in its `Authorization` (RFC 6750, section 2.1), in the query, where a
/// link can hold it, or among the WebSocket protocols, for a browser's WebSocket can say it nowhere else.
pub(super) fn says(token: &Token, uri: &Uri, headers: &HeaderMap) -> bool {
    in_authorization(token, headers) || in_query(token, uri) || in_protocols(token, headers)
}

fn in_authorization(token: &Token, headers: &HeaderMap) -> bool {
    let field = headers.get(header::AUTHORIZATION);
    let Some((scheme, secret)) = field
        .map(HeaderValue::as_bytes)
        .and_then(|field| split_once(field, b' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer") && token.is(secret.trim_ascii())
}

fn in_query(token: &Token, uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("token="))
        .any(|secret| token.is(&unescape(secret)))
}

fn in_protocols(token: &Token, headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| name.trim_ascii().strip_prefix(b"token."))
        .filter_map(|secret| URL_SAFE_NO_PAD.decode(secret).ok())
        .any(|secret| token.is(&secret))
}

/// 401 with the scheme that is asked for (RFC 9110, section 15.5.2).
pub(super) fn ask() -> Response {
    let words = "the token is missing or wrong: say it as `Authorization: Bearer TOKEN`, \
                 or open /.sockeye/#token=TOKEN in a browser\n";
    let mut response = Refusal::new(StatusCode::UNAUTHORIZED, words).response();
    let scheme = HeaderValue::from_static("Bearer realm=\"sockeye\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Percent-encoding undone (RFC 3986, section 2.1); what is none stays as it is.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        rest = match escaped {
            Some(_) => &after[2..],
            None => after,
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_in_one_of_three_places() {
        let token = Token::new("öffne dich!").unwrap();
        let bearer = HeaderValue::from_bytes("Bearer öffne dich!".as_bytes()).unwrap();
        // base64url of its UTF-8 bytes, by Python's base64.urlsafe_b64encode.
        let protocols = HeaderValue::from_static("sockeye, token.w7ZmZm5lIGRpY2gh");
        for (uri, field, says_it) in [
            ("/", None, false),
            ("/?token=%C3%B6ffne%20dich!", None, true),
            ("/?a=1&token=%C3%B6ffne%20dich%21&b", None, true),
            ("/?token=wrong", None, false),
            ("/?xtoken=%C3%B6ffne%20dich!", None, false),
            ("/?token=%C3%B", None, false),
            ("/", Some((header::AUTHORIZATION, bearer.clone())), true),
            (
                "/",
                Some((
                    header::AUTHORIZATION,
                    HeaderValue::from_static("Bearer wrong"),
                )),
                false,
            ),
            (
                "/",
                Some((header::AUTHORIZATION, HeaderValue::from_static("Bearer"))),
                false,
            ),
            ("/", Some((header::SEC_WEBSOCKET_PROTOCOL, protocols)), true),
            (
                "/",
                Some((
                    header::SEC_WEBSOCKET_PROTOCOL,
                    HeaderValue::from_static("token.!!!, sockeye"),
                )),
                false,
            ),
            ("/", Some((header::COOKIE, bearer)), false),
        ] {
            let headers = field.into_iter().collect();
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(says(&token, &uri, &headers), says_it, "{uri} {headers:?}");
        }
    }
}
