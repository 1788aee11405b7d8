//! Writing pcapng (draft-ietf-opsawg-pcapng): blocks, one after the other, in the byte order of x86.

/// Makes the blocks of one file. They are appended to whatever is given, in the order of the calls.
#[derive(Clone, Debug)]
pub struct Writer {
    name: String,
    snap: u32,
    /// An interface for each link type.
    links: Vec<u16>,
}

/// A packet to be written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// What its first bytes are: a [link type](https://www.tcpdump.org/linktypes.html).
    pub link: u16,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire, in bytes.
    pub original: u32,
    /// What was kept.
    pub data: &'a [u8],
    /// Whether it left, if that is known.
    pub outbound: Option<bool>,
    /// What is said about it.
    pub comment: &'a str,
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;

const MAGIC: u32 = 0x1a2b_3c4d;
/// Of secrets: lines of a key log.
const TLS: u32 = 0x544c_534b;

// Options: of every block, of a section, of an interface, of a packet, of statistics.
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

impl Writer {
    /// Begins a file: `application` says who wrote it, `comment` what is in it, `name` where its packets were seen.
    /// `snap` bytes of each are kept.
    pub fn begin(
        out: &mut Vec<u8>,
        (application, comment, name): (&str, &str, &str),
        snap: u32,
    ) -> Self {
        block(out, SECTION, |out| {
            out.extend(MAGIC.to_le_bytes());
            out.extend([1, 0, 0, 0]);
            // The length of the section is not known.
            out.extend([0xff; 8]);
            option(out, COMMENT, comment.as_bytes());
            option(out, APPLICATION, application.as_bytes());
            end(out);
        });
        Self {
            name: name.to_owned(),
            snap,
            links: Vec::new(),
        }
    }

    /// The number of the interface with packets of this link type, which is described before the first of them.
    fn interface(&mut self, out: &mut Vec<u8>, link: u16) -> u32 {
        if let Some(known) = self.links.iter().position(|known| *known == link) {
            return known as u32;
        }
        self.links.push(link);
        block(out, INTERFACE, |out| {
            out.extend(link.to_le_bytes());
            out.extend([0; 2]);
            out.extend(self.snap.to_le_bytes());
            option(out, NAME, self.name.as_bytes());
            // Nanoseconds.
            option(out, RESOLUTION, &[9]);
            end(out);
        });
        self.links.len() as u32 - 1
    }

    /// Lines of a key log. They must stand before the packets that they open.
    pub fn secrets(&self, out: &mut Vec<u8>, lines: &[u8]) {
        block(out, SECRETS, |out| {
            out.extend(TLS.to_le_bytes());
            out.extend((lines.len() as u32).to_le_bytes());
            padded(out, lines);
        });
    }

    /// A packet.
    pub fn packet(&mut self, out: &mut Vec<u8>, packet: &Written<'_>) {
        let interface = self.interface(out, packet.link);
        block(out, PACKET, |out| {
            out.extend(interface.to_le_bytes());
            time(out, packet.time);
            out.extend((packet.data.len() as u32).to_le_bytes());
            out.extend(packet.original.to_le_bytes());
            padded(out, packet.data);
            option(out, COMMENT, packet.comment.as_bytes());
            if let Some(outbound) = packet.outbound {
                let flags: u32 = if outbound { 2 } else { 1 };
                option(out, FLAGS, &flags.to_le_bytes());
            }
            end(out);
        });
    }

    /// How many packets there were by `at`, and how many more the capture has missed. Without packets there is nothing
    /// to say it of.
    pub fn statistics(&self, out: &mut Vec<u8>, at: u64, received: u64, dropped: u64) {
        if self.links.is_empty() {
            return;
        }
        block(out, STATISTICS, |out| {
            out.extend([0; 4]);
            time(out, at);
            option(out, RECEIVED, &received.to_le_bytes());
            option(out, DROPPED, &dropped.to_le_bytes());
            end(out);
        });
    }
}

/// A block, with its length in front of what `fill` writes and behind it.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    fill(out);
    let length = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out.extend(length.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    // It has 16 bits for its length; what is longer is a comment, and a shorter one does.
    let value = &value[..value.len().min(0xfff0)];
    if value.is_empty() {
        return;
    }
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    padded(out, value);
}

/// The end of a list of options.
fn end(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn time(out: &mut Vec<u8>, time: u64) {
    out.extend(((time >> 32) as u32).to_le_bytes());
    out.extend((time as u32).to_le_bytes());
}
