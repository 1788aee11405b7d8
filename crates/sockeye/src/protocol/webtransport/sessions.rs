//! The sessions of a connection, to which its streams are brought: also those that come before their session does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::VarInt;
use tokio::sync::mpsc;
use wire::webtransport::{BUFFERED_STREAM_REJECTED, SESSION_GONE, to_http3};

use crate::protocol::quic::Brought;

/// Streams that wait for the request of their session (section 4.6), which a packet may have overtaken.
const EARLY: usize = 16;

/// The sessions of a connection: one at a time.
#[derive(Default)]
pub(in crate::protocol) struct Sessions(Mutex<State>);

#[derive(Default)]
struct State {
    open: Option<(u64, mpsc::UnboundedSender<Brought>)>,
    early: Vec<(u64, Brought)>,
    /// The last session that is over, or was none: their ids rise.
    over: Option<u64>,
}

/// A session that is open as long as this lives.
pub(in crate::protocol) struct Opened {
    pub(super) id: u64,
    /// There are never more of them than the peer may have open.
    pub(super) streams: mpsc::UnboundedReceiver<Brought>,
    sessions: Arc<Sessions>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.sessions.close(self.id);
        while let Ok(stream) = self.streams.try_recv() {
            stream.end(SESSION_GONE);
        }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session that the request on stream `id` begins; `None` when there are as many as there may be.
    pub(in crate::protocol) fn open(self: &Arc<Self>, id: u64) -> Option<Opened> {
        let mut state = self.lock();
        if state.open.is_some() {
            return None;
        }
        let (sender, streams) = mpsc::unbounded_channel();
        for (_, stream) in state.early.extract_if(.., |(of, _)| *of == id) {
            // The receiver is here.
            let _ = sender.send(stream);
        }
        state.open = Some((id, sender));
        Some(Opened {
            id,
            streams,
            sessions: self.clone(),
        })
    }

    /// The request on stream `id` has begun no session, or that one is over.
    pub(in crate::protocol) fn close(&self, id: u64) {
        let mut state = self.lock();
        state.open.take_if(|(open, _)| *open == id);
        state.over = state.over.max(Some(id));
        for (_, stream) in state.early.extract_if(.., |(of, _)| *of == id) {
            stream.end(SESSION_GONE);
        }
    }

    /// Brings a stream that names session `id`. `false`: that cannot be one, which breaks the rules (section 4).
    pub(in crate::protocol) fn bring(&self, id: u64, stream: Brought) -> bool {
        // A stream in both directions that the client has opened (RFC 9000, section 2.1).
        if !id.is_multiple_of(4) {
            return false;
        }
        let mut state = self.lock();
        match &state.open {
            Some((open, sender)) if *open == id => {
                if let Err(late) = sender.send(stream) {
                    late.0.end(SESSION_GONE);
                }
            }
            _ if state.over >= Some(id) => stream.end(SESSION_GONE),
            _ if state.early.len() >= EARLY => stream.end(BUFFERED_STREAM_REJECTED),
            _ => state.early.push((id, stream)),
        }
        true
    }
}

impl Brought {
    /// Says that it is not read, with a code of the application.
    pub(super) fn refuse(self, code: u32) {
        self.end(to_http3(code));
    }

    /// Ends it, with a code of HTTP/3.
    fn end(mut self, code: u64) {
        let code = VarInt::try_from(code).unwrap_or_default();
        // What has ended by itself needs no end.
        let _ = self.receiving.stop(code);
        if let Some(sending) = &mut self.sending {
            let _ = sending.reset(code);
        }
    }
}
