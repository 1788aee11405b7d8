//! Where files go or come from: a URL as people pass it on, and how that place is dialed.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use percent_encoding::percent_decode_str;
use sockeye::{Address, DialOptions, Family, Fingerprint};
use wire::address::{Scheme, Target};

use crate::args::MovingArgs;
use crate::failure::Usage;
use crate::plan;
use crate::plan::port::token;

/// A place that speaks the transfer protocol.
#[derive(Debug)]
pub(crate) struct Place {
    /// What is dialed.
    pub(crate) address: Address,
    /// What is meant there.
    pub(crate) path: Vec<u8>,
    /// Who it has to be.
    pin: Option<Fingerprint>,
    shown: String,
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let (url, fragment) = word.split_once('#').unwrap_or((word, ""));
        let pin = fragment.strip_prefix("pin=").map(|pin| {
            let pin = pin.strip_prefix("sha256:").unwrap_or(pin);
            pin.parse::<Fingerprint>()
                .map_err(|why| Usage(format!("cannot read the pin of {url}: {why}")))
        });
        let mut address: Address = url.parse()?;
        let scheme = match address.scheme {
            Some(Scheme::Http) => Some(Scheme::Tcp),
            Some(Scheme::Https) => Some(Scheme::Tls),
            Some(Scheme::H3) => Some(Scheme::Quic),
            Some(Scheme::Udp | Scheme::Unixgram) => {
                let what = format!("datagrams carry no files: {url}");
                return Err(Usage(what).into());
            }
            same => same,
        };
        let mut path = Vec::new();
        if let Target::Net { path: asked, .. } = &mut address.target {
            path = percent_decode_str(asked).collect();
            if scheme != address.scheme {
                asked.clear();
            }
        }
        address.scheme = scheme;
        Ok(Self {
            address,
            path,
            pin: pin.transpose()?,
            shown: url.to_owned(),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Whether a word of the command line is a place, and not a file or folder.
pub(crate) fn is_place(word: &Path) -> bool {
    let text = word.to_str().unwrap_or_default();
    text.contains("://") || text.starts_with("unix:") || !word.exists() && text.contains(':')
}

/// Makes the folder that files are to land in, where it is missing.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let made = std::fs::create_dir_all(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// How a place is dialed.
///
/// # Errors
/// When a file that a flag names is of no use.
pub(crate) fn options(args: &MovingArgs, place: &Place) -> Result<DialOptions> {
    let pins = place.pin.as_slice();
    Ok(DialOptions {
        timeout: Some(args.timeout),
        family: Family::wanted(args.ipv4, args.ipv6),
        token: token(args.token.as_deref(), args.token_file.as_deref())?,
        tls: plan::tls::pinned(&args.tls, &place.address, pins, |what| {
            eprintln!("warning: {what}");
        })?,
        ..DialOptions::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_open_is_dialed_for_files() {
        let pin = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (word, address, path) in [
            ("https://h:3000/s/a%20b", "tls://h:3000", "/s/a b"),
            ("http://h:3000", "tcp://h:3000", ""),
            ("h3://h:3000/x", "quic://h:3000", "/x"),
            ("ws://h:3000/x", "ws://h:3000/x", "/x"),
            ("h:3000", "h:3000", ""),
            ("unix:/run/s", "unix:/run/s", ""),
        ] {
            let place: Place = format!("{word}#pin=sha256:{pin}").parse().unwrap();
            assert_eq!(place.address.to_string(), address);
            assert_eq!(place.path, path.as_bytes());
            assert_eq!(place.pin, Some(pin.parse().unwrap()));
            assert_eq!(word.parse::<Place>().unwrap().pin, None);
        }
        assert!(is_place(Path::new("h:3000")) && is_place(Path::new("unix:/run/s")));
        assert!(!is_place(Path::new("/")) && !is_place(Path::new("new.txt")));
        assert!("udp://h:3000".parse::<Place>().is_err());
        assert!("https://h:3000/#pin=1234".parse::<Place>().is_err());
    }
}
