//! Who may come in: lists of networks, and how many sessions there may be.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PortConfig;
use crate::session::Endpoint;

#[derive(Debug)]
pub(super) struct Gate {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    sessions: Arc<Semaphore>,
    /// Sessions that may still be opened in total; negative once they are used up.
    left: Option<AtomicI64>,
}

impl Gate {
    pub(super) fn new(config: &PortConfig) -> Self {
        Self {
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            sessions: config.sessions.clone(),
            left: config
                .total_sessions
                .map(|total| AtomicI64::new(i64::try_from(total).unwrap_or(i64::MAX))),
        }
    }

    /// Whether the lists let `peer` in. Unix peers are let in: the file's mode has decided.
    pub(super) fn admits(&self, peer: &Endpoint) -> bool {
        let Some(address) = peer.socket_addr() else {
            return true;
        };
        let ip = address.ip();
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }

    /// Waits for room for one more session.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.sessions.clone().acquire_owned().await.ok()
    }

    /// Takes room for one more session if there is some.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.sessions.clone().try_acquire_owned().ok()
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
}

/// Loopback peers cannot be forged from elsewhere.
pub(super) fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
