//! One request and its answer over a connection.

use std::io;
use std::sync::Arc;

use http::Request;
use tokio::time::Instant;

use super::content::Content;
use super::facts::{Event, Exchange};
use super::upload::{Counted, Progress};
use super::{Connection, Options, Order};
use crate::error::{Error, Operation, Result};
use crate::protocol::http::{on_interim, reason};
use crate::request::Body;
use crate::session::{AnswerHead, RequestHead};

/// Sends the request, and gives the head of the answer when it has come.
///
/// # Errors
/// When the content cannot be read, the connection breaks, or what comes is no HTTP.
pub(super) async fn ask(
    connection: &mut Connection,
    order: &Order,
    exchange: &mut Exchange,
    options: &Options,
) -> Result<(AnswerHead, Content)> {
    let (body, length) = order.payload.body().await?;
    let mut head = order.head(connection.reach.version, length, options.compressed)?;
    connection.address(&mut head);
    let progress = Arc::new(Progress::default());
    let request = request(&head, body, length, &progress, options);
    exchange.timings.ready = exchange.now();
    options.tell(&Event::Asked(&head));
    let sending = connection.send(request, exchange, options).await;
    let response = sending.map_err(|source| {
        exchange.sent = progress.bytes();
        let source = connection.reach.fault().unwrap_or(source);
        Error::io(Operation::Receive, &order.location, unanswered(source))
    })?;
    exchange.timings.answered = exchange.now();
    let sent = match length {
        Some(0) => exchange.timings.ready,
        // Where the answer did not wait for all of the request, the request is over now.
        _ => Some(progress.ended().unwrap_or_else(Instant::now) - exchange.began),
    };
    exchange.timings.sent = sent;
    let (parts, body) = response.into_parts();
    exchange.status = Some(parts.status);
    let head = AnswerHead {
        version: parts.version,
        status: parts.status,
        reason: reason(&parts.extensions),
        headers: parts.headers,
    };
    options.tell(&Event::Heard(&head));
    // Whoever has proven who it is may say where else it is (RFC 7838, section 2.1).
    if let Some(alternatives) = options
        .alternatives
        .as_ref()
        .filter(|_| order.location.is_secure())
        && let Some(place) = alternatives.hear(&order.location, &head.headers)
    {
        options.tell(&Event::Alternative(&place));
    }
    let content = Content::new(body, &head, exchange.clone(), progress, options)?;
    Ok((head, content))
}

fn request(
    head: &RequestHead,
    body: Body,
    length: Option<u64>,
    progress: &Arc<Progress>,
    options: &Options,
) -> Request<Body> {
    let body = match length {
        Some(0) => body,
        _ => Body::stream(Counted {
            body,
            progress: progress.clone(),
        }),
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers.clone();
    if let Some(witness) = options.witness.clone() {
        on_interim(&mut request, move |status, headers| {
            witness.saw(&Event::Interim { status, headers });
        });
    }
    request
}

/// What a connection says that broke before there was an answer.
fn unanswered(source: io::Error) -> io::Error {
    match source.kind() {
        io::ErrorKind::ConnectionAborted
            if source.to_string().starts_with("the connection ended") =>
        {
            io::Error::new(source.kind(), "the connection ended without an answer")
        }
        _ => source,
    }
}
