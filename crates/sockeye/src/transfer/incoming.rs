//! What comes: frames and content, read through one buffer.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use wire::transfer::{Frame, MAGIC, Step, decode};

use super::Failure;

/// As much as is read at once: what fits the caches is hashed while it is in them.
const READ: usize = 128 * 1024;

/// How long nothing may come: an end that is busy says so every [`ALIVE`].
const SILENCE: Duration = Duration::from_secs(60);

/// How often an end says that it is there, while it does something else.
pub(super) const ALIVE: Duration = Duration::from_secs(15);

/// A frame, or a piece of the content after one.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Frame),
    /// [`Incoming::data`] has it until the next one is asked for.
    Data,
}

/// One direction of a transfer.
pub(super) struct Incoming<R> {
    io: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Content of the present frame that has not been handed out.
    left: usize,
    /// Content that is handed out now.
    out: usize,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(io: R) -> Self {
        Self {
            io,
            buffer: vec![0; READ],
            start: 0,
            end: 0,
            left: 0,
            out: 0,
        }
    }

    /// Reads until nothing more comes, and keeps nothing.
    pub(super) async fn discard(&mut self) -> io::Result<()> {
        while self.io.read(&mut self.buffer).await? > 0 {}
        Ok(())
    }

    /// The content that was heard.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.out]
    }

    /// Whether the next one is here already, so that nothing has to be said before it is waited for.
    pub(super) fn is_ready(&self) -> bool {
        let rest = &self.buffer[self.start + self.out..self.end];
        match self.left {
            0 => match decode(rest) {
                Ok(Step::NeedMore) => false,
                Ok(Step::Data { skip, .. }) => rest.len() > skip,
                _ => true,
            },
            _ => !rest.is_empty(),
        }
    }

    /// What comes next, in pieces of `most` bytes of content. Cancel-safe.
    pub(super) async fn next(&mut self, most: usize) -> Result<Heard, Failure> {
        self.start += std::mem::take(&mut self.out);
        loop {
            if let Some(heard) = self.take(most)? {
                return Ok(heard);
            }
            if self.fill().await? == 0 {
                return Err(Failure::ended());
            }
        }
    }

    fn take(&mut self, most: usize) -> Result<Option<Heard>, Failure> {
        if self.left == 0 {
            match decode(&self.buffer[self.start..self.end])? {
                Step::NeedMore => return Ok(None),
                Step::Frame { frame, length } => {
                    self.start += length;
                    return Ok(Some(Heard::Frame(frame)));
                }
                Step::Data { skip, length } => {
                    self.start += skip;
                    self.left = length;
                }
            }
        }
        self.out = self.left.min(self.end - self.start).min(most);
        self.left -= self.out;
        Ok((self.out > 0).then_some(Heard::Data))
    }

    /// What both ends say first. What else is said is told as text.
    pub(super) async fn magic(&mut self) -> Result<(), Failure> {
        loop {
            let said = &self.buffer[self.start..self.end];
            let common = said.len().min(MAGIC.len());
            if said[..common] != MAGIC[..common] {
                let line = said.split(|byte| *byte == b'\n').next().unwrap_or(said);
                let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
                return Err(Failure::Foreign(line.trim_end().to_owned()));
            }
            if common == MAGIC.len() {
                self.start += common;
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(Failure::ended());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() || self.start > READ / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let reading = self.io.read(&mut self.buffer[self.end..]);
        let read = tokio::time::timeout(SILENCE, reading).await;
        let n = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        self.end += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::transfer::{encode, encode_data};

    #[tokio::test]
    async fn it_is_the_same_however_it_is_cut() {
        let mut bytes = MAGIC.to_vec();
        encode(&Frame::Hole(7), &mut bytes);
        bytes.extend_from_slice(&encode_data(300_000));
        bytes.extend(vec![5; 300_000]);
        encode(&Frame::Done, &mut bytes);
        for piece in [1, 7, 4096, 1 << 20] {
            let (mut theirs, ours) = tokio::io::duplex(piece);
            let bytes = bytes.clone();
            let said = async move {
                tokio::io::AsyncWriteExt::write_all(&mut theirs, &bytes)
                    .await
                    .unwrap();
            };
            let heard = async {
                let mut incoming = Incoming::new(ours);
                incoming.magic().await.unwrap();
                let first = incoming.next(9).await.unwrap();
                assert!(matches!(first, Heard::Frame(Frame::Hole(7))));
                let mut content = 0;
                loop {
                    match incoming.next(1000).await.unwrap() {
                        Heard::Frame(frame) => {
                            assert_eq!((frame, content), (Frame::Done, 300_000));
                            break;
                        }
                        Heard::Data => {
                            assert!(incoming.data().iter().all(|byte| *byte == 5));
                            assert!((1..=1000).contains(&incoming.data().len()));
                            content += incoming.data().len();
                        }
                    }
                }
                assert!(matches!(incoming.next(1).await, Err(Failure::Cut(_))));
            };
            tokio::join!(said, heard);
        }
    }

    #[tokio::test]
    async fn another_protocol_is_told_by_what_it_says() {
        let said = &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..];
        let failure = Incoming::new(said).magic().await.unwrap_err();
        assert!(
            failure.to_string().contains("HTTP/1.1 400 Bad Request"),
            "{failure}"
        );
        let nothing = Incoming::new(&MAGIC[..3]).magic().await;
        assert!(matches!(nothing, Err(Failure::Cut(_))));
    }
}
