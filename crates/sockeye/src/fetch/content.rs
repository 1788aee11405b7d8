//! The content of an answer: read as it comes, and not taken for whole before it is.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::Options;
use super::coding::Decoder;
use super::facts::{Event, Exchange, Witness};
use super::upload::Progress;
use crate::error::{Error, Operation, Result};
use crate::protocol::tls::TlsClient;
use crate::request::Body;
use crate::session::AnswerHead;

/// The content of an answer. Dropping it before its end closes the connection, or in HTTP/2 ends the stream.
pub struct Content {
    body: Body,
    decoder: Option<Decoder>,
    /// What the head says, in bytes.
    length: Option<u64>,
    /// Whether its end is the end of the connection.
    until_closed: bool,
    exchange: Exchange,
    progress: Arc<Progress>,
    witness: Option<Arc<dyn Witness>>,
    /// Who counts tickets.
    tls: TlsClient,
    over: bool,
}

impl Content {
    pub(super) fn new(
        body: Body,
        head: &AnswerHead,
        exchange: Exchange,
        progress: Arc<Progress>,
        options: &Options,
    ) -> Result<Self> {
        let empty = exchange.method == Method::HEAD
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let decoder = match options.compressed && !empty {
            true => Decoder::of(&head.headers),
            false => Ok(None),
        };
        let decoder = decoder.map_err(|reason| Error::Protocol {
            operation: Operation::Receive,
            address: exchange.location.to_string(),
            reason,
        })?;
        let length = length(&head.headers).filter(|_| !empty);
        let until_closed = !empty
            && head.version < Version::HTTP_2
            && length.is_none()
            && !head.headers.contains_key(TRANSFER_ENCODING);
        Ok(Self {
            body,
            decoder,
            length,
            until_closed,
            exchange,
            progress,
            witness: options.witness.clone(),
            tls: options.dial.tls.clone(),
            over: false,
        })
    }

    /// How many bytes come, if the head says it; what is compressed does not say how much it will be.
    pub fn length(&self) -> Option<u64> {
        self.length.filter(|_| self.decoder.is_none())
    }

    /// What is known of the exchange so far.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// What was known of the exchange when it was left.
    pub(super) fn into_exchange(mut self) -> Exchange {
        self.end(None);
        self.exchange.clone()
    }

    /// The next bytes; `None` when all of it has come. Cancel-safe.
    ///
    /// # Errors
    /// When it broke off: the error says how much came. After an error there is nothing more.
    pub async fn data(&mut self) -> Option<Result<Bytes>> {
        if self.over {
            return None;
        }
        let next = self
            .next()
            .await
            .map_err(|source| Error::io(Operation::Receive, &self.exchange.location, source));
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => {
                self.exchange.whole = true;
                self.end(None);
            }
            Err(error) => self.end(Some(error)),
        }
        next.transpose()
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(data) = decoder.next()?
            {
                return Ok(Some(data));
            }
            let Some(data) = self.piece().await? else {
                if self.was_cut_off() {
                    let words =
                        "the connection ended without close_notify, so something may be missing";
                    return Err(self.broke(io::Error::new(io::ErrorKind::ConnectionAborted, words)));
                }
                if self
                    .length
                    .is_some_and(|length| length != self.exchange.received)
                {
                    let words = "the answer ended too early";
                    return Err(self.broke(io::Error::new(io::ErrorKind::ConnectionAborted, words)));
                }
                let last = match self.decoder.take() {
                    Some(mut decoder) => decoder.finish()?,
                    None => Bytes::new(),
                };
                return Ok((!last.is_empty()).then_some(last));
            };
            self.exchange.received += data.len() as u64;
            match &mut self.decoder {
                Some(decoder) => decoder.push(data),
                None => return Ok(Some(data)),
            }
        }
    }

    /// The next bytes as they come.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let piece = poll_fn(|cx| {
            loop {
                let frame = http_body::Body::poll_frame(Pin::new(&mut self.body), cx);
                let Some(frame) = ready!(frame) else {
                    return Poll::Ready(Ok(None));
                };
                match frame.map(|frame| frame.into_data()) {
                    Ok(Ok(data)) if data.is_empty() => {}
                    Ok(Ok(data)) => return Poll::Ready(Ok(Some(data))),
                    Ok(Err(frame)) => {
                        if let (Some(trailers), Some(witness)) =
                            (frame.trailers_ref(), &self.witness)
                        {
                            witness.saw(&Event::Trailers(trailers));
                        }
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        });
        piece.await.map_err(|error| self.broke(error))
    }

    /// Why it broke, with how much came.
    fn broke(&self, error: io::Error) -> io::Error {
        if let Some(fault) = self
            .exchange
            .connection
            .as_ref()
            .and_then(|reach| reach.fault())
        {
            return fault;
        }
        let came = self.exchange.received;
        let came = match self.length {
            Some(length) => format!("{came} of {length} bytes"),
            None => format!("{came} bytes"),
        };
        let words = error.to_string();
        let words = match words.as_str() {
            "the connection ended before the answer did" => {
                format!("the connection ended after {came}")
            }
            other => format!("{other}, after {came}"),
        };
        io::Error::new(error.kind(), words)
    }

    /// An end that anyone in between could have made (RFC 8446, section 6.1).
    fn was_cut_off(&self) -> bool {
        let reach = self.exchange.connection.as_ref();
        let tls = reach.and_then(|reach| reach.tls.as_ref());
        self.until_closed && tls.is_some_and(|tls| tls.is_cut_off())
    }

    /// Reads what is not wanted, if that is less than `most` bytes, so that the connection can be used again.
    pub async fn pass_over(&mut self, most: u64) {
        self.decoder = None;
        if self.length.is_some_and(|length| length > most) {
            return;
        }
        while self.exchange.received <= most && matches!(self.data().await, Some(Ok(_))) {}
    }

    fn end(&mut self, error: Option<&Error>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.exchange.sent = self.progress.bytes();
        self.exchange.tickets = self.tls.tickets() - self.exchange.tickets_before;
        self.exchange.timings.ended = self.exchange.now();
        if let Some(error) = error {
            self.exchange.fail(error);
        }
        if let Some(witness) = &self.witness {
            witness.saw(&Event::Ended(&self.exchange));
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.end(None);
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    value.trim().parse().ok()
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
