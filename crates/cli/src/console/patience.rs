//! How long is still listened when we have nothing more to say.

use std::time::Duration;

use tokio::time::Instant;

use crate::args::Eof;

/// How long is still listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the peer ends.
    Endless,
    /// Until nothing has come for this long.
    Silence(Duration),
    /// The same, but then it is a failure.
    Timeout(Duration),
    /// Until then.
    Until(Instant),
    /// No more.
    Spent,
}

/// What the end of our input does: `--eof`, with what it means for each kind of carrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtEnd {
    pub(crate) eof: Eof,
    /// After the end, silence on a carrier that has no end of its own.
    pub(crate) linger: Duration,
    /// After the end, silence on a byte stream; no limit when `None`.
    pub(crate) limit: Option<Duration>,
    /// `-w`: silence at any time that is taken for a failure.
    pub(crate) timeout: Option<Duration>,
}

/// Datagrams have no end: this much silence is taken for it.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

impl AtEnd {
    pub(crate) fn finishes(self) -> bool {
        !matches!(self.eof, Eof::Keep(_))
    }

    pub(crate) fn before(self) -> Patience {
        self.timeout.map_or(Patience::Endless, Patience::Timeout)
    }

    pub(crate) fn after(self, packets: bool) -> Patience {
        match self.eof {
            Eof::Close => Patience::Spent,
            Eof::Keep(Some(limit)) => Patience::Until(Instant::now() + limit),
            Eof::Half if packets => Patience::Silence(self.linger),
            Eof::Half => self.limit.map_or_else(|| self.before(), Patience::Silence),
            Eof::Keep(None) => self.before(),
        }
    }
}

impl Patience {
    /// Returns when it is over. Silence begins anew with each call.
    pub(crate) async fn lasts(self) {
        match self {
            Self::Endless => std::future::pending().await,
            Self::Silence(limit) | Self::Timeout(limit) => tokio::time::sleep(limit).await,
            Self::Until(then) => tokio::time::sleep_until(then).await,
            Self::Spent => {}
        }
    }
}
