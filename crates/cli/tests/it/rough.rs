//! A rough path: a forwarder of UDP datagrams on loopback that loses, delays, reorders and swallows them, and that
//! changes the address it forwards from as a router does.
//!
//! Not `tc netem` in a network namespace: kernels without that module are common, and a test that is left out where it
//! is missing finds nothing there.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size;

/// What happens to each datagram, in either direction.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    /// How many in a hundred are lost.
    pub(crate) loss: u32,
    /// How long they take.
    pub(crate) delay: Duration,
    /// How many in a hundred take no time, and so come before those that were sent earlier.
    pub(crate) overtaking: u32,
}

/// A path to a server.
pub(crate) struct RoughPath {
    /// Where its clients send to.
    pub(crate) at: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    forwarding: Option<JoinHandle<()>>,
}

/// What is told to the forwarder, and what it tells.
#[derive(Default)]
struct Shared {
    over: bool,
    moves: bool,
    hole_until: Option<Instant>,
    lost: HashMap<SocketAddr, usize>,
    swallowed: usize,
    overtaken: usize,
}

impl RoughPath {
    pub(crate) fn to(server: &str, weather: Weather) -> Self {
        let front = socket();
        let at = front.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let forwarder = Forwarder {
            server: server.parse().unwrap(),
            front,
            weather,
            guests: Vec::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            moves: 0,
            dice: 0x9e37_79b9,
            shared: shared.clone(),
        };
        Self {
            at,
            shared,
            forwarding: Some(std::thread::spawn(|| forwarder.run())),
        }
    }

    /// From now on, and for so long, nothing passes.
    pub(crate) fn swallow_all(&self, how_long: Duration) {
        lock(&self.shared).hole_until = Some(Instant::now() + how_long);
    }

    /// Forwards from another address from now on; what is still sent to the old one is lost.
    pub(crate) fn rebind(&self) {
        lock(&self.shared).moves = true;
    }

    /// Datagrams from or to this client that were lost.
    pub(crate) fn lost(&self, client: SocketAddr) -> usize {
        lock(&self.shared).lost.get(&client).copied().unwrap_or(0)
    }

    /// Datagrams of anybody that were lost.
    pub(crate) fn all_lost(&self) -> usize {
        lock(&self.shared).lost.values().sum()
    }

    /// Those of them that came while nothing passed.
    pub(crate) fn swallowed(&self) -> usize {
        lock(&self.shared).swallowed
    }

    /// Datagrams that were passed by one that was sent later.
    pub(crate) fn overtaken(&self) -> usize {
        lock(&self.shared).overtaken
    }
}

impl Drop for RoughPath {
    fn drop(&mut self) {
        lock(&self.shared).over = true;
        if let Some(forwarding) = self.forwarding.take() {
            // It has panicked in a test that fails anyway.
            let _ = forwarding.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn socket() -> UdpSocket {
    socket_at(Ipv4Addr::LOCALHOST)
}

fn socket_at(address: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    // Only the losses that were asked for: the system gives what it allows.
    set_socket_recv_buffer_size(&socket, 4 << 20).unwrap();
    socket
}

/// A client, and the socket from which the server hears of it.
struct Guest {
    address: SocketAddr,
    back: UdpSocket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

struct Forwarder {
    server: SocketAddr,
    front: UdpSocket,
    weather: Weather,
    guests: Vec<Guest>,
    /// By the time when they arrive; the number keeps the order of those that arrive together.
    under_way: BTreeMap<(Instant, u64), (usize, Way, Vec<u8>)>,
    sent: u64,
    moves: u8,
    dice: u32,
    shared: Arc<Mutex<Shared>>,
}

/// How soon the forwarder does what it is told.
const ATTENTION: Duration = Duration::from_millis(5);

impl Forwarder {
    fn run(mut self) {
        loop {
            let moves = {
                let mut shared = lock(&self.shared);
                if shared.over {
                    return;
                }
                std::mem::take(&mut shared.moves)
            };
            if moves {
                self.moves += 1;
                // All of 127.0.0.0/8 is this machine.
                let address = Ipv4Addr::new(127, 0, 0, 1 + self.moves);
                let guests = self.guests.iter_mut();
                guests.for_each(|guest| guest.back = socket_at(address));
            }
            self.deliver();
            self.wait();
            self.gather();
        }
    }

    /// Lets out what has been on its way for long enough.
    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.under_way.first_entry()
            && first.key().0 <= now
        {
            let (index, way, data) = first.remove();
            let guest = &self.guests[index];
            let delivered = match way {
                Way::There => guest.back.send_to(&data, self.server),
                Way::Back => self.front.send_to(&data, guest.address),
            };
            if delivered.is_err() {
                *lock(&self.shared).lost.entry(guest.address).or_default() += 1;
            }
        }
    }

    /// Waits until something comes or is due.
    fn wait(&self) {
        let due = self.under_way.keys().next();
        let left = due.map_or(ATTENTION, |(due, _)| {
            due.saturating_duration_since(Instant::now()).min(ATTENTION)
        });
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: left.as_nanos() as i64,
        };
        let backs = self.guests.iter().map(|guest| &guest.back);
        let sockets = std::iter::once(&self.front).chain(backs);
        let mut all: Vec<_> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        poll(&mut all, Some(&limit)).unwrap();
    }

    /// Takes in everything that has come.
    fn gather(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        while let Some((size, from)) = receive(&self.front, &mut buffer) {
            let known = self.guests.iter().position(|guest| guest.address == from);
            let index = known.unwrap_or_else(|| {
                let back = socket();
                let address = from;
                self.guests.push(Guest { address, back });
                self.guests.len() - 1
            });
            self.send(index, Way::There, buffer[..size].to_vec());
        }
        for index in 0..self.guests.len() {
            while let Some((size, _)) = receive(&self.guests[index].back, &mut buffer) {
                self.send(index, Way::Back, buffer[..size].to_vec());
            }
        }
    }

    fn send(&mut self, index: usize, way: Way, data: Vec<u8>) {
        let (unlucky, quick) = (self.roll(), self.roll());
        let now = Instant::now();
        let mut shared = lock(&self.shared);
        let swallowed = shared.hole_until.is_some_and(|until| now < until);
        if swallowed || unlucky < self.weather.loss {
            shared.swallowed += usize::from(swallowed);
            let address = self.guests[index].address;
            *shared.lost.entry(address).or_default() += 1;
            return;
        }
        let mut arrives = now + self.weather.delay;
        if quick < self.weather.overtaking {
            arrives = now;
            let slower = self.under_way.values();
            shared.overtaken += slower
                .filter(|(to, on, _)| (*to, *on) == (index, way))
                .count();
        }
        self.sent += 1;
        self.under_way
            .insert((arrives, self.sent), (index, way, data));
    }

    /// A number below a hundred; the same ones in each run.
    fn roll(&mut self) -> u32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        self.dice % 100
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket.recv_from(buffer) {
        Ok(received) => Some(received),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("the rough path: {error}"),
    }
}
