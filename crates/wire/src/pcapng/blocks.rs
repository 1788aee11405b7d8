//! The next generation: blocks of several kinds, interfaces with clocks of their own, keys and statistics.

use super::{BLOCK_MAX, FileError, Item, Order, Record};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// Obsolete, and still to be found.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const SECRETS: u32 = 10;

/// Lines of a TLS key log, among the kinds of secrets.
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// The type, the length, and the length once more at the end.
const FRAME: usize = 12;

/// What the blocks since the last header of a section have said.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            order: Order::Little,
            interfaces: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Interface {
    link: u16,
    /// The longest that is kept of a packet; 0 is no limit.
    snap: u32,
    clock: Clock,
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ticks_per_second: u64,
    /// Seconds to add.
    offset: i64,
}

impl Clock {
    /// Nanoseconds since 1970; what lies before that is 0.
    fn nanoseconds(self, ticks: u64) -> u64 {
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second);
        let offset = i128::from(self.offset) * 1_000_000_000;
        let sum = i128::try_from(nanoseconds)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
    }
}

impl Section {
    pub(super) fn block<'a>(
        &mut self,
        bytes: &'a [u8],
        offset: u64,
    ) -> Result<Option<(Item<'a>, usize)>, FileError> {
        let broken = |what| Err(FileError::Broken { what, offset });
        let Some(kind) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        // It reads the same both ways: the byte order comes after it.
        let header = u32::from_le_bytes(*kind) == SECTION;
        let order = match (header, bytes.get(8..).and_then(<[u8]>::first_chunk::<4>)) {
            (false, _) => self.order,
            (true, None) => return Ok(None),
            (true, Some([0x1a, 0x2b, 0x3c, 0x4d])) => Order::Big,
            (true, Some([0x4d, 0x3c, 0x2b, 0x1a])) => Order::Little,
            (true, Some(_)) => return broken("a section of no byte order"),
        };
        let (Some(kind), Some(length)) = (order.u32(bytes, 0), order.u32(bytes, 4)) else {
            return Ok(None);
        };
        let whole = length as usize;
        if whole < FRAME || !whole.is_multiple_of(4) || whole > BLOCK_MAX {
            return Err(FileError::Length {
                what: "a block",
                length: length.into(),
                offset,
            });
        }
        let Some(block) = bytes.get(..whole) else {
            return Ok(None);
        };
        if order.u32(block, whole - 4) != Some(length) {
            return broken("a block that ends with another length than it begins with");
        }
        let Some(body) = block.get(8..whole - 4) else {
            return broken("a block without room for itself");
        };
        if header {
            *self = Self::begin(order, body, offset)?;
            return Ok(Some((Item::Nothing, whole)));
        }
        let Some(item) = self.item(kind, body, offset)? else {
            return broken("a block that is too short for its fields");
        };
        Ok(Some((item, whole)))
    }

    fn begin(order: Order, body: &[u8], offset: u64) -> Result<Self, FileError> {
        let (Some(major), Some(minor)) = (order.u16(body, 4), order.u16(body, 6)) else {
            let what = "a section without a version";
            return Err(FileError::Broken { what, offset });
        };
        if major != 1 {
            return Err(FileError::Version {
                format: "pcapng",
                major,
                minor,
                offset,
            });
        }
        Ok(Self {
            order,
            interfaces: Vec::new(),
        })
    }

    /// `None` when a field is not there.
    fn item<'a>(
        &mut self,
        kind: u32,
        body: &'a [u8],
        offset: u64,
    ) -> Result<Option<Item<'a>>, FileError> {
        Ok(match kind {
            INTERFACE => self.interface(body).map(|interface| {
                self.interfaces.push(interface);
                Item::Nothing
            }),
            ENHANCED_PACKET => {
                let number = self.order.u32(body, 0);
                self.packet(number, body, offset)?.map(Item::Packet)
            }
            PACKET => {
                let number = self.order.u16(body, 0).map(u32::from);
                self.packet(number, body, offset)?.map(Item::Packet)
            }
            SIMPLE_PACKET => self.simple(body, offset)?.map(Item::Packet),
            SECRETS => self.secrets(body),
            STATISTICS => Some(self.dropped(body)),
            _ => Some(Item::Nothing),
        })
    }

    fn interface(&self, body: &[u8]) -> Option<Interface> {
        let link = self.order.u16(body, 0)?;
        let snap = self.order.u32(body, 4)?;
        let options = Options::new(self.order, body.get(8..)?);
        let mut clock = Clock {
            ticks_per_second: 1_000_000,
            offset: 0,
        };
        for (code, value) in options {
            match (code, value) {
                // Finer than a clock could be: taken for the finest.
                (9, [resolution, ..]) if resolution & 0x80 != 0 => {
                    clock.ticks_per_second = 1 << (resolution & 0x7f).min(63);
                }
                (9, [resolution, ..]) => {
                    clock.ticks_per_second = 10_u64.pow(u32::from(*resolution).min(19));
                }
                (14, value) => clock.offset = self.order.u64(value, 0)?.cast_signed(),
                _ => {}
            }
        }
        Some(Interface { link, snap, clock })
    }

    fn known(&self, number: u32, offset: u64) -> Result<&Interface, FileError> {
        let interface = self.interfaces.get(number as usize);
        interface.ok_or(FileError::Interface {
            interface: number,
            known: self.interfaces.len(),
            offset,
        })
    }

    fn packet<'a>(
        &self,
        number: Option<u32>,
        body: &'a [u8],
        offset: u64,
    ) -> Result<Option<Record<'a>>, FileError> {
        let field = |at| self.order.u32(body, at);
        let (Some(number), Some(high), Some(low), Some(kept), Some(original)) =
            (number, field(4), field(8), field(12), field(16))
        else {
            return Ok(None);
        };
        let interface = self.known(number, offset)?;
        let end = 20_usize.saturating_add(kept as usize);
        let Some(data) = body.get(20..end) else {
            return Ok(None);
        };
        let mut packet = Record {
            link: interface.link,
            time: Some(
                interface
                    .clock
                    .nanoseconds(u64::from(high) << 32 | u64::from(low)),
            ),
            original: original.max(kept),
            data,
            inbound: None,
        };
        let options = body.get(end.next_multiple_of(4)..).unwrap_or_default();
        for (code, value) in Options::new(self.order, options) {
            if code == 2 {
                packet.inbound = match self.order.u32(value, 0).unwrap_or(0) & 3 {
                    1 => Some(true),
                    2 => Some(false),
                    _ => None,
                };
            }
        }
        Ok(Some(packet))
    }

    fn simple<'a>(&self, body: &'a [u8], offset: u64) -> Result<Option<Record<'a>>, FileError> {
        let Some(original) = self.order.u32(body, 0) else {
            return Ok(None);
        };
        let interface = self.known(0, offset)?;
        let limit = match interface.snap {
            0 => u32::MAX,
            snap => snap,
        };
        let kept = original.min(limit) as usize;
        let Some(data) = body.get(4..).and_then(|data| data.get(..kept)) else {
            return Ok(None);
        };
        Ok(Some(Record {
            link: interface.link,
            time: None,
            original,
            data,
            inbound: None,
        }))
    }

    fn secrets<'a>(&self, body: &'a [u8]) -> Option<Item<'a>> {
        let kind = self.order.u32(body, 0)?;
        let length = self.order.u32(body, 4)? as usize;
        let secrets = body.get(8..)?.get(..length)?;
        Some(match kind {
            TLS_KEY_LOG => Item::Secrets(secrets),
            _ => Item::Nothing,
        })
    }

    fn dropped(&self, body: &[u8]) -> Item<'static> {
        let options = Options::new(self.order, body.get(12..).unwrap_or_default());
        // By the interface, and by the system behind it.
        let counts = options
            .filter(|(code, _)| matches!(code, 5 | 7))
            .filter_map(|(_, value)| self.order.u64(value, 0));
        Item::Dropped(counts.fold(0, u64::saturating_add))
    }
}

/// The options at the end of a block: a code and a value each, padded to four bytes.
struct Options<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    fn new(order: Order, rest: &'a [u8]) -> Self {
        Self { order, rest }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    /// Ends at the option that says so, and where a length reaches too far: the packet is whole all the same.
    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.rest, 0)?;
        let length = usize::from(self.order.u16(self.rest, 2)?);
        let value = self.rest.get(4..4 + length)?;
        if code == 0 {
            return None;
        }
        self.rest = self
            .rest
            .get((4 + length).next_multiple_of(4)..)
            .unwrap_or_default();
        Some((code, value))
    }
}
