//! What kind of file it is: the media type by its name, and by its first bytes where the name says nothing.

use http::HeaderValue;
use wire::text::Encoding;

/// The type of bytes that nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

/// Where the table of types is behind the registry (RFC 9239, RFC 8216) or means something rare.
const INSTEAD: [(&str, &str); 4] = [
    ("mjs", "text/javascript"),
    ("map", "application/json"),
    ("ts", "video/mp2t"),
    ("m4s", "video/iso.segment"),
];

/// How many bytes show whether a file is text.
pub(in crate::service) const ENOUGH: usize = 1024;

/// A media type without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct Kind(&'static str);

impl Kind {
    /// By the end of the name; `None` when that says nothing.
    pub(in crate::service) fn by_name(name: &[u8]) -> Option<Self> {
        let dot = name.iter().rposition(|letter| *letter == b'.')?;
        let extension = str::from_utf8(&name[dot + 1..]).ok()?;
        let instead = INSTEAD
            .iter()
            .find(|(ours, _)| ours.eq_ignore_ascii_case(extension));
        instead
            .map(|(_, kind)| *kind)
            .or_else(|| mime_guess::from_ext(extension).first_raw())
            .map(Self)
    }

    /// By the first [`ENOUGH`] bytes: text, or nothing that is known.
    pub(in crate::service) fn by_content(head: &[u8], encoding: Encoding) -> Self {
        let is_control =
            |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
        let is_text = !head.is_empty()
            && !head.iter().any(is_control)
            && (encoding != Encoding::UTF_8 || is_utf8(head));
        Self(if is_text { "text/plain" } else { UNKNOWN })
    }

    /// As `Content-Type` says it. Text is in `encoding`; what declares its own encoding is left to do so.
    pub(in crate::service) fn content_type(self, encoding: Encoding) -> HeaderValue {
        let Self(kind) = self;
        if !kind.starts_with("text/") {
            return HeaderValue::from_static(kind);
        }
        HeaderValue::try_from(format!("{kind}; charset={encoding}"))
            .unwrap_or_else(|_| HeaderValue::from_static(kind))
    }

    /// Whether it is worth compressing: text, and what is like text.
    pub(in crate::service) fn is_compressible(self) -> bool {
        let Self(kind) = self;
        kind.starts_with("text/")
            || kind.ends_with("+json")
            || kind.ends_with("+xml")
            || matches!(
                kind,
                "application/json"
                    | "application/javascript"
                    | "application/rtf"
                    | "application/sql"
                    | "application/toml"
                    | "application/vnd.ms-fontobject"
                    | "application/wasm"
                    | "application/x-sh"
                    | "application/x-sql"
                    | "application/x-subrip"
                    | "application/xml"
                    | "font/otf"
                    | "font/ttf"
                    | "image/bmp"
            )
    }
}

/// A character that is cut at the end is no fault.
fn is_utf8(head: &[u8]) -> bool {
    match str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<&'static str> {
        Kind::by_name(name.as_bytes()).map(|kind| kind.0)
    }

    #[test]
    fn the_name_says_the_type() {
        for (name, kind) in [
            ("index.html", "text/html"),
            ("a/b.c/INDEX.HTM", "text/html"),
            ("a.css", "text/css"),
            ("a.js", "text/javascript"),
            ("a.mjs", "text/javascript"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.woff2", "font/woff2"),
            ("a.mp4", "video/mp4"),
            ("a.TS", "video/mp2t"),
            ("a.tar.gz", "application/gzip"),
            ("a.md", "text/markdown"),
            ("a.webmanifest", "application/manifest+json"),
        ] {
            assert_eq!(named(name), Some(kind), "{name}");
        }
        for name in ["", "README", "a.", "a.nobody-knows", "html"] {
            assert_eq!(named(name), None, "{name}");
        }
        assert_eq!(Kind::by_name(b"a.\xff\xfe"), None);
    }

    #[test]
    fn the_first_bytes_say_whether_it_is_text() {
        let by = |head: &[u8], encoding| Kind::by_content(head, encoding).0;
        let gbk = "gbk".parse::<Encoding>().unwrap();
        for (head, encoding, kind) in [
            (
                &b"all: build\n\ttest\r\n"[..],
                Encoding::UTF_8,
                "text/plain",
            ),
            ("中文".as_bytes(), Encoding::UTF_8, "text/plain"),
            (&"中文".as_bytes()[..5], Encoding::UTF_8, "text/plain"),
            (b"\xd6\xd0\xce\xc4", Encoding::UTF_8, UNKNOWN),
            (b"\xd6\xd0\xce\xc4", gbk, "text/plain"),
            (b"\x7fELF\x02\x01", Encoding::UTF_8, UNKNOWN),
            (b"a\0b", gbk, UNKNOWN),
            (b"", Encoding::UTF_8, UNKNOWN),
        ] {
            assert_eq!(by(head, encoding), kind, "{head:?}");
        }
    }

    #[test]
    fn text_says_its_encoding_and_nothing_else_does() {
        let gb2312 = "gb2312".parse::<Encoding>().unwrap();
        for (name, encoding, value) in [
            ("a.html", Encoding::UTF_8, "text/html; charset=utf-8"),
            ("a.js", Encoding::UTF_8, "text/javascript; charset=utf-8"),
            ("a.txt", gb2312, "text/plain; charset=gb2312"),
            ("a.json", Encoding::UTF_8, "application/json"),
            ("a.xhtml", Encoding::UTF_8, "application/xhtml+xml"),
            ("a.png", Encoding::UTF_8, "image/png"),
        ] {
            let kind = Kind::by_name(name.as_bytes()).unwrap();
            let said = kind.content_type(encoding);
            assert_eq!(said.to_str().unwrap().to_lowercase(), value, "{name}");
        }
    }

    #[test]
    fn what_is_compressed_already_is_left_alone() {
        for (name, is_compressible) in [
            ("a.html", true),
            ("a.json", true),
            ("a.svg", true),
            ("a.wasm", true),
            ("a.geojson", true),
            ("a.png", false),
            ("a.woff2", false),
            ("a.mp4", false),
            ("a.zip", false),
            ("a.bin", false),
        ] {
            let kind = Kind::by_name(name.as_bytes()).unwrap();
            assert_eq!(kind.is_compressible(), is_compressible, "{name}");
        }
    }
}
