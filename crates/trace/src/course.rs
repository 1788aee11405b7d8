//! The states of both ends of a connection whose packets nobody sees: what follows from what sockets tell, and what the
//! kernel says.

use crate::event::{Side, State, StateAt, Sure};

/// What the kernel says of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is in this state.
    In(State),
    /// It was there, and is no more.
    Gone,
}

/// A packet that must have been there: who sent it, and what it was.
pub(crate) type Row = (Side, &'static str);

/// The end of a connection of which nothing tells how it came.
pub(crate) const END: &str = "end";

/// The three steps of the handshake.
const OPENING: [Row; 3] = [(Side::A, "SYN"), (Side::B, "SYN ACK"), (Side::A, "ACK")];

/// How far a connection has come.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    at: [StateAt; 2],
    /// How many steps of the handshake were told.
    opened: usize,
    /// Whose FIN was told, and whose was acknowledged.
    fins: [bool; 2],
    acked: [bool; 2],
}

impl Course {
    /// Before it begins.
    pub(crate) fn new() -> Self {
        let expected = |state| StateAt {
            state,
            sure: Sure::Expected,
        };
        Self {
            at: [expected(State::Closed), expected(State::Listen)],
            opened: 0,
            fins: [false; 2],
            acked: [false; 2],
        }
    }

    /// In the middle of one that had begun before anybody looked.
    pub(crate) fn midway(said: [Option<Said>; 2]) -> Self {
        let mut course = Self::new();
        course.opened = OPENING.len();
        course.at = [StateAt {
            state: State::Established,
            sure: Sure::Expected,
        }; 2];
        course.told(said);
        course
    }

    pub(crate) fn states(&self) -> [StateAt; 2] {
        self.at
    }

    /// What follows for `side` was seen.
    pub(crate) fn saw(&mut self, side: Side) {
        self.at[side.index()].sure = Sure::Seen;
    }

    /// A packet was told, or must have been there: what follows from it.
    pub(crate) fn passed(&mut self, (from, what): Row) {
        let to = from.other();
        match what {
            "SYN" => {
                self.expect(from, State::SynSent);
                self.expect(to, State::SynReceived);
                self.opened = self.opened.max(1);
            }
            "SYN ACK" => {
                self.expect(from, State::SynReceived);
                self.expect(to, State::Established);
                self.opened = self.opened.max(2);
            }
            "ACK" if self.is_opening() => {
                self.expect(from, State::Established);
                self.expect(to, State::Established);
                self.opened = OPENING.len();
            }
            "ACK" => self.acknowledge(to),
            "FIN" => self.finish(from),
            // The other end has not shown that the first one has reached it.
            "sent again" if self.opened == 1 && self.at[to.index()].sure == Sure::Expected => {
                self.expect(to, State::Listen);
            }
            // Whoever dialed waits no longer.
            "close" if self.is_opening() => self.break_off(),
            // Whoever it was, there is no connection after that.
            "RST" | END => self.break_off(),
            _ => {}
        }
    }

    fn break_off(&mut self) {
        for side in Side::BOTH {
            self.expect(side, State::Closed);
        }
        // No step of the handshake is missing any more.
        self.opened = OPENING.len();
    }

    /// Whether the handshake is not complete.
    pub(crate) fn is_opening(&self) -> bool {
        self.opened < OPENING.len()
    }

    /// The FIN of `side` is acknowledged.
    fn acknowledge(&mut self, side: Side) {
        if !self.fins[side.index()] {
            return;
        }
        self.acked[side.index()] = true;
        let next = match self.at[side.index()].state {
            State::FinWait1 => State::FinWait2,
            State::Closing => State::TimeWait,
            State::LastAck => State::Closed,
            other => other,
        };
        self.expect(side, next);
    }

    fn finish(&mut self, from: Side) {
        let to = from.other();
        self.opened = OPENING.len();
        self.fins[from.index()] = true;
        let own = match self.at[from.index()].state {
            State::CloseWait => State::LastAck,
            State::LastAck | State::TimeWait | State::Closed => self.at[from.index()].state,
            _ => State::FinWait1,
        };
        self.expect(from, own);
        // A FIN that comes second mostly acknowledges the first. The kernel says if it was otherwise.
        let peer = match self.at[to.index()].state {
            State::FinWait1 | State::FinWait2 => {
                self.acked[to.index()] = true;
                State::TimeWait
            }
            State::Established | State::SynReceived => State::CloseWait,
            other => other,
        };
        self.expect(to, peer);
    }

    fn expect(&mut self, side: Side, state: State) {
        let at = &mut self.at[side.index()];
        if at.state != state {
            *at = StateAt {
                state,
                sure: Sure::Expected,
            };
        }
    }

    /// What must have been there before any data could be, if the kernel says this.
    pub(crate) fn open(&mut self, said: [Option<Said>; 2]) -> Vec<Row> {
        let steps = said.iter().flatten().map(|said| match said {
            Said::In(State::SynSent) => 1,
            Said::In(State::SynReceived) => 2,
            Said::In(State::Closed | State::Listen) => 0,
            Said::In(_) | Said::Gone => OPENING.len(),
        });
        let steps = steps.max().unwrap_or(0);
        let rows: Vec<Row> = OPENING.get(self.opened..steps).unwrap_or_default().to_vec();
        rows.iter().for_each(|row| self.passed(*row));
        rows
    }

    /// The kernel says this: what must have been there before it was so.
    pub(crate) fn told(&mut self, said: [Option<Said>; 2]) -> Vec<Row> {
        let mut rows = self.open(said);
        // Who is in TIME-WAIT explains why the other one is gone, and who is gone explains nothing.
        let mut order = Side::BOTH;
        order.sort_by_key(|side| match said[side.index()] {
            Some(Said::In(State::TimeWait)) => 0,
            Some(Said::In(State::FinWait1 | State::FinWait2 | State::Closing)) => 1,
            Some(Said::In(_)) => 2,
            _ => 3,
        });
        for side in order {
            let Some(said) = said[side.index()] else {
                continue;
            };
            for row in self.missing(side, said) {
                self.passed(row);
                rows.push(row);
            }
        }
        for side in Side::BOTH {
            let state = match said[side.index()] {
                Some(Said::In(state)) => state,
                Some(Said::Gone) => State::Closed,
                None => continue,
            };
            self.at[side.index()] = StateAt {
                state,
                sure: Sure::Kernel,
            };
        }
        rows
    }

    /// What the kernel says, without what is news to our own sockets: of a FIN they tell when they have read so far.
    pub(crate) fn as_read(&self, said: [Option<Said>; 2]) -> [Option<Said>; 2] {
        let fits = |side: Side, said: &Said| {
            let missing = self.missing(side, *said);
            !missing.iter().any(|(_, what)| matches!(*what, "FIN" | END))
        };
        let [a, b] = said;
        [
            a.filter(|said| fits(Side::A, said)),
            b.filter(|said| fits(Side::B, said)),
        ]
    }

    /// Whether the FIN of `side` was told.
    pub(crate) fn has_finished(&self, side: Side) -> bool {
        self.fins[side.index()]
    }

    /// What nobody has told, and without which `side` could not be as the kernel says.
    fn missing(&self, side: Side, said: Said) -> Vec<Row> {
        let other = side.other();
        let fin = |whose: Side| (!self.fins[whose.index()]).then_some((whose, "FIN"));
        let ack = |whose: Side| (!self.acked[whose.index()]).then_some((whose.other(), "ACK"));
        let rows = match said {
            Said::In(State::FinWait1) => [fin(side), None, None],
            Said::In(State::FinWait2) => [fin(side), ack(side), None],
            Said::In(State::Closing) => [fin(side), fin(other), None],
            Said::In(State::TimeWait) => [fin(side), fin(other), ack(other)],
            Said::In(State::CloseWait) => [fin(other), None, None],
            Said::In(State::LastAck) => [fin(other), fin(side), None],
            Said::In(_) => [None; 3],
            Said::Gone => match self.at[side.index()].state {
                State::Closed | State::TimeWait => [None; 3],
                State::CloseWait | State::LastAck => [fin(side), ack(side), None],
                _ => [Some((side, END)), None, None],
            },
        };
        rows.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(course: &Course) -> [(State, Sure); 2] {
        course.states().map(|at| (at.state, at.sure))
    }

    fn told(course: &mut Course, a: Option<State>, b: Option<State>) -> Vec<Row> {
        course.told([a, b].map(|state| state.map(Said::In)))
    }

    #[test]
    fn a_close_seen_step_by_step() {
        let mut course = Course::new();
        let both = Some(State::Established);
        assert_eq!(told(&mut course, both, both), OPENING);
        assert_eq!(names(&course), [(State::Established, Sure::Kernel); 2]);
        let rows = told(&mut course, Some(State::FinWait2), Some(State::CloseWait));
        assert_eq!(rows, [(Side::A, "FIN"), (Side::B, "ACK")]);
        let rows = course.told([Some(Said::In(State::TimeWait)), Some(Said::Gone)]);
        assert_eq!(rows, [(Side::B, "FIN"), (Side::A, "ACK")]);
        let now = [
            (State::TimeWait, Sure::Kernel),
            (State::Closed, Sure::Kernel),
        ];
        assert_eq!(names(&course), now);
    }

    #[test]
    fn all_of_it_between_two_looks() {
        let mut course = Course::new();
        let rows = told(&mut course, None, Some(State::TimeWait));
        assert_eq!(rows[..3], OPENING);
        assert_eq!(
            rows[3..],
            [(Side::B, "FIN"), (Side::A, "FIN"), (Side::B, "ACK")]
        );
        assert_eq!(
            names(&course),
            [
                (State::Closed, Sure::Expected),
                (State::TimeWait, Sure::Kernel)
            ]
        );
    }

    #[test]
    fn what_was_told_is_not_inferred_again() {
        let mut course = Course::new();
        OPENING.iter().for_each(|row| course.passed(*row));
        assert_eq!(names(&course), [(State::Established, Sure::Expected); 2]);
        course.passed((Side::B, "FIN"));
        course.passed((Side::A, "FIN"));
        assert_eq!(
            names(&course),
            [
                (State::LastAck, Sure::Expected),
                (State::TimeWait, Sure::Expected)
            ]
        );
        let rows = course.told([Some(Said::Gone), None]);
        assert_eq!(rows, [(Side::B, "ACK")]);
        assert_eq!(
            names(&course),
            [
                (State::Closed, Sure::Kernel),
                (State::TimeWait, Sure::Expected)
            ]
        );
    }

    #[test]
    fn our_own_sockets_tell_of_a_fin_when_they_have_read_so_far() {
        let mut course = Course::new();
        OPENING.iter().for_each(|row| course.passed(*row));
        let ahead = [State::FinWait2, State::CloseWait].map(|state| Some(Said::In(state)));
        assert_eq!(course.as_read(ahead), [None, None]);
        course.passed((Side::A, "FIN"));
        assert_eq!(course.as_read(ahead), ahead);
    }

    #[test]
    fn the_kernel_knows_better_than_what_was_expected() {
        let mut course = Course::new();
        OPENING.iter().for_each(|row| course.passed(*row));
        course.passed((Side::A, "FIN"));
        course.passed((Side::B, "FIN"));
        // Both FINs crossed.
        assert!(told(&mut course, Some(State::Closing), None).is_empty());
        assert_eq!(names(&course)[0], (State::Closing, Sure::Kernel));
    }

    #[test]
    fn a_handshake_that_nobody_answers_is_none_that_is_made_up() {
        for (end, from) in [("close", Side::A), ("RST", Side::B)] {
            let mut course = Course::new();
            course.passed((Side::A, "SYN"));
            assert_eq!(names(&course)[1], (State::SynReceived, Sure::Expected));
            course.passed((Side::A, "sent again"));
            assert_eq!(names(&course)[1], (State::Listen, Sure::Expected));
            course.passed((from, end));
            assert_eq!(course.told([Some(Said::Gone), None]), []);
            let now = [
                (State::Closed, Sure::Kernel),
                (State::Closed, Sure::Expected),
            ];
            assert_eq!(names(&course), now);
        }
        // The kernel of that end has said that the SYN is there.
        let mut course = Course::new();
        told(&mut course, Some(State::SynSent), Some(State::SynReceived));
        course.passed((Side::A, "sent again"));
        assert_eq!(names(&course)[1], (State::SynReceived, Sure::Kernel));
    }

    #[test]
    fn an_end_without_a_goodbye_is_none_that_is_made_up() {
        let mut course = Course::midway([Some(Said::In(State::Established)); 2]);
        assert_eq!(course.told([Some(Said::Gone); 2])[0], (Side::A, END));
        assert_eq!(names(&course), [(State::Closed, Sure::Kernel); 2]);
        // The last steps of one that was closing are quick.
        let mut course = Course::midway([None, Some(Said::In(State::CloseWait))]);
        let rows = course.told([None, Some(Said::Gone)]);
        assert_eq!(rows, [(Side::B, "FIN"), (Side::A, "ACK")]);
    }
}
