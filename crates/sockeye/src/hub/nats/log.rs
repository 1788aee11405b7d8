//! A room's lines as a stream of JetStream: said there, and read from there into this machine's store.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{AGAIN, ANSWER, Nats, SETTLING, answered, away, token};
use crate::hub::line::{Draft, Line, LineKind, Receipt};
use crate::hub::refusal::{Refusal, Why};

/// How long a line is tried to be said while the hub is away.
const WAITING: Duration = Duration::from_secs(120);
/// How often a stream that has nothing to tell shows that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long it may be asked at once.
const SILENCE: Duration = Duration::from_secs(30);
/// How many lines are stored at once.
const BATCH: usize = 512;

/// A room's stream.
pub(super) struct Log {
    room: Arc<str>,
    stream: Stream,
    /// The last line that is in the store.
    stored: watch::Sender<u64>,
}

/// A line on its way; its number and its time are the stream's.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    from: Arc<str>,
    kind: String,
    text: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Arc<str>>,
}

/// What is noted beside a room's lines: of which stream they are a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    stream: String,
    /// In seconds since 1970.
    created: i64,
}

impl Origin {
    /// Servers that make a stream at the same time are told times of their own, of which a cluster keeps the last.
    fn is_that_of(&self, other: &Self) -> bool {
        self.stream == other.stream && self.created.abs_diff(other.created) <= SETTLING.as_secs()
    }
}

impl Log {
    /// `last` is the last line of it that is in the store.
    pub(super) fn new(room: Arc<str>, stream: Stream, last: u64) -> Self {
        Self {
            room,
            stream,
            stored: watch::channel(last).0,
        }
    }
}

impl Nats {
    pub(in crate::hub) async fn append(&self, draft: Draft) -> Result<Receipt, Refusal> {
        // Before anything is waited for: a room's lines go in the order in which they were said, its first ones as well.
        let turn = self.turn(&draft.room);
        let _turn = turn.lock().await;
        if let Err(refusal) = self.made_log(&draft.room).await {
            self.forget_turn(&draft.room);
            return Err(refusal);
        }
        let said = Said {
            from: draft.from.clone(),
            kind: draft.kind.word().to_owned(),
            text: draft.text,
            tag: draft.tag.clone(),
        };
        let said = serde_json::to_vec(&said).map_err(away)?;
        // Without a tag of its own it gets one, so that trying again makes no second line.
        let tag = match &draft.tag {
            Some(tag) => token(&format!("{}\n{tag}", draft.from)),
            None => super::hex(&crate::hub::member::random::<16>()),
        };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", tag.as_str());
        let began = Instant::now();
        loop {
            let subject = subject(&draft.room);
            let said =
                self.jetstream
                    .publish_with_headers(subject, headers.clone(), said.clone().into());
            let acknowledged = async { said.await?.await };
            match timeout(ANSWER, acknowledged).await {
                Ok(Ok(ack)) => {
                    return Ok(Receipt {
                        id: ack.sequence,
                        time: Timestamp::now(),
                        was_there: ack.duplicate,
                    });
                }
                Ok(Err(error)) if began.elapsed() >= WAITING => return Err(away(error)),
                Err(error) if began.elapsed() >= WAITING => return Err(away(error)),
                Ok(Err(_)) | Err(_) => sleep(AGAIN).await,
            }
        }
    }

    /// Waits until the store has what was said in the room until now, if anything was.
    pub(in crate::hub) async fn follow(&self, room: &str) -> Result<(), Refusal> {
        let Some(log) = self.log(room).await? else {
            return Ok(());
        };
        let info = answered(|| log.stream.get_info()).await?;
        let last = info.state.last_sequence;
        let mut stored = log.stored.subscribe();
        let caught_up = stored.wait_for(|stored| *stored >= last);
        match timeout(WAITING, caught_up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(Why::NotKept
                    .because(format!("the hub tells too slowly what was said in #{room}")))
            }
        }
    }

    /// The same, unless it is followed already.
    pub(in crate::hub) async fn follow_begun(&self, room: &str) -> Result<(), Refusal> {
        match self.is_followed(room) {
            true => Ok(()),
            false => self.follow(room).await,
        }
    }

    /// Lines of another stream have numbers that mean something else.
    pub(super) async fn check_origin(&self, room: &str, stream: &Stream) -> Result<(), Refusal> {
        let info = stream.cached_info();
        let origin = Origin {
            stream: info.config.name.clone(),
            created: info.created.unix_timestamp(),
        };
        // No room has such a name.
        let note = format!("~{room}");
        // In this order: who follows it at the same time makes the note before there are lines.
        let has_lines = self.store.bounds(room).await? != (0, 0);
        let known = self.store.state(&note).await?;
        if let Some((_, known)) = &known {
            return match serde_json::from_str::<Origin>(known) {
                Ok(known) if known.is_that_of(&origin) => Ok(()),
                _ => Err(foreign(room)),
            };
        }
        if has_lines {
            return Err(foreign(room));
        }
        let origin = serde_json::to_string(&origin).map_err(away)?;
        self.store.set_state(&note, 0, origin).await?;
        Ok(())
    }
}

pub(super) fn foreign(room: &str) -> Refusal {
    let text = format!(
        "#{room} of the hub is another one than that of this server's database: its person must start it with another --history FILE"
    );
    Why::NotKept.because(text)
}

/// Brings what the stream has, and what comes, into the store, which tells everyone.
pub(super) async fn read(log: Arc<Log>, store: crate::hub::store::Store) {
    loop {
        // Whatever broke off goes on behind the last line that is safe here.
        let _ = read_on(&log, &store).await;
        sleep(AGAIN).await;
    }
}

async fn read_on(log: &Log, store: &crate::hub::store::Store) -> Result<(), async_nats::Error> {
    let next = *log.stored.borrow() + 1;
    let config = Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: next,
        },
        ack_policy: AckPolicy::None,
        inactive_threshold: SILENCE * 4,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    };
    let consumer = log.stream.create_consumer(config).await?;
    let messages = consumer.stream().heartbeat(HEARTBEAT).expires(SILENCE);
    let mut batches = messages.messages().await?.ready_chunks(BATCH);
    let mut last = None;
    while let Some(batch) = batches.next().await {
        let mut lines = Vec::with_capacity(batch.len());
        let mut broken = None;
        for message in batch {
            match message
                .map_err(Into::into)
                .and_then(|message| in_order(&message, &mut last).map(|()| message))
            {
                Ok(message) => lines.extend(line(log, &message)?),
                Err(error) => broken = Some(error),
            }
            if broken.is_some() {
                break;
            }
        }
        if !lines.is_empty() {
            store.insert(lines).await?;
        }
        if let Some(last) = last {
            log.stored.send_replace(last);
        }
        if let Some(error) = broken {
            return Err(error);
        }
    }
    Ok(())
}

/// What was on its way when a connection broke does not come again by itself. Lines leave a stream at its beginning alone, so a
/// gap between two is one of those.
fn in_order(
    message: &async_nats::jetstream::Message,
    last: &mut Option<u64>,
) -> Result<(), async_nats::Error> {
    let id = message.info()?.stream_sequence;
    if last.is_some_and(|last| id != last + 1) {
        return Err(format!("line {id} came out of its turn").into());
    }
    *last = Some(id);
    Ok(())
}

fn line(
    log: &Log,
    message: &async_nats::jetstream::Message,
) -> Result<Option<Arc<Line>>, async_nats::Error> {
    let info = message.info()?;
    // What somebody else has put there is no line.
    let Ok(said) = serde_json::from_slice::<Said>(&message.payload) else {
        return Ok(None);
    };
    let nanos = info.published.unix_timestamp_nanos();
    Ok(Some(Arc::new(Line {
        id: info.stream_sequence,
        time: Timestamp::from_nanosecond(nanos)?,
        room: log.room.clone(),
        from: said.from,
        kind: LineKind::of(&said.kind).unwrap_or(LineKind::Say),
        text: said.text,
        tag: said.tag,
    })))
}

pub(super) fn subject(room: &str) -> String {
    subject_of(&token(room))
}

pub(super) fn subject_of(token: &str) -> String {
    format!("sockeye.room.{token}")
}
