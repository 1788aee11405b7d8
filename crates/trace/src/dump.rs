//! Packets as they go into a pcapng file that Wireshark opens decrypted.

use std::collections::{HashMap, VecDeque};

use wire::packet::{RAW, finish_checksum};
use wire::pcapng::{Writer, Written};

use crate::capture::now;
use crate::live::original;

/// As long every packet waits, in nanoseconds: keys must stand before the packets that they open, and come later.
const DELAY: u64 = 200_000_000;

/// As long it waits for the keys of a handshake that is under way.
const LONGEST: u64 = 2_000_000_000;

/// A pcapng file that is being written. What is to be written is handed over in pieces.
#[derive(Debug)]
pub struct Dump {
    writer: Writer,
    out: Vec<u8>,
    waiting: VecDeque<Waiting>,
    /// Lines of a key log that are not in the file yet; `None`: they are not wanted.
    keys: Option<Vec<u8>>,
    /// How many secrets of each connection are there.
    secrets: HashMap<String, usize>,
    received: u64,
}

#[derive(Debug)]
struct Waiting {
    link: u16,
    time: u64,
    original: u32,
    data: Vec<u8>,
    outbound: Option<bool>,
    comment: String,
}

impl Dump {
    /// Begins a file of packets, of which `snap` bytes each are kept. With `keys` the secrets of the connections are put
    /// into it: whoever has the file can read them.
    #[must_use]
    pub fn begin((application, comment): (&str, &str), snap: u32, keys: bool) -> Self {
        let mut out = Vec::new();
        let writer = Writer::begin(&mut out, (application, comment, "any"), snap);
        Self {
            writer,
            out,
            waiting: VecDeque::new(),
            keys: keys.then(Vec::new),
            secrets: HashMap::new(),
            received: 0,
        }
    }

    /// Adds lines of a key log.
    pub fn keys(&mut self, lines: &[u8]) {
        let Some(keys) = &mut self.keys else { return };
        keys.extend(lines);
        for line in String::from_utf8_lossy(lines).lines() {
            let mut words = line.split(' ');
            if let (Some(label), Some(random)) = (words.next(), words.next()) {
                let enough = if label == "CLIENT_RANDOM" { 4 } else { 1 };
                let counted = label.ends_with("_TRAFFIC_SECRET")
                    || label.ends_with("_TRAFFIC_SECRET_0")
                    || enough > 1;
                let count = self.secrets.entry(random.to_owned()).or_default();
                *count += if counted { enough } else { 0 };
                if *count >= 4 {
                    self.secrets.remove(random);
                }
            }
        }
    }

    /// Adds a packet of a [link type](https://www.tcpdump.org/linktypes.html), of which `data` was kept.
    pub fn packet(
        &mut self,
        link: u16,
        time: u64,
        data: &[u8],
        outbound: Option<bool>,
        comment: String,
    ) {
        let mut data = data.to_vec();
        // Nobody has computed the checksums of what never left this machine.
        let original = original(link, &data);
        if link == RAW {
            finish_checksum(&mut data);
        }
        self.received += 1;
        self.waiting.push_back(Waiting {
            link,
            time,
            original,
            data,
            outbound,
            comment,
        });
    }

    /// What is to be written now.
    pub fn ready(&mut self) -> Vec<u8> {
        let now = now();
        let wait = match (&self.keys, self.secrets.is_empty()) {
            (None, _) => 0,
            (_, true) => DELAY,
            (_, false) => LONGEST,
        };
        while let Some(first) = self.waiting.front() {
            if now.saturating_sub(first.time) < wait {
                break;
            }
            self.write();
        }
        std::mem::take(&mut self.out)
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn write(&mut self) {
        let Some(packet) = self.waiting.pop_front() else {
            return;
        };
        if let Some(keys) = self.keys.as_mut().filter(|keys| !keys.is_empty()) {
            let keys = std::mem::take(keys);
            self.writer.secrets(&mut self.out, &keys);
        }
        self.writer.packet(
            &mut self.out,
            &Written {
                link: packet.link,
                time: packet.time,
                original: packet.original,
                data: &packet.data,
                outbound: packet.outbound,
                comment: &packet.comment,
            },
        );
    }

    /// The rest of the file: the packets that wait, and how many were missed.
    #[must_use]
    pub fn finish(mut self, missed: u64) -> Vec<u8> {
        while !self.waiting.is_empty() {
            self.write();
        }
        self.writer
            .statistics(&mut self.out, now(), self.received, missed);
        self.out
    }
}
