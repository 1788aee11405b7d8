//! The eye on the wire: what our own connections, or somebody else's, say in packets, drawn while they do.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::args::EyeArgs;
use crate::terminal;
use anyhow::{Context, Result};
use sockeye::{Course, Endpoint, KeyLog, Listening, View, ViewKey, Viewer};
use trace::{Lookout, NARROWEST, Sight, Stage, Stamps, Style, WHOLE, Watcher, Whose};

mod easel;
mod gallery;
mod hand;
mod ports;
mod wanted;
mod watch;

pub(crate) use easel::{Easel, Form, Pcap, create};
use gallery::Seat;
use wanted::Wanted;
pub(crate) use wanted::exists as is_process;
use watch::Watch;

/// Nobody waits longer for the first look at connections of others.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// What is told to whoever draws.
enum Told {
    Keys(String),
    /// A packet that one of our own sockets has sent or received.
    Packet {
        time: u64,
        /// When we read it, if `time` is what the kernel says.
        read: Option<u64>,
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
    /// A dial of ours has failed: when, from where to where, whether it was refused, and what the kernel says.
    Failed(u64, (SocketAddr, SocketAddr), bool, String),
    /// Somebody has come: when the SYN did, which the kernel may have kept, and when that was told.
    Came {
        times: [u64; 2],
        ends: (SocketAddr, SocketAddr),
        syn: Option<Vec<u8>>,
        facts: Option<String>,
    },
    /// A connection of ours, with its port and its peer, is dialed on behalf of a third.
    Behalf(u16, SocketAddr, SocketAddr),
    /// The kernel is to be asked about a connection of ours, whose own end stands first.
    Follow {
        ends: (SocketAddr, SocketAddr),
        stage: Stage,
    },
    /// The kernel is to be asked about connections of others, and that this was done is to be said.
    Watch(Whose, Sender<()>),
    /// Somebody looks from a page.
    Viewer(Seat),
    /// Whose connection this is, and when it said so, in nanoseconds since 1970.
    Claim(Course, ViewKey, u64),
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
    /// Who looks from a page.
    seats: Arc<()>,
    /// Connections that are being made, by our port and the peer.
    begun: Mutex<HashMap<(u16, SocketAddr), Begun>>,
    /// While nobody sees packets the kernel notes when they come, for our sockets.
    _stamps: Option<Stamps>,
}

/// A connection that is being made.
#[derive(Clone, Copy)]
struct Begun {
    /// Since when, in nanoseconds since 1970.
    at: u64,
    /// Its SYN was drawn.
    told: bool,
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
        let stamps = match sight {
            // Without it the times are those of reading.
            Sight::Socket => Stamps::begin().ok(),
            _ => None,
        };
        let hand = Arc::new(Hand {
            sender: Mutex::new(sender),
            waker,
            lookout,
            wanted: Mutex::default(),
            seats: Arc::default(),
            begun: Mutex::default(),
            _stamps: stamps,
        });
        let watcher = match sight {
            Sight::Socket => Watcher::open().map_err(deaf).ok(),
            _ => None,
        };
        let ears = (receiver, waking, watcher);
        let watch = Watch::new(hand.clone(), ears, easel, (sight, keys));
        let thread = std::thread::Builder::new().name("trace".to_owned());
        let thread = thread.spawn(move || watch.run()).context("cannot watch")?;
        Ok(Self { hand, thread })
    }

    /// Who is told of connections that are dialed, and that come.
    pub(crate) fn lookout(&self) -> Arc<dyn sockeye::Lookout> {
        self.hand.clone()
    }

    /// Who is told of connections to a port that we serve, where their packets are not seen.
    pub(crate) fn port_lookout(&self) -> Option<Arc<dyn sockeye::Lookout>> {
        self.hand.is_blind().then(|| self.lookout())
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
        // Those tell of themselves.
        if self.hand.is_blind() {
            return Ok(());
        }
        for end in listening {
            if let Endpoint::Net(at) = &end.at {
                self.watch_end(*at)?;
            }
        }
        Ok(())
    }

    /// Watches a port, whosever it is and wherever it listens, and whoever comes to it.
    pub(crate) fn watch_port(&self, port: u16) -> Result<()> {
        self.watch_end((Ipv4Addr::UNSPECIFIED, port).into())
    }

    fn watch_end(&self, end: SocketAddr) -> Result<()> {
        self.hand.wanted().ports.insert(end.port());
        self.admit(Some(end))
    }

    /// Watches the connections with one address, or with one port of it.
    pub(crate) fn watch_peer(&self, peer: SocketAddr) -> Result<()> {
        self.hand.wanted().peers.insert(wanted::canonical(peer));
        self.admit(Some(peer))
    }

    /// Watches the connections of a program.
    pub(crate) fn watch_process(&self, process: u32) -> Result<()> {
        self.hand.wanted().process = Some(process);
        if let Err(error) = std::fs::read_dir(format!("/proc/{process}/fd")) {
            eprintln!(
                "trace: cannot see which sockets program {process} has: {error}. A port is watched whosever it is: --watch :PORT"
            );
        }
        self.admit(None)
    }

    fn admit(&self, end: Option<SocketAddr>) -> Result<()> {
        let Some(lookout) = &self.hand.lookout else {
            let whose = self.hand.wanted().whose();
            let (done, looked) = mpsc::channel();
            self.hand.tell(Told::Watch(whose, done));
            // What comes after this is new.
            let _ = looked.recv_timeout(FIRST_LOOK);
            return Ok(());
        };
        let admitted = match end {
            Some(end) => lookout.admit(end),
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

/// Then nothing but our own sockets tells of connections.
fn deaf(error: std::io::Error) {
    eprintln!("trace: cannot ask the kernel about connections: {error}");
}

impl Hand {
    /// Packets are not seen.
    fn is_blind(&self) -> bool {
        self.lookout.is_none()
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Who draws no more needs to hear nothing.
        if sender.send(told).is_ok() {
            // If there is no room, enough bytes are there to wake it.
            let _ = (&self.waker).write(&[0]);
        }
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
        self.tell(Told::Claim(course, key, watch::now()));
    }
}
