//! A flow as a picture of text: two lines for the ends, an arrow for each packet, states beside them.

use std::fmt::Write;

use wire::packet::Flags;

use crate::event::{Event, Kind, Note, Side, Sight, State, StateAt, Sure, Tcp, Vantage};
use crate::explain::{Explainer, Language};
use crate::flow::Flow;
use crate::summary::{self, Sum};
use crate::words::duration;

mod fold;
mod growing;
mod label;
pub(crate) mod pen;
mod sheaf;
mod sign;

pub(crate) use fold::{Row, rows};
pub use growing::Growing;
use label::{Class, Label};
use pen::Pen;
pub(crate) use sign::{Sign, signs};

/// The narrowest picture, in columns.
pub const NARROWEST: usize = 60;

/// How a picture is drawn.
#[derive(Clone, Debug)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// With nothing but ASCII.
    pub ascii: bool,
    /// With the colours of a terminal.
    pub color: bool,
    /// Numbers as they were sent, and not counted from the beginning.
    pub absolute: bool,
    /// Every packet, however many there are.
    pub all: bool,
    /// With a sentence for learners at every step.
    pub explain: Option<Language>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 100,
            ascii: false,
            color: false,
            absolute: false,
            all: false,
            explain: None,
        }
    }
}

/// A pause that is longer is drawn, in nanoseconds.
const PAUSE: i64 = 150_000_000;

/// States have columns of their own from this width on.
const WITH_STATES: usize = 84;

/// The widest state, with the signs of one that is only expected.
const STATE: usize = 14;

/// Draws `flow`, which `source` tells of, line by line, each with its `\n`.
#[must_use]
pub fn draw(flow: &Flow, source: &str, style: &Style) -> String {
    let mut progress = Progress::begin(flow, style);
    let mut drawing = Drawing::new(flow, style, &mut progress);
    drawing.head();
    for row in &rows(flow, style.all) {
        drawing.row(row);
    }
    drawing.foot(source);
    drawing.text
}

struct Drawing<'a> {
    flow: &'a Flow,
    style: &'a Style,
    pen: Pen,
    /// Columns between the two lines.
    area: usize,
    progress: &'a mut Progress,
    text: String,
}

/// How far a picture has come.
#[derive(Debug)]
struct Progress {
    names: [&'static str; 2],
    /// Columns of a packet's number, and of its time.
    columns: (usize, usize),
    phase: Phase,
    states: Option<[StateAt; 2]>,
    last: i64,
    explainer: Option<Explainer>,
    /// Sentences about packets of the next row that are kept no more.
    said: Vec<String>,
}

impl Progress {
    fn begin(flow: &Flow, style: &Style) -> Self {
        let last = flow.events.last();
        let number = last.map_or(0, |event| event.frame).to_string().len();
        let time = last.map_or(0, |event| flow.since_start(event));
        Self {
            names: names(flow),
            columns: (number.max(3), milliseconds(time).len().max(10)),
            phase: Phase::Open,
            states: None,
            last: 0,
            explainer: style.explain.map(Explainer::new),
            said: Vec::new(),
        }
    }

    /// Finds out what learners are to be told about packets of the next row.
    fn explain(&mut self, flow: &Flow, events: &[Event]) {
        if let Some(explainer) = &mut self.explainer {
            self.said
                .extend(explainer.sentences(flow, events, self.names));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Open,
    Data,
    Close,
}

/// How the ends of `flow` are called.
pub(crate) fn names(flow: &Flow) -> [&'static str; 2] {
    let open = |event: &Event| event.notes.contains(&Note::SimultaneousOpen);
    match flow.events.iter().take(8).any(open) {
        true => ["A", "B"],
        false if flow.client.is_some() => ["relay", "server"],
        false => ["client", "server"],
    }
}

impl<'a> Drawing<'a> {
    fn new(flow: &'a Flow, style: &'a Style, progress: &'a mut Progress) -> Self {
        let (number, time) = progress.columns;
        let width = style.width.max(NARROWEST);
        let beside = match width >= WITH_STATES {
            true => number + 1 + time + 1 + STATE + 1 + 1 + 1 + 1 + STATE,
            false => number + 1 + time + 1 + 1 + 1,
        };
        Self {
            flow,
            style,
            pen: Pen::new(style),
            area: width.saturating_sub(beside).max(24),
            progress,
            text: String::new(),
        }
    }

    fn wide(&self) -> bool {
        self.style.width >= WITH_STATES
    }

    /// Columns before the first line.
    fn margin(&self) -> usize {
        let (number, time) = self.progress.columns;
        number + 1 + time + 1 + if self.wide() { STATE + 1 } else { 0 }
    }

    fn line(&mut self, text: &str) {
        let text = self.pen.plain(text);
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn head(&mut self) {
        let margin = " ".repeat(self.margin() + 1);
        let ends = [
            self.progress.names.map(str::to_owned),
            self.flow.ends.map(|end| end.to_string()),
        ];
        for [a, b] in ends {
            let room = self
                .area
                .saturating_sub(pen::width(&a) + pen::width(&b))
                .max(1);
            self.line(&format!("{margin}{a}{}{b}", " ".repeat(room)));
        }
        if let Some(client) = self.flow.client {
            self.line(&format!("{margin}dialed for {client}"));
        }
        let (number, time) = self.progress.columns;
        let unit = format!("{:number$} {:>time$} ", "", "ms");
        let [a, b] = match self.flow.has_states() {
            true => self.flow.first.map(State::name),
            false => ["", ""],
        };
        let gap = " ".repeat(self.area);
        match self.wide() {
            true => self.line(&format!("{unit}{a:>STATE$} ┬{gap}┬ {b}")),
            false => {
                self.line(&format!("{unit}┬{gap}┬"));
                self.under(a, b);
            }
        }
    }

    /// States of both ends, between the lines.
    fn under(&mut self, a: &str, b: &str) {
        if a.is_empty() && b.is_empty() {
            return;
        }
        let room = self.area.saturating_sub(pen::width(a) + pen::width(b) + 2);
        let margin = " ".repeat(self.margin());
        self.line(&format!("{margin}│ {a}{}{b} │", " ".repeat(room)));
    }

    fn row(&mut self, row: &Row<'_>) {
        let first = row.first();
        let time = self.flow.since_start(first);
        let since = time - self.progress.last;
        if since > PAUSE {
            self.pause(since as u64);
        }
        // What was read late had come before what stands above it.
        let last = self.flow.since_start(row.last());
        self.progress.last = self.progress.last.max(last);
        self.begin_phase(first);
        let states = self.changed(row);
        for (index, arrow) in row.arrows().into_iter().enumerate() {
            let label = Label::of(&arrow, self.style.absolute).plain(&self.pen);
            let shown = match index {
                0 => states.clone(),
                _ => Default::default(),
            };
            self.arrow(first, time, index == 0, &label, shown);
        }
        for (class, text) in row.lines() {
            self.note(class, &text, 4, 4);
        }
        self.progress.explain(self.flow, row.events());
        for sentence in std::mem::take(&mut self.progress.said) {
            self.note(Class::Explained, &sentence, 4, 0);
        }
    }

    /// The states that a row changes, as they are shown.
    fn changed(&mut self, row: &Row<'_>) -> [String; 2] {
        let Some(now) = row.last().states else {
            return Default::default();
        };
        let before = self.progress.states.replace(now);
        Side::BOTH.map(|side| {
            let at = now[side.index()];
            let same = match before {
                Some(before) => before[side.index()] == at,
                None => at.state == self.flow.first[side.index()],
            };
            match (same, at.sure) {
                (true, _) => String::new(),
                (false, Sure::Expected) => format!("({})", at.state.name()),
                (false, Sure::Seen | Sure::Kernel) => at.state.name().to_owned(),
            }
        })
    }

    fn begin_phase(&mut self, event: &Event) {
        let phase = match (&event.kind, event.tcp()) {
            (_, Some(tcp)) if closes(tcp) => Phase::Close,
            (_, Some(tcp)) if tcp.len > 0 => Phase::Data,
            (Kind::Inferred("FIN" | "RST"), _) => Phase::Close,
            (Kind::Bytes { .. } | Kind::Counted { .. }, _) if self.flow.has_states() => Phase::Data,
            _ => return,
        };
        if phase <= self.progress.phase {
            return;
        }
        self.progress.phase = phase;
        let word = match phase {
            Phase::Close => "·· close ",
            _ => "·· data ",
        };
        let margin = " ".repeat(self.margin());
        let dots = "·".repeat(self.area.saturating_sub(pen::width(word)));
        self.line(&format!("{margin}│{word}{dots}│"));
    }

    fn pause(&mut self, time: u64) {
        let text = format!("{} later", duration(time));
        let room = self.area.saturating_sub(pen::width(&text));
        let (left, right) = (" ".repeat(room / 2), " ".repeat(room - room / 2));
        let margin = " ".repeat(self.margin());
        self.line(&format!("{margin}┊{left}{text}{right}┊"));
    }

    fn arrow(&mut self, event: &Event, time: i64, first: bool, label: &Label, states: [String; 2]) {
        let (number, width) = self.progress.columns;
        let mut line = match first {
            true => format!("{:>number$} {:>width$} ", event.frame, milliseconds(time)),
            false => " ".repeat(number + 1 + width + 1),
        };
        let [a, b] = states;
        if self.wide() {
            let _ = write!(line, "{} ", self.pen.state(&format!("{a:>STATE$}"), &a));
        }
        let shaft = match (label.heavy, label.hollow) {
            (true, true) => "╍",
            (true, false) => "━",
            (false, true) => "╌",
            (false, false) => "─",
        };
        let lost = label.lost;
        // The line at the sender, the head at the receiver, and enough of the shaft.
        let room = self.area.saturating_sub(if lost { 14 } else { 7 });
        let text = label.fitted(room);
        let rest = self
            .area
            .saturating_sub(pen::width(&text) + 6 + if lost { 5 } else { 0 });
        let rest = shaft.repeat(rest);
        let start = shaft.repeat(3);
        let drawn = match (label.from, lost) {
            (Side::A, false) => format!("├{start} {text} {rest}▶│"),
            (Side::A, true) => format!("├{start} {text} {rest}✗     │"),
            (Side::B, false) => format!("│◀{rest} {text} {start}┤"),
            (Side::B, true) => format!("│     ✗{rest} {text} {start}┤"),
        };
        line.push_str(&self.pen.arrow(&drawn, label.class));
        if self.wide() {
            let _ = write!(line, " {}", self.pen.state(&b, &b));
            self.line(&line);
        } else {
            self.line(&line);
            self.under(&a, &b);
        }
    }

    /// A text between the lines, wrapped; all but its first line hang by `hang` columns more.
    fn note(&mut self, class: Class, text: &str, indent: usize, hang: usize) {
        let text = self.pen.plain(text);
        let room = self.area.saturating_sub(indent + 1);
        let margin = " ".repeat(self.margin());
        for (index, part) in pen::wrapped(&text, room, hang).into_iter().enumerate() {
            let more = if index > 0 { hang } else { 0 };
            let rest = room.saturating_sub(pen::width(&part) + more) + 1;
            let part = self.pen.arrow(&part, class);
            let before = " ".repeat(indent + more);
            self.line(&format!("{margin}│{before}{part}{}│", " ".repeat(rest)));
        }
    }

    fn foot(&mut self, source: &str) {
        let margin = " ".repeat(self.margin());
        let gap = " ".repeat(self.area);
        self.line(&format!("{margin}┴{gap}┴"));
        let sum = Sum::of(self.flow);
        let legend = legend(self.flow, &sum);
        let mut lines = summary::lines(self.flow, sum, self.progress.names);
        let place = match self.flow.vantage {
            Vantage::At(side) => format!("seen at the {}", self.progress.names[side.index()]),
            Vantage::Both => "seen at both ends".to_owned(),
            Vantage::Middle => "seen between the ends".to_owned(),
        };
        lines.push(format!("{}, {place}{legend}", sight(self.flow, source)));
        for line in lines {
            let line = self.pen.plain(&line);
            for (index, part) in pen::wrapped(&line, self.style.width.max(NARROWEST) - 7, 0)
                .iter()
                .enumerate()
            {
                let indent = if index > 0 { 7 } else { 5 };
                self.line(&format!("{:indent$}{part}", ""));
            }
        }
    }
}

/// What the signs mean that stand in the picture.
pub(crate) fn legend(flow: &Flow, sum: &Sum) -> String {
    let mut legend = String::new();
    if sum.inferred {
        legend.push_str("; (PACKET) = must have been there, nobody saw it");
    }
    if sum.kernel {
        legend.push_str("; STATE = as the kernel says");
    }
    if sum.stamped {
        legend.push_str("; data that came has the kernel's time, all else ours");
    }
    if sum.expected {
        legend.push_str(match flow.sight {
            Sight::Socket => "; (STATE) = follows from that",
            _ => "; (STATE) = follows if the segment arrives",
        });
    }
    legend
}

/// How much of `flow` is seen, and who tells of it.
pub(crate) fn sight(flow: &Flow, source: &str) -> String {
    match source {
        "" => format!("sight: {}", flow.sight.name()),
        source => format!("sight: {} {source}", flow.sight.name()),
    }
}

/// Nanoseconds as milliseconds with three digits behind the point.
fn milliseconds(time: i64) -> String {
    let sign = if time < 0 { "-" } else { "" };
    let microseconds = (time.unsigned_abs() + 500) / 1_000;
    format!("{sign}{}.{:03}", microseconds / 1_000, microseconds % 1_000)
}

/// Whether a segment ends something.
pub(crate) fn closes(tcp: &Tcp) -> bool {
    tcp.flags.has(Flags::FIN) || tcp.flags.has(Flags::RST)
}

/// Whether an event's packet was lost, as far as one knows.
fn is_lost(event: &Event) -> bool {
    event.fate.is_lost()
}
