//! Who tells the people of a large room that there is something new: in rounds, so that each finds all there is by then.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::room::Rooms;

/// The rooms whose people are to be woken.
#[derive(Debug, Default)]
pub(super) struct Crier {
    called: Notify,
    rooms: Mutex<Vec<Arc<str>>>,
}

impl Crier {
    /// Has the people of a room woken, soon.
    pub(super) fn call(&self, room: Arc<str>) {
        self.rooms().push(room);
        self.called.notify_one();
    }

    /// Wakes whom it is called for, until the rooms are gone.
    pub(super) async fn run(self: Arc<Self>, all: Weak<Rooms>) {
        loop {
            self.called.notified().await;
            let called = std::mem::take(&mut *self.rooms());
            let Some(all) = all.upgrade() else {
                return;
            };
            for name in called {
                if let Some(room) = all.get(&name) {
                    room.wake();
                }
            }
            drop(all);
            // Its next turn comes after theirs. What is said meanwhile, they find then: in one message, and not each.
            tokio::task::yield_now().await;
        }
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, Vec<Arc<str>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
