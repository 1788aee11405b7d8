//! Two sessions joined: whatever carries them, what one peer says the other hears, until both have ended.
//!
//! Between two byte streams the bytes go through as they are. Otherwise messages do: packets keep their
//! boundaries and their kind, and become bytes by the framing of the other side.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Carrier, Info, Message, Receiver, Sender, Session};
use crate::error::{Error, Operation, Result};
use crate::stream::join::{Broken, Ended, HALF_OPEN, Joint, Silence, State, Traffic};
use crate::stream::{DRAIN, DRAIN_STOPPING};

/// How two sessions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinOptions {
    /// How long a join whose one direction has ended lives on in silence. A second at the most where the
    /// other direction has no end of its own (datagrams); without limit where it comes from a process
    /// that is still at work.
    pub half_open: Duration,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            half_open: HALF_OPEN,
        }
    }
}

/// Datagrams have no end: after the other direction's this much silence is taken for it.
const LINGER: Duration = Duration::from_secs(1);

/// While shutting down nobody is waited for longer than this.
const STOPPING: Duration = Duration::from_secs(1);

/// What one read of a byte stream gave goes into datagrams of this size at most: the largest that UDP
/// carries (RFC 768, RFC 791).
const DATAGRAM: usize = 65_507;

impl Session {
    /// Joins two sessions until both directions have ended.
    ///
    /// The end of one direction is passed on and the other goes on. A session that breaks ends both.
    /// Nothing is cut short silently: when one side breaks, a TCP peer on the other is reset.
    ///
    /// # Errors
    /// When a session broke or was silent for too long, a message does not fit the other carrier, or a peer
    /// that is a process failed.
    pub fn join(
        self,
        other: Self,
        options: JoinOptions,
    ) -> impl Future<Output = Result<Traffic>> + Send {
        let parties = Parties {
            infos: [self.info.clone(), other.info.clone()],
            half_open: options.half_open,
        };
        // Boxed: two kinds, and whoever joins need not have room for the larger one.
        let joined: BoxFuture<'static, _> = if self.is_alike(&other) {
            Box::pin(parties.join_bytes(self, other))
        } else {
            Box::pin(parties.join_messages(self, other))
        };
        joined
    }

    /// Whether the bytes of one mean the same in the other.
    fn is_alike(&self, other: &Self) -> bool {
        match (&self.carrier, &other.carrier) {
            (Carrier::Bytes(one), Carrier::Bytes(two)) => {
                one.inbox.framing() == two.inbox.framing()
            }
            _ => false,
        }
    }
}

/// Who is joined.
struct Parties {
    infos: [Arc<Info>; 2],
    half_open: Duration,
}

/// A direction of messages is over.
enum Passed {
    /// With the end of its source.
    All,
    /// Its source broke.
    Unread(Error),
    /// Its destination broke, or does not take such a message.
    Unwritten(Error),
}

impl Parties {
    async fn join_bytes(self, first: Session, second: Session) -> Result<Traffic> {
        let mut joint = Joint::new(first.into_stream(), second.into_stream());
        let mut fates = Fates::of(&self.infos);
        let ended = poll_fn(|cx| {
            let gone = fates.poll(cx);
            let states = [0, 1].map(|side| State {
                stopping: self.infos[side].is_stopping(),
                gone: gone[side],
            });
            let polled = joint.poll(cx, states, |over| self.patience(over, gone));
            for (side, info) in self.infos.iter().enumerate() {
                if joint.has_finished(side) && !info.peer_has_finished() {
                    info.note_received(None);
                }
            }
            polled
        })
        .await;
        let traffic = joint.traffic();
        let silent = match &ended {
            Ended::HalfOpen => self.silent([0, 1].map(|side| joint.is_over(side))),
            _ => None,
        };
        // Before the streams are closed: a process that has said all may still be at work.
        let verdict = self.verdict(matches!(ended, Ended::Both)).await;
        if let Some(broken) = joint.close(ended, self.drain_time()).await {
            let Broken {
                side,
                writing,
                error,
            } = broken;
            let operation = match writing {
                true => Operation::Send,
                false => Operation::Receive,
            };
            let error = Error::io(operation, self.infos[side].peer(), error);
            if !(writing && self.excuses(side, &error)) {
                return Err(error);
            }
        }
        match silent {
            Some(error) => Err(error),
            None => verdict.map(|()| traffic),
        }
    }

    async fn join_messages(self, first: Session, second: Session) -> Result<Traffic> {
        let cuts = [
            !first.has_boundaries() && second.keeps_boundaries(),
            !second.has_boundaries() && first.keeps_boundaries(),
        ];
        let before = self.heard();
        let (mut from_first, mut to_first) = first.split();
        let (mut from_second, mut to_second) = second.split();
        let ended = self
            .follow([
                Box::pin(pass(&mut from_first, &mut to_second, cuts[0])),
                Box::pin(pass(&mut from_second, &mut to_first, cuts[1])),
            ])
            .await;
        let verdict = self.verdict(matches!(ended, Ok(true))).await;
        if !matches!(ended, Ok(true)) {
            to_first.reset_on_close();
            to_second.reset_on_close();
        }
        ended?;
        verdict?;
        let now = self.heard();
        Ok(Traffic {
            forth: now[0] - before[0],
            back: now[1] - before[1],
        })
    }

    /// Runs both directions; whether both came to their end.
    async fn follow(&self, mut passing: [BoxFuture<'_, Passed>; 2]) -> Result<bool> {
        let mut fates = Fates::of(&self.infos);
        let mut silence = Silence::default();
        let mut over = [false; 2];
        let mut failed = None;
        let whole = poll_fn(|cx| {
            let gone = fates.poll(cx);
            for side in [0, 1] {
                if over[side] {
                    continue;
                }
                match passing[side].as_mut().poll(cx) {
                    Poll::Pending => continue,
                    Poll::Ready(Passed::All) => {}
                    Poll::Ready(Passed::Unread(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Passed::Unwritten(error)) if self.excuses(1 - side, &error) => {}
                    Poll::Ready(Passed::Unwritten(error)) => {
                        failed.get_or_insert(error);
                    }
                }
                over[side] = true;
            }
            let pointless =
                |side: usize| over[side] && (gone[side] || self.infos[side].has_expired());
            if over == [true; 2] || pointless(0) || pointless(1) {
                return Poll::Ready(Ok(true));
            }
            match self.patience(over, gone) {
                Some(limit) if over != [false; 2] => silence
                    .poll_over(cx, self.progress(), limit)
                    .map(|()| self.silent(over).map_or(Ok(false), Err)),
                _ => Poll::Pending,
            }
        })
        .await?;
        failed.map_or(Ok(whole), Err)
    }

    /// How long it may be silent once one of the directions is over; for ever when `None`.
    fn patience(&self, over: [bool; 2], gone: [bool; 2]) -> Option<Duration> {
        let left = usize::from(over[0]);
        let info = &self.infos[left];
        let limit = if self.is_stopping() {
            STOPPING
        } else if info.fate().is_some() && !gone[left] {
            return None;
        } else if info.has_end() {
            self.half_open
        } else {
            LINGER
        };
        Some(limit.min(self.half_open))
    }

    /// The error of one who has said nothing for too long and was given up, when these directions are over.
    /// It is none where silence is the only end there is, and none while shutting down.
    fn silent(&self, over: [bool; 2]) -> Option<Error> {
        let info = &self.infos[usize::from(over[0])];
        (info.has_end() && !self.is_stopping()).then(|| Error::TimedOut {
            operation: Operation::Receive,
            address: info.peer().to_string(),
            after: self.half_open,
        })
    }

    /// What became of the processes among them, if both directions are `whole`; otherwise they are about
    /// to be ended, and how says nothing.
    async fn verdict(&self, whole: bool) -> Result<()> {
        if whole {
            for info in &self.infos {
                info.outcome().await?;
            }
        }
        Ok(())
    }

    /// A process may stop reading, as `head` does. What it thinks of it is its exit code.
    fn excuses(&self, side: usize, error: &Error) -> bool {
        self.infos[side].fate().is_some() && error.io_kind() == Some(io::ErrorKind::BrokenPipe)
    }

    fn is_stopping(&self) -> bool {
        self.infos.iter().any(|info| info.is_stopping())
    }

    fn drain_time(&self) -> Duration {
        if self.is_stopping() {
            DRAIN_STOPPING
        } else {
            DRAIN
        }
    }

    /// Bytes that came from each.
    fn heard(&self) -> [u64; 2] {
        [0, 1].map(|side| self.infos[side].counters().bytes_in())
    }

    /// A number that grows with whatever happens.
    fn progress(&self) -> u64 {
        let counted = self.infos.iter().map(|info| {
            let counters = info.counters();
            counters.bytes_in() + counters.bytes_out() + counters.messages_in()
        });
        counted.sum()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Passes messages on until their source ends. With `cut`, what one read gave is no message that somebody
/// sent, so it may be cut to what a datagram holds.
async fn pass(from: &mut Receiver, to: &mut Sender, cut: bool) -> Passed {
    loop {
        let mut message = match from.recv().await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(error) => return Passed::Unread(error),
        };
        while cut && message.data.len() > DATAGRAM {
            let piece = message.data.split_to(DATAGRAM);
            if let Err(error) = to.send(piece).await {
                return Passed::Unwritten(error);
            }
        }
        let message = Message {
            from: None,
            ..message
        };
        if let Err(error) = to.send(message).await {
            return Passed::Unwritten(error);
        }
    }
    match to.finish().await {
        Ok(()) => Passed::All,
        Err(error) => Passed::Unwritten(error),
    }
}

/// Waits for the ends of those that are processes.
struct Fates([Option<BoxFuture<'static, ()>>; 2], [bool; 2]);

impl Fates {
    fn of(infos: &[Arc<Info>; 2]) -> Self {
        let waiting = |info: &Arc<Info>| {
            let fate = info.fate()?.clone();
            let waiting: BoxFuture<'static, ()> = Box::pin(async move {
                fate.gone().await;
            });
            Some(waiting)
        };
        Self([waiting(&infos[0]), waiting(&infos[1])], [false; 2])
    }

    /// Which of them have ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> [bool; 2] {
        let Self(waiting, gone) = self;
        for (waiting, gone) in waiting.iter_mut().zip(gone.iter_mut()) {
            if let Some(future) = waiting
                && future.as_mut().poll(cx).is_ready()
            {
                (*waiting, *gone) = (None, true);
            }
        }
        *gone
    }
}

#[cfg(test)]
mod tests;
