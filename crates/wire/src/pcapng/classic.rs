//! The classic format: a header, and packets behind each other.

use super::{BLOCK_MAX, FileError, Item, Order, Record};

/// The length of the file's header.
pub(super) const HEADER: usize = 24;

/// What the header of a file says.
#[derive(Debug)]
pub(super) struct Header {
    order: Order,
    /// Nanoseconds in a unit of the second half of the time stamps.
    unit: u64,
    /// The length of the header before each packet.
    before: usize,
    link: u16,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, FileError> {
        let Some(magic) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let (order, magic_number) = match magic {
            [0xa1, 0xb2, ..] => (Order::Big, u32::from_be_bytes(*magic)),
            _ => (Order::Little, u32::from_le_bytes(*magic)),
        };
        let (unit, before) = match magic_number {
            0xa1b2_c3d4 => (1_000, 16),
            0xa1b2_3c4d => (1, 16),
            // Of a patched libpcap: eight more bytes about each packet.
            0xa1b2_cd34 => (1_000, 24),
            _ => return Err(FileError::Magic(*magic)),
        };
        let (Some(major), Some(minor), Some(link), true) = (
            order.u16(bytes, 4),
            order.u16(bytes, 6),
            order.u32(bytes, 20),
            bytes.len() >= HEADER,
        ) else {
            return Ok(None);
        };
        if major != 2 {
            return Err(FileError::Version {
                format: "pcap",
                major,
                minor,
                offset: 0,
            });
        }
        Ok(Some(Self {
            order,
            unit,
            before,
            // The upper half tells the length of checksums behind the packets, which their own lengths leave out.
            link: (link & 0xffff) as u16,
        }))
    }

    pub(super) fn packet<'a>(
        &self,
        bytes: &'a [u8],
        offset: u64,
    ) -> Result<Option<(Item<'a>, usize)>, FileError> {
        let field = |at| self.order.u32(bytes, at);
        let (Some(seconds), Some(fraction), Some(kept), Some(original)) =
            (field(0), field(4), field(8), field(12))
        else {
            return Ok(None);
        };
        if kept as usize > BLOCK_MAX {
            return Err(FileError::Length {
                what: "a packet",
                length: kept.into(),
                offset,
            });
        }
        let length = self.before + kept as usize;
        Ok(bytes.get(self.before..length).map(|data| {
            let packet = Record {
                link: self.link,
                time: Some(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit),
                // Some writers leave it out.
                original: original.max(kept),
                data,
                inbound: None,
            };
            (Item::Packet(packet), length)
        }))
    }
}
