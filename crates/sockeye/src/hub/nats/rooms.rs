//! Which rooms there are at the hub: a room is a stream from its first line on, and not because somebody looked for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamErrorKind, StreamsError};
use async_nats::jetstream::stream::{self, Stream};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::log::Log;
use super::nodes::What;
use super::{ANSWER, Nats, answered, away, made, token};
use crate::hub::refusal::{Refusal, Why};
use crate::hub::store::RoomRow;

/// Rooms' streams are called this and a number.
const STREAMS: &str = "sockeye-room-";
/// How many rooms a hub may have before none is added. Several servers at once may add a few more.
const MOST: usize = 10_000;
/// For how long a line with the same tag is known to be the same one.
const KNOWN: Duration = Duration::from_secs(10 * 60);
/// How old a list of rooms may be: they are asked for by strangers, and each makes the hub look at every stream.
const FRESH: Duration = Duration::from_secs(2);

/// Whose turn it is to speak, for each room.
pub(super) type Turns = HashMap<Arc<str>, Arc<Mutex<()>>>;

/// Rooms and what their owners settled, as of a moment.
pub(super) struct Listed {
    at: Instant,
    rooms: Vec<RoomRow>,
    /// By the room's token.
    states: HashMap<String, String>,
}

/// What JetStream says of the streams that were asked for, besides their names (its ADR-1).
#[derive(Deserialize)]
struct Count {
    total: usize,
}

impl Nats {
    /// The room's stream, read from then on; `None` if nobody has said anything there.
    pub(super) async fn log(&self, room: &str) -> Result<Option<Arc<Log>>, Refusal> {
        if let Some(log) = self.logs().get(room) {
            return Ok(Some(log.clone()));
        }
        // Asked first: they come from a stream that was there before them.
        let has_lines = self.store.bounds(room).await? != (0, 0);
        match self.existing(room).await? {
            Some(stream) => self.followed(room, stream).await.map(Some),
            // Lines without a stream are another hub's, or it has lost them.
            None if has_lines => Err(super::log::foreign(room)),
            None => Ok(None),
        }
    }

    /// The same for somebody who says something, which makes it.
    pub(super) async fn made_log(&self, room: &str) -> Result<Arc<Log>, Refusal> {
        if let Some(log) = self.log(room).await? {
            return Ok(log);
        }
        if self.count().await? >= MOST {
            let text = format!("nothing can be said in new rooms: the hub has {MOST} already");
            return Err(Why::Full.because(text));
        }
        let made = made(&self.jetstream, self.config(room)).await;
        let log = self.followed(room, made.map_err(away)?).await?;
        // Whoever is there on other machines waits for lines.
        self.say(What::Begun { room: room.into() }).await;
        Ok(log)
    }

    /// How many rooms' streams there are.
    async fn count(&self) -> Result<usize, Refusal> {
        let filter = serde_json::json!({"subject": super::log::subject_of("*")});
        let Count { total } = answered(|| self.jetstream.request("STREAM.NAMES", &filter)).await?;
        Ok(total)
    }

    async fn existing(&self, room: &str) -> Result<Option<Stream>, Refusal> {
        answered(|| async {
            let error = match self.jetstream.get_stream(name(room)).await {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) => error,
            };
            match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(error),
            }
        })
        .await
    }

    async fn followed(&self, room: &str, stream: Stream) -> Result<Arc<Log>, Refusal> {
        self.check_origin(room, &stream).await?;
        let (_, last) = self.store.bounds(room).await?;
        let log = {
            let mut logs = self.logs();
            if let Some(log) = logs.get(room) {
                // Somebody else was quicker.
                return Ok(log.clone());
            }
            let log = Arc::new(Log::new(room.into(), stream, last));
            logs.insert(room.into(), log.clone());
            log
        };
        self.beside(super::log::read(log.clone(), self.store.clone()));
        Ok(log)
    }

    pub(super) fn is_followed(&self, room: &str) -> bool {
        self.logs().contains_key(room)
    }

    /// Another machine has made a room's stream.
    pub(super) async fn begun(&self, room: &str) {
        if self.rooms.get(room).is_some() {
            // What fails now is found by the next look around.
            let _ = self.log(room).await;
        }
    }

    /// Looks for streams of rooms in which people wait for the first line, in case that it began was not heard.
    pub(super) async fn look_for_begun(&self) {
        let mut waiting: HashSet<Arc<str>> = {
            let rooms = self.rooms.all();
            let logs = self.logs();
            let waiting = rooms.iter().map(|room| room.name.clone());
            waiting.filter(|room| !logs.contains_key(room)).collect()
        };
        if waiting.is_empty() {
            return;
        }
        let mut names = self.jetstream.stream_names();
        let mut there = HashSet::new();
        while let Some(Ok(name)) = names.next().await {
            there.insert(name);
        }
        waiting.retain(|room| there.contains(&name(room)));
        for room in waiting {
            self.begun(&room).await;
        }
    }

    /// Every room in which something was said.
    pub(in crate::hub) async fn rooms(&self) -> Result<Vec<RoomRow>, Refusal> {
        Ok(self.listed().await?.rooms.clone())
    }

    /// What the owners of these rooms have settled, as it is kept.
    pub(in crate::hub) async fn states(
        &self,
        rooms: &[Arc<str>],
    ) -> Result<Vec<Option<String>>, Refusal> {
        let listed = self.listed().await?;
        let state = |room: &Arc<str>| listed.states.get(&token(room)).cloned();
        Ok(rooms.iter().map(state).collect())
    }

    async fn listed(&self) -> Result<Arc<Listed>, Refusal> {
        // Those who ask at the same time wait for one answer.
        let mut listed = self.listed.lock().await;
        if let Some(listed) = listed.as_ref().filter(|listed| listed.at.elapsed() < FRESH) {
            return Ok(listed.clone());
        }
        let new = Arc::new(Listed {
            rooms: answered(|| self.all_rooms()).await?,
            states: answered(|| self.all_states()).await?,
            at: Instant::now(),
        });
        *listed = Some(new.clone());
        Ok(new)
    }

    async fn all_rooms(&self) -> Result<Vec<RoomRow>, StreamsError> {
        let mut rooms = Vec::new();
        let mut streams = self.jetstream.streams();
        while let Some(info) = streams.next().await {
            let info = info?;
            if let (true, Some(room)) = (
                info.config.name.starts_with(STREAMS),
                info.config.description,
            ) {
                rooms.push(RoomRow {
                    name: room.into(),
                    last: info.state.last_sequence,
                });
            }
        }
        Ok(rooms)
    }

    /// All at once, and not one by one.
    async fn all_states(&self) -> Result<HashMap<String, String>, async_nats::Error> {
        let mut states = HashMap::new();
        // Of an empty bucket nothing comes, and so no last one either.
        let info = self.states.stream.get_info().await?;
        if info.state.messages == 0 {
            return Ok(states);
        }
        let mut entries = self.states.watch_with_history(">").await?;
        while let Some(entry) = timeout(ANSWER, entries.next()).await? {
            let entry = entry?;
            let is_last = entry.delta == 0;
            states.insert(
                entry.key,
                String::from_utf8_lossy(&entry.value).into_owned(),
            );
            if is_last {
                break;
            }
        }
        Ok(states)
    }

    /// Lines of a room are said one after the other, so that none overtakes another when it is tried again.
    pub(super) fn turn(&self, room: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns();
        if let Some(turn) = turns.get(room) {
            return turn.clone();
        }
        let turn = Arc::<Mutex<()>>::default();
        turns.insert(room.into(), turn.clone());
        turn
    }

    /// Nothing can be said in the room.
    pub(super) fn forget_turn(&self, room: &str) {
        self.turns().remove(room);
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self, room: &str) -> stream::Config {
        stream::Config {
            name: name(room),
            description: Some(room.to_owned()),
            subjects: vec![super::log::subject(room)],
            num_replicas: self.replicas,
            max_age: self.keep.age.unwrap_or_default(),
            max_messages: self
                .keep
                .lines
                .and_then(|lines| i64::try_from(lines).ok())
                .unwrap_or(-1),
            duplicate_window: self.keep.age.map_or(KNOWN, |age| age.min(KNOWN)),
            ..stream::Config::default()
        }
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Log>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(room: &str) -> String {
    format!("{STREAMS}{}", token(room))
}
