//! One session's place in the hub: its bell, its name, and what is meant for it alone.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::News;

/// How much that is meant for one session alone may wait for it.
const WAITING: usize = 256;

/// A name, and what is equal to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) shown: Arc<str>,
    pub(super) key: Arc<str>,
    /// Given, not chosen.
    pub(super) is_guest: bool,
}

/// Shared by the session's task and whoever has something for it.
#[derive(Debug)]
pub(super) struct Seat {
    /// No other session of this hub has it.
    pub(super) id: u64,
    /// Where its peer is, if that has an address that says something.
    pub(super) from: Option<IpAddr>,
    pub(super) bell: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Arc<Name>,
    inbox: VecDeque<News>,
}

impl Seat {
    pub(super) fn new(id: u64, from: Option<IpAddr>, name: Arc<Name>) -> Self {
        Self {
            id,
            // Whoever is on this machine comes from the same address.
            from: from.filter(|from| !from.is_loopback()),
            bell: Notify::new(),
            inner: Mutex::new(Inner {
                name,
                inbox: VecDeque::new(),
            }),
        }
    }

    pub(super) fn name(&self) -> Arc<Name> {
        self.inner().name.clone()
    }

    pub(super) fn rename(&self, name: Arc<Name>) {
        self.inner().name = name;
    }

    /// Whether there was room.
    pub(super) fn put(&self, news: News) -> bool {
        let mut inner = self.inner();
        // That it was thrown out, and that this is the end, is always told.
        let has_room =
            inner.inbox.len() < WAITING || matches!(news, News::Parted { .. } | News::Bye(_));
        if has_room {
            inner.inbox.push_back(news);
            self.bell.notify_one();
        }
        has_room
    }

    pub(super) fn take(&self) -> Option<News> {
        let mut inner = self.inner();
        let news = inner.inbox.pop_front();
        if inner.inbox.is_empty() {
            inner.inbox.shrink_to_fit();
        }
        news
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
