//! Which proxy is used for what.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use wire::address::Host;
use wire::upstream::Proxy;

use super::location::Location;

/// The proxies of `http://` and `https://`, and for whom there is none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<Proxy>,
    /// For `https://`.
    pub https: Option<Proxy>,
    /// Who is reached without one.
    pub except: Exceptions,
}

/// Hosts that are reached without a proxy, as `NO_PROXY` lists them: names, which stand for all below them too,
/// addresses, networks such as `10.0.0.0/8`, and `*` for everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everyone,
    Name(String),
    Network(IpNet),
}

impl Proxies {
    /// The proxy for it, if there is one.
    pub fn of(&self, location: &Location) -> Option<&Proxy> {
        let proxy = match location.is_secure() {
            true => self.https.as_ref(),
            false => self.http.as_ref(),
        };
        proxy.filter(|_| !self.except.has(&location.host_port().host))
    }
}

impl Exceptions {
    fn has(&self, host: &Host) -> bool {
        let text = host.to_string();
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let ip: Option<IpAddr> = match host {
            Host::V4(ip) => Some((*ip).into()),
            Host::V6 { ip, .. } => Some((*ip).into()),
            _ => None,
        };
        self.0.iter().any(|exception| match exception {
            Exception::Everyone => true,
            Exception::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            Exception::Name(suffix) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| ip.is_none() && (rest.is_empty() || rest.ends_with('.'))),
        })
    }
}

impl FromStr for Exceptions {
    type Err = std::convert::Infallible;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let words = list.split([',', ' ']).filter(|word| !word.is_empty());
        let read = |word: &str| {
            let bare = word.trim_start_matches('[').trim_end_matches(']');
            match (word, bare.parse::<IpAddr>(), word.parse::<IpNet>()) {
                ("*", ..) => Exception::Everyone,
                (_, Ok(ip), _) => Exception::Network(ip.into()),
                (_, _, Ok(network)) => Exception::Network(network),
                _ => Exception::Name(word.trim_matches('.').to_ascii_lowercase()),
            }
        };
        Ok(Self(words.map(read).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(list: &str, url: &str) -> bool {
        let proxies = Proxies {
            http: Some("http://p:1".parse().unwrap()),
            https: None,
            except: list.parse().unwrap(),
        };
        proxies.of(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn a_proxy_is_for_its_scheme() {
        assert!(through("", "http://h/"));
        assert!(!through("", "https://h/"));
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        for (list, url, proxied) in [
            ("*", "http://h/", false),
            ("example.org", "http://example.org/", false),
            ("example.org", "http://www.Example.org/", false),
            (".example.org", "http://www.example.org/", false),
            ("example.org", "http://notexample.org/", true),
            ("a, b", "http://b/", false),
            ("127.0.0.1", "http://127.0.0.1/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://11.1.2.3/", true),
            ("::1", "http://[::1]/", false),
            ("[::1]", "http://[::1]/", false),
            ("1", "http://127.0.0.1/", true),
        ] {
            assert_eq!(through(list, url), proxied, "{list} {url}");
        }
    }
}
