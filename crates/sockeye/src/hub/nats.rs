//! Several machines as one chat, through NATS: each room is a stream of JetStream, which orders its lines and keeps them;
//! names, passwords and what owners settle are in its key-value buckets; who is where goes by plain messages.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::{self, kv};
use async_nats::{Client, ConnectOptions, Event};
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::event::News;
use super::people::{HELD, People};
use super::refusal::{Refusal, Why};
use super::room::Rooms;
use super::store::{Retention, Store};
use crate::error::{Error, Operation, Result};
use crate::task;

mod accounts;
mod log;
mod names;
mod nodes;
mod presence;
mod rooms;

use log::Log;
pub(super) use presence::Remote;
use rooms::{Listed, Turns};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a cluster may need to find itself.
const SETTLING: Duration = Duration::from_secs(20);
/// After how long something is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How many servers keep each thing, in a cluster.
const REPLICAS: usize = 3;
/// How long a resume token is worth something, and so is kept.
const TOKENS: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Where the servers are that several machines share.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// `nats://host:4222`, `tls://…`: one or more of a cluster.
    pub servers: Vec<String>,
    /// A file of credentials (`.creds`).
    pub credentials: Option<PathBuf>,
    /// A file with the certificates to trust.
    pub ca: Option<PathBuf>,
    /// How many servers are to keep each thing; 3 in a cluster and 1 else, unless this says something.
    pub replicas: Option<usize>,
    /// Whether the servers write to disk before they acknowledge (`sync_interval: always`): they do not tell.
    pub syncs: bool,
}

pub(super) struct Nats {
    /// What this machine is called among the others.
    node: String,
    client: Client,
    jetstream: jetstream::Context,
    replicas: usize,
    syncs: bool,
    keep: Retention,
    store: Store,
    rooms: Arc<Rooms>,
    people: Arc<People>,
    /// Rooms that are followed.
    logs: std::sync::Mutex<HashMap<Arc<str>, Arc<Log>>>,
    turns: std::sync::Mutex<Turns>,
    listed: Mutex<Option<Arc<Listed>>>,
    names: kv::Store,
    accounts: kv::Store,
    tokens: kv::Store,
    states: kv::Store,
    mail: jetstream::stream::Stream,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Nats {
    /// Connects, and makes what is not there.
    pub(super) async fn connect(
        options: &NatsOptions,
        keep: Retention,
        store: Store,
        rooms: Arc<Rooms>,
        people: Arc<People>,
    ) -> Result<Arc<Self>> {
        let at = options.servers.join(",");
        let cannot = |what: &str, error: &dyn std::fmt::Display| Error::Protocol {
            operation: Operation::Connect,
            address: at.clone(),
            reason: format!("{what}: {error}"),
        };
        let client = dial(options, people.clone())
            .await
            .map_err(|error| unreachable(&at, &*error))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER);
        let is_cluster = client.server_info().cluster.is_some();
        let replicas = options
            .replicas
            .unwrap_or(if is_cluster { REPLICAS } else { 1 });
        let without = |error: &dyn std::fmt::Display| {
            cannot("it needs JetStream, to keep what is said", error)
        };
        let bucket = async |name: &str, age: Duration| {
            let made = made(&jetstream, bucket(name, age, replicas)).await;
            made.map_err(|error| without(&error))?;
            let opened = jetstream.get_key_value(format!("sockeye-{name}")).await;
            opened.map_err(|error| without(&error))
        };
        let mail = accounts::boxes(replicas);
        let nats = Arc::new(Self {
            node: hex(&super::member::random::<8>()),
            names: bucket("names", HELD).await?,
            accounts: bucket("accounts", Duration::ZERO).await?,
            tokens: bucket("tokens", TOKENS).await?,
            states: bucket("rooms", Duration::ZERO).await?,
            mail: made(&jetstream, mail)
                .await
                .map_err(|error| cannot("it cannot keep messages", &error))?,
            client,
            jetstream,
            replicas,
            syncs: options.syncs,
            keep,
            store,
            rooms,
            people,
            logs: std::sync::Mutex::default(),
            turns: std::sync::Mutex::default(),
            listed: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        nats.listen()
            .await
            .map_err(|error| cannot("it lets nobody listen", &error))?;
        Ok(nats)
    }

    /// How safe a line is that was acknowledged. What JetStream says by itself does not outlive a power cut: it
    /// writes to disk every two minutes.
    pub(super) fn promise(&self) -> String {
        match (self.replicas, self.syncs) {
            (servers, true) => format!("written to disk by {servers} of the hub's servers before you see the tick"),
            (1, false) => {
                "kept by the hub before you see the tick, but a power cut there can take the last two minutes"
                    .to_owned()
            }
            (servers, false) => {
                format!("kept by most of {servers} servers of the hub before you see the tick")
            }
        }
    }

    /// Whether a power cut at one place takes nothing that was acknowledged.
    pub(super) fn outlives_power_cuts(&self) -> bool {
        self.syncs || self.replicas >= REPLICAS
    }

    /// Stops all that it does beside.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs `work` until the hub is closed.
    fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        // It ends with the hub, which nobody waits for.
        drop(task::spawn(&self.tasks, async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        }));
    }
}

/// A stream that is there or is made; a cluster that has just started needs a moment before it can.
async fn made(
    jetstream: &jetstream::Context,
    config: jetstream::stream::Config,
) -> std::result::Result<jetstream::stream::Stream, CreateStreamError> {
    let began = Instant::now();
    loop {
        let error = match jetstream.get_or_create_stream(config.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let may_change = matches!(
            error.kind(),
            CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStream(_)
        );
        if !may_change || began.elapsed() >= SETTLING {
            return Err(error);
        }
        sleep(AGAIN).await;
    }
}

/// A bucket as a stream: asking the library for one asks the server first what only newer ones tell (2.10).
fn bucket(name: &str, age: Duration, replicas: usize) -> jetstream::stream::Config {
    jetstream::stream::Config {
        name: format!("KV_sockeye-{name}"),
        subjects: vec![format!("$KV.sockeye-{name}.>")],
        max_age: age,
        max_messages_per_subject: 1,
        num_replicas: replicas,
        discard: jetstream::stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..jetstream::stream::Config::default()
    }
}

async fn dial(
    options: &NatsOptions,
    people: Arc<People>,
) -> std::result::Result<Client, async_nats::Error> {
    let mut connect = ConnectOptions::new()
        .name("sockeye")
        .connection_timeout(ANSWER)
        .request_timeout(Some(ANSWER))
        .event_callback(move |event| {
            let people = people.clone();
            async move {
                match event {
                    Event::Disconnected => {
                        people.tell(
                            "the hub is away: what you say waits until it is back",
                            News::Notice,
                        );
                    }
                    Event::Connected => people.tell("the hub is back", News::Notice),
                    _ => {}
                }
            }
        });
    if let Some(path) = &options.credentials {
        connect = connect.credentials_file(path).await?;
    }
    if let Some(path) = &options.ca {
        connect = connect.add_root_certificates(path.clone());
    }
    let servers: Vec<async_nats::ServerAddr> = options
        .servers
        .iter()
        .map(|server| server.parse())
        .collect::<std::result::Result<_, _>>()?;
    Ok(connect.connect(servers).await?)
}

/// Nobody is there, or nobody who speaks NATS.
fn unreachable(at: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let kind = causes.find_map(|error| {
        error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind)
    });
    let source = std::io::Error::new(kind.unwrap_or(std::io::ErrorKind::Other), error.to_string());
    Error::io(Operation::Connect, at, source)
}

/// Told to somebody when the hub does not do what it was asked for.
fn away(error: impl std::fmt::Display) -> Refusal {
    Why::NotKept.because(format!("the hub does not answer: {error}"))
}

/// What the hub says to a question, which is asked until it does, but no longer than whoever waits can be kept: while a
/// cluster replaces a server it answers nothing.
async fn answered<T, E: std::fmt::Display, Asked>(
    ask: impl Fn() -> Asked,
) -> std::result::Result<T, Refusal>
where
    Asked: Future<Output = std::result::Result<T, E>>,
{
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if began.elapsed() >= SETTLING => return Err(away(error)),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// A name of any letters, as subjects and keys can have it.
fn token(name: &str) -> String {
    hex(&digest(&SHA256, name.as_bytes()).as_ref()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
