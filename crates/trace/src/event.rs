//! What happened: one event for each packet, with what it means.

use wire::packet::{Flags, Unreachable};

/// One of the two ends of a flow. A is the one that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client, where there is one.
    A,
    /// The server.
    B,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `A` or `B`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// Where the packets were captured, seen from the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// At one end: what it sends and receives is seen as it does.
    At(Side),
    /// At both: on the loopback, or so near that it makes no difference.
    Both,
    /// Somewhere between, or nobody knows.
    Middle,
}

impl Vantage {
    /// Whether what reaches `side` is seen at the moment it does.
    #[must_use]
    pub fn is_near(self, side: Side) -> bool {
        match self {
            Self::At(near) => near == side,
            Self::Both => true,
            Self::Middle => false,
        }
    }
}

/// How much is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Every packet, as the kernel sees it pass.
    Packets,
    /// Every packet of a network of our own, at both ends.
    Lab,
    /// What our own sockets tell: bytes, and what follows from them.
    Socket,
    /// Every packet that somebody else has seen.
    #[default]
    File,
}

impl Sight {
    /// `packets`, `lab`, `socket` or `file`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Lab => "lab",
            Self::Socket => "socket",
            Self::File => "file",
        }
    }
}

/// The state of an end of a TCP connection (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "RFC 9293 describes them")]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl State {
    /// As the RFC writes it: `FIN-WAIT-1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        }
    }
}

/// How a state is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sure {
    /// The segments that were seen prove it.
    Seen,
    /// It follows if the segment arrives.
    Expected,
    /// The kernel of that end says so.
    Kernel,
}

impl Sure {
    /// `seen`, `expected` or `kernel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Expected => "expected",
            Self::Kernel => "kernel",
        }
    }
}

/// The state of one end after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateAt {
    /// The state.
    pub state: State,
    /// How it is known.
    pub sure: Sure,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It reached the other end.
    Arrived,
    /// It was sent again before any answer came: it was lost, or its answer was.
    Unanswered,
    /// It never reached the other end: that was seen.
    Lost,
    /// Nothing tells.
    Unknown,
}

impl Fate {
    /// `arrived`, `unanswered`, `lost` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Unanswered => "unanswered",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

impl Fate {
    /// Whether it did not get through, as far as one knows.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        matches!(self, Self::Unanswered | Self::Lost)
    }
}

/// Why a segment was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// Duplicate ACKs told of the loss (RFC 5681, section 3.2; RFC 6675).
    Fast,
    /// The timer ran out (RFC 6298).
    Timeout,
    /// A tail-loss probe (RFC 8985, section 7).
    Probe,
    /// The first SYN was not answered.
    Syn,
    /// The SYN-ACK was not answered.
    SynAck,
    /// The FIN was not answered.
    Fin,
    /// It had been acknowledged already.
    Spurious,
}

impl How {
    /// `fast`, `syn-ack` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Timeout => "timeout",
            Self::Probe => "probe",
            Self::Syn => "syn",
            Self::SynAck => "syn-ack",
            Self::Fin => "fin",
            Self::Spurious => "spurious",
        }
    }
}

/// What is worth saying about a segment. Times are in nanoseconds, packets are named by their number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Note {
    /// Its bytes were sent before.
    Retransmission {
        /// Which packet it repeats, if that one was seen.
        of: Option<u64>,
        /// How long after that one, or after the packet that showed the gap.
        after: u64,
        /// Why.
        how: How,
    },
    /// The network delivered a packet twice.
    Duplicate {
        /// Which one.
        of: u64,
    },
    /// It was sent before others that came earlier.
    OutOfOrder,
    /// Bytes before it are missing here.
    Gap {
        /// How many.
        bytes: u64,
    },
    /// An ACK that says the same again, while data is on the way (RFC 5681, section 2).
    DuplicateAck {
        /// How many times so far.
        count: u32,
        /// The first that said so.
        of: u64,
    },
    /// It tells that something arrived twice (RFC 2883).
    DuplicateSack,
    /// Its sender can take no more.
    ZeroWindow,
    /// It fills what the receiver said it can take.
    WindowFull,
    /// Its sender can take more again.
    WindowUpdate,
    /// It asks whether there is room again.
    ZeroWindowProbe,
    /// It answers that.
    ZeroWindowProbeAck,
    /// It asks whether the other end is still there.
    KeepAlive,
    /// It answers that.
    KeepAliveAck,
    /// Both ends began at once (RFC 9293, figure 7).
    SimultaneousOpen,
    /// Both ends closed at once (RFC 9293, figure 12).
    SimultaneousClose,
    /// Nobody listens there.
    Refused,
    /// It was changed on the way, and its receiver has thrown it away.
    Damaged,
    /// It acknowledges bytes that were not seen here.
    AckUnseen,
    /// It had come a while before our own program read it.
    ReadLate {
        /// How long before.
        after: u64,
    },
    /// The connection stands.
    Connected {
        /// The round trip of the handshake.
        rtt: u64,
    },
    /// It acknowledges data. Delayed ACKs are part of it, so it is no pure round trip.
    Rtt {
        /// How long it took.
        time: u64,
        /// The packet that is acknowledged.
        of: u64,
    },
}

/// A segment of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// The control bits.
    pub flags: Flags,
    /// The sequence number as it was sent.
    pub seq_raw: u32,
    /// The acknowledgment number as it was sent.
    pub ack_raw: u32,
    /// Counted from the SYN, which is 0.
    pub seq: i64,
    /// Counted from the other end's SYN; 0 without the ACK bit.
    pub ack: i64,
    /// Bytes of data.
    pub len: u32,
    /// How many bytes the sender is ready to take, scaled if both ends agreed on that.
    pub window: u32,
    /// The longest segment that its sender takes; of a SYN.
    pub mss: Option<u16>,
    /// The bits that windows are shifted by; of a SYN.
    pub scale: Option<u8>,
    /// Selective acknowledgments are understood; of a SYN.
    pub sack_permitted: bool,
    /// The sender's clock, and the receiver's as it was last heard.
    pub timestamps: Option<(u32, u32)>,
    /// What has come beyond the acknowledgment number: first byte, and the one after the last.
    pub sack: Vec<(i64, i64)>,
}

impl Tcp {
    /// The number after its last byte; SYN and FIN count as one.
    #[must_use]
    pub fn end(&self) -> i64 {
        let counted = [Flags::SYN, Flags::FIN];
        let bits = counted.iter().filter(|flag| self.flags.has(**flag)).count();
        self.seq + i64::from(self.len) + bits as i64
    }

    /// Nothing but an acknowledgment.
    #[must_use]
    pub fn is_pure_ack(&self) -> bool {
        self.flags.has(Flags::ACK) && self.end() == self.seq && !self.flags.has(Flags::RST)
    }
}

/// What a packet was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A segment of TCP.
    Tcp(Tcp),
    /// A datagram.
    Datagram {
        /// Bytes of data.
        len: u32,
        /// Its packets, if it is one of QUIC: `Initial 0 + Handshake 0`.
        packets: Option<Box<str>>,
    },
    /// Bytes of a stream without its packets.
    Bytes {
        /// How many.
        len: u32,
    },
    /// An error that answers a packet.
    Icmp(Unreachable),
    /// A packet that nobody saw, and that must have been there: `SYN`, `FIN`.
    Inferred(&'static str),
    /// Bytes that the kernel has counted, and that nobody saw.
    Counted {
        /// How many.
        len: u32,
    },
}

/// A step of an upper layer that is complete with this packet: `TLS`, `ClientHello (to localhost …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The protocol.
    pub layer: &'static str,
    /// What is said.
    pub text: String,
}

/// One packet and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the file, from 1.
    pub frame: u64,
    /// Nanoseconds since the first packet of the file.
    pub time: i64,
    /// When our own program has read it, counted like `time`, which then is when the kernel says that it came.
    pub read: Option<i64>,
    /// Who sent it.
    pub from: Side,
    /// What became of it.
    pub fate: Fate,
    /// When it reached the other end, where that was seen; counted like `time`, which then is when it was sent.
    pub arrived: Option<i64>,
    /// What it was.
    pub kind: Kind,
    /// IPv4's identification; IPv6's only in fragments.
    pub id: Option<u32>,
    /// The states of both ends afterwards; only of TCP.
    pub states: Option<[StateAt; 2]>,
    /// What is worth saying about it.
    pub notes: Vec<Note>,
    /// What upper layers say with it.
    pub steps: Vec<Step>,
    /// All of its data, if that is a short text.
    pub text: Option<Box<str>>,
}

impl Event {
    /// The segment, if it is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&Tcp> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> u32 {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.len,
            Kind::Datagram { len, .. } | Kind::Bytes { len } | Kind::Counted { len } => *len,
            Kind::Icmp(_) | Kind::Inferred(_) => 0,
        }
    }

    /// Whether nobody saw it.
    #[must_use]
    pub const fn is_inferred(&self) -> bool {
        matches!(self.kind, Kind::Inferred(_) | Kind::Counted { .. })
    }

    /// Whether it carries no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
