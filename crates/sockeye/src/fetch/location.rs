//! What is fetched: an `http://` or `https://` URL, read as browsers read it (WHATWG URL), or an `h3://` one.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;
use wire::address::{Host, HostPort};

use crate::error::{Error, Operation, Result};

/// A URL that can be fetched. Shown without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    url: Url,
    /// The interface of a link-local address (RFC 6874), which no server and no name of a certificate knows.
    zone: Option<String>,
    /// Whether it was written as `h3://`: `https://` over HTTP/3 and nothing else.
    over_http3: bool,
}

impl Location {
    /// What `reference`, as it stands in a `Location` field, means here.
    ///
    /// # Errors
    /// When it is no URL, or none that can be fetched.
    pub fn join(&self, reference: &str) -> Result<Self> {
        let joined = self.url.join(reference);
        let url = joined.map_err(|why| wrong(reference, &why.to_string()))?;
        let mut next = fetchable(url, reference)?;
        if next.url.host() == self.url.host() {
            next.zone.clone_from(&self.zone);
        }
        next.over_http3 = self.over_http3 && next.same_origin(self);
        Ok(next)
    }

    /// Whether it is fetched in TLS.
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it was written as `h3://`: HTTP/3 and nothing else.
    pub fn is_over_http3(&self) -> bool {
        self.over_http3
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Whom to ask.
    pub fn host_port(&self) -> HostPort {
        let host = match self.url.host() {
            Some(url::Host::Ipv4(ip)) => Host::V4(ip),
            Some(url::Host::Ipv6(ip)) => Host::V6 {
                ip,
                zone: self.zone.clone(),
            },
            Some(url::Host::Domain(name)) => Host::Name(name.to_owned()),
            // A URL of these schemes always has one.
            None => Host::Unspecified,
        };
        let port = self.url.port_or_known_default().unwrap_or(80);
        HostPort { host, port }
    }

    /// Host and port as a request names them: no port that the scheme stands for, and no zone.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Path and query.
    pub fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// `USER:PASSWORD`, where the URL names them.
    pub fn credentials(&self) -> Option<String> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (self.url.username(), self.url.password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        Some(format!(
            "{}:{}",
            decode(user),
            decode(password.unwrap_or_default())
        ))
    }

    /// Whether both have the same scheme, host and port (RFC 6454, section 4).
    pub fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin() && self.zone == other.zone
    }

    /// The last part of the path, decoded; none when it ends in a slash.
    pub fn file_name(&self) -> Option<String> {
        let last = self.url.path_segments()?.next_back()?;
        let name = percent_decode_str(last).decode_utf8_lossy();
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// Adds `more` to the query.
    pub fn add_query(&mut self, more: &str) {
        let query = match self.url.query() {
            Some(query) if !query.is_empty() => format!("{query}&{more}"),
            _ => more.to_owned(),
        };
        self.url.set_query(Some(&query));
    }

    /// Adds `name` to a path that ends in a slash.
    pub fn add_name(&mut self, name: &str) {
        if let Ok(mut segments) = self.url.path_segments_mut() {
            segments.pop_if_empty().push(name);
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Without a scheme it is `http://`; `3000/path` and `:3000/path` are on this machine. `h3://` is `https://`
    /// over HTTP/3.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some((scheme, _)) = text.split_once(':')
            && matches!(scheme, "unix" | "unixgram" | "exec")
        {
            return Err(not_fetched(scheme, text));
        }
        let whole = match text.split_once("://") {
            Some((scheme, _)) if is_scheme(scheme) => text.to_owned(),
            _ => format!("http://{}", with_host(text)),
        };
        let over_http3 = whole
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("h3://"));
        let whole = match over_http3 {
            // A scheme that the standard does not know would be read by other rules.
            true => format!("https://{}", &whole[5..]),
            false => whole,
        };
        let (whole, zone) = without_zone(&whole);
        let url = Url::parse(&whole).map_err(|why| wrong(text, &why.to_string()))?;
        Ok(Self {
            zone,
            over_http3,
            ..fetchable(url, text)?
        })
    }
}

fn is_scheme(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn with_host(text: &str) -> String {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let place = &text[..end];
    let is_port = |port: &str| !port.is_empty() && port.parse::<u16>().is_ok();
    match place.strip_prefix(':') {
        Some(port) if is_port(port) => format!("localhost{text}"),
        None if is_port(place) => format!("localhost:{text}"),
        _ => text.to_owned(),
    }
}

/// `http://[fe80::1%25eth0]/` as `http://[fe80::1]/` and `eth0`: URLs have no zones, and people need them.
fn without_zone(text: &str) -> (String, Option<String>) {
    let cut = || {
        let open = text.find("://[")? + 4;
        let close = open + text[open..].find(']')?;
        let percent = open + text[open..close].find('%')?;
        let zone = &text[percent + 1..close];
        let zone = match zone.strip_prefix("25") {
            Some(rest) if !rest.is_empty() => rest,
            _ => zone,
        };
        let without = format!("{}{}", &text[..percent], &text[close..]);
        Some((without, Some(zone.to_owned())))
    };
    cut().unwrap_or_else(|| (text.to_owned(), None))
}

fn fetchable(mut url: Url, written: &str) -> Result<Location> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(not_fetched(url.scheme(), written));
    }
    url.set_fragment(None);
    Ok(Location {
        url,
        zone: None,
        over_http3: false,
    })
}

fn not_fetched(scheme: &str, written: &str) -> Error {
    let why = format!("{scheme}: is not fetched, only http://, https:// and h3:// are");
    Error::unsupported(Operation::Fetch, written, why)
}

fn wrong(written: &str, why: &str) -> Error {
    Error::unsupported(Operation::Fetch, written, format!("that is no URL: {why}"))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            if self.over_http3 { "h3" } else { self.scheme() },
            self.authority(),
            self.target()
        )
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (written, shown, host, secure) in [
            (
                "http://example.org",
                "http://example.org/",
                "example.org:80",
                false,
            ),
            (
                "https://example.org/a b",
                "https://example.org/a%20b",
                "example.org:443",
                true,
            ),
            (
                "example.org/x?q#part",
                "http://example.org/x?q",
                "example.org:80",
                false,
            ),
            (
                "EXAMPLE.org:8080",
                "http://example.org:8080/",
                "example.org:8080",
                false,
            ),
            (
                ":3000/x",
                "http://localhost:3000/x",
                "localhost:3000",
                false,
            ),
            ("3000", "http://localhost:3000/", "localhost:3000", false),
            (
                "http://例子.测试/文",
                "http://xn--fsqu00a.xn--0zwm56d/%E6%96%87",
                "xn--fsqu00a.xn--0zwm56d:80",
                false,
            ),
            ("http://u:p%40s@h/", "http://h/", "h:80", false),
            ("http://[::1]:81/", "http://[::1]:81/", "[::1]:81", false),
            (
                "http://[fe80::1%25eth0]/",
                "http://[fe80::1]/",
                "[fe80::1%eth0]:80",
                false,
            ),
            ("http://h/a/../b", "http://h/b", "h:80", false),
        ] {
            let location = read(written);
            let found = (location.to_string(), location.host_port().to_string());
            assert_eq!((&*found.0, &*found.1), (shown, host), "{written}");
            assert_eq!(location.is_secure(), secure, "{written}");
        }
        assert_eq!(
            read("http://u:p%40s@h/").credentials().as_deref(),
            Some("u:p@s")
        );
        assert_eq!(read("http://h/").credentials(), None);
    }

    #[test]
    fn h3_is_https_over_http3_and_leads_to_other_places_as_https_does() {
        let location = read("H3://u:p@Example.org:443/a?b#c");
        assert_eq!(location.to_string(), "h3://example.org/a?b");
        assert_eq!(location.host_port().to_string(), "example.org:443");
        assert_eq!((location.scheme(), location.is_secure()), ("https", true));
        assert_eq!(location.credentials().as_deref(), Some("u:p"));
        assert!(location.same_origin(&read("https://example.org")));
        for (reference, joined) in [
            ("/d", "h3://example.org/d"),
            ("https://example.org/d", "h3://example.org/d"),
            ("https://other/", "https://other/"),
            ("http://example.org/", "http://example.org/"),
        ] {
            assert_eq!(location.join(reference).unwrap().to_string(), joined);
        }
        // What a server says is a URL of the standard.
        assert!(location.join("h3://example.org/").is_err());
        assert!(!read("https://h/").is_over_http3());
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (written, says) in [
            ("ftp://h/", "only http://, https:// and h3://"),
            ("unix:/run/app", "unix: is not fetched"),
            ("http://", "that is no URL"),
            ("http://h:99999/", "that is no URL"),
            ("http://[::1/", "that is no URL"),
            ("{\"a\":1}", "that is no URL"),
            ("", "that is no URL"),
        ] {
            let error = written.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(says), "{written}: {error}");
        }
    }

    #[test]
    fn references_are_joined_and_keep_the_zone_of_their_host() {
        let base = read("http://[fe80::1%eth0]:80/a/b?c");
        for (reference, joined) in [
            ("d", "http://[fe80::1]/a/d"),
            ("/d", "http://[fe80::1]/d"),
            ("?d", "http://[fe80::1]/a/b?d"),
            ("//other/x", "http://other/x"),
            ("https://[fe80::1]/", "https://[fe80::1]/"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), joined);
        }
        let host = |reference| base.join(reference).unwrap().host_port().host.to_string();
        assert_eq!(host("d"), "[fe80::1%eth0]");
        assert_eq!(host("//[fe80::2]/"), "[fe80::2]");
        assert!(base.join("gopher://x/").is_err());
        assert!(base.same_origin(&base.join("/d").unwrap()));
        for other in ["https://[fe80::1]/", "http://[fe80::1]:81/", "//other/"] {
            assert!(!base.same_origin(&base.join(other).unwrap()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "(https?://)?[a-z0-9:%./@ \\[\\]é?#-]{0,20}") {
            if let Ok(location) = text.parse::<Location>() {
                let again: Location = location.to_string().parse().unwrap();
                prop_assert_eq!(again.to_string(), location.to_string());
                prop_assert!(!location.target().contains(' '));
                let _ = (location.host_port(), location.file_name(), location.credentials());
            }
        }
    }

    #[test]
    fn names_and_queries() {
        let mut location = read("http://h/a/%E6%96%87.txt");
        assert_eq!(location.file_name().as_deref(), Some("文.txt"));
        location.add_query("a=1");
        location.add_query("b=2");
        assert_eq!(location.target(), "/a/%E6%96%87.txt?a=1&b=2");
        let mut folder = read("http://h/a/");
        assert_eq!(folder.file_name(), None);
        folder.add_name("b c");
        assert_eq!(folder.target(), "/a/b%20c");
    }
}
