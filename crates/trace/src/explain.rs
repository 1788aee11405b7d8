//! What a step means here, for people who learn: each idea once, with this connection's own numbers.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};

use wire::packet::Flags;

use crate::event::{Event, How, Kind, Note, Side, State, StateAt, Tcp};
use crate::flow::Flow;
use crate::words::duration;

mod chinese;
mod english;

/// A language of explanations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, in simplified letters.
    Chinese,
}

/// Something to explain.
#[derive(Clone, Debug, PartialEq)]
enum Topic {
    Syn {
        isn: u32,
        window: u32,
        mss: Option<u16>,
    },
    SynAck {
        isn: u32,
        theirs: u32,
    },
    Connected {
        rtt: String,
    },
    SynAgain {
        after: String,
    },
    SynUnseen,
    GaveUp,
    Refused,
    Data {
        first: i64,
        last: i64,
        len: u32,
        push: bool,
    },
    Ack {
        ack: i64,
    },
    Again {
        how: How,
        first: i64,
        last: i64,
        after: String,
    },
    DuplicateAck {
        ack: i64,
    },
    Sack {
        ack: i64,
        first: i64,
        last: i64,
    },
    DuplicateSack,
    WindowFull,
    ZeroWindow,
    Probe,
    WindowUpdate {
        window: u32,
    },
    KeepAlive {
        seq: i64,
    },
    Fin {
        seq: i64,
    },
    FinAcked {
        ack: i64,
        half: bool,
    },
    SecondFin {
        seq: i64,
        both: bool,
    },
    LastAck {
        ack: i64,
    },
    FinAgain,
    AtOnce,
    OpenAtOnce,
    Damaged,
    Rst {
        answers_data: bool,
    },
    ReadLate {
        after: String,
    },
}

/// Explains what was not explained before.
#[derive(Debug)]
pub(crate) struct Explainer {
    language: Language,
    told: HashSet<Discriminant<Topic>>,
    fins: u8,
    /// Who sent the first of them, and the number behind it, until that is acknowledged.
    unanswered: Option<(Side, i64)>,
}

impl Explainer {
    pub(crate) fn new(language: Language) -> Self {
        Self {
            language,
            told: HashSet::new(),
            fins: 0,
            unanswered: None,
        }
    }

    /// The sentences about some packets in a row.
    pub(crate) fn sentences(
        &mut self,
        flow: &Flow,
        events: &[Event],
        names: [&str; 2],
    ) -> Vec<String> {
        let mut sentences = Vec::new();
        for event in events {
            let row = flow
                .events
                .partition_point(|other| other.frame < event.frame);
            let earlier = row.checked_sub(1).map(|row| &flow.events[row]);
            for topic in self.topics(event, earlier) {
                if self.told.insert(discriminant(&topic)) {
                    sentences.push(self.say(&topic, event.from, names));
                }
            }
        }
        sentences
    }

    fn say(&self, topic: &Topic, from: Side, names: [&str; 2]) -> String {
        let (own, other) = (names[from.index()], names[from.other().index()]);
        match self.language {
            Language::English => {
                let called = |name: &str| match name {
                    "A" | "B" => name.to_owned(),
                    name => format!("the {name}"),
                };
                english::sentence(topic, &called(own), &called(other))
            }
            Language::Chinese => {
                let called = |name: &str| match name {
                    "client" => "客户端".to_owned(),
                    "server" => "服务器".to_owned(),
                    "relay" => "中继".to_owned(),
                    name => name.to_owned(),
                };
                chinese::sentence(topic, &called(own), &called(other))
            }
        }
    }

    fn topics(&mut self, event: &Event, earlier: Option<&Event>) -> Vec<Topic> {
        let before = earlier.and_then(|earlier| earlier.states);
        let Some(tcp) = event.tcp() else {
            return unseen(event, earlier);
        };
        let mut topics = Vec::new();
        let repeats = event.notes.iter().find_map(|note| match note {
            Note::Retransmission { how, after, .. } => Some((*how, duration(*after))),
            _ => None,
        });
        match repeats {
            Some(repeats) => topics.push(again(tcp, repeats, before, event.from)),
            None => topics.extend(self.step(tcp, event, before)),
        }
        topics.extend(event.notes.iter().filter_map(|note| remark(note, tcp)));
        topics
    }

    /// What the segment is for.
    fn step(&mut self, tcp: &Tcp, event: &Event, before: Option<[StateAt; 2]>) -> Option<Topic> {
        let has = |flag| tcp.flags.has(flag);
        let last = tcp.seq + i64::from(tcp.len) - 1;
        let own = before.map(|states| states[event.from.index()].state);
        if has(Flags::RST) {
            let refused = event.notes.contains(&Note::Refused);
            let answers_data = own == Some(State::Established) && has(Flags::ACK);
            return (!refused).then_some(Topic::Rst { answers_data });
        }
        if has(Flags::SYN) {
            let at_once = self.told.contains(&discriminant(&Topic::OpenAtOnce));
            return Some(match has(Flags::ACK) {
                // It was told with the SYNs what these are.
                true if at_once => return None,
                true => Topic::SynAck {
                    isn: tcp.seq_raw,
                    theirs: tcp.ack_raw.wrapping_sub(1),
                },
                false => Topic::Syn {
                    isn: tcp.seq_raw,
                    window: tcp.window,
                    mss: tcp.mss,
                },
            });
        }
        let answers = |(from, end)| from != event.from && tcp.ack >= end;
        let answers = self.unanswered.take_if(|fin| answers(*fin)).is_some();
        if has(Flags::FIN) {
            self.fins += 1;
            let seq = tcp.end() - 1;
            return Some(match self.fins {
                1 => {
                    self.unanswered = Some((event.from, tcp.end()));
                    Topic::Fin { seq }
                }
                _ => Topic::SecondFin { seq, both: answers },
            });
        }
        if tcp.len > 0 {
            return Some(Topic::Data {
                first: tcp.seq,
                last,
                len: tcp.len,
                push: has(Flags::PSH),
            });
        }
        let peer = before.map(|states| states[event.from.other().index()].state);
        Some(match (self.fins, peer) {
            (1, Some(State::FinWait1)) => Topic::FinAcked {
                ack: tcp.ack,
                half: own != Some(State::FinWait1),
            },
            // It was told with the FINs what follows from them.
            (2, _) if self.told.contains(&discriminant(&Topic::AtOnce)) => return None,
            (2, _) => Topic::LastAck { ack: tcp.ack },
            _ if tcp.ack > 1 => Topic::Ack { ack: tcp.ack },
            _ => return None,
        })
    }
}

/// What can be said of a packet of which only sockets tell.
fn unseen(event: &Event, earlier: Option<&Event>) -> Vec<Topic> {
    let opens = earlier
        .and_then(|earlier| earlier.states)
        .is_some_and(|states| states[event.from.index()].state == State::SynSent);
    let topic = match event.kind {
        Kind::Inferred("SYN") => Some(Topic::SynUnseen),
        Kind::Inferred("close") if opens => Some(Topic::GaveUp),
        _ => None,
    };
    let notes = event.notes.iter().filter_map(|note| match note {
        Note::Refused => Some(Topic::Refused),
        Note::Retransmission { after, .. } => Some(Topic::SynAgain {
            after: duration(*after),
        }),
        Note::ReadLate { after } => Some(Topic::ReadLate {
            after: duration(*after),
        }),
        _ => None,
    });
    topic.into_iter().chain(notes).collect()
}

fn again(
    tcp: &Tcp,
    (how, after): (How, String),
    before: Option<[StateAt; 2]>,
    from: Side,
) -> Topic {
    let peer = before.map(|states| states[from.other().index()].state);
    match how {
        How::Syn => Topic::SynAgain { after },
        _ if tcp.flags.has(Flags::FIN) && peer == Some(State::TimeWait) => Topic::FinAgain,
        _ => Topic::Again {
            how,
            first: tcp.seq,
            last: (tcp.end() - 1).max(tcp.seq),
            after,
        },
    }
}

fn remark(note: &Note, tcp: &Tcp) -> Option<Topic> {
    Some(match note {
        Note::Connected { rtt } => Topic::Connected {
            rtt: duration(*rtt),
        },
        Note::Refused => Topic::Refused,
        Note::DuplicateAck { .. } => match tcp.sack.first() {
            Some((first, end)) => Topic::Sack {
                ack: tcp.ack,
                first: *first,
                last: end - 1,
            },
            None => Topic::DuplicateAck { ack: tcp.ack },
        },
        Note::DuplicateSack => Topic::DuplicateSack,
        Note::WindowFull => Topic::WindowFull,
        Note::ZeroWindow => Topic::ZeroWindow,
        Note::ZeroWindowProbe => Topic::Probe,
        Note::WindowUpdate => Topic::WindowUpdate { window: tcp.window },
        Note::KeepAlive => Topic::KeepAlive { seq: tcp.seq },
        Note::SimultaneousClose => Topic::AtOnce,
        Note::SimultaneousOpen => Topic::OpenAtOnce,
        Note::Damaged => Topic::Damaged,
        _ => return None,
    })
}
