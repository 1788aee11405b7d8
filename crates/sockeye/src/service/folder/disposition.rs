//! What a download is called.

use std::fmt::Write;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What may stand as it is in a parameter (RFC 8187, section 3.2.1).
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// `attachment; filename="…"; filename*=UTF-8''…` (RFC 6266), for the last part of `name` and `extension` behind it.
pub(in crate::service) fn attachment(name: &[u8], extension: &str) -> HeaderValue {
    let last = name.rsplit(|letter| *letter == b'/').next();
    let last = last.filter(|last| !last.is_empty()).unwrap_or(b"files");
    let whole = [last, extension.as_bytes()].concat();
    let is_plain = |letter: &u8| letter.is_ascii_alphanumeric() || b"-._ ()".contains(letter);
    let mut said = "attachment".to_owned();
    if whole.iter().all(is_plain) {
        let _ = write!(said, "; filename=\"{}\"", String::from_utf8_lossy(&whole));
    }
    let encoded = percent_encode(&whole, &PLAIN);
    let _ = write!(said, "; filename*=UTF-8''{encoded}");
    // Percent-encoding has left nothing that a header could not have.
    HeaderValue::try_from(said).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_its_name_and_nothing_of_where_it_was() {
        for (name, extension, said) in [
            (
                &b"a/b c.txt"[..],
                "",
                "attachment; filename=\"b c.txt\"; filename*=UTF-8''b%20c.txt",
            ),
            (
                b"",
                ".zip",
                "attachment; filename=\"files.zip\"; filename*=UTF-8''files.zip",
            ),
            (
                "d/中".as_bytes(),
                ".tar",
                "attachment; filename*=UTF-8''%E4%B8%AD.tar",
            ),
            (
                b"a\"\r\nX: y",
                "",
                "attachment; filename*=UTF-8''a%22%0D%0AX%3A%20y",
            ),
            (b"\xff", "", "attachment; filename*=UTF-8''%FF"),
        ] {
            assert_eq!(attachment(name, extension), said);
        }
    }
}
