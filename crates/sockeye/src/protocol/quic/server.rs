//! The server's end of one connection: what the client opens becomes sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use quinn::{ConnectionError, RecvStream, SendStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::datagrams::Datagrams;
use super::ends::Ends;
use super::stream::Stream;
use super::{DONE, Shaken, Terms, closing, lost};
use crate::error::{Operation, Result};
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

/// What a client has opened.
enum Opened {
    Stream(Option<SendStream>, RecvStream),
    Datagram(Bytes),
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
    let open = Arc::<Open>::default();
    let mut goodbye = host.goodbye();
    let gone = loop {
        let idle = open.sessions.load(Relaxed) == 0;
        let opened = tokio::select! {
            biased;
            () = &mut goodbye => break None,
            opened = next(&ends, &open) => opened,
            () = open.ended.notified() => continue,
            () = sleep(EMPTY), if idle => break None,
        };
        match opened {
            Ok(opened) => {
                if !begin(opened, &ends, &open, &*host) {
                    break None;
                }
            }
            Err(gone) => break Some((gone, idle)),
        }
    };
    match gone {
        Some((gone, true)) if !closing::is_content(&gone) => {
            Err(lost(Operation::Receive, &ends.address(), &gone))
        }
        Some(_) => Ok(()),
        None => {
            // The sessions have heard the goodbye, too.
            let _ = timeout(grace + LATE, all_ended(&open)).await;
            ends.connection.close(DONE, b"");
            Ok(())
        }
    }
}

async fn all_ended(open: &Open) {
    while open.sessions.load(Relaxed) > 0 {
        open.ended.notified().await;
    }
}

/// What the client opens next. Cancel-safe.
async fn next(ends: &Ends, open: &Open) -> Result<Opened, ConnectionError> {
    let connection = &ends.connection;
    let free = open.datagrams.load(Relaxed) == 0;
    tokio::select! {
        both = connection.accept_bi() => both.map(|(out, into)| Opened::Stream(Some(out), into)),
        one = connection.accept_uni() => one.map(|into| Opened::Stream(None, into)),
        datagram = connection.read_datagram(), if free => datagram.map(Opened::Datagram),
    }
}

/// Begins a session. `false`: no more are taken.
fn begin(opened: Opened, ends: &Arc<Ends>, open: &Arc<Open>, host: &dyn Host) -> bool {
    let terms = &ends.terms;
    let identity = ends.identity();
    let datagrams = matches!(opened, Opened::Datagram(_));
    let session = match opened {
        Opened::Stream(sending, receiving) => {
            let stream = Stream::new(ends.clone(), sending, receiving, None);
            let link = Link::Bytes(ByteStream::new(stream), terms.framing.clone());
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
    host.welcome(session, Box::new(move |_| drop(end)))
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
