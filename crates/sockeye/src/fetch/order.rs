//! What is asked for: the method, the place, header fields, and what is sent along.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use tokio::io::AsyncRead;

use super::location::Location;
use super::upload;
use crate::error::{Error, Operation, Result};
use crate::request::{Body, basic_authorization};
use crate::session::RequestHead;

/// One thing to fetch.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where it is.
    pub location: Location,
    /// `GET`, `POST`, ….
    pub method: Method,
    /// Header fields; they win over those that are sent anyway: `Host`, `Accept`, `User-Agent` and the like.
    pub headers: HeaderMap,
    /// Header fields that are not sent.
    pub without: Vec<HeaderName>,
    /// What is sent along.
    pub payload: Payload,
}

/// The content of a request.
#[derive(Clone, Default)]
pub enum Payload {
    /// None.
    #[default]
    Nothing,
    /// These bytes.
    Bytes(Bytes),
    /// A file, read while it is sent.
    File(PathBuf),
    /// Something that can be read once: sent in pieces, and not again where a redirect would need it.
    Once(Once),
}

/// See [`Payload::Once`].
#[derive(Clone)]
pub struct Once(Arc<Mutex<Option<Body>>>);

impl Payload {
    /// What `source` gives until its end.
    pub fn once(source: impl AsyncRead + Send + 'static) -> Self {
        let body = Body::stream(upload::Reading::new(source, None));
        Self::Once(Once(Arc::new(Mutex::new(Some(body)))))
    }

    /// Whether it can be sent to another place, or once more.
    pub fn can_be_sent_again(&self) -> bool {
        !matches!(self, Self::Once(_))
    }

    /// The body, and how long it is where that is known.
    pub(super) async fn body(&self) -> Result<(Body, Option<u64>)> {
        Ok(match self {
            Self::Nothing => (Body::empty(), Some(0)),
            Self::Bytes(bytes) => (bytes.clone().into(), Some(bytes.len() as u64)),
            Self::File(path) => {
                let failed = |source| Error::File {
                    action: "read",
                    path: path.display().to_string(),
                    source,
                };
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let facts = file.metadata().await.map_err(failed)?;
                if facts.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                // A pipe or a device says nothing about how much will come.
                let length = facts.is_file().then_some(facts.len());
                (Body::stream(upload::Reading::new(file, length)), length)
            }
            Self::Once(once) => {
                let mut body = once.0.lock().unwrap_or_else(PoisonError::into_inner);
                let body = body.take().ok_or_else(sent_already)?;
                (body, None)
            }
        })
    }
}

fn sent_already() -> Error {
    Error::unsupported(
        Operation::Send,
        "the next place",
        "what came through a pipe was sent already and cannot be sent again",
    )
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Once(_) => f.write_str("Once"),
        }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl Order {
    /// A GET of it.
    pub fn get(location: Location) -> Self {
        Self {
            location,
            method: Method::GET,
            headers: HeaderMap::new(),
            without: Vec::new(),
            payload: Payload::Nothing,
        }
    }

    /// Whether it may be sent before the handshake is over: it changes nothing, however often it is said.
    pub(super) fn may_be_early(&self) -> bool {
        self.method.is_safe() && matches!(self.payload, Payload::Nothing)
    }

    /// The head of the request as it is sent in `version`, for a body of `length`.
    pub(super) fn head(
        &self,
        version: Version,
        length: Option<u64>,
        compressed: bool,
    ) -> Result<RequestHead> {
        let wrong = |what: &str| {
            let why = format!("`{what}` cannot be asked for");
            Error::unsupported(Operation::Fetch, &self.location, why)
        };
        let mut headers = self.fields(version, length, compressed);
        let host = match self.headers.get(header::HOST) {
            Some(host) => host.to_str().map_err(|_| wrong("Host"))?.to_owned(),
            None => self.location.authority(),
        };
        let target = self.location.target();
        let uri = match version {
            Version::HTTP_11 => {
                let value = HeaderValue::try_from(&host).map_err(|_| wrong(&host))?;
                headers.insert(header::HOST, value);
                target
            }
            _ => {
                headers.remove(header::HOST);
                format!("{}://{host}{target}", self.location.scheme())
            }
        };
        Ok(RequestHead {
            method: self.method.clone(),
            uri: uri.parse().map_err(|_| wrong(&uri))?,
            version,
            headers,
        })
    }

    fn fields(&self, version: Version, length: Option<u64>, compressed: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if version == Version::HTTP_11 {
            // RFC 9110, section 7.2: it should be the first.
            headers.insert(header::HOST, HeaderValue::from_static(""));
        }
        let own = concat!("sockeye/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(own));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if compressed {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(user) = self.location.credentials() {
            headers.insert(header::AUTHORIZATION, basic_authorization(&user));
        }
        // RFC 9110, section 8.6: these mean something even without content.
        let expected = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        match length {
            Some(0) if !expected => {}
            Some(length) => {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
            None if version == Version::HTTP_11 => {
                let chunked = HeaderValue::from_static("chunked");
                headers.insert(header::TRANSFER_ENCODING, chunked);
            }
            None => {}
        }
        for name in self.headers.keys().chain(&self.without) {
            if name != header::HOST {
                headers.remove(name);
            }
        }
        let own = self
            .headers
            .iter()
            .filter(|(name, _)| *name != header::HOST);
        headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(order: &Order, version: Version, length: Option<u64>) -> String {
        let head = order.head(version, length, true).unwrap();
        let mut text = format!("{} {}", head.method, head.uri);
        for (name, value) in &head.headers {
            text.push_str(&format!(" | {name}: {}", value.to_str().unwrap()));
        }
        text.replace(env!("CARGO_PKG_VERSION"), "0")
    }

    #[test]
    fn heads_of_both_versions() {
        let mut order = Order::get("http://u:p@h:81/a?b".parse().unwrap());
        assert_eq!(
            shown(&order, Version::HTTP_11, Some(0)),
            "GET /a?b | host: h:81 | user-agent: sockeye/0 | accept: */* | accept-encoding: gzip \
             | authorization: Basic dTpw"
        );
        order.method = Method::POST;
        order.headers.insert(header::HOST, "other".parse().unwrap());
        order
            .headers
            .insert(header::USER_AGENT, "x".parse().unwrap());
        order.without = vec![
            header::ACCEPT,
            header::ACCEPT_ENCODING,
            header::AUTHORIZATION,
        ];
        assert_eq!(
            shown(&order, Version::HTTP_2, Some(0)),
            "POST http://other/a?b | content-length: 0 | user-agent: x"
        );
        assert_eq!(
            shown(&order, Version::HTTP_11, None),
            "POST /a?b | host: other | transfer-encoding: chunked | user-agent: x"
        );
        assert_eq!(
            shown(&order, Version::HTTP_2, Some(5)),
            "POST http://other/a?b | content-length: 5 | user-agent: x"
        );
    }

    #[tokio::test]
    async fn what_can_be_read_once_is_sent_once() {
        let once = Payload::once(&b"abc"[..]);
        assert!(!once.can_be_sent_again());
        let (mut body, length) = once.body().await.unwrap();
        assert_eq!(length, None);
        assert_eq!(body.data().await.unwrap().unwrap(), "abc");
        let again = once.clone().body().await.unwrap_err().to_string();
        assert!(again.contains("cannot be sent again"), "{again}");
    }
}
