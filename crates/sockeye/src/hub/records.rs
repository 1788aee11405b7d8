//! What is known of rooms and people, wherever that is kept: in this machine's database, or by a cluster of NATS servers
//! that several machines share, with this machine's database as a copy of what was said.

use std::sync::Arc;

use super::event::Told;
use super::line::{Draft, Receipt};
use super::nats::Nats;
use super::people::Claim;
use super::refusal::Refusal;
use super::seat::Name;
use super::store::{Mail, PersonRow, Span, Store, TokenRow};
use super::{Line, RoomRow};
use crate::error::StoreError;

pub(super) struct Records {
    /// All lines that were told here.
    pub(super) store: Store,
    /// Who orders them, if several machines are one chat.
    pub(super) nats: Option<Arc<Nats>>,
}

/// What became of something said to one person, by another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Yes,
    /// They are there, and read too slowly.
    Full,
    Absent,
}

impl Records {
    pub(super) async fn append(&self, draft: Draft) -> Result<Receipt, Refusal> {
        match &self.nats {
            Some(nats) => nats.append(draft).await,
            None => Ok(self.store.append(draft).await?),
        }
    }

    /// All that was said in the room until now can be read from here on, and what is said is told.
    pub(super) async fn follow(&self, room: &str) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.follow(room).await,
            None => Ok(()),
        }
    }

    /// The same for somebody who has entered since, when the first line was said meanwhile: who is not there is not told.
    pub(super) async fn follow_begun(&self, room: &str) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.follow_begun(room).await,
            None => Ok(()),
        }
    }

    pub(super) async fn bounds(&self, room: &str) -> Result<(u64, u64), StoreError> {
        self.store.bounds(room).await
    }

    pub(super) async fn lines(
        &self,
        room: &str,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        self.store.lines(room, span, limit).await
    }

    pub(super) async fn rooms(&self) -> Result<Vec<RoomRow>, Refusal> {
        match &self.nats {
            Some(nats) => nats.rooms().await,
            None => Ok(self.store.rooms().await?),
        }
    }

    /// What was settled in these rooms.
    pub(super) async fn states(&self, rooms: &[Arc<str>]) -> Result<Vec<Option<String>>, Refusal> {
        match &self.nats {
            Some(nats) => nats.states(rooms).await,
            None => Ok(self.store.states(rooms).await?),
        }
    }

    pub(super) async fn state(&self, room: &str) -> Result<Option<(u64, String)>, Refusal> {
        match &self.nats {
            Some(nats) => nats.state(room).await,
            None => Ok(self.store.state(room).await?),
        }
    }

    pub(super) async fn set_state(
        &self,
        room: &str,
        expected: u64,
        json: String,
    ) -> Result<bool, Refusal> {
        match &self.nats {
            Some(nats) => nats.set_state(room, expected, json).await,
            None => Ok(self.store.set_state(room, expected, json).await?),
        }
    }

    pub(super) async fn person(&self, key: &str) -> Result<Option<PersonRow>, Refusal> {
        match &self.nats {
            Some(nats) => nats.person(key).await,
            None => Ok(self.store.person(key).await?),
        }
    }

    pub(super) async fn put_person(&self, row: PersonRow) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.put_person(row).await,
            None => Ok(self.store.put_person(row).await?),
        }
    }

    pub(super) async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Refusal> {
        match &self.nats {
            Some(nats) => nats.token(hash).await,
            None => Ok(self.store.token(hash).await?),
        }
    }

    pub(super) async fn put_token(&self, row: TokenRow) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.put_token(row).await,
            None => Ok(self.store.put_token(row).await?),
        }
    }

    pub(super) async fn drop_tokens(&self, key: &str) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.drop_tokens(key).await,
            None => Ok(self.store.drop_tokens(key).await?),
        }
    }

    pub(super) async fn keep_mail(&self, mail: Mail) -> Result<bool, Refusal> {
        match &self.nats {
            Some(nats) => nats.keep_mail(mail).await,
            None => Ok(self.store.keep_mail(mail).await?),
        }
    }

    pub(super) async fn mail(&self, key: &str) -> Result<Vec<(i64, Mail)>, Refusal> {
        match &self.nats {
            Some(nats) => nats.mail(key).await,
            None => Ok(self.store.mail(key).await?),
        }
    }

    pub(super) async fn drop_mail(&self, key: &str, up_to: i64) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.drop_mail(key, up_to).await,
            None => Ok(self.store.drop_mail(key, up_to).await?),
        }
    }

    /// Whether no other machine has given this name to somebody else.
    pub(super) async fn claim(&self, name: &Name, claim: Claim) -> Result<bool, Refusal> {
        match &self.nats {
            Some(nats) if !name.is_guest => nats.claim(name, claim).await,
            _ => Ok(true),
        }
    }

    /// Tells somebody who is on another machine.
    pub(super) async fn tell(&self, key: &str, told: &Told) -> Result<Heard, Refusal> {
        match &self.nats {
            Some(nats) => nats.tell(key, told).await,
            None => Ok(Heard::Absent),
        }
    }

    /// Has somebody thrown out of a room wherever they are.
    pub(super) async fn throw_out(&self, room: &str, key: &str, why: &str) -> Result<(), Refusal> {
        match &self.nats {
            Some(nats) => nats.throw_out(room, key, why).await,
            None => Ok(()),
        }
    }
}
