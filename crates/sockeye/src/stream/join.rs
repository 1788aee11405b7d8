//! Two byte streams joined: what comes from one goes to the other, both ways, until both have ended.
//!
//! Between two kernel sockets bulk data is moved by `splice` (see [`pipe`]), everything else by copying.
//! Either way a direction that rests owns neither a buffer nor a pipe.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};

use super::{ByteStream, DRAIN, Io, LastLook, Source, drain, poll_fill};

mod pipe;

use pipe::Pipe;

/// How long a join whose one direction has ended lives on in silence, unless told otherwise: 60 s.
pub const HALF_OPEN: Duration = Duration::from_secs(60);

/// Bytes of one direction after which it is taken for bulk, which is worth a pipe.
const BULK: u64 = 256 * 1024;

/// Bytes that two joined ends said to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the first end to the second.
    pub forth: u64,
    /// From the second end to the first.
    pub back: u64,
}

impl ByteStream {
    /// Joins two streams: what comes from one goes to the other, both ways, until both have ended.
    ///
    /// The end of one direction is passed on as such, and the other direction goes on. From then on
    /// `half_open` of silence ends both. A stream that breaks ends both, and the other TCP end is reset:
    /// nobody shall take half of something for the whole.
    ///
    /// # Errors
    /// When a stream broke. What was counted has been handed to the kernel.
    pub async fn join(self, other: Self, half_open: Duration) -> io::Result<Traffic> {
        let mut joint = Joint::new(self, other);
        let ended = poll_fn(|cx| joint.poll(cx, [State::default(); 2], |_| Some(half_open))).await;
        let traffic = joint.traffic();
        match joint.close(ended, DRAIN).await {
            Some(broken) => Err(broken.error),
            None => Ok(traffic),
        }
    }

    fn is_socket(&self) -> bool {
        matches!(self.io, Io::Tcp(_) | Io::Unix(_))
    }

    /// From here on closing it tells the peer that this is no orderly end. What is still to be sent is
    /// lost then, and TCP alone can say so.
    pub(crate) fn reset_on_close(&self) {
        if let Io::Tcp(tcp) = &self.io {
            // A socket that refuses is closed in the ordinary way.
            let _ = tcp.set_zero_linger();
        }
    }
}

/// Two streams and the two directions between them.
pub(crate) struct Joint {
    ends: [ByteStream; 2],
    /// The first goes from the first end to the second.
    flows: [Flow; 2],
    silence: Silence,
}

/// What is known of one end from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// What has arrived is passed on, and more is not waited for.
    pub(crate) stopping: bool,
    /// It takes nothing any more, although it never said so: a process that has ended.
    pub(crate) gone: bool,
}

/// How a join ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Both directions have, each in its own way.
    Both,
    /// One direction has, and then nothing happened for too long.
    HalfOpen,
    /// An end broke, so that what the other has got is not all.
    Broken(Broken),
}

/// An end that broke: `side` counts from 0.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) side: usize,
    /// It broke while it was written to.
    pub(crate) writing: bool,
    pub(crate) error: io::Error,
}

impl Joint {
    pub(crate) fn new(first: ByteStream, second: ByteStream) -> Self {
        let in_kernel = first.is_socket() && second.is_socket();
        let flows = [Flow::new(in_kernel), Flow::new(in_kernel)];
        Self {
            ends: [first, second],
            flows,
            silence: Silence::default(),
        }
    }

    /// Moves what can be moved. `patience` says how long it may be silent when these directions are over;
    /// for ever when `None`.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        states: [State; 2],
        patience: impl FnOnce([bool; 2]) -> Option<Duration>,
    ) -> Poll<Ended> {
        for side in [0, 1] {
            if !self.flows[side].is_over()
                && let Poll::Ready(ended) = self.poll_flow(side, states[side].stopping, cx)
            {
                return Poll::Ready(ended);
            }
        }
        let over = [0, 1].map(|side: usize| self.flows[side].is_over());
        let pointless = |side: usize| states[side].gone && over[side];
        if over == [true; 2] || pointless(0) || pointless(1) {
            return Poll::Ready(Ended::Both);
        }
        if over == [false; 2] {
            return Poll::Pending;
        }
        let Some(limit) = patience(over) else {
            return Poll::Pending;
        };
        let Traffic { forth, back } = self.traffic();
        ready!(self.silence.poll_over(cx, forth + back, limit));
        Poll::Ready(Ended::HalfOpen)
    }

    /// Ready only when that ends the whole.
    fn poll_flow(&mut self, side: usize, stopping: bool, cx: &mut Context<'_>) -> Poll<Ended> {
        let [first, second] = &mut self.ends;
        let (from, to) = match side {
            0 => (first, second),
            _ => (second, first),
        };
        let error = match ready!(self.flows[side].poll(from, to, stopping, cx)) {
            Ok(()) => return Poll::Pending,
            Err(Trouble::Writing(error)) => {
                // It may still have something to say, such as why it takes no more.
                self.flows[1 - side].is_suspect = error.kind() == io::ErrorKind::ConnectionReset;
                self.flows[side].give_up(error);
                return Poll::Pending;
            }
            Err(Trouble::Reading(error)) => error,
        };
        Poll::Ready(Ended::Broken(Broken {
            side,
            writing: false,
            error,
        }))
    }

    /// Whether nothing more is passed on from that end.
    pub(crate) fn is_over(&self, side: usize) -> bool {
        self.flows[side].is_over()
    }

    /// Whether that end has said that it will send no more.
    pub(crate) fn has_finished(&self, side: usize) -> bool {
        self.flows[side].finished
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            forth: self.flows[0].moved,
            back: self.flows[1].moved,
        }
    }

    /// Closes both ends as `ended` asks for, and says which of them broke. Reads on for `longest` from an
    /// end that has not finished, so that the last answer to it is not destroyed (see [`drain`]).
    pub(crate) async fn close(mut self, ended: Ended, longest: Duration) -> Option<Broken> {
        match ended {
            Ended::Broken(broken) => {
                self.ends[1 - broken.side].reset_on_close();
                return Some(broken);
            }
            // Each may be waiting for the other, and shall not take the end of that for all there was.
            Ended::HalfOpen => self.ends.iter().for_each(ByteStream::reset_on_close),
            Ended::Both => {
                for (end, flow) in self.ends.iter_mut().zip(&self.flows) {
                    if !flow.finished {
                        drain(&mut end.io, &mut end.head, longest).await;
                    }
                }
            }
        }
        let mut flows = self.flows.into_iter().enumerate();
        flows.find_map(|(side, flow)| {
            Some(Broken {
                side: 1 - side,
                writing: true,
                error: flow.write_error?,
            })
        })
    }
}

/// One direction.
struct Flow {
    moved: u64,
    /// What was read last is not all written.
    carries: bool,
    /// Written and not flushed.
    unflushed: bool,
    /// Nothing more is read.
    ended: bool,
    /// The end was read.
    finished: bool,
    /// The end was passed on.
    over: bool,
    /// The end that is read from was reset while it was written to: an end of stream that comes now is
    /// none, only what the kernel says of a socket whose error was already told (tcp(7)).
    is_suspect: bool,
    write_error: Option<io::Error>,
    /// Both ends are sockets, and splicing has not failed.
    splices: bool,
    pipe: Option<Pipe>,
    /// Taken when it is to end.
    last_look: LastLook,
}

enum Trouble {
    Reading(io::Error),
    Writing(io::Error),
}

impl Flow {
    fn new(splices: bool) -> Self {
        Self {
            moved: 0,
            carries: false,
            unflushed: false,
            ended: false,
            finished: false,
            over: false,
            is_suspect: false,
            write_error: None,
            splices,
            pipe: None,
            last_look: LastLook::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.over || self.write_error.is_some()
    }

    fn poll(
        &mut self,
        from: &mut ByteStream,
        to: &mut ByteStream,
        stopping: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        if self.moved == 0 && !self.carries && !from.head.is_empty() {
            // Read ahead by whoever had the stream before.
            self.took(from, from.head.len());
        }
        loop {
            ready!(self.poll_deliver(from, to, cx)).map_err(Trouble::Writing)?;
            if self.ended {
                self.rest();
                ready!(poll_finish(&mut to.io, cx)).map_err(Trouble::Writing)?;
                self.over = true;
                return Poll::Ready(Ok(()));
            }
            match self.poll_take(from, cx) {
                Poll::Ready(Ok(0)) if self.is_suspect => {
                    let reset = io::ErrorKind::ConnectionReset.into();
                    return Poll::Ready(Err(Trouble::Reading(reset)));
                }
                Poll::Ready(Ok(0)) => (self.ended, self.finished) = (true, true),
                Poll::Ready(Ok(n)) => {
                    if let Some(counters) = from.counters() {
                        counters.add_bytes_in(n);
                    }
                    self.took(from, n);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Trouble::Reading(error))),
                Poll::Pending => {
                    self.poll_flush(to, cx).map_err(Trouble::Writing)?;
                    if stopping && let Poll::Ready(again) = self.last_look.poll_again(&from.io, cx)
                    {
                        self.ended = !again;
                    } else {
                        self.rest();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn took(&mut self, from: &ByteStream, n: usize) {
        self.moved += n as u64;
        self.carries = true;
        if let Some(counters) = from.counters() {
            counters.add_message_in();
        }
    }

    /// Reads once, into the pipe or into `from.head`, both of which are empty.
    fn poll_take(
        &mut self,
        from: &mut ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.splices && self.moved >= BULK {
            if self.pipe.is_none() {
                // Only when there is something to carry.
                ready!(from.io.poll_readable(cx))?;
                self.pipe = Pipe::take();
            }
            if let Some(pipe) = &mut self.pipe {
                match ready!(pipe.poll_fill(&from.io, cx)) {
                    Err(error) if pipe::is_unable(&error) => self.splices = false,
                    filled => return Poll::Ready(filled),
                }
            }
        }
        poll_fill(&mut from.io, &mut from.head, cx)
    }

    /// Writes all that was read.
    fn poll_deliver(
        &mut self,
        from: &mut ByteStream,
        to: &mut ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.carries {
            return Poll::Ready(Ok(()));
        }
        loop {
            let written = match &mut self.pipe {
                Some(pipe) if pipe.holds_any() => ready!(pipe.poll_empty(&to.io, cx)),
                _ if from.head.is_empty() => break,
                _ => {
                    let written = ready!(Pin::new(&mut to.io).poll_write(cx, &from.head));
                    if let Ok(n) = written {
                        from.head.advance(n);
                    }
                    written
                }
            };
            match written {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => to.count_out(n),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        from.head = BytesMut::new();
        self.carries = false;
        self.unflushed = true;
        if let Some(counters) = to.counters() {
            counters.add_message_out();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, to: &mut ByteStream, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut to.io).poll_flush(cx)
        {
            self.unflushed = false;
            flushed?;
        }
        Ok(())
    }

    /// What was read cannot be delivered.
    fn give_up(&mut self, error: io::Error) {
        self.write_error = Some(error);
        self.pipe = None;
    }

    /// Nothing is there to be moved: others may have the pipe.
    fn rest(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
    }
}

/// Ends our direction. A peer that has already gone is no error: there is nobody left to tell.
fn poll_finish(io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match ready!(Pin::new(io).poll_shutdown(cx)) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        finished => Poll::Ready(finished),
    }
}

/// How long nothing has happened.
#[derive(Default)]
pub(crate) struct Silence {
    seen: u64,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Ready when `progress` has stayed the same for `limit`, from the first call on.
    pub(crate) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        progress: u64,
        limit: Duration,
    ) -> Poll<()> {
        let since = match self.since {
            Some(since) if self.seen == progress => since,
            _ => Instant::now(),
        };
        (self.seen, self.since) = (progress, Some(since));
        let due = since + limit;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // One that fires too early is cheaper than one that is moved with every byte.
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests;
