//! Who is there, under which name: each name is one person's, who may have several sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::event::News;
use super::seat::{Name, Seat};

/// How long the name of somebody who left is kept for their return.
pub(super) const HELD: Duration = Duration::from_secs(15 * 60);

/// How many names are kept at the most for people who left.
const MOST_HELD: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct People {
    by_key: Mutex<HashMap<Arc<str>, Entry>>,
}

#[derive(Debug)]
struct Entry {
    seats: Vec<Arc<Seat>>,
    /// Until when it is kept although nobody is there.
    held: Option<Instant>,
}

/// Why a name is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody else may have it.
    New,
    /// It is shown to be the same person's.
    Same,
}

impl People {
    /// Gives `seat` the name, unless it is somebody else's.
    pub(super) fn claim(&self, seat: &Arc<Seat>, name: Arc<Name>, claim: Claim) -> bool {
        let mut by_key = self.by_key();
        let is_free = match by_key.get(&name.key) {
            None => true,
            Some(_) if claim == Claim::Same => true,
            Some(entry) if entry.seats.is_empty() => {
                entry.held.is_none_or(|until| until <= Instant::now())
            }
            Some(entry) => entry.seats.iter().all(|other| other.id == seat.id),
        };
        if !is_free {
            return false;
        }
        let before = seat.name();
        let entry = by_key.entry(name.key.clone()).or_insert(Entry {
            seats: Vec::new(),
            held: None,
        });
        entry.held = None;
        if !entry.seats.iter().any(|other| other.id == seat.id) {
            entry.seats.push(seat.clone());
        }
        if before.key != name.key {
            leave(&mut by_key, &before.key, seat.id, None);
        }
        seat.rename(name);
        true
    }

    /// The session is over. With `hold`, its name waits for the person.
    pub(super) fn leave(&self, seat: &Seat, hold: bool) {
        let mut by_key = self.by_key();
        let now = Instant::now();
        if by_key.len() > MOST_HELD {
            by_key.retain(|_, entry| !entry.seats.is_empty() || entry.held > Some(now));
        }
        let held = (hold && by_key.len() <= MOST_HELD).then(|| now + HELD);
        leave(&mut by_key, &seat.name().key, seat.id, held);
    }

    /// The sessions of the person.
    pub(super) fn seats(&self, key: &str) -> Vec<Arc<Seat>> {
        let by_key = self.by_key();
        let entry = by_key.get(key);
        entry.map(|entry| entry.seats.clone()).unwrap_or_default()
    }

    /// Everyone's sessions.
    pub(super) fn all(&self) -> Vec<Arc<Seat>> {
        let by_key = self.by_key();
        by_key
            .values()
            .flat_map(|entry| &entry.seats)
            .cloned()
            .collect()
    }

    /// Tells everyone the same in words.
    pub(super) fn tell(&self, text: &str, news: fn(Arc<str>) -> News) {
        let text: Arc<str> = text.into();
        for seat in self.all() {
            // Who has no room for it has not read what came before, either; for the end there always is.
            let _ = seat.put(news(text.clone()));
        }
    }

    fn by_key(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(by_key: &mut HashMap<Arc<str>, Entry>, key: &str, id: u64, held: Option<Instant>) {
    let Some(entry) = by_key.get_mut(key) else {
        return;
    };
    entry.seats.retain(|other| other.id != id);
    if entry.seats.is_empty() {
        entry.held = held;
        if held.is_none() {
            by_key.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<Name> {
        Arc::new(Name {
            shown: text.into(),
            key: text.into(),
            is_guest: false,
        })
    }

    fn seat(people: &People, id: u64) -> Arc<Seat> {
        let own = name(&format!("guest-{id}"));
        let seat = Arc::new(Seat::new(id, None, own.clone()));
        assert!(people.claim(&seat, own, Claim::New));
        seat
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_one_persons() {
        let people = People::default();
        let (ann, bob) = (seat(&people, 1), seat(&people, 2));
        assert!(people.claim(&ann, name("ann"), Claim::New));
        assert!(!people.claim(&bob, name("ann"), Claim::New));
        assert_eq!(&*bob.name().shown, "guest-2");
        assert!(
            people.claim(&bob, name("ann"), Claim::Same),
            "who proves it"
        );
        assert_eq!(people.seats("ann").len(), 2);
        assert!(people.seats("guest-1").is_empty());
        people.leave(&ann, true);
        assert_eq!(people.seats("ann").len(), 1);
        people.leave(&bob, true);
        let carl = seat(&people, 3);
        assert!(!people.claim(&carl, name("ann"), Claim::New), "it is held");
        tokio::time::advance(HELD).await;
        assert!(people.claim(&carl, name("ann"), Claim::New));
        people.leave(&carl, false);
        let dora = seat(&people, 4);
        assert!(people.claim(&dora, name("ann"), Claim::New));
        assert_eq!(people.all().len(), 1);
    }
}
