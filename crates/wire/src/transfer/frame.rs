//! The frames of the transfer protocol: read and written, bounded, and proved.
//!
//! A frame is its kind (1 byte), the length of what it says (3 bytes, big endian), CRC-8 of these four, what it says,
//! and a check: the first 8 bytes of BLAKE3 of all before. Frames of content have no check: the proof of their chunk is
//! one. Numbers are big
//! endian. Texts and paths have their length before them, in 2 bytes.

use thiserror::Error;

mod fields;

use super::RelativePath;
use fields::{Reader, Writer};

/// The most bytes of content in one frame.
pub const MAX_DATA: usize = 1024 * 1024;

/// The most bytes of a frame that is no content.
pub const MAX_CONTROL: usize = 8 * 1024;

/// The most bytes of content of a lot, and so the longest file that comes without being asked for.
pub const LOT: usize = 64 * 1024;

/// The most files of a lot.
pub const LOT_FILES: usize = 128;

/// The most bytes of a text that an end says about something.
pub const MAX_TEXT: usize = 1024;

/// Bytes before what a frame says: kind, length, and their CRC-8.
pub const HEAD: usize = 5;

const CHECK: usize = 8;

/// Kinds from here on are of later versions, and are passed over.
const LATER: u8 = 0x80;

const DATA: u8 = 0x10;

/// One thing that an end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of who came.
    Hello(Hello),
    /// The first frame of the other one: with this version it goes on.
    Welcome {
        /// The version.
        version: u8,
    },
    /// The source has this.
    Entry(Entry),
    /// What the target wants of an entry.
    Answer {
        /// Which entry.
        index: u32,
        /// How much of it.
        answer: Answer,
    },
    /// What follows is of this entry.
    File {
        /// Which entry.
        index: u32,
        /// The chunk that it goes on with: the one that was wanted, or 0.
        from: u64,
    },
    /// So many zeros follow.
    Hole(u64),
    /// The proof of the chunk that ends here.
    Proof([u8; 32]),
    /// The file ends here; BLAKE3 of all of it.
    End {
        /// Bytes.
        size: u64,
        /// The hash.
        hash: [u8; 32],
    },
    /// The source cannot go on with this entry, whether it was begun or not.
    Gone {
        /// Which entry.
        index: u32,
        /// Why, as a sentence without a full stop.
        text: String,
    },
    /// What became of an entry.
    Receipt {
        /// Which entry.
        index: u32,
        /// What.
        outcome: Outcome,
    },
    /// The source has said all.
    Done,
    /// The target has said all.
    Bye,
    /// An end cannot go on at all.
    Error {
        /// Of what kind it is.
        reason: Reason,
        /// Why, as a sentence without a full stop.
        text: String,
    },
    /// Something that people want to know of an entry; nothing follows from it.
    Note {
        /// Which entry.
        index: u32,
        /// What, as a sentence without a full stop.
        text: String,
    },
    /// Small files follow, one right after the other; BLAKE3 of all their content.
    Lot {
        /// Which entries, and the bytes of each.
        files: Vec<(u32, u32)>,
        /// The hash.
        hash: [u8; 32],
    },
    /// A frame of a later version, which may be passed over.
    Later,
}

/// How a transfer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The latest version that is understood.
    pub version: u8,
    /// What who came wants to be.
    pub role: Role,
    /// The transfer, also when it comes back after a cut: a number by chance.
    pub id: [u8; 16],
    /// Where to or from: what stands after the host in a URL, with its secret.
    pub path: Vec<u8>,
}

/// Who has the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who came has them.
    Push,
    /// Who was there has them.
    Pull,
}

/// A file or folder of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, which all that follows names it by.
    pub index: u32,
    /// Where it belongs.
    pub path: RelativePath,
    /// A folder, and not a file.
    pub is_folder: bool,
    /// It has holes.
    pub is_sparse: bool,
    /// Bytes; `None` where nobody knows before the end.
    pub size: Option<u64>,
    /// When it was changed last: seconds since 1970 in UTC, and nanoseconds.
    pub modified: Option<(i64, u32)>,
    /// Permissions as Unix has them.
    pub mode: Option<u32>,
    /// BLAKE3 of its content, where the target may have it already.
    pub hash: Option<[u8; 32]>,
}

impl Entry {
    /// Whether it is a file that comes in a lot.
    pub fn is_of_a_lot(&self) -> bool {
        !self.is_folder && !self.is_sparse && self.size.is_some_and(|size| size <= LOT as u64)
    }

    /// Whether it comes without being asked for: it is of a lot, and the target has nothing to compare it with.
    pub fn comes_unasked(&self) -> bool {
        self.is_of_a_lot() && self.hash.is_none()
    }

    /// Whether it is sent when the target asks for it: a folder has no content.
    pub fn is_asked_for(&self) -> bool {
        !self.is_folder && !self.comes_unasked()
    }
}

/// What the target wants of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All from this chunk on. Those before are there, with this proof of all of them.
    Want {
        /// The first one that is missing.
        from: u64,
        /// The proof of those before; zeros when there are none.
        proof: [u8; 32],
    },
    /// Nothing: what is there has the hash that was said. Its receipt follows.
    Here,
    /// Nothing, for this reason.
    Refused {
        /// Of what kind it is.
        reason: Reason,
        /// Why, as a sentence without a full stop.
        text: String,
    },
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the disk, proved, under this name.
    Landed(RelativePath),
    /// It is not.
    Failed {
        /// Of what kind it is.
        reason: Reason,
        /// Why, as a sentence without a full stop.
        text: String,
    },
}

/// Why something does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Something else; the text says it.
    Other = 0,
    /// What came is not what was sent: it is worth another attempt.
    Damaged = 1,
    /// There is such a file, and it is to stay.
    Exists = 2,
    /// The disk is full.
    NoRoom = 3,
    /// It is not allowed.
    Forbidden = 4,
    /// Another transfer writes it.
    Busy = 5,
    /// The path is of no use.
    BadName = 6,
    /// No version is spoken by both.
    Version = 7,
    /// There is nothing at this path, or its secret is wrong.
    NotFound = 8,
    /// An end broke the rules of the protocol.
    Protocol = 9,
    /// The same transfer has come back by another connection.
    Replaced = 10,
}

/// What stands at the beginning of the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not all of a frame.
    NeedMore,
    /// So many bytes of content follow, after so many that are passed over now.
    Data {
        /// Bytes before it.
        skip: usize,
        /// Bytes of content.
        length: usize,
    },
    /// A frame.
    Frame {
        /// What it says.
        frame: Frame,
        /// Its bytes.
        length: usize,
    },
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameFault {
    /// It says that it is longer than frames are.
    #[error("a frame says that it has {0} bytes")]
    TooLong(usize),
    /// Its check is of other bytes.
    #[error("a frame was damaged on its way")]
    Damaged,
    /// There is no such kind of frame in this version.
    #[error("a frame is of the kind {0}, which this version does not have")]
    Unknown(u8),
    /// It is whole, and what it says makes no sense.
    #[error("a frame of the kind {0} says what it cannot say")]
    Nonsense(u8),
}

/// Reads what stands at the beginning of `bytes`.
///
/// # Errors
/// When that is no frame.
pub fn decode(bytes: &[u8]) -> Result<Step, FrameFault> {
    let Some((&[kind, a, b, c, crc], rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(Step::NeedMore);
    };
    // Otherwise a length that was damaged would be waited for.
    if crc8([kind, a, b, c]) != crc {
        return Err(FrameFault::Damaged);
    }
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if kind == DATA {
        return match length {
            1..=MAX_DATA => Ok(Step::Data { skip: HEAD, length }),
            length => Err(FrameFault::TooLong(length)),
        };
    }
    if length > MAX_CONTROL {
        return Err(FrameFault::TooLong(length));
    }
    let Some((said, check)) = rest.get(..length + CHECK).map(|rest| rest.split_at(length)) else {
        return Ok(Step::NeedMore);
    };
    if check_of(&bytes[..HEAD + length])[..] != *check {
        return Err(FrameFault::Damaged);
    }
    let mut said = Reader(said);
    let frame = read(kind, &mut said)?.filter(|frame| said.0.is_empty() || *frame == Frame::Later);
    let frame = frame.ok_or(FrameFault::Nonsense(kind))?;
    let length = HEAD + length + CHECK;
    Ok(Step::Frame { frame, length })
}

/// Writes a frame at the end of `out`.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    write(frame, &mut Writer(out));
    let length = out.len() - start - HEAD;
    out[start..start + HEAD].copy_from_slice(&head(kind_of(frame), length));
    let check = check_of(&out[start..]);
    out.extend_from_slice(&check);
}

/// The head of a frame with `length` bytes of content, which follow it.
pub fn encode_data(length: usize) -> [u8; HEAD] {
    head(DATA, length)
}

fn head(kind: u8, length: usize) -> [u8; HEAD] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [kind, a, b, c, crc8([kind, a, b, c])]
}

/// CRC-8 with the polynomial x^8 + x^2 + x + 1, as ATM has it (ITU-T I.432.1, section 4.3.2, without its pattern).
fn crc8(bytes: [u8; 4]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| match crc & 0x80 {
            0 => crc << 1,
            _ => crc << 1 ^ 7,
        })
    })
}

fn check_of(frame: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(frame).as_bytes()[..CHECK]);
    check
}

fn kind_of(frame: &Frame) -> u8 {
    match frame {
        Frame::Hello(_) => 1,
        Frame::Welcome { .. } => 2,
        Frame::Entry(_) => 3,
        Frame::Answer { .. } => 4,
        Frame::File { .. } => 5,
        Frame::Hole(_) => 6,
        Frame::Proof(_) => 7,
        Frame::End { .. } => 8,
        Frame::Gone { .. } => 9,
        Frame::Receipt { .. } => 10,
        Frame::Done => 11,
        Frame::Bye => 12,
        Frame::Error { .. } => 13,
        Frame::Note { .. } => 14,
        Frame::Lot { .. } => 15,
        Frame::Later => LATER,
    }
}

fn write(frame: &Frame, out: &mut Writer<'_>) {
    match frame {
        Frame::Hello(hello) => {
            out.u8(hello.version);
            out.u8(match hello.role {
                Role::Push => 1,
                Role::Pull => 2,
            });
            out.bytes(&hello.id);
            out.sized(&hello.path);
        }
        Frame::Welcome { version } => out.u8(*version),
        Frame::Entry(entry) => write_entry(entry, out),
        Frame::Answer { index, answer } => {
            out.u32(*index);
            match answer {
                Answer::Want { from, proof } => {
                    out.u8(1);
                    out.u64(*from);
                    out.bytes(proof);
                }
                Answer::Refused { reason, text } => {
                    out.u8(2);
                    out.reason(*reason, text);
                }
                Answer::Here => out.u8(3),
            }
        }
        Frame::File { index, from } => {
            out.u32(*index);
            out.u64(*from);
        }
        Frame::Hole(length) => out.u64(*length),
        Frame::Proof(proof) => out.bytes(proof),
        Frame::End { size, hash } => {
            out.u64(*size);
            out.bytes(hash);
        }
        Frame::Gone { index, text } | Frame::Note { index, text } => {
            out.u32(*index);
            out.text(text);
        }
        Frame::Receipt { index, outcome } => {
            out.u32(*index);
            match outcome {
                Outcome::Landed(path) => {
                    out.u8(1);
                    out.sized(path.as_bytes());
                }
                Outcome::Failed { reason, text } => {
                    out.u8(2);
                    out.reason(*reason, text);
                }
            }
        }
        Frame::Error { reason, text } => out.reason(*reason, text),
        Frame::Lot { files, hash } => {
            out.bytes(hash);
            for (index, size) in files {
                out.u32(*index);
                out.u32(*size);
            }
        }
        Frame::Done | Frame::Bye | Frame::Later => {}
    }
}

/// Flags of an entry.
const FOLDER: u8 = 1;
const SPARSE: u8 = 2;
const SIZED: u8 = 4;
const DATED: u8 = 8;
const MODED: u8 = 16;
const HASHED: u8 = 32;

fn write_entry(entry: &Entry, out: &mut Writer<'_>) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    out.u32(entry.index);
    out.u8(flag(entry.is_folder, FOLDER)
        | flag(entry.is_sparse, SPARSE)
        | flag(entry.size.is_some(), SIZED)
        | flag(entry.modified.is_some(), DATED)
        | flag(entry.mode.is_some(), MODED)
        | flag(entry.hash.is_some(), HASHED));
    if let Some(size) = entry.size {
        out.u64(size);
    }
    if let Some((seconds, nanos)) = entry.modified {
        out.u64(seconds.cast_unsigned());
        out.u32(nanos);
    }
    if let Some(mode) = entry.mode {
        out.u32(mode);
    }
    if let Some(hash) = &entry.hash {
        out.bytes(hash);
    }
    out.sized(entry.path.as_bytes());
}

/// `None` for what makes no sense.
fn read(kind: u8, said: &mut Reader<'_>) -> Result<Option<Frame>, FrameFault> {
    let frame = match kind {
        1 => said.hello().map(Frame::Hello),
        2 => said.u8().map(|version| Frame::Welcome { version }),
        3 => said.entry().map(Frame::Entry),
        4 => said.answer(),
        5 => said.pair().map(|(index, from)| Frame::File { index, from }),
        6 => said.u64().map(Frame::Hole),
        7 => said.array().map(Frame::Proof),
        8 => said
            .u64()
            .zip(said.array())
            .map(|(size, hash)| Frame::End { size, hash }),
        9 => said
            .u32()
            .zip(said.text())
            .map(|(index, text)| Frame::Gone { index, text }),
        10 => said.receipt(),
        11 => Some(Frame::Done),
        12 => Some(Frame::Bye),
        13 => said
            .reason()
            .map(|(reason, text)| Frame::Error { reason, text }),
        14 => said
            .u32()
            .zip(said.text())
            .map(|(index, text)| Frame::Note { index, text }),
        15 => said.lot(),
        LATER.. => Some(Frame::Later),
        kind => return Err(FrameFault::Unknown(kind)),
    };
    Ok(frame)
}

#[cfg(test)]
mod tests;
