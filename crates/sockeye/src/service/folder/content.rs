//! The bytes of a file on their way: read as the client takes them, one piece at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use super::root::{Facts, Opened};

/// The largest piece. Each costs two system calls and wakes the client, which 64 KiB do not pay for (0.42 s of
/// CPU for a GB, against 0.35 with 128 KiB); with 256 KiB little more is gained.
pub(in crate::service) const PIECE: usize = 128 * 1024;

/// Reads a file without ever making the runtime wait for a disk.
#[derive(Clone, Debug)]
pub(in crate::service) struct Reader {
    pub(in crate::service) opened: Opened,
    way: Way,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// At once, as long as the kernel has it in memory, and else on a thread that may wait.
    Cached,
    /// At once: all of its file system is memory.
    Memory,
    /// On a thread that may wait: the file system cannot say whether it has it.
    Thread,
}

impl Reader {
    pub(in crate::service) fn new(opened: Opened) -> Self {
        let way = Way::Cached;
        Self { opened, way }
    }

    /// Reads at `at` into `buffer`, if that can be done at once. 0 bytes: the end of the file.
    fn read_now(&mut self, buffer: &mut [u8], at: u64) -> Option<io::Result<usize>> {
        let file = &*self.opened.file;
        loop {
            let read = match self.way {
                Way::Thread => return None,
                Way::Memory => file.read_at(buffer, at),
                Way::Cached => {
                    let into = &mut [IoSliceMut::new(buffer)];
                    preadv2(file, into, at, ReadWriteFlags::NOWAIT).map_err(io::Error::from)
                }
            };
            match read.as_ref().map_err(Errno::from_io_error) {
                Err(Some(Errno::INTR)) => {}
                Err(Some(Errno::AGAIN)) => return None,
                Err(Some(Errno::OPNOTSUPP)) if self.way == Way::Cached => {
                    self.way = match is_memory(file) {
                        true => Way::Memory,
                        false => Way::Thread,
                    };
                }
                _ => return Some(read),
            }
        }
    }

    /// Reads until `buffer` is full or the file ends.
    pub(in crate::service) async fn fill(
        &mut self,
        buffer: Vec<u8>,
        at: u64,
    ) -> io::Result<Vec<u8>> {
        let mut buffer = buffer;
        let mut filled = 0;
        while let Some(read) = self.read_now(&mut buffer[filled..], at + filled as u64) {
            match read? {
                0 => break,
                n => filled += n,
            }
            if filled == buffer.len() {
                break;
            }
        }
        if filled == buffer.len() {
            return Ok(buffer);
        }
        let file = self.opened.file.clone();
        let reading = move || {
            let filled = read_full(&file, &mut buffer, at)?;
            buffer.truncate(filled);
            Ok(buffer)
        };
        tokio::task::spawn_blocking(reading).await?
    }

    /// Whether what was read belongs to the state in which the file was opened.
    pub(in crate::service) fn check(&self) -> io::Result<()> {
        check(&self.opened.file, &self.opened.facts)
    }
}

/// # Errors
/// When `file` is not what it was when it was opened.
pub(in crate::service) fn check(file: &File, facts: &Facts) -> io::Result<()> {
    match facts.still_holds(&Facts::of(&file.metadata()?)) {
        true => Ok(()),
        false => Err(changed()),
    }
}

pub(in crate::service) fn changed() -> io::Error {
    let why = "the file was changed while it was sent";
    io::Error::new(io::ErrorKind::ResourceBusy, why)
}

/// Reads until `buffer` is full or the file ends, on a thread that may wait.
pub(in crate::service) fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn is_memory(file: &File) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::fstatfs(file).is_ok_and(|system| matches!(system.f_type, TMPFS | RAMFS))
}

/// A part of a body.
#[derive(Debug)]
pub(in crate::service) enum Part {
    /// These bytes.
    Text(Bytes),
    /// Bytes of the file.
    Span(Range<u64>),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Span(span) => span.end - span.start,
        }
    }
}

/// Parts of a file, and what stands between them.
///
/// A piece is read when it is asked for, into the buffer of one that has been sent. So the sender decides how
/// much waits for a slow client, and one that has left costs no more reading.
pub(in crate::service) struct Content {
    reader: Reader,
    parts: VecDeque<Part>,
    /// Bytes that are still to come.
    left: u64,
    spare: Arc<Spare>,
    reading: Option<JoinHandle<io::Result<Read>>>,
}

/// What a thread has read.
struct Read {
    buffer: Vec<u8>,
    len: usize,
}

impl Content {
    pub(in crate::service) fn new(reader: Reader, parts: Vec<Part>) -> Self {
        let mut parts = VecDeque::from(parts);
        parts.retain(|part| part.len() > 0);
        Self {
            left: parts.iter().map(Part::len).sum(),
            reader,
            parts,
            spare: Arc::default(),
            reading: None,
        }
    }

    /// Bytes that are still to come.
    pub(in crate::service) fn len(&self) -> u64 {
        self.left
    }

    /// All of it at once.
    pub(in crate::service) async fn into_whole(self) -> io::Result<Bytes> {
        let mut content = self;
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)).await {
            let data = frame?.into_data().unwrap_or_default();
            if content.is_end_stream() && whole.is_empty() {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// Up to `most` bytes of the file, from `at`.
    fn poll_read(
        &mut self,
        at: u64,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Filled>> {
        let Read { buffer, len } = match &mut self.reading {
            Some(reading) => {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                read??
            }
            None => {
                let mut buffer = self.spare.take();
                buffer.resize(most.max(buffer.len()), 0);
                match self.reader.read_now(&mut buffer[..most], at) {
                    Some(read) => Read { len: read?, buffer },
                    None => {
                        let file = self.reader.opened.file.clone();
                        let reading = move || {
                            let len = read_full(&file, &mut buffer[..most], at)?;
                            Ok(Read { buffer, len })
                        };
                        self.reading = Some(tokio::task::spawn_blocking(reading));
                        return self.poll_read(at, most, cx);
                    }
                }
            }
        };
        let home = self.spare.clone();
        Poll::Ready(Ok(Filled { buffer, len, home }))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let span = match this.parts.front_mut() {
            None => return Poll::Ready(None),
            Some(Part::Span(span)) => span.clone(),
            Some(Part::Text(text)) => {
                let text = std::mem::take(text);
                this.parts.pop_front();
                this.left -= text.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
        };
        let most = usize::try_from(span.end - span.start).unwrap_or(PIECE);
        let filled = ready!(this.poll_read(span.start, most.min(PIECE), cx))?;
        let (n, next) = (filled.len as u64, span.start + filled.len as u64);
        if n == 0 {
            return Poll::Ready(Some(Err(changed())));
        }
        this.left -= n;
        match next == span.end {
            true => drop(this.parts.pop_front()),
            false => this.parts[0] = Part::Span(next..span.end),
        }
        if !this.parts.iter().any(|part| matches!(part, Part::Span(_))) {
            // Before the last bytes leave: without them the client knows that it has not got all.
            this.reader.check()?;
        }
        Poll::Ready(Some(Ok(Frame::data(filled.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The buffer of a body that nobody has.
#[derive(Default)]
struct Spare(Mutex<Option<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.take().unwrap_or_default()
    }
}

/// A piece on its way to the client; its buffer comes back when it has been sent.
struct Filled {
    buffer: Vec<u8>,
    len: usize,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl From<Filled> for Bytes {
    fn from(filled: Filled) -> Self {
        Self::from_owner(filled)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut spare = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = Some(std::mem::take(&mut self.buffer));
    }
}
