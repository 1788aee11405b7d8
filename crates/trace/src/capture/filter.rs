//! Which packets the kernel hands over: a small program that it runs on each of them (classic BPF), and which does
//! not depend on the kind of link.

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
const IF_EQUAL: u16 = 0x15;
const IF_MORE: u16 = 0x25;
const IF_LESS: u16 = 0x35;
const IF_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;
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

/// As long the headers of IP and TCP are at most.
const HEADERS: u32 = 128;

/// What is to be seen.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    ports: Vec<u16>,
    all: bool,
    snap: u32,
}

impl Wanted {
    pub(super) fn nothing(snap: u32) -> Self {
        Self {
            ports: Vec::new(),
            all: false,
            snap,
        }
    }

    /// Whether that changes anything; so do the others.
    pub(super) fn admit(&mut self, port: u16) -> bool {
        if self.all || self.ports.contains(&port) {
            return false;
        }
        self.ports.push(port);
        self.all = self.ports.len() > PORTS;
        true
    }

    pub(super) fn admit_all(&mut self) -> bool {
        !std::mem::replace(&mut self.all, true)
    }

    pub(super) fn keep(&mut self, snap: u32) -> bool {
        std::mem::replace(&mut self.snap, snap) != snap
    }

    /// The program.
    pub(super) fn program(&self) -> Vec<SockFilter> {
        let mut program = Program::default();
        if self.all || !self.ports.is_empty() {
            // On the loopback every packet passes twice, on its way out and on its way in.
            program.put(LOAD_WORD, HARDWARE);
            program.check(IF_EQUAL, LOOPBACK, Go::On, Go::Skip(2));
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

    /// The last instructions drop the packet, and take it: of a segment of TCP that would be cut the headers alone.
    fn finish(self, snap: u32) -> Vec<SockFilter> {
        let end = self.0.len();
        let to = |at: usize, go: Go| match go {
            Go::On => 0,
            Go::Skip(count) => count,
            Go::Drop => end - at - 1,
            Go::Take => end - at,
        };
        let steps = self.0.iter().enumerate();
        let mut done: Vec<SockFilter> = steps
            .map(|(at, step)| match *step {
                Step::Do(code, value) => SockFilter::new(code, 0, 0, value),
                Step::Check(GO, _, go, _) => SockFilter::new(GO, 0, 0, to(at, go) as u32),
                Step::Check(code, value, yes, no) => {
                    SockFilter::new(code, to(at, yes) as u8, to(at, no) as u8, value)
                }
            })
            .collect();
        done.extend([
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(LOAD_LENGTH, 0, 0, 0),
            SockFilter::new(IF_MORE, 0, 7, snap),
            SockFilter::new(LOAD_WORD, 0, 0, PROTOCOL),
            SockFilter::new(IF_EQUAL, 0, 2, IPV6),
            SockFilter::new(LOAD_BYTE, 0, 0, 6),
            SockFilter::new(GO, 0, 0, 1),
            SockFilter::new(LOAD_BYTE, 0, 0, 9),
            SockFilter::new(IF_EQUAL, 0, 1, TCP),
            SockFilter::new(RETURN, 0, 0, HEADERS.min(snap)),
            SockFilter::new(RETURN, 0, 0, snap),
        ]);
        done
    }
}
