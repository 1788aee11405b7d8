//! Tables: medians of rounds, ratios taken round by round, and the goal beside each ratio.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::contender::SOCKEYE;

/// What one figure of a sample is and how many decimals it is worth.
pub(crate) type Column = (&'static str, usize);

/// What is asked of sockeye.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Only printed.
    Shown,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Shown => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Shown => String::new(),
        }
    }
}

/// A bound on one column of sockeye: on the median of its ratios to a peer, or, as a promise that has
/// no peer to share a bad moment with, on the figure of its worst round.
pub(crate) struct Goal {
    pub(crate) column: usize,
    pub(crate) against: Option<&'static str>,
    pub(crate) bound: Bound,
}

impl Goal {
    pub(crate) fn ratio(column: usize, against: &'static str, bound: Bound) -> Self {
        Self {
            column,
            against: Some(against),
            bound,
        }
    }

    pub(crate) fn figure(column: usize, bound: Bound) -> Self {
        Self {
            column,
            against: None,
            bound,
        }
    }

    fn value(&self, values: Vec<f64>) -> Option<f64> {
        match (self.against, self.bound) {
            (None, Bound::AtMost(_)) => values.into_iter().max_by(f64::total_cmp),
            (None, Bound::AtLeast(_)) => values.into_iter().min_by(f64::total_cmp),
            _ => median(values),
        }
    }
}

/// The samples of one case: contenders × rounds × columns.
pub(crate) struct Table {
    title: String,
    columns: &'static [Column],
    goals: Vec<Goal>,
    order: Vec<&'static str>,
    samples: BTreeMap<(&'static str, usize), Vec<f64>>,
}

/// How the goals of some tables came out.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) met: usize,
    pub(crate) missed: Vec<String>,
    /// Not decided, because sockeye or the peer gave no figure.
    pub(crate) open: usize,
}

impl Table {
    pub(crate) fn new(title: String, columns: &'static [Column], goals: Vec<Goal>) -> Self {
        Self {
            title,
            columns,
            goals,
            order: Vec::new(),
            samples: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, contender: &'static str, round: usize, figures: Vec<f64>) {
        if !self.order.contains(&contender) {
            self.order.push(contender);
        }
        self.samples.insert((contender, round), figures);
    }

    /// Prints the table and notes in `verdict` how its goals came out.
    pub(crate) fn print(&self, verdict: &mut Verdict) {
        let mut text = format!("\n{}\n{:24}", self.title, "");
        for (name, _) in self.columns {
            let _ = write!(text, "{name:>17}");
        }
        text.push_str("    spread     n\n");
        for contender in &self.order {
            let _ = write!(text, "  {contender:22}");
            for (column, (_, decimals)) in self.columns.iter().enumerate() {
                let value = median(self.figures(contender, column));
                let _ = write!(text, "{:>17}", number(value, *decimals));
            }
            let values = self.figures(contender, 0);
            let _ = writeln!(text, "{:>8.0} %{:>6}", spread(&values), values.len());
        }
        for goal in &self.goals {
            self.judge(goal, &mut text, verdict);
        }
        print!("{text}");
    }

    fn judge(&self, goal: &Goal, text: &mut String, verdict: &mut Verdict) {
        let column = self.columns[goal.column].0;
        let (what, values) = match goal.against {
            Some(peer) => (
                format!("{SOCKEYE} / {peer}, {column}"),
                self.ratios(goal.column, peer),
            ),
            None => (
                format!("{SOCKEYE}, {column}, worst round"),
                self.figures(SOCKEYE, goal.column),
            ),
        };
        let Some(value) = goal.value(values) else {
            verdict.open += usize::from(!matches!(goal.bound, Bound::Shown));
            return;
        };
        let sign = match (goal.bound, goal.bound.holds(value)) {
            (Bound::Shown, _) => "",
            (_, true) => "ok",
            (_, false) => "MISS",
        };
        let line = format!("{what:40}{value:>9.2}   {:8}{sign}", goal.bound.text());
        let _ = writeln!(text, "    {}", line.trim_end());
        match sign {
            "ok" => verdict.met += 1,
            "MISS" => {
                let missed = format!("{}: {what} {value:.2}, {}", self.title, goal.bound.text());
                verdict.missed.push(missed);
            }
            _ => {}
        }
    }

    fn figures(&self, contender: &str, column: usize) -> Vec<f64> {
        let rows = self
            .samples
            .iter()
            .filter(|((name, _), _)| *name == contender);
        rows.map(|(_, figures)| figures[column]).collect()
    }

    /// sockeye's figure over the peer's, for the rounds in which both have one.
    fn ratios(&self, column: usize, peer: &'static str) -> Vec<f64> {
        let ours = self
            .samples
            .iter()
            .filter(|((name, _), _)| *name == SOCKEYE);
        ours.filter_map(|((_, round), figures)| {
            let theirs = self.samples.get(&(peer, *round))?[column];
            (theirs > 0.0).then_some(figures[column] / theirs)
        })
        .collect()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(values[middle - 1], upper)
    })
}

/// How far the rounds lie apart, in percent of their median.
fn spread(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match median(values.to_vec()) {
        Some(middle) if middle > 0.0 => (most - least) / middle * 100.0,
        _ => 0.0,
    }
}

/// A figure with its thousands apart.
fn number(value: Option<f64>, decimals: usize) -> String {
    let Some(value) = value else {
        return "–".into();
    };
    let text = format!("{value:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::new();
    for (place, digit) in text.chars().enumerate() {
        let left = whole.saturating_sub(place);
        if place > 0 && left > 0 && left % 3 == 0 && out != "-" {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(Some(1_234_567.0), 0), "1,234,567");
        assert_eq!(number(Some(-123.45), 1), "-123.5");
        assert_eq!(number(Some(999.0), 2), "999.00");
        assert_eq!(number(None, 2), "–");
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let mut table = Table::new(String::new(), &[("rate", 0)], Vec::new());
        for (round, ours, theirs) in [(0, 10.0, 5.0), (1, 100.0, 100.0), (2, 30.0, 10.0)] {
            table.add(SOCKEYE, round, vec![ours]);
            table.add("peer", round, vec![theirs]);
        }
        table.add(SOCKEYE, 3, vec![1.0]);
        assert_eq!(median(table.ratios(0, "peer")), Some(2.0));
    }

    #[test]
    fn a_missed_goal_is_told() {
        let goals = vec![
            Goal::ratio(0, "peer", Bound::AtLeast(0.9)),
            Goal::figure(0, Bound::AtMost(3.0)),
        ];
        let mut table = Table::new("case".into(), &[("rate", 0)], goals);
        table.add(SOCKEYE, 0, vec![4.0]);
        table.add("peer", 0, vec![4.0]);
        let mut verdict = Verdict::default();
        table.print(&mut verdict);
        assert_eq!((verdict.met, verdict.missed.len()), (1, 1));
    }
}
