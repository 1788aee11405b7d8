//! Frames that the kernel writes and we read, in memory that both have (packet(7), PACKET_RX_RING): a packet costs no
//! system call, and what it takes of the sender's memory is not held until it is read.
//!
//! This is the one place with unsafe code: the rest of the crate sees packets through [`Ring::look`].
#![allow(
    unsafe_code,
    reason = "what the kernel writes while we look is behind raw pointers"
)]

use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{sockaddr_ll, tpacket_req, tpacket2_hdr};
use memmap2::{MmapOptions, MmapRaw};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetStruct;
use socket2::Socket;

/// The kernel takes memory in pieces of this size, each without a gap: it has many of them, also after a long time.
const BLOCK: usize = 64 * 1024;
const BLOCKS: usize = 256;

/// One packet, behind what the kernel says of it (TPACKET2_HDRLEN, aligned, and 16 bytes). There is room for all headers
/// and for a short message, so that very many fit: what is longer stands in the queue of the socket.
const FRAME: usize = 512;
const ROOM: usize = FRAME - (libc::TPACKET2_HDRLEN.next_multiple_of(16) + 16);
const _: () = assert!(ROOM >= HEADERS && FRAME.is_multiple_of(64));

/// As long the headers of IP and TCP are at most.
const HEADERS: usize = 128;

const IN_A_BLOCK: usize = BLOCK / FRAME;

/// As many packets may wait: a third of a second of the fastest transfer over the loopback.
pub(super) const FRAMES: usize = BLOCKS * IN_A_BLOCK;

/// Where the sender's address stands, behind the header.
const FROM: usize = size_of::<tpacket2_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

#[derive(Clone, Copy, Debug)]
struct Version;
#[derive(Clone, Copy, Debug)]
struct Size;
#[derive(Clone, Copy, Debug)]
struct QueueLonger;

nix::setsockopt_impl!(
    Version,
    libc::SOL_PACKET,
    libc::PACKET_VERSION,
    libc::c_int,
    SetStruct<'_, libc::c_int>
);
nix::setsockopt_impl!(
    Size,
    libc::SOL_PACKET,
    libc::PACKET_RX_RING,
    tpacket_req,
    SetStruct<'_, tpacket_req>
);
nix::setsockopt_impl!(
    QueueLonger,
    libc::SOL_PACKET,
    libc::PACKET_COPY_THRESH,
    libc::c_int,
    SetStruct<'_, libc::c_int>
);

/// The frames of a packet socket. It stays what it is when the socket is closed.
#[derive(Debug)]
pub(super) struct Ring {
    memory: MmapRaw,
    /// The frame that is looked at next, or now.
    at: usize,
    /// Whether it is ours: the kernel writes nothing into it until it is given back.
    is_ours: bool,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) data: &'a [u8],
    pub(super) outbound: bool,
    /// More was to be kept of it than there is room for: that stands in the queue of the socket.
    pub(super) is_queued: bool,
}

impl Ring {
    /// Packets of `socket` come here from now on, and what waits in its queue is thrown away.
    ///
    /// # Errors
    /// When the kernel has no such ring, or no memory for it. Then the socket is of no use any more.
    pub(super) fn of(socket: &Socket) -> io::Result<Self> {
        // With version 3 a packet waits for its block to be full, or for a clock that ticks every few milliseconds.
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        setsockopt(socket, Version, &version)?;
        setsockopt(socket, QueueLonger, &1)?;
        let size = tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: FRAMES as u32,
        };
        setsockopt(socket, Size, &size)?;
        let memory = MmapOptions::new()
            .len(BLOCKS * BLOCK)
            .map_raw(socket.as_raw_fd())?;
        Ok(Self {
            memory,
            at: 0,
            is_ours: false,
        })
    }

    /// The next packet, if one is there. It is given back with the next look, and so is the last one before a wait:
    /// the kernel says that something is there until then.
    pub(super) fn look(&mut self) -> Option<Frame<'_>> {
        if self.is_ours {
            // What was read of the frame was read before the kernel writes it again.
            self.status()
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = (self.at + 1) % FRAMES;
            self.is_ours = false;
        }
        // And what the kernel wrote, it wrote before it said so.
        let status = self.status().load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.is_ours = true;
        Some(read(status, self.frame()))
    }

    /// Where the frame begins: within the memory, and on a boundary that suits its header.
    fn start(&self) -> *mut u8 {
        let offset = self.at / IN_A_BLOCK * BLOCK + self.at % IN_A_BLOCK * FRAME;
        self.memory.as_mut_ptr().wrapping_add(offset)
    }

    /// Whose the frame is.
    fn status(&self) -> &AtomicU32 {
        const { assert!(offset_of!(tpacket2_hdr, tp_status) == 0) };
        // SAFETY: `start` is within memory that stays mapped as long as `self` lives, and aligned, because blocks begin
        // with a page and frames are multiples of 64 bytes long. Everybody writes this word at once: the kernel as its
        // header says (linux/if_packet.h), and we through atomics alone; `frame` is not held while it is written.
        unsafe { AtomicU32::from_ptr(self.start().cast()) }
    }

    /// All of the frame, which must be ours.
    fn frame(&self) -> &[u8] {
        debug_assert!(self.is_ours);
        // SAFETY: `FRAME` bytes from `start` are within the memory, which stays mapped as long as `self` is borrowed.
        // The kernel writes nothing into a frame from when it said that it is ours until it is given back, and that
        // takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start(), FRAME) }
    }
}

/// What stands in a frame.
fn read(status: u32, frame: &[u8]) -> Frame<'_> {
    let half = |at: usize| usize::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
    let word =
        |at: usize| u32::from_ne_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
    let start = half(offset_of!(tpacket2_hdr, tp_net));
    let length = word(offset_of!(tpacket2_hdr, tp_snaplen)) as usize;
    let seconds = u64::from(word(offset_of!(tpacket2_hdr, tp_sec)));
    let rest = u64::from(word(offset_of!(tpacket2_hdr, tp_nsec)));
    let behind = frame.get(start..).unwrap_or_default();
    Frame {
        time: seconds * 1_000_000_000 + rest,
        data: &behind[..length.min(behind.len())],
        outbound: frame[FROM + offset_of!(sockaddr_ll, sll_pkttype)] == libc::PACKET_OUTGOING,
        is_queued: status & libc::TP_STATUS_COPY != 0,
    }
}
