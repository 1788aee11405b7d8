//! Telling this network what is served here, until it no longer is.

use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceInfo};
use tokio::time::timeout;

use super::facts::Facts;
use super::{MAX_NAME, TCP, UDP, daemon, failed};
use crate::error::{Error, Operation, Result};

/// How long the withdrawal may take.
const PARTING: Duration = Duration::from_secs(1);

/// The longest part of a host's name, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// Something that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What people see: any text of 1 to [`MAX_NAME`] bytes without control characters. If it is taken on the
    /// network, a number is added.
    pub name: String,
    /// Where: addresses of this machine. An unspecified one stands for all of its family, also for those that the
    /// machine will get.
    pub at: Vec<IpAddr>,
    /// The port's number.
    pub port: u16,
    /// Whether TCP is listened for there, or only UDP.
    pub is_tcp: bool,
    /// What else is to be known.
    pub facts: Facts,
}

/// Announcements that stand until [`withdraw`](Self::withdraw), or until this is dropped.
#[must_use]
pub struct Announced {
    daemon: ServiceDaemon,
    events: Receiver<DaemonEvent>,
    /// Full names that were announced already.
    told: Vec<String>,
}

/// What became of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tidings {
    /// The network has been told, under this name.
    Announced(String),
    /// Something else on the network is called so; this is the name instead.
    Renamed {
        /// The name that was taken.
        from: String,
        /// The name that it has.
        to: String,
    },
    /// Something failed.
    Trouble(String),
}

/// Announces what is served on `host`, a name of this machine that people know it by.
///
/// # Errors
/// When a name is unfit, nobody else can reach one of the places, or the system has no thread or socket left.
pub fn announce(host: &str, notices: &[Notice]) -> Result<Announced> {
    let infos = notices.iter().map(|notice| info(host, notice));
    let infos = infos.collect::<Result<Vec<_>>>()?;
    let what = notices.first().map_or("", |notice| &notice.name);
    let failed = |error| failed(Operation::Announce, what, &error);
    let daemon = daemon(Operation::Announce, what)?;
    let announced = Announced {
        events: daemon.monitor().map_err(failed)?,
        daemon,
        told: Vec::new(),
    };
    for info in infos {
        announced.daemon.register(info).map_err(failed)?;
    }
    Ok(announced)
}

fn info(host: &str, notice: &Notice) -> Result<ServiceInfo> {
    let Notice { name, at, port, .. } = notice;
    let unfit = |why: &str| Error::unsupported(Operation::Announce, name, why);
    if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(unfit(
            "a name has 1 to 63 bytes, and none of them is a control character",
        ));
    }
    if at.is_empty() || at.iter().any(IpAddr::is_loopback) {
        return Err(unfit("only this machine can reach it"));
    }
    let kind = if notice.is_tcp { TCP } else { UDP };
    let strings = notice.facts.strings();
    let none: &[IpAddr] = &[];
    let info = ServiceInfo::new(
        kind,
        name,
        &host_name(host, *port),
        none,
        *port,
        &strings[..],
    );
    let info = info.map_err(|error| failed(Operation::Announce, name, &error))?;
    let mut info = info.enable_addr_auto();
    let at = at.clone();
    let is_meant = move |here: IpAddr| {
        at.iter().any(|at| match at.is_unspecified() {
            true => at.is_ipv4() == here.is_ipv4(),
            false => *at == here,
        })
    };
    let interfaces =
        IfPredicate::new(move |interface| !interface.is_loopback() && is_meant(interface.ip()));
    info.set_interfaces(vec![IfKind::Predicate(interfaces)]);
    Ok(info)
}

/// A name for the address records. The machine's own, as other programs announce it, is theirs to change and to
/// withdraw; so this one has the port in it.
fn host_name(host: &str, port: u16) -> String {
    let host = host.split('.').next().unwrap_or_default();
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut host: String = host.chars().filter(|c| fit(*c)).collect();
    if host.is_empty() {
        host.push_str("sockeye");
    }
    let end = format!("-{port}");
    host.truncate(MAX_LABEL - end.len());
    format!("{host}{end}.local.")
}

impl Announced {
    /// What becomes of the announcements, as it comes. Cancel-safe.
    pub async fn tidings(&mut self) -> Tidings {
        while let Ok(event) = self.events.recv_async().await {
            match event {
                // Once for each interface, and all over again when a network comes back.
                DaemonEvent::Announce(name, _) if !self.told.contains(&name) => {
                    self.told.push(name.clone());
                    return Tidings::Announced(instance(&name));
                }
                DaemonEvent::NameChange(change) if change.original.contains("._sockeye._") => {
                    return Tidings::Renamed {
                        from: instance(&change.original),
                        to: instance(&change.new_name),
                    };
                }
                DaemonEvent::Error(error) => return Tidings::Trouble(error.to_string()),
                _ => {}
            }
        }
        // The thread has ended, and says no more.
        std::future::pending().await
    }

    /// Tells the network that nothing is served here any more.
    pub async fn withdraw(self) {
        if let Ok(done) = self.daemon.shutdown() {
            // Whoever does not hear of it finds out in two minutes, when what was announced is out of date.
            let _ = timeout(PARTING, done.recv_async()).await;
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Refused where it has ended already.
        let _ = self.daemon.shutdown();
    }
}

impl std::fmt::Debug for Announced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announced")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// The name that people see, out of a full one: dots and backslashes in it are escaped (RFC 6763, section 4.3).
pub(super) fn instance(full: &str) -> String {
    let mut name = String::new();
    let mut rest = full.chars();
    while let Some(c) = rest.next() {
        match c {
            '.' => break,
            '\\' => name.extend(rest.next()),
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_are_unescaped() {
        for (full, name) in [
            ("Ann's chat._sockeye._tcp.local.", "Ann's chat"),
            (r"v1\.2 \\o/._sockeye._tcp.local.", r"v1.2 \o/"),
            ("聊天 (2)._sockeye._udp.local.", "聊天 (2)"),
        ] {
            assert_eq!(instance(full), name);
        }
    }

    #[test]
    fn names_of_hosts_are_fit_for_dns() {
        assert_eq!(host_name("box", 3000), "box-3000.local.");
        assert_eq!(host_name("box.example.org", 80), "box-80.local.");
        assert_eq!(host_name("我的_pc", 80), "pc-80.local.");
        assert_eq!(host_name("", 80), "sockeye-80.local.");
        let long = host_name(&"x".repeat(64), 65_535);
        assert_eq!(long.find('.'), Some(MAX_LABEL), "{long}");
    }

    #[test]
    fn what_nobody_else_can_reach_is_not_announced() {
        let notice = |name: &str, at: &str| Notice {
            name: name.to_owned(),
            at: vec![at.parse().unwrap()],
            port: 3000,
            is_tcp: true,
            facts: Facts::default(),
        };
        let refused = |notice: &Notice| announce("box", std::slice::from_ref(notice)).unwrap_err();
        for at in ["127.0.0.1", "::1"] {
            let error = refused(&notice("x", at)).to_string();
            assert_eq!(error, "cannot announce x: only this machine can reach it");
        }
        for name in ["", &"x".repeat(64), "a\nb", "\u{9b}"] {
            let error = refused(&notice(name, "192.0.2.1")).to_string();
            assert!(error.contains("control character"), "{error}");
        }
    }
}
