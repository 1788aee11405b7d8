//! What a room's owners may do: topics, and measures against people.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wire::nickname::Nickname;

use super::{Await, Member, not_in, room_name};
use crate::hub::Hub;
use crate::hub::line::{Draft, LineKind};
use crate::hub::refusal::{Refusal, Why};
use crate::hub::state::{self, Measure, Person, State};

/// The room that everyone is in at first: nobody owns it by being early.
const COMMON: &str = "lobby";
/// The longest topic, in bytes.
const MAX_TOPIC: usize = 512;

/// What an owner can do to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Throws them out; they may come again.
    Kick,
    /// They may not speak, for a time or for ever.
    Mute(Option<Duration>),
    /// They may speak again.
    Unmute,
    /// Throws them out; they may not come again, for a time or for ever.
    Ban(Option<Duration>),
    /// They may come again.
    Unban,
    /// They may give orders as well.
    Owner,
}

impl Member {
    /// What a room is about; empty if nothing was said of that.
    ///
    /// # Errors
    /// When they are banned there, ask too much, or the store fails.
    pub async fn topic(&mut self, room: &str) -> Result<String, Refusal> {
        let name = room_name(room)?;
        self.check_look()?;
        self.check_ban(&name).await?;
        Ok(self.hub.state(&name).await?.topic.clone())
    }

    /// Sets what a room is about.
    ///
    /// # Errors
    /// When they are not in it, may not, or the store fails.
    pub async fn set_topic(&mut self, room: &str, topic: &str) -> Result<Await, Refusal> {
        let name = room_name(room)?;
        let topic = topic.trim();
        if topic.len() > MAX_TOPIC {
            let text = format!("a topic has at most {MAX_TOPIC} bytes");
            return Err(Why::Length.because(text));
        }
        self.check_rate()?;
        let own = self.seat.name();
        let may = |state: &State| state.owners.is_empty() || state.is_owner(&own.key);
        self.check_owner(&name, may).await?;
        let room = self.hub.change(&name, |state| {
            topic.clone_into(&mut state.topic);
            Ok(())
        });
        let room = room.await?;
        Ok(self.keep(Draft {
            room,
            from: own.shown.clone(),
            kind: LineKind::Topic,
            text: topic.into(),
            tag: None,
        }))
    }

    /// Does something to somebody. Everyone in the room is told.
    ///
    /// # Errors
    /// When they are no owner of the room, or there is nobody to do it to.
    pub async fn order(
        &mut self,
        room: &str,
        order: Order,
        whom: &str,
        why: &str,
    ) -> Result<Await, Refusal> {
        let name = room_name(room)?;
        let whom: Nickname = whom.parse()?;
        self.check_rate()?;
        let own = self.seat.name();
        self.check_owner(&name, |state| state.is_owner(&own.key))
            .await?;
        let now = Timestamp::now();
        let measure = self.measure(&whom, order, now).await?;
        let room = self
            .hub
            .change(&name, |state| {
                impose(state, order, &whom, measure.clone(), now)
            })
            .await?;
        let why = why.trim();
        let words = words(order, &whom, why);
        if matches!(order, Order::Kick | Order::Ban(_)) {
            self.throw_out(&room, &whom, &words).await?;
        }
        Ok(self.keep(Draft {
            room,
            from: own.shown.clone(),
            kind: LineKind::Order,
            text: words.into(),
            tag: None,
        }))
    }

    /// Proves that they may give orders everywhere.
    ///
    /// # Errors
    /// When it is not the token.
    pub fn moderate(&mut self, token: &str) -> Result<(), Refusal> {
        let known = self.hub.0.options.moderators.as_ref();
        self.check_attempts()?;
        self.is_moderator = known.is_some_and(|known| known.is(token.as_bytes()));
        if !self.is_moderator {
            self.wrong_passwords += 1;
            return Err(Why::Password.because("that is not the moderators' token"));
        }
        Ok(())
    }

    /// Makes the first person with a password in a new room its owner.
    pub(super) async fn found(&self, room: &str) -> Result<(), Refusal> {
        let own = self.seat.name();
        // What is known at once comes first: most who enter a room do not found it.
        if room == COMMON || own.is_guest || !self.hub.state(room).await?.owners.is_empty() {
            return Ok(());
        }
        let row = self.hub.0.records.person(&own.key).await?;
        if row.is_none_or(|row| row.password.is_none()) {
            return Ok(());
        }
        let person = Person {
            key: own.key.to_string(),
            name: own.shown.to_string(),
        };
        let change = self.hub.change(room, |state| {
            if state.owners.is_empty() {
                state::appoint(&mut state.owners, person.clone());
            }
            Ok(())
        });
        change.await.map(drop)
    }

    pub(super) async fn check_ban(&self, room: &str) -> Result<(), Refusal> {
        let state = self.hub.state(room).await?;
        let own = self.seat.name();
        match state.ban_of(&own.key, self.seat.from, Timestamp::now()) {
            Some(measure) if !self.is_moderator && !state.is_owner(&own.key) => {
                let text = format!("you are banned from #{room}{}", until(measure));
                Err(Why::Banned.because(text))
            }
            _ => Ok(()),
        }
    }

    async fn check_owner(
        &self,
        room: &str,
        may: impl FnOnce(&State) -> bool,
    ) -> Result<(), Refusal> {
        if self.place(room).is_none() {
            return Err(not_in(room));
        }
        if self.is_moderator || may(&*self.hub.state(room).await?) {
            return Ok(());
        }
        let text = format!("only the owners of #{room} may do that");
        Err(Why::NotOwner.because(text))
    }

    async fn measure(
        &self,
        whom: &Nickname,
        order: Order,
        now: Timestamp,
    ) -> Result<Measure, Refusal> {
        let row = self.hub.0.records.person(whom.key()).await?;
        let has_password = row.is_some_and(|row| row.password.is_some());
        if order == Order::Owner && !has_password {
            let text = format!(
                "an owner's name needs a password: {whom} can set one with /name {whom} PASSWORD"
            );
            return Err(Why::NotThere.because(text));
        }
        let seats = self.hub.0.people.seats(whom.key());
        let time = match order {
            Order::Mute(time) | Order::Ban(time) => time,
            _ => None,
        };
        let until = time.map(|time| now.saturating_add(time));
        Ok(Measure {
            person: Person {
                key: whom.key().to_owned(),
                name: whom.to_string(),
            },
            // Behind a name that cannot be taken by others there is one person; behind an address may be many.
            from: match has_password {
                true => Vec::new(),
                false => seats.iter().filter_map(|seat| seat.from).collect(),
            },
            until: until.transpose().unwrap_or_default(),
        })
    }

    async fn throw_out(&self, room: &str, whom: &Nickname, words: &str) -> Result<(), Refusal> {
        let is_here = |(key, _, _): &(Arc<str>, Arc<str>, usize)| **key == *whom.key();
        if !self.hub.people(room).iter().any(is_here) {
            return Err(Why::NotThere.because(format!("{whom} is not in #{room}")));
        }
        let why: Arc<str> = format!("{} {words}", self.name()).into();
        if let Some(room) = self.hub.0.rooms.get(room) {
            room.throw_out(&self.hub.0.people.seats(whom.key()), &why);
        }
        self.hub.0.records.throw_out(room, whom.key(), &why).await
    }
}

impl Hub {
    /// What is settled in a room.
    pub(super) async fn state(&self, room: &str) -> Result<Arc<State>, Refusal> {
        let open = self.0.rooms.get(room);
        if let Some(known) = open.as_ref().and_then(|room| room.settled()) {
            return Ok(known);
        }
        let before = open.as_ref().map(|room| room.changes());
        let kept = self.0.records.state(room).await?;
        let state = Arc::new(state::read(kept.as_ref().map(|(_, json)| json.as_str())));
        if let (Some(room), Some(before)) = (open, before) {
            room.settle(state.clone(), before);
        }
        Ok(state)
    }

    /// Settles something: the room's name.
    async fn change(
        &self,
        room: &str,
        change: impl Fn(&mut State) -> Result<(), Refusal>,
    ) -> Result<Arc<str>, Refusal> {
        loop {
            let kept = self.0.records.state(room).await?;
            let mut state = state::read(kept.as_ref().map(|(_, json)| json.as_str()));
            change(&mut state)?;
            let revision = kept.map_or(0, |(revision, _)| revision);
            let json = serde_json::to_string(&state)
                .map_err(|error| Why::NotKept.because(error.to_string()))?;
            if self.0.records.set_state(room, revision, json).await? {
                if let Some(open) = self.0.rooms.get(room) {
                    open.unsettle();
                }
                return Ok(room.into());
            }
        }
    }
}

fn impose(
    state: &mut State,
    order: Order,
    whom: &Nickname,
    measure: Measure,
    now: Timestamp,
) -> Result<(), Refusal> {
    let full = || Why::Full.because("the list is full: lift something first");
    let nothing = |what| Why::NotThere.because(format!("{whom} is not {what}"));
    match order {
        Order::Kick => Ok(()),
        Order::Mute(_) => state::impose(&mut state.muted, measure, now)
            .then_some(())
            .ok_or_else(full),
        Order::Ban(_) => state::impose(&mut state.banned, measure, now)
            .then_some(())
            .ok_or_else(full),
        Order::Unmute => state::lift(&mut state.muted, whom.key())
            .then_some(())
            .ok_or_else(|| nothing("muted")),
        Order::Unban => state::lift(&mut state.banned, whom.key())
            .then_some(())
            .ok_or_else(|| nothing("banned")),
        Order::Owner => state::appoint(&mut state.owners, measure.person)
            .then_some(())
            .ok_or_else(full),
    }
}

fn words(order: Order, whom: &Nickname, why: &str) -> String {
    let time = |time: Option<Duration>| match time {
        Some(time) => format!(" for {} min", time.as_secs().div_ceil(60)),
        None => String::new(),
    };
    let mut words = match order {
        Order::Kick => format!("threw {whom} out"),
        Order::Mute(for_time) => format!("muted {whom}{}", time(for_time)),
        Order::Unmute => format!("let {whom} speak again"),
        Order::Ban(for_time) => format!("banned {whom}{}", time(for_time)),
        Order::Unban => format!("let {whom} come again"),
        Order::Owner => format!("made {whom} an owner"),
    };
    if !why.is_empty() {
        words.push_str(": ");
        words.push_str(why);
    }
    words
}

/// What somebody is told who is muted.
pub(super) fn silenced(room: &str, measure: &Measure) -> Refusal {
    Why::Muted.because(format!("you are muted in #{room}{}", until(measure)))
}

fn until(measure: &Measure) -> String {
    match measure.until {
        Some(until) => format!(" until {} UTC", until.strftime("%F %H:%M")),
        None => String::new(),
    }
}
