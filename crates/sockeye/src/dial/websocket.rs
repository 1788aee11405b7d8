//! Dialing WebSocket: TCP, TLS where it is asked for, and a request that becomes the session.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Version, header, request};
use wire::address::{Host, HostPort, Scheme};

use super::{DialOptions, connect, secure};
use crate::error::{Error, Operation, Result};
use crate::protocol::http::upgrade::{self, Failure};
use crate::protocol::tls::{HTTP1, HTTP2};
use crate::protocol::ws;
use crate::protocol::ws::handshake::Unlike;
use crate::session::Session;

/// A session with the resource at `path` of one of several hosts.
pub(super) async fn dial(
    hosts: &[HostPort],
    path: &str,
    scheme: Scheme,
    options: &DialOptions,
) -> Result<Session> {
    let reached = connect(hosts, options).await?;
    let host = reached.host.clone();
    let (stream, identity) = if scheme == Scheme::Wss {
        let alpn = if options.http2 { HTTP2 } else { HTTP1 };
        secure(reached, "wss", &[alpn], options).await?
    } else {
        let identity = options.identity("ws", reached.local, reached.peer);
        (reached.stream, identity)
    };
    let address = format!("{scheme}://{host}{path}");
    let request = request(&host, path, scheme, options)
        .map_err(|reason| Error::unsupported(Operation::Connect, &address, reason))?;
    let opened = upgrade::open(stream, request, &options.websocket).await;
    let (stream, agreed, head) = opened.map_err(|failure| explained(failure, &address))?;
    let identity = identity
        .asked_by(Arc::new(head))
        .agreed_on(agreed.protocol.as_deref());
    let most = options.max_message;
    let settings = &options.websocket;
    Ok(ws::session(stream, identity, most, &agreed, settings))
}

fn request(
    host: &HostPort,
    path: &str,
    scheme: Scheme,
    options: &DialOptions,
) -> Result<request::Parts, String> {
    let wrong = |error: http::Error| error.to_string();
    let authority = authority(host, scheme);
    // A query may stand without a path (RFC 3986, section 3).
    let slash = if path.starts_with('/') { "" } else { "/" };
    let target = format!("{slash}{path}");
    let request = if options.http2 {
        let http = if scheme == Scheme::Wss {
            "https"
        } else {
            "http"
        };
        Request::builder()
            .version(Version::HTTP_2)
            .uri(format!("{http}://{authority}{target}"))
    } else {
        Request::builder()
            .uri(target)
            .header(header::HOST, authority)
    };
    let (mut parts, ()) = request.body(()).map_err(wrong)?.into_parts();
    let own = headers(options)?;
    for name in own.keys() {
        parts.headers.remove(name);
    }
    parts.headers.extend(own);
    Ok(parts)
}

/// The header fields that were asked for, and the token where there is one.
pub(super) fn headers(options: &DialOptions) -> Result<HeaderMap, String> {
    let mut headers = options.headers.clone();
    if let Some(token) = &options.token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.secret()))
            .map_err(|_| "the token cannot stand in a header".to_owned())?;
        bearer.set_sensitive(true);
        headers.entry(header::AUTHORIZATION).or_insert(bearer);
    }
    Ok(headers)
}

/// A host as a server is told it is asked for: without its zone, which means nothing there (RFC 6874, section
/// 4), and without the port that the scheme stands for.
pub(super) fn authority(host: &HostPort, scheme: Scheme) -> String {
    let name = match &host.host {
        Host::V6 { ip, .. } => format!("[{ip}]"),
        Host::Unspecified => "localhost".to_owned(),
        other => other.to_string(),
    };
    match Some(host.port) == scheme.default_port() {
        true => name,
        false => format!("{name}:{}", host.port),
    }
}

fn explained(failure: Failure, address: &str) -> Error {
    let (operation, address) = (Operation::Connect, address.to_owned());
    match failure {
        Failure::Io(source) => Error::Io {
            operation,
            address,
            source,
        },
        Failure::Unlike(Unlike::Refused(status, words)) => Error::Refused {
            operation,
            address,
            status,
            words,
        },
        Failure::Unlike(Unlike::Wrong(reason)) => Error::Protocol {
            operation,
            address,
            reason,
        },
    }
}
