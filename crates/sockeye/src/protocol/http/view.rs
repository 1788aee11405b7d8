//! The way to what a port shows of itself: who may look, and whose connections they see.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use bytes::Bytes;
use http_body::Frame;

use super::{Connection, answer, page, token};
use crate::request::{Body, Response};
use crate::view::{Course, View, ViewKey, Viewer};

/// Where the lines are.
const PATH: &str = "/.sockeye/trace.jsonl";

/// With one of these a request was passed on: who asks is somewhere else.
const PASSED_ON: [HeaderName; 5] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether the lines are asked for.
pub(super) fn is_asked(method: &Method, uri: &Uri) -> bool {
    *method == Method::GET && uri.path() == PATH
}

/// Tells whose connection this is, if the request says it.
pub(super) fn claim(connection: &Connection, request: &::http::Request<impl Sized>) {
    let Some(view) = &connection.settings.view else {
        return;
    };
    let course = course(connection, request.version());
    if let (Some(course), Some(key)) = (course, key(request.uri(), request.headers())) {
        view.claim(course, key);
    }
}

/// The lines, from now on until this end says goodbye.
pub(super) fn look(
    view: &dyn View,
    connection: &Connection,
    request: &::http::Request<impl Sized>,
) -> Response {
    let course = course(connection, request.version());
    let key = key(request.uri(), request.headers());
    let all = sees_all(connection, request.uri(), request.headers());
    let (viewer, lines) = Viewer::new(course, key, all);
    if !view.look(viewer) {
        return answer::full().response();
    }
    let host = connection.host.clone();
    let looking = Looking {
        lines,
        goodbye: Box::pin(async move { host.goodbye().await }),
    };
    let mut response = page::answer("application/x-ndjson", Body::stream(looking));
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}

/// Everybody's connections are for who says the token; where there is none, for who is on this machine.
fn sees_all(connection: &Connection, uri: &Uri, headers: &HeaderMap) -> bool {
    if let Some(token) = &connection.token {
        return token::says(token, uri, headers);
    }
    let peer = connection.identity.peer().socket_addr();
    let is_here = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    is_here && !PASSED_ON.iter().any(|name| headers.contains_key(name))
}

/// The connection of a request, where its packets can be known by its ends.
fn course(connection: &Connection, version: Version) -> Option<Course> {
    let identity = &connection.identity;
    Some(Course {
        local: identity.local().socket_addr()?,
        peer: identity.peer().socket_addr()?,
        is_quic: version == Version::HTTP_3,
    })
}

/// What a page has made up to know its connections by: `wire=KEY` in a query, or the WebSocket protocol `wire.KEY`.
fn key(uri: &Uri, headers: &HeaderMap) -> Option<ViewKey> {
    let query = uri.query().unwrap_or_default().split('&');
    let in_query = query.filter_map(|pair| pair.strip_prefix("wire="));
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols = protocols.filter_map(|field| field.to_str().ok());
    let names = protocols.flat_map(|field| field.split(','));
    let in_protocols = names.filter_map(|name| name.trim().strip_prefix("wire."));
    in_query.chain(in_protocols).find_map(ViewKey::read)
}

struct Looking {
    lines: Body,
    goodbye: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Looking {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let lines = Pin::new(&mut self.lines).poll_frame(cx);
        match lines {
            // Nobody is kept from stopping by one who looks on.
            Poll::Pending if self.goodbye.as_mut().poll(cx).is_ready() => Poll::Ready(None),
            lines => lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_its_key_where_it_can() {
        let key_of = |uri: &'static str, protocols: Option<&'static str>| {
            let field = protocols.map(|names| {
                let value = HeaderValue::from_static(names);
                (header::SEC_WEBSOCKET_PROTOCOL, value)
            });
            key(&Uri::from_static(uri), &field.into_iter().collect())
        };
        let right = ViewKey::read("0123456789abcdef");
        assert!(right.is_some());
        for (uri, protocols, found) in [
            ("/?token=x&wire=0123456789abcdef", None, right),
            ("/", Some("sockeye, wire.0123456789abcdef"), right),
            ("/?view=json", Some("wire.0123456789abcdef"), right),
            ("/?wire=json", None, None),
            ("/?xwire=0123456789abcdef", None, None),
        ] {
            assert_eq!(key_of(uri, protocols), found, "{uri} {protocols:?}");
        }
    }
}
