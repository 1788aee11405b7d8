//! Capture files, read to their end and sorted into flows.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;

use wire::packet::{Body, Packet, Unread};
use wire::pcapng::{FileError, Item, Reader, Record};

use crate::flow::{Flow, Flows, Frame};
use crate::fragment::Fragments;
use crate::step::KeyLog;

/// As much as is read at once.
const CHUNK: usize = 256 * 1024;

/// The longest capture, in nanoseconds: more than four years. Sums of such times fit where they are counted.
const LONGEST: i64 = i64::MAX / 64;

/// Everything that a capture file says.
#[derive(Debug, Default)]
pub struct Capture {
    /// The flows, in the order of their first packets.
    pub flows: Vec<Flow>,
    /// The moment of the first packet, in nanoseconds since 1970.
    pub started: Option<u64>,
    /// How many others were over and are kept no more; of a file, none.
    pub forgotten: usize,
    /// How many packets the file has.
    pub frames: u64,
    /// Packets that are not drawn, by the reason.
    pub skipped: BTreeMap<String, u64>,
    /// Packets that the capture itself has missed, if the file says so.
    pub dropped: u64,
    /// Why the file could not be read to its end.
    pub fault: Option<Fault>,
}

/// Why a file could not be read to its end. What stands before is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is broken, or no capture at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// It ends in the middle of a packet.
    #[error("cut short: it ends in the middle of packet {packet}, which begins at offset {offset}")]
    Cut {
        /// The packet's number, from 1.
        packet: u64,
        /// Where it begins, in bytes from the beginning of the file.
        offset: u64,
    },
    /// There is nothing in it.
    #[error("empty: not even the header of a capture is there")]
    Empty,
}

impl Capture {
    /// Reads a capture to its end, and finds out what it means.
    ///
    /// What goes wrong on the way ends the reading and is told in [`Capture::fault`]; a file that is only cut short
    /// is no rarity.
    #[must_use]
    pub fn read(file: impl Read) -> Self {
        Self::read_with(file, &[])
    }

    /// The same with the lines of a key log, as programs write them that have `SSLKEYLOGFILE` in their environment:
    /// what their connections have encrypted is opened. Keys that stand in the file itself are used in any case.
    #[must_use]
    pub fn read_with(file: impl Read, keys: &[u8]) -> Self {
        let mut sorter = Sorter::with_keys(keys);
        let fault = sorter.read(file).err();
        let mut capture = sorter.finish(fault);
        for flow in &mut capture.flows {
            flow.analyse();
        }
        capture
    }
}

/// Says which flows are of interest, by the addresses of both ends of a packet.
type Wanted = Box<dyn FnMut(SocketAddr, SocketAddr) -> bool + Send>;

/// Puts packets into flows.
#[derive(Default)]
pub(crate) struct Sorter {
    pub(crate) capture: Capture,
    pub(crate) flows: Flows,
    fragments: Fragments,
    pub(crate) keys: KeyLog,
    /// All of them without it.
    pub(crate) wanted: Option<Wanted>,
}

impl Sorter {
    pub(crate) fn with_keys(keys: &[u8]) -> Self {
        let mut sorter = Self::default();
        sorter.keys.add(keys);
        sorter
    }

    /// Times count from here, in nanoseconds since 1970.
    pub(crate) fn begin(&mut self, started: u64) {
        self.capture.started = Some(started);
    }

    /// A frame with a number and a time of its own.
    pub(crate) fn see(&mut self, number: u64, time: i64, link: u16, bytes: &[u8]) {
        self.capture.frames += 1;
        let packet = Packet::read(link, bytes, bytes.len() as u32);
        self.frame(number, Some(time), None, packet);
    }

    /// The flows, of which nobody has found out yet what they mean.
    pub(crate) fn finish(self, fault: Option<Fault>) -> Capture {
        let parts = self.fragments.left() as u64;
        let mut capture = self.capture;
        if parts > 0 {
            let why = "a fragment of a packet that is not all there";
            capture.skipped.insert(why.to_owned(), parts);
        }
        capture.flows = self.flows.done();
        capture.fault = fault;
        capture
    }

    fn read(&mut self, mut file: impl Read) -> Result<(), Fault> {
        let mut reader = Reader::new();
        let mut buffer = vec![0; CHUNK];
        let (mut start, mut end) = (0, 0);
        loop {
            while let Some((item, length)) = reader.read(&buffer[start..end])? {
                self.take(item);
                start += length;
            }
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            if buffer.len() - end < CHUNK / 2 {
                buffer.resize(buffer.len() * 2, 0);
            }
            let more = match file.read(&mut buffer[end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            end += more;
            if more == 0 {
                return match (end, reader.offset()) {
                    (0, 0) => Err(Fault::Empty),
                    (0, _) => Ok(()),
                    (_, offset) => Err(Fault::Cut {
                        packet: self.capture.frames + 1,
                        offset,
                    }),
                };
            }
        }
    }

    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Packet(record) => {
                self.packet(&record);
            }
            Item::Dropped(count) => self.capture.dropped += count,
            Item::Secrets(lines) => self.keys.add(lines),
            Item::Nothing => {}
        }
    }

    /// The number of the flow that the packet belongs to.
    fn packet(&mut self, record: &Record<'_>) -> Option<usize> {
        let packet = Packet::read(record.link, record.data, record.original);
        self.take_in(record.time, None, packet)
    }

    /// The same of a packet that was read, or why it was not. `read`: when our program got it, if `time` is what the
    /// kernel says.
    pub(crate) fn take_in(
        &mut self,
        time: Option<u64>,
        read: Option<u64>,
        packet: Result<Packet<'_>, Unread>,
    ) -> Option<usize> {
        self.capture.frames += 1;
        let frame = self.capture.frames;
        let started = &mut self.capture.started;
        let mut since = |time: u64| {
            let started = *started.get_or_insert(time);
            let since = time.wrapping_sub(started).cast_signed();
            since.clamp(-LONGEST, LONGEST)
        };
        // A packet without a time came with the one before it.
        let time = time.map(&mut since);
        let read = read.map(since);
        self.frame(frame, time, read, packet)
    }

    fn frame(
        &mut self,
        frame: u64,
        time: Option<i64>,
        read: Option<i64>,
        packet: Result<Packet<'_>, Unread>,
    ) -> Option<usize> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(why) => return self.skip(why.to_string()),
        };
        let mut at = Frame {
            frame,
            time: time.unwrap_or_else(|| self.flows.now()),
            read,
            id: packet.id,
            source: packet.source,
            destination: packet.destination,
        };
        let Body::Part { .. } = packet.body else {
            return self.body(at, &packet.body);
        };
        let whole = self.fragments.add(&packet)?;
        at.id = None;
        match Body::read(whole.protocol, &whole.bytes, whole.bytes.len() as u32) {
            Ok(body) => self.body(at, &body),
            Err(why) => self.skip(why.to_string()),
        }
    }

    fn body(&mut self, at: Frame, body: &Body<'_>) -> Option<usize> {
        if let Body::Other(number) = body {
            return self.skip(format!("protocol {number}"));
        }
        if let Some((source, destination)) = ends(&at, body)
            && let Some(wanted) = &mut self.wanted
            && !wanted(source, destination)
        {
            self.forget();
            return None;
        }
        let flow = self.flows.add(at, body, &self.keys);
        if flow.is_none() {
            match self.wanted {
                Some(_) => self.forget(),
                None => {
                    self.skip("an ICMP error about a flow that was not seen".to_owned());
                }
            }
        }
        flow
    }

    /// What was not asked for is not missing.
    fn forget(&mut self) {
        self.capture.frames -= 1;
        if self.capture.frames == 0 {
            self.capture.started = None;
        }
    }

    fn skip(&mut self, why: String) -> Option<usize> {
        *self.capture.skipped.entry(why).or_default() += 1;
        None
    }
}

/// Both ends of a packet that has ports of its own.
fn ends(at: &Frame, body: &Body<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination) = match body {
        Body::Tcp(segment) => (segment.source, segment.destination),
        Body::Udp(datagram) => (datagram.source, datagram.destination),
        Body::Stream {
            source,
            destination,
            ..
        } => (*source, *destination),
        Body::Icmp(_) | Body::Part { .. } | Body::Other(_) => return None,
    };
    Some((
        SocketAddr::new(at.source, source),
        SocketAddr::new(at.destination, destination),
    ))
}
