//! Time in a WebSocket session: pings to a silent peer, and the wait for its close frame. One timer does both.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::session::Info;

/// Pings that may stay without an answer.
const PATIENCE: u8 = 2;

/// Who takes nothing for less than this may be waiting for a processor, however often it is pinged.
const HASTE: Duration = Duration::from_secs(1);

/// Knows how long the peer has been silent.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Option<Duration>,
    /// Made when it is first waited, and not set back for each message: whether something came is remembered.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes. As long as that is who asks, the timer need not be asked again.
    waker: Option<Waker>,
    heard: bool,
    /// The timer runs for the peer's close frame.
    closing: bool,
    unanswered: u8,
    count: u32,
    /// When the ping with this count was sent.
    asked: Option<Instant>,
}

/// What it is time for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A ping with this payload.
    Ping([u8; 4]),
    /// Nothing has come for this long, and pings were not answered.
    Dead(Duration),
    /// The close frame that was waited for has not come.
    Late,
}

impl Pulse {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            timer: None,
            waker: None,
            heard: false,
            closing: false,
            unanswered: 0,
            count: 0,
            asked: None,
        }
    }

    /// How long a peer may take nothing of what is sent: as long as it may give no sign of life, and for ever when
    /// it is not asked for one.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.interval
            .map(|interval| (interval * u32::from(PATIENCE + 1)).max(HASTE))
    }

    /// Something has come.
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    /// A pong has come; if it is to the last ping, how long it took is noted.
    pub(super) fn answered(&mut self, payload: &[u8], info: &Info) {
        if payload == self.count.to_be_bytes()
            && let Some(asked) = self.asked.take()
        {
            info.note_rtt(asked.elapsed());
        }
    }

    /// From now on the peer's close frame is waited for, so long.
    pub(super) fn expect_close(&mut self, within: Duration) {
        self.closing = true;
        self.set(within);
    }

    fn set(&mut self, after: Duration) {
        self.waker = None;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + after),
            None => self.timer = Some(Box::pin(sleep(after))),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        loop {
            let Some(timer) = &mut self.timer else {
                match self.interval {
                    Some(interval) => self.set(interval),
                    None => return Poll::Pending,
                }
                continue;
            };
            let is_known = self
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_known && !timer.is_elapsed() {
                return Poll::Pending;
            }
            if timer.as_mut().poll(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if self.closing {
                return Poll::Ready(Beat::Late);
            }
            let interval = self.interval.unwrap_or_default();
            self.set(interval);
            if std::mem::take(&mut self.heard) {
                self.unanswered = 0;
            } else if self.unanswered == PATIENCE {
                return Poll::Ready(Beat::Dead(interval * u32::from(PATIENCE + 1)));
            } else {
                self.unanswered += 1;
                self.count = self.count.wrapping_add(1);
                self.asked = Some(Instant::now());
                return Poll::Ready(Beat::Ping(self.count.to_be_bytes()));
            }
        }
    }
}
