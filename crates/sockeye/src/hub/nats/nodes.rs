//! What the machines of one chat tell each other beside what is said: who came and went, what is for one person, and
//! who is to be thrown out.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::presence::{Crowd, Moved};
use super::{ANSWER, Nats, away};
use crate::hub::event::{Event, News, Told};
use crate::hub::records::Heard;
use crate::hub::refusal::Refusal;
use crate::hub::room::Change;

/// What all hear.
const ALL: &str = "sockeye.all";
/// How often a machine shows that it is there.
const ALIVE: Duration = Duration::from_secs(5);
/// After how many such times it tells of everyone who is there, in case something was not heard.
const RETOLD: u32 = 6;
/// How many changes may wait to be told.
const CHANGES: usize = 10_000;

/// What one machine tells all.
#[derive(Debug, Serialize, Deserialize)]
struct Word {
    node: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(super) enum What {
    Alive,
    /// The first line of this room is about to be said.
    Begun {
        room: Arc<str>,
    },
    /// Tell me who is there.
    Ask,
    /// All who are in a room here.
    People {
        room: Arc<str>,
        people: Crowd,
    },
    Change(Change),
    /// Whoever has this key is to leave the room.
    Out {
        room: Arc<str>,
        key: String,
        why: Arc<str>,
    },
}

/// Something for one person.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    key: String,
    from: Arc<str>,
    to: Arc<str>,
    text: Arc<str>,
    time: Timestamp,
}

impl Nats {
    /// Hears the others from here on.
    pub(super) async fn listen(self: &Arc<Self>) -> Result<(), async_nats::Error> {
        let all = self.client.subscribe(ALL).await?;
        let own = self.client.subscribe(own(&self.node)).await?;
        let (changes, changed) = mpsc::channel(CHANGES);
        self.rooms.heralded_by(changes);
        self.client.flush().await?;
        for work in [true, false] {
            let nats = self.clone();
            match work {
                true => self.beside(async move { nats.hold_names().await }),
                false => self.beside(async move { nats.show().await }),
            }
        }
        let nats = self.clone();
        self.beside(async move { nats.herald(changed).await });
        let nats = self.clone();
        self.beside(all.for_each(move |message| {
            let nats = nats.clone();
            async move { nats.hear(&message).await }
        }));
        let nats = self.clone();
        self.beside(own.for_each(move |message| {
            let nats = nats.clone();
            async move { nats.answer(message).await }
        }));
        self.say(What::Ask).await;
        Ok(())
    }

    /// Tells somebody on another machine.
    pub(in crate::hub) async fn tell(&self, key: &str, told: &Told) -> Result<Heard, Refusal> {
        let Some(node) = self
            .whereabouts(key)
            .await?
            .filter(|node| *node != self.node)
        else {
            return Ok(Heard::Absent);
        };
        let note = Note {
            key: key.to_owned(),
            from: told.from.clone(),
            to: told.to.clone(),
            text: told.text.clone(),
            time: told.time,
        };
        let note = serde_json::to_vec(&note).map_err(away)?;
        let answer = self.client.request(own(&node), note.into());
        // A machine that does not answer is gone, and with it those who were there.
        Ok(match timeout(ANSWER, answer).await {
            Ok(Ok(answer)) if &answer.payload[..] == b"yes" => Heard::Yes,
            Ok(Ok(answer)) if &answer.payload[..] == b"full" => Heard::Full,
            _ => Heard::Absent,
        })
    }

    pub(in crate::hub) async fn throw_out(
        &self,
        room: &str,
        key: &str,
        why: &str,
    ) -> Result<(), Refusal> {
        self.say(What::Out {
            room: room.into(),
            key: key.to_owned(),
            why: why.into(),
        })
        .await;
        Ok(())
    }

    async fn answer(&self, message: Message) {
        let Some(reply) = message.reply else {
            return;
        };
        let Ok(note) = serde_json::from_slice::<Note>(&message.payload) else {
            return;
        };
        let seats = self.people.seats(&note.key);
        let told = Arc::new(Told {
            from: note.from,
            to: note.to,
            text: note.text,
            time: note.time,
            mail: None,
        });
        let heard = seats
            .iter()
            .filter(|seat| seat.put(News::Told(told.clone())))
            .count();
        let answer = match (seats.len(), heard) {
            (0, _) => "absent",
            (_, 0) => "full",
            _ => "yes",
        };
        // Who asked takes silence for absence.
        let _ = self.client.publish(reply, answer.into()).await;
    }

    async fn hear(self: &Arc<Self>, message: &Message) {
        let Ok(word) = serde_json::from_slice::<Word>(&message.payload) else {
            return;
        };
        if word.node == self.node {
            return;
        }
        let remote = self.rooms.remote();
        match word.what {
            What::Alive => remote.heard(&word.node),
            What::Begun { room } => {
                let nats = self.clone();
                self.beside(async move { nats.begun(&room).await });
            }
            What::Ask => self.retell().await,
            What::People { room, people } => self.moved(remote.replace(&word.node, &room, people)),
            What::Change(change) => {
                let was_there = change
                    .now
                    .as_ref()
                    .is_some_and(|(key, _)| self.is_in(&change.room, key));
                let before = change.before.as_ref().map(|(key, _)| key);
                remote.change(&word.node, &change.room, before, change.now.clone());
                let stays = change
                    .before
                    .as_ref()
                    .is_some_and(|(key, _)| self.is_in(&change.room, key));
                if let Some(event) = change.event().filter(|_| !was_there && !stays) {
                    self.rooms.tell(&change.room, event);
                }
            }
            What::Out { room, key, why } => {
                if let Some(room) = self.rooms.get(&room) {
                    // The order itself may come later, and who is banned may come back before.
                    room.unsettle();
                    room.throw_out(&self.people.seats(&key), &why);
                }
            }
        }
    }

    fn is_in(&self, room: &str, key: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.has(key))
            || self.rooms.remote().people(room).contains_key(key)
    }

    fn moved(&self, moved: Vec<Moved>) {
        for Moved {
            room,
            name,
            is_there,
        } in moved
        {
            let event = match is_there {
                true => Event::Came { name },
                false => Event::Went { name },
            };
            self.rooms.tell(&room, event);
        }
    }

    /// Shows that this machine is there, and notices which are not.
    async fn show(self: &Arc<Self>) {
        let mut ticks = interval(ALIVE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 1_u32.. {
            ticks.tick().await;
            self.say(What::Alive).await;
            if tick.is_multiple_of(RETOLD) {
                self.retell().await;
                // Beside: whoever does not show in time that it is there is taken for gone.
                let nats = self.clone();
                self.beside(async move { nats.look_for_begun().await });
            }
            self.moved(self.rooms.remote().sweep());
        }
    }

    async fn retell(&self) {
        for room in self.rooms.all() {
            self.say(What::People {
                room: room.name.clone(),
                people: room.named(),
            })
            .await;
        }
    }

    async fn herald(&self, mut changed: mpsc::Receiver<Change>) {
        while let Some(change) = changed.recv().await {
            self.say(What::Change(change)).await;
        }
    }

    pub(super) async fn say(&self, what: What) {
        let word = Word {
            node: self.node.clone(),
            what,
        };
        if let Ok(word) = serde_json::to_vec(&word) {
            // What is not heard is told again with the rest.
            let _ = self.client.publish(ALL, word.into()).await;
        }
    }
}

fn own(node: &str) -> String {
    format!("sockeye.node.{node}")
}
