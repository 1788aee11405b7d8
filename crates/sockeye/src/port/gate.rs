//! Who may come in: lists of networks, and how many sessions there may be.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use tokio::time::Instant;

use super::PortConfig;
use crate::session::Endpoint;

mod crowd;

pub use crowd::Rate;
use crowd::{Crowd, Seat};

#[derive(Debug)]
pub(super) struct Gate {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    /// Who introduces others, when nobody comes alone.
    proxies: Option<Vec<IpNet>>,
    crowd: Crowd,
    sessions: Arc<Semaphore>,
    /// Sessions that may still be opened in total; negative once they are used up.
    left: Option<AtomicI64>,
    /// Sessions of that total that have not ended.
    unended: Option<AtomicI64>,
}

/// What somebody has been given at the gate, and gives back at the end.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Boxed: most ports limit nobody, and there may be 100,000 of these.
    _seat: Option<Box<Seat>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// The same for somebody else, in the room that `other` had.
    pub(super) fn in_place_of(self, other: Self) -> Self {
        Self {
            permit: other.permit,
            ..self
        }
    }
}

impl Gate {
    pub(super) fn new(config: &PortConfig) -> Self {
        let total = || {
            config
                .total_sessions
                .map(|total| AtomicI64::new(i64::try_from(total).unwrap_or(i64::MAX)))
        };
        Self {
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            proxies: config.proxies.clone(),
            crowd: Crowd::new(config.sessions_per_address, config.rate_per_address),
            sessions: config.sessions.clone(),
            left: total(),
            unended: total(),
        }
    }

    /// Whether `peer` may come in, or why not. Unix peers are let in: the file's mode has decided.
    pub(super) fn admit(&self, peer: &Endpoint) -> Result<Admission, String> {
        let Some(address) = peer.socket_addr() else {
            return Ok(Admission::default());
        };
        let ip = address.ip();
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip));
        if is_in(&self.deny) || !(self.allow.is_empty() || is_in(&self.allow)) {
            return Err("not allowed to connect".to_owned());
        }
        let seat = self.crowd.seat(ip, Instant::now());
        Ok(Admission {
            _seat: seat.map_err(|crowded| crowded.to_string())?.map(Box::new),
            permit: None,
        })
    }

    /// Whether those who come over streams are introduced by a proxy.
    pub(super) fn wants_introductions(&self) -> bool {
        self.proxies.is_some()
    }

    /// As [`admit`](Self::admit), for who comes over a stream: where introductions are wanted, only those
    /// who may introduce others come in, and the lists are for those whom they name.
    pub(super) fn admit_stream(&self, peer: &Endpoint) -> Result<Admission, String> {
        let Some(proxies) = &self.proxies else {
            return self.admit(peer);
        };
        let is_proxy = |at: std::net::SocketAddr| proxies.iter().any(|net| net.contains(&at.ip()));
        match peer.socket_addr() {
            Some(at) if !is_proxy(at) => Err("PROXY headers are not taken from there".to_owned()),
            _ => Ok(Admission::default()),
        }
    }

    /// Waits for room for one more session.
    pub(super) async fn enter(&self, admission: &mut Admission) -> Option<()> {
        admission.permit = Some(self.sessions.clone().acquire_owned().await.ok()?);
        Some(())
    }

    /// Takes room for one more session if there is some.
    pub(super) fn try_enter(&self, admission: &mut Admission) -> Option<()> {
        admission.permit = Some(self.sessions.clone().try_acquire_owned().ok()?);
        Some(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.sessions.available_permits() == 0
    }

    /// Counts one session towards the total: `None` when there were enough, `Some(true)` for the last.
    pub(super) fn count(&self) -> Option<bool> {
        match &self.left {
            None => Some(false),
            Some(left) => match left.fetch_sub(1, Relaxed) {
                ..=0 => None,
                1 => Some(true),
                _ => Some(false),
            },
        }
    }

    /// Takes note that a counted session has ended: `true` when all of the total have.
    pub(super) fn has_served_all(&self) -> bool {
        self.unended
            .as_ref()
            .is_some_and(|unended| unended.fetch_sub(1, Relaxed) == 1)
    }
}

/// Loopback peers cannot be forged from elsewhere.
pub(super) fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_counted_at_both_ends() {
        let gate = Gate::new(&PortConfig {
            total_sessions: Some(2),
            ..PortConfig::default()
        });
        assert_eq!(gate.count(), Some(false));
        assert!(!gate.has_served_all(), "one has ended, and one is to come");
        assert_eq!(gate.count(), Some(true));
        assert_eq!(gate.count(), None);
        assert!(gate.has_served_all());
        let endless = Gate::new(&PortConfig::default());
        assert_eq!(endless.count(), Some(false));
        assert!(!endless.has_served_all());
    }

    #[test]
    fn loopback_cannot_be_forged() {
        for (ip, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.168.1.1", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_local(ip.parse().unwrap()), local, "{ip}");
        }
    }
}
