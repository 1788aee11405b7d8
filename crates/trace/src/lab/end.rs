//! One end: a thread in a network of its own, which plays its part there.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use super::netlink::Netlink;
use super::program::Running;
use super::scenario::{Meeting, Scene, Stage};
use super::{ADDRESSES, HARDWARE, INTERFACE, LOOK, LabError, Part, Play, building, space, table};
use crate::event::Side;

/// What an end tells.
pub(super) enum News {
    /// Its network.
    Network(Result<File, LabError>),
    /// Its interface is up.
    Furnished(Result<(), LabError>),
    /// Somebody can be talked to there.
    Listening,
    /// Its part is done.
    Done { code: Option<i32> },
    /// Something went wrong in its part.
    Trouble(String),
    /// Its part could not begin.
    Failed(LabError),
    /// Nothing is to be expected from its sockets.
    AtRest,
}

/// What an end is told.
enum Order {
    Furnish,
    Go,
    /// The server can be talked to.
    Serve,
    /// Watch the sockets until they are at rest.
    Rest,
}

/// A thread, and what it says.
pub(super) struct End {
    orders: Option<Sender<Order>>,
    news: Receiver<News>,
    /// Its program is to be ended.
    over: Arc<AtomicBool>,
    program: bool,
    thread: Option<JoinHandle<Option<()>>>,
}

impl End {
    pub(super) fn start(
        side: Side,
        play: &Play,
        meeting: &Meeting,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, LabError> {
        let (orders, ordered) = channel();
        let (told, news) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let part = play.parts[side.index()].clone();
        let program = matches!(part, Part::Program(_));
        let actor = Actor {
            side,
            part,
            meeting: meeting.clone(),
            keys: play.keys.clone(),
            orders: ordered,
            news: told,
            stop: stop.clone(),
            over: over.clone(),
        };
        let thread = thread::Builder::new()
            .name(["client", "server"][side.index()].to_owned())
            .spawn(move || actor.play())
            .map_err(building("start a thread"))?;
        Ok(Self {
            orders: Some(orders),
            news,
            over,
            program,
            thread: Some(thread),
        })
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // An end that has gone has said why.
            let _ = orders.send(order);
        }
    }

    fn answer(&self, most: Duration) -> Result<News, LabError> {
        let gone = |_| io::Error::other("one of its ends has gone");
        self.news
            .recv_timeout(most)
            .map_err(gone)
            .map_err(building("be built"))
    }

    pub(super) fn network(&self, most: Duration) -> Result<File, LabError> {
        match self.answer(most)? {
            News::Network(network) => network,
            _ => Err(out_of_turn()),
        }
    }

    pub(super) fn furnish(&self, most: Duration) -> Result<(), LabError> {
        self.order(Order::Furnish);
        match self.answer(most)? {
            News::Furnished(done) => done,
            _ => Err(out_of_turn()),
        }
    }

    pub(super) fn go(&self) {
        self.order(Order::Go);
    }

    pub(super) fn serve(&self) {
        self.order(Order::Serve);
    }

    pub(super) fn rest(&self) {
        self.order(Order::Rest);
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn news(&self) -> &Receiver<News> {
        &self.news
    }
}

fn out_of_turn() -> LabError {
    building("be built")(io::Error::other("an end has spoken out of turn"))
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
        self.orders = None;
        // A program is waited for; a scene may wait for what will never come, and has nothing to lose.
        if self.program
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// What lives in the thread.
struct Actor {
    side: Side,
    part: Part,
    meeting: Meeting,
    keys: Option<std::path::PathBuf>,
    orders: Receiver<Order>,
    news: Sender<News>,
    stop: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Actor {
    /// Returns when it is told to, or when nobody listens any more.
    fn play(self) -> Option<()> {
        let network = space::leave().map_err(building("have a network for each end"));
        self.news.send(News::Network(network)).ok()?;
        let Ok(Order::Furnish) = self.orders.recv() else {
            return None;
        };
        let furnished = self.furnish().map_err(building("set up an interface"));
        self.news.send(News::Furnished(furnished)).ok()?;
        let Ok(Order::Go) = self.orders.recv() else {
            return None;
        };
        match &self.part {
            Part::Scene(scene) => self.scene(scene),
            Part::Program(program) => self.program(program)?,
        }
        self.watch()
    }

    fn furnish(&self) -> io::Result<()> {
        let netlink = Netlink::new()?;
        // What programs expect to find everywhere.
        netlink.start(if_nametoindex("lo")?, false)?;
        let index = if_nametoindex(INTERFACE)?;
        let (own, peer) = (self.side.index(), self.side.other().index());
        netlink.address(index, ADDRESSES[own], 24)?;
        netlink.start(index, true)?;
        netlink.neighbour(index, ADDRESSES[peer], &HARDWARE[peer])
    }

    fn scene(&self, scene: &Scene) {
        let listening = || drop(self.news.send(News::Listening));
        let served = || match self.orders.recv_timeout(Duration::from_secs(10)) {
            Ok(Order::Serve) => Ok(()),
            _ => Err(io::Error::other("no server has come")),
        };
        let stage = Stage::new(self.side, self.meeting.clone(), &listening, &served);
        if let Err(why) = scene.play(&stage) {
            let name = ["client", "server"][self.side.index()];
            let _ = self.news.send(News::Trouble(format!("the {name} {why}")));
        }
        let _ = self.news.send(News::Done { code: None });
    }

    fn program(&self, program: &super::Program) -> Option<()> {
        if self.side == Side::A && !self.server_is_there() {
            self.news.send(News::Done { code: None }).ok()?;
            return Some(());
        }
        let mut running = match Running::start(program, self.keys.as_deref()) {
            Ok(running) => running,
            Err(why) => return self.news.send(News::Failed(why)).ok(),
        };
        let mut announced = self.side == Side::A;
        loop {
            if let Some(ended) = running.ended() {
                if !announced {
                    let name = program.name();
                    let what = "has ended before anybody could talk to it";
                    let failed = LabError::Server { name, what };
                    return self.news.send(News::Failed(failed)).ok();
                }
                let code = ended.code();
                return self.news.send(News::Done { code }).ok();
            }
            if !announced && table::listens() {
                announced = true;
                self.news.send(News::Listening).ok()?;
            }
            if self.over.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                running.end();
                return self.news.send(News::Done { code: None }).ok();
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for the server; `false` if the play is over before.
    fn server_is_there(&self) -> bool {
        loop {
            match self.orders.recv_timeout(LOOK) {
                Ok(Order::Serve) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if !self.over.load(Ordering::Relaxed) => {}
                Err(_) => return false,
            }
        }
    }

    /// Looks after the sockets that are left, until nobody asks any more.
    fn watch(&self) -> Option<()> {
        loop {
            match self.orders.recv().ok()? {
                Order::Rest => break,
                _ => continue,
            }
        }
        while !table::is_at_rest() {
            match self.orders.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) | Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        self.news.send(News::AtRest).ok()?;
        // The network lives as long as its thread: until the last packet has arrived.
        while self.orders.recv().is_ok() {}
        Some(())
    }
}
