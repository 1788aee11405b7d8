//! Pictures that grow while packets come. What was drawn stays as it is: the next row corrects it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::fold::{self, Level, Row};
use super::sheaf::Sheaf;
use super::{Drawing, Progress, Style, milliseconds};
use crate::flow::{Flow, Flows};

/// As long a row waits for others like it, with which it would be one.
const HOLD: Duration = Duration::from_micros(400);

/// After so many lines exchanges are folded, and then everything that leaves the states as they are.
const RUNS: usize = 60;
const EXCHANGES: usize = 90;

/// Nothing waits longer than that when nothing comes.
const QUIET: Duration = Duration::from_millis(300);

/// After such a silence there is room for more lines.
const SILENCE: Duration = Duration::from_secs(1);

/// As many packets that wait are worth counting.
const GATHERED: usize = 256;

/// As many flows are followed; of more those that were silent longest are over.
const FLOWS: usize = 4096;

/// A flow that is over may still have a last word.
const LAST_WORD: Duration = Duration::from_millis(200);

/// The pictures of all flows, as one text to which lines are added.
#[derive(Debug)]
pub struct Growing {
    style: Style,
    source: String,
    flows: BTreeMap<usize, Growth>,
    /// The flow that was drawn last.
    shown: Option<usize>,
    text: String,
}

/// The picture of one flow.
#[derive(Debug)]
struct Growth {
    progress: Progress,
    /// How many packets are drawn, or counted in the sheaf.
    drawn: usize,
    lines: usize,
    /// How many of those that wait are known to be one row.
    known: usize,
    /// What came before them and belongs to it.
    sheaf: Option<Box<Sheaf>>,
    /// How long rows wait: the longer a transfer goes on, the longer.
    hold: Duration,
    /// Since when something waits.
    since: Option<Instant>,
    heard: Instant,
    over: bool,
}

impl Growing {
    /// Nothing so far. `source` says who tells of it, if that is somebody else.
    #[must_use]
    pub fn new(style: Style, source: &str) -> Self {
        Self {
            style,
            source: source.to_owned(),
            flows: BTreeMap::new(),
            shown: None,
            text: String::new(),
        }
    }

    /// The lines that are due, each with its `\n`. `fresh` says of which flows something was heard.
    pub fn grow(&mut self, flows: &Flows, fresh: &[usize], now: Instant) -> String {
        for number in fresh {
            let Some(flow) = flows.get(*number) else {
                continue;
            };
            let style = &self.style;
            let growth = self
                .flows
                .entry(*number)
                .or_insert_with(|| Growth::begin(flow, style, now));
            growth.hear(flow, now);
        }
        let due = |growth: &Growth| growth.since.is_some();
        let waiting = self.flows.iter().filter(|(_, growth)| due(growth));
        for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
            if let Some(flow) = flows.get(number) {
                self.rows(number, flow, now, false);
            }
        }
        std::mem::take(&mut self.text)
    }

    /// The packet, counted from 0, before which nothing of a flow is needed any more.
    #[must_use]
    pub fn needs(&self, number: usize) -> usize {
        let growth = self.flows.get(&number);
        // The states before a row are those of the packet before it.
        growth.map_or(0, |growth| growth.drawn.saturating_sub(1))
    }

    /// When lines are due though nothing comes.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.flows.values();
        waiting
            .filter_map(|growth| Some((growth.since? + growth.hold).min(growth.heard + QUIET)))
            .min()
    }

    /// The flows that are over, whose summaries are drawn with this.
    pub fn ended(&mut self, flows: &Flows, now: Instant) -> (Vec<usize>, String) {
        let over = self
            .flows
            .iter()
            .filter(|(_, growth)| growth.over && now.duration_since(growth.heard) >= LAST_WORD);
        let mut over: Vec<usize> = over.map(|(number, _)| *number).collect();
        over.extend(self.silent());
        for number in &over {
            if let Some(flow) = flows.get(*number) {
                self.end(*number, flow, now);
            }
        }
        (over, std::mem::take(&mut self.text))
    }

    /// Flows that are too many.
    fn silent(&self) -> Vec<usize> {
        if self.flows.len() <= FLOWS {
            return Vec::new();
        }
        let flows = self.flows.iter().filter(|(_, growth)| !growth.over);
        let mut flows: Vec<_> = flows
            .map(|(number, growth)| (growth.heard, *number))
            .collect();
        flows.sort_unstable();
        flows.truncate(FLOWS / 8);
        flows.into_iter().map(|(_, number)| number).collect()
    }

    /// The rest of everything.
    #[must_use]
    pub fn finish(mut self, flows: &Flows) -> String {
        let now = Instant::now();
        for number in self.flows.keys().copied().collect::<Vec<_>>() {
            if let Some(flow) = flows.get(number) {
                self.end(number, flow, now);
            }
        }
        self.text
    }

    fn end(&mut self, number: usize, flow: &Flow, now: Instant) {
        self.rows(number, flow, now, true);
        let Some(mut growth) = self.flows.remove(&number) else {
            return;
        };
        self.turn_to(number, flow);
        let mut drawing = Drawing::new(flow, &self.style, &mut growth.progress);
        drawing.foot(&self.source);
        self.text.push_str(&drawing.text);
    }

    /// Says which flow the next lines are about, if that is another one.
    fn turn_to(&mut self, number: usize, flow: &Flow) {
        match self.shown.replace(number) {
            None => {}
            Some(shown) if shown == number => {}
            Some(_) => {
                let [a, b] = flow.ends;
                self.text
                    .push_str(&format!("\nflow {number}: {a} and {b}\n"));
            }
        }
    }

    fn rows(&mut self, number: usize, flow: &Flow, now: Instant, at_once: bool) {
        let Some(growth) = self.flows.get_mut(&number) else {
            return;
        };
        let waited = growth
            .since
            .is_some_and(|since| now >= (since + growth.hold).min(growth.heard + QUIET));
        let rows = growth.due(flow, waited || at_once, self.style.all);
        if rows.is_empty() {
            return;
        }
        self.turn_to(number, flow);
        let Some(growth) = self.flows.get_mut(&number) else {
            return;
        };
        growth.drawn += rows.iter().map(|row| row.events().len()).sum::<usize>();
        growth.since = (growth.drawn < flow.rows()).then_some(now);
        if level(growth.lines, self.style.all) >= Level::Exchanges && waited {
            growth.hold *= 2;
        }
        let begins = growth.lines == 0;
        if let Some(row) = rows.last() {
            growth.progress.make_room(flow, row);
        }
        let mut drawing = Drawing::new(flow, &self.style, &mut growth.progress);
        if begins {
            drawing.head();
        }
        for row in &rows {
            drawing.row(row);
        }
        growth.lines += drawing.text.lines().count();
        self.text.push_str(&drawing.text);
    }
}

impl Growth {
    fn begin(flow: &Flow, style: &Style, now: Instant) -> Self {
        Self {
            progress: Progress::begin(flow, style),
            drawn: 0,
            known: 0,
            sheaf: None,
            lines: 0,
            hold: HOLD,
            since: None,
            heard: now,
            over: false,
        }
    }

    fn hear(&mut self, flow: &Flow, now: Instant) {
        if now.duration_since(self.heard) >= SILENCE {
            self.hold = HOLD;
            self.lines = self.lines.min(RUNS / 2).max(usize::from(self.lines > 0));
        }
        self.heard = now;
        self.since.get_or_insert(now);
        self.over = flow.is_over();
    }

    /// The rows that can be drawn; with `at_once` all of them.
    fn due<'a>(&mut self, flow: &'a Flow, at_once: bool, all: bool) -> Vec<Row<'a>> {
        let events = &flow.events[..];
        let mut lines = self.lines;
        let mut rows = Vec::new();
        let mut start = self.drawn - flow.gone;
        let known = std::mem::take(&mut self.known);
        if known > 0 && !at_once && fold::goes_on(events, start, known, level(lines, all)) {
            self.known = events.len() - start;
            self.gather(flow);
            return rows;
        }
        while start < events.len() {
            // Many may have come at once.
            let level = level(lines, all);
            let (length, grows) = fold::next(events, start, level, self.sheaf.is_some());
            if grows && !at_once {
                self.known = events.len() - start;
                break;
            }
            let before = self.sheaf.take();
            let row = Row::of(&events[start..start + length], before);
            lines += row.height();
            rows.push(row);
            start += length;
        }
        rows
    }

    /// Counts what waits, so that only the latest of a row need be kept.
    fn gather(&mut self, flow: &Flow) {
        if self.known < GATHERED {
            return;
        }
        let start = self.drawn - flow.gone;
        let events = &flow.events[start..start + self.known - 1];
        let sheaf = self.sheaf.take();
        let mut sheaf = sheaf.unwrap_or_else(|| Box::new(Sheaf::begin(&events[0])));
        events.iter().for_each(|event| sheaf.add(event));
        self.sheaf = Some(sheaf);
        self.progress.explain(flow, events);
        self.drawn += events.len();
        self.known = 1;
    }
}

/// How much is folded after so many lines.
fn level(lines: usize, all: bool) -> Level {
    match lines {
        _ if all => Level::None,
        0..RUNS => Level::Runs,
        RUNS..EXCHANGES => Level::Exchanges,
        _ => Level::Everything,
    }
}

impl Progress {
    /// Numbers get longer with time.
    fn make_room(&mut self, flow: &Flow, row: &Row<'_>) {
        let last = row.last();
        let (number, time) = &mut self.columns;
        *number = last.frame.to_string().len().max(*number);
        *time = milliseconds(flow.since_start(last)).len().max(*time);
    }
}
