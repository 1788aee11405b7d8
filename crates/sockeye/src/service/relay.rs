//! `relay`: each session is joined with one that is dialed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use wire::address::Address;

use super::Service;
use crate::dial::{DialOptions, dial};
use crate::error::{Error, Operation, Result};
use crate::session::{Info, JoinOptions, Session};

/// Joins each session with a target that is dialed for it.
///
/// A target that cannot be reached is passed over for the next one. If none can, the session is cut off:
/// a TCP peer is reset, so that it does not take silence for an answer.
#[derive(Debug)]
pub struct Relay {
    targets: Vec<Address>,
    balance: Balance,
    options: DialOptions,
    join: JoinOptions,
    turn: AtomicUsize,
}

/// Which target is tried first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Always the first: the others stand in for it.
    First,
}

impl Relay {
    /// A relay to `targets`, which are dialed with `options`. The `client` in them is filled in for each
    /// session.
    pub fn new(targets: Vec<Address>, options: DialOptions) -> Self {
        Self {
            targets,
            balance: Balance::default(),
            options,
            join: JoinOptions::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Which target is tried first.
    #[must_use]
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// How sessions are joined.
    #[must_use]
    pub fn join(mut self, join: JoinOptions) -> Self {
        self.join = join;
        self
    }

    async fn reach(&self, client: &Arc<Info>) -> Result<Session> {
        let options = DialOptions {
            client: Some(client.clone()),
            ..self.options.clone()
        };
        let first = match self.balance {
            Balance::RoundRobin => self.turn.fetch_add(1, Relaxed) % self.targets.len().max(1),
            Balance::First => 0,
        };
        let (before, from) = self.targets.split_at(first);
        let several = self.targets.len() > 1;
        let mut last_error = None;
        for target in from.iter().chain(before) {
            match dial(target, &options).await {
                Ok(reached) => {
                    if several {
                        client.note(&format!("#{} goes to {target}", client.id()));
                    }
                    return Ok(reached);
                }
                Err(error) => {
                    if several {
                        client.note(&format!("#{} passed over: {error}", client.id()));
                    }
                    last_error = Some(error);
                }
            }
        }
        Err(last_error.unwrap_or_else(|| {
            Error::unsupported(Operation::Connect, "nowhere", "the relay has no target")
        }))
    }
}

impl Service for Relay {
    async fn serve(&self, session: Session) -> Result<()> {
        // Boxed: dialing comes once, and the future of every session would have room for it for ever.
        match Box::pin(self.reach(session.info())).await {
            Ok(target) => session.join(target, self.join).await.map(|_| ()),
            Err(error) => {
                session.abort();
                Err(error)
            }
        }
    }

    /// A target may greet.
    fn speaks_first(&self) -> bool {
        true
    }
}
