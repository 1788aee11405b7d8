//! What stands before IP: Ethernet with its tags, Linux's cooked headers, BSD's loopbacks, or nothing.

use super::Unread;

/// BSD loopback: the address family in the byte order of the machine.
pub const NULL: u16 = 0;
/// Ethernet.
pub const ETHERNET: u16 = 1;
/// IP, without anything before it.
pub const RAW: u16 = 101;
/// OpenBSD loopback: the address family in network byte order.
pub const LOOP: u16 = 108;
/// Linux "cooked", as of `tcpdump -i any` until 2020.
pub const LINUX_COOKED: u16 = 113;
/// IPv4.
pub const IPV4: u16 = 228;
/// IPv6.
pub const IPV6: u16 = 229;
/// Wireshark's export of what upper layers said.
pub const UPPER_PDU: u16 = 252;
/// Linux "cooked", version 2.
pub const LINUX_COOKED_2: u16 = 276;

/// The other numbers under which files have raw IP.
const RAW_TOO: [u16; 2] = [12, 14];

/// As many tags as anybody stacks.
const TAGS: usize = 8;

/// The IP packet inside a frame.
pub(super) fn open(link: u16, bytes: &[u8]) -> Result<&[u8], Unread> {
    match link {
        ETHERNET => tagged(bytes, 12, "Ethernet"),
        RAW | IPV4 | IPV6 => Ok(bytes),
        _ if RAW_TOO.contains(&link) => Ok(bytes),
        NULL | LOOP => family(bytes),
        LINUX_COOKED => tagged(bytes, 14, "Linux cooked"),
        LINUX_COOKED_2 => {
            let kind = ethertype(bytes, 0).ok_or(Unread::Cut("Linux cooked"))?;
            let inside = bytes.get(20..).ok_or(Unread::Cut("Linux cooked"))?;
            ip(kind, inside)
        }
        other => Err(Unread::Link(other)),
    }
}

fn ethertype(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The ethertype stands at `at`; tags of IEEE 802.1Q, each of four bytes, may stand before the last one.
fn tagged<'a>(bytes: &'a [u8], mut at: usize, header: &'static str) -> Result<&'a [u8], Unread> {
    for _ in 0..=TAGS {
        let kind = ethertype(bytes, at).ok_or(Unread::Cut(header))?;
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100 | 0x9200) {
            let inside = bytes.get(at + 2..).ok_or(Unread::Cut(header))?;
            return ip(kind, inside);
        }
        at += 4;
    }
    Err(Unread::Broken(header))
}

fn ip(kind: u16, inside: &[u8]) -> Result<&[u8], Unread> {
    match kind {
        0x0800 | 0x86dd => Ok(inside),
        // PPPoE session: six bytes, and PPP's own number of the protocol.
        0x8864 => match ethertype(inside, 6) {
            Some(0x0021 | 0x0057) => inside.get(8..).ok_or(Unread::Cut("PPPoE")),
            Some(_) => Err(Unread::NotIp(kind)),
            None => Err(Unread::Cut("PPPoE")),
        },
        other => Err(Unread::NotIp(other)),
    }
}

/// Machines disagree about the order and about the number of IPv6, so only the version of IP itself counts.
fn family(bytes: &[u8]) -> Result<&[u8], Unread> {
    let family = bytes.first_chunk::<4>().ok_or(Unread::Cut("loopback"))?;
    let number = match u32::from_be_bytes(*family) {
        number if number < 0x1_0000 => number,
        swapped => swapped.swap_bytes(),
    };
    match number {
        2 | 10 | 23 | 24 | 28 | 30 => Ok(&bytes[4..]),
        other => Err(Unread::NotIp(other as u16)),
    }
}
