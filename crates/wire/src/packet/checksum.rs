//! The checksum of the Internet (RFC 1071), where a capture saw a packet before its interface had filled it in.

use std::ops::Range;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Writes the checksum into the TCP segment or UDP datagram of an IP packet, and into the packet's own header where
/// it has one.
///
/// Virtual interfaces carry packets whose checksums nobody has computed; whoever passes them on has to. A packet of
/// another kind, a part of one, or one that is cut stays as it is, and `false` is returned.
pub fn finish_checksum(packet: &mut [u8]) -> bool {
    let Some(Place {
        header,
        length,
        protocol,
        addresses,
    }) = ipv4(packet).or_else(|| ipv6(packet))
    else {
        return false;
    };
    let at = match protocol {
        TCP => header + 16,
        UDP => header + 6,
        _ => return false,
    };
    if length < at + 2 {
        return false;
    }
    if packet[0] >> 4 == 4 {
        packet[10..12].fill(0);
        let sum = checksum([&packet[..header]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet[at..at + 2].fill(0);
    let [high, low] = ((length - header) as u16).to_be_bytes();
    let pseudo = [0, protocol, high, low];
    let sum = match checksum([&packet[addresses], &pseudo, &packet[header..length]]) {
        // Of UDP, 0 would mean that there is none (RFC 768).
        0 if protocol == UDP => u16::MAX,
        sum => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Where things stand in a packet that is whole.
struct Place {
    header: usize,
    length: usize,
    protocol: u8,
    addresses: Range<usize>,
}

fn ipv4(packet: &[u8]) -> Option<Place> {
    let fixed = packet.first_chunk::<20>()?;
    let header = usize::from(fixed[0] & 15) * 4;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let part = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0;
    let whole = fixed[0] >> 4 == 4 && header >= 20 && header <= length && length <= packet.len();
    (whole && !part).then_some(Place {
        header,
        length,
        protocol: fixed[9],
        addresses: 12..20,
    })
}

/// Only without extension headers.
fn ipv6(packet: &[u8]) -> Option<Place> {
    let fixed = packet.first_chunk::<40>()?;
    let length = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let whole = fixed[0] >> 4 == 6 && length <= packet.len();
    whole.then_some(Place {
        header: 40,
        length,
        protocol: fixed[6],
        addresses: 8..40,
    })
}

/// Over parts that follow each other; all but the last have an even length.
fn checksum<const N: usize>(parts: [&[u8]; N]) -> u16 {
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let sum = words.fold(0_u32, |sum, word| {
        sum + u32::from(u16::from_be_bytes([
            word[0],
            word.get(1).copied().unwrap_or(0),
        ]))
    });
    // The carry comes back; twice, because adding it may carry again.
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN without its checksums.
    fn syn() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend([
            0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xfa, 0xf0, 0, 0, 0, 0,
        ]);
        packet.extend([2, 4, 5, 0xb4]);
        packet
    }

    /// By the definition: the sum of everything, with its checksum, is all ones.
    fn verifies(packet: &[u8]) -> bool {
        let length = (packet.len() - 20) as u16;
        let mut whole = packet[12..20].to_vec();
        whole.extend([0, packet[9]]);
        whole.extend(length.to_be_bytes());
        whole.extend(&packet[20..]);
        [&packet[..20], &whole].iter().all(|bytes| {
            let mut sum = 0_u64;
            for word in bytes.chunks(2) {
                sum += u64::from(word[0]) * 256 + u64::from(word.get(1).copied().unwrap_or(0));
            }
            sum > 0 && sum.is_multiple_of(0xffff)
        })
    }

    #[test]
    fn segments_and_datagrams_verify_afterwards() {
        let mut packet = syn();
        assert!(finish_checksum(&mut packet) && verifies(&packet));
        packet[30] ^= 1;
        assert!(!verifies(&packet));
        let mut odd = syn();
        odd.push(7);
        odd[3] = 45;
        assert!(finish_checksum(&mut odd) && verifies(&odd));
        let mut datagram = vec![
            0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        datagram.extend([0, 7, 0, 9, 0, 9, 0, 0, b'x']);
        assert!(finish_checksum(&mut datagram) && verifies(&datagram));
    }

    #[test]
    fn what_is_padded_is_not_part_of_it() {
        let (mut packet, mut padded) = (syn(), syn());
        padded.extend([0xff; 6]);
        assert!(finish_checksum(&mut packet) && finish_checksum(&mut padded));
        assert_eq!(padded[..44], packet);
    }

    #[test]
    fn what_is_cut_or_a_part_stays_as_it_is() {
        for length in 0..44 {
            let mut packet = syn();
            packet.truncate(length);
            assert!(!finish_checksum(&mut packet));
            assert_eq!(packet, syn()[..length]);
        }
        let mut part = syn();
        part[6] = 0x20;
        assert!(!finish_checksum(&mut part));
    }
}
