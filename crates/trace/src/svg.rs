//! A flow as a picture in SVG, with true slopes: what is far away happens half a round trip earlier or later.

use std::fmt::Write;

use crate::diagram::{Row, Sign, legend, rows, sight, signs};
use crate::event::{Event, Note, Side, Sight, Vantage};
use crate::flow::Flow;
use crate::summary;
use crate::words::duration;

pub use paint::Theme;
pub(crate) use paint::escaped;
use scale::{Moment, Scale};

const WIDTH: f64 = 960.0;
const LINES: [f64; 2] = [230.0, 730.0];
const TOP: f64 = 92.0;
/// Height of a line of text.
const LINE: f64 = 15.0;
/// The loopback has no slope to speak of: so much shows the direction.
const TILT: f64 = 7.0;

// Writing into a string cannot fail.
macro_rules! put {
    ($to:expr, $($what:tt)*) => { let _ = writeln!($to, $($what)*); };
}

mod life;
mod paint;
mod scale;

/// Draws `flow`, which `source` tells of. Long runs are folded unless `all`.
#[must_use]
pub fn svg(flow: &Flow, source: &str, theme: Theme, all: bool) -> String {
    let picture = Picture::new(flow, all);
    let mut out = String::new();
    let sum = summary::Sum::of(flow);
    let told = legend(flow, &sum);
    let foot = summary::lines(flow, sum, picture.names);
    let bottom = picture.scale.end() + 34.0;
    let height = bottom + LINE * (foot.len() as f64 + 1.0) + 16.0;
    let [mut a, b] = flow.ends.map(|end| end.to_string());
    if let Some(client) = flow.client {
        a = format!("{a}, dialed for {client}");
    }
    put!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="ui-sans-serif, system-ui, sans-serif" font-size="12" role="img">"#
    );
    put!(out, "<title>{}: {a} and {b}</title>", escaped(source));
    put!(out, "<style>{}</style>", theme.css());
    out.push_str(paint::DEFINITIONS);
    put!(
        out,
        r#"<rect class="bg" width="{WIDTH}" height="{height:.0}"/>"#
    );
    for (side, address) in [(Side::A, &a), (Side::B, &b)] {
        let x = LINES[side.index()];
        let name = picture.names[side.index()];
        put!(
            out,
            r#"<text class="name" x="{x}" y="30" text-anchor="middle">{name}</text>"#
        );
        put!(
            out,
            r#"<text class="dim" x="{x}" y="47" text-anchor="middle">{address}</text>"#
        );
    }
    picture.phases(&mut out);
    picture.lives(&mut out);
    picture.pauses(&mut out);
    for index in 0..picture.rows.len() {
        picture.row(&mut out, index);
    }
    picture.times(&mut out);
    picture.round_trip(&mut out);
    let place = match flow.vantage {
        Vantage::At(side) => format!("seen at the {}", picture.names[side.index()]),
        Vantage::Both => "seen at both ends".to_owned(),
        Vantage::Middle => "seen between the ends".to_owned(),
    };
    let legend = match (&flow.lives, flow.sight) {
        // Nothing is guessed.
        (Some(_), _) => String::new(),
        (None, Sight::Socket) => format!("{told}; hatched = (STATE)"),
        (None, _) => "; hollow and hatched = follows if the segment arrives".to_owned(),
    };
    let sight = format!("{}, {place}{legend}", sight(flow, source));
    for (index, line) in foot.iter().chain([&sight]).enumerate() {
        let y = bottom + LINE * (index as f64 + 0.5);
        put!(
            out,
            r#"<text class="dim" x="60" y="{y:.1}">{}</text>"#,
            escaped(line)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Everything that is drawn, with its places.
struct Picture<'a> {
    flow: &'a Flow,
    rows: Vec<Row<'a>>,
    signs: Vec<Sign>,
    names: [&'static str; 2],
    /// When each row left its sender, and reached its receiver.
    moments: Vec<[i64; 2]>,
    scale: Scale,
    /// Half a round trip, in nanoseconds.
    way: i64,
}

impl<'a> Picture<'a> {
    fn new(flow: &'a Flow, all: bool) -> Self {
        let rows = rows(flow, all);
        let signs = signs(&rows);
        let way = way(flow);
        let mut moments = Vec::new();
        let mut places = Vec::new();
        for (row, sign) in rows.iter().zip(&signs) {
            let event = row.first();
            let at = flow.since_start(event);
            let far = match flow.vantage {
                _ if seen_on_the_way(flow) => {
                    let arrived = event.arrived.unwrap_or(event.time + way);
                    [at, at + arrived - event.time]
                }
                Vantage::At(side) if side == event.from => [at, at + way],
                Vantage::At(_) => [at - way, at],
                Vantage::Both => [at, at],
                Vantage::Middle => [at - way / 2, at + way / 2],
            };
            let texts = match sign.below.len() {
                0 => 10.0,
                lines => LINE * (lines as f64 + 1.4),
            };
            places.push(Moment::sent(far[0], texts));
            places.push(Moment::arrived(far[1], !event.fate.is_lost()));
            moments.push(far);
        }
        Self {
            flow,
            names: crate::diagram::names(flow),
            scale: Scale::new(places, TOP),
            rows,
            signs,
            moments,
            way,
        }
    }

    /// Where a row leaves its sender, and reaches its receiver.
    fn ends(&self, index: usize) -> [f64; 2] {
        let [sent, arrived] = self.moments[index].map(|moment| self.scale.y(moment));
        match arrived - sent < TILT {
            true => [sent, sent + TILT],
            false => [sent, arrived],
        }
    }

    /// Where a row touches the line of `side`.
    fn touches(&self, index: usize, side: Side) -> f64 {
        let [sent, arrived] = self.ends(index);
        if self.rows[index].first().from == side {
            sent
        } else {
            arrived
        }
    }

    fn row(&self, out: &mut String, index: usize) {
        let (row, sign) = (&self.rows[index], &self.signs[index]);
        let event = row.first();
        let from = LINES[event.from.index()];
        let to = LINES[event.from.other().index()];
        let [sent, arrived] = self.ends(index);
        let forward = if event.from == Side::A { 1.0 } else { -1.0 };
        let class = sign.class;
        put!(out, r#"<g class="row" data-frame="{}">"#, event.frame);
        put!(out, "<title>{}</title>", escaped(&sign.full));
        let near = (from + 6.0 * forward, to - 8.0 * forward);
        if event.fate.is_lost() {
            let part = 0.62;
            let (x, y) = (
                near.0 + (near.1 - near.0) * part,
                sent + (arrived - sent) * part,
            );
            put!(
                out,
                r#"<path class="arrow {class}" d="M{:.1} {sent:.1}L{x:.1} {y:.1}"/>"#,
                near.0
            );
            put!(
                out,
                r#"<path class="arrow dots" d="M{x:.1} {y:.1}L{:.1} {arrived:.1}"/>"#,
                near.1
            );
            put!(
                out,
                r#"<path class="cross" d="M{:.1} {:.1}l10 10m0 -10l-10 10"/>"#,
                x - 5.0,
                y - 5.0
            );
        } else {
            put!(
                out,
                r##"<path class="arrow {class}" marker-end="url(#head)" d="M{:.1} {sent:.1}L{:.1} {arrived:.1}"/>"##,
                near.0,
                near.1
            );
        }
        for (side, x, y) in [(event.from, from, sent), (event.from.other(), to, arrived)] {
            let arrives = side == event.from || !event.fate.is_lost();
            let seen = self.flow.vantage.is_near(side) && arrives;
            let dot = if seen { "seen" } else { "placed" };
            if seen || !event.fate.is_lost() {
                put!(out, r#"<circle class="{dot}" cx="{x}" cy="{y:.1}" r="3"/>"#);
            }
        }
        self.texts(out, sign, event, [sent, arrived]);
        put!(out, "</g>");
    }

    fn texts(&self, out: &mut String, sign: &Sign, event: &Event, [sent, arrived]: [f64; 2]) {
        let (x, anchor, sign_of) = match event.from {
            Side::A => (LINES[0] + 22.0, "start", 1.0),
            Side::B => (LINES[1] - 22.0, "end", -1.0),
        };
        let turn = ((arrived - sent) / (LINES[1] - LINES[0]))
            .atan()
            .to_degrees()
            * sign_of;
        let begin = LINES[event.from.index()];
        put!(
            out,
            r#"<g transform="rotate({turn:.2} {begin} {sent:.1})">"#
        );
        let y = sent - 5.0;
        put!(
            out,
            r#"<text class="label {}" x="{x}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            sign.class,
            escaped(&sign.label)
        );
        for (index, (class, text)) in sign.below.iter().enumerate() {
            let y = sent + LINE * (index as f64 + 1.0) - 2.0;
            put!(
                out,
                r#"<text class="below {class}" x="{x}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
                escaped(text)
            );
        }
        put!(out, "</g>");
    }

    /// The time of every row beside it, where there is room.
    fn times(&self, out: &mut String) {
        let mut last = 0.0;
        for (index, row) in self.rows.iter().enumerate() {
            let event = row.first();
            let [sent, arrived] = self.ends(index);
            let y = match self.flow.vantage {
                Vantage::At(side) if side != event.from => arrived,
                _ => sent,
            };
            if y - last < 11.0 {
                continue;
            }
            last = y;
            let time = self.flow.since_start(event) as f64 / 1e6;
            let y = y + 4.0;
            put!(
                out,
                r#"<text class="time" x="70" y="{y:.1}" text-anchor="end">{time:.3}</text>"#
            );
        }
    }

    /// How long a round trip is on this scale.
    fn round_trip(&self, out: &mut String) {
        let found = self.flow.events.iter().flat_map(|event| &event.notes);
        let rtt = found.into_iter().find_map(|note| match note {
            Note::Connected { rtt } => Some(*rtt),
            _ => None,
        });
        let (Some(rtt), true) = (rtt, self.way > 0) else {
            return;
        };
        let Some(begin) = self
            .moments
            .iter()
            .zip(&self.rows)
            .find_map(|([sent, _], row)| {
                let tcp = row.first().tcp()?;
                let lost = row.first().fate.is_lost();
                (tcp.flags.has(wire::packet::Flags::SYN) && !lost).then_some(*sent)
            })
        else {
            return;
        };
        let (top, bottom) = (self.scale.y(begin), self.scale.y(begin + self.way * 2));
        let x = LINES[0] - 118.0;
        put!(
            out,
            r#"<path class="bracket" d="M{x} {top:.1}h-6V{bottom:.1}h6"/>"#
        );
        let y = f64::midpoint(top, bottom) + 4.0;
        put!(
            out,
            r#"<text class="dim" x="{}" y="{y:.1}" text-anchor="end">RTT</text>"#,
            x - 10.0
        );
        put!(
            out,
            r#"<text class="dim" x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
            x - 10.0,
            y + 13.0,
            duration(rtt)
        );
    }
}

/// Whether arrivals were seen as well as departures.
fn seen_on_the_way(flow: &Flow) -> bool {
    flow.events.iter().any(|event| event.arrived.is_some())
}

/// Half of the quickest round trip, or the quickest way if that was seen.
fn way(flow: &Flow) -> i64 {
    let ways = flow
        .events
        .iter()
        .filter_map(|event| Some(event.arrived? - event.time));
    if let Some(way) = ways.min() {
        return way;
    }
    if flow.vantage == Vantage::Both {
        return 0;
    }
    let trips = flow.events.iter().flat_map(|event| &event.notes);
    let trips = trips.filter_map(|note| match note {
        Note::Connected { rtt } => Some(*rtt),
        Note::Rtt { time, .. } => Some(*time),
        _ => None,
    });
    let measured = trips.min();
    // Nothing was measured: a question and what answers it.
    let mut events = flow.events.windows(2);
    let answered = events.find(|pair| pair[0].from != pair[1].from);
    let apart = answered.map(|pair| pair[1].time - pair[0].time);
    measured.map_or_else(|| apart.unwrap_or(0).max(0), u64::cast_signed) / 2
}
