//! The server's end of one connection: what the client opens becomes sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::datagrams::Datagrams;
use super::ends::Ends;
use super::stream::Stream;
use super::{DONE, Shaken, Terms, closing, lost};
use crate::error::{Error, Operation, Result};
use crate::protocol::Host;
use crate::session::{Info, Link, Session};
use crate::stream::ByteStream;

/// A connection without a session is closed after this long.
const EMPTY: Duration = Duration::from_secs(60);

/// How long sessions that were told to end are waited for, beyond the grace that they have.
const LATE: Duration = Duration::from_secs(1);

/// Sessions of one connection that have not ended.
#[derive(Default)]
struct Open {
    sessions: AtomicUsize,
    /// Whether one of them has the datagrams.
    datagrams: AtomicUsize,
    ended: Notify,
}

/// A stream that a peer has opened.
pub(in crate::protocol) struct Brought {
    /// `None`: it is in the peer's direction only.
    pub(in crate::protocol) sending: Option<SendStream>,
    pub(in crate::protocol) receiving: RecvStream,
    /// What was read of it to see whose it is.
    pub(in crate::protocol) read: Bytes,
}

impl Brought {
    pub(in crate::protocol) fn new(sending: Option<SendStream>, receiving: RecvStream) -> Self {
        Self {
            sending,
            receiving,
            read: Bytes::new(),
        }
    }
}

/// What a client has opened.
enum Opened {
    Stream(Brought),
    Datagram(Bytes),
}

/// Where the streams come from.
enum Source<'a> {
    /// All of the connection's.
    Connection,
    /// Those that were sorted out for a session.
    Session(&'a mut mpsc::UnboundedReceiver<Brought>),
}

/// Why nothing more comes.
enum Gone {
    Connection(ConnectionError),
    Session,
}

/// Serves a connection until one of the ends closes it. `grace`: how long sessions may take to end at a goodbye.
///
/// # Errors
/// When the client has closed it with a code, or it broke, and no session was there to be told.
pub(crate) async fn serve(
    shaken: Shaken,
    terms: Terms,
    grace: Duration,
    host: Arc<dyn Host>,
) -> Result<()> {
    let ends = Ends::new(shaken.connection, terms, shaken.path);
    let served = attend(&ends, Source::Connection, grace, &*host).await;
    if let Ok(true) = served {
        ends.connection.close(DONE, b"");
    }
    served.map(drop)
}

/// Serves a session inside of a connection, whose streams come through `streams`, until one of the ends closes it.
/// `true`: this end is to.
///
/// # Errors
/// As [`serve`].
pub(in crate::protocol) async fn serve_within(
    ends: &Arc<Ends>,
    streams: &mut mpsc::UnboundedReceiver<Brought>,
    grace: Duration,
    host: &dyn Host,
) -> Result<bool> {
    attend(ends, Source::Session(streams), grace, host).await
}

/// `true`: it is for this end to close it.
async fn attend(
    ends: &Arc<Ends>,
    mut source: Source<'_>,
    grace: Duration,
    host: &dyn Host,
) -> Result<bool> {
    let open = Arc::<Open>::default();
    let mut goodbye = host.goodbye();
    let gone = loop {
        let idle = open.sessions.load(Relaxed) == 0;
        let opened = tokio::select! {
            biased;
            () = &mut goodbye => break None,
            opened = next(&mut source, ends, &open) => opened,
            () = open.ended.notified() => continue,
            // A session was asked for, and may be held without a stream as long as its client likes.
            () = sleep(EMPTY), if idle && matches!(source, Source::Connection) => break None,
        };
        match opened {
            Ok(opened) => {
                if !begin(opened, ends, &open, host) {
                    break None;
                }
            }
            Err(gone) => break Some((gone, idle)),
        }
    };
    let Some((gone, unheard)) = gone else {
        // The sessions have heard the goodbye, too.
        let _ = timeout(grace + LATE, all_ended(&open)).await;
        return Ok(true);
    };
    let told = match gone {
        _ if !unheard => Ok(()),
        Gone::Connection(error) if closing::is_content(ends, &error) => Ok(()),
        Gone::Connection(error) => Err(lost(Operation::Receive, &ends.address(), &error)),
        Gone::Session => closing::of_session(ends, Operation::Receive)
            .map_err(|error| Error::io(Operation::Receive, ends.address(), error)),
    };
    told.map(|()| false)
}

async fn all_ended(open: &Open) {
    while open.sessions.load(Relaxed) > 0 {
        open.ended.notified().await;
    }
}

/// What the client opens next. Cancel-safe.
async fn next(source: &mut Source<'_>, ends: &Ends, open: &Open) -> Result<Opened, Gone> {
    let free = open.datagrams.load(Relaxed) == 0;
    let opened = tokio::select! {
        stream = source.next(&ends.connection) => stream.map(Opened::Stream),
        datagram = datagram(ends), if free => datagram.map(Opened::Datagram),
        () = ends.over() => return Err(Gone::Session),
    };
    opened.map_err(Gone::Connection)
}

impl Source<'_> {
    /// Cancel-safe.
    async fn next(&mut self, connection: &Connection) -> Result<Brought, ConnectionError> {
        match self {
            Self::Connection => tokio::select! {
                both = connection.accept_bi() => {
                    both.map(|(out, into)| Brought::new(Some(out), into))
                }
                one = connection.accept_uni() => one.map(|into| Brought::new(None, into)),
            },
            Self::Session(streams) => match streams.recv().await {
                Some(stream) => Ok(stream),
                // Who brings them has gone with the connection.
                None => Err(connection.closed().await),
            },
        }
    }
}

/// The next datagram of the session. Cancel-safe: those that are passed over are nobody's.
async fn datagram(ends: &Ends) -> Result<Bytes, ConnectionError> {
    loop {
        if let Some(own) = ends.unlabelled(ends.connection.read_datagram().await?) {
            return Ok(own);
        }
    }
}

/// Begins a session. `false`: no more are taken.
fn begin(opened: Opened, ends: &Arc<Ends>, open: &Arc<Open>, host: &dyn Host) -> bool {
    let terms = &ends.terms;
    let identity = ends.identity();
    let datagrams = matches!(opened, Opened::Datagram(_));
    let session = match opened {
        Opened::Stream(brought) => {
            let stream = Stream::new(ends.clone(), brought.sending, brought.receiving, None);
            let stream = ByteStream::new(stream.behind(brought.read));
            let link = Link::Bytes(stream, terms.framing.clone());
            Session::new(link, identity, terms.max_message)
        }
        Opened::Datagram(first) => {
            open.datagrams.store(1, Relaxed);
            let info = Arc::new(Info::new(identity));
            let packets = Datagrams::new(ends.clone(), info.clone(), Some(first), None);
            Session::of_packets(info, Box::new(packets))
        }
    };
    open.sessions.fetch_add(1, Relaxed);
    let end = End {
        open: open.clone(),
        datagrams,
    };
    let told = Box::new(move |_: &_| drop(end));
    match ends.within {
        // The request that it began with has said the token.
        Some(_) => host.open(session, told),
        None => host.welcome(session, told),
    }
}

/// Counts the end of a session, however it comes.
struct End {
    open: Arc<Open>,
    datagrams: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        self.open.sessions.fetch_sub(1, Relaxed);
        if self.datagrams {
            self.open.datagrams.store(0, Relaxed);
        }
        self.open.ended.notify_one();
    }
}
