//! Who is in which room on other machines, as far as those have told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After how much silence a machine and those who were there are gone.
pub(super) const GONE: Duration = Duration::from_secs(20);
/// How many people of one room a machine is believed.
const MOST: usize = 10_000;

/// People by key, with their names.
pub(super) type Crowd = BTreeMap<Arc<str>, Arc<str>>;

/// People on other machines.
#[derive(Debug, Default)]
pub(in crate::hub) struct Remote {
    nodes: Mutex<HashMap<String, Node>>,
}

#[derive(Debug)]
struct Node {
    heard: Instant,
    rooms: HashMap<Arc<str>, Crowd>,
}

/// Somebody who is there now, or is no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) room: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) is_there: bool,
}

impl Remote {
    /// Who is in `room`.
    pub(in crate::hub) fn people(&self, room: &str) -> Crowd {
        let nodes = self.nodes();
        let crowds = nodes.values().filter_map(|node| node.rooms.get(room));
        crowds
            .flatten()
            .map(|(key, name)| (key.clone(), name.clone()))
            .collect()
    }

    /// Rooms with somebody in them.
    pub(in crate::hub) fn rooms(&self) -> BTreeSet<Arc<str>> {
        let nodes = self.nodes();
        nodes
            .values()
            .flat_map(|node| node.rooms.keys().cloned())
            .collect()
    }

    /// A machine was heard of.
    pub(super) fn heard(&self, node: &str) {
        self.node(&mut self.nodes(), node, |_| ());
    }

    /// Somebody came, went, or goes by another name.
    pub(super) fn change(
        &self,
        node: &str,
        room: &Arc<str>,
        before: Option<&Arc<str>>,
        now: Option<(Arc<str>, Arc<str>)>,
    ) {
        self.node(&mut self.nodes(), node, |node| {
            let crowd = node.rooms.entry(room.clone()).or_default();
            if let Some(before) = before {
                crowd.remove(before);
            }
            if let Some((key, name)) = now.filter(|_| crowd.len() < MOST) {
                crowd.insert(key, name);
            }
            if crowd.is_empty() {
                node.rooms.remove(room);
            }
        });
    }

    /// A machine says who all is in a room there: what is new in that.
    pub(super) fn replace(&self, node: &str, room: &Arc<str>, mut now: Crowd) -> Vec<Moved> {
        while now.len() > MOST {
            now.pop_last();
        }
        self.node(&mut self.nodes(), node, |node| {
            let before = node.rooms.remove(room).unwrap_or_default();
            let moved = moves(room, &before, &now);
            if !now.is_empty() {
                node.rooms.insert(room.clone(), now);
            }
            moved
        })
    }

    /// Forgets the machines that have fallen silent: who is gone with them.
    pub(super) fn sweep(&self) -> Vec<Moved> {
        let mut gone = Vec::new();
        self.nodes().retain(|_, node| {
            let is_there = node.heard.elapsed() < GONE;
            if !is_there {
                for (room, crowd) in &node.rooms {
                    gone.extend(moves(room, crowd, &Crowd::new()));
                }
            }
            is_there
        });
        gone
    }

    fn node<T>(
        &self,
        nodes: &mut HashMap<String, Node>,
        name: &str,
        change: impl FnOnce(&mut Node) -> T,
    ) -> T {
        let node = nodes.entry(name.to_owned()).or_insert_with(|| Node {
            heard: Instant::now(),
            rooms: HashMap::new(),
        });
        node.heard = Instant::now();
        change(node)
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn moves(room: &Arc<str>, before: &Crowd, now: &Crowd) -> Vec<Moved> {
    let of = |crowd: &Crowd, other: &Crowd, is_there| -> Vec<Moved> {
        let others = crowd.iter().filter(|(key, _)| !other.contains_key(*key));
        let moved = others.map(|(_, name)| Moved {
            room: room.clone(),
            name: name.clone(),
            is_there,
        });
        moved.collect()
    };
    let mut moved = of(before, now, false);
    moved.extend(of(now, before, true));
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(names: &[&str]) -> Crowd {
        names
            .iter()
            .map(|name| ((*name).into(), (*name).into()))
            .collect()
    }

    fn told(moved: Vec<Moved>) -> Vec<String> {
        let sign = |is_there| if is_there { '+' } else { '-' };
        let mut told: Vec<_> = moved
            .iter()
            .map(|moved| format!("{}{}", sign(moved.is_there), moved.name))
            .collect();
        told.sort();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_elsewhere_is_known_until_it_falls_silent() {
        let (remote, lobby): (Remote, Arc<str>) = (Remote::default(), "lobby".into());
        assert_eq!(
            told(remote.replace("a", &lobby, crowd(&["ann", "bob"]))),
            ["+ann", "+bob"]
        );
        assert_eq!(
            told(remote.replace("a", &lobby, crowd(&["bob", "carl"]))),
            ["+carl", "-ann"]
        );
        remote.change("b", &lobby, None, Some(("dora".into(), "Dora".into())));
        assert_eq!(remote.people("lobby").len(), 3);
        remote.change(
            "b",
            &lobby,
            Some(&"dora".into()),
            Some(("eve".into(), "eve".into())),
        );
        assert_eq!(
            remote
                .people("lobby")
                .into_keys()
                .map(|key| key.to_string())
                .collect::<Vec<_>>(),
            ["bob", "carl", "eve"]
        );
        tokio::time::advance(GONE / 2).await;
        remote.heard("b");
        tokio::time::advance(GONE / 2).await;
        assert_eq!(told(remote.sweep()), ["-bob", "-carl"]);
        assert_eq!(remote.people("lobby"), crowd(&["eve"]));
        assert!(remote.people("elsewhere").is_empty());
    }
}
