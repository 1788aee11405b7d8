//! Who is to be reached: what the words of `connect` mean with the contacts of the config file.

use anyhow::Result;
use sockeye::Address;
use wire::address::{Scheme, Target};

use crate::args::ConnectArgs;
use crate::config::Config;
use crate::failure::Usage;

/// Who is to be reached, and what they are called.
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: Address,
}

/// Everyone that the words name.
///
/// # Errors
/// When a word is no address, or no contact is called so.
pub(crate) fn peers(args: &ConnectArgs) -> Result<Vec<Peer>> {
    match host_port(&args.words, args.udp)? {
        Some(peer) => Ok(vec![peer]),
        None => args.words.iter().map(|word| peer(word, args.udp)).collect(),
    }
}

/// The one whom `words` name: an address, or a host and a port.
///
/// # Errors
/// As [`peer`], and when there are two.
pub(crate) fn one(words: &[String], udp: bool) -> Result<Peer> {
    match (host_port(words, udp)?, words) {
        (Some(peer), _) => Ok(peer),
        (None, [word]) => peer(word, udp),
        (None, _) => Err(Usage("one address is enough here".to_owned()).into()),
    }
}

/// `HOST PORT` as two words.
fn host_port(words: &[String], udp: bool) -> Result<Option<Peer>> {
    if let [host, port] = words
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && !host.starts_with('@')
        && host.parse::<Address>().is_err()
    {
        let address = Address::from_host_port(host, port)?;
        return Ok(Some(Peer {
            name: address.to_string(),
            address: plain(address, udp),
        }));
    }
    Ok(None)
}

/// Whom a word names; `udp` chooses UDP where it has no scheme.
///
/// # Errors
/// When it is no address, or no contact is called so.
pub(crate) fn peer(word: &str, udp: bool) -> Result<Peer> {
    let address = match word.strip_prefix('@') {
        Some("") => {
            let what = "no name after `@`: `sockeye contacts` lists which there are";
            return Err(Usage(what.to_owned()).into());
        }
        Some(name) => Config::load()?.contact(name)?,
        None => word.parse()?,
    };
    let name = word.strip_prefix('@').unwrap_or(word).to_owned();
    Ok(Peer {
        name,
        address: plain(address, udp),
    })
}

/// `-u` chooses UDP where no scheme was written.
fn plain(address: Address, udp: bool) -> Address {
    match (&address.target, address.scheme) {
        (Target::Net { .. }, None) if udp => address.with_scheme(Scheme::Udp),
        _ => address,
    }
}
