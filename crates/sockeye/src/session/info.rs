//! What is known of a session, and who is told of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use wire::text::Encoding;

use crate::certificate::Certificate;
use crate::error::{Error, Result, TlsError};
use crate::session::{AnswerHead, Answered, Endpoint, Fate, Message, Path, RequestHead};
use crate::stream::{Counters, Tally};

/// Facts about one session. Shared by everything that takes part in it.
// In this order, because what each message looks at should lie together.
#[repr(C)]
pub struct Info {
    state: AtomicU8,
    /// Microseconds; 0 when it is not known.
    rtt: AtomicU32,
    counters: Counters,
    /// 0 until somebody asks.
    id: AtomicU64,
    identity: Identity,
    opened: Instant,
    answer: OnceLock<Box<AnswerHead>>,
}

/// Bits of [`Info::state`].
const PEER_FINISHED: u8 = 1;
const STOPPING: u8 = 2;
const IDLE: u8 = 4;
const WATCHED: u8 = 8;
const PATIENT: u8 = 16;
/// A protocol with ends of its own runs above.
const BELOW: u8 = 32;

/// What is known of a session before its first byte.
#[derive(Clone)]
pub struct Identity {
    side: Side,
    protocol: &'static str,
    local: Endpoint,
    peer: Endpoint,
    encoding: Encoding,
    observer: Option<Arc<dyn Observer>>,
    tls: Option<Arc<Tls>>,
    request: Option<Arc<RequestHead>>,
    /// Boxed: few peers are processes.
    fate: Option<Box<Fate>>,
    /// Behind a thin pointer: few have one, and there may be 100,000 sessions.
    subprotocol: Option<Arc<String>>,
    path: Option<Arc<Path>>,
}

/// What was agreed on in a TLS handshake.
#[derive(Clone, Debug)]
pub struct Tls {
    /// `TLSv1.3`, `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's registered name.
    pub cipher: Option<&'static str>,
    /// The group in which the secret was agreed on, such as `X25519MLKEM768`; none when a TLS 1.2 session was
    /// resumed.
    pub key_exchange: Option<&'static str>,
    /// The protocol that was agreed on by name (ALPN, RFC 7301).
    pub alpn: Option<String>,
    /// The name that the client asked for (SNI, RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The certificates that the peer showed, its own first. Clients show one only where it is asked for.
    pub peer_certificates: Vec<Certificate>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// See [`is_cut_off`](Self::is_cut_off).
    pub(crate) cut_off: Arc<AtomicBool>,
    /// What broke it, once it stood: whoever reads through others' hands may get no more than words.
    pub(crate) fault: Arc<OnceLock<TlsError>>,
}

impl Tls {
    /// Whether the peer's direction has ended without close_notify (RFC 8446, section 6.1): somebody else may
    /// have ended it, and what was said last may be missing.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Relaxed)
    }
}

/// Who opened the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer came to us.
    Accepted,
    /// We went to the peer.
    Dialed,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer to us.
    In,
    /// From us to the peer.
    Out,
}

/// Why a session ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending {
    /// The peer finished first.
    PeerFinished,
    /// The service was done.
    ServiceFinished,
    /// Nothing went either way for this long.
    Idle(Duration),
    /// This end is shutting down.
    Stopped,
    /// It broke.
    Failed(Error),
}

/// Hears what happens to sessions. All methods are called on the session's own task: be quick.
pub trait Observer: Send + Sync + 'static {
    /// A session opened.
    fn opened(&self, _info: &Arc<Info>) {}
    /// A message went by. Only called when [`wants_messages`](Self::wants_messages).
    fn message(&self, _info: &Info, _direction: Direction, _message: &Message) {}
    /// Whether messages are to be shown; asked once per session.
    fn wants_messages(&self) -> bool {
        false
    }
    /// A session ended.
    fn closed(&self, _info: &Info, _ending: &Ending) {}
    /// A request was answered without a session.
    fn answered(&self, _answered: &Answered<'_>) {}
    /// A peer has begun to answer the request of a session that was dialed.
    fn heard(&self, _info: &Info, _head: &AnswerHead) {}
    /// Something went wrong that belongs to no session; the port goes on.
    fn trouble(&self, _error: &Error) {}
    /// Somebody was turned away, or something was dropped, and why.
    fn note(&self, _what: &str) {}
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Info {
    pub(crate) fn new(identity: Identity) -> Self {
        let watched = identity
            .observer
            .as_ref()
            .is_some_and(|observer| observer.wants_messages());
        Self {
            id: AtomicU64::new(0),
            identity,
            opened: Instant::now(),
            counters: Counters::default(),
            state: AtomicU8::new(if watched { WATCHED } else { 0 }),
            rtt: AtomicU32::new(0),
            answer: OnceLock::new(),
        }
    }

    /// What comes from the peer has an end of its own, which is waited for when this end shuts down: half
    /// of a request is none.
    pub(crate) fn patient(identity: Identity) -> Self {
        let info = Self::new(identity);
        info.state.fetch_or(PATIENT, Relaxed);
        info
    }

    /// A number that no other session of this process has. It is given when a port opens the session, or else
    /// when somebody asks for it: so the sessions that are shown are 1, 2, 3 …, and what runs below a session takes
    /// no number.
    pub fn id(&self) -> u64 {
        let given = self.id.load(Relaxed);
        if given != 0 {
            return given;
        }
        let new = NEXT_ID.fetch_add(1, Relaxed);
        match self.id.compare_exchange(0, new, Relaxed, Relaxed) {
            Ok(_) => new,
            Err(given) => given,
        }
    }

    /// What was known of it from the start.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who opened it.
    pub fn side(&self) -> Side {
        self.identity.side
    }

    /// What it runs over, as the scheme of an address: `tcp`, `udp`, `unix`, `tls`, `https`, `wss`, ….
    pub fn protocol(&self) -> &'static str {
        self.identity.protocol
    }

    /// Our end.
    pub fn local(&self) -> &Endpoint {
        &self.identity.local
    }

    /// The peer's end.
    pub fn peer(&self) -> &Endpoint {
        &self.identity.peer
    }

    /// The encoding of text in this session.
    pub fn encoding(&self) -> Encoding {
        self.identity.encoding
    }

    /// What was agreed on, when it runs in TLS.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.identity.tls.as_ref()
    }

    /// The request that it began with, when that was HTTP's.
    pub fn request(&self) -> Option<&Arc<RequestHead>> {
        self.identity.request.as_ref()
    }

    /// How its request was answered, once that is known: by us where the peer asked, by the peer where we did.
    pub fn answer(&self) -> Option<&AnswerHead> {
        self.answer.get().map(|head| &**head)
    }

    /// Only the first is heard.
    pub(crate) fn answer_with(&self, head: AnswerHead) {
        // There is one head to an answer.
        let _ = self.answer.set(Box::new(head));
    }

    /// The WebSocket subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.identity.subprotocol.as_deref().map(String::as_str)
    }

    /// What the packets tell of the way to the peer, over QUIC.
    pub fn path(&self) -> Option<&Path> {
        self.identity.path.as_deref()
    }

    /// How long it has been open.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// What went through so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How long the last question whether the peer is there took to be answered, where the protocol has one
    /// (a WebSocket ping, which is sent when the peer was silent for a while).
    pub fn rtt(&self) -> Option<Duration> {
        match self.rtt.load(Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    pub(crate) fn note_rtt(&self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.rtt.store(micros.max(1), Relaxed);
    }

    /// Whether the peer has said that it will send no more.
    pub fn peer_has_finished(&self) -> bool {
        self.has(PEER_FINISHED)
    }

    /// Tells whoever watches the port something about this session.
    pub fn note(&self, what: &str) {
        if let Some(observer) = self.observer() {
            observer.note(what);
        }
    }

    /// What became of a peer that is a process of this machine: waits for its end. `Ok` at once where
    /// the peer is none.
    ///
    /// # Errors
    /// [`Error::Child`] when it failed.
    pub async fn outcome(&self) -> Result<()> {
        match self.fate() {
            Some(fate) => fate.verdict().await,
            None => Ok(()),
        }
    }

    pub(crate) fn fate(&self) -> Option<&Fate> {
        self.identity.fate.as_deref()
    }

    /// Whether the peer can say that it will send no more. Datagrams cannot.
    pub(crate) fn has_end(&self) -> bool {
        !matches!(self.protocol(), "udp" | "unixgram")
    }

    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.identity.observer.as_ref()
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.has(WATCHED)
    }

    /// Whether each message is to be seen, or the end of them.
    pub(crate) fn wants_messages(&self) -> bool {
        self.has(WATCHED | STOPPING | IDLE)
    }

    /// Whether this end is shutting down: what has arrived may still be answered.
    pub fn is_stopping(&self) -> bool {
        self.has(STOPPING)
    }

    /// Whether a stop lets `recv` end before the peer has. For who was silent for too long there is nothing to wait for.
    pub(crate) fn ends_when_stopping(&self) -> bool {
        self.has(IDLE) || (self.has(STOPPING) && !self.has(PATIENT))
    }

    /// From now on `recv` gives what has arrived and then ends. The session's task must be polled next.
    pub(crate) fn stop(&self) {
        self.state.fetch_or(STOPPING, Relaxed);
    }

    /// Nothing went either way for too long: `recv` gives what has arrived and then ends.
    pub(crate) fn expire(&self) {
        self.state.fetch_or(IDLE, Relaxed);
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.has(IDLE)
    }

    fn has(&self, bits: u8) -> bool {
        self.state.load(Relaxed) & bits != 0
    }

    pub(crate) fn note_received(&self, message: Option<&Message>) {
        match message {
            Some(message) => {
                self.counters.add_message_in();
                self.show(Direction::In, message);
            }
            None if !self.has(STOPPING | IDLE) => self.ended(),
            None => {}
        }
    }

    /// The bytes are another protocol's from here on.
    pub(crate) fn lower(&self) {
        self.state.fetch_or(BELOW, Relaxed);
    }

    /// Bytes of a packet: no stream counts them.
    pub(crate) fn count_packet_in(&self, message: Option<&Message>) {
        if let Some(message) = message {
            self.counters.add_bytes_in(message.data.len());
        }
    }

    pub(crate) fn note_sent(&self, message: &Message) {
        self.counters.add_message_out();
        self.show(Direction::Out, message);
    }

    pub(crate) fn show(&self, direction: Direction, message: &Message) {
        if self.is_watched()
            && let Some(observer) = self.observer()
        {
            observer.message(self, direction, message);
        }
    }
}

impl Tally for Info {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn ended(&self) {
        let before = self.state.fetch_or(PEER_FINISHED, Relaxed);
        let tls = self.identity.tls.as_ref();
        // Protocols such as HTTP know by themselves whether something is missing.
        if before & (PEER_FINISHED | BELOW) == 0
            && self.identity.request.is_none()
            && tls.is_some_and(|tls| tls.is_cut_off())
        {
            let peer = self.peer();
            self.note(&format!(
                "{peer} closed without close_notify: the end may be missing"
            ));
        }
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("id", &self.id)
            .field("protocol", &self.protocol())
            .field("local", self.local())
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// `protocol` between `local` and `peer`, in UTF-8, unobserved.
    pub fn new(side: Side, protocol: &'static str, local: Endpoint, peer: Endpoint) -> Self {
        Self {
            side,
            protocol,
            local,
            peer,
            encoding: Encoding::UTF_8,
            observer: None,
            fate: None,
            tls: None,
            request: None,
            subprotocol: None,
            path: None,
        }
    }

    pub(crate) fn in_memory(side: Side) -> Self {
        Self::new(side, "memory", Endpoint::Memory, Endpoint::Memory)
    }

    /// Text is in `encoding`.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The peer is a process.
    #[must_use]
    pub(crate) fn fate(mut self, fate: Fate) -> Self {
        self.fate = Some(Box::new(fate));
        self
    }

    /// The same ends, with another protocol on top.
    #[must_use]
    pub(crate) fn over(mut self, protocol: &'static str) -> Self {
        self.protocol = protocol;
        self
    }

    /// In TLS, with what was agreed on there.
    #[must_use]
    pub(crate) fn in_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Over packets that tell of the way between the ends.
    #[must_use]
    pub(crate) fn along(mut self, path: Arc<Path>) -> Self {
        self.path = Some(path);
        self
    }

    pub(crate) fn path(&self) -> Option<&Arc<Path>> {
        self.path.as_ref()
    }

    /// The peer is there now.
    #[must_use]
    pub(crate) fn moved_to(mut self, peer: Endpoint) -> Self {
        self.peer = peer;
        self
    }

    /// Begun by a request.
    #[must_use]
    pub(crate) fn asked_by(mut self, request: Arc<RequestHead>) -> Self {
        self.request = Some(request);
        self
    }

    /// As [`Info::protocol`].
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// With this WebSocket subprotocol, if one was agreed on.
    #[must_use]
    pub(crate) fn agreed_on(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(|name| Arc::new(name.to_owned()));
        self
    }

    /// Our end.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// The peer's end.
    pub fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// The encoding of text.
    pub fn text_encoding(&self) -> Encoding {
        self.encoding
    }

    /// What was agreed on, in TLS.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    pub(crate) fn note(&self, what: &str) {
        if let Some(observer) = &self.observer {
            observer.note(what);
        }
    }

    /// `observer` hears of it.
    #[must_use]
    pub fn observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("protocol", &self.protocol)
            .field("local", &self.local)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerFinished => f.write_str("the peer closed"),
            Self::ServiceFinished => f.write_str("closed here"),
            Self::Idle(after) => write!(f, "idle for {after:?}"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(error) if error.is_reset() => f.write_str("reset by the peer"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_not_taken_for_the_peers_end() {
        let identity = || Identity::in_memory(Side::Accepted);
        let stopped = Info::new(identity());
        stopped.stop();
        stopped.note_received(None);
        assert!(!stopped.peer_has_finished());
        let finished = Info::new(identity());
        finished.note_received(None);
        assert!(finished.peer_has_finished());
        assert_ne!(stopped.id(), finished.id());
    }

    #[test]
    fn a_number_is_given_once_and_to_who_is_asked_for_it() {
        let infos: Vec<_> = (0..8)
            .map(|_| Arc::new(Info::new(Identity::in_memory(Side::Accepted))))
            .collect();
        let asking = (0..32).map(|n| {
            let info = infos[n % 8].clone();
            std::thread::spawn(move || info.id())
        });
        let asking: Vec<_> = asking.collect();
        let told: Vec<_> = asking.into_iter().map(|it| it.join().unwrap()).collect();
        for (n, id) in told.iter().enumerate() {
            assert_eq!(*id, infos[n % 8].id());
        }
        let mut different = told[..8].to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 8);
        assert!(!different.contains(&0));
    }
}
