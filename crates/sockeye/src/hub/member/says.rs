//! Saying something, to a room or to one person.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use jiff::Timestamp;
use wire::nickname::Nickname;

use super::{Member, not_in, room_name};
use crate::hub::event::{News, Told};
use crate::hub::line::{Draft, LineKind, Receipt};
use crate::hub::records::Heard;
use crate::hub::refusal::{Refusal, Why};
use crate::hub::store::Mail;
use crate::hub::{Hub, MAX_LINE};

/// A line on its way to safety. Lines that one task awaits in order are kept in that order.
pub struct Await(Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>);

impl Future for Await {
    type Output = Result<Receipt, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Await {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Await")
    }
}

impl Member {
    /// Says a line in a room. It has been said when what this returns is there.
    ///
    /// # Errors
    /// When they are not in the room, are muted, say too much, or the line is empty or too long.
    pub async fn say(
        &mut self,
        room: &str,
        kind: LineKind,
        text: &str,
        tag: Option<&str>,
    ) -> Result<Await, Refusal> {
        let name = room_name(room)?;
        let room = self
            .place(&name)
            .ok_or_else(|| not_in(&name))?
            .room
            .name
            .clone();
        check_length(text)?;
        let state = self.hub.state(&room).await?;
        let who = self.seat.name();
        if let Some(measure) = state.mute_of(&who.key, self.seat.from, Timestamp::now())
            && !self.is_moderator
        {
            return Err(super::orders::silenced(&room, measure));
        }
        self.check_rate()?;
        Ok(self.keep(Draft {
            room,
            from: who.shown.clone(),
            kind,
            text: text.into(),
            tag: tag.map(Arc::from),
        }))
    }

    /// A line that needs no more asking.
    pub(super) fn keep(&self, draft: Draft) -> Await {
        let hub = self.hub.clone();
        Await(Box::pin(async move { hub.keep(draft).await }))
    }

    /// Says something to one person, who gets it later if they are absent and their name has a password. Whether it
    /// waits for them.
    ///
    /// # Errors
    /// When there is no such person, or nothing more can wait for them.
    pub async fn tell(&mut self, to: &str, text: &str) -> Result<bool, Refusal> {
        let to: Nickname = to.parse()?;
        check_length(text)?;
        self.check_rate()?;
        let time = Timestamp::now();
        let from = self.name();
        let seats = self.hub.0.people.seats(to.key());
        let shown = seats
            .first()
            .map_or_else(|| to.as_str().into(), |seat| seat.name().shown.clone());
        let told = Arc::new(Told {
            from: from.clone(),
            to: shown,
            text: text.into(),
            time,
            mail: None,
        });
        // The person has heard it if one of their sessions has.
        let here = seats
            .iter()
            .filter(|seat| seat.put(News::Told(told.clone())));
        let heard = match (seats.is_empty(), here.count()) {
            (true, _) => self.hub.0.records.tell(to.key(), &told).await?,
            (false, 0) => Heard::Full,
            (false, _) => Heard::Yes,
        };
        match heard {
            Heard::Yes => return Ok(false),
            Heard::Full => {
                return Err(Why::Full.because(format!("{to} reads too slowly to be told more")));
            }
            Heard::Absent => {}
        }
        let store = &self.hub.0.records;
        let row = store.person(to.key()).await?;
        let Some(row) = row.filter(|row| row.password.is_some()) else {
            return Err(Why::NotThere.because(format!("there is no {to} here")));
        };
        let mail = Mail {
            to_key: to.key().to_owned(),
            from: from.to_string(),
            to: row.name,
            text: text.to_owned(),
            time,
        };
        match store.keep_mail(mail).await? {
            true => Ok(true),
            false => Err(Why::Full.because(format!("too much waits for {to} already"))),
        }
    }

    /// What waited for them has been told: it need not wait any more.
    pub async fn told(&mut self, told: &Told) {
        if let Some(up_to) = told.mail {
            let key = self.seat.name().key.clone();
            // If that fails they hear it twice, which is better than never.
            let _ = self.hub.0.records.drop_mail(&key, up_to).await;
        }
    }

    pub(super) fn check_rate(&mut self) -> Result<(), Refusal> {
        let (Some(bucket), Some(rate)) = (&mut self.bucket, self.hub.0.options.rate) else {
            return Ok(());
        };
        bucket.take(rate).map_err(|wait| {
            let text = format!(
                "too fast: {} lines at once and then {} a second",
                rate.burst, rate.per_second
            );
            Why::Rate.because(text).wait(wait)
        })
    }
}

impl Hub {
    /// Keeps a line, and tells everyone in its room.
    async fn keep(&self, draft: Draft) -> Result<Receipt, Refusal> {
        self.0.records.append(draft).await
    }
}

fn check_length(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Why::Malformed.because("there is nothing to say"));
    }
    if text.len() > MAX_LINE {
        let text = format!(
            "{} bytes are too long: a line has at most {MAX_LINE}",
            text.len()
        );
        return Err(Why::Length.because(text));
    }
    Ok(())
}
