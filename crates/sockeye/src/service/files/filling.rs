//! The body of a request on its way into a file.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::JoinHandle;

use super::trouble::Trouble;
use crate::request::Body;
use crate::transfer::{Fault, Landing};

/// Bytes that are written at a time, on a thread that may wait for the disk. While they are, the next ones come.
const ENOUGH: usize = 256 * 1024;

/// Where the bytes go. It is taken along to the thread that writes and so stays locked until that is done, whatever
/// becomes of the request.
pub(super) type Place = OwnedMutexGuard<Option<Landing>>;

/// A file that a request writes.
pub(super) struct Filling {
    /// `None` while a thread has it.
    place: Option<Place>,
    writing: Option<JoinHandle<(Place, Result<(), Fault>)>>,
    ahead: Vec<Bytes>,
    length: usize,
    /// How many bytes may still come.
    room: u64,
    /// How many bytes there are, for whoever asks meanwhile.
    progress: Arc<AtomicU64>,
}

impl Filling {
    pub(super) fn new(place: Place, room: u64, progress: Arc<AtomicU64>) -> Self {
        Self {
            place: Some(place),
            writing: None,
            ahead: Vec::new(),
            length: 0,
            room,
            progress,
        }
    }

    /// Writes what comes, to its end. What came before it broke off is written, too.
    ///
    /// # Errors
    /// When the body breaks off, nothing more can be written, or `over` says that somebody else goes on.
    pub(super) async fn take(
        &mut self,
        body: &mut Body,
        over: &mut watch::Receiver<()>,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), Trouble> {
        let came = loop {
            match next(body, over).await {
                Came::Piece(piece) if piece.len() as u64 > self.room => {
                    break Err(Trouble::TooLarge);
                }
                Came::Piece(piece) => {
                    self.room -= piece.len() as u64;
                    see(&piece);
                    self.length += piece.len();
                    self.ahead.push(piece);
                    if self.length >= ENOUGH {
                        self.written().await?;
                        self.write();
                    }
                }
                Came::End => break Ok(()),
                Came::Broken(error) => break Err(Trouble::Broken(error)),
                Came::Over => break Err(Trouble::Over),
            }
        };
        self.written().await?;
        self.write();
        self.written().await?;
        came
    }

    /// Gives the place back, once nobody writes there.
    pub(super) async fn into_place(mut self) -> Result<Place, Trouble> {
        self.written().await?;
        self.place.take().ok_or(Trouble::Lost)
    }

    /// Waits for what is being written.
    async fn written(&mut self) -> Result<(), Trouble> {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let (place, written) = writing.await.map_err(|_| Trouble::Lost)?;
        self.writing = None;
        self.place = Some(place);
        Ok(written?)
    }

    fn write(&mut self) {
        if self.ahead.is_empty() {
            return;
        }
        let Some(mut place) = self.place.take() else {
            return;
        };
        let pieces = std::mem::take(&mut self.ahead);
        self.length = 0;
        let progress = self.progress.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = match &mut *place {
                Some(landing) => {
                    let written = pieces.iter().try_for_each(|piece| landing.write(piece));
                    progress.store(landing.len(), Relaxed);
                    written
                }
                None => Ok(()),
            };
            (place, written)
        }));
    }
}

impl Drop for Filling {
    /// A client that is gone takes the request with it; what it has sent stays.
    fn drop(&mut self) {
        if self.writing.is_none() {
            self.write();
        }
    }
}

enum Came {
    Piece(Bytes),
    End,
    Broken(std::io::Error),
    Over,
}

async fn next(body: &mut Body, over: &mut watch::Receiver<()>) -> Came {
    let mut over = pin!(over.changed());
    let mut data = pin!(body.data());
    poll_fn(|cx| {
        if let Poll::Ready(came) = data.as_mut().poll(cx) {
            return Poll::Ready(match came {
                Some(Ok(piece)) => Came::Piece(piece),
                Some(Err(error)) => Came::Broken(error),
                None => Came::End,
            });
        }
        over.as_mut().poll(cx).map(|_| Came::Over)
    })
    .await
}
