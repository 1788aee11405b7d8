//! What a room's owners have settled: the topic, who they are, and who may not speak or come.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many owners, and how many measures of a kind, a room may have.
const MOST: usize = 1000;

/// Kept with the room as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) topic: String,
    pub(super) owners: Vec<Person>,
    pub(super) muted: Vec<Measure>,
    pub(super) banned: Vec<Measure>,
}

/// Somebody, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) key: String,
    pub(super) name: String,
}

/// A measure against somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Measure {
    #[serde(flatten)]
    pub(super) person: Person,
    /// Whoever comes from there is meant as well: a name without a password is soon changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) from: Vec<IpAddr>,
    /// For ever if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
}

impl Measure {
    fn meets(&self, key: &str, from: Option<IpAddr>, now: Timestamp) -> bool {
        let is_meant = self.person.key == key || from.is_some_and(|from| self.from.contains(&from));
        is_meant && self.until.is_none_or(|until| now < until)
    }
}

impl State {
    pub(super) fn is_owner(&self, key: &str) -> bool {
        self.owners.iter().any(|owner| owner.key == key)
    }

    pub(super) fn mute_of(
        &self,
        key: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<&Measure> {
        self.muted
            .iter()
            .find(|measure| measure.meets(key, from, now))
    }

    pub(super) fn ban_of(
        &self,
        key: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<&Measure> {
        self.banned
            .iter()
            .find(|measure| measure.meets(key, from, now))
    }
}

/// What a later version wrote and this one cannot read settles nothing.
pub(super) fn read(json: Option<&str>) -> State {
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// Adds a measure in place of an older one against the same person; those that are over leave. Whether there was room.
pub(super) fn impose(measures: &mut Vec<Measure>, measure: Measure, now: Timestamp) -> bool {
    measures.retain(|old| {
        old.person.key != measure.person.key && old.until.is_none_or(|until| now < until)
    });
    let has_room = measures.len() < MOST;
    if has_room {
        measures.push(measure);
    }
    has_room
}

/// Takes the measures against `key` away. Whether there was one.
pub(super) fn lift(measures: &mut Vec<Measure>, key: &str) -> bool {
    let before = measures.len();
    measures.retain(|old| old.person.key != key);
    measures.len() < before
}

/// Makes somebody an owner. Whether there was room.
pub(super) fn appoint(owners: &mut Vec<Person>, person: Person) -> bool {
    if owners.iter().any(|owner| owner.key == person.key) {
        return true;
    }
    let has_room = owners.len() < MOST;
    if has_room {
        owners.push(person);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, until: Option<&str>) -> Measure {
        Measure {
            person: Person {
                key: name.to_owned(),
                name: name.to_owned(),
            },
            from: vec!["192.0.2.7".parse().unwrap()],
            until: until.map(|until| until.parse().unwrap()),
        }
    }

    #[test]
    fn a_measure_meets_a_name_and_where_it_came_from_for_its_time() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let mut state = State::default();
        assert!(impose(
            &mut state.banned,
            measure("eve", Some("2026-01-01T00:30:00Z")),
            now
        ));
        let from = "192.0.2.7".parse().ok();
        assert!(state.ban_of("eve", None, now).is_some());
        assert!(state.ban_of("guest-1", from, now).is_some());
        assert!(state.ban_of("ann", "192.0.2.8".parse().ok(), now).is_none());
        assert!(state.ban_of("eve", from, later).is_none());
        assert!(state.mute_of("eve", from, now).is_none());
        assert!(impose(&mut state.banned, measure("mallory", None), later));
        assert_eq!(state.banned.len(), 1, "what is over has left");
        assert!(lift(&mut state.banned, "mallory"));
        assert!(!lift(&mut state.banned, "mallory"));
    }

    #[test]
    fn is_the_same_after_it_was_kept() {
        let state = State {
            topic: "fish".to_owned(),
            owners: vec![measure("ann", None).person],
            muted: vec![measure("eve", Some("2026-01-01T00:30:00Z"))],
            banned: vec![measure("mallory", None)],
        };
        let kept = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&kept).unwrap(), state);
        assert_eq!(
            serde_json::from_str::<State>("{}").unwrap(),
            State::default()
        );
    }
}
