//! One direction of a connection: what was sent, what of it is acknowledged, and where bytes are missing.

use std::collections::VecDeque;

use wire::packet::Flags;

use super::{LEAST_TIMEOUT, PAST, WAITING, keep};
use crate::event::How;

/// What one end has sent.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Whether anything is known about its numbers.
    pub(super) begun: bool,
    /// The number after the highest that was sent.
    pub(super) next: i64,
    /// The number up to which the other end has acknowledged.
    pub(super) acked: i64,
    /// What was the first to acknowledge that much.
    pub(super) told: Option<Told>,
    /// How often it was acknowledged again.
    pub(super) duplicates: u32,
    /// How many bytes this end takes, as it said last.
    pub(super) window: Option<u32>,
    /// What it has asked, and in which row, and nobody has answered.
    pub(super) probe: Option<(Probe, usize)>,
    /// Not acknowledged yet.
    pub(super) waiting: VecDeque<Sent>,
    past: VecDeque<Sent>,
    /// Numbers that were not seen: a segment beyond them was.
    holes: Vec<Sent>,
    /// The end of what was acknowledged selectively.
    sacked: i64,
}

/// A question without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    KeepAlive,
    Window,
}

/// A row that acknowledges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) row: usize,
    pub(super) frame: u64,
    pub(super) time: i64,
}

/// A segment, or a hole where one should be, with the row that showed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) row: usize,
    pub(super) frame: u64,
    pub(super) time: i64,
    /// It was sent before, or again later.
    pub(super) again: bool,
    /// It was sent again before an answer came.
    pub(super) unanswered: bool,
    /// It was acknowledged selectively.
    pub(super) sacked: bool,
    pub(super) flags: Flags,
    pub(super) clock: Option<u32>,
    pub(super) id: Option<u32>,
}

impl Sent {
    fn overlaps(&self, start: i64, end: i64) -> bool {
        self.start < end && start < self.end
    }

    /// Whether the network has delivered the same packet twice: its sender counts packets and time.
    pub(super) fn is_duplicate(&self, copy: &Self) -> bool {
        let same_clock = self.clock == copy.clock;
        match (self.id, copy.id) {
            // Linux gives its SYN-ACKs no number.
            (Some(0), Some(0)) => self.flags.has(Flags::SYN) && same_clock && self.clock.is_some(),
            (Some(own), Some(other)) => own == other && same_clock,
            _ => false,
        }
    }
}

impl Sender {
    /// The number up to which all bytes were seen.
    pub(super) fn contiguous(&self) -> i64 {
        let holes = self.holes.iter().map(|hole| hole.start);
        holes.min().unwrap_or(self.next)
    }

    /// How many bytes are missing before a segment that is beyond the others.
    pub(super) fn gap(&mut self, sent: &Sent) -> Option<u64> {
        let missing = sent.start - self.next;
        if !self.begun || missing <= 0 {
            return None;
        }
        self.holes.push(Sent {
            start: self.next,
            end: sent.start,
            ..*sent
        });
        Some(missing as u64)
    }

    pub(super) fn push(&mut self, sent: Sent) {
        self.begun = true;
        self.next = self.next.max(sent.end);
        if sent.end <= self.acked && self.told.is_some() {
            keep(&mut self.past, PAST, sent);
            return;
        }
        // In the order of their ends: what is sent again stands beside the first of its kind.
        let at = match self.waiting.back() {
            Some(last) if last.end > sent.end => {
                self.waiting.partition_point(|other| other.end <= sent.end)
            }
            _ => self.waiting.len(),
        };
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.insert(at.min(self.waiting.len()), sent);
    }

    /// The hole that these bytes fill, which then is smaller or gone.
    pub(super) fn fill(&mut self, start: i64, end: i64) -> Option<Sent> {
        let index = self
            .holes
            .iter()
            .position(|hole| hole.overlaps(start, end))?;
        let hole = self.holes.remove(index);
        let rests = [(hole.start, start), (end, hole.end)];
        let rests = rests.into_iter().filter(|(start, end)| start < end);
        self.holes
            .extend(rests.map(|(start, end)| Sent { start, end, ..hole }));
        Some(hole)
    }

    /// The latest segment that had some of these bytes.
    pub(super) fn original(&self, start: i64, end: i64) -> Option<&Sent> {
        let all = self.waiting.iter().rev().chain(self.past.iter().rev());
        all.filter(|sent| sent.overlaps(start, end))
            .max_by_key(|sent| sent.row)
    }

    /// Why bytes up to `end` are sent again, `after` so many nanoseconds.
    pub(super) fn why(&self, end: i64, flags: Flags, after: i64) -> How {
        if self.acked >= end {
            How::Spurious
        } else if flags.has(Flags::SYN) {
            match flags.has(Flags::ACK) {
                true => How::SynAck,
                false => How::Syn,
            }
        } else if self.duplicates >= 3 || self.sacked > end {
            How::Fast
        } else if flags.has(Flags::FIN) {
            How::Fin
        } else if after < LEAST_TIMEOUT && end == self.next {
            How::Probe
        } else {
            How::Timeout
        }
    }

    pub(super) fn mark_again(&mut self, start: i64, end: i64) {
        let all = self.waiting.iter_mut();
        for sent in all.filter(|sent| sent.overlaps(start, end)) {
            sent.again = true;
        }
    }

    pub(super) fn mark_unanswered(&mut self, row: usize) {
        let all = self.waiting.iter_mut();
        for sent in all.filter(|sent| sent.row == row) {
            sent.unanswered = true;
        }
    }

    /// The rows that were thought lost and have arrived: the other end says that these bytes came twice.
    pub(super) fn arrived_after_all(&mut self, start: i64, end: i64) -> Vec<usize> {
        let all = self.past.iter_mut().chain(self.waiting.iter_mut());
        let lost = all.filter(|sent| sent.unanswered && sent.overlaps(start, end));
        lost.map(|sent| {
            sent.unanswered = false;
            sent.row
        })
        .collect()
    }

    /// The rows whose bytes have come, though others before them are missing.
    pub(super) fn selectively(&mut self, ranges: &[(i64, i64)]) -> Vec<usize> {
        let mut rows = Vec::new();
        for (start, end) in ranges {
            self.sacked = self.sacked.max(*end);
            let last = self.waiting.partition_point(|sent| sent.end <= *end);
            // A range grows at its end with every ACK: what lies deeper was told before.
            for sent in self.waiting.range_mut(..last).rev() {
                if sent.sacked || sent.start < *start {
                    break;
                }
                sent.sacked = true;
                if !sent.unanswered {
                    rows.push(sent.row);
                }
            }
        }
        rows
    }

    /// Everything before `ack` has arrived. The latest segment among it, if its time says something: it was sent
    /// once, and so was everything that is acknowledged with it (RFC 6298, section 3).
    pub(super) fn acknowledge(
        &mut self,
        ack: i64,
        told: Told,
        mut arrived: impl FnMut(usize),
    ) -> Option<Sent> {
        self.begun = true;
        self.next = self.next.max(ack);
        self.acked = ack;
        self.told = Some(told);
        self.duplicates = 0;
        self.probe = None;
        self.holes.retain(|hole| hole.end > ack);
        let mut latest: Option<Sent> = None;
        let mut again = false;
        while let Some(first) = self.waiting.front().copied() {
            if first.end > ack {
                break;
            }
            self.waiting.pop_front();
            if !first.unanswered {
                arrived(first.row);
            }
            again |= first.again;
            latest = Some(match latest {
                Some(latest) if latest.end >= first.end => latest,
                _ => first,
            });
            keep(&mut self.past, PAST, first);
        }
        latest.filter(|sent| !again && !sent.flags.has(Flags::SYN))
    }
}
