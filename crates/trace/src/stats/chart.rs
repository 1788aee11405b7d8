//! Statistics as a chart of letters.

use super::{Curve, Quantity, Stats};
use crate::diagram::Style;
use crate::diagram::pen::{width, wrapped};

/// Lines of a curve.
const HEIGHT: usize = 5;
/// Columns of the axis.
const AXIS: usize = 14;

/// The eighths of a letter, from below.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws curves one below the other, each with its own scale, line by line.
#[must_use]
pub fn chart(stats: &Stats, style: &Style) -> String {
    let columns = style.width.saturating_sub(AXIS + 2).max(20);
    let mut text = String::new();
    for line in wrapped(&stats.title, style.width, 0) {
        put(&mut text, &line);
    }
    for curve in &stats.curves {
        curve.draw(&mut text, stats.span, columns, style);
    }
    if !stats.curves.is_empty() {
        let end = crate::words::duration(stats.span.unsigned_abs());
        let room = columns.saturating_sub(1);
        put(&mut text, &format!("{:AXIS$}  0{end:>room$}", ""));
    }
    match style.ascii {
        true => text.replace('→', ">").replace('µ', "u"),
        false => text,
    }
}

fn put(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

impl Curve {
    fn draw(&self, text: &mut String, span: i64, count: usize, style: &Style) {
        let columns = self.columns(span, count);
        let most = columns.iter().flatten().copied().fold(0.0, f64::max);
        put(
            text,
            &format!("{}: {}", self.name, self.summary(span, &columns)),
        );
        let height = match self.quantity {
            Quantity::Count => 1,
            _ => HEIGHT,
        };
        let color = match (style.color, self.quantity) {
            (false, _) => "",
            (true, Quantity::Passed | Quantity::Flowed) => "\x1b[36m",
            (true, Quantity::Held) => "\x1b[32m",
            (true, Quantity::Took | Quantity::Smoothed) => "\x1b[33m",
            (true, Quantity::Count) => "\x1b[35m",
        };
        let reset = if color.is_empty() { "" } else { "\x1b[0m" };
        let (tick, corner) = if style.ascii {
            ('|', '+')
        } else {
            ('┤', '└')
        };
        for row in (0..height).rev() {
            let letters: String = columns
                .iter()
                .map(|value| letter(value.unwrap_or(0.0), most, row, height, style.ascii))
                .collect();
            let axis = match row + 1 == height {
                true => self.quantity.say(most),
                false => String::new(),
            };
            let axis = format!("{}{axis}", " ".repeat(AXIS.saturating_sub(width(&axis))));
            put(
                text,
                &format!("{axis} {tick}{color}{}{reset}", letters.trim_end()),
            );
        }
        let dash = if style.ascii { "-" } else { "─" };
        put(
            text,
            &format!("{:AXIS$} {corner}{}", "", dash.repeat(count)),
        );
    }
}

/// What a value fills of one letter in its column.
fn letter(value: f64, most: f64, row: usize, height: usize, ascii: bool) -> char {
    if value <= 0.0 || most <= 0.0 {
        return ' ';
    }
    // What is there is seen, however little it is.
    let eighths = ((value / most * (height * 8) as f64).round() as usize).max(1);
    let here = eighths.saturating_sub(row * 8).min(8);
    match (ascii, here) {
        (true, 0) => ' ',
        (true, 1..=4) => '.',
        (true, _) => '#',
        (false, _) => EIGHTHS[here],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_high_as_its_value_and_seen_if_there_is_any() {
        let column = |value: f64| -> String {
            (0..2)
                .map(|row| letter(value, 16.0, row, 2, false))
                .collect()
        };
        assert_eq!(column(16.0), "██");
        assert_eq!(column(8.0), "█ ");
        assert_eq!(column(12.0), "█▄");
        assert_eq!(column(0.01), "▁ ");
        assert_eq!(column(0.0), "  ");
    }

    #[test]
    fn a_chart_keeps_its_width() {
        let stats = Stats {
            title: "made".to_owned(),
            span: 2_000_000_000,
            curves: vec![Curve {
                name: "throughput client → server".to_owned(),
                quantity: Quantity::Passed,
                samples: vec![(0, 125_000.0), (1_500_000_000, 250_000.0)],
            }],
        };
        let style = Style {
            width: 60,
            ..Style::default()
        };
        let text = chart(&stats, &style);
        assert!(text.lines().all(|line| width(line) <= 60), "{text}");
        // Three megabits in two seconds.
        assert!(
            text.contains("throughput client → server: mean 1.5 Mbit/s"),
            "{text}"
        );
        let ascii = chart(
            &stats,
            &Style {
                ascii: true,
                ..style
            },
        );
        assert!(ascii.is_ascii(), "{ascii}");
        assert!(ascii.contains('#'), "{ascii}");
    }
}
