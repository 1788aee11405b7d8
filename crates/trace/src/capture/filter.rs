//! Which packets the kernel hands over: a small program that it runs on each of them (classic BPF), and which does
//! not depend on the kind of link.

use std::net::SocketAddr;

use socket2::SockFilter;

/// More ports are not asked for one by one: a program has a limit, and its jumps a shorter one.
const PORTS: usize = 48;

// Instructions, as linux/filter.h and linux/bpf_common.h have them.
const LOAD_WORD: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND: u16 = 0x48;
const LOAD_BYTE_BEHIND: u16 = 0x50;
const HEADER_LENGTH: u16 = 0xb1;
const SET_INDEX: u16 = 0x01;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const ADD_INDEX: u16 = 0x0c;
const IF_EQUAL: u16 = 0x15;
const IF_MORE: u16 = 0x25;
const IF_LESS: u16 = 0x35;
const IF_BITS: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;
const RETURN_IT: u16 = 0x16;
const GO: u16 = 0x05;

// Beside the packet: SKF_AD_OFF and what is there.
const PROTOCOL: u32 = 0xffff_f000;
const KIND: u32 = PROTOCOL + 4;
const HARDWARE: u32 = PROTOCOL + 28;

const OUTGOING: u32 = 4;
const LOOPBACK: u32 = 772;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;

/// How much of a packet is kept that the program let through as more than its headers.
pub(super) fn kept(packet: &[u8], snap: u32) -> usize {
    let protocol = match packet.first().map(|first| first >> 4) {
        Some(6) => packet.get(6),
        _ => packet.get(9),
    };
    match protocol.copied().map(u32::from) {
        // A segment that is to be cut is one of which the headers are kept.
        Some(TCP) => packet.len(),
        _ => packet.len().min(snap as usize),
    }
}

/// What is to be seen.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    ports: Vec<u16>,
    all: bool,
    /// Whether anything may pass another interface than the loopback.
    far: bool,
    snap: u32,
}

impl Wanted {
    pub(super) fn nothing(snap: u32) -> Self {
        Self {
            ports: Vec::new(),
            all: false,
            far: false,
            snap,
        }
    }

    /// Whether that changes anything; so do the others.
    pub(super) fn admit(&mut self, end: SocketAddr) -> bool {
        let farther = !end.ip().to_canonical().is_loopback() && self.go_far();
        if self.all || self.ports.contains(&end.port()) {
            return farther;
        }
        self.ports.push(end.port());
        self.all = self.ports.len() > PORTS;
        true
    }

    pub(super) fn admit_all(&mut self) -> bool {
        let farther = self.go_far();
        !std::mem::replace(&mut self.all, true) || farther
    }

    fn go_far(&mut self) -> bool {
        !std::mem::replace(&mut self.far, true)
    }

    /// Whether anything may pass another interface than the loopback.
    pub(super) fn is_far(&self) -> bool {
        self.far
    }

    pub(super) fn snap(&self) -> u32 {
        self.snap
    }

    pub(super) fn keep(&mut self, snap: u32) -> bool {
        std::mem::replace(&mut self.snap, snap) != snap
    }

    /// The program.
    pub(super) fn program(&self) -> Vec<SockFilter> {
        let instructions = self.instructions().into_iter();
        instructions
            .map(|(code, yes, no, value)| SockFilter::new(code, yes, no, value))
            .collect()
    }

    fn instructions(&self) -> Vec<Instruction> {
        let mut program = Program::default();
        if self.all || !self.ports.is_empty() {
            // On the loopback every packet passes twice, on its way out and on its way in.
            program.put(LOAD_WORD, HARDWARE);
            let elsewhere = if self.far { Go::Skip(2) } else { Go::Drop };
            program.check(IF_EQUAL, LOOPBACK, Go::On, elsewhere);
            program.put(LOAD_WORD, KIND);
            program.check(IF_EQUAL, OUTGOING, Go::Drop, Go::On);
            program.put(LOAD_WORD, PROTOCOL);
            let version_4 = self.version_4();
            let count = version_4.0.len();
            program.check(IF_EQUAL, IPV4, Go::On, Go::Skip(count));
            program.0.extend(version_4.0);
            program.put(LOAD_WORD, PROTOCOL);
            program.check(IF_EQUAL, IPV6, Go::On, Go::Drop);
            program.0.extend(self.version_6().0);
        }
        program.finish(self.snap)
    }

    fn version_4(&self) -> Program {
        let mut program = Program::default();
        program.put(LOAD_BYTE, 9);
        // An error of ICMP is looked at by whoever reads it: the ports are those of what it quotes.
        program.check(IF_EQUAL, ICMP, Go::Take, Go::On);
        program.check(IF_EQUAL, TCP, Go::Skip(1), Go::On);
        program.check(IF_EQUAL, UDP, Go::On, Go::Drop);
        program.put(LOAD_HALF, 6);
        program.check(IF_BITS, 0x1fff, Go::Drop, Go::On);
        program.put(HEADER_LENGTH, 0);
        self.behind(&mut program);
        program
    }

    fn version_6(&self) -> Program {
        let mut program = Program::default();
        program.put(SET_INDEX, 40);
        program.put(LOAD_BYTE, 6);
        program.check(IF_EQUAL, TCP, Go::Skip(4), Go::On);
        program.check(IF_EQUAL, UDP, Go::Skip(3), Go::On);
        program.check(IF_EQUAL, ICMPV6, Go::On, Go::Drop);
        // From 128 on it is no error (RFC 4443, section 2.1).
        program.put(LOAD_BYTE_BEHIND, 0);
        program.check(IF_LESS, 128, Go::Drop, Go::Take);
        self.behind(&mut program);
        program
    }

    /// The ports, which follow the header of IP.
    fn behind(&self, program: &mut Program) {
        if self.all {
            program.jump(Go::Take);
            return;
        }
        for at in [0, 2] {
            program.put(LOAD_HALF_BEHIND, at);
            for port in &self.ports {
                program.check(IF_EQUAL, (*port).into(), Go::Take, Go::On);
            }
        }
        program.jump(Go::Drop);
    }
}

/// What to do, how many instructions are passed over then if a check holds and if it does not, and a value.
type Instruction = (u16, u8, u8, u32);

/// Where a check leads.
#[derive(Clone, Copy, Debug)]
enum Go {
    On,
    /// Over so many instructions.
    Skip(usize),
    Take,
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Do(u16, u32),
    Check(u16, u32, Go, Go),
}

/// Instructions whose jumps to the end are not known yet.
#[derive(Clone, Debug, Default)]
struct Program(Vec<Step>);

impl Program {
    fn put(&mut self, code: u16, value: u32) {
        self.0.push(Step::Do(code, value));
    }

    fn check(&mut self, code: u16, value: u32, yes: Go, no: Go) {
        self.0.push(Step::Check(code, value, yes, no));
    }

    fn jump(&mut self, to: Go) {
        // A check that goes the same way either way: jumps of that kind reach further.
        self.0.push(Step::Check(GO, 0, to, to));
    }

    /// The last instructions drop the packet, and take it: of a segment of TCP that would be cut the headers alone. Its data
    /// lies in memory that the kernel has not touched for it, and waiting for that would make the connection slower.
    fn finish(self, snap: u32) -> Vec<Instruction> {
        let end = self.0.len();
        let to = |at: usize, go: Go| match go {
            Go::On => 0,
            Go::Skip(count) => count,
            Go::Drop => end - at - 1,
            Go::Take => end - at,
        };
        let steps = self.0.iter().enumerate();
        let mut done: Vec<Instruction> = steps
            .map(|(at, step)| match *step {
                Step::Do(code, value) => (code, 0, 0, value),
                Step::Check(GO, _, go, _) => (GO, 0, 0, to(at, go) as u32),
                Step::Check(code, value, yes, no) => {
                    (code, to(at, yes) as u8, to(at, no) as u8, value)
                }
            })
            .collect();
        done.extend([
            (RETURN, 0, 0, 0),
            (LOAD_LENGTH, 0, 0, 0),
            (IF_MORE, 0, 14, snap),
            (LOAD_WORD, 0, 0, PROTOCOL),
            (IF_EQUAL, 0, 3, IPV6),
            (SET_INDEX, 0, 0, 40),
            (LOAD_BYTE, 0, 0, 6),
            (GO, 0, 0, 2),
            (HEADER_LENGTH, 0, 0, 0),
            (LOAD_BYTE, 0, 0, 9),
            (IF_EQUAL, 0, 6, TCP),
            // The length of its header stands in the upper half of its byte, in units of 4 (RFC 9293, section 3.1).
            (LOAD_BYTE_BEHIND, 0, 0, 12),
            (AND, 0, 0, 0xf0),
            (SHIFT_RIGHT, 0, 0, 2),
            (ADD_INDEX, 0, 0, 0),
            (IF_MORE, 1, 0, snap),
            (RETURN_IT, 0, 0, 0),
            (RETURN, 0, 0, snap),
        ]);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// An address on the loopback.
    fn here(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What the kernel does with a program: how many bytes of a packet are kept that the loopback carries.
    fn kept(program: &[Instruction], packet: &[u8], protocol: u32, length: u32) -> u32 {
        kept_of(program, packet, (protocol, LOOPBACK, 0), length)
    }

    /// The same for a packet of any kind of link and direction.
    fn kept_of(
        program: &[Instruction],
        packet: &[u8],
        (protocol, hardware, kind): (u32, u32, u32),
        length: u32,
    ) -> u32 {
        let byte = |at: usize| u32::from(packet[at]);
        let (mut a, mut x, mut at) = (0, 0, 0);
        loop {
            let (code, yes, no, k) = program[at];
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { yes } else { no });
            match code {
                LOAD_WORD if k == PROTOCOL => a = protocol,
                LOAD_WORD if k == KIND => a = kind,
                LOAD_WORD if k == HARDWARE => a = hardware,
                LOAD_LENGTH => a = length,
                LOAD_BYTE => a = byte(k as usize),
                LOAD_HALF => a = byte(k as usize) << 8 | byte(k as usize + 1),
                LOAD_BYTE_BEHIND => a = byte(x + k as usize),
                LOAD_HALF_BEHIND => a = byte(x + k as usize) << 8 | byte(x + k as usize + 1),
                HEADER_LENGTH => x = (byte(k as usize) as usize & 15) * 4,
                SET_INDEX => x = k as usize,
                AND => a &= k,
                SHIFT_RIGHT => a >>= k,
                ADD_INDEX => a += x as u32,
                RETURN_IT => return a,
                IF_EQUAL => jump(a == k),
                IF_MORE => jump(a > k),
                IF_LESS => jump(a >= k),
                IF_BITS => jump(a & k != 0),
                GO => at += k as usize,
                RETURN => return k,
                other => panic!("{other:#x}"),
            }
        }
    }

    fn packet(version: u8, protocol: u8, port: u16) -> Vec<u8> {
        let mut packet = vec![0; 60];
        let header = if version == 4 { 20 } else { 40 };
        packet[0] = version << 4 | 5;
        packet[if version == 4 { 9 } else { 6 }] = protocol;
        packet[header + 2..header + 4].copy_from_slice(&port.to_be_bytes());
        packet[header + 12] = 8 << 4;
        packet
    }

    #[test]
    fn of_long_segments_the_headers_are_kept_and_of_everything_else_what_was_asked_for() {
        let mut wanted = Wanted::nothing(2048);
        wanted.admit(here(3000));
        let program = wanted.instructions();
        for (version, ethertype) in [(4, IPV4), (6, IPV6)] {
            let kept = |protocol: u32, port, length| {
                let packet = packet(version, protocol as u8, port);
                kept(&program, &packet, ethertype, length)
            };
            assert_eq!(kept(TCP, 3000, 2048), 2048, "all of it");
            let headers = if version == 4 { 20 + 32 } else { 40 + 32 };
            assert_eq!(kept(TCP, 3000, 2049), headers);
            assert_eq!(kept(TCP, 3000, 65_536), headers);
            assert_eq!(kept(UDP, 3000, 2049), 2048, "a datagram is read in part");
            assert_eq!(kept(TCP, 3001, 2049), 0);
            assert_eq!(kept(UDP, 3001, 60), 0);
        }
        wanted.keep(50);
        let least = wanted.instructions();
        assert_eq!(kept(&least, &packet(4, 6, 3000), IPV4, 2049), 50);
        let nobody = packet(4, 17, 3000);
        assert_eq!(
            kept(&Wanted::nothing(9).instructions(), &nobody, IPV4, 60),
            0
        );
    }

    #[test]
    fn as_many_ports_as_there_can_be_are_all_seen() {
        let mut wanted = Wanted::nothing(2048);
        for port in 1..=PORTS as u16 {
            wanted.admit(here(port));
        }
        let program = wanted.instructions();
        for port in 1..=PORTS as u16 {
            assert_eq!(kept(&program, &packet(4, 6, port), IPV4, 60), 2048);
            assert_eq!(kept(&program, &packet(6, 6, port), IPV6, 9999), 40 + 32);
        }
        assert_eq!(kept(&program, &packet(6, 17, 999), IPV6, 60), 0);
    }

    #[test]
    fn what_other_interfaces_carry_is_seen_when_something_of_it_is_wanted() {
        const ETHERNET: u32 = 1;
        let packet = packet(4, 6, 3000);
        let seen = |wanted: &Wanted| {
            let program = wanted.instructions();
            let links = [
                (LOOPBACK, 0),
                (LOOPBACK, OUTGOING),
                (ETHERNET, 0),
                (ETHERNET, OUTGOING),
            ];
            links.map(|(hardware, kind)| kept_of(&program, &packet, (IPV4, hardware, kind), 60) > 0)
        };
        let mut wanted = Wanted::nothing(2048);
        assert!(wanted.admit(here(3000)));
        assert_eq!(seen(&wanted), [true, false, false, false]);
        assert!(!wanted.admit("[::1]:3000".parse().unwrap()), "nothing new");
        assert!(!wanted.admit("[::ffff:127.0.0.9]:3000".parse().unwrap()));
        assert!(
            wanted.admit("0.0.0.0:3000".parse().unwrap()),
            "from anywhere"
        );
        assert_eq!(seen(&wanted), [true, false, true, true]);
        assert!(!wanted.admit(here(3000)), "it has gone far before");
        let mut wanted = Wanted::nothing(2048);
        assert!(wanted.admit_all());
        assert_eq!(seen(&wanted), [true, false, true, true]);
    }
}
