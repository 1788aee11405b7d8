//! The eye on the wire: what our own connections, or somebody else's, say in packets, drawn while they do.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::args::EyeArgs;
use crate::terminal;
use anyhow::{Context, Result};
use sockeye::{Course, Endpoint, KeyLog, Listening, View, ViewKey, Viewer};
use trace::{Lookout, NARROWEST, Sight, Style, WHOLE};
use wire::packet::{RAW, UPPER_PDU, datagram, stream_bytes};

mod easel;
mod gallery;
mod ports;
mod wanted;
mod watch;

pub(crate) use easel::{Easel, Form, Pcap, create};
use gallery::Seat;
use wanted::Wanted;
pub(crate) use wanted::exists as is_process;
use watch::Watch;

const ONLY_PACKETS: &str =
    "of UDP that is served, and of other programs, only packets tell: those are not drawn";

/// What is told to whoever draws.
enum Told {
    Keys(String),
    /// A packet that one of our own sockets has sent or received.
    Packet {
        time: u64,
        link: u16,
        data: Vec<u8>,
        outbound: bool,
    },
    /// A packet that nobody saw and that must have been there.
    Inferred {
        time: u64,
        ends: (SocketAddr, SocketAddr),
        what: &'static str,
        facts: Option<String>,
    },
    /// Somebody looks from a page.
    Viewer(Seat),
    /// Whose connection this is.
    Claim(Course, ViewKey),
    /// No packets follow but the last ones.
    Over,
}

/// Watches until it is closed.
pub(crate) struct Eye {
    hand: Arc<Hand>,
    thread: JoinHandle<Result<()>>,
}

/// What a conversation has of its eye.
struct Hand {
    sender: Mutex<Sender<Told>>,
    waker: UnixStream,
    /// Without the right to see packets it is what our sockets tell.
    lookout: Option<Lookout>,
    wanted: Mutex<Wanted>,
    /// That nothing is seen was said.
    is_told: AtomicBool,
    /// Who looks from a page.
    seats: Arc<()>,
    /// When connections were begun, by our port and the peer.
    begun: Mutex<HashMap<(u16, SocketAddr), u64>>,
}

impl Eye {
    /// Opens it. `keys` says that ours are among the connections, so that their keys will be heard.
    pub(crate) fn open(easel: Easel, keys: bool) -> Result<Self> {
        let lookout = match Lookout::open(WHOLE) {
            Ok(lookout) => Some(lookout),
            Err(error) => {
                eprintln!("{}", blind(&error));
                None
            }
        };
        let (sender, receiver) = mpsc::channel();
        let (waker, waking) = UnixStream::pair().context("cannot watch")?;
        waker.set_nonblocking(true)?;
        waking.set_nonblocking(true)?;
        let sight = match lookout {
            Some(_) => Sight::Packets,
            None => Sight::Socket,
        };
        let hand = Arc::new(Hand {
            sender: Mutex::new(sender),
            waker,
            lookout,
            wanted: Mutex::default(),
            is_told: AtomicBool::new(false),
            seats: Arc::default(),
            begun: Mutex::default(),
        });
        let watch = Watch::new(hand.clone(), receiver, waking, easel, (sight, keys));
        let thread = std::thread::Builder::new().name("trace".to_owned());
        let thread = thread.spawn(move || watch.run()).context("cannot watch")?;
        Ok(Self { hand, thread })
    }

    /// Who is told of connections that are dialed, and that come.
    pub(crate) fn lookout(&self) -> Arc<dyn sockeye::Lookout> {
        self.hand.clone()
    }

    /// What the pages of our ports show.
    pub(crate) fn view(&self) -> Arc<dyn View> {
        self.hand.clone()
    }

    /// Where the keys of our connections go.
    pub(crate) fn keys(&self) -> KeyLog {
        let hand = self.hand.clone();
        KeyLog::default().heard_by(move |line| hand.tell(Told::Keys(line.to_owned())))
    }

    /// Watches whoever comes to one of these.
    pub(crate) fn watch(&self, listening: &[Listening]) -> Result<()> {
        let is_blind = self.hand.lookout.is_none();
        for end in listening {
            let tells = is_blind && !matches!(end.protocol, "udp" | "quic");
            if let Endpoint::Net(at) = &end.at
                && !tells
            {
                self.watch_port(at.port())?;
            }
        }
        Ok(())
    }

    /// Watches a port of ours, and whoever comes to it.
    pub(crate) fn watch_port(&self, port: u16) -> Result<()> {
        self.hand.wanted().ports.insert(port);
        self.admit(Some(port))
    }

    /// Watches the connections with one address, or with one port of it.
    pub(crate) fn watch_peer(&self, peer: SocketAddr) -> Result<()> {
        self.hand.wanted().peers.insert(wanted::canonical(peer));
        self.admit(Some(peer.port()))
    }

    /// Watches the connections of a program.
    pub(crate) fn watch_process(&self, process: u32) -> Result<()> {
        self.hand.wanted().process = Some(process);
        self.admit(None)
    }

    fn admit(&self, port: Option<u16>) -> Result<()> {
        let Some(lookout) = &self.hand.lookout else {
            if !self.hand.is_told.swap(true, Relaxed) {
                eprintln!("trace: {ONLY_PACKETS}");
            }
            return Ok(());
        };
        let admitted = match port {
            Some(port) => lookout.admit(port),
            None => lookout.admit_all(),
        };
        admitted.context("cannot watch")
    }

    /// Waits for the last packets, and ends the picture.
    pub(crate) async fn close(self) -> Result<()> {
        self.hand.tell(Told::Over);
        let Self { thread, hand } = self;
        drop(hand);
        let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
        ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the picture was not finished")))
    }
}

/// The eye of a verb that was told to draw beside its work.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn beside(args: &EyeArgs) -> Result<Option<Eye>> {
    let Some(file) = &args.trace else {
        return Ok(None);
    };
    let mut easel = match file.is_empty() {
        false => Easel::into_file(Path::new(file))?,
        true => {
            let style = Style {
                width: terminal::error_columns()
                    .unwrap_or(100)
                    .clamp(NARROWEST, 120),
                color: terminal::error_colors(),
                ..Style::default()
            };
            Easel::new(Form::Picture(style), Box::new(std::io::stderr()), None)
        }
    };
    easel.forgets = easel.grows();
    Eye::open(easel, true).map(Some)
}

/// Ends the picture.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) async fn close(eye: Option<Eye>) -> Result<()> {
    match eye {
        Some(eye) => eye.close().await,
        None => Ok(()),
    }
}

/// Why only sockets are asked.
fn blind(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            let program = std::env::current_exe();
            let program =
                program.map_or_else(|_| "sockeye".to_owned(), |path| path.display().to_string());
            format!(
                "trace: capturing packets needs CAP_NET_RAW (sudo setcap cap_net_raw+ep {program}). \
                 Showing what the sockets themselves tell; 'sockeye trace lab' shows real packets without it."
            )
        }
        _ => format!(
            "trace: cannot capture packets: {error}. Showing what the sockets themselves tell."
        ),
    }
}

impl Hand {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<(u16, SocketAddr), u64>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Who draws no more needs to hear nothing.
        if sender.send(told).is_ok() {
            // If there is no room, enough bytes are there to wake it.
            let _ = (&self.waker).write(&[0]);
        }
    }

    fn infer(
        &self,
        time: u64,
        ends: (SocketAddr, SocketAddr),
        what: &'static str,
        facts: Option<String>,
    ) {
        self.tell(Told::Inferred {
            time,
            ends,
            what,
            facts,
        });
    }

    fn packet(&self, link: u16, outbound: bool, data: Vec<u8>) {
        self.tell(Told::Packet {
            time: watch::now(),
            link,
            data,
            outbound,
        });
    }
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

impl View for Hand {
    fn look(&self, viewer: Viewer) -> bool {
        let has_room = Arc::strong_count(&self.seats) <= gallery::MOST;
        if has_room {
            let seat = Seat::new(viewer, self.seats.clone());
            self.tell(Told::Viewer(seat));
        }
        has_room
    }

    fn claim(&self, course: Course, key: ViewKey) {
        self.tell(Told::Claim(course, key));
    }
}

/// The sender and the receiver.
fn directed(local: SocketAddr, peer: SocketAddr, outbound: bool) -> (SocketAddr, SocketAddr) {
    match outbound {
        true => (local, peer),
        false => (peer, local),
    }
}

impl sockeye::Lookout for Hand {
    fn dialing(&self, local: SocketAddr, peer: SocketAddr) {
        let key = (local.port(), wanted::canonical(peer));
        self.begun().insert(key, watch::now());
        if let Some(lookout) = &self.lookout {
            let pair = (local.port(), wanted::canonical(peer));
            self.wanted().pairs.insert(pair);
            // Without it the connection is made all the same, and not seen.
            let _ = lookout.admit(local.port());
        }
    }

    fn connected(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool {
        let key = (local.port(), wanted::canonical(peer));
        let begun = self.begun().remove(&key);
        if self.lookout.is_some() {
            return false;
        }
        let now = watch::now();
        self.infer(begun.unwrap_or(now), (local, peer), "SYN", None);
        self.infer(now, (peer, local), "SYN ACK", None);
        self.infer(now, (local, peer), "ACK", trace::kernel_facts(socket));
        true
    }

    fn accepted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool {
        let is_blind = self.lookout.is_none();
        if is_blind {
            let now = watch::now();
            self.infer(now, (peer, local), "SYN", None);
            self.infer(now, (local, peer), "SYN ACK", None);
            self.infer(now, (peer, local), "ACK", trace::kernel_facts(socket));
        }
        is_blind
    }

    fn parted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) {
        let facts = trace::kernel_facts(socket);
        self.infer(watch::now(), (local, peer), "close", facts);
    }

    fn bytes(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]) {
        let (from, to) = directed(local, peer, outbound);
        if bytes.is_empty() {
            return self.infer(watch::now(), (from, to), "FIN", None);
        }
        let data = stream_bytes(from, to, "tls", bytes);
        self.packet(UPPER_PDU, outbound, data);
    }

    fn datagram(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]) {
        let (from, to) = directed(local, peer, outbound);
        if let Some(data) = datagram(from, to, bytes) {
            self.wanted()
                .pairs
                .insert((local.port(), wanted::canonical(peer)));
            self.packet(RAW, outbound, data);
        }
    }
}
