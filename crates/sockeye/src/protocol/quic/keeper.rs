//! Who sees a connection that was dialed to its end: it moves when it has to, and parts so that the peer hears of it.

use std::future::pending;
use std::net::UdpSocket;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quinn::{Endpoint, VarInt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::QuicVersion;
use super::client::bound;
use super::direct::Direct;
use super::ends::Ends;
use crate::error::{Error, Operation, Result};
use crate::session::Endpoint as End;

/// Those who are at it: connections outlive their sessions for a moment.
static KEEPERS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// How long the goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(100);

/// How long the peer may take to answer at a new address of ours.
const MOVE: Duration = Duration::from_secs(5);

/// How soon it is tried again to have an address at all.
const AGAIN: Duration = Duration::from_millis(500);

/// Returns when every QUIC connection that was dialed and is over has told its peer so, or after a second. For the
/// end of a program: a peer that is not told waits for half a minute.
pub async fn end_connections() {
    KEEPERS.close();
    // One whose session somebody still holds is not over, and must not hold up the end.
    let _ = timeout(Duration::from_secs(1), KEEPERS.wait()).await;
}

/// See [`end_connections`].
pub(super) fn all() -> &'static TaskTracker {
    &KEEPERS
}

/// How a connection moves: when its address is gone, and when that is wanted.
pub(crate) struct Move {
    /// Moves without being forced to, after this long.
    pub(crate) after: Option<Duration>,
    /// Another socket.
    pub(crate) socket: Box<dyn Fn() -> Result<UdpSocket> + Send + Sync>,
}

pub(super) struct Keeper {
    pub(super) endpoint: Endpoint,
    pub(super) socket: Arc<Direct>,
    pub(super) version: QuicVersion,
    /// Where we are.
    pub(super) local: End,
    pub(super) ends: Arc<Ends>,
    /// The room for datagrams while none wait to be sent.
    pub(super) room: usize,
    pub(super) left: CancellationToken,
    /// The connection is closed with this.
    pub(super) code: VarInt,
}

impl Keeper {
    pub(super) fn start(self, moving: Move) {
        crate::task::spawn(&KEEPERS, self.keep(moving));
    }

    async fn keep(mut self, moving: Move) {
        let (left, connection) = (self.left.clone(), self.ends.connection.clone());
        tokio::select! {
            () = self.travel(moving) => {}
            () = left.cancelled() => {}
            _ = connection.closed() => {}
        }
        left.cancelled().await;
        self.part().await;
    }

    /// Moves as often as it has to. Never ends.
    async fn travel(&mut self, moving: Move) {
        let mut wanted = pin!(async {
            match moving.after {
                Some(after) => sleep(after).await,
                None => pending().await,
            }
        });
        let mut done = false;
        loop {
            let forced = tokio::select! {
                () = &mut wanted, if !done => false,
                () = self.socket.stranded() => true,
            };
            done |= !forced;
            let mut told = false;
            while let Err(error) = self.go(&moving).await {
                if !told {
                    let note = format!("not moved: {error}");
                    self.ends.terms.identity.note(&note);
                }
                if !forced {
                    break;
                }
                told = true;
                sleep(AGAIN).await;
            }
        }
    }

    /// Moves to another socket, and tells of it.
    async fn go(&mut self, moving: &Move) -> Result<()> {
        let identity = &self.ends.terms.identity;
        let peer = identity.peer();
        let failed = |source| Error::io(Operation::Connect, peer, source);
        let (local, socket) = bound(
            (moving.socket)()?,
            self.version,
            self.socket.lookout.clone(),
        )
        .map_err(failed)?;
        let rebound = self.endpoint.rebind_abstract(socket.clone());
        rebound.map_err(failed)?;
        let local = End::from(local);
        let answered = match timeout(MOVE, socket.heard()).await {
            Ok(()) => "which answers there".to_owned(),
            Err(_) => format!("from which nothing has come there within {MOVE:?}"),
        };
        self.ends.count_move();
        let before = std::mem::replace(&mut self.local, local);
        let now = &self.local;
        identity.note(&format!(
            "moved from {before} to {now}, with {peer}, {answered}"
        ));
        self.socket = socket;
        Ok(())
    }

    /// Closes the connection, and waits until the peer has been told: a program may end right after.
    async fn part(self) {
        let connection = &self.ends.connection;
        if connection.close_reason().is_some() {
            return;
        }
        let queued = async {
            while connection.datagram_send_buffer_space() < self.room
                && connection.close_reason().is_none()
            {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(GOODBYE, queued).await;
        connection.close(self.code, b"");
        let _ = timeout(GOODBYE, self.socket.sends_once_more()).await;
    }
}
