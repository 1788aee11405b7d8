//! Who is there, and who is talked to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sockeye::{Info, Message};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// One session at the console.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) info: Arc<Info>,
    /// Whether the carrier keeps message boundaries.
    pub(crate) packets: bool,
    pub(crate) orders: mpsc::Sender<Order>,
    /// How many messages came.
    pub(crate) heard: watch::Sender<u64>,
    /// Cancelled when the peer has finished.
    pub(crate) finished: CancellationToken,
}

/// What a session is told to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Send this.
    Say(Message),
    /// There will be nothing more to say: do what `--eof` says.
    End,
    /// Close now.
    Close,
}

/// Who is there.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    aim: Aim,
    /// Whether there will be nothing more to say to anyone.
    ended: bool,
}

/// Whom a line without a name goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aim {
    #[default]
    All,
    One(String),
}

impl Roster {
    pub(crate) fn add(&self, member: Member) {
        let mut state = self.lock();
        if state.ended {
            // There is room: a new member's queue is empty.
            let _ = member.orders.try_send(Order::End);
        }
        state.members.push(member);
        drop(state);
        self.arrived.notify_waiters();
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut state = self.lock();
        let Some(at) = state
            .members
            .iter()
            .position(|member| member.info.id() == id)
        else {
            return;
        };
        let gone = state.members.remove(at);
        if state.aim == Aim::One(gone.name) {
            state.aim = Aim::All;
        }
    }

    /// Everyone, in the order in which they came.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.lock().members.clone()
    }

    /// Waits until somebody is there.
    pub(crate) async fn somebody(&self) {
        loop {
            let arrived = self.arrived.notified();
            if !self.lock().members.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Waits until everyone who is there has finished.
    pub(crate) async fn finished(&self) {
        for member in self.members() {
            member.finished.cancelled().await;
        }
    }

    /// The one that `name` means: a name, with or without `@` or `#`, or a beginning that only one has.
    pub(crate) fn find(&self, name: &str) -> Result<Member, String> {
        let plain = |name: &str| name.trim_start_matches(['@', '#']).to_owned();
        let wanted = plain(name);
        let members = self.members();
        if let Some(member) = members.iter().find(|member| plain(&member.name) == wanted) {
            return Ok(member.clone());
        }
        let mut alike = members
            .iter()
            .filter(|member| plain(&member.name).starts_with(&wanted));
        match (alike.next(), alike.next()) {
            (Some(member), None) => Ok(member.clone()),
            (Some(_), Some(_)) => Err(format!(
                "`{name}` could be several; /list shows who is there"
            )),
            (None, _) => Err(format!(
                "nobody here is called `{name}`; /list shows who is there"
            )),
        }
    }

    pub(crate) fn aim(&self) -> Aim {
        self.lock().aim.clone()
    }

    pub(crate) fn aim_at(&self, aim: Aim) {
        self.lock().aim = aim;
    }

    /// Those that a line without a name goes to.
    pub(crate) fn aimed(&self) -> Vec<Member> {
        let state = self.lock();
        let aimed = |member: &&Member| match &state.aim {
            Aim::All => true,
            Aim::One(name) => member.name == *name,
        };
        state.members.iter().filter(aimed).cloned().collect()
    }

    /// There will be nothing more to say, to these and to whoever still comes.
    pub(crate) async fn end(&self) {
        self.lock().ended = true;
        for member in self.members() {
            // A session that is over needs no order.
            let _ = member.orders.send(Order::End).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
