//! A file that is compressed while it is sent.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::coding::Coding;
use super::content::{PIECE, changed, check, read_full};
use super::root::Opened;

/// The one that every client knows; the others are served where they were made beforehand.
pub(in crate::service) const CODING: Coding = Coding::Gzip;

/// Files below fit into one packet as they are; those above keep their length, so that they can be resumed.
const WORTH: std::ops::RangeInclusive<u64> = 1024..=64 * 1024 * 1024;

/// How many files are compressed at once: each takes 300 KiB of memory, and a share of a core. More are sent
/// as they are.
const AT_ONCE: usize = 64;

/// Between 4 and 6 the text of this program shrinks to 27.1, 26.6 and 26.5 %, at 96, 87 and 66 MB/s.
const LEVEL: u32 = 5;

/// Enough to be sent at a time.
const ENOUGH: usize = 16 * 1024;

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// A right to compress.
pub(in crate::service) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// `None` when a file of `len` bytes is better sent as it is.
    pub(in crate::service) fn take(len: u64) -> Option<Self> {
        let permit = || PLACES.clone().try_acquire_owned().ok();
        let _permit = WORTH.contains(&len).then(permit).flatten()?;
        Some(Self { _permit })
    }
}

/// The compressed bytes of a whole file.
pub(in crate::service) struct Packed {
    work: Option<Work>,
    working: Option<JoinHandle<io::Result<Step>>>,
}

/// What a thread takes along to compress the next piece.
struct Work {
    opened: Opened,
    at: u64,
    encoder: GzEncoder<Vec<u8>>,
    buffer: Vec<u8>,
    place: Place,
}

/// What came of it.
struct Step {
    /// The rest, unless it is done.
    work: Option<Work>,
    made: Vec<u8>,
}

impl Packed {
    pub(in crate::service) fn new(opened: Opened, place: Place) -> Self {
        let work = Work {
            opened,
            at: 0,
            encoder: GzEncoder::new(Vec::new(), Compression::new(LEVEL)),
            buffer: Vec::new(),
            place,
        };
        Self {
            work: Some(work),
            working: None,
        }
    }
}

impl Work {
    /// Compresses until there is something to send.
    fn step(mut self) -> io::Result<Step> {
        let Opened { file, facts } = &self.opened;
        self.buffer.resize(PIECE, 0);
        while self.at < facts.len {
            let left = usize::try_from(facts.len - self.at).unwrap_or(PIECE);
            let most = left.min(PIECE);
            if read_full(file, &mut self.buffer[..most], self.at)? < most {
                return Err(changed());
            }
            self.at += most as u64;
            self.encoder.write_all(&self.buffer[..most])?;
            if self.encoder.get_ref().len() >= ENOUGH {
                let made = std::mem::take(self.encoder.get_mut());
                let work = Some(self);
                return Ok(Step { work, made });
            }
        }
        check(file, facts)?;
        let Self { encoder, place, .. } = self;
        drop(place);
        let made = encoder.finish()?;
        Ok(Step { work: None, made })
    }
}

impl Body for Packed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(work) = self.work.take() {
            self.working = Some(tokio::task::spawn_blocking(move || work.step()));
        }
        let Some(working) = &mut self.working else {
            return Poll::Ready(None);
        };
        let done = ready!(Pin::new(working).poll(cx));
        self.working = None;
        let Step { work, made } = done??;
        self.work = work;
        Poll::Ready(Some(Ok(Frame::data(made.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.work.is_none() && self.working.is_none()
    }
}
