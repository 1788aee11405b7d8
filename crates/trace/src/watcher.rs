//! Looks again and again at what the kernel says of connections (sock_diag(7)), and tells what must have been between
//! two looks. That needs no privilege.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::course::Said;
use crate::event::{Side, State, Step};
use crate::kernel::{Kernel, Socket, lingers};
use crate::live::{Live, kernel};
use crate::words::grouped;

mod crowd;

use crowd::Crowd;

/// How soon it is looked again while something changes; and as long after that.
const BUSY: Duration = Duration::from_millis(2);
const LASTS: Duration = Duration::from_millis(200);

/// How soon when nothing does.
const QUIET: Duration = Duration::from_millis(20);

/// A look takes no more than one part in so many of all time: tables of many connections are long.
const SHARE: u32 = 5;

/// Whose connections are looked at.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// Those with one of these ports at one end.
    pub ports: HashSet<u16>,
    /// Those with one of these addresses at one end.
    pub peers: HashSet<SocketAddr>,
    /// Those of this program.
    pub process: Option<u32>,
}

/// Looks at connections: at some of our own while they close, and at those of others all the time.
#[derive(Debug)]
pub struct Watcher {
    kernel: Kernel,
    own: HashMap<[SocketAddr; 2], Own>,
    crowd: Option<Crowd>,
    /// When it is looked next, and how soon after that.
    next: Instant,
    changed: Instant,
}

/// A connection of our own, whose bytes are told by its socket. Its ends are A's and B's.
#[derive(Debug)]
struct Own {
    said: [Option<Said>; 2],
    /// Which ends are here, or were.
    here: [bool; 2],
    stage: Stage,
    /// How many of its SYNs were sent again.
    again: u64,
}

/// How far a connection of our own has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its first SYN has left: the kernel is asked how often that is sent again, until an answer is told.
    Dials,
    /// It has just begun: the kernel is asked once.
    #[default]
    Stands,
    /// An end of it has come: the kernel is asked until both have. What has not been read yet is not told.
    Closes,
    /// We have closed it, and nothing more is read.
    Parted,
}

impl Watcher {
    /// One that looks at nothing yet.
    ///
    /// # Errors
    /// As opening a socket.
    pub fn open() -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            kernel: Kernel::open()?,
            own: HashMap::new(),
            crowd: None,
            next: now,
            changed: now,
        })
    }

    /// Looks at the connections of others from now on.
    pub fn watch(&mut self, whose: Whose) {
        match &mut self.crowd {
            Some(crowd) => crowd.whose = whose,
            None => self.crowd = Some(Crowd::new(whose)),
        }
        self.next = Instant::now();
    }

    /// Looks at a connection of our own, which has `local` at this end.
    pub fn follow(&mut self, live: &Live, (local, peer): (SocketAddr, SocketAddr), stage: Stage) {
        let Some(ends) = live.ends_of(local, peer) else {
            return;
        };
        let own = self.own.entry(ends).or_insert_with(|| Own {
            said: [None; 2],
            // It may be gone before the first look.
            here: ends.map(|end| end == local),
            stage,
            again: 0,
        });
        own.stage = own.stage.max(stage);
        self.next = Instant::now();
    }

    /// When it is to be looked again.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let looks = !self.own.is_empty() || self.crowd.is_some();
        looks.then_some(self.next)
    }

    /// Looks, if it is time, and tells what has changed. `time` is in nanoseconds since 1970.
    ///
    /// # Errors
    /// As asking the kernel.
    pub fn look(&mut self, live: &mut Live, time: u64) -> io::Result<()> {
        let start = Instant::now();
        if self.due().is_none_or(|due| start < due) {
            return Ok(());
        }
        let mut changed = false;
        let Self { kernel, own, .. } = self;
        let mut all = std::mem::take(own);
        for (ends, one) in &mut all {
            changed |= one.look(kernel, *ends, live, time)?;
        }
        all.retain(|ends, one| one.stage != Stage::Stands && !one.is_over(*ends, live));
        self.own = all;
        if let Some(crowd) = &mut self.crowd {
            changed |= crowd.look(&mut self.kernel, live, time)?;
        }
        let now = Instant::now();
        if changed {
            self.changed = now;
        }
        let pace = match now.duration_since(self.changed) < LASTS {
            true => BUSY,
            false => QUIET,
        };
        self.next = now + pace.max(now.duration_since(start) * SHARE);
        Ok(())
    }
}

impl Own {
    /// Whether something has changed.
    fn look(
        &mut self,
        kernel: &mut Kernel,
        ends: [SocketAddr; 2],
        live: &mut Live,
        time: u64,
    ) -> io::Result<bool> {
        if live.ends_of(ends[0], ends[1]) != Some(ends) {
            return Ok(false);
        }
        let [a, b] = ends;
        let sockets = [kernel.one(a, b)?, kernel.one(b, a)?];
        let mut said = [0, 1].map(|side| match &sockets[side] {
            Some(socket) => Some(Said::In(socket.state)),
            None => self.here[side].then_some(Said::Gone),
        });
        for (here, socket) in self.here.iter_mut().zip(&sockets) {
            *here |= socket.is_some();
        }
        let mut changed = false;
        match self.stage {
            // Our own socket tells of the answer.
            Stage::Dials => {
                changed = self.dials(&sockets, ends, live, time);
                said = said.map(|said| said.filter(|said| *said == Said::In(State::SynSent)));
            }
            Stage::Stands | Stage::Closes => said = live.as_read(ends, said),
            Stage::Parted => {}
        }
        if said == self.said {
            return Ok(changed);
        }
        self.said = said;
        live.told(time, ends, said, lingering(&sockets, live.names(ends)));
        Ok(true)
    }

    /// Tells of a SYN that was sent again, and whether one was.
    fn dials(
        &mut self,
        sockets: &[Option<Socket>; 2],
        ends: [SocketAddr; 2],
        live: &mut Live,
        time: u64,
    ) -> bool {
        let of = |side: Side| {
            let socket = sockets[side.index()].as_ref()?;
            let again = socket.info?.again;
            let more = socket.state == State::SynSent && again > self.again;
            more.then_some((side, again))
        };
        let Some((side, again)) = Side::BOTH.into_iter().find_map(of) else {
            return false;
        };
        let steps = vec![sent_again(again - self.again)];
        self.again = again;
        live.noted(time, ends, (side, "sent again"), steps);
        true
    }

    fn is_over(&self, ends: [SocketAddr; 2], live: &Live) -> bool {
        let done =
            |said: Option<Said>| !matches!(said, Some(Said::In(state)) if state != State::TimeWait);
        live.ends_of(ends[0], ends[1]) != Some(ends)
            || (self.said.into_iter().all(done) && live.is_over(ends))
    }
}

/// What the kernel says, after what it `said` before: who was never there is not gone.
fn said(sockets: &[Option<Socket>; 2], before: [Option<Said>; 2]) -> [Option<Said>; 2] {
    [0, 1].map(|side| match (&sockets[side], before[side]) {
        (Some(socket), _) => Some(Said::In(socket.state)),
        (None, Some(_)) => Some(Said::Gone),
        (None, None) => None,
    })
}

/// How many segments were, since the last look.
fn sent_again(count: u64) -> Step {
    let plural = if count == 1 { "" } else { "s" };
    kernel(format!("{} segment{plural} sent again", grouped(count)))
}

/// Who is in TIME-WAIT, and for how much longer.
fn lingering(sockets: &[Option<Socket>; 2], names: [&str; 2]) -> Vec<Step> {
    let named = sockets.iter().zip(names);
    let waiting = named.filter_map(|(socket, name)| {
        let socket = socket.as_ref()?;
        (socket.state == State::TimeWait).then_some(())?;
        Some(kernel(lingers(name, socket.left?)))
    });
    waiting.collect()
}
