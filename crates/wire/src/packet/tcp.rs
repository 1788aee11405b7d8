//! Segments of TCP (RFC 9293, section 3.1) and their options.

use super::Unread;

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The number of the first byte, or of SYN or FIN if there is none.
    pub seq: u32,
    /// The number of the byte that the sender expects next; it means something only with [`Flags::ACK`].
    pub ack: u32,
    /// SYN, ACK and so on.
    pub flags: Flags,
    /// How much the sender is ready to take, as it stands there: not yet scaled.
    pub window: u16,
    /// The options.
    pub options: Options,
    /// How many bytes of the stream it carries, on the wire.
    pub length: u32,
    /// Those bytes, as far as they were kept.
    pub payload: &'a [u8],
}

/// The control bits of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// The sender has no more to say.
    pub const FIN: Self = Self(0x01);
    /// The first segment of its sender.
    pub const SYN: Self = Self(0x02);
    /// The connection is gone.
    pub const RST: Self = Self(0x04);
    /// To be handed to the program at once.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// There is urgent data.
    pub const URG: Self = Self(0x20);
    /// Congestion was met (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// The sender has slowed down (RFC 3168).
    pub const CWR: Self = Self(0x80);
    /// Accurate ECN (RFC 9768).
    pub const AE: Self = Self(0x100);

    /// Their names, in the order in which people say them: `SYN ACK`, `FIN PSH ACK`.
    const NAMES: [(Self, &'static str); 9] = [
        (Self::SYN, "SYN"),
        (Self::FIN, "FIN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
        (Self::AE, "AE"),
    ];

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = Self::NAMES.into_iter();
        set.filter_map(move |(flag, name)| self.has(flag).then_some(name))
    }
}

/// The options of a segment that say something about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// The longest segment that the sender takes (RFC 9293, section 3.7.1).
    pub mss: Option<u16>,
    /// How many bits its windows are to be shifted (RFC 7323, section 2).
    pub scale: Option<u8>,
    /// Selective acknowledgments are understood (RFC 2018).
    pub sack_permitted: bool,
    /// Ranges that have come beyond the acknowledgment number: first byte, and the one after the last.
    pub sack: [Option<(u32, u32)>; 4],
    /// The sender's clock, and the receiver's as it was last heard (RFC 7323, section 3).
    pub timestamps: Option<(u32, u32)>,
    /// TCP Fast Open (RFC 7413).
    pub fast_open: bool,
    /// Multipath TCP (RFC 8684).
    pub multipath: bool,
    /// Signed: MD5 (RFC 2385) or TCP-AO (RFC 5925).
    pub signed: bool,
}

const HEADER: usize = 20;

/// Reads a segment of `length` bytes, header included, of which `bytes` were kept.
pub(super) fn read(bytes: &[u8], length: u32) -> Result<Segment<'_>, Unread> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(Unread::Cut("TCP"));
    };
    let whole = usize::from(header[12] >> 4) * 4;
    if whole < HEADER || (length as usize) < whole {
        return Err(Unread::Broken("TCP"));
    }
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
    let length = length - whole as u32;
    let kept = bytes.get(whole..).unwrap_or_default();
    Ok(Segment {
        source: half(0),
        destination: half(2),
        seq: word(4),
        ack: word(8),
        flags: Flags(half(12) & 0x1ff),
        window: half(14),
        options: options(&bytes[HEADER..whole.min(bytes.len())]),
        length,
        // Short frames are padded on Ethernet.
        payload: &kept[..kept.len().min(length as usize)],
    })
}

/// What is broken or cut ends them: the segment counts without.
fn options(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            0 => break,
            1 => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let Some(option) = rest
            .first()
            .and_then(|length| bytes.get(..usize::from(*length)))
            .filter(|option| option.len() >= 2)
        else {
            break;
        };
        bytes = &bytes[option.len()..];
        options.set(kind, &option[2..]);
    }
    options
}

impl Options {
    fn set(&mut self, kind: u8, value: &[u8]) {
        let word = |at: usize| {
            let bytes = value.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        match (kind, value) {
            (2, [high, low]) => self.mss = Some(u16::from_be_bytes([*high, *low])),
            // More than 14 is taken for 14 (RFC 7323, section 2.3).
            (3, [shift]) => self.scale = Some((*shift).min(14)),
            (4, []) => self.sack_permitted = true,
            (5, _) => {
                for (index, range) in self.sack.iter_mut().enumerate() {
                    *range = word(index * 8).zip(word(index * 8 + 4));
                }
            }
            (8, _) => self.timestamps = word(0).zip(word(4)),
            (19 | 29, _) => self.signed = true,
            (30, _) => self.multipath = true,
            (34, _) => self.fast_open = true,
            _ => {}
        }
    }
}
