//! The thread that sees packets, finds out what they mean, and draws them.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use trace::{Live, SNAP, Sight, ends};
use wire::packet::RAW;

use super::gallery::Gallery;
use super::{Easel, Hand, Told};

/// As many packets are read before what they mean is drawn.
const BATCH: usize = 64;

/// After so much data no more than the headers are kept, unless all of it is wanted.
const ENOUGH: u64 = 1024 * 1024;

/// Nothing is waited for longer: who asks whether it is time must be heard.
const LONGEST: Duration = Duration::from_millis(50);

/// When everything is over the last packets come soon: while a connection still closes, and otherwise.
const CLOSING: Duration = Duration::from_millis(1_000);
const LAST: Duration = Duration::from_millis(20);

pub(super) struct Watch {
    hand: Arc<Hand>,
    receiver: Receiver<Told>,
    waking: UnixStream,
    easel: Easel,
    gallery: Gallery,
    live: Live,
    seen: u64,
    missed: u64,
    over: Option<Instant>,
    heard: Instant,
}

impl Watch {
    pub(super) fn new(
        hand: Arc<Hand>,
        receiver: Receiver<Told>,
        waking: UnixStream,
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
            easel,
            gallery: Gallery::new(sight),
            live,
            seen: 0,
            missed: 0,
            over: None,
            heard: Instant::now(),
        }
    }

    pub(super) fn run(mut self) -> Result<()> {
        let mut eye = self.hand.lookout.as_ref().map(trace::Lookout::eye);
        loop {
            self.listen();
            let more = match &mut eye {
                Some(eye) => self.look(eye).context("cannot see packets")?,
                None => false,
            };
            self.live.go_on(false);
            let fresh = self.live.fresh();
            self.gallery.show(&self.live, &fresh);
            self.easel.draw(&mut self.live, &fresh)?;
            if self.is_done(more) {
                break;
            }
            if more {
                continue;
            }
            let wait = self.due();
            let waking = self.waking.as_fd();
            match &eye {
                Some(eye) => eye.wait(waking, wait).context("cannot see packets")?,
                None => trace::wait(waking, wait).context("cannot wait")?,
            }
            let mut bytes = [0; 256];
            while (&self.waking).read(&mut bytes).is_ok_and(|count| count > 0) {}
        }
        self.easel.finish(self.live)
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
                    link,
                    data,
                    outbound,
                } => self.take(link, time, &data, outbound),
                Told::Inferred {
                    time,
                    ends,
                    what,
                    facts,
                } => {
                    self.heard = Instant::now();
                    self.live.infer(time, ends, what, facts);
                }
                Told::Viewer(viewer) => self.gallery.enter(viewer),
                Told::Claim(course, key) => self.gallery.claim(course, key),
                Told::Over => self.over = Some(Instant::now()),
            }
        }
    }

    fn take(&mut self, link: u16, time: u64, data: &[u8], outbound: bool) {
        self.heard = Instant::now();
        self.easel.packet(link, time, data, Some(outbound));
        self.live.packet(link, time, data);
    }

    /// Packets that have come. Whether there are more.
    fn look(&mut self, eye: &mut trace::Eye) -> std::io::Result<bool> {
        for _ in 0..BATCH {
            let Some(packet) = eye.look()? else {
                let missed = eye.missed();
                if missed != self.missed {
                    self.missed = missed;
                    self.live.missed(missed);
                }
                return Ok(false);
            };
            let Some((source, destination)) = ends(RAW, packet.data) else {
                continue;
            };
            if !self.hand.wanted().has(source, destination) {
                continue;
            }
            // Keys are told before the packets leave that they open.
            self.listen();
            self.take(RAW, packet.time, packet.data, packet.outbound);
            self.seen += packet.data.len() as u64;
        }
        if self.seen > ENOUGH
            && !self.easel.keeps_all()
            && let Some(lookout) = &self.hand.lookout
        {
            lookout.keep(SNAP)?;
        }
        Ok(true)
    }

    fn due(&self) -> Duration {
        let now = Instant::now();
        let dues = [self.live.due(), self.easel.due()];
        let next = dues.into_iter().flatten().min();
        let wait = next.map(|due| due.saturating_duration_since(now));
        // A wait of nothing would turn in circles.
        wait.unwrap_or(LONGEST)
            .clamp(Duration::from_micros(50), LONGEST)
    }

    /// Whether the last packets have come. While there are `more`, of others, ours may be among them.
    fn is_done(&self, more: bool) -> bool {
        let Some(over) = self.over else { return false };
        let closing = self
            .live
            .flows()
            .iter()
            .any(|flow| flow.transport == trace::Transport::Tcp && flow.goes_on());
        let limit = if closing || more { CLOSING } else { LAST };
        self.heard.max(over).elapsed() >= limit
    }
}

pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
