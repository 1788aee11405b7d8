//! The opening handshake, both ends: what a request must say, and what it is answered (RFC 6455, section 4;
//! RFC 8441 for HTTP/2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    self, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version, request, response};
use wire::websocket::deflate::Parameters;

use super::{Settings, keys};

/// The name that is asked for in `Upgrade` and in `:protocol`.
const NAME: &str = "websocket";

/// The version of RFC 6455, the only one there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// What the two ends agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The subprotocol.
    pub(crate) protocol: Option<String>,
    /// Compression.
    pub(crate) deflate: Option<Parameters>,
}

/// Why a request is not answered by a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For whoever reads the answer, or a server's report: a sentence without a full stop.
    pub(crate) reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }

    /// The head of the answer.
    pub(crate) fn answer(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
            headers.insert(UPGRADE, HeaderValue::from_static(NAME));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}

/// Whether a request asks for a WebSocket session, rightly or not.
pub(crate) fn is_asked<B>(request: &Request<B>) -> bool {
    match request.version() {
        Version::HTTP_2 => request
            .extensions()
            .get::<hyper::ext::Protocol>()
            .is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case(NAME)),
        // The library below does not know RFC 9220.
        Version::HTTP_3 => false,
        _ => has_token(request.headers(), UPGRADE, NAME),
    }
}

/// The server's part: the head of the answer that begins the session, and what it agrees to.
///
/// # Errors
/// When the request is no right one, or comes from a page that may not ask.
pub(crate) fn accept<B>(
    request: &Request<B>,
    settings: &Settings,
) -> Result<(Response<()>, Agreed), Refusal> {
    let bad = |reason: &str| Refusal::new(StatusCode::BAD_REQUEST, reason);
    let headers = request.headers();
    let over_http1 = request.version() != Version::HTTP_2;
    if over_http1 {
        if request.method() != Method::GET || request.version() != Version::HTTP_11 {
            return Err(bad("a WebSocket handshake is a GET request of HTTP/1.1"));
        }
        if !has_token(headers, CONNECTION, "upgrade") {
            return Err(bad("the Connection header does not say upgrade"));
        }
    }
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    if (versions.next(), versions.next()) != (Some(&VERSION), None) {
        let reason = "the one WebSocket version spoken here is 13";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, reason));
    }
    check_origin(request, settings)?;
    let mut response = Response::new(());
    let answer = response.headers_mut();
    if over_http1 {
        let key =
            key(headers).ok_or_else(|| bad("there is not one Sec-WebSocket-Key of 16 bytes"))?;
        answer.insert(SEC_WEBSOCKET_ACCEPT, proof(key));
        answer.insert(UPGRADE, HeaderValue::from_static(NAME));
        answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let agreed = Agreed {
        protocol: choose_protocol(headers, settings),
        deflate: match settings.compress {
            true => choose_extension(headers, answer),
            false => None,
        },
    };
    if let Some(protocol) = &agreed.protocol {
        let value =
            HeaderValue::from_str(protocol).map_err(|_| bad("the subprotocol is no token"))?;
        answer.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    *response.status_mut() = match over_http1 {
        true => StatusCode::SWITCHING_PROTOCOLS,
        false => StatusCode::OK,
    };
    Ok((response, agreed))
}

/// A browser lets any page open a session anywhere, and says whose page it is. Only our own pages may, and
/// those of origins that were named; who is no browser says nothing (RFC 6455, section 10.2).
///
/// # Errors
/// When it is another page.
pub(crate) fn check_origin<B>(request: &Request<B>, settings: &Settings) -> Result<(), Refusal> {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = match request.headers().get(HOST) {
        Some(host) => host.to_str().ok(),
        None => request
            .uri()
            .authority()
            .map(|authority| authority.as_str()),
    };
    if settings.lets_in(origin) || host.is_some_and(|host| is_of(origin, host)) {
        return Ok(());
    }
    let reason = format!("pages of {origin:?} may not open sessions here");
    Err(Refusal::new(StatusCode::FORBIDDEN, reason))
}

/// Whether a page of `origin` comes from `host`, where either may leave out its scheme's port.
fn is_of(origin: &str, host: &str) -> bool {
    let (authority, default) = match origin.split_once("://") {
        Some(("http", authority)) => (authority, ":80"),
        Some(("https", authority)) => (authority, ":443"),
        _ => return false,
    };
    let bare = |text: &str| {
        text.strip_suffix(default)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    !authority.is_empty() && bare(authority) == bare(host)
}

fn choose_protocol(headers: &HeaderMap, settings: &Settings) -> Option<String> {
    let mut offered = tokens(headers, SEC_WEBSOCKET_PROTOCOL);
    if !settings.protocols.is_empty() {
        return offered
            .find(|offered| settings.protocols.iter().any(|known| known == offered))
            .map(str::to_owned);
    }
    // A browser that is not given one of those it offers ends the session again.
    let first = offered.next()?;
    let is_secret = |name: &str| name.starts_with("token.");
    let mut names = [first].into_iter().chain(offered);
    let name = names.find(|name| !is_secret(name)).unwrap_or(first);
    Some(name.to_owned())
}

fn choose_extension(headers: &HeaderMap, answer: &mut HeaderMap) -> Option<Parameters> {
    // There may be many clients: what is not remembered between messages costs nothing while they are idle.
    let (agreed, words) = Parameters::FRUGAL.answer(&joined(headers, SEC_WEBSOCKET_EXTENSIONS))?;
    answer.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::try_from(words).ok()?);
    Some(agreed)
}

/// The client's key, if there is one and it is right.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return None;
    };
    let is_right = BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    is_right.then(|| key.as_bytes())
}

/// What shows that a server has understood `key` (section 4.2.2).
fn proof(key: &[u8]) -> HeaderValue {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    // Letters, digits, `+`, `/` and `=` are all right in a header.
    HeaderValue::try_from(BASE64.encode(sum)).unwrap_or(HeaderValue::from_static(""))
}

/// What a client has asked for, to be compared with the answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// None over HTTP/2, where none is needed.
    key: Option<String>,
    protocols: Vec<String>,
    deflate: Option<Parameters>,
}

impl Asked {
    /// The client's part: completes the head of a request for HTTP/1.1 or HTTP/2, whose target, host and further
    /// headers stand in it already.
    pub(crate) fn complete(request: &mut request::Parts, settings: &Settings) -> Self {
        let headers = &mut request.headers;
        let mut set = |name: HeaderName, value: String| {
            // Whatever cannot stand in a header is left out, and the server does without.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        let key = (request.version != Version::HTTP_2).then(|| BASE64.encode(keys::nonce()));
        if let Some(key) = &key {
            request.method = Method::GET;
            set(SEC_WEBSOCKET_KEY, key.clone());
            set(UPGRADE, NAME.to_owned());
            set(CONNECTION, "Upgrade".to_owned());
        } else {
            request.method = Method::CONNECT;
            let protocol = hyper::ext::Protocol::from_static(NAME);
            request.extensions.insert(protocol);
        }
        if !settings.protocols.is_empty() {
            set(SEC_WEBSOCKET_PROTOCOL, settings.protocols.join(", "));
        }
        let deflate = settings.compress.then_some(Parameters::FULL);
        if let Some(deflate) = &deflate {
            set(SEC_WEBSOCKET_EXTENSIONS, deflate.offer());
        }
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        Self {
            key,
            protocols: settings.protocols.clone(),
            deflate,
        }
    }

    /// What the server agreed to.
    ///
    /// # Errors
    /// When it has refused, or answers something else than was asked.
    pub(crate) fn agree(&self, answer: &response::Parts) -> Result<Agreed, Unlike> {
        let wrong = |reason: &str| Unlike::Wrong(reason.to_owned());
        let headers = &answer.headers;
        let expected = match self.key {
            Some(_) => StatusCode::SWITCHING_PROTOCOLS,
            None => StatusCode::OK,
        };
        if answer.status != expected {
            let place = match headers.get(header::LOCATION).map(HeaderValue::to_str) {
                Some(Ok(place)) if answer.status.is_redirection() => format!("go to {place}"),
                _ => String::new(),
            };
            return Err(Unlike::Refused(answer.status, place));
        }
        if let Some(key) = &self.key {
            if !has_token(headers, UPGRADE, NAME) || !has_token(headers, CONNECTION, "upgrade") {
                return Err(wrong("the server upgrades to something else"));
            }
            if headers.get(SEC_WEBSOCKET_ACCEPT) != Some(&proof(key.as_bytes())) {
                return Err(wrong("the server does not prove that it speaks WebSocket"));
            }
        }
        let protocol = match headers.get(SEC_WEBSOCKET_PROTOCOL) {
            None => None,
            Some(chosen) => match self.protocols.iter().find(|offered| *chosen == ***offered) {
                Some(protocol) => Some(protocol.clone()),
                None => {
                    return Err(Unlike::Wrong(format!(
                        "the server chooses the subprotocol {chosen:?}, which was not offered"
                    )));
                }
            },
        };
        let extensions = joined(headers, SEC_WEBSOCKET_EXTENSIONS);
        let deflate = match &self.deflate {
            Some(offer) => offer
                .accept(&extensions)
                .map_err(|error| Unlike::Wrong(error.to_string()))?,
            None if extensions.is_empty() => None,
            None => {
                return Err(Unlike::Wrong(format!(
                    "the server chooses the extension {extensions:?}, and none was offered"
                )));
            }
        };
        Ok(Agreed { protocol, deflate })
    }
}

/// Why a server's answer begins no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unlike {
    /// It has refused with this status, and may have said more.
    Refused(StatusCode, String),
    /// It has agreed to something else than was asked for: why, as a sentence without a full stop.
    Wrong(String),
}

impl Unlike {
    pub(crate) fn no_extended_connect() -> Self {
        Self::Wrong("the server does not offer WebSocket over HTTP/2 (RFC 8441)".to_owned())
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(..))
    }

    /// What the server says about it, if nothing better is known.
    pub(crate) fn add_words(&mut self, said: &str) {
        if let Self::Refused(_, words) = self
            && words.is_empty()
        {
            said.clone_into(words);
        }
    }
}

/// The elements of a list header, which may stand in several lines.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn joined(headers: &HeaderMap, name: HeaderName) -> String {
    let lines = headers.get_all(name).into_iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests;
