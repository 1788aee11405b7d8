//! Statistics as a chart in SVG.

use std::fmt::Write;

use super::{Curve, Quantity, Stats};
use crate::svg::{Theme, escaped};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 930.0;
/// Of one curve, and from one to the next.
const HEIGHT: f64 = 90.0;
const STEP: f64 = 140.0;
const TOP: f64 = 76.0;
/// Columns of a curve.
const COLUMNS: usize = 120;

// Writing into a string cannot fail.
macro_rules! put {
    ($to:expr, $($what:tt)*) => { let _ = writeln!($to, $($what)*); };
}

/// Draws curves one below the other, each with its own scale.
#[must_use]
pub fn chart_svg(stats: &Stats, theme: Theme) -> String {
    let height = TOP + STEP * stats.curves.len() as f64;
    let mut out = String::new();
    put!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="ui-sans-serif, system-ui, sans-serif" font-size="12" role="img">"#
    );
    let title = escaped(&stats.title);
    put!(out, "<title>{title}</title>");
    put!(out, "<style>{}</style>", theme.css());
    put!(
        out,
        r#"<rect class="bg" width="{WIDTH}" height="{height:.0}"/>"#
    );
    put!(
        out,
        r#"<text class="name" x="{LEFT}" y="30">{title}</text>"#
    );
    for (index, curve) in stats.curves.iter().enumerate() {
        curve.draw_svg(&mut out, stats.span, TOP + STEP * index as f64);
    }
    out.push_str("</svg>\n");
    out
}

impl Curve {
    fn draw_svg(&self, out: &mut String, span: i64, top: f64) {
        let columns = self.columns(span, COLUMNS);
        let most = columns
            .iter()
            .flatten()
            .copied()
            .fold(0.0, f64::max)
            .max(f64::MIN_POSITIVE);
        let bottom = top + HEIGHT;
        let x = |index: f64| LEFT + (RIGHT - LEFT) * index / COLUMNS as f64;
        let y = |value: f64| bottom - HEIGHT * value / most;
        let summary = self.summary(span, &columns);
        put!(
            out,
            r#"<text class="label" x="{LEFT}" y="{:.0}">{}: {summary}</text>"#,
            top - 8.0,
            escaped(&self.name)
        );
        put!(
            out,
            r#"<path class="phase" d="M{LEFT} {top:.1}V{bottom:.1}H{RIGHT}"/>"#
        );
        for (value, at) in [(most, top + 9.0), (0.0, bottom)] {
            put!(
                out,
                r#"<text class="dim" x="{:.0}" y="{at:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                self.quantity.say(value)
            );
        }
        put!(
            out,
            r#"<text class="dim" x="{RIGHT}" y="{:.1}" text-anchor="end">{}</text>"#,
            bottom + 15.0,
            crate::words::duration(span.unsigned_abs())
        );
        let mut path = String::new();
        let mut before = false;
        for (index, value) in columns.iter().enumerate() {
            let Some(value) = value.filter(|value| self.is_line() || *value > 0.0) else {
                before = false;
                continue;
            };
            let (x, y) = (x(index as f64 + 0.5), y(value));
            // Writing into a string cannot fail.
            let _ = match (self.is_line(), before) {
                (true, true) => write!(path, "L{x:.1} {y:.1}"),
                (true, false) => write!(path, "M{x:.1} {y:.1}h0.1"),
                (false, _) => write!(path, "M{x:.1} {bottom:.1}V{y:.1}"),
            };
            before = self.quantity != Quantity::Took;
        }
        let thick = if self.quantity == Quantity::Took {
            4.0
        } else {
            1.6
        };
        let class = match self.quantity {
            Quantity::Passed | Quantity::Flowed => "data",
            Quantity::Held => "syn",
            Quantity::Took | Quantity::Smoothed => "fin",
            Quantity::Count => "again",
        };
        put!(
            out,
            r#"<path class="arrow {class}" style="fill:none;stroke-linecap:round;stroke-width:{thick}" d="{path}"/>"#
        );
    }

    /// What goes on between two samples is drawn as a line, what happens at a moment as a bar.
    fn is_line(&self) -> bool {
        self.quantity != Quantity::Count
    }
}
