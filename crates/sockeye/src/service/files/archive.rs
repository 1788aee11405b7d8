//! All that is in a folder as one file, made while it is sent.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::offer::Shown;
use super::query::Pack;
use crate::request::Response;
use crate::service::folder::{Root, attachment, refusal};

mod pack;
mod walk;

/// Archives that are made at once: each has a thread, and 3 MiB of memory if it is compressed by zstd.
const AT_ONCE: usize = 16;

/// Bytes that leave the thread at a time.
const PIECE: usize = 64 * 1024;

/// Pieces that wait for a slow client.
const WAITING: usize = 4;

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

pub(super) fn describe(headers: &mut HeaderMap, kind: Pack, name: &[u8]) {
    let kind_header = HeaderValue::from_static(kind.media_type());
    headers.insert(header::CONTENT_TYPE, kind_header);
    let name = attachment(name, kind.extension());
    headers.insert(header::CONTENT_DISPOSITION, name);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The answer when there are enough of them.
pub(super) fn busy() -> Response {
    let why = "Too many archives are being made just now.";
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, why);
    let again = HeaderValue::from_static("10");
    response.headers_mut().insert(header::RETRY_AFTER, again);
    response
}

/// What a thread has made of it.
enum Made {
    Piece(Bytes),
    /// It is whole: one that ends without this has broken off.
    End,
    Failed(io::Error),
}

/// An archive on its way.
pub(super) struct Archive {
    made: Receiver<Made>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Archive {
    /// Of what is in the folder `name`, or what is `shown` of it. `None` when too many are being made.
    pub(super) fn begin(
        root: Arc<Root>,
        name: Vec<u8>,
        kind: Pack,
        with_hidden: bool,
        shown: Option<Shown>,
    ) -> Option<Self> {
        let place = PLACES.clone().try_acquire_owned().ok()?;
        let (sender, made) = channel(WAITING);
        let out = Out {
            sender: sender.clone(),
            piece: Vec::with_capacity(PIECE),
        };
        let work = move || {
            let walk = walk::Walk::begin(&root, name, with_hidden, shown);
            let last = match pack::pack(walk, kind, out) {
                Ok(()) => Made::End,
                Err(error) => Made::Failed(error),
            };
            // Nobody may be left who wants to know.
            let _ = sender.blocking_send(last);
        };
        // It ends by itself when its receiver is gone.
        drop(tokio::task::spawn_blocking(work));
        Some(Self {
            made,
            has_ended: false,
            _place: place,
        })
    }
}

impl Body for Archive {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let made = ready!(self.made.poll_recv(cx));
        if let Some(Made::Piece(piece)) = made {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        self.has_ended = true;
        Poll::Ready(match made {
            Some(Made::Failed(error)) => Some(Err(error)),
            Some(_) => None,
            None => Some(Err(io::Error::other("the archive was not finished"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

/// Where a thread writes the archive to.
struct Out {
    sender: Sender<Made>,
    piece: Vec<u8>,
}

impl Out {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.sender.blocking_send(Made::Piece(piece.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..n]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(n)
    }

    /// The formats flush more often than a client could want.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out {
    /// What is left.
    fn finish(mut self) -> io::Result<()> {
        match self.piece.is_empty() {
            true => Ok(()),
            false => self.send(),
        }
    }
}
