//! The door between a UDP socket that is shared and QUIC behind it: packets come in through a queue, and leave by
//! the socket itself.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use wire::quic::from_version_2;

use crate::lookout::{Lookout, tell_run};
use crate::protocol::quic::{Room, in_version};

/// Bytes that may wait for QUIC. What comes when they do is lost and sent again, as on any full path.
const ROOM: usize = 4 * 1024 * 1024;

/// A packet counts for more than its bytes.
const OVERHEAD: usize = 64;

/// Where QUIC gets its packets.
pub(in crate::port) struct Door {
    socket: Arc<UdpSocket>,
    state: Arc<UdpSocketState>,
    local: SocketAddr,
    queue: Mutex<Queue>,
    /// Who takes them out of the queue.
    reader: AtomicWaker,
    /// Who puts them in, and waits for the end.
    driver: AtomicWaker,
    knock: Notify,
    stage: AtomicU8,
    lost: AtomicU64,
    /// Who is told of what leaves; of what comes the socket tells.
    pub(super) lookout: Option<Arc<dyn Lookout>>,
}

#[derive(Default)]
struct Queue {
    runs: VecDeque<(RecvMeta, Bytes)>,
    bytes: usize,
}

/// Nobody has spoken QUIC yet.
const QUIET: u8 = 0;
/// Somebody has.
const OPEN: u8 = 1;
/// Nobody takes packets any more.
const SHUT: u8 = 2;

impl Door {
    pub(super) fn new(
        socket: Arc<UdpSocket>,
        state: Arc<UdpSocketState>,
        local: SocketAddr,
    ) -> Self {
        Self {
            socket,
            state,
            local,
            queue: Mutex::default(),
            reader: AtomicWaker::new(),
            driver: AtomicWaker::new(),
            knock: Notify::new(),
            stage: AtomicU8::new(QUIET),
            lost: AtomicU64::new(0),
            lookout: None,
        }
    }

    /// Returns when the first packet has come. Until then QUIC costs nothing.
    pub(in crate::port) async fn knocked(&self) {
        self.knock.notified().await;
        // What nobody asked for before: QUIC's congestion control wants to know of marked packets. A socket that
        // cannot tell works without.
        let socket = SockRef::from(&self.socket);
        let _ = socket.set_recv_tos_v4(true);
        let _ = socket.set_recv_tclass_v6(true);
    }

    /// Puts a run of packets from one peer into the queue; [`ring`](Self::ring) tells of it.
    pub(super) fn push(&self, meta: RecvMeta, packets: Bytes) {
        let mut queue = self.lock();
        let size = packets.len() + OVERHEAD;
        if queue.bytes + size > ROOM || self.stage.load(Relaxed) == SHUT {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        queue.bytes += size;
        queue.runs.push_back((meta, packets));
    }

    /// There is something in the queue.
    pub(super) fn ring(&self) {
        if self.stage.load(Relaxed) == QUIET {
            self.stage.store(OPEN, Relaxed);
            self.knock.notify_one();
        }
        self.reader.wake();
    }

    /// Whether packets are wanted: the socket must be read. Who asks is woken when that is over.
    pub(super) fn is_open(&self, cx: &Context<'_>) -> bool {
        self.driver.register(cx.waker());
        self.stage.load(Relaxed) == OPEN
    }

    /// No more packets are wanted. Gives how many runs of them found the queue full.
    pub(in crate::port) fn shut(&self) -> u64 {
        let mut queue = self.lock();
        self.stage.store(SHUT, Relaxed);
        *queue = Queue::default();
        drop(queue);
        self.driver.wake();
        self.lost.swap(0, Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here can be left half done by a panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes as many packets of one run as have room in `slot`. One that is larger than we have said we take is none.
    fn take(&mut self, slot: &mut [u8], meta: &mut RecvMeta) -> bool {
        while let Some((first, packets)) = self.runs.front_mut() {
            let size = first.stride.min(packets.len());
            let most = (slot.len() / size.max(1)).max(1) * size;
            let taken = packets.split_to(most.min(packets.len()));
            *meta = *first;
            (meta.len, meta.stride) = (taken.len(), size);
            self.bytes -= taken.len();
            if !packets.has_remaining() {
                self.bytes -= OVERHEAD;
                self.runs.pop_front();
            }
            if let Some(slot) = slot.get_mut(..taken.len()).filter(|slot| !slot.is_empty()) {
                slot.copy_from_slice(&taken);
                // One look at the first byte, after the handshake.
                slot.chunks_mut(size.max(1)).for_each(from_version_2);
                return true;
            }
        }
        false
    }
}

impl AsyncUdpSocket for Door {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Room::in_socket(self.socket.clone())
    }

    /// What the system refuses is lost on the way, and QUIC's to send again.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, || {
            in_version(transmit, |transmit| {
                self.state.send((&*self.socket).into(), transmit)?;
                let ip = transmit.src_ip.unwrap_or_else(|| self.local.ip());
                let ends = (SocketAddr::new(ip, self.local.port()), transmit.destination);
                let run = transmit.contents;
                let size = transmit.segment_size.unwrap_or(run.len());
                tell_run(self.lookout.as_ref(), ends, true, run, size);
                Ok(())
            })
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        slots: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Before the look, so that nothing comes unseen after it.
        self.reader.register(cx.waker());
        let mut queue = self.lock();
        let mut filled = 0;
        for (slot, meta) in slots.iter_mut().zip(metas) {
            if !queue.take(slot, meta) {
                break;
            }
            filled += 1;
        }
        match filled {
            0 => Poll::Pending,
            filled => Poll::Ready(Ok(filled)),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// What the system has joined stays joined.
    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    /// The socket lets the system fragment what is larger than a path is known to take, for plain datagrams. What
    /// fits still goes out with "don't fragment" set (ip(7), `IP_PMTUDISC_WANT`), so that a packet that probes a
    /// path is lost where it does not fit, as it must be (RFC 9000, section 14.3).
    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
