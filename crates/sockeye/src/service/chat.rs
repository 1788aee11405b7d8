//! `chat`: everyone who can open any socket is in the same room, and nobody loses a line without being told.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use wire::framing::Framing;

use super::Service;
use crate::error::Result;
use crate::hub::Hub;
use crate::request::{Answer, Body, Request, Response};
use crate::session::{Identity, Session};

mod ask;
mod cutter;
mod doings;
mod json;
mod outlet;
mod parting;
mod query;
mod reply;
mod talk;
mod text;

use query::{Query, View};
use talk::Talk;

/// Rooms in which all sessions of a port meet, whatever carries them.
///
/// People are told plain lines and programs JSON, whichever a session speaks first (docs/CHAT.md).
#[derive(Clone, Debug)]
pub struct Chat {
    hub: Hub,
}

impl Chat {
    /// Lets those who come into the rooms of `hub`.
    pub fn new(hub: Hub) -> Self {
        Self { hub }
    }
}

impl Service for Chat {
    async fn serve(&self, session: Session) -> Result<()> {
        let query = match session.info().request() {
            Some(head) => Query::read(head.uri.query().unwrap_or_default()),
            None => Query::default(),
        };
        let from = session.info().peer().socket_addr().map(|peer| peer.ip());
        let talk = Talk::new(self.hub.member(from), session, query);
        // What a session needs for its commands is not held while it is silent.
        talk.run().await
    }

    async fn http(&self, request: Request) -> Result<Answer> {
        let query = Query::read(request.uri().query().unwrap_or_default());
        Ok(match query.view {
            Some(View::Events) => Answer::Response(events(&self.hub, &request, query)),
            _ => Answer::Session(request),
        })
    }

    fn speaks_first(&self) -> bool {
        true
    }

    async fn shutdown(&self) {
        self.hub.close("the server stops");
    }
}

/// The room's lines as server-sent events (WHATWG HTML, section 9.2).
fn events(hub: &Hub, request: &Request, query: Query) -> Response {
    let (near, far) = Session::pair(Framing::Raw);
    let from = request.extensions().get::<Arc<Identity>>();
    let from = from.and_then(|identity| Some(identity.peer().socket_addr()?.ip()));
    let talk = Talk::new(hub.member(from), near, query);
    let mut response = Response::new(Body::stream(Events {
        talk: Some(Box::pin(talk.run())),
        far,
    }));
    *response.status_mut() = StatusCode::OK;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// A body that is written while a session in memory is served.
struct Events {
    talk: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    far: Session,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(talk) = &mut self.talk
            && let Poll::Ready(ended) = talk.as_mut().poll(cx)
        {
            self.talk = None;
            if let Err(error) = ended {
                return Poll::Ready(Some(Err(io::Error::other(error))));
            }
        }
        self.far.poll_recv(cx).map(|received| {
            let message = received.map_err(io::Error::other).transpose()?;
            Some(message.map(|message| Frame::data(message.data)))
        })
    }
}

#[cfg(test)]
mod tests;
