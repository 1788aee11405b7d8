//! What a port shows of itself while it serves: lines that go to whoever looks, bounded for each of them.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame};

/// Bytes that wait for one who looks.
const ROOM: usize = 256 * 1024;

/// How many letters a key has.
const KEY: std::ops::RangeInclusive<usize> = 16..=64;

/// Shows what happens at a port to those who ask its page for it, at `/.sockeye/trace.jsonl`. Every call must be
/// quick: a request waits for it.
pub trait View: fmt::Debug + Send + Sync {
    /// Somebody looks, until their viewer is dropped. `false`: no more can.
    fn look(&self, viewer: Viewer) -> bool;

    /// Who has this key has made this connection. Anyone can say a key that they have made up, and nobody guesses
    /// that of another.
    fn claim(&self, course: Course, key: ViewKey);
}

/// A connection as packets show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Our end.
    pub local: SocketAddr,
    /// The other one.
    pub peer: SocketAddr,
    /// Carried by UDP, not by TCP.
    pub is_quic: bool,
}

/// What one page has made up to be known by again. It is kept as a digest: how long a comparison takes tells nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ViewKey([u8; 32]);

impl ViewKey {
    /// From what was said: 16 to 64 letters, digits, `-` or `_`.
    #[must_use]
    pub fn read(said: &str) -> Option<Self> {
        let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = KEY.contains(&said.len()) && said.bytes().all(is_of_key);
        let hash = digest(&SHA256, said.as_bytes());
        fits.then(|| hash.as_ref().try_into().ok().map(Self))?
    }
}

impl fmt::Debug for ViewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewKey")
    }
}

/// Somebody who looks. What is put here they get, as the body of an answer that ends when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    /// What carries it to them, where that is known.
    pub course: Option<Course>,
    /// Whose connections they may see as their own.
    pub key: Option<ViewKey>,
    /// Whether they may see everybody's.
    pub sees_all: bool,
    queue: Arc<Queue>,
}

impl Viewer {
    /// One who looks, and the body that brings it to them.
    #[must_use]
    pub fn new(
        course: Option<Course>,
        key: Option<ViewKey>,
        sees_all: bool,
    ) -> (Self, crate::request::Body) {
        let queue = Arc::new(Queue::default());
        let body = crate::request::Body::stream(Lines(queue.clone()));
        let viewer = Self {
            course,
            key,
            sees_all,
            queue,
        };
        (viewer, body)
    }

    /// Puts lines behind those that wait for them. `false`: there is no room, and they do not get these.
    pub fn put(&self, lines: Bytes) -> bool {
        let mut state = self.queue.state();
        if state.bytes > 0 && state.bytes + lines.len() > ROOM {
            return false;
        }
        state.bytes += lines.len();
        state.lines.push_back(lines);
        drop(state);
        self.queue.waker.wake();
        true
    }

    /// Whether they look no more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.queue.state().has_left
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.queue.state().is_over = true;
        self.queue.waker.wake();
    }
}

/// What waits for one who looks.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Bytes>,
    bytes: usize,
    is_over: bool,
    has_left: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lines(Arc<Queue>);

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // Before the look: what is put after it wakes us.
        self.0.waker.register(cx.waker());
        let mut state = self.0.state();
        match state.lines.pop_front() {
            Some(lines) => {
                state.bytes -= lines.len();
                Poll::Ready(Some(Ok(Frame::data(lines))))
            }
            None if state.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_left = true;
        state.lines = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_in_their_order_until_the_view_ends() {
        let (viewer, mut body) = Viewer::new(None, None, true);
        assert!(viewer.put("one\n".into()) && viewer.put("two\n".into()));
        for line in ["one\n", "two\n"] {
            assert_eq!(body.data().await.unwrap().unwrap(), line);
        }
        let waiting = body.data();
        let (said, ()) = tokio::join!(waiting, async { drop(viewer) });
        assert!(said.is_none());
    }

    #[tokio::test]
    async fn who_does_not_read_gets_no_more_than_there_is_room_for() {
        let (viewer, mut body) = Viewer::new(None, None, true);
        let line = Bytes::from(vec![b'x'; ROOM / 4]);
        let taken = (0..9).filter(|_| viewer.put(line.clone())).count();
        assert_eq!(taken, 4);
        body.data().await.unwrap().unwrap();
        assert!(viewer.put(line.clone()), "there is room again");
        assert!(!viewer.put(line));
        assert!(!viewer.has_left());
        drop(body);
        assert!(viewer.has_left());
    }

    #[test]
    fn keys_are_long_enough_not_to_be_guessed() {
        let key = ViewKey::read("abcdefghijklmnop").unwrap();
        assert!(Some(key) == ViewKey::read("abcdefghijklmnop"));
        assert!(Some(key) != ViewKey::read("abcdefghijklmnoq"));
        assert_eq!(format!("{key:?}"), "ViewKey");
        for none in ["", "abcdefghijklmno", "abcdefghijklmno ", &"x".repeat(65)] {
            assert!(ViewKey::read(none).is_none(), "{none}");
        }
    }
}
