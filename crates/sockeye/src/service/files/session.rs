//! Sessions that are no request: files come and go by the transfer protocol, and everyone else is told the way.

use std::sync::Arc;

use wire::framing::Framing;

use super::super::folder;
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Session};
use crate::transfer::{Desk, Failure, MAGIC, Outcome, Watch};

/// Serves one session to its end.
pub(super) async fn serve(desk: &Arc<Desk>, mut session: Session) -> Result<()> {
    session.reframe(Framing::Raw);
    let mut first = Vec::new();
    while first.len() < MAGIC.len() && MAGIC.starts_with(&first) {
        match session.recv().await? {
            Some(message) => first.extend_from_slice(&message.data),
            None => break,
        }
    }
    if !first.starts_with(&MAGIC) {
        return folder::point_to_http(session).await;
    }
    let info = session.info().clone();
    let mut stream = session.into_stream();
    stream.put_back(&first);
    // What it needs is much, and only where files move.
    let attended = Box::pin(desk.attend(stream, &Told(&info))).await;
    attended.map(drop).map_err(|failure| told(failure, &info))
}

fn told(failure: Failure, info: &Info) -> Error {
    let (operation, address) = (Operation::Receive, info.peer().to_string());
    match failure {
        Failure::Cut(source) => Error::io(operation, address, source),
        failure => Error::Protocol {
            operation,
            address,
            reason: failure.to_string(),
        },
    }
}

/// What lands is told to whoever watches the server.
struct Told<'a>(&'a Info);

impl Watch for Told<'_> {
    fn ended(&self, name: &str, size: u64, outcome: &Outcome) {
        let peer = self.0.peer();
        self.0.note(&match outcome {
            Outcome::Landed(path) => format!("{peer}: {path}, {size} bytes, verified"),
            Outcome::Failed { text, .. } => format!("{peer}: {name} did not land: {text}"),
        });
    }
}
