//! UDP: one socket that keeps a window of 64-byte datagrams in flight, sent one by one as devices do. Answers that
//! the server has sent in one run arrive in one (GRO), so that the load thread, which is one for all contenders, is
//! less often the limit.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

use super::{Counters, Watched, Window, watch};
use crate::process::Group;

const SIZE: usize = 64;
/// Eight digits in front say which datagram it is; digits have no capitals.
const LABEL: usize = 8;
/// On loopback an answer that takes longer than this does not come.
const PATIENCE: Duration = Duration::from_millis(100);

/// Keeps `size` datagrams in flight, to be answered in capitals if `upper`; with one datagram, client
/// and server share a CPU.
pub(crate) fn closed_loop(
    address: SocketAddr,
    size: usize,
    upper: bool,
    server: &Group,
    window: Window,
) -> Result<Watched> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a client")?;
    setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).context("SO_RCVBUF")?;
    socket.connect(address).context("connecting a client")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    if size > 1 {
        setsockopt(&socket, sockopt::UdpGroSegment, &true).context("UDP_GRO")?;
    }
    let (all, one) = (super::cpus()?, super::one_cpu()?);
    if size == 1 {
        server.pin(&one);
    }
    let counters = Counters::default();
    let watched = thread::scope(|scope| {
        let load = scope.spawn(|| {
            if size == 1 {
                super::pin(&one)?;
            }
            Flight::new(&socket, size, upper).run(&counters)
        });
        let watched = watch(&counters, server, window);
        counters.stop();
        load.join()
            .map_err(|_| anyhow!("the load thread panicked"))??;
        watched
    });
    server.pin(&all);
    let watched = watched?;
    ensure!(watched.done > 0, "no answer");
    Ok(watched)
}

/// A datagram of the window: its bytes now in flight, and since when.
struct Slot {
    bytes: [u8; SIZE],
    turn: u32,
    since: Instant,
}

struct Flight<'a> {
    socket: &'a UdpSocket,
    slots: Vec<Slot>,
    filling: u8,
    /// Each has room for a whole window, and for an answer that is too long.
    answers: Vec<Vec<u8>>,
    outgoing: MultiHeaders<SockaddrIn>,
    incoming: MultiHeaders<SockaddrIn>,
}

impl<'a> Flight<'a> {
    fn new(socket: &'a UdpSocket, size: usize, upper: bool) -> Self {
        let slot = |index| {
            let mut slot = Slot {
                bytes: [b'a'; SIZE],
                turn: 0,
                since: Instant::now(),
            };
            slot.relabel(index);
            slot
        };
        Self {
            socket,
            slots: (0..size).map(slot).collect(),
            filling: if upper { b'A' } else { b'a' },
            answers: vec![vec![0; size * SIZE + 1]; size],
            outgoing: MultiHeaders::preallocate(size, None),
            incoming: MultiHeaders::preallocate(size, None),
        }
    }

    fn run(&mut self, counters: &Counters) -> Result<()> {
        self.send(&(0..self.slots.len()).collect::<Vec<_>>())?;
        let mut looked = Instant::now();
        while !counters.stopped() {
            let answered = self.receive()?;
            counters
                .done
                .fetch_add(answered.len() as u64, Ordering::Relaxed);
            self.send(&answered)?;
            if looked.elapsed() > PATIENCE / 2 {
                looked = Instant::now();
                let late = self.late();
                counters
                    .lost
                    .fetch_add(late.len() as u64, Ordering::Relaxed);
                self.send(&late)?;
            }
        }
        Ok(())
    }

    fn late(&self) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.since.elapsed() > PATIENCE)
            .map(|(index, _)| index)
            .collect()
    }

    /// Sends the next datagram of each of these slots.
    fn send(&mut self, which: &[usize]) -> Result<()> {
        let now = Instant::now();
        for &index in which {
            self.slots[index].turn += 1;
            self.slots[index].since = now;
            self.slots[index].relabel(index);
        }
        let mut rest = which;
        while !rest.is_empty() {
            let slices: Vec<_> = rest
                .iter()
                .map(|&index| [IoSlice::new(&self.slots[index].bytes)])
                .collect();
            let to: Vec<Option<SockaddrIn>> = vec![None; rest.len()];
            let flags = MsgFlags::empty();
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.outgoing,
                &slices,
                to,
                [],
                flags,
            );
            let sent = sent.context("sending datagrams")?.count();
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// Waits for at least one answer; gives the slots that were answered, none if nothing came.
    fn receive(&mut self) -> Result<Vec<usize>> {
        let lengths: Vec<usize> = {
            let slices = self.answers.iter_mut();
            let mut slices: Vec<_> = slices.map(|answer| [IoSliceMut::new(answer)]).collect();
            let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_WAITFORONE);
            match recvmmsg(socket, &mut self.incoming, &mut slices, flags, None) {
                Ok(got) => got.map(|message| message.bytes).collect(),
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Vec::new()),
                Err(error) => return Err(error).context("receiving datagrams"),
            }
        };
        let mut answered = Vec::with_capacity(self.slots.len());
        for (run, length) in self.answers.iter().zip(lengths) {
            ensure!(length > 0, "an empty answer");
            // All answers have one size, so a run of them needs no mark where the next one begins.
            for answer in run[..length].chunks(SIZE) {
                let right = answer.len() == SIZE && answer[LABEL] == self.filling;
                ensure!(right, "a wrong answer: {}", answer.escape_ascii());
                // Of a late answer, counted as lost before, the label no longer fits.
                let index = Slot::index(answer);
                let fits = |slot: &Slot| slot.bytes[..LABEL] == answer[..LABEL];
                answered.extend(self.slots.get(index).is_some_and(fits).then_some(index));
            }
        }
        Ok(answered)
    }
}

impl Slot {
    /// The slot that a label names with its last three digits.
    fn index(datagram: &[u8]) -> usize {
        let digits = &datagram[LABEL - 3..LABEL];
        let value = |index: usize, digit: &u8| index * 10 + usize::from(digit.wrapping_sub(b'0'));
        digits.iter().fold(0, value)
    }

    fn relabel(&mut self, index: usize) {
        let mut rest = self.turn % 100_000 * 1000 + index as u32;
        for digit in self.bytes[..LABEL].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}
