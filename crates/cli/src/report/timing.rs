//! How long each step of an exchange took, as bars of 80 columns at most.

use std::time::Duration;

use sockeye::fetch::Exchange;

/// Columns of the bars.
const WIDTH: usize = 48;

/// A line for each step that there was, and one for all of it.
pub(crate) fn chart(exchange: &Exchange) -> String {
    let times = &exchange.timings;
    let reach = exchange.connection.as_ref();
    let steps = [
        ("resolve", times.resolved),
        // Its handshake is that of TLS.
        match reach.is_some_and(|reach| reach.path.is_some()) {
            true => ("QUIC", times.connected),
            false => ("connect", times.connected),
        },
        (
            "TLS",
            times.secured.filter(|at| Some(*at) != times.connected),
        ),
        ("send", times.sent),
        ("wait", times.answered),
        ("receive", times.ended.filter(|_| times.answered.is_some())),
    ];
    let whole = times.ended.unwrap_or_default();
    let mut begun = Duration::ZERO;
    let mut text = String::new();
    for (name, ended) in steps {
        let Some(ended) = ended else { continue };
        // An answer may come before all of the request was sent.
        let ended = ended.max(begun);
        let bar = bar(begun, ended, whole);
        text.push_str(&format!("  {name:8} {:>10} {bar}\n", time(ended - begun)));
        begun = ended;
    }
    text.push_str(&format!("  {:8} {:>10}\n", "all", time(whole)));
    text
}

/// From when to when, on the scale of the whole.
fn bar(from: Duration, to: Duration, whole: Duration) -> String {
    let column = |moment: Duration| match whole.is_zero() {
        true => 0,
        // Both are less than a day, and the result is less than the width.
        false => (moment.as_micros() * WIDTH as u128 / whole.as_micros().max(1)) as usize,
    };
    let begin = column(from).min(WIDTH - 1);
    let length = column(to).saturating_sub(begin).max(1).min(WIDTH - begin);
    format!("{}{}", " ".repeat(begin), "█".repeat(length))
}

/// `0.4 ms`, `12.34 s`
fn time(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_their_time_is() {
        let ms = Duration::from_millis;
        assert_eq!(bar(ms(0), ms(48), ms(48)), "█".repeat(48));
        assert_eq!(
            bar(ms(24), ms(36), ms(48)),
            format!("{}{}", " ".repeat(24), "█".repeat(12))
        );
        assert_eq!(bar(ms(48), ms(48), ms(48)), format!("{}█", " ".repeat(47)));
        assert_eq!(bar(ms(0), ms(0), ms(0)), "█");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(time(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(time(Duration::from_millis(9999)), "9999.0 ms");
        assert_eq!(time(Duration::from_millis(12_345)), "12.35 s");
    }
}
