//! Capture files, as tcpdump and Wireshark write them: pcap and pcapng, of either byte order.
//!
//! As draft-ietf-opsawg-pcap (pcap) and draft-ietf-opsawg-pcapng (pcapng) describe them. The bytes come in pieces of
//! any size: [`Reader::read`] says what stands at their beginning and how long it is, or that more are needed.
//!
//! ```
//! use wire::pcapng::{Item, Reader};
//!
//! let mut file = Vec::new();
//! for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 101] { // pcap 2.4, microseconds, raw IP
//!     file.extend(word.to_le_bytes());
//! }
//! for word in [7_u32, 250_000, 4, 60] { // a packet of 60 bytes, of which 4 were kept
//!     file.extend(word.to_le_bytes());
//! }
//! file.extend([0x45, 0, 0, 60]);
//!
//! let mut reader = Reader::new();
//! let (head, length) = reader.read(&file)?.expect("all of the header");
//! assert_eq!((head, length), (Item::Nothing, 24));
//! let (packet, _) = reader.read(&file[length..])?.expect("all of the packet");
//! let Item::Packet(packet) = packet else { panic!("{packet:?}") };
//! assert_eq!((packet.time, packet.link, packet.original), (Some(7_250_000_000), 101, 60));
//! # Ok::<(), wire::pcapng::FileError>(())
//! ```

mod blocks;
mod classic;
#[cfg(test)]
mod tests;
mod write;

pub use write::{Writer, Written};

/// The longest packet or block that is taken, in bytes. Longer ones are a broken length.
pub const BLOCK_MAX: usize = 64 << 20;

/// What stands at the beginning of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A packet.
    Packet(Record<'a>),
    /// Lines of a key log, as `SSLKEYLOGFILE` has them (pcapng's Decryption Secrets Block, type TLS).
    Secrets(&'a [u8]),
    /// What the capture missed on one interface, since it began (pcapng's Interface Statistics Block).
    Dropped(u64),
    /// A header, or a block that says nothing about packets.
    Nothing,
}

/// A packet as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What its first bytes are: a [link type](https://www.tcpdump.org/linktypes.html).
    pub link: u16,
    /// Nanoseconds since 1970; pcapng's simple packets have none.
    pub time: Option<u64>,
    /// Its length on the wire, in bytes. The capture may have kept fewer.
    pub original: u32,
    /// What was kept.
    pub data: &'a [u8],
    /// Whether it came in (`true`) or went out, if the file says so.
    pub inbound: Option<bool>,
}

/// Why a file cannot be read on. `offset` counts bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The first bytes are those of something else.
    #[error("this is no capture: it begins with {}, and not as pcap or pcapng do", hex(.0))]
    Magic([u8; 4]),
    /// A compressed file.
    #[error("this is a gzip file, and maybe a capture inside")]
    Compressed,
    /// A version that is unknown.
    #[error("{format} {major}.{minor} at offset {offset} is not known")]
    Version {
        /// pcap or pcapng.
        format: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
        /// Where the header begins.
        offset: u64,
    },
    /// A length that cannot be.
    #[error("broken at offset {offset}: {what} of {length} bytes")]
    Length {
        /// What has it.
        what: &'static str,
        /// As it is written there.
        length: u64,
        /// Where the packet or block begins.
        offset: u64,
    },
    /// Two fields that do not fit each other.
    #[error("broken at offset {offset}: {what}")]
    Broken {
        /// What is wrong.
        what: &'static str,
        /// Where the packet or block begins.
        offset: u64,
    },
    /// A packet of an interface that no block has described.
    #[error("broken at offset {offset}: a packet of interface {interface}, of {known}")]
    Interface {
        /// Its number, from 0.
        interface: u32,
        /// How many there are.
        known: usize,
        /// Where the packet begins.
        offset: u64,
    },
}

fn hex(bytes: &[u8; 4]) -> String {
    let [a, b, c, d] = bytes;
    format!("{a:02x} {b:02x} {c:02x} {d:02x}")
}

/// Reads one file from its beginning.
#[derive(Debug, Default)]
pub struct Reader {
    format: Format,
    offset: u64,
}

#[derive(Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Classic(classic::Header),
    Blocks(blocks::Section),
}

/// The byte order of a file's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(*bytes),
            Self::Big => u16::from_be_bytes(*bytes),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(*bytes),
            Self::Big => u32::from_be_bytes(*bytes),
        })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(*bytes),
            Self::Big => u64::from_be_bytes(*bytes),
        })
    }
}

impl Reader {
    /// For a file that has not been read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of the file have been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What stands at the beginning of `bytes`, which follow those that were read before, and its length in bytes.
    ///
    /// `None`: more bytes are needed to tell. When there are no more the file was cut, or has ended if `bytes` is
    /// empty.
    ///
    /// # Errors
    /// When this is no capture, or a broken one. Nothing can be read from then on.
    pub fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, FileError> {
        let read = match &mut self.format {
            Format::Unknown => {
                let Some(first) = bytes.first_chunk::<4>() else {
                    return Ok(None);
                };
                match first {
                    [0x0a, 0x0d, 0x0d, 0x0a] => {
                        self.format = Format::Blocks(blocks::Section::default());
                        return self.read(bytes);
                    }
                    [0x1f, 0x8b, ..] => return Err(FileError::Compressed),
                    _ => {}
                }
                let header = classic::Header::read(bytes)?;
                header.map(|header| {
                    self.format = Format::Classic(header);
                    (Item::Nothing, classic::HEADER)
                })
            }
            Format::Classic(header) => header.packet(bytes, self.offset)?,
            Format::Blocks(section) => section.block(bytes, self.offset)?,
        };
        if let Some((_, length)) = read {
            self.offset += length as u64;
        }
        Ok(read)
    }
}
