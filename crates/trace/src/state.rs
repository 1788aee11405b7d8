//! The states of both ends, which no packet carries: what a sender must have been to send it, and what a receiver
//! becomes if it arrives. The latter is taken back when the receiver shows the contrary.

use wire::packet::Flags;

use crate::analysis::Rows;
use crate::event::{Event, Note, Side, State, StateAt, Sure, Tcp, Vantage};
use crate::flow::Flow;

/// Follows one connection.
#[derive(Debug)]
pub(crate) struct Machine {
    vantage: Vantage,
    first: [State; 2],
    at: [StateAt; 2],
    /// What each end became because something is thought to have reached it.
    guesses: [Vec<Guess>; 2],
    fins: [Fin; 2],
    /// Whether an end was seen to answer a SYN.
    answered: bool,
}

/// The FIN of one end.
#[derive(Clone, Copy, Debug, Default)]
struct Fin {
    /// Its number.
    seq: Option<i64>,
    /// The other end has read up to it.
    taken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Guess {
    row: usize,
    before: StateAt,
    taken_before: bool,
    cause: Cause,
}

/// What made an end change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Syn,
    SynAck,
    Fin,
    Ack,
}

impl Machine {
    pub(crate) fn new(flow: &Flow) -> Self {
        let seen = |state| StateAt {
            state,
            sure: Sure::Seen,
        };
        let expected = |state| StateAt {
            state,
            sure: Sure::Expected,
        };
        let first = flow.events.iter().find_map(Event::tcp);
        let syn = first.is_some_and(|tcp| tcp.flags.has(Flags::SYN));
        let ack = first.is_some_and(|tcp| tcp.flags.has(Flags::ACK));
        let at = match (syn, ack) {
            (true, false) => [seen(State::Closed), seen(State::Listen)],
            (true, true) => [expected(State::SynSent), expected(State::SynReceived)],
            _ => [expected(State::Established); 2],
        };
        Self {
            vantage: flow.vantage,
            first: at.map(|at| at.state),
            at,
            guesses: Default::default(),
            fins: Default::default(),
            answered: false,
        }
    }

    /// The states before the first packet, as they turned out.
    pub(crate) fn first(&self) -> [State; 2] {
        self.first
    }

    pub(crate) fn states(&self) -> [StateAt; 2] {
        self.at
    }

    /// Row `row` was lost: what its receiver would have become is taken back, up to the row at hand.
    pub(crate) fn lost(&mut self, events: &mut Rows<'_>, row: usize, now: usize) {
        for receiver in Side::BOTH {
            let guesses = &self.guesses[receiver.index()];
            if let Some(first) = guesses.iter().position(|guess| guess.row == row) {
                self.take_back(events, receiver, first, now);
            }
        }
    }

    fn take_back(&mut self, events: &mut Rows<'_>, side: Side, first: usize, now: usize) {
        let guess = self.guesses[side.index()][first];
        self.guesses[side.index()].truncate(first);
        self.at[side.index()] = guess.before;
        self.fins[side.other().index()].taken = guess.taken_before;
        for event in events.between(guess.row, now) {
            if let Some(states) = &mut event.states {
                states[side.index()] = guess.before;
            }
        }
    }

    /// Follows the segment in `row`. `acked` says how far each end's bytes are acknowledged, `whole` how far all of
    /// them were seen.
    pub(crate) fn step(
        &mut self,
        events: &mut Rows<'_>,
        row: usize,
        acked: [i64; 2],
        whole: [i64; 2],
        notes: &mut Vec<Note>,
    ) {
        let from = events[row].from;
        let Some(tcp) = events[row].tcp().cloned() else {
            return;
        };
        self.contradict(events, row, from, &tcp);
        if tcp.flags.has(Flags::RST) {
            self.reset(events, row, from, notes);
        } else {
            self.speak(from, &tcp);
            self.receive(row, from, &tcp, acked, whole, notes);
        }
        events[row].states = Some(self.at);
    }

    /// Takes back what cannot be, because `from` would not have sent this segment.
    fn contradict(&mut self, events: &mut Rows<'_>, row: usize, from: Side, tcp: &Tcp) {
        let syn = tcp.flags.has(Flags::SYN);
        let ack = tcp.flags.has(Flags::ACK);
        let peer_fin = self.fins[from.other().index()].seq;
        let impossible = |guess: &Guess| match guess.cause {
            Cause::Syn | Cause::SynAck => syn && !ack,
            Cause::Fin => !tcp.flags.has(Flags::RST) && peer_fin.is_some_and(|fin| tcp.ack <= fin),
            Cause::Ack => false,
        };
        let guesses = &self.guesses[from.index()];
        if let Some(first) = guesses.iter().position(impossible) {
            self.take_back(events, from, first, row);
        }
    }

    /// An RST ends both. If nobody ever answered, nobody was listening.
    fn reset(&mut self, events: &mut Rows<'_>, row: usize, from: Side, notes: &mut Vec<Note>) {
        let (own, peer) = (from.index(), from.other().index());
        let refused = self.at[peer].state == State::SynSent && !self.answered;
        if refused && self.first[own] == State::Listen {
            self.first[own] = State::Closed;
            let closed = StateAt {
                state: State::Closed,
                sure: Sure::Seen,
            };
            self.at[own] = closed;
            for event in events.between(0, row) {
                if let Some(states) = &mut event.states {
                    states[own] = closed;
                }
            }
            notes.push(Note::Refused);
        }
        self.at[own] = StateAt {
            state: State::Closed,
            sure: Sure::Seen,
        };
        if self.at[peer].state != State::Closed {
            self.at[peer] = StateAt {
                state: State::Closed,
                sure: self.sure_of(from.other()),
            };
        }
        self.guesses = Default::default();
    }

    fn sure_of(&self, receiver: Side) -> Sure {
        match self.vantage.is_near(receiver) {
            true => Sure::Seen,
            false => Sure::Expected,
        }
    }

    /// What the sender must be, to send this.
    fn speak(&mut self, from: Side, tcp: &Tcp) {
        let (own, peer) = (from.index(), from.other().index());
        let state = self.at[own].state;
        let syn = tcp.flags.has(Flags::SYN);
        let ack = tcp.flags.has(Flags::ACK);
        let mut now = match (syn, ack) {
            (true, false) => match state {
                State::Closed | State::Listen => State::SynSent,
                other => other,
            },
            (true, true) => {
                self.answered = true;
                match state {
                    State::Closed | State::Listen | State::SynSent => State::SynReceived,
                    // It proves nothing newer.
                    State::SynReceived => state,
                    _ => return,
                }
            }
            _ => match state {
                State::Closed if self.fins[own].seq.is_some() => state,
                State::Closed | State::Listen | State::SynSent | State::SynReceived => {
                    State::Established
                }
                other => other,
            },
        };
        let peer_fin = &mut self.fins[peer];
        if let Some(seq) = peer_fin.seq
            && ack
            && tcp.ack > seq
            && !peer_fin.taken
        {
            peer_fin.taken = true;
            now = after_fin(now);
        }
        if tcp.flags.has(Flags::FIN) && self.fins[own].seq.is_none() {
            self.fins[own].seq = Some(tcp.end() - 1);
            now = match now {
                State::CloseWait => State::LastAck,
                _ => State::FinWait1,
            };
        }
        self.at[own] = StateAt {
            state: now,
            sure: Sure::Seen,
        };
        self.guesses[own].clear();
    }

    /// What the receiver becomes, if this arrives.
    fn receive(
        &mut self,
        row: usize,
        from: Side,
        tcp: &Tcp,
        acked: [i64; 2],
        whole: [i64; 2],
        notes: &mut Vec<Note>,
    ) {
        let receiver = from.other();
        let to = receiver.index();
        let syn = tcp.flags.has(Flags::SYN);
        let ack = tcp.flags.has(Flags::ACK);
        match (syn, ack, self.at[to].state) {
            (true, false, State::Listen | State::Closed) => {
                self.guess(row, receiver, State::SynReceived, Cause::Syn);
            }
            (true, false, State::SynSent) => {
                notes.push(Note::SimultaneousOpen);
                self.guess(row, receiver, State::SynReceived, Cause::Syn);
            }
            (true, true, State::SynSent | State::SynReceived) => {
                self.guess(row, receiver, State::Established, Cause::SynAck);
            }
            (false, true, State::SynReceived) => {
                self.guess(row, receiver, State::Established, Cause::Ack);
            }
            _ => {}
        }
        let fin_in_this = tcp.flags.has(Flags::FIN);
        if !fin_in_this {
            self.deliver_fin(row, from, None, acked, whole);
        }
        if ack && self.fins[to].seq.is_some_and(|seq| tcp.ack > seq) {
            let next = match self.at[to].state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                other => other,
            };
            self.guess(row, receiver, next, Cause::Ack);
        }
        if fin_in_this {
            let closing = self.at[to].state == State::FinWait1 && !self.fins[from.index()].taken;
            self.deliver_fin(row, from, Some(tcp.seq), acked, whole);
            if closing && self.at[to].state == State::Closing {
                notes.push(Note::SimultaneousClose);
            }
        }
    }

    /// The FIN of `from` counts for the other end once everything before it has come: as it was seen to come, or,
    /// far away, as it was acknowledged.
    fn deliver_fin(
        &mut self,
        row: usize,
        from: Side,
        start: Option<i64>,
        acked: [i64; 2],
        whole: [i64; 2],
    ) {
        let (own, receiver) = (from.index(), from.other());
        let Fin {
            seq: Some(seq),
            taken: false,
        } = self.fins[own]
        else {
            return;
        };
        let ready = match self.vantage.is_near(receiver) {
            true => whole[own] > seq,
            false => acked[own] >= start.unwrap_or(seq),
        };
        if ready {
            let next = after_fin(self.at[receiver.index()].state);
            self.guess(row, receiver, next, Cause::Fin);
            self.fins[own].taken = true;
        }
    }

    fn guess(&mut self, row: usize, side: Side, state: State, cause: Cause) {
        let before = self.at[side.index()];
        if before.state == state {
            return;
        }
        self.guesses[side.index()].push(Guess {
            row,
            before,
            taken_before: self.fins[side.other().index()].taken,
            cause,
        });
        self.at[side.index()] = StateAt {
            state,
            sure: self.sure_of(side),
        };
    }
}

/// What an end becomes when it has read the other's FIN.
fn after_fin(state: State) -> State {
    match state {
        State::SynReceived | State::Established => State::CloseWait,
        State::FinWait1 => State::Closing,
        State::FinWait2 => State::TimeWait,
        other => other,
    }
}
