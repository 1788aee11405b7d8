//! What is told of connections whose packets nobody sees: by our own sockets, and by the kernel about all of them.

use std::net::SocketAddr;

use wire::packet::{Body, Packet, RAW};

use super::{Live, original};
use crate::course::{Course, END, Row, Said};
use crate::diagram::names;
use crate::event::{Side, Step};
use crate::flow::{Flow, Frame};

impl Live {
    /// A packet of TCP that nobody saw and that must have been there: `SYN`, or `FIN`. `facts` is what the kernel says.
    pub fn infer(
        &mut self,
        time: u64,
        (source, destination): (SocketAddr, SocketAddr),
        what: &'static str,
        facts: Option<String>,
    ) {
        let ends = [source, destination].map(canonical);
        // What still comes of one that was over and is forgotten begins none.
        if what != "SYN" && self.ends_of(source, destination).is_none() {
            return;
        }
        let number = self.connection(ends, what == "SYN");
        let finished = |flow: &mut Flow| {
            let from = flow.side(ends[0]);
            let course = flow.course.as_ref();
            course.is_some_and(|course| course.has_finished(from))
        };
        // The kernel may have told of it before.
        if what == "FIN" && self.sorter.flows.at(number).is_some_and(finished) {
            return;
        }
        let at = self.frame(time, ends);
        if let Some(flow) = self.sorter.flows.at(number) {
            let from = flow.side(ends[0]);
            flow.infer(at, (from, what), said(facts));
        }
        self.heard(number);
    }

    /// A dial of ours has failed: it was `refused`, or nobody waits for it any longer. The kernel has said so, or was told.
    pub fn failed(
        &mut self,
        time: u64,
        (here, there): (SocketAddr, SocketAddr),
        refused: bool,
        facts: String,
    ) {
        let Some(ends) = self.ends_of(here, there) else {
            return;
        };
        match refused {
            true => self.infer(time, (there, here), "RST", Some(facts)),
            false => self.infer(time, (here, there), "close", Some(facts)),
        }
        let own = canonical(here);
        let said = ends.map(|end| (end == own).then_some(Said::Gone));
        self.told(time, ends, said, Vec::new());
    }

    /// Another connection between the same ends begins.
    pub(crate) fn begins(&mut self, ends: [SocketAddr; 2]) {
        self.connection(ends, true);
    }

    /// What the kernel says of a connection of our own, without what its socket has still to tell.
    pub(crate) fn as_read(
        &self,
        ends: [SocketAddr; 2],
        said: [Option<Said>; 2],
    ) -> [Option<Said>; 2] {
        let number = self.sorter.flows.connected(ends[0], ends[1]);
        let flow = number.and_then(|number| self.sorter.flows.get(number));
        let course = flow.and_then(|flow| flow.course.as_ref());
        course.map_or(said, |course| course.as_read(said))
    }

    /// The SYN of whoever came, from its IP header on: the kernel has kept it, and does not say when it came. Whether
    /// it is one.
    pub fn begin(&mut self, time: u64, syn: &[u8], facts: Option<String>) -> bool {
        let Ok(packet) = Packet::read(RAW, syn, original(RAW, syn)) else {
            return false;
        };
        let Body::Tcp(segment) = packet.body else {
            return false;
        };
        let ends = [
            SocketAddr::new(packet.source, segment.source),
            SocketAddr::new(packet.destination, segment.destination),
        ];
        let ends = ends.map(canonical);
        let number = self.connection(ends, true);
        let at = self.frame(time, ends);
        if let Some(flow) = self.sorter.flows.at(number) {
            flow.begin(at, &segment, said(facts));
        }
        self.heard(number);
        true
    }

    /// The flow of a connection: another one if this `begins` it.
    fn connection(&mut self, ends: [SocketAddr; 2], begins: bool) -> usize {
        let (number, new) = self.sorter.flows.connection(ends, begins);
        if new {
            self.begun(number);
        }
        number
    }

    /// One that had begun before anybody looked.
    pub(crate) fn midway(
        &mut self,
        time: u64,
        ends: [SocketAddr; 2],
        said: [Option<Said>; 2],
        steps: Vec<Step>,
    ) {
        let number = self.connection(ends, true);
        let at = self.frame(time, ends);
        if let Some(flow) = self.sorter.flows.at(number) {
            let course = Course::midway(said);
            flow.first = course.states().map(|at| at.state);
            flow.course = Some(Box::new(course));
            flow.infer(at, (Side::A, "open"), steps);
        }
        self.heard(number);
    }

    /// What must have been there before any data could be, if the kernel says this.
    pub(crate) fn opened(
        &mut self,
        time: u64,
        ends: [SocketAddr; 2],
        said: [Option<Said>; 2],
        steps: Vec<Step>,
    ) {
        self.rows(time, ends, steps, |course| course.open(said), false);
    }

    /// The kernel says this of both ends. The states that it says stand in the last row of what must have been there.
    pub(crate) fn told(
        &mut self,
        time: u64,
        ends: [SocketAddr; 2],
        said: [Option<Said>; 2],
        steps: Vec<Step>,
    ) {
        let both = said == [Some(Said::Gone); 2];
        let number = self.rows(time, ends, steps, |course| course.told(said), both);
        if let Some(flow) = self.sorter.flows.at(number)
            && let Some(course) = &flow.course
        {
            let states = course.states();
            if let Some(last) = flow.events.last_mut() {
                last.states = Some(states);
            }
        }
    }

    fn rows(
        &mut self,
        time: u64,
        ends: [SocketAddr; 2],
        mut steps: Vec<Step>,
        what: impl FnOnce(&mut Course) -> Vec<Row>,
        both: bool,
    ) -> usize {
        let number = self.connection(ends, false);
        let flow = self.sorter.flows.at(number);
        let Some(course) = flow.and_then(|flow| flow.course.as_mut()) else {
            return number;
        };
        // Each row has the states that were right when it was passed.
        let mut then = course.clone();
        let rows = what(course);
        let now = course.clone();
        let last = rows.len().saturating_sub(1);
        if rows.iter().any(|(_, what)| *what == END) {
            steps.push(kernel(gone(both)));
        }
        for (index, row) in rows.into_iter().enumerate() {
            let at = self.frame(time, ends);
            let Some(flow) = self.sorter.flows.at(number) else {
                break;
            };
            flow.course = Some(then);
            let steps = match index == last {
                true => std::mem::take(&mut steps),
                false => Vec::new(),
            };
            flow.infer(at, row, steps);
            then = flow.course.take().unwrap_or_else(|| now.clone());
            flow.course = Some(now.clone());
            self.heard(number);
        }
        number
    }

    /// Bytes that the kernel has counted since it was asked before.
    pub(crate) fn counted(
        &mut self,
        time: u64,
        ends: [SocketAddr; 2],
        bytes: (Side, u64),
        steps: Vec<Step>,
    ) {
        let number = self.connection(ends, false);
        let at = self.frame(time, ends);
        if let Some(flow) = self.sorter.flows.at(number) {
            flow.count(at, bytes, steps);
        }
        self.heard(number);
    }

    /// Something that is no packet, or of which the kernel knows only that it was.
    pub(crate) fn noted(&mut self, time: u64, ends: [SocketAddr; 2], row: Row, steps: Vec<Step>) {
        let number = self.connection(ends, false);
        let at = self.frame(time, ends);
        if let Some(flow) = self.sorter.flows.at(number) {
            flow.infer(at, row, steps);
        }
        self.heard(number);
    }

    /// The addresses of A and of B of a connection of which only sockets tell.
    pub(crate) fn ends_of(&self, one: SocketAddr, other: SocketAddr) -> Option<[SocketAddr; 2]> {
        let flows = &self.sorter.flows;
        let number = flows.connected(canonical(one), canonical(other))?;
        flows.get(number).map(|flow| flow.ends)
    }

    /// How its ends are called.
    pub(crate) fn names(&self, ends: [SocketAddr; 2]) -> [&'static str; 2] {
        let number = self.sorter.flows.connected(ends[0], ends[1]);
        let flow = number.and_then(|number| self.sorter.flows.get(number));
        flow.map_or(["client", "server"], names)
    }

    /// Whether it is known that both ends are through with it.
    pub(crate) fn is_over(&self, ends: [SocketAddr; 2]) -> bool {
        let flows = &self.sorter.flows;
        let number = flows.connected(ends[0], ends[1]);
        let flow = number.and_then(|number| flows.get(number));
        flow.is_none_or(Flow::is_over)
    }

    fn frame(&mut self, time: u64, ends: [SocketAddr; 2]) -> Frame {
        let capture = &mut self.sorter.capture;
        capture.frames += 1;
        let started = *capture.started.get_or_insert(time);
        Frame {
            frame: capture.frames,
            time: time.wrapping_sub(started).cast_signed(),
            read: None,
            id: None,
            source: ends[0].ip(),
            destination: ends[1].ip(),
        }
    }
}

/// How a connection can be gone without TIME-WAIT: at `both` ends, or at the one that is here.
fn gone(both: bool) -> String {
    let how = match both {
        true => "gone at both ends, and nobody is in TIME-WAIT: it was reset",
        false => "gone between two looks: closed by the other end first, or reset",
    };
    how.to_owned()
}

/// What the kernel says, as a step of its own.
fn said(facts: Option<String>) -> Vec<Step> {
    facts.into_iter().map(kernel).collect()
}

/// What the kernel says.
pub(crate) fn kernel(text: String) -> Step {
    Step {
        layer: "kernel:",
        text,
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
