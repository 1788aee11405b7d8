//! UDP in bursts: 32 datagrams per GSO send, answers taken with GRO, as fast as it goes or paced.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::{Counters, Watched, Window, watch};
use crate::process::Group;

/// Datagrams per send.
pub(crate) const BURST: usize = 32;
/// An answer that has not come this long after the last datagram does not come.
const TAIL: Duration = Duration::from_millis(300);
/// Room for one GRO batch, and for how many of them per call.
const ROOM: usize = 64 * 1024;
const BATCHES: usize = 16;

/// How a burst load sends.
#[derive(Clone, Copy)]
pub(crate) struct Bursts {
    /// Bytes per datagram.
    pub(crate) size: usize,
    /// From one burst to the next; none: at once.
    pub(crate) pace: Option<Duration>,
}

/// What came of it: the window, and the share of all datagrams that were not answered.
pub(crate) struct Outcome {
    pub(crate) watched: Watched,
    pub(crate) loss: f64,
}

pub(crate) fn run(
    address: SocketAddr,
    bursts: Bursts,
    server: &Group,
    window: Window,
) -> Result<Outcome> {
    let client = Client::connect(address)?;
    let counters = Counters::default();
    let over = AtomicBool::new(false);
    let watched = thread::scope(|scope| {
        let receiver = scope.spawn(|| client.receive(bursts.size, &counters, &over));
        let sender = scope.spawn(|| client.send(bursts, &counters));
        let watched = watch(&counters, server, window);
        counters.stop();
        let sent = sender.join().map_err(|_| anyhow!("the sender panicked"));
        thread::sleep(TAIL);
        over.store(true, Ordering::Relaxed);
        receiver
            .join()
            .map_err(|_| anyhow!("the receiver panicked"))??;
        sent??;
        watched
    })?;
    let [sent, done] = [&counters.sent, &counters.done].map(|count| count.load(Ordering::Relaxed));
    ensure!(done > 0, "no answer");
    Ok(Outcome {
        watched,
        loss: 1.0 - done as f64 / sent as f64,
    })
}

struct Client {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a client")?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).context("SO_RCVBUF")?;
        socket.connect(address).context("connecting a client")?;
        let state =
            UdpSocketState::new(UdpSockRef::from(&socket)).context("preparing GSO and GRO")?;
        let segments = state.max_gso_segments();
        ensure!(
            segments >= BURST,
            "this kernel sends at most {segments} datagrams at once"
        );
        Ok(Self {
            socket,
            state,
            address,
        })
    }

    fn send(&self, bursts: Bursts, counters: &Counters) -> Result<()> {
        let contents = vec![b'a'; bursts.size * BURST];
        let transmit = Transmit {
            destination: self.address,
            ecn: None,
            contents: &contents,
            segment_size: Some(bursts.size),
            src_ip: None,
        };
        let mut due = Instant::now();
        while !counters.stopped() {
            if let Some(pace) = bursts.pace {
                // A schedule that is kept, not a pause: after a late wake-up the next bursts follow at once.
                due += pace;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            match self
                .state
                .try_send(UdpSockRef::from(&self.socket), &transmit)
            {
                Ok(()) => drop(counters.sent.fetch_add(BURST as u64, Ordering::Relaxed)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT)?
                }
                Err(error) => return Err(error).context("sending a burst"),
            }
        }
        Ok(())
    }

    fn receive(&self, size: usize, counters: &Counters, over: &AtomicBool) -> Result<()> {
        let mut memory = vec![0; ROOM * BATCHES];
        let mut metas = [RecvMeta::default(); BATCHES];
        while !over.load(Ordering::Relaxed) {
            let mut chunks = memory.chunks_mut(ROOM);
            let mut slices: [_; BATCHES] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            match self
                .state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
            {
                Ok(batches) => {
                    let bytes: usize = metas[..batches].iter().map(|meta| meta.len).sum();
                    ensure!(
                        bytes.is_multiple_of(size),
                        "answers of another size than {size}"
                    );
                    counters
                        .done
                        .fetch_add((bytes / size) as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLIN)?
                }
                Err(error) => return Err(error).context("receiving answers"),
            }
        }
        Ok(())
    }

    /// Waits until the socket is ready, or a little while, so that the end is noticed.
    fn wait(&self, what: PollFlags) -> Result<()> {
        poll(&mut [PollFd::new(self.socket.as_fd(), what)], 50_u8)
            .context("waiting for the socket")?;
        Ok(())
    }
}
