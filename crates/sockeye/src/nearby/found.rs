//! Looking around on this network for what is announced.

use std::collections::HashSet;
use std::net::{SocketAddr, SocketAddrV6};

use mdns_sd::{Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};

use super::announced::instance;
use super::facts::Facts;
use super::{TCP, UDP, daemon, failed, sort};
use crate::error::{Operation, Result};

/// How many are told of: whoever floods a network cannot fill the memory of those who look around in it.
const MOST: usize = 1000;

/// Something that is served on this network, as it announced itself. All of it is a stranger's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What people see. It may hold any character.
    pub name: String,
    /// Where it listens, the easiest to reach first; never empty.
    pub at: Vec<SocketAddr>,
    /// Whether for TCP, or only for UDP.
    pub is_tcp: bool,
    /// What else it said.
    pub facts: Facts,
}

/// A search that is going on. It ends when this is dropped.
pub struct Finder {
    daemon: ServiceDaemon,
    events: [Receiver<ServiceEvent>; 2],
    seen: HashSet<String>,
}

/// Asks the network who serves what.
///
/// # Errors
/// When the system has no thread or socket left.
pub fn find() -> Result<Finder> {
    const WHAT: &str = "servers";
    let daemon = daemon(Operation::Find, WHAT)?;
    let browse = |kind| {
        let events = daemon.browse(kind);
        events.map_err(|error| failed(Operation::Find, WHAT, &error))
    };
    Ok(Finder {
        events: [browse(TCP)?, browse(UDP)?],
        daemon,
        seen: HashSet::new(),
    })
}

impl Finder {
    /// The next that answers, each once; waits for ever if nobody does. Cancel-safe.
    pub async fn next(&mut self) -> Found {
        let [tcp, udp] = &self.events;
        loop {
            let (event, is_tcp) = tokio::select! {
                Ok(event) = tcp.recv_async() => (event, true),
                Ok(event) = udp.recv_async() => (event, false),
                else => return std::future::pending().await,
            };
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    let is_new = self.seen.len() < MOST && !self.seen.contains(&service.fullname);
                    if let Some(found) = read(&service, is_tcp).filter(|_| is_new) {
                        self.seen.insert(service.fullname);
                        return found;
                    }
                }
                // Who comes back is told of again.
                ServiceEvent::ServiceRemoved(_, name) => {
                    self.seen.remove(&name);
                }
                _ => {}
            }
        }
    }
}

fn read(service: &ResolvedService, is_tcp: bool) -> Option<Found> {
    let port = service.port;
    let mut at: Vec<SocketAddr> = service
        .addresses
        .iter()
        .map(|ip| match ip {
            // Without its interface nobody can go there.
            ScopedIp::V6(scoped) if scoped.addr().is_unicast_link_local() => {
                SocketAddrV6::new(*scoped.addr(), port, 0, scoped.scope_id().index).into()
            }
            ip => SocketAddr::new(ip.to_ip_addr(), port),
        })
        .collect();
    sort(&mut at);
    (!at.is_empty() && port != 0).then(|| Found {
        name: instance(&service.fullname),
        at,
        is_tcp,
        facts: Facts::read(&service.txt_properties),
    })
}

impl Drop for Finder {
    fn drop(&mut self) {
        // Refused where it has ended already.
        let _ = self.daemon.shutdown();
    }
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder")
            .field("seen", &self.seen.len())
            .finish_non_exhaustive()
    }
}
