//! Whoever comes without HTTP: sockeye, or a person with nc.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::io::AsyncWriteExt;

use super::Files;
use crate::error::Result;
use crate::service::folder::{point_to_http, pointer};
use crate::session::Session;
use crate::transfer::{Errand, Failure, MAGIC, Outcome, RelativePath, Watch};

impl Files {
    /// The transfer protocol if that is spoken, and a word on where to go if not.
    pub(super) async fn visit(&self, session: Session) -> Result<()> {
        let info = session.info().clone();
        if matches!(info.protocol(), "udp" | "unixgram") {
            // A transfer needs what datagrams do not promise.
            return point_to_http(session).await;
        }
        let mut stream = session.into_stream();
        let is_ours = stream.arrives().await.unwrap_or(false) && {
            let start = stream.head();
            let known = start.len().min(MAGIC.len());
            start[..known] == MAGIC[..known]
        };
        if !is_ours {
            // Whether it is heard is up to the one who came.
            let _ = stream.write_all(pointer(&info).as_bytes()).await;
            stream.part().await;
            return Ok(());
        }
        let teller = Teller {
            info: &info,
            peer: info.peer().to_string(),
            fetches: AtomicBool::new(false),
        };
        match self.desk.attend(stream, &teller).await {
            Ok(Errand::Fetched) => {
                if let Some(offer) = &self.offer {
                    offer.was_taken();
                }
            }
            Ok(Errand::Brought) => {}
            // It comes back by itself, or has heard why not.
            Err(failure @ Failure::Refused { .. }) if failure.may_pass() => {}
            Err(failure) => info.note(&format!("transfer with {}: {failure}", info.peer())),
        }
        Ok(())
    }
}

/// Tells the person who serves what has landed, here or at the one who came.
struct Teller<'a> {
    info: &'a crate::session::Info,
    peer: String,
    fetches: AtomicBool,
}

impl Watch for Teller<'_> {
    fn came(&self, errand: Errand) {
        self.fetches.store(errand == Errand::Fetched, Relaxed);
    }

    fn ended(&self, path: &RelativePath, size: u64, outcome: &Outcome) {
        if let Outcome::Landed(landed) = outcome {
            let Self { info, peer, .. } = self;
            match self.fetches.load(Relaxed) {
                true => info.note(&format!("sent {path}: {size} bytes, to {peer}")),
                false => info.note(&format!("saved {landed}: {size} bytes, from {peer}")),
            }
        }
    }
}
