//! Where a flow was captured: the end that is near answers at once.

use crate::event::{Event, Side, Vantage};
use crate::flow::Flow;

/// Answers that both come quicker, in nanoseconds, are no evidence: the ends are one machine.
const NEAR: i64 = 150_000;

/// Where `flow` was captured.
pub(crate) fn of(flow: &Flow) -> Vantage {
    if flow
        .ends
        .iter()
        .all(|end| end.ip().to_canonical().is_loopback())
    {
        return Vantage::Both;
    }
    match quickest(&flow.events) {
        [Some(a), Some(b)] if a + b < NEAR => Vantage::Both,
        [Some(a), Some(b)] if b * 10 > (a + b) * 9 => Vantage::At(Side::A),
        [Some(a), Some(b)] if a * 10 > (a + b) * 9 => Vantage::At(Side::B),
        [Some(_), Some(_)] => Vantage::Middle,
        [Some(a), None] if a >= NEAR => Vantage::At(Side::B),
        [None, Some(b)] if b >= NEAR => Vantage::At(Side::A),
        [Some(_), None] | [None, Some(_)] => Vantage::Both,
        // Nobody answered: whoever spoke is here.
        [None, None] => flow
            .events
            .first()
            .map_or(Vantage::Middle, |first| Vantage::At(first.from)),
    }
}

/// How long the quickest answer of each end took, counted here.
fn quickest(events: &[Event]) -> [Option<i64>; 2] {
    let mut quickest = [None; 2];
    // The latest of each end that asks for an answer: the number behind it, and its time.
    let mut open: [Option<(i64, i64)>; 2] = [None; 2];
    for event in events {
        let answerer = event.from.index();
        let asker = event.from.other().index();
        let answered = match (event.tcp(), open[asker]) {
            (Some(tcp), Some((end, time))) if tcp.ack >= end => Some(time),
            (None, Some((_, time))) => Some(time),
            _ => None,
        };
        if let Some(time) = answered {
            let took = (event.time - time).max(0);
            quickest[answerer] =
                Some(quickest[answerer].map_or(took, |least: i64| least.min(took)));
            open[asker] = None;
        }
        match event.tcp() {
            Some(tcp) if tcp.end() > tcp.seq => open[answerer] = Some((tcp.end(), event.time)),
            Some(_) => {}
            None => open[answerer] = Some((0, event.time)),
        }
    }
    quickest
}
