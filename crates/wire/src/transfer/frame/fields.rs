//! What frames are made of: numbers, texts, paths.

use super::{
    Answer, DATED, Entry, FOLDER, Frame, HASHED, Hello, LOT, LOT_FILES, MAX_TEXT, MODED, Outcome,
    Reason, Role, SIZED, SPARSE,
};
use crate::transfer::RelativePath;

/// Writes the fields of one frame.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.bytes(&(bytes.len() as u16).to_be_bytes());
        self.bytes(bytes);
    }

    /// What is longer than texts are ends early.
    pub(super) fn text(&mut self, text: &str) {
        self.sized(&text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)]);
    }

    pub(super) fn reason(&mut self, reason: Reason, text: &str) {
        self.u8(reason as u8);
        self.text(text);
    }
}

/// Reads them; `None` where something is missing or makes no sense.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn pair(&mut self) -> Option<(u32, u64)> {
        Some((self.u32()?, self.u64()?))
    }

    fn sized(&mut self) -> Option<Vec<u8>> {
        let length = u16::from_be_bytes(self.array()?);
        let (bytes, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn path(&mut self) -> Option<RelativePath> {
        RelativePath::new(self.sized()?).ok()
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let text = String::from_utf8(self.sized()?).ok()?;
        (text.len() <= MAX_TEXT).then_some(text)
    }

    pub(super) fn reason(&mut self) -> Option<(Reason, String)> {
        let reason = match self.u8()? {
            1 => Reason::Damaged,
            2 => Reason::Exists,
            3 => Reason::NoRoom,
            4 => Reason::Forbidden,
            5 => Reason::Busy,
            6 => Reason::BadName,
            7 => Reason::Version,
            8 => Reason::NotFound,
            9 => Reason::Protocol,
            10 => Reason::Replaced,
            // A later version may have more of them.
            _ => Reason::Other,
        };
        Some((reason, self.text()?))
    }

    pub(super) fn hello(&mut self) -> Option<Hello> {
        Some(Hello {
            version: self.u8()?,
            role: match self.u8()? {
                1 => Role::Push,
                2 => Role::Pull,
                _ => return None,
            },
            id: self.array()?,
            path: self.sized()?,
        })
    }

    pub(super) fn entry(&mut self) -> Option<Entry> {
        let (index, flags) = (self.u32()?, self.u8()?);
        let has = |flag| flags & flag != 0;
        if flags > (FOLDER | SPARSE | SIZED | DATED | MODED | HASHED) {
            return None;
        }
        let size = if has(SIZED) { Some(self.u64()?) } else { None };
        let modified = match has(DATED) {
            true => Some((self.u64()?.cast_signed(), self.u32()?)),
            false => None,
        };
        let mode = if has(MODED) { Some(self.u32()?) } else { None };
        let hash = match has(HASHED) {
            true => Some(self.array()?),
            false => None,
        };
        if modified.is_some_and(|(_, nanos)| nanos >= 1_000_000_000) {
            return None;
        }
        if hash.is_some() && (size.is_none() || has(FOLDER)) {
            return None;
        }
        Some(Entry {
            index,
            path: self.path()?,
            is_folder: has(FOLDER),
            is_sparse: has(SPARSE),
            size,
            modified,
            mode,
            hash,
        })
    }

    pub(super) fn answer(&mut self) -> Option<Frame> {
        let index = self.u32()?;
        let answer = match self.u8()? {
            1 => Answer::Want {
                from: self.u64()?,
                proof: self.array()?,
            },
            2 => {
                let (reason, text) = self.reason()?;
                Answer::Refused { reason, text }
            }
            3 => Answer::Here,
            _ => return None,
        };
        Some(Frame::Answer { index, answer })
    }

    pub(super) fn lot(&mut self) -> Option<Frame> {
        let hash = self.array()?;
        let mut files = Vec::with_capacity(self.0.len() / 8);
        while !self.0.is_empty() {
            files.push((self.u32()?, self.u32()?));
        }
        let content: u64 = files.iter().map(|(_, size)| u64::from(*size)).sum();
        let is_one = (1..=LOT_FILES).contains(&files.len()) && content <= LOT as u64;
        is_one.then_some(Frame::Lot { files, hash })
    }

    pub(super) fn receipt(&mut self) -> Option<Frame> {
        let index = self.u32()?;
        let outcome = match self.u8()? {
            1 => Outcome::Landed(self.path()?),
            2 => {
                let (reason, text) = self.reason()?;
                Outcome::Failed { reason, text }
            }
            _ => return None,
        };
        Some(Frame::Receipt { index, outcome })
    }
}
