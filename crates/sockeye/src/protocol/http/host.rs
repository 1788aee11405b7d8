//! Whom a request is addressed to, and from where a browser sends it: what keeps strange pages away from us.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use ::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version, header};

use super::Refusal;

/// Who is asked: the authority of the target where it has one, or else `Host` (RFC 9110, section 7.2).
/// Empty where HTTP allows that.
///
/// # Errors
/// 400, as RFC 9112, section 3.2 and RFC 9113, section 8.3.1 ask for: no host, two hosts, or none that can be
/// read.
pub(super) fn asked<'a>(
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Authority<'a>, Refusal> {
    let refuse = |words: &'static str| Refusal::new(StatusCode::BAD_REQUEST, words);
    let mut fields = headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(refuse("the request has two Host fields\n"));
    }
    let named = match field {
        Some(field) => {
            let text = field.to_str().ok();
            let read = text.and_then(Authority::read);
            Some(read.ok_or_else(|| refuse("the Host field is not a host and port\n"))?)
        }
        None => None,
    };
    let target = match uri.authority() {
        Some(authority) => {
            let read = Authority::read(authority.as_str());
            Some(read.ok_or_else(|| refuse("the target's authority is not a host and port\n"))?)
        }
        None => None,
    };
    let newer = version > Version::HTTP_11;
    match (target, named) {
        (Some(target), Some(named)) if newer && !target.is(named) => {
            Err(refuse("Host and :authority differ\n"))
        }
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) if version < Version::HTTP_11 => Ok(Authority { host: "", port: "" }),
        (None, None) => Err(refuse("the request names no host\n")),
    }
}

/// A host and a port as they stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    pub(super) host: &'a str,
    port: &'a str,
}

impl<'a> Authority<'a> {
    /// `uri-host [ ":" port ]` (RFC 9110, section 7.2); without the IP literals of the future.
    fn read(text: &'a str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let end = inner.find(']')?;
                inner[..end].parse::<Ipv6Addr>().ok()?;
                text.split_at(end + 2)
            }
            None => {
                let is_other = |byte: &u8| !IS_OF_NAME[usize::from(*byte)];
                let end = text.as_bytes().iter().position(is_other);
                // What comes before it is ASCII.
                text.split_at_checked(end.unwrap_or(text.len()))?
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port,
            None if rest.is_empty() => rest,
            None => return None,
        };
        let readable = port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok());
        readable.then_some(Self { host, port })
    }

    fn is(self, other: Authority<'_>) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// What a registered name may be made of (RFC 3986, section 3.2.2), by byte: every request asks for it.
const IS_OF_NAME: [bool; 256] = {
    let (mut is, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        is[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let (marks, mut at) = (b"-._~%!$&'()*+,;=", 0);
    while at < marks.len() {
        is[marks[at] as usize] = true;
        at += 1;
    }
    is
};

/// Whether `host` is this machine whoever resolves it: a page that has bound its own name to our address says
/// that name here ("DNS rebinding").
pub(super) fn is_ours(host: &str, listed: &[String]) -> bool {
    if host.is_empty() || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is = |name: &str| name.eq_ignore_ascii_case(host);
    let is_below = |name: &str| {
        let at = host.len().checked_sub(name.len());
        at.is_some_and(|at| host.as_bytes()[at..].eq_ignore_ascii_case(name.as_bytes()))
    };
    is("localhost")
        || is_below(".localhost")
        || machine().iter().any(|name| is(name))
        || listed.iter().any(|name| is(name))
}

/// What this machine calls itself: its name, the first part of it, and that under mDNS.
fn machine() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        let short = name.split('.').next().unwrap_or_default().to_owned();
        let local = format!("{short}.local");
        [name, short, local]
            .into_iter()
            .filter(|name| !name.is_empty() && !name.starts_with('.'))
            .collect()
    })
}

/// <https://www.w3.org/TR/fetch-metadata/>
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a page of another site sends this behind its reader's back. Browsers say so; a link that is followed is
/// the reader's own wish.
pub(super) fn is_cross_site(method: &Method, headers: &HeaderMap, asked: Authority<'_>) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| {
            let (_, authority) = origin.split_once("://")?;
            Authority::read(authority)
        });
        return !own.is_some_and(|own| own.is(asked));
    }
    let says = |name: &HeaderName, value| headers.get(name).is_some_and(|field| field == value);
    let elsewhere = says(&SITE, "cross-site") || says(&SITE, "same-site");
    let followed = *method == Method::GET && says(&MODE, "navigate");
    elsewhere && !followed
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderValue;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_host_is_read_as_rfc_9110_writes_it() {
        for (text, host, port) in [
            ("a", "a", ""),
            ("a:80", "a", "80"),
            ("a:", "a", ""),
            ("", "", ""),
            ("127.0.0.1:3000", "127.0.0.1", "3000"),
            ("[::1]", "[::1]", ""),
            ("[::1]:3000", "[::1]", "3000"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", ""),
        ] {
            assert_eq!(
                Authority::read(text),
                Some(Authority { host, port }),
                "{text}"
            );
        }
        for text in [
            "a b", "a:b", "a:1:2", "a:65536", "::1", "[::1", "[::1]x", "[x]", "u@a", "a/b", "a\"",
        ] {
            assert_eq!(Authority::read(text), None, "{text}");
        }
    }

    #[test]
    fn one_host_is_asked_for_and_no_more() {
        let asked = |version, uri: &'static str, fields: &[(&'static str, &'static str)]| {
            let (uri, headers) = (Uri::from_static(uri), headers(fields));
            asked(version, &uri, &headers)
                .map(|authority| authority.host.to_owned())
                .map_err(|refusal| refusal.status.as_u16())
        };
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, uri, fields, host) in [
            (one, "/", &[("host", "a")][..], Ok("a")),
            (one, "/", &[], Err(400)),
            (one, "/", &[("host", "a"), ("host", "a")], Err(400)),
            (one, "/", &[("host", "a b")], Err(400)),
            (one, "/", &[("host", "")], Ok("")),
            (Version::HTTP_10, "/", &[], Ok("")),
            // RFC 9112, section 3.2.2: the target wins.
            (one, "http://b/", &[("host", "a")], Ok("b")),
            (one, "http://b/", &[], Ok("b")),
            (two, "http://a/", &[], Ok("a")),
            (two, "/", &[("host", "a")], Ok("a")),
            (two, "http://a/", &[("host", "A")], Ok("a")),
            (two, "http://a/", &[("host", "b")], Err(400)),
            (two, "/", &[], Err(400)),
        ] {
            let expected = host.map(str::to_owned);
            assert_eq!(
                asked(version, uri, fields),
                expected,
                "{version:?} {uri} {fields:?}"
            );
        }
    }

    #[test]
    fn only_names_that_nobody_else_can_own_are_ours() {
        let listed = ["box.example".to_owned()];
        for host in [
            "",
            "127.0.0.1",
            "192.0.2.1",
            "[::1]",
            "localhost",
            "LocalHost.",
            "a.localhost",
            "box.example",
            "BOX.example.",
        ] {
            assert!(is_ours(host, &listed), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_ours(host, &listed), "{host}");
        }
        assert!(is_ours(&machine()[0], &[]));
    }

    #[test]
    fn a_page_of_another_site_is_told_from_a_program() {
        let here = Authority {
            host: "127.0.0.1",
            port: "3000",
        };
        for (method, fields, cross) in [
            (Method::POST, &[][..], false),
            (Method::POST, &[("origin", "http://127.0.0.1:3000")], false),
            (Method::POST, &[("origin", "http://127.0.0.1:5173")], true),
            (Method::POST, &[("origin", "https://evil.example")], true),
            (Method::POST, &[("origin", "null")], true),
            (
                Method::GET,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "no-cors"),
                ],
                true,
            ),
            (
                Method::GET,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                false,
            ),
            (
                Method::POST,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                true,
            ),
            (Method::GET, &[("sec-fetch-site", "same-origin")], false),
            (Method::GET, &[("sec-fetch-site", "none")], false),
        ] {
            assert_eq!(
                is_cross_site(&method, &headers(fields), here),
                cross,
                "{method} {fields:?}"
            );
        }
    }
}
