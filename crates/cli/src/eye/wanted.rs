//! Which connections are watched.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use trace::Whose;

/// By whichever of these they are known.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// A port of ours, and who is talked to from it.
    pub(super) pairs: HashSet<(u16, SocketAddr)>,
    /// Ports of ours that are listened at.
    pub(super) ports: HashSet<u16>,
    /// Addresses of others.
    pub(super) peers: HashSet<SocketAddr>,
    /// A program.
    pub(super) process: Option<u32>,
    /// What is known about connections of programs.
    known: HashMap<(SocketAddr, SocketAddr), bool>,
}

/// As many connections of programs are remembered.
const KNOWN: usize = 65_536;

/// Without the clothes of IPv6 on an address of IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Wanted {
    /// What the kernel is to be asked about.
    pub(super) fn whose(&self) -> Whose {
        Whose {
            ports: self.ports.clone(),
            peers: self.peers.clone(),
            process: self.process,
        }
    }

    /// Whether a packet between these two is.
    pub(super) fn has(&mut self, source: SocketAddr, destination: SocketAddr) -> bool {
        let (source, destination) = (canonical(source), canonical(destination));
        let both = [(source, destination), (destination, source)];
        let listed = both.iter().any(|(one, other)| {
            self.pairs.contains(&(one.port(), *other))
                || self.ports.contains(&one.port())
                || self.peers.contains(one)
        });
        listed
            || self
                .process
                .is_some_and(|process| self.is_of(process, source, destination))
    }

    /// Whether one end belongs to the program, as far as the system tells now.
    fn is_of(&mut self, process: u32, source: SocketAddr, destination: SocketAddr) -> bool {
        let key = (source.min(destination), source.max(destination));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let ours = sockets(process);
        let both = [(source, destination), (destination, source)];
        let is = both.iter().any(|(local, remote)| {
            ours.iter().any(|(own, peer)| {
                let at = own.port() == local.port()
                    && (own.ip().is_unspecified() || own.ip() == local.ip());
                at && (peer.port() == 0 || peer == remote)
            })
        });
        self.known.insert(key, is);
        is
    }
}

/// The sockets of TCP and UDP that a program has: their own addresses, and those of their peers (proc_pid_fd(5),
/// proc_pid_net(5)).
fn sockets(process: u32) -> Vec<(SocketAddr, SocketAddr)> {
    let mut inodes = HashSet::new();
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"));
    for descriptor in descriptors.into_iter().flatten().flatten() {
        let Ok(link) = std::fs::read_link(descriptor.path()) else {
            continue;
        };
        let link = link.to_string_lossy();
        let inode = link.strip_prefix("socket:[");
        inodes.extend(inode.and_then(|inode| Some(inode.strip_suffix(']')?.to_owned())));
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}"));
        for line in text.unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, peer, _, _, _, _, _, _, inode, ..] = words[..] else {
                continue;
            };
            if inodes.contains(inode) {
                found.extend(address(local).zip(address(peer)));
            }
        }
    }
    found
}

/// `0100007F:0BB8`: words in the byte order of the machine, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = ip.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip: IpAddr = match bytes.len() {
        4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        _ => IpAddr::from(*bytes.first_chunk::<16>()?),
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Whether there is such a program.
pub(crate) fn exists(process: u32) -> bool {
    std::fs::exists(format!("/proc/{process}/fd")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_the_system_lists_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(address("0100007F:0BB8"), "127.0.0.1:3000".parse().ok());
            let v6 = "00000000000000000000000001000000:1F90";
            assert_eq!(address(v6), "[::1]:8080".parse().ok());
            let mapped = "0000000000000000FFFF00000100007F:0BB8";
            assert_eq!(address(mapped), "127.0.0.1:3000".parse().ok());
        }
        assert_eq!(address("0100007F"), None);
    }

    #[test]
    fn our_own_sockets_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut wanted = Wanted {
            process: Some(std::process::id()),
            ..Wanted::default()
        };
        let stranger = "127.0.0.1:1".parse().unwrap();
        assert!(wanted.has(stranger, at), "whoever comes to a listener");
        assert!(!wanted.has(stranger, "192.0.2.1:1".parse().unwrap()));
    }
}
