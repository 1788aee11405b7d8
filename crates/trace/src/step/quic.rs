//! QUIC: packets by their kind and number, and what is inside of those that can be opened: the first ones of each
//! connection always, the others with a key log.

use std::collections::BTreeMap;

use wire::quic_packet::{Frame, Header, Kind, VERSION_1, VERSION_2};

use super::{Half, KeyLog, Steps, tls};
use crate::event::Side;

mod http3;
mod protection;

use http3::Http3;
use protection::Protection;

const LAYER: &str = "QUIC";

/// As many streams are followed.
const STREAMS: usize = 1024;

/// Longer ids are not of these versions (RFC 9000, section 17.2).
const ID_MAX: usize = 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Quic {
    version: u32,
    spaces: [Space; 3],
    /// How long the ids are that each end has chosen for itself.
    ids: [Option<usize>; 2],
    tls: tls::Tls,
    /// Nothing waits for keys any more.
    gave_up: bool,
    streams: BTreeMap<(u64, usize), Stream>,
    http: Http3,
}

/// A space of packet numbers: Initial, Handshake, data.
#[derive(Debug, Default)]
struct Space {
    keys: [Option<Protection>; 2],
    crypto: [Half; 2],
}

#[derive(Debug, Default)]
struct Stream {
    half: Half,
    end: Option<u64>,
}

const NAMES: [&str; 3] = ["Initial", "Handshake", "1-RTT"];

impl Quic {
    /// A connection, if this is the first datagram of one.
    pub(super) fn begin(datagram: &[u8]) -> Option<Self> {
        let header = Header::read(datagram, 0)?;
        let known = [VERSION_1, VERSION_2].contains(&header.version);
        let short = header.destination.len() > ID_MAX || header.source.len() > ID_MAX;
        if header.kind != Kind::Initial || !known || short {
            return None;
        }
        let mut quic = Self {
            version: header.version,
            spaces: Default::default(),
            ids: [None; 2],
            tls: tls::Tls::default(),
            gave_up: false,
            streams: BTreeMap::new(),
            http: Http3::default(),
        };
        quic.initial(header.destination);
        Some(quic)
    }

    /// The keys of the first packets follow from the id that the client has made up (RFC 9001, section 5.2).
    fn initial(&mut self, id: &[u8]) {
        for side in Side::BOTH {
            let keys = Protection::initial(self.version, id, side);
            self.spaces[0].keys[side.index()] = keys;
        }
    }

    pub(super) fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// Whether a datagram has a packet whose key is not there.
    pub(super) fn lacks(&self, from: Side, mut datagram: &[u8], keys: &KeyLog) -> bool {
        let Some(random) = self.tls.random().filter(|_| !self.gave_up) else {
            return false;
        };
        let at = from.index();
        let secrets = keys.of(random);
        let has = |space: usize| {
            self.spaces[space].keys[at].is_some()
                || secrets.is_some_and(|secrets| match space {
                    1 => secrets.handshake[at].is_some(),
                    _ => secrets.data[at].is_some(),
                })
        };
        let id = self.ids[from.other().index()].unwrap_or(0);
        while datagram.iter().any(|byte| *byte != 0) {
            let Some(header) = Header::read(datagram, id) else {
                return false;
            };
            match header.kind {
                Kind::Handshake if !has(1) => return true,
                Kind::OneRtt => return !has(2),
                _ => {}
            }
            let end = header.length.map_or(datagram.len() as u64, |length| {
                length.saturating_add(header.header as u64)
            });
            datagram = datagram.get(end as usize..).unwrap_or_default();
        }
        false
    }

    /// Names the packets of a datagram: `Initial 0 + Handshake 0`.
    pub(super) fn read(
        &mut self,
        from: Side,
        mut datagram: &[u8],
        keys: &KeyLog,
        steps: &mut Steps,
    ) -> String {
        let whole = datagram.len();
        let mut names = Vec::new();
        let mut transport = Transport::default();
        while datagram.iter().any(|byte| *byte != 0) {
            let id = self.ids[from.other().index()].unwrap_or(0);
            let Some(header) = Header::read(datagram, id) else {
                break;
            };
            let length = header.length.map(|length| length as usize);
            let end = length.map_or(datagram.len(), |length| {
                header.header.saturating_add(length)
            });
            let Some(packet) = datagram.get(..end) else {
                names.push("cut".to_owned());
                break;
            };
            names.push(self.packet(from, &header, packet, keys, steps, &mut transport));
            datagram = &datagram[end..];
        }
        transport.say(whole, steps);
        names.join(" + ")
    }

    fn packet(
        &mut self,
        from: Side,
        header: &Header<'_>,
        packet: &[u8],
        keys: &KeyLog,
        steps: &mut Steps,
        transport: &mut Transport,
    ) -> String {
        let space = match header.kind {
            Kind::Initial => 0,
            Kind::Handshake => 1,
            Kind::OneRtt => 2,
            Kind::ZeroRtt => return "0-RTT".to_owned(),
            Kind::VersionNegotiation => return "version negotiation".to_owned(),
            Kind::Retry => {
                self.initial(header.source);
                return "Retry".to_owned();
            }
        };
        if header.kind != Kind::OneRtt {
            self.ids[from.index()] = Some(header.source.len());
        }
        let at = from.index();
        if self.spaces[space].keys[at].is_none() {
            self.spaces[space].keys[at] = self.secret(from, space, keys);
        }
        let Some(protection) = &mut self.spaces[space].keys[at] else {
            return format!("{} sealed", NAMES[space]);
        };
        let Some((number, frames)) = protection.open(packet, header.header) else {
            return format!("{} sealed", NAMES[space]);
        };
        self.frames(from, space, &frames, keys, steps, transport);
        format!("{} {number}", NAMES[space])
    }

    fn secret(&self, from: Side, space: usize, keys: &KeyLog) -> Option<Protection> {
        let (random, cipher) = self.tls.agreed()?;
        let secrets = keys.of(random)?;
        let secrets = if space == 1 {
            &secrets.handshake
        } else {
            &secrets.data
        };
        Protection::new(self.version, cipher, secrets[from.index()].as_ref()?)
    }

    fn frames(
        &mut self,
        from: Side,
        space: usize,
        mut frames: &[u8],
        keys: &KeyLog,
        steps: &mut Steps,
        transport: &mut Transport,
    ) {
        while let Some((frame, length)) = Frame::read(frames) {
            frames = &frames[length..];
            match frame {
                Frame::Crypto { offset, data } => {
                    let half = &mut self.spaces[space].crypto[from.index()];
                    half.next.get_or_insert(0);
                    for bytes in half.in_order(offset.cast_signed(), data) {
                        self.tls.messages(from, &bytes, keys, steps);
                    }
                }
                Frame::Stream {
                    stream,
                    offset,
                    end,
                    data,
                } => self.stream(from, stream, (offset, end, data), steps),
                other => transport.add(&other),
            }
        }
        if !frames.is_empty() {
            transport.count("unknown frame".to_owned());
        }
    }

    /// Data of a stream: how it begins, whether it ends, the bytes.
    fn stream(
        &mut self,
        from: Side,
        id: u64,
        (offset, end, data): (u64, bool, &[u8]),
        steps: &mut Steps,
    ) {
        let key = (id, from.index());
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&key) {
            self.streams.pop_first();
        }
        let stream = self.streams.entry(key).or_default();
        if end {
            stream.end = Some(offset.saturating_add(data.len() as u64));
        }
        let half = &mut stream.half;
        half.next.get_or_insert(0);
        let ready = half.in_order(offset.cast_signed(), data);
        let done = stream.end.is_some() && stream.end == half.next.map(i64::cast_unsigned);
        if self.tls.inside() == Some("h3") {
            for bytes in &ready {
                self.http.read(from, id, bytes, steps);
            }
            if done {
                self.http.end(from, id, steps);
            }
        } else {
            let ending = if done { ", end" } else { "" };
            let count: usize = ready.iter().map(|bytes| bytes.len()).sum();
            let text = match &ready[..] {
                [bytes] => crate::flow::text(bytes, count as u32),
                _ => None,
            };
            let text = text.map(|text| format!(" \"{text}\"")).unwrap_or_default();
            steps.say("stream", format!("{id}: {count} B{text}{ending}"));
        }
        if done {
            self.streams.remove(&key);
        }
    }
}

/// Frames that are about the connection itself, each kind once.
#[derive(Default)]
struct Transport {
    names: Vec<(String, usize)>,
    pings: bool,
}

impl Transport {
    fn count(&mut self, name: String) {
        match self.names.iter_mut().find(|(other, _)| *other == name) {
            Some((_, count)) => *count += 1,
            None => self.names.push((name, 1)),
        }
    }

    fn add(&mut self, frame: &Frame<'_>) {
        let name = match frame {
            Frame::Padding | Frame::Crypto { .. } | Frame::Stream { .. } => return,
            Frame::Ping => {
                self.pings = true;
                "PING".to_owned()
            }
            Frame::Ack {
                largest,
                first,
                ranges,
            } => {
                let least = largest.saturating_sub(*first);
                let more = if *ranges > 0 { " with gaps" } else { "" };
                match first {
                    0 => format!("ACK {largest}{more}"),
                    _ => format!("ACK {least}–{largest}{more}"),
                }
            }
            Frame::ResetStream { stream, code } => format!("RESET_STREAM {stream}, code {code:#x}"),
            Frame::StopSending { stream, code } => format!("STOP_SENDING {stream}, code {code:#x}"),
            Frame::NewToken => "NEW_TOKEN".to_owned(),
            Frame::NewConnectionId => "NEW_CONNECTION_ID".to_owned(),
            Frame::ConnectionClose {
                code,
                application,
                reason,
            } => {
                let who = if *application { "application " } else { "" };
                let reason = String::from_utf8_lossy(reason);
                let reason = match reason.is_empty() {
                    true => String::new(),
                    false => format!(" \"{}\"", wire::text::printable(&reason)),
                };
                format!("closes: {who}code {code:#x}{reason}")
            }
            Frame::HandshakeDone => "handshake confirmed".to_owned(),
            Frame::Datagram(data) => format!("DATAGRAM {} B", data.len()),
            Frame::Named(name) => (*name).to_owned(),
        };
        self.count(name);
    }

    fn say(self, datagram: usize, steps: &mut Steps) {
        // Nothing but a question, in a datagram longer than everything before: does that length get through?
        let asks = |name: &str| matches!(name, "PING" | "IMMEDIATE_ACK");
        let probe = self.pings && datagram > 1200 && self.names.iter().all(|(name, _)| asks(name));
        for (name, count) in self.names {
            steps.say(
                LAYER,
                match count {
                    1 => name,
                    _ => format!("{name} ×{count}"),
                },
            );
        }
        if probe {
            steps.say(LAYER, format!("probes whether {datagram} B get through"));
        }
    }
}
