//! Upstream proxies: which one, and what is said to it before it passes bytes on. SOCKS5 and HTTP CONNECT.
//!
//! ```
//! use wire::upstream::{Heard, Proxy};
//!
//! let proxy: Proxy = "socks5://127.0.0.1:1080".parse()?;
//! let (mut talk, hello) = proxy.begin(&"example.org:80".parse::<wire::address::Address>()?.hosts()[0])?;
//! assert_eq!(hello, [5, 1, 0]);
//! let Heard::Answer { say, .. } = talk.hear(&[5, 0])? else { panic!() };
//! assert_eq!(say, b"\x05\x01\x00\x03\x0bexample.org\x00\x50");
//! assert_eq!(talk.hear(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?, Heard::Done { used: 10 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::address::{Address, Host, HostPort, Problem};

mod socks;
mod tunnel;

/// A proxy that connections are made through: `socks5://[USER:PASSWORD@]HOST:PORT`, `socks5h://…`,
/// `http://…`.
///
/// Host names are resolved by the proxy, with `socks5` as with `socks5h`: whoever uses a proxy does
/// not expect its names in the queries of the local resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// What it speaks.
    pub kind: Kind,
    /// Where it is.
    pub at: HostPort,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SOCKS version 5 (RFC 1928).
    Socks5,
    /// CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6).
    Http,
}

/// User and password. Neither `Debug` nor any error shows the password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
}

/// A text that is no proxy's address. It does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the proxy's address: {0}")]
pub struct ProxyError(String);

/// Why a proxy does not pass bytes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// What it says is not its protocol.
    #[error("it does not speak {0}: {1}")]
    Garbled(&'static str, String),
    /// It went away in the middle of the conversation.
    #[error("it closed the connection")]
    Closed,
    /// It lets nobody through without a user and a password.
    #[error("it wants a user and a password")]
    NeedsCredentials,
    /// It does not know this user, or not with this password.
    #[error("it did not accept the user and the password")]
    BadCredentials,
    /// It could not reach the destination, or does not want to.
    #[error("it says: {0}")]
    Refused(String),
    /// Something that the protocol has no room for.
    #[error("{0} of more than 255 bytes cannot be told to a SOCKS5 proxy")]
    TooLong(&'static str),
}

/// A conversation with a proxy: what it says goes in, what is to be said comes out.
#[derive(Debug)]
pub struct Talk(Kept);

#[derive(Debug)]
enum Kept {
    Socks(socks::Talk),
    Tunnel,
}

/// What the bytes from a proxy mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// More of them are needed.
    NeedMore,
    /// The first `used` are understood, and this is to be said next.
    Answer {
        /// Bytes to take off.
        used: usize,
        /// Bytes to send; may be none.
        say: Vec<u8>,
    },
    /// The first `used` were the last of the proxy's own: whatever follows comes from the destination.
    Done {
        /// Bytes to take off.
        used: usize,
    },
}

impl Proxy {
    /// Begins a conversation that ends with a connection to `to`, and the first bytes to send.
    ///
    /// # Errors
    /// [`Refusal::TooLong`].
    pub fn begin(&self, to: &HostPort) -> Result<(Talk, Vec<u8>), Refusal> {
        let credentials = self.credentials.as_ref();
        Ok(match self.kind {
            Kind::Socks5 => {
                let (talk, hello) = socks::begin(to, credentials)?;
                (Talk(Kept::Socks(talk)), hello)
            }
            Kind::Http => (Talk(Kept::Tunnel), tunnel::request(to, credentials)),
        })
    }
}

impl Talk {
    /// Reads what has come from the proxy and was not taken off yet. Looks at 16 KiB at most.
    ///
    /// # Errors
    /// When the proxy refuses, or does not speak its protocol.
    pub fn hear(&mut self, head: &[u8]) -> Result<Heard, Refusal> {
        match &mut self.0 {
            Kept::Socks(talk) => talk.hear(head),
            Kept::Tunnel => tunnel::hear(head),
        }
    }
}

/// The host as a proxy is told it: without a zone, which means nothing to it; none written is the
/// proxy's own machine.
fn host(host: &Host) -> Host {
    match host {
        Host::Unspecified | Host::Every => Host::V4(std::net::Ipv4Addr::LOCALHOST),
        Host::V6 { ip, .. } => Host::V6 {
            ip: *ip,
            zone: None,
        },
        Host::V4(_) | Host::Name(_) => host.clone(),
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = |what: &str| ProxyError(what.to_owned());
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("write socks5://HOST:PORT or http://HOST:PORT"))?;
        let (kind, port) = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            "http" => (Kind::Http, 80),
            _ => return Err(wrong("a proxy is socks5://, socks5h:// or http://")),
        };
        // A password may hold anything, also an `@` that somebody forgot to write as %40.
        let (credentials, at) = match rest.rsplit_once('@') {
            Some((user, at)) => (Some(credentials(user)?), at),
            None => (None, rest),
        };
        let at = at.strip_suffix('/').unwrap_or(at);
        let read = |at: &str| Address::parse(&format!("tcp://{at}"));
        let address = match read(at) {
            Err(error) if error.problem() == Problem::NoPort => read(&format!("{at}:{port}")),
            read => read,
        };
        let address = address.map_err(|_| wrong("no host and port stand there"))?;
        let [at] = address.hosts() else {
            return Err(wrong("it is one host"));
        };
        let at = at.clone();
        Ok(Self {
            kind,
            at,
            credentials,
        })
    }
}

fn credentials(text: &str) -> Result<Credentials, ProxyError> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        let wrong = |_| ProxyError("user or password are not UTF-8".to_owned());
        decoded.map(String::from).map_err(wrong)
    };
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(Credentials {
        user: decode(user)?,
        password: decode(password)?,
    })
}

/// Without user and password.
impl Display for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Socks5 => "socks5",
            Kind::Http => "http",
        };
        write!(f, "{scheme}://{}", self.at)
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Proxy {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn proxies_are_read() {
        for (text, shown) in [
            ("socks5://127.0.0.1:9050", "socks5://127.0.0.1:9050"),
            ("socks5h://proxy.example", "socks5://proxy.example:1080"),
            ("SOCKS5://[::1]:1", "socks5://[::1]:1"),
            ("socks5://[::1]", "socks5://[::1]:1080"),
            ("http://proxy.example", "http://proxy.example:80"),
            ("http://proxy.example:3128/", "http://proxy.example:3128"),
            ("http://:3128", "http://:3128"),
        ] {
            assert_eq!(read(text).to_string(), shown);
            assert_eq!(read(text).credentials, None);
        }
    }

    #[test]
    fn users_and_passwords_are_read_and_not_shown() {
        for (text, user, password) in [
            ("socks5://me:secret@h:1", "me", "secret"),
            ("http://me@h:1", "me", ""),
            ("http://a%40b:p%3aq%25@h:1", "a@b", "p:q%"),
            ("http://me:p@ss@h:1", "me", "p@ss"),
            ("http://:x:y@h:1", "", "x:y"),
        ] {
            let proxy = read(text);
            let expected = Credentials {
                user: user.to_owned(),
                password: password.to_owned(),
            };
            assert_eq!(proxy.credentials, Some(expected));
            let shown = format!("{proxy} {proxy:?}");
            assert!(password.is_empty() || !shown.contains(password), "{shown}");
            assert_eq!(proxy.at.to_string(), "h:1");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_a_password() {
        for text in [
            "",
            "127.0.0.1:1080",
            "socks4://h:1",
            "https://me:secret@h:1",
            "socks5://me:secret@",
            "socks5://me:secret@h:99999",
            "socks5://me:secret@h:1/path",
            "socks5://me:secret@h:1,i:2",
            "http://%ff:secret@h:1",
        ] {
            let error = text.parse::<Proxy>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
