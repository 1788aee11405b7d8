//! Connections of others: found by port, address or program, and compared with what they were a look before.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::SocketAddr;

use super::{Whose, lingering, said, sent_again};
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
                    live.begins(known.ends);
                    *known = Known::new(known.ends);
                }
                Some(_) => {}
                None => {
                    let mut known = Known::new(ends(&pair, &listening, &self.whose));
                    match is_first {
                        true => {
                            let pair = ordered(&pair, known.ends);
                            known.over = !known.was_before(&pair, live, time);
                        }
                        false => live.begins(known.ends),
                    }
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
    fn pairs(&self, sockets: Vec<Socket>, listening: &[Socket]) -> HashMap<[SocketAddr; 2], Pair> {
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
            let steps = lingering(pair, live.names(self.ends));
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
                let row = (side, "sent again");
                live.noted(time, self.ends, row, vec![sent_again(more)]);
                changed = true;
            }
        }
        changed
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
    let mut all = pair
        .iter()
        .flatten()
        .filter_map(|socket| socket.info.as_ref());
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
    let asked = |end: SocketAddr| whose.peers.contains(&end) || whose.ports.contains(&end.port());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::Style;
    use crate::event::{Kind, Sight};
    use std::time::Duration;

    const CLIENT: &str = "192.0.2.1:40000";
    const SERVER: &str = "192.0.2.2:7000";

    /// The end at `own`, which has sent and got so many bytes.
    fn end(own: &str, peer: &str, state: State, [sent, received]: [u64; 2]) -> Socket {
        let info = Info {
            round_trip: 20_300_000,
            timeout: 220_000_000,
            segment: 1448,
            segments: 10,
            received,
            sent: Some(sent),
            ..Info::default()
        };
        Socket {
            own: own.parse().unwrap(),
            peer: peer.parse().unwrap(),
            state,
            left: (state == State::TimeWait).then_some(Duration::from_millis(59_960)),
            unread: 0,
            unsent: 0,
            inode: 7,
            info: (state != State::TimeWait).then_some(info),
        }
    }

    fn client(state: State, bytes: [u64; 2]) -> Socket {
        end(CLIENT, SERVER, state, bytes)
    }

    fn server(state: State, bytes: [u64; 2]) -> Socket {
        end(SERVER, CLIENT, state, bytes)
    }

    fn listener() -> Socket {
        end("0.0.0.0:7000", "0.0.0.0:0", State::Listen, [0; 2])
    }

    /// What is told when these are found by one look after the other: who said it, what it was, and the states.
    fn told(looks: Vec<Vec<Socket>>) -> (Vec<String>, String) {
        let mut crowd = Crowd::new(Whose {
            ports: HashSet::from([7000]),
            ..Whose::default()
        });
        let mut live = Live::new(Sight::Socket, |_, _| true);
        for (index, sockets) in looks.into_iter().enumerate() {
            crowd.compare(sockets, &mut live, 2_000_000 * index as u64);
        }
        let rows = live.flows().iter().flat_map(|flow| &flow.events);
        let rows = rows.map(|event| {
            let what = match &event.kind {
                Kind::Inferred(what) => (*what).to_owned(),
                Kind::Counted { len } => format!("{len} B"),
                other => panic!("{other:?} was never seen"),
            };
            let states = event.states.unwrap().map(|at| match at.sure {
                crate::Sure::Kernel => at.state.name().to_owned(),
                _ => format!("({})", at.state.name()),
            });
            format!("{} {what}: {}", event.from.name(), states.join(" "))
        });
        let rows = rows.collect();
        let drawn = live
            .flows()
            .iter()
            .map(|flow| crate::draw(flow, "", &Style::default()))
            .collect();
        (rows, drawn)
    }

    #[test]
    fn a_connection_whose_client_closes_first() {
        use State::{CloseWait, Established, FinWait2, LastAck, TimeWait};
        let (rows, drawn) = told(vec![
            vec![listener()],
            vec![
                listener(),
                client(Established, [5, 0]),
                server(Established, [0, 5]),
            ],
            vec![
                listener(),
                client(Established, [5, 7]),
                server(Established, [7, 5]),
            ],
            // The FIN counts like a byte where it came.
            vec![
                listener(),
                client(FinWait2, [5, 7]),
                server(CloseWait, [7, 6]),
            ],
            vec![
                listener(),
                client(FinWait2, [5, 7]),
                server(LastAck, [7, 6]),
            ],
            vec![listener(), client(TimeWait, [0; 2])],
            vec![listener(), client(TimeWait, [0; 2])],
            vec![listener()],
        ]);
        assert_eq!(
            rows,
            [
                "A SYN: (SYN-SENT) (SYN-RECEIVED)",
                "B SYN ACK: (ESTABLISHED) (SYN-RECEIVED)",
                "A ACK: (ESTABLISHED) (ESTABLISHED)",
                "A 5 B: ESTABLISHED ESTABLISHED",
                "B 7 B: ESTABLISHED ESTABLISHED",
                "A FIN: (FIN-WAIT-1) (CLOSE-WAIT)",
                "B ACK: FIN-WAIT-2 CLOSE-WAIT",
                "B FIN: FIN-WAIT-2 LAST-ACK",
                "A ACK: TIME-WAIT CLOSED",
            ]
        );
        for piece in [
            "kernel: round trip 20.3 ms, mss 1448, cwnd 10",
            "TIME-WAIT at the client",
            "client closed first",
            "client keeps TIME-WAIT",
            "5 bytes →, 7 bytes ←, as the kernel had counted at the last look",
            "(PACKET) = must have been there",
        ] {
            assert!(drawn.contains(piece), "{piece} is not in\n{drawn}");
        }
    }

    #[test]
    fn one_that_was_there_before_and_whose_other_end_is_far() {
        use State::{Established, LastAck};
        let far = |state, bytes| end(CLIENT, SERVER, state, bytes);
        let (rows, drawn) = told(vec![
            vec![far(Established, [100, 2000])],
            vec![far(Established, [100, 3000])],
            vec![far(LastAck, [100, 3001])],
            vec![],
        ]);
        assert_eq!(
            rows,
            [
                "A open: ESTABLISHED (ESTABLISHED)",
                "B 1000 B: ESTABLISHED (ESTABLISHED)",
                "B FIN: (CLOSE-WAIT) (FIN-WAIT-1)",
                "A FIN: LAST-ACK (TIME-WAIT)",
                "B ACK: CLOSED (TIME-WAIT)",
            ]
        );
        assert!(drawn.contains("so far 100 bytes"), "{drawn}");
    }

    #[test]
    fn one_that_came_and_went_between_two_looks_is_told_by_its_time_wait() {
        let (rows, _) = told(vec![
            // Of before anybody looked: it is no news.
            vec![
                listener(),
                end(SERVER, "192.0.2.1:39999", State::TimeWait, [0; 2]),
            ],
            vec![
                listener(),
                end(SERVER, "192.0.2.1:39999", State::TimeWait, [0; 2]),
                server(State::TimeWait, [0; 2]),
            ],
        ]);
        assert_eq!(rows.len(), 6, "{rows:?}");
        assert_eq!(rows[5], "B ACK: (CLOSED) TIME-WAIT");
    }

    #[test]
    fn what_is_sent_again_and_what_waits_is_told() {
        let mut again = client(State::Established, [9000, 0]);
        again.unsent = 9000;
        if let Some(info) = &mut again.info {
            info.again = 2;
        }
        let (rows, drawn) = told(vec![
            vec![],
            vec![client(State::Established, [0; 2])],
            vec![again],
        ]);
        assert_eq!(
            rows[3..],
            [
                "A 9000 B: ESTABLISHED (ESTABLISHED)",
                "A sent again: ESTABLISHED (ESTABLISHED)"
            ]
        );
        assert!(drawn.contains("9000 B not acknowledged yet"), "{drawn}");
        assert!(drawn.contains("2 segments sent again"), "{drawn}");
    }

    #[test]
    fn a_reset_is_no_goodbye_that_is_made_up() {
        let both = || {
            vec![
                listener(),
                client(State::Established, [0; 2]),
                server(State::Established, [0; 2]),
            ]
        };
        let (rows, drawn) = told(vec![vec![], both(), vec![listener()]]);
        assert_eq!(rows[3..], ["A end: CLOSED CLOSED"]);
        assert!(drawn.contains("it was reset"), "{drawn}");
    }

    #[test]
    fn ports_that_are_used_again_are_another_connection() {
        let (rows, _) = told(vec![
            vec![],
            vec![client(State::TimeWait, [0; 2])],
            vec![client(State::Established, [3, 0])],
        ]);
        let begins = rows.iter().filter(|row| row.starts_with("A SYN"));
        assert_eq!(begins.count(), 2, "{rows:?}");
    }
}
