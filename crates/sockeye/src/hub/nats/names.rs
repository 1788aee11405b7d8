//! Names that are one person's on all machines: a bucket in which each is held by the machine where the person is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::CreateErrorKind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::accounts::{get, put};
use super::{Nats, answered, away, token};
use crate::hub::people::{Claim, HELD};
use crate::hub::refusal::Refusal;
use crate::hub::seat::Name;

/// How often a machine says that a name is still held: entries of the bucket live as long as [`HELD`].
const REFRESH: Duration = Duration::from_secs(HELD.as_secs() / 4);

/// Who has a name.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    /// Where the person is, or was last.
    node: String,
    name: Arc<str>,
}

impl Nats {
    pub(in crate::hub) async fn claim(&self, name: &Name, claim: Claim) -> Result<bool, Refusal> {
        let (key, holder) = (token(&name.key), self.holder(name));
        if claim == Claim::Same {
            put(&self.names, key, &holder).await?;
            return Ok(true);
        }
        let value = Bytes::from(serde_json::to_vec(&holder).map_err(away)?);
        let is_new = answered(|| async {
            match self.names.create(&key, value.clone()).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        });
        if is_new.await? {
            return Ok(true);
        }
        let holder: Option<Holder> = get(&self.names, key).await?;
        // What happens on one machine it settles itself.
        Ok(holder.is_some_and(|holder| holder.node == self.node))
    }

    /// The machine where the person with this key is, or was last.
    pub(super) async fn whereabouts(&self, key: &str) -> Result<Option<String>, Refusal> {
        let holder: Option<Holder> = get(&self.names, token(key)).await?;
        Ok(holder.map(|holder| holder.node))
    }

    fn holder(&self, name: &Name) -> Holder {
        Holder {
            node: self.node.clone(),
            name: name.shown.clone(),
        }
    }

    /// Holds the names of those who are here.
    pub(super) async fn hold_names(&self) {
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for seat in self.people.all() {
                let name = seat.name();
                if !name.is_guest {
                    // If the hub is away there is another time before the name is lost.
                    let _ = put(&self.names, token(&name.key), &self.holder(&name)).await;
                }
            }
        }
    }
}
