//! Pages that are made here: errors, and the frame around a listing. Whatever is not ours in them is text.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use wire::text::printable;

use crate::request::{Body, Response};

/// The one style of these pages. [`POLICY`] names its hash.
const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.25rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;border-bottom:1px solid #8886}\
th,td{padding:.2rem .6rem .2rem 0}\
td:first-child{overflow-wrap:anywhere}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
tr:hover td{background:#8881}\
a{text-decoration:none}a:hover{text-decoration:underline}\
p{color:#888}";

/// Nothing runs, nothing is loaded, nothing is framed, whatever a file's name might have smuggled in.
const POLICY: &str = "default-src 'none'; \
     style-src 'sha256-bNQVQ7A2ihGu12K0iwl5eJYWNBi7KucjE95GJ3filew='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The beginning of a page, up to what stands in its body.
pub(in crate::service) fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = Text(title)
    )
}

/// The end of a page.
pub(in crate::service) const END: &str = "</body>\n</html>\n";

/// What a browser must know of a page of ours.
pub(in crate::service) fn describe(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A page that says what is wrong.
pub(in crate::service) fn refusal(status: StatusCode, why: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let title = format!("{} {reason}", status.as_u16());
    let text = format!("{}<p>{}</p>\n{END}", head(&title), Text(why));
    let len = text.len();
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    describe(headers);
    headers.insert(header::CONTENT_LENGTH, len.into());
    response
}

/// Text that is no markup, and no control characters or directions of writing either.
pub(in crate::service) struct Text<'a>(pub(in crate::service) &'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in printable(self.0).chars() {
            match letter {
                '<' => f.write_str("&lt;"),
                '>' => f.write_str("&gt;"),
                '&' => f.write_str("&amp;"),
                '"' => f.write_str("&quot;"),
                '\'' => f.write_str("&#39;"),
                _ => f.write_char(letter),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_style_and_no_other() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let hash = format!("'sha256-{}'", base64(digest.as_ref()));
        assert!(POLICY.contains(&hash), "it is {hash}");
    }

    /// RFC 4648, section 4.
    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letters = |three: &[u8]| {
            let n = (0..3).fold(0, |n, i| n << 8 | usize::from(*three.get(i).unwrap_or(&0)));
            let letter = move |i| match i <= three.len() {
                true => char::from(LETTERS[n >> (18 - 6 * i) & 63]),
                false => '=',
            };
            (0..4).map(letter).collect::<String>()
        };
        bytes.chunks(3).map(letters).collect()
    }

    #[test]
    fn base64_is_what_the_standard_says() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        for (name, text) in [
            ("<script>", "&lt;script&gt;"),
            ("a&b\"c'd", "a&amp;b&quot;c&#39;d"),
            ("中文 ünï", "中文 ünï"),
        ] {
            assert_eq!(Text(name).to_string(), text);
        }
        for letter in [
            '\0', '\n', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}',
        ] {
            let text = Text(&format!("a{letter}b")).to_string();
            assert!(!text.contains(letter), "{text:?}");
        }
    }
}
