//! One host, from text: a name, an IPv4 address, or an IPv6 address with its zone.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::is_invisible;
use super::piece::{Piece, Read};
use super::{Host, Problem};

pub(super) fn bare_host(name: Piece<'_>) -> Read<Host> {
    if name.text == "*" {
        return Ok(Host::Every);
    }
    if let Some((at, c)) = name
        .text
        .char_indices()
        .find(|&(_, c)| !is_name_character(c))
    {
        let fault = name.slice(at, c.len_utf8()).fault(Problem::Character);
        return Err(match half_width(c) {
            Some(half) => fault.hint(format!("write `{half}`, not the full-width form")),
            None => fault,
        });
    }
    if is_numeric(name.text) {
        return name.text.parse().map(Host::V4).map_err(|_| {
            name.fault(Problem::Ipv4)
                .hint("four numbers from 0 to 255 without leading zeros, as in `127.0.0.1`")
        });
    }
    let (labels, _root) = name.cut(name.text.strip_suffix('.').unwrap_or(name.text).len());
    match labels.split('.').find(|label| label.text.is_empty()) {
        Some(label) => Err(label.fault(Problem::Label)),
        None => Ok(Host::Name(name.text.to_owned())),
    }
}

pub(super) fn ipv6(written: Piece<'_>) -> Read<Host> {
    let (address, zone) = match written.split_once('%') {
        Some((address, zone)) => (address, Some(unescaped_zone(zone)?)),
        None => (written, None),
    };
    let ip: Ipv6Addr =
        address
            .text
            .parse()
            .map_err(|_| match address.text.parse::<Ipv4Addr>() {
                Ok(ip) => address
                    .fault(Problem::Ipv6)
                    .hint(format!("write `{ip}` without brackets")),
                Err(_) => address.fault(Problem::Ipv6),
            })?;
    Ok(Host::V6 { ip, zone })
}

/// The spelling with brackets of an IPv6 address that was written without. `::1:3000` is an address
/// as a whole as well, but its writer more likely meant a port.
pub(super) fn with_brackets(text: &str) -> Option<String> {
    let is_ipv6 = |text| ipv6(Piece { text, at: 0 }).is_ok();
    match text.rsplit_once(':') {
        Some((ip, port)) if is_ipv6(ip) && port.parse::<u16>().is_ok() => {
            Some(format!("[{ip}]:{port}"))
        }
        _ if is_ipv6(text) => Some(format!("[{text}]:PORT")),
        _ => None,
    }
}

/// Whether what stands after `%` is taken for an escaped zone (RFC 6874, section 2): `25` alone is
/// the zone 25.
pub(super) fn is_escaped_zone(written: &str) -> bool {
    written.len() > 2 && written.starts_with("25")
}

pub(super) fn visible(piece: Piece<'_>) -> Read<()> {
    let is_trouble = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    let Some((at, c)) = piece.text.char_indices().find(|&(_, c)| is_trouble(c)) else {
        return Ok(());
    };
    let problem = if c.is_whitespace() {
        Problem::Space
    } else {
        Problem::Character
    };
    Err(piece
        .slice(at, c.len_utf8())
        .fault(problem)
        .hint("leave it out"))
}

fn unescaped_zone(written: Piece<'_>) -> Read<String> {
    let zone = if is_escaped_zone(written.text) {
        &written.text[2..]
    } else {
        written.text
    };
    if zone.is_empty() || zone.contains(['%', '[', ']', '/', '?', '#', '@', ',']) {
        return Err(written
            .fault(Problem::Zone)
            .hint("a zone is a network interface, as in `fe80::1%eth0`"));
    }
    Ok(zone.to_owned())
}

/// ASCII as in RFC 1123, and `_`, which is in wide use. Beyond ASCII whatever IDNA may like, but
/// nothing that it maps to ASCII: `127。0。0。1` must not become an address behind our back.
fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '.' | '_')
        || (!c.is_ascii() && half_width(c).is_none())
}

/// What an input method in full-width mode would have written in half-width mode.
fn half_width(c: char) -> Option<char> {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '。' | '｡' => Some('.'),
        _ => None,
    }
}

/// Whether inet_aton(3) could take this for an address: decimal, octal or hexadecimal parts.
fn is_numeric(name: &str) -> bool {
    name.strip_suffix('.')
        .unwrap_or(name)
        .split('.')
        .all(|label| {
            match label
                .strip_prefix("0x")
                .or_else(|| label.strip_prefix("0X"))
            {
                Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
                None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
            }
        })
}
