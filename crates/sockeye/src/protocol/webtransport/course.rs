//! The stream of the request that a session began with: what is told there, as capsules, is the end of the session.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h3::error::{Code, StreamError};
use bytes::Bytes;
use tokio::time::timeout;
use wire::webtransport::{Capsules, Close};

use crate::protocol::quic::{End, Ends};

/// How long the last words of a session may take to arrive, beyond a few round trips.
const LAST: Duration = Duration::from_millis(250);

/// What the peer sends on such a stream.
pub(in crate::protocol) trait Hears: Send + 'static {
    /// What has come next of the body; `None` at its end.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;

    /// Will not hear more.
    fn stop(&mut self, code: Code);
}

/// What this end sends on it.
pub(in crate::protocol) trait Says: Send + 'static {
    /// Sends a part of the body.
    fn say(&mut self, data: Bytes) -> impl Future<Output = Result<(), StreamError>> + Send;

    /// Says that nothing more comes.
    fn finish(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;

    /// Gives up.
    fn reset(&mut self, code: Code);
}

/// The stream of a session's request, from its answer on.
pub(in crate::protocol) struct Telling<S, H> {
    says: S,
    hears: H,
    capsules: Capsules,
    broken: bool,
}

/// How this end parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It closes the session, without a reproach and for this reason.
    Close(&'static str),
    /// The peer has.
    Answer,
}

impl<S: Says, H: Hears> Telling<S, H> {
    pub(in crate::protocol) fn new(says: S, hears: H) -> Self {
        Self {
            says,
            hears,
            capsules: Capsules::default(),
            broken: false,
        }
    }

    /// Hears how the peer ends the session; `None` when the connection is lost, whose streams know more of that.
    pub(super) async fn hear(&mut self) -> Option<End> {
        loop {
            let heard = match self.next().await {
                Ok(Some(data)) => self.capsules.admit(&data),
                Ok(None) => self.capsules.end().map(|()| Some(Close::default())),
                Err(StreamError::RemoteTerminate { code, .. }) => {
                    return Some(End::Reset(code.value()));
                }
                Err(StreamError::ConnectionError { .. }) => return None,
                Err(error) => return Some(self.breaks(&error)),
            };
            match heard {
                Ok(None) => {}
                Ok(Some(close)) => return Some(End::Closed(close)),
                Err(fault) => return Some(self.breaks(&fault)),
            }
        }
    }

    fn breaks(&mut self, fault: &dyn std::fmt::Display) -> End {
        self.broken = true;
        End::Broken(format!(
            "the session breaks the rules of WebTransport: {fault}"
        ))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.hears.poll_hear(cx)).await
    }

    /// Ends this end of the session, and waits for a moment that the peer knows.
    pub(super) async fn part(mut self, parting: Parting, ends: &Ends) {
        if self.broken {
            return self.refuse();
        }
        let parted = async {
            if let Parting::Close(reason) = parting {
                let close = Close {
                    code: 0,
                    reason: reason.to_owned(),
                };
                self.says.say(close.written().into()).await?;
            }
            self.says.finish().await?;
            while let Some(data) = self.next().await? {
                // Whoever has been told is done, and whoever has closed may say nothing more (section 5).
                if self.capsules.admit(&data).is_err() {
                    self.refuse();
                    break;
                }
            }
            Ok::<(), StreamError>(())
        };
        // A peer that is gone, or does not answer, has been told nevertheless.
        let _ = timeout(3 * ends.rtt() + LAST, parted).await;
    }

    /// RFC 9297, section 3.3: what breaks the rules of capsules is a malformed message.
    fn refuse(&mut self) {
        self.hears.stop(Code::H3_MESSAGE_ERROR);
        self.says.reset(Code::H3_MESSAGE_ERROR);
    }
}
