//! The lab: two ends with the TCP of this kernel, each in a network of its own, and between them a wire that delays,
//! loses, doubles and reorders what it is told to. It needs no privilege where user namespaces are allowed.
//!
//! ```text
//!  client's network          the lab's network           server's network
//!  10.77.0.1  wire0 ─────── a │ our process │ b ─────── wire0  10.77.0.2
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use nix::net::if_::if_nametoindex;
use rustix::thread::set_current_timer_slack;

use crate::event::Side;
use crate::file::Capture;
use crate::witness::{self, Witnessed};

mod cable;
mod end;
mod netlink;
mod program;
mod reference;
mod rule;
mod scenario;
mod space;
mod table;

use cable::Cable;
pub use cable::Link;
use end::{End, News};
use netlink::Netlink;
pub use program::Program;
pub use reference::reference;
pub use rule::{Action, Rule, RuleError, Which};
use scenario::Meeting;
pub use scenario::{SCENARIOS, Scenario, Scene, scenario};
pub use space::Lab;

/// The interface of each end.
pub const INTERFACE: &str = "wire0";
/// The addresses of the client and of the server.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
/// The port of the server, which Wireshark takes for no protocol in particular.
pub const PORT: u16 = 4040;

/// The hardware addresses of both ends, which know each other.
const HARDWARE: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xa], [2, 0, 0, 0, 0, 0xb]];
/// The lab's ends of the two pairs.
const MIDDLE: [&str; 2] = ["a", "b"];
/// How often one looks whether the ends have finished.
const LOOK: Duration = Duration::from_millis(5);
/// So long both ends may take to close what they have left open when nobody works there any more.
const CLOSING: Duration = Duration::from_secs(4);
/// So long both ends get to be built.
const BUILDING: Duration = Duration::from_secs(10);

/// What one end does.
#[derive(Clone, Debug)]
pub enum Part {
    /// What a scenario says.
    Scene(Scene),
    /// A program.
    Program(Program),
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Play {
    /// The wire.
    pub link: Link,
    /// What the client and the server do.
    pub parts: [Part; 2],
    /// After this time the lab ends, whatever is still going on.
    pub limit: Duration,
    /// A key log that both ends may write, to open what they have encrypted.
    pub keys: Option<PathBuf>,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// All packets with what became of them, and what they mean.
    pub capture: Capture,
    packets: Vec<Witnessed>,
    started: u64,
    keys: Vec<u8>,
    /// What went wrong at the ends, in words.
    pub trouble: Vec<String>,
    /// The limit was reached, or somebody said stop, before both ends had finished.
    pub cut: bool,
    /// The exit code of the client's program, if it was one and has ended by itself.
    pub code: Option<i32>,
}

impl Seen {
    /// What one end saw, as a capture file in pcapng that also says what was lost on the way; `keys` puts the keys of
    /// both ends into it.
    #[must_use]
    pub fn file(&self, side: Side, keys: bool) -> Vec<u8> {
        let keys: &[u8] = if keys { &self.keys } else { &[] };
        witness::file(&self.packets, self.started, side, keys)
    }
}

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The system does not let us have networks of our own.
    #[error("the lab needs network namespaces of its own, and this system does not allow them")]
    Forbidden(#[source] io::Error),
    /// The networks could not be built.
    #[error("the lab cannot {what}")]
    Building {
        /// What was done.
        what: &'static str,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// A program at one end could not be started.
    #[error("cannot start {name}")]
    Program {
        /// Its name.
        name: String,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// The server's program is not there to be talked to.
    #[error("{name} {what}")]
    Server {
        /// Its name.
        name: String,
        /// What became of it.
        what: &'static str,
    },
}

fn building(what: &'static str) -> impl FnOnce(io::Error) -> LabError {
    move |why| LabError::Building { what, why }
}

impl Lab {
    /// Plays to the end, or until `stop` is set.
    ///
    /// # Errors
    /// When the networks cannot be built, or a program cannot be started. What goes wrong at the ends once they run
    /// is part of what was seen.
    pub fn play(self, play: &Play, stop: &Arc<AtomicBool>) -> Result<Seen, LabError> {
        let meeting = Meeting::default();
        let [a, b] = Side::BOTH.map(|side| End::start(side, play, &meeting, stop));
        let ends = [a?, b?];
        let mut cable = self.build(&ends, play.link.clone())?;
        // A delay of a millisecond should not be one of fifty microseconds more; without it nothing is wrong.
        let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
        for end in &ends {
            end.go();
        }
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut course = Course::new(&ends, play, stop);
        let ran = course.run(&mut cable);
        let (code, trouble, cut) = (course.code, course.trouble, course.cut);
        drop(ends);
        ran?;
        let started = began.map_or(0, |since| since.as_nanos() as u64);
        // Ends that encrypt nothing have written none.
        let keys = play.keys.as_ref().and_then(|file| std::fs::read(file).ok());
        let keys = keys.unwrap_or_default();
        let packets = cable.done();
        Ok(Seen {
            capture: witness::capture(&packets, started, &keys),
            packets,
            started,
            keys,
            trouble,
            cut,
            code,
        })
    }

    /// Interfaces between the networks of both ends and this one.
    fn build(&self, ends: &[End; 2], link: Link) -> Result<Cable, LabError> {
        let netlink = Netlink::new().map_err(building("speak to the kernel about interfaces"))?;
        for (index, end) in ends.iter().enumerate() {
            let network = end.network(BUILDING)?;
            netlink
                .pair(MIDDLE[index], (INTERFACE, &HARDWARE[index]), &network)
                .map_err(building("make a pair of interfaces"))?;
        }
        let cable = Cable::new(link, MIDDLE).map_err(building("capture on its wire"))?;
        for name in MIDDLE {
            let index = if_nametoindex(name).map_err(io::Error::from);
            index
                .and_then(|index| netlink.start(index, false))
                .map_err(building("start an interface"))?;
        }
        for end in ends {
            end.furnish(BUILDING)?;
        }
        Ok(cable)
    }
}

/// The play as it goes on.
struct Course<'a> {
    ends: &'a [End; 2],
    stop: &'a AtomicBool,
    limit: Instant,
    link: &'a Link,
    done: [bool; 2],
    at_rest: [bool; 2],
    /// When both had done their part.
    over: Option<Instant>,
    client_over: Option<Instant>,
    trouble: Vec<String>,
    code: Option<i32>,
    cut: bool,
}

impl<'a> Course<'a> {
    fn new(ends: &'a [End; 2], play: &'a Play, stop: &'a AtomicBool) -> Self {
        Self {
            ends,
            stop,
            limit: Instant::now() + play.limit,
            link: &play.link,
            done: [false; 2],
            at_rest: [false; 2],
            over: None,
            client_over: None,
            trouble: Vec::new(),
            code: None,
            cut: false,
        }
    }

    fn run(&mut self, cable: &mut Cable) -> Result<(), LabError> {
        loop {
            cable.pass(LOOK).map_err(building("pass packets on"))?;
            for side in Side::BOTH {
                self.hear(side, self.ends[side.index()].news())?;
            }
            if self.stop.load(Ordering::Relaxed) || Instant::now() >= self.limit {
                self.cut = true;
                return Ok(());
            }
            // A server that goes on for ever is ended once the client has, and nothing happens any more.
            let quiet = cable.is_quiet() && cable.silence() > self.patience();
            if self.client_over.is_some() && quiet && !self.done[1] {
                self.ends[1].end();
            }
            let over = self.over.is_some_and(|over| over.elapsed() > CLOSING);
            let rest = self.at_rest == [true; 2];
            if cable.is_quiet() && self.done == [true; 2] && (rest || over) {
                return Ok(());
            }
        }
    }

    /// As long as an answer may take that is still to be expected.
    fn patience(&self) -> Duration {
        self.link.delay * 4 + Duration::from_millis(300)
    }

    fn hear(&mut self, side: Side, news: &Receiver<News>) -> Result<(), LabError> {
        while let Ok(news) = news.try_recv() {
            match news {
                News::Listening => self.ends[Side::A.index()].serve(),
                News::Done { code } => {
                    self.done[side.index()] = true;
                    if side == Side::A {
                        self.code = code;
                        self.client_over = Some(Instant::now());
                    }
                    if self.done == [true; 2] {
                        self.over = Some(Instant::now());
                        self.ends.iter().for_each(End::rest);
                    }
                }
                News::Trouble(what) => self.trouble.push(what),
                News::Failed(why) => return Err(why),
                News::AtRest => self.at_rest[side.index()] = true,
                News::Network(_) | News::Furnished(_) => {}
            }
        }
        Ok(())
    }
}

/// Where the server is.
#[must_use]
pub fn server() -> SocketAddr {
    (ADDRESSES[Side::B.index()], PORT).into()
}
