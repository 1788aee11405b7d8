//! How a connection went, over time: how much, how far away, how much at once, and what had to be sent again.

use crate::event::{Note, Side};
use crate::flow::{Flow, Transport};

mod chart;
mod kernel;
mod svg;

pub use chart::chart;
pub use kernel::Sampler;
pub use svg::chart_svg;

/// What a curve's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Bytes that passed at that moment: drawn as bits a second.
    Passed,
    /// Bytes that passed since the sample before: drawn as bits a second.
    Flowed,
    /// Bytes, from that moment until the next.
    Held,
    /// Nanoseconds, from that moment until the next.
    Smoothed,
    /// Nanoseconds that something took.
    Took,
    /// How often something happened at that moment.
    Count,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it shows.
    pub name: String,
    /// What its numbers are.
    pub quantity: Quantity,
    /// Nanoseconds since the beginning, and how much, in order.
    pub samples: Vec<(i64, f64)>,
}

/// How a connection went.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Which one, and where the numbers are from.
    pub title: String,
    /// How long it is, in nanoseconds.
    pub span: i64,
    /// What is known of it.
    pub curves: Vec<Curve>,
}

impl Stats {
    /// What its packets tell.
    #[must_use]
    pub fn of(flow: &Flow, source: &str) -> Self {
        let [a, b] = flow.ends;
        let names = crate::diagram::names(flow);
        let last = flow
            .events
            .last()
            .map_or(0, |event| flow.since_start(event));
        let mut curves = Vec::new();
        for side in Side::BOTH {
            let way = format!("{} → {}", names[side.index()], names[side.other().index()]);
            curves.push(passed(flow, side, &way));
            if flow.transport == Transport::Tcp {
                curves.push(took(flow, side, &way));
                curves.push(held(flow, side, &way));
                curves.push(again(flow, side, &way));
            }
        }
        curves.retain(|curve| !curve.samples.is_empty());
        Self {
            title: format!("{a} and {b}, {}", crate::diagram::sight(flow, source)),
            span: last.max(1),
            curves,
        }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.curves.is_empty()
    }
}

/// Data that was sent, also what was sent before.
fn passed(flow: &Flow, side: Side, way: &str) -> Curve {
    let events = flow.events.iter();
    let sent = events.filter(|event| event.from == side && !event.is_empty());
    Curve {
        name: format!("throughput {way}"),
        quantity: Quantity::Passed,
        samples: sent
            .map(|event| (flow.since_start(event), f64::from(event.len())))
            .collect(),
    }
}

/// From data to its ACK; delayed ACKs are part of it.
fn took(flow: &Flow, side: Side, way: &str) -> Curve {
    let mut samples = Vec::new();
    for event in &flow.events {
        let time = event.arrived.unwrap_or(event.time) - event.time + flow.since_start(event);
        for note in &event.notes {
            match note {
                Note::Connected { rtt } if side == Side::A => samples.push((time, *rtt as f64)),
                Note::Rtt { time: took, .. } if event.from != side => {
                    samples.push((time, *took as f64));
                }
                _ => {}
            }
        }
    }
    Curve {
        name: format!("data→ack {way}"),
        quantity: Quantity::Took,
        samples,
    }
}

/// What is sent and not yet acknowledged, which is never more than the congestion window allows.
fn held(flow: &Flow, side: Side, way: &str) -> Curve {
    let (mut next, mut acked) = (None, 0);
    let mut samples = Vec::new();
    for event in &flow.events {
        let Some(tcp) = event.tcp() else { continue };
        if event.from == side && tcp.len > 0 {
            next = Some(next.unwrap_or(tcp.seq).max(tcp.seq + i64::from(tcp.len)));
            acked = acked.max(if samples.is_empty() { tcp.seq } else { 0 });
        } else if event.from != side {
            acked = acked.max(tcp.ack);
        } else {
            continue;
        }
        if let Some(next) = next {
            samples.push((flow.since_start(event), (next - acked).max(0) as f64));
        }
    }
    Curve {
        name: format!("in flight {way}"),
        quantity: Quantity::Held,
        samples,
    }
}

fn again(flow: &Flow, side: Side, way: &str) -> Curve {
    let events = flow.events.iter().filter(|event| event.from == side);
    let repeats = events.filter(|event| crate::summary::repeats(event));
    Curve {
        name: format!("retransmissions {way}"),
        quantity: Quantity::Count,
        samples: repeats
            .map(|event| (flow.since_start(event), 1.0))
            .collect(),
    }
}

impl Curve {
    /// What it is in each of so many equal parts of `span`; none where nothing is known.
    fn columns(&self, span: i64, count: usize) -> Vec<Option<f64>> {
        let seconds = span as f64 / 1e9 / count as f64;
        if self.quantity == Quantity::Flowed {
            return self
                .spread(span, count)
                .map(|bytes| Some(bytes * 8.0 / seconds))
                .collect();
        }
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); count];
        for (time, value) in &self.samples {
            let at = (*time as f64 / span as f64 * count as f64) as usize;
            columns[at.min(count - 1)].push(*value);
        }
        let mut last = None;
        let columns = columns.into_iter().map(|values| {
            let most = values.iter().copied().reduce(f64::max);
            let sum: f64 = values.iter().sum();
            let value = match self.quantity {
                Quantity::Passed | Quantity::Flowed => Some(sum * 8.0 / seconds),
                Quantity::Count => Some(sum),
                Quantity::Took => most,
                Quantity::Held | Quantity::Smoothed => most.or(last),
            };
            last = values.last().copied().or(last);
            value
        });
        columns.collect()
    }

    /// What flowed from one sample to the next, in equal parts of `span`.
    fn spread(&self, span: i64, count: usize) -> impl Iterator<Item = f64> {
        let width = span as f64 / count as f64;
        let mut columns = vec![0.0; count];
        for pair in self.samples.windows(2) {
            let [(from, _), (to, bytes)] = [pair[0], pair[1]];
            let (from, to) = (from as f64, to as f64);
            let first = (from / width) as usize;
            let last = ((to / width) as usize).min(count - 1);
            for (index, column) in columns.iter_mut().enumerate().take(last + 1).skip(first) {
                let (begin, end) = (index as f64 * width, (index + 1) as f64 * width);
                let shared = (to.min(end) - from.max(begin)).max(0.0);
                *column += bytes * shared / (to - from).max(1.0);
            }
        }
        columns.into_iter()
    }

    /// The most of it, and what it comes to in all.
    fn summary(&self, span: i64, columns: &[Option<f64>]) -> String {
        let values = self.samples.iter().map(|(_, value)| *value);
        let most = columns.iter().flatten().copied().fold(0.0, f64::max);
        let sum: f64 = values.clone().sum();
        match self.quantity {
            Quantity::Passed | Quantity::Flowed => {
                let mean = sum * 8e9 / span as f64;
                format!("mean {}, most {}", rate(mean), rate(most))
            }
            Quantity::Held => format!("most {}", bytes(most)),
            Quantity::Took | Quantity::Smoothed => {
                let mut sorted: Vec<f64> = values.collect();
                sorted.sort_by(f64::total_cmp);
                let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
                let [least, median, most] = [sorted.first().copied().unwrap_or(0.0), median, most]
                    .map(|time| crate::words::duration(time as u64));
                format!("least {least}, median {median}, most {most}")
            }
            Quantity::Count => format!("{sum} in all"),
        }
    }
}

impl Quantity {
    /// A number of it, short enough for an axis.
    fn say(self, value: f64) -> String {
        match self {
            Self::Passed | Self::Flowed => rate(value),
            Self::Held => bytes(value),
            Self::Took | Self::Smoothed => crate::words::duration(value as u64),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// Bits a second.
fn rate(bits: f64) -> String {
    let (unit, name) = match bits {
        1e9.. => (1e9, "Gbit/s"),
        1e6.. => (1e6, "Mbit/s"),
        1e3.. => (1e3, "kbit/s"),
        _ => (1.0, "bit/s"),
    };
    format!("{} {name}", short(bits / unit))
}

fn bytes(bytes: f64) -> String {
    let (unit, name) = match bytes {
        1_048_576.0.. => (1_048_576.0, "MiB"),
        1024.0.. => (1024.0, "KiB"),
        _ => (1.0, "B"),
    };
    format!("{} {name}", short(bytes / unit))
}

/// Three digits, and no more behind the point than say something.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(quantity: Quantity, samples: &[(i64, f64)]) -> Curve {
        Curve {
            name: "made".to_owned(),
            quantity,
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn columns_add_up_hold_or_stay_empty_as_their_quantity_does() {
        const SECOND: i64 = 1_000_000_000;
        let samples = [(0, 100.0), (SECOND / 8, 25.0), (SECOND * 3 / 4, 50.0)];
        let columns = |quantity| curve(quantity, &samples).columns(SECOND, 4);
        // Eight bits, four parts of a second.
        let passed = [4000.0, 0.0, 0.0, 1600.0].map(Some);
        assert_eq!(columns(Quantity::Passed), passed);
        assert_eq!(columns(Quantity::Held), [100.0, 25.0, 25.0, 50.0].map(Some));
        assert_eq!(
            columns(Quantity::Took),
            [Some(100.0), None, None, Some(50.0)]
        );
        // What came with the first sample flowed before it. 25 bytes belong to the first quarter, and of 50 that flowed
        // in five eighths a fifth, two fifths and two fifths to what they were in.
        let flowed = [25.0 + 10.0, 20.0, 20.0, 0.0].map(|bytes| Some(bytes * 32.0));
        assert_eq!(columns(Quantity::Flowed), flowed);
        let ends = curve(Quantity::Count, &[(SECOND, 1.0)]).columns(SECOND, 4);
        assert_eq!(
            ends,
            [0.0, 0.0, 0.0, 1.0].map(Some),
            "the last moment is in the last part"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(rate(8_000_000.0), "8 Mbit/s");
        assert_eq!(rate(123_456.0), "123 kbit/s");
        assert_eq!(rate(1.5e9), "1.5 Gbit/s");
        assert_eq!(bytes(14_480.0), "14.1 KiB");
        assert_eq!(bytes(999.0), "999 B");
    }
}
