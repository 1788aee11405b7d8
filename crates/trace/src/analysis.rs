//! What segments mean: which were sent again and why, what is acknowledged, who is in whose way.

use std::collections::VecDeque;

use wire::packet::Flags;

use crate::event::{Event, Fate, How, Note, Side, Vantage};
use crate::flow::Flow;
use crate::state::Machine;

mod rows;
mod sender;

pub(crate) use rows::Rows;
use sender::{Probe, Sender, Sent, Told};

/// Linux waits at least as long before its timer sends again, in nanoseconds; what comes earlier is a probe.
const LEAST_TIMEOUT: i64 = 200_000_000;

/// Finds out what the segments of a flow mean, and the states of its ends, as far as it has come.
pub(crate) fn run(flow: &mut Flow) {
    let begun = flow.analysis.take();
    let mut analysis = begun.unwrap_or_else(|| Box::new(Analysis::new(flow)));
    let end = flow.rows();
    let mut rows = Rows::new(flow.gone, &mut flow.events);
    while analysis.rows < end {
        analysis.step(&mut rows, analysis.rows);
        analysis.rows += 1;
    }
    flow.first = analysis.machine.first();
    flow.analysis = Some(analysis);
}

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Analysis {
    /// How many rows that is.
    rows: usize,
    vantage: Vantage,
    senders: [Sender; 2],
    machine: Machine,
    handshake: Handshake,
}

#[derive(Debug, Default)]
struct Handshake {
    /// When each end sent the SYN that was answered.
    syns: [Option<i64>; 2],
    syn_ack: Option<i64>,
    round_trip: Option<i64>,
}

/// What the row at hand says of its segment, as plain numbers.
#[derive(Clone, Copy)]
struct Now {
    row: usize,
    frame: u64,
    time: i64,
    from: Side,
    flags: Flags,
    seq: i64,
    end: i64,
    ack: Option<i64>,
    window: u32,
    pure: bool,
    clock: Option<u32>,
    id: Option<u32>,
}

impl Now {
    fn of(event: &Event, row: usize) -> Option<Self> {
        let tcp = event.tcp()?;
        Some(Self {
            row,
            frame: event.frame,
            time: event.time,
            from: event.from,
            flags: tcp.flags,
            seq: tcp.seq,
            end: tcp.end(),
            ack: tcp.flags.has(Flags::ACK).then_some(tcp.ack),
            window: tcp.window,
            pure: tcp.is_pure_ack(),
            clock: tcp.timestamps.map(|(own, _)| own),
            id: event.id,
        })
    }

    fn is(&self, flag: Flags) -> bool {
        self.flags.has(flag)
    }

    fn sent(&self, again: bool) -> Sent {
        Sent {
            start: self.seq,
            end: self.end,
            row: self.row,
            frame: self.frame,
            time: self.time,
            again,
            unanswered: false,
            sacked: false,
            flags: self.flags,
            clock: self.clock,
            id: self.id,
        }
    }
}

impl Analysis {
    fn new(flow: &Flow) -> Self {
        Self {
            rows: 0,
            vantage: flow.vantage,
            senders: Default::default(),
            machine: Machine::new(flow),
            handshake: Handshake::default(),
        }
    }

    fn step(&mut self, events: &mut Rows<'_>, row: usize) {
        let Some(now) = Now::of(&events[row], row) else {
            events[row].fate = Fate::Arrived;
            events[row].states = Some(self.machine.states());
            return;
        };
        let receiver = now.from.other();
        if self.vantage.is_near(receiver) {
            events[row].fate = Fate::Arrived;
        }
        let mut notes = Vec::new();
        self.handshake(now, &mut notes);
        self.sends(events, now, &mut notes);
        self.acknowledges(events, now, &mut notes);
        let at = now.from.index();
        if now.window == 0 && !now.is(Flags::RST) && !now.is(Flags::SYN) {
            notes.push(Note::ZeroWindow);
        }
        if !now.is(Flags::RST) {
            self.senders[at].window = Some(now.window);
        }
        let acked = [self.senders[0].acked, self.senders[1].acked];
        let whole = [self.senders[0].contiguous(), self.senders[1].contiguous()];
        self.machine.step(events, row, acked, whole, &mut notes);
        events[row].notes = notes;
    }

    fn handshake(&mut self, now: Now, notes: &mut Vec<Note>) {
        let known = &mut self.handshake;
        // Of ends that open at once each makes a round trip of its own: one's SYN, and what acknowledges it.
        let at_once = known.syns.iter().all(Option::is_some);
        let caller = match self.vantage {
            Vantage::At(side) if at_once => side,
            _ => Side::A,
        };
        match (now.is(Flags::SYN), now.ack) {
            (true, None) if known.syn_ack.is_none() => {
                known.syns[now.from.index()] = Some(now.time);
            }
            (true, Some(_)) if at_once && now.from == caller => {}
            // At B, the last one is what the client's ACK answers; at A the first is what arrived.
            (true, Some(_)) if known.syn_ack.is_none() || self.vantage == Vantage::At(Side::B) => {
                known.syn_ack = Some(now.time);
            }
            (false, Some(_)) if now.from == caller && !now.is(Flags::RST) => {
                let (Some(syn_ack), None) = (known.syn_ack, known.round_trip) else {
                    return;
                };
                let began = match self.vantage {
                    Vantage::At(Side::B) if !at_once => Some(syn_ack),
                    _ => known.syns[caller.index()],
                };
                let done = match self.vantage {
                    Vantage::At(side) if side == caller => syn_ack,
                    _ => now.time,
                };
                let Some(began) = began else { return };
                known.round_trip = Some(done - began);
                let rtt = (done - began).max(0) as u64;
                notes.push(Note::Connected { rtt });
            }
            _ => {}
        }
    }

    /// The numbers that the segment takes.
    fn sends(&mut self, events: &mut Rows<'_>, now: Now, notes: &mut Vec<Note>) {
        let (own, peer) = (now.from.index(), now.from.other().index());
        let peer_window = self.senders[peer].window;
        let full = |sender: &Sender| {
            peer_window.is_some_and(|window| sender.acked + i64::from(window) == now.end)
        };
        let sender = &mut self.senders[own];
        let plain = !now.is(Flags::SYN) && !now.is(Flags::FIN) && !now.is(Flags::RST);
        let before = now.seq == sender.next - 1 && now.end <= sender.next;
        let asks = before && (now.end == now.seq || sender.acked >= now.end);
        if plain && sender.begun && asks && now.ack.is_some() {
            let (probe, note) = match peer_window {
                Some(0) => (Probe::Window, Note::ZeroWindowProbe),
                _ => (Probe::KeepAlive, Note::KeepAlive),
            };
            sender.probe = Some((probe, now.row));
            notes.push(note);
            return;
        }
        if now.end == now.seq || now.is(Flags::RST) {
            return;
        }
        if !sender.begun || now.seq >= sender.next {
            if let Some(bytes) = sender.gap(&now.sent(false)) {
                notes.push(Note::Gap { bytes });
            }
            if peer_window == Some(0) && now.end == now.seq + 1 && plain {
                sender.probe = Some((Probe::Window, now.row));
                notes.push(Note::ZeroWindowProbe);
            } else if full(sender) && plain {
                notes.push(Note::WindowFull);
            }
            sender.push(now.sent(false));
            return;
        }
        match sender.fill(now.seq, now.end) {
            Some(hole) => self.fills(now, hole, notes),
            None => self.repeats(events, now, notes),
        }
        self.senders[own].push(now.sent(true));
    }

    /// Bytes that were missing came after others.
    fn fills(&self, now: Now, hole: Sent, notes: &mut Vec<Note>) {
        let sender = &self.senders[now.from.index()];
        let after = now.time - hole.time;
        let clock = now.clock.zip(hole.clock);
        let clock = clock.map(|(own, opener)| own.wrapping_sub(opener).cast_signed());
        // IPv4 counts packets in 16 bits; where it does not, all of them have the number 0.
        let count = now.id.zip(hole.id).filter(|ids| *ids != (0, 0));
        let count =
            count.map(|(own, opener)| (own as u16).wrapping_sub(opener as u16).cast_signed());
        let late = match (clock, count) {
            (Some(..0), _) | (Some(0), Some(..0)) => true,
            (Some(1..), _) | (Some(0), Some(_)) => false,
            // Without clocks the time tells: nothing is sent again before a round trip is over.
            _ => self
                .handshake
                .round_trip
                .is_none_or(|round_trip| after * 10 < round_trip * 7),
        };
        notes.push(match late {
            true => Note::OutOfOrder,
            false => Note::Retransmission {
                of: None,
                after: after.max(0) as u64,
                how: sender.why(now.end, now.flags, after),
            },
        });
    }

    /// Bytes that were seen before come again.
    fn repeats(&mut self, events: &mut Rows<'_>, now: Now, notes: &mut Vec<Note>) {
        let (from, to) = (now.from, now.from.other());
        let sender = &mut self.senders[from.index()];
        let Some(original) = sender.original(now.seq, now.end).copied() else {
            notes.push(Note::Retransmission {
                of: None,
                after: 0,
                how: How::Spurious,
            });
            return;
        };
        // Ends that open at once answer with the SYN that they have sent, and it is not that it was lost (RFC 9293,
        // figure 7).
        let was_syn = original.flags.has(Flags::SYN) && !original.flags.has(Flags::ACK);
        if was_syn && now.is(Flags::SYN) && now.ack.is_some() {
            return;
        }
        let of = original.frame;
        if original.is_duplicate(&now.sent(true)) {
            notes.push(Note::Duplicate { of });
            return;
        }
        let after = now.time - original.time;
        let how = sender.why(now.end, now.flags, after);
        notes.push(Note::Retransmission {
            of: Some(of),
            after: after.max(0) as u64,
            how,
        });
        sender.mark_again(now.seq, now.end);
        if how == How::Spurious {
            self.ack_was_lost(events, now);
            return;
        }
        // A SYN-ACK that answers a SYN that came again says nothing about the one before it.
        let since = events.between(original.row, now.row);
        let asked = since.iter().any(|event| {
            event.from == to && event.tcp().is_some_and(|tcp| tcp.flags.has(Flags::SYN))
        });
        let says_nothing = how == How::SynAck && asked;
        if !self.vantage.is_near(to) && !says_nothing {
            self.senders[from.index()].mark_unanswered(original.row);
            self.lose(events, now, original.row);
        }
    }

    /// The sender does not know that we have acknowledged it: our ACK was lost, if it had time to arrive.
    fn ack_was_lost(&mut self, events: &mut Rows<'_>, now: Now) {
        let to = now.from.other();
        let Some(told) = self.senders[now.from.index()].told else {
            return;
        };
        let round_trip = self.handshake.round_trip.unwrap_or(LEAST_TIMEOUT);
        let in_time = now.time - told.time > round_trip * 3 / 2;
        let unknown = events
            .get_mut(told.row)
            .is_some_and(|event| event.fate == Fate::Unknown);
        if in_time && self.vantage == Vantage::At(to) && unknown {
            self.lose(events, now, told.row);
        }
    }

    fn lose(&mut self, events: &mut Rows<'_>, now: Now, row: usize) {
        settle(events, row, Fate::Unanswered);
        self.machine.lost(events, row, now.row);
    }

    /// What the segment says about those of the other end.
    fn acknowledges(&mut self, events: &mut Rows<'_>, now: Now, notes: &mut Vec<Note>) {
        let Some(ack) = now.ack else { return };
        let sack = events[now.row]
            .tcp()
            .map(|tcp| tcp.sack.clone())
            .unwrap_or_default();
        let other = &mut self.senders[now.from.other().index()];
        if other.begun && ack > other.next {
            notes.push(Note::AckUnseen);
        }
        let twice = is_duplicate_sack(&sack, ack);
        if twice && let Some((start, end)) = sack.first() {
            notes.push(Note::DuplicateSack);
            for row in other.arrived_after_all(*start, *end) {
                settle(events, row, Fate::Arrived);
            }
        }
        for row in other.selectively(sack.get(usize::from(twice)..).unwrap_or_default()) {
            settle(events, row, Fate::Arrived);
        }
        if ack > other.acked || other.told.is_none() {
            let told = Told {
                row: now.row,
                frame: now.frame,
                time: now.time,
            };
            let sample = other.acknowledge(ack, told, |row| settle(events, row, Fate::Arrived));
            if let Some(sent) = sample
                && self.vantage.is_near(now.from.other())
            {
                notes.push(Note::Rtt {
                    time: (now.time - sent.time).max(0) as u64,
                    of: sent.frame,
                });
            }
        } else if now.pure && ack == other.acked && !twice {
            self.says_again(events, now, notes);
        }
    }

    /// An ACK without news: it answers a probe, tells of room, or of a hole.
    fn says_again(&mut self, events: &mut Rows<'_>, now: Now, notes: &mut Vec<Note>) {
        let own = &self.senders[now.from.index()];
        let window_before = own.window;
        if now.seq != own.next {
            return;
        }
        let other = &mut self.senders[now.from.other().index()];
        if let Some((probe, row)) = other.probe.take() {
            settle(events, row, Fate::Arrived);
            notes.push(match probe {
                Probe::KeepAlive => Note::KeepAliveAck,
                Probe::Window if now.window == 0 => Note::ZeroWindowProbeAck,
                // The answer that opens the window is what the probe was for.
                Probe::Window => Note::WindowUpdate,
            });
        } else if window_before.is_some_and(|before| now.window > before) {
            notes.push(Note::WindowUpdate);
        } else if window_before == Some(now.window) && !other.waiting.is_empty() {
            other.duplicates += 1;
            notes.push(Note::DuplicateAck {
                count: other.duplicates,
                of: other.told.map_or(now.frame, |told| told.frame),
            });
        }
    }
}

/// Says what became of a packet, if that is still of interest.
fn settle(events: &mut Rows<'_>, row: usize, fate: Fate) {
    if let Some(event) = events.get_mut(row) {
        event.fate = fate;
    }
}

/// The first range is one that was acknowledged already, or lies inside the second (RFC 2883, section 4).
fn is_duplicate_sack(ranges: &[(i64, i64)], ack: i64) -> bool {
    match ranges {
        [(_, end), ..] if *end <= ack => true,
        [(start, end), (from, to), ..] => start >= from && end <= to,
        _ => false,
    }
}

/// As many segments are remembered after they were acknowledged, to tell what one repeats.
const PAST: usize = 256;

/// As many segments wait for an acknowledgment; the oldest are forgotten where none ever comes.
const WAITING: usize = 1 << 16;

/// Keeps the latest.
fn keep(queue: &mut VecDeque<Sent>, limit: usize, sent: Sent) {
    if queue.len() == limit {
        queue.pop_front();
    }
    queue.push_back(sent);
}
