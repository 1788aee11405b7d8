//! The thread that sees packets, finds out what they mean, and draws them.

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use trace::{Live, SNAP, Sight, Stage, Watcher, ends};
use wire::packet::RAW;

use super::gallery::Gallery;
use super::{Easel, Hand, Told};

/// As many packets are read before what they mean is drawn.
const BATCH: usize = 64;

/// If so many came since one looked last, they come faster than anybody reads rows: the next ones may gather, because
/// to be woken up for each would take the time of those who talk. If that goes on, longer: a row is still there after a
/// millisecond.
const THICK: usize = 16;
const NAP: Duration = Duration::from_micros(500);
const GOES_ON: u32 = 16;
const LONG_NAP: Duration = Duration::from_micros(900);

/// Then this thread stands back, too: what it reads waits in the kernel, and those who talk do not. (The niceness that
/// is added, sched(7).)
const BACK: i32 = 5;

/// After so much data no more than the headers are kept, unless all of it is wanted.
const ENOUGH: u64 = 1024 * 1024;

/// Nothing is waited for longer: who asks whether it is time must be heard.
const LONGEST: Duration = Duration::from_millis(50);

/// When everything is over the last packets come soon: while a connection still closes, when all have closed, and
/// where nothing tells.
const CLOSING: Duration = Duration::from_millis(1_000);
const CLOSED: Duration = Duration::from_millis(2);
const LAST: Duration = Duration::from_millis(20);

pub(super) struct Watch {
    hand: Arc<Hand>,
    receiver: Receiver<Told>,
    waking: UnixStream,
    /// Asks the kernel where no packets are seen.
    watcher: Option<Watcher>,
    easel: Easel,
    gallery: Gallery,
    live: Live,
    seen: u64,
    /// How many since one waited last.
    gathered: usize,
    /// How often in a row they were many.
    thick: u32,
    /// Whether it has stood back: not everybody may come forward again.
    is_back: bool,
    /// The ends of the latest packet that was wanted: the next one is mostly between them.
    latest: Option<(SocketAddr, SocketAddr)>,
    over: Option<Instant>,
    heard: Instant,
}

impl Watch {
    pub(super) fn new(
        hand: Arc<Hand>,
        (receiver, waking, watcher): (Receiver<Told>, UnixStream, Option<Watcher>),
        easel: Easel,
        (sight, keys): (Sight, bool),
    ) -> Self {
        let mut live = Live::new(sight, |_, _| true);
        if keys {
            live.expect_keys();
        }
        Self {
            hand,
            receiver,
            waking,
            watcher,
            easel,
            gallery: Gallery::new(sight),
            live,
            seen: 0,
            gathered: 0,
            thick: 0,
            is_back: false,
            latest: None,
            over: None,
            heard: Instant::now(),
        }
    }

    pub(super) fn run(mut self) -> Result<()> {
        let mut eye = self.hand.lookout.as_ref().and_then(trace::Lookout::eye);
        loop {
            self.listen();
            let more = match &mut eye {
                Some(eye) => self.look(eye).context("cannot see packets")?,
                None => false,
            };
            self.ask();
            self.live.go_on(false);
            let fresh = self.live.fresh();
            self.gallery.show(&self.live, &fresh);
            self.easel.draw(&mut self.live, &fresh)?;
            if self.end(more).is_some_and(|end| end <= Instant::now()) {
                break;
            }
            if more {
                continue;
            }
            self.wait(eye.as_ref())?;
        }
        if let Some(eye) = &mut eye {
            self.live
                .missed(eye.missed().context("cannot see packets")?);
        }
        self.easel.finish(self.live)
    }

    /// Waits for packets, or for what our own sockets tell, or until something is due.
    fn wait(&mut self, eye: Option<&trace::Eye>) -> Result<()> {
        let wait = self.due();
        self.thick = match std::mem::take(&mut self.gathered) >= THICK {
            true => self.thick.saturating_add(1),
            false => 0,
        };
        if self.thick > 0 && !std::mem::replace(&mut self.is_back, true) {
            // Who may not be nicer sees as much, only at a higher price.
            let _ = rustix::process::nice(BACK);
        }
        let nap = match self.thick {
            0 => wait,
            1..GOES_ON => wait.min(NAP),
            _ => wait.min(LONG_NAP),
        };
        let waking = self.waking.as_fd();
        let told = match eye {
            Some(eye) if self.thick == 0 => eye.wait(waking, nap).context("cannot see packets")?,
            _ => trace::wait(waking, nap).context("cannot wait")?,
        };
        let mut bytes = [0; 256];
        while told
            && (&self.waking)
                .read(&mut bytes)
                .is_ok_and(|count| count == bytes.len())
        {}
        Ok(())
    }

    /// What our own sockets tell, and our own handshakes.
    fn listen(&mut self) {
        while let Ok(told) = self.receiver.try_recv() {
            match told {
                Told::Keys(line) => {
                    self.easel.keys(line.as_bytes());
                    self.live.keys(line.as_bytes());
                }
                Told::Packet {
                    time,
                    read,
                    link,
                    data,
                    outbound,
                } => {
                    self.heard = Instant::now();
                    self.take(link, (time, read), &data, outbound);
                }
                Told::Behalf(port, peer, client) => self.live.on_behalf(port, peer, client),
                Told::Inferred {
                    time,
                    ends,
                    what,
                    facts,
                } => {
                    self.heard = Instant::now();
                    self.live.infer(time, ends, what, facts);
                }
                Told::Failed(time, ends, refused, facts) => {
                    self.heard = Instant::now();
                    self.live.failed(time, ends, refused, facts);
                }
                Told::Came {
                    times,
                    ends,
                    syn,
                    facts,
                } => self.came(times, ends, syn, facts),
                Told::Follow { ends, stage } => {
                    if let Some(watcher) = &mut self.watcher {
                        watcher.follow(&self.live, ends, stage);
                    }
                }
                Told::Watch(whose, looked) => {
                    if let Some(watcher) = &mut self.watcher {
                        watcher.watch(whose);
                    }
                    self.ask();
                    // Nobody waits for it if that took too long.
                    let _ = looked.send(());
                }
                Told::Viewer(viewer) => self.gallery.enter(viewer),
                Told::Claim(course, key, said) => self.gallery.claim(course, key, said),
                Told::Over => self.over = Some(Instant::now()),
            }
        }
    }

    /// Somebody has come to a port of ours.
    fn came(
        &mut self,
        [began, now]: [u64; 2],
        (from, to): (SocketAddr, SocketAddr),
        syn: Option<Vec<u8>>,
        facts: Option<String>,
    ) {
        self.heard = Instant::now();
        let kept = "kept by the listener (TCP_SAVED_SYN); when it came is inferred";
        let seen = syn.is_some_and(|syn| self.live.begin(began, &syn, Some(kept.to_owned())));
        if !seen {
            self.live.infer(began, (from, to), "SYN", None);
        }
        self.live.infer(began, (to, from), "SYN ACK", None);
        self.live.infer(now, (from, to), "ACK", facts);
        if let Some(watcher) = &mut self.watcher {
            watcher.follow(&self.live, (to, from), Stage::Stands);
        }
    }

    /// What the kernel says, if it is time to ask.
    fn ask(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if let Err(error) = watcher.look(&mut self.live, now()) {
            super::deaf(error);
            self.watcher = None;
        }
    }

    fn take(&mut self, link: u16, (time, read): (u64, Option<u64>), data: &[u8], outbound: bool) {
        self.easel.packet(link, time, data, Some(outbound));
        self.live.packet_read(link, time, read, data);
    }

    /// Packets that have come. Whether there are more.
    fn look(&mut self, eye: &mut trace::Eye) -> std::io::Result<bool> {
        let before = self.gathered;
        let more = self.see(eye)?;
        if self.gathered > before {
            self.heard = Instant::now();
        }
        if self.seen > ENOUGH
            && !self.easel.keeps_all()
            && let Some(lookout) = &self.hand.lookout
        {
            lookout.keep(SNAP)?;
            self.seen = 0;
        }
        Ok(more)
    }

    fn see(&mut self, eye: &mut trace::Eye) -> std::io::Result<bool> {
        for _ in 0..BATCH {
            let Some(packet) = eye.look()? else {
                return Ok(false);
            };
            let Some((source, destination)) = ends(RAW, packet.data) else {
                continue;
            };
            if !self.is_wanted(source, destination) {
                continue;
            }
            // Keys are told before the packets leave that they open.
            self.listen();
            self.take(RAW, (packet.time, None), packet.data, packet.outbound);
            self.seen += packet.data.len() as u64;
            self.gathered += 1;
        }
        Ok(true)
    }

    /// Who is wanted stays so.
    fn is_wanted(&mut self, source: SocketAddr, destination: SocketAddr) -> bool {
        let latest = self.latest;
        if latest == Some((source, destination)) || latest == Some((destination, source)) {
            return true;
        }
        let wanted = self.hand.wanted().has(source, destination);
        if wanted {
            self.latest = Some((source, destination));
        }
        wanted
    }

    fn due(&self) -> Duration {
        let now = Instant::now();
        let watcher = self.watcher.as_ref().and_then(Watcher::due);
        let dues = [self.live.due(), self.easel.due(), watcher, self.end(false)];
        let next = dues.into_iter().flatten().min();
        let wait = next.map(|due| due.saturating_duration_since(now));
        // A wait of nothing would turn in circles.
        wait.unwrap_or(LONGEST)
            .clamp(Duration::from_micros(50), LONGEST)
    }

    /// When the last packets have come, once all is over. While there are `more`, of others, ours may be among them.
    fn end(&self, more: bool) -> Option<Instant> {
        let over = self.over?;
        let mut flows = self.live.flows().iter();
        let is_tcp = |flow: &trace::Flow| flow.transport == trace::Transport::Tcp;
        let closing = flows
            .clone()
            .any(|flow| flow.has_states() && flow.goes_on());
        let limit = match closing || more {
            true => CLOSING,
            false if flows.clone().next().is_some() && flows.all(is_tcp) => CLOSED,
            false => LAST,
        };
        Some(self.heard.max(over) + limit)
    }
}

pub(super) fn now() -> u64 {
    nanoseconds(SystemTime::now())
}

/// Since 1970.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
