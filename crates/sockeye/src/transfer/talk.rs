//! A conversation of two ends that move files: how it begins, and what one says to the other.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::transfer::{Frame, HEAD, Hello, MAGIC, Reason, VERSION, encode, encode_data};

use super::incoming::{ALIVE, Heard, Incoming};
use super::{CHUNK, Failure};
use crate::stream::ByteStream;

/// How long an end waits for the other one's first words, until its own last ones are said, and until the other one has
/// heard them.
const GREETING: Duration = Duration::from_secs(10);
const PARTING: Duration = Duration::from_secs(1);
const LEAVING: Duration = Duration::from_secs(5);

/// Frames gather to this before they leave.
const GATHERED: usize = 64 * 1024;

/// Content from this size on leaves by itself and is not copied to others.
const LARGE: usize = 32 * 1024;

/// A conversation that has begun.
pub struct Talk {
    pub(super) incoming: Incoming<ReadHalf<ByteStream>>,
    pub(super) out: Outgoing,
}

/// One direction of it.
pub(super) struct Outgoing {
    io: WriteHalf<ByteStream>,
    gathered: Vec<u8>,
}

impl Talk {
    /// Begins it as the one who came.
    ///
    /// # Errors
    /// When the other end speaks something else, or will not.
    pub async fn visit(stream: ByteStream, hello: Hello) -> Result<Self, Failure> {
        let mut talk = Self::over(stream);
        talk.out.gathered.extend_from_slice(&MAGIC);
        talk.out.say(&Frame::Hello(hello)).await?;
        talk.out.flush().await?;
        let answered = timeout(GREETING, talk.incoming.magic()).await;
        answered.unwrap_or(Err(Failure::Silent(GREETING)))?;
        talk.welcomed().await?;
        Ok(talk)
    }

    /// This may take longer: the same transfer by an earlier connection has to bring to an end what it holds.
    async fn welcomed(&mut self) -> Result<(), Failure> {
        match self.incoming.next(CHUNK).await? {
            Heard::Frame(Frame::Welcome { version: VERSION }) => Ok(()),
            Heard::Frame(Frame::Error { reason, text }) => Err(Failure::Refused { reason, text }),
            _ => Err(Failure::protocol("it does not say that it is ready")),
        }
    }

    /// Begins it as the one who was there: what the other one wants. It is to be [`admit`](Self::admit)ted or
    /// [`refuse`](Self::refuse)d.
    ///
    /// # Errors
    /// When it speaks something else, or nothing in time.
    pub async fn host(stream: ByteStream) -> Result<(Self, Hello), Failure> {
        let mut talk = Self::over(stream);
        let greeting = async {
            talk.incoming.magic().await?;
            talk.out.gathered.extend_from_slice(&MAGIC);
            talk.out.flush().await?;
            match talk.incoming.next(CHUNK).await? {
                Heard::Frame(Frame::Hello(hello)) => Ok(hello),
                _ => Err(Failure::protocol("it does not say what it wants")),
            }
        };
        let greeted = timeout(GREETING, greeting).await;
        let late = || Failure::Cut(io::ErrorKind::TimedOut.into());
        match greeted.unwrap_or_else(|_| Err(late())) {
            Ok(hello) if hello.version >= VERSION => Ok((talk, hello)),
            Ok(hello) => {
                let text = format!("version {} is not spoken here any more", hello.version);
                talk.refuse(Reason::Version, &text).await;
                Err(Failure::Protocol(text))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Says that it goes on.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn admit(&mut self) -> Result<(), Failure> {
        self.out.say(&Frame::Welcome { version: VERSION }).await?;
        Ok(self.out.flush().await?)
    }

    /// Says why it does not, and ends it.
    pub async fn refuse(mut self, reason: Reason, text: &str) {
        self.out.complain(reason, text).await;
        self.part().await;
    }

    /// Ends it, so that the other end hears what was said last. All that it has on its way until then is thrown away:
    /// closing with unread input would make the kernel send RST, which can destroy our last words (RFC 1122, section
    /// 4.2.2.13).
    pub async fn part(mut self) {
        let parting = async {
            self.out.io.shutdown().await?;
            self.incoming.discard().await
        };
        // Whoever has left has heard what it wanted to hear.
        let _ = timeout(LEAVING, parting).await;
    }

    /// Ends one that came to `done`. Whoever caused a failure, or has gone, waits for no words.
    ///
    /// # Errors
    /// What `done` says.
    pub async fn ended<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        if !matches!(done, Err(Failure::Cut(_) | Failure::Refused { .. })) {
            self.part().await;
        }
        done
    }

    fn over(stream: ByteStream) -> Self {
        let (reader, writer) = split(stream);
        Self {
            incoming: Incoming::new(reader),
            out: Outgoing {
                io: writer,
                gathered: Vec::new(),
            },
        }
    }
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").finish_non_exhaustive()
    }
}

impl Outgoing {
    /// It leaves with others, when much has gathered or with the next flush.
    pub(super) async fn say(&mut self, frame: &Frame) -> io::Result<()> {
        encode(frame, &mut self.gathered);
        self.leave_if_much().await
    }

    /// Says content, which stands in `piece` after room for its head.
    pub(super) async fn data(&mut self, piece: &mut [u8]) -> io::Result<()> {
        let head = encode_data(piece.len() - HEAD);
        piece[..HEAD].copy_from_slice(&head);
        if piece.len() < LARGE {
            self.gathered.extend_from_slice(piece);
            return self.leave_if_much().await;
        }
        self.leave().await?;
        self.io.write_all(piece).await
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.leave().await?;
        self.io.flush().await
    }

    /// Does what takes its time on a thread that may wait, and says meanwhile that we are there.
    pub(super) async fn apart<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.until(tokio::task::spawn_blocking(work)).await
    }

    /// Waits for what goes on elsewhere, and says meanwhile that we are there.
    pub(super) async fn until<T>(&mut self, mut working: JoinHandle<T>) -> Result<T, Failure> {
        loop {
            match timeout(ALIVE, &mut working).await {
                Ok(done) => return done.map_err(|error| Failure::Cut(io::Error::other(error))),
                Err(_) => self.alive().await?,
            }
        }
    }

    /// Says that we are there.
    pub(super) async fn alive(&mut self) -> io::Result<()> {
        self.say(&Frame::Later).await?;
        self.flush().await
    }

    /// Whether something waits for a flush.
    pub(super) fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// The last words of an end that cannot go on.
    pub(super) async fn complain(&mut self, reason: Reason, text: &str) {
        let text = text.to_owned();
        let said = async {
            self.say(&Frame::Error { reason, text }).await?;
            self.flush().await
        };
        // It is said if it can be heard.
        let _ = timeout(PARTING, said).await;
    }

    async fn leave_if_much(&mut self) -> io::Result<()> {
        match self.gathered.len() >= GATHERED {
            true => self.leave().await,
            false => Ok(()),
        }
    }

    async fn leave(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.io.write_all(&self.gathered).await?;
            self.gathered.clear();
        }
        Ok(())
    }
}
