//! Connections of others: found by port, address or program, and compared with what they were a look before.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::SocketAddr;

use super::{Whose, lingering, said};
use crate::course::Said;
use crate::event::{Side, State, Step};
use crate::kernel::{Info, Kernel, Socket, facts_of};
use crate::live::{Live, kernel};
use crate::words::grouped;

/// Those that are looked at.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) whose: Whose,
    known: HashMap<[SocketAddr; 2], Known>,
    /// What is there at the first look was there before.
    is_first: bool,
}

/// What is known of one connection, by its ends in order of their addresses.
#[derive(Debug)]
struct Known {
    /// A and B.
    ends: [SocketAddr; 2],
    said: [Option<Said>; 2],
    /// How many bytes A and B have said, and how many segments they have sent again.
    bytes: [u64; 2],
    again: [u64; 2],
    /// The facts of one that stands were told.
    stands: bool,
    /// Nothing of it is told any more.
    over: bool,
}

/// The ends of one connection that are here, A's and B's.
type Pair = [Option<Socket>; 2];

impl Crowd {
    pub(super) fn new(whose: Whose) -> Self {
        Self {
            whose,
            known: HashMap::new(),
            is_first: true,
        }
    }

    /// Whether something has changed.
    pub(super) fn look(
        &mut self,
        kernel: &mut Kernel,
        live: &mut Live,
        time: u64,
    ) -> io::Result<bool> {
        let sockets = self.ask(kernel)?;
        Ok(self.compare(sockets, live, time))
    }

    /// Everything that may be of interest.
    fn ask(&self, kernel: &mut Kernel) -> io::Result<Vec<Socket>> {
        let Whose {
            ports,
            peers,
            process,
        } = &self.whose;
        if process.is_some() {
            return kernel.all(None);
        }
        let mut asked: Vec<u16> = ports.iter().copied().collect();
        asked.extend(peers.iter().map(SocketAddr::port));
        asked.sort_unstable();
        asked.dedup();
        let mut found = Vec::new();
        for port in asked {
            found.extend(kernel.all(Some(port))?);
        }
        Ok(found)
    }

    fn compare(&mut self, sockets: Vec<Socket>, live: &mut Live, time: u64) -> bool {
        let (listening, sockets): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|socket| socket.state == State::Listen);
        let mut found = self.pairs(sockets, &listening);
        let is_first = std::mem::take(&mut self.is_first);
        let mut changed = false;
        let keys: HashSet<_> = self.known.keys().chain(found.keys()).copied().collect();
        for key in keys {
            let pair = found.remove(&key).unwrap_or([None, None]);
            match self.known.get_mut(&key) {
                // The same ports again, after one that was over.
                Some(known) if known.over && is_new(&pair) => {
                    let ends = known.ends;
                    self.known.insert(key, Known::new(ends));
                }
                Some(_) => {}
                None => {
                    let mut known = Known::new(ends(&pair, &listening, &self.whose));
                    known.over = is_first && !known.was_before(&ordered(&pair, known.ends), live, time);
                    self.known.insert(key, known);
                }
            }
            if let Some(known) = self.known.get_mut(&key)
                && !known.over
            {
                changed |= known.look(&ordered(&pair, known.ends), live, time);
            }
            if pair.iter().all(Option::is_none) {
                self.known.remove(&key);
            }
        }
        changed
    }

    /// The ends that are of interest, by the connections that they are of.
    fn pairs(
        &self,
        sockets: Vec<Socket>,
        listening: &[Socket],
    ) -> HashMap<[SocketAddr; 2], Pair> {
        let inodes = self.whose.process.map(inodes);
        let of = |socket: &Socket| {
            let inodes = inodes.as_ref()?;
            Some(inodes.contains(&socket.inode))
        };
        let served: Vec<_> = listening
            .iter()
            .filter(|socket| of(socket) == Some(true))
            .collect();
        let Whose { ports, peers, .. } = &self.whose;
        let wanted = |socket: &Socket| {
            let both = [socket.own, socket.peer];
            both.iter()
                .any(|end| ports.contains(&end.port()) || peers.contains(end))
                || of(socket) == Some(true)
                || served.iter().any(|server| serves(server, socket.own))
                || self.known.contains_key(&key(socket))
        };
        let mine: HashSet<_> = sockets
            .iter()
            .filter(|socket| wanted(socket))
            .map(key)
            .collect();
        let mut found: HashMap<_, Pair> = HashMap::new();
        for socket in sockets {
            let key = key(&socket);
            if mine.contains(&key) {
                let side = usize::from(socket.own == key[1]);
                found.entry(key).or_insert([None, None])[side] = Some(socket);
            }
        }
        found
    }
}

impl Known {
    fn new(ends: [SocketAddr; 2]) -> Self {
        Self {
            ends,
            said: [None; 2],
            bytes: [0; 2],
            again: [0; 2],
            stands: false,
            over: false,
        }
    }

    /// It had begun before anybody looked: what it is now. Whether it goes on.
    fn was_before(&mut self, pair: &Pair, live: &mut Live, time: u64) -> bool {
        let now = said(pair, self.said);
        let ended = |said: &Said| matches!(said, Said::In(State::TimeWait | State::Closed));
        if now.iter().flatten().all(ended) {
            return false;
        }
        let opens = |said: &Said| matches!(said, Said::In(State::SynSent | State::SynReceived));
        if now.iter().flatten().any(opens) {
            return true;
        }
        self.said = now;
        self.bytes = bytes(pair);
        self.again = again(pair);
        self.stands = true;
        let [a, b] = self.bytes.map(grouped);
        let before = format!("stood before this look; so far {a} bytes →, {b} bytes ←");
        let mut steps = vec![kernel(before)];
        steps.extend(info(pair).map(|info| kernel(facts_of(info))));
        live.midway(time, self.ends, now, steps);
        true
    }

    /// Tells what has changed, and whether something has.
    fn look(&mut self, pair: &Pair, live: &mut Live, time: u64) -> bool {
        let now = said(pair, self.said);
        let mut changed = now != self.said;
        let facts = info(pair).filter(|_| !self.stands);
        let steps = facts.map(|info| kernel(facts_of(info)));
        if changed {
            let stands = |said: &Said| matches!(said, Said::In(State::Established));
            self.stands |= now.iter().flatten().any(stands);
            live.opened(time, self.ends, now, steps.into_iter().collect());
        }
        changed |= self.count(pair, live, time);
        if now != self.said {
            let mut steps = lingering(pair);
            if now.contains(&Some(Said::Gone)) && steps.is_empty() {
                steps = unexplained(self.said);
            }
            live.told(time, self.ends, now, steps);
            self.said = now;
        }
        let open = |said: &Said| !matches!(said, Said::Gone | Said::In(State::TimeWait));
        self.over = !self.said.iter().flatten().any(open);
        changed
    }

    /// Tells of bytes, and of segments that were sent again.
    fn count(&mut self, pair: &Pair, live: &mut Live, time: u64) -> bool {
        let mut changed = false;
        let now = bytes(pair);
        for side in Side::BOTH {
            let at = side.index();
            let more = now[at].saturating_sub(self.bytes[at]);
            if more > 0 {
                self.bytes[at] = now[at];
                live.counted(time, self.ends, (side, more), waiting(pair, side));
                changed = true;
            }
        }
        let now = again(pair);
        for side in Side::BOTH {
            let at = side.index();
            let more = now[at].saturating_sub(self.again[at]);
            if more > 0 {
                self.again[at] = now[at];
                let plural = if more == 1 { "" } else { "s" };
                let text = format!("{} segment{plural} sent again", grouped(more));
                let row = (side, "sent again");
                live.noted(time, self.ends, row, vec![kernel(text)]);
                changed = true;
            }
        }
        changed
    }
}

/// Who is gone, and has not said goodbye as far as one looked.
fn unexplained(before: [Option<Said>; 2]) -> Vec<Step> {
    let stood = |said: &Said| {
        matches!(said, Said::In(State::Established | State::FinWait1 | State::FinWait2))
    };
    match before.iter().flatten().any(stood) {
        true => vec![kernel(
            "gone between two looks: closed by the other end first, or reset".to_owned(),
        )],
        false => Vec::new(),
    }
}

/// What has come and is not read, and what was sent and is not acknowledged.
fn waiting(pair: &Pair, from: Side) -> Vec<Step> {
    let ends = [&pair[from.index()], &pair[from.other().index()]];
    let [sender, receiver] = ends.map(Option::as_ref);
    let unsent = sender.map_or(0, |socket| socket.unsent);
    let unread = receiver.map_or(0, |socket| socket.unread);
    let parts = [(unsent, "not acknowledged"), (unread, "not read")];
    let parts = parts.into_iter().filter(|(bytes, _)| *bytes > 0);
    let parts: Vec<_> = parts
        .map(|(bytes, what)| format!("{} B {what} yet", grouped(bytes.into())))
        .collect();
    match parts.is_empty() {
        true => Vec::new(),
        false => vec![kernel(parts.join(", "))],
    }
}

/// What A and B have said: what the other end has got, or what they have sent.
fn bytes(pair: &Pair) -> [u64; 2] {
    Side::BOTH.map(|side| {
        let sender = pair[side.index()].as_ref();
        let sent = sender.and_then(|socket| socket.info?.sent);
        let receiver = pair[side.other().index()].as_ref();
        let received = receiver.and_then(|socket| {
            // A FIN counts like a byte once it has come.
            let closed = matches!(
                socket.state,
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait
            );
            let received = socket.info?.received;
            Some(received.saturating_sub(closed.into()))
        });
        sent.into_iter().chain(received).max().unwrap_or(0)
    })
}

fn again(pair: &Pair) -> [u64; 2] {
    [0, 1].map(|side| {
        let socket = pair[side].as_ref();
        socket
            .and_then(|socket| socket.info)
            .map_or(0, |info| info.again)
    })
}

/// Of the client, or else of the server, once it knows something.
fn info(pair: &Pair) -> Option<&Info> {
    let known = |info: &&Info| info.round_trip > 0;
    let mut all = pair.iter().flatten().filter_map(|socket| socket.info.as_ref());
    all.find(known)
}

/// Whether somebody begins anew.
fn is_new(pair: &Pair) -> bool {
    let lives = |socket: &Socket| {
        matches!(
            socket.state,
            State::SynSent | State::SynReceived | State::Established
        )
    };
    pair.iter().flatten().any(lives)
}

fn key(socket: &Socket) -> [SocketAddr; 2] {
    [socket.own.min(socket.peer), socket.own.max(socket.peer)]
}

/// By address, made A's and B's.
fn ordered(pair: &Pair, ends: [SocketAddr; 2]) -> Pair {
    let [one, other] = pair.clone();
    match ends[0] <= ends[1] {
        true => [one, other],
        false => [other, one],
    }
}

/// Who is A, the client, and who B: a server listens, and has the port that was asked for.
fn ends(pair: &Pair, listening: &[Socket], whose: &Whose) -> [SocketAddr; 2] {
    let one = pair.iter().flatten().next();
    let Some([own, peer]) = one.map(|socket| [socket.own, socket.peer]) else {
        // Nobody asks about a connection that has no ends here.
        return [SocketAddr::from(([0; 4], 0)); 2];
    };
    let listens = |end: SocketAddr| listening.iter().any(|server| serves(server, end));
    let asked = |end: SocketAddr| {
        whose.peers.contains(&end) || whose.ports.contains(&end.port())
    };
    match [listens(own), listens(peer), asked(own), asked(peer)] {
        [true, false, ..] | [false, false, true, false] => [peer, own],
        _ => [own, peer],
    }
}

/// Whether somebody who listens is there for this address.
fn serves(server: &Socket, at: SocketAddr) -> bool {
    let own = server.own;
    own.port() == at.port() && (own.ip().is_unspecified() || own.ip() == at.ip())
}

/// The sockets that a program has, by their numbers (proc_pid_fd(5)).
fn inodes(process: u32) -> HashSet<u32> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
    let links = descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let numbers = links.filter_map(|link| {
        let link = link.to_string_lossy();
        let number = link.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    });
    numbers.filter(|inode| *inode != 0).collect()
}
