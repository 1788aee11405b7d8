//! Version 2 of QUIC (RFC 9369) through a library that reads and writes the headers of version 1: nothing differs in
//! them but the numbers of the types of long headers. And how two ends make sure of their version (RFC 9368).

use super::{FIXED_BIT, LONG_HEADER, VERSION_1, VERSION_2};
use crate::fields::Fields;
use crate::quic_packet::Header;

#[cfg(test)]
mod tests;

/// The bits that hold the type of a long header.
const TYPE: u8 = 0x30;

/// Whether a datagram begins with a packet of version 2 that has a long header.
pub fn is_version_2(datagram: &[u8]) -> bool {
    const VERSION: [u8; 4] = VERSION_2.to_be_bytes();
    match datagram {
        [first, version @ ..] => first & LONG_HEADER != 0 && version.starts_with(&VERSION),
        [] => false,
    }
}

/// Gives the packets of one datagram the types that they would have in version 1. Anything but packets of version 2
/// with long headers stays as it is.
pub fn from_version_2(datagram: &mut [u8]) {
    walk(datagram, |datagram| {
        let length = length(datagram);
        datagram[0] = first_in_1(datagram[0]);
        length
    });
}

/// The way back.
///
/// ```
/// use wire::quic::{from_version_2, to_version_2};
///
/// // Retry, of an id of three bytes to one of none: type 3 in version 1, 0 in version 2.
/// let retry = b"\xf0\x6b\x33\x43\xcf\x00\x03abctoken";
/// let mut datagram = *retry;
/// to_version_2(&mut datagram);
/// assert_eq!(datagram[0], 0xc0);
/// from_version_2(&mut datagram);
/// assert_eq!(datagram, *retry);
/// ```
pub fn to_version_2(datagram: &mut [u8]) {
    walk(datagram, |datagram| {
        datagram[0] = first_in_2(datagram[0]);
        length(datagram)
    });
}

/// Goes from packet to packet of version 2, as far as they have long headers and lengths that fit.
fn walk(datagram: &mut [u8], renumber: impl Fn(&mut [u8]) -> Option<usize>) {
    let mut rest = datagram;
    while is_version_2(rest) {
        let Some((_, next)) = renumber(rest).and_then(|length| rest.split_at_mut_checked(length))
        else {
            return;
        };
        rest = next;
    }
}

/// How long the first packet is, where another may follow it.
fn length(datagram: &[u8]) -> Option<usize> {
    let header = Header::read(datagram, 0)?;
    header
        .header
        .checked_add(usize::try_from(header.length?).ok()?)
}

/// The first byte of a long header of version 1, as it is in version 2 (RFC 9369, section 3.2).
pub fn first_in_2(first: u8) -> u8 {
    first & !TYPE | first.wrapping_add(0x10) & TYPE
}

fn first_in_1(first: u8) -> u8 {
    first & !TYPE | first.wrapping_sub(0x10) & TYPE
}

/// The transport parameter that says which versions an end speaks (RFC 9368, section 3).
const VERSION_INFORMATION: u64 = 0x11;

/// What makes the versions of a transport parameter unacceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionFault {
    /// They cannot be read.
    Malformed,
    /// The peer speaks another version than its packets say: somebody has changed them.
    Mismatch,
}

/// Adds to transport parameters that `chosen` is spoken, and which versions could be, the best first.
pub fn add_versions(parameters: &mut Vec<u8>, chosen: u32, available: &[u32]) {
    let length = 4 * (1 + available.len());
    // Both numbers have one byte each: there are not sixteen versions.
    parameters.extend([0x11, u8::try_from(length).unwrap_or(0) & 0x3f]);
    for version in std::iter::once(&chosen).chain(available) {
        parameters.extend(version.to_be_bytes());
    }
}

/// Looks whether a peer's transport parameters agree that `spoken` is the version. Who says nothing of it knows no
/// other.
///
/// # Errors
/// See [`VersionFault`], each of which ends the connection (RFC 9368, section 4).
pub fn check_versions(parameters: &[u8], spoken: u32) -> Result<(), VersionFault> {
    let mut fields = Fields(parameters);
    // What cannot be read at all is refused by who reads the rest of it.
    while let Some((name, value)) = parameter(&mut fields) {
        if name == VERSION_INFORMATION {
            return agree(value, spoken);
        }
    }
    Ok(())
}

fn parameter<'a>(fields: &mut Fields<'a>) -> Option<(u64, &'a [u8])> {
    Some((fields.number()?, fields.counted()?))
}

fn agree(versions: &[u8], spoken: u32) -> Result<(), VersionFault> {
    let (all, rest) = versions.as_chunks::<4>();
    let Some(chosen) = all.first().filter(|_| rest.is_empty()) else {
        return Err(VersionFault::Malformed);
    };
    match u32::from_be_bytes(*chosen) {
        _ if all.contains(&[0; 4]) => Err(VersionFault::Malformed),
        chosen if chosen == spoken => Ok(()),
        _ => Err(VersionFault::Mismatch),
    }
}

/// The versions that a Version Negotiation packet offers (RFC 9000, section 17.2.1), without those that are there to
/// be refused; `None` when the datagram is none.
pub fn offered_versions(datagram: &[u8]) -> Option<Vec<u32>> {
    if datagram.first()? & LONG_HEADER == 0 || datagram.get(1..5)? != [0; 4] {
        return None;
    }
    let header = Header::read(datagram, 0)?;
    let (versions, _) = datagram.get(header.header..)?.as_chunks::<4>();
    let versions = versions.iter().map(|version| u32::from_be_bytes(*version));
    Some(
        versions
            .filter(|version| version & 0x0f0f_0f0f != 0x0a0a_0a0a)
            .collect(),
    )
}

/// A version as people name it.
#[must_use]
pub fn version_name(version: u32) -> String {
    match version {
        VERSION_1 => "1".to_owned(),
        VERSION_2 => "2".to_owned(),
        other => format!("{other:#010x}"),
    }
}

// The bit that says "QUIC" stays where it is.
const _: () = assert!(TYPE & (LONG_HEADER | FIXED_BIT) == 0);
