//! A capture as JSON, one object a line: version 1 of the schema in docs/TRACE.md.

use std::fmt::Write;

use wire::packet::Flags;

use crate::event::{Event, Kind, Note, Side, StateAt, Tcp, Vantage};
use crate::file::Capture;
use crate::flow::Flow;

/// Every line of `capture` in the order of its packets, each with its `\n`, handed over one by one. A flow is
/// described before its first packet, and the last line says what was left out.
///
/// # Errors
/// The first one that `put` returns.
pub fn json<E>(
    capture: &Capture,
    source: &str,
    mut put: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut order: Vec<(u64, usize, usize)> = Vec::new();
    for (number, flow) in capture.flows.iter().enumerate() {
        let rows = flow.events.iter().enumerate();
        order.extend(rows.map(|(row, event)| (event.frame, number, row)));
    }
    order.sort_unstable();
    let mut line = String::new();
    for (_, number, row) in order {
        line.clear();
        let flow = &capture.flows[number];
        if row == 0 {
            head(&mut line, flow, number, source, capture.started);
        }
        packet(&mut line, flow, number, &flow.events[row]);
        put(&line)?;
    }
    line.clear();
    tail(&mut line, capture);
    put(&line)
}

// Writing into a string cannot fail.
macro_rules! put {
    ($to:expr, $($what:tt)*) => { let _ = write!($to, $($what)*); };
}

/// The lines of one flow that goes on, from packet `row` on.
#[must_use]
pub fn json_of(flow: &Flow, number: usize, row: usize, started: Option<u64>) -> String {
    let mut lines = String::new();
    if row == 0 && !flow.events.is_empty() {
        lines = json_head(flow, number, started);
    }
    lines.push_str(&json_packets(flow, number, row));
    lines
}

/// The line that describes one flow.
#[must_use]
pub fn json_head(flow: &Flow, number: usize, started: Option<u64>) -> String {
    let mut line = String::new();
    head(&mut line, flow, number, "", started);
    line
}

/// The lines of its packets, from packet `row` on.
#[must_use]
pub fn json_packets(flow: &Flow, number: usize, row: usize) -> String {
    let mut lines = String::new();
    for event in flow.events.iter().skip(row.saturating_sub(flow.gone)) {
        packet(&mut lines, flow, number, event);
    }
    lines
}

/// The last line: what was left out.
#[must_use]
pub fn json_end(capture: &Capture) -> String {
    let mut line = String::new();
    tail(&mut line, capture);
    line
}

fn head(line: &mut String, flow: &Flow, number: usize, source: &str, started: Option<u64>) {
    let vantage = match flow.vantage {
        Vantage::At(side) => side.name(),
        Vantage::Both => "both",
        Vantage::Middle => "middle",
    };
    put!(line, r#"{{"v":1,"event":"flow","flow":{number},"#);
    put!(
        line,
        r#""transport":"{}","sight":"{}","source":{},"#,
        flow.transport.name(),
        flow.sight.name(),
        quoted(source)
    );
    put!(
        line,
        r#""vantage":"{vantage}","A":"{}","B":"{}""#,
        flow.ends[0],
        flow.ends[1]
    );
    if let Some(client) = flow.client {
        put!(line, r#","for":"{client}""#);
    }
    if let Some(started) = started {
        // Beyond 2^53 a number would lose digits.
        put!(
            line,
            r#","started":"{}.{:09}""#,
            started / 1_000_000_000,
            started % 1_000_000_000
        );
    }
    if flow.has_states() {
        let [a, b] = flow.first.map(|state| state.name());
        put!(line, r#","first":{{"A":"{a}","B":"{b}"}}"#);
    }
    line.push_str("}\n");
}

fn packet(line: &mut String, flow: &Flow, number: usize, event: &Event) {
    put!(
        line,
        r#"{{"v":1,"event":"packet","frame":{},"flow":{number},"time":"#,
        event.frame
    );
    seconds(line, event.time);
    if let Some(read) = event.read {
        line.push_str(r#","read":"#);
        seconds(line, read);
    }
    put!(
        line,
        r#","from":"{}","transport":"{}""#,
        event.from.name(),
        flow.transport.name()
    );
    match &event.kind {
        Kind::Tcp(tcp) => segment(line, tcp),
        Kind::Datagram { len, packets } => {
            put!(line, r#","len":{len}"#);
            if let Some(packets) = packets {
                put!(line, r#","packets":{}"#, quoted(packets));
            }
        }
        Kind::Bytes { len } => {
            put!(line, r#","len":{len}"#);
        }
        Kind::Inferred(what) => {
            put!(line, r#","inferred":"{what}","len":0"#);
        }
        Kind::Counted { len } => {
            put!(line, r#","inferred":"data","len":{len}"#);
        }
        Kind::Icmp(why) => {
            put!(line, r#","icmp":"{}","len":0"#, why.text());
        }
    }
    put!(line, r#","fate":"{}""#, event.fate.name());
    if let Some(arrived) = event.arrived {
        line.push_str(r#","arrived":"#);
        seconds(line, arrived);
    }
    if let Some(now) = event.states {
        states(line, now);
    }
    line.push_str(r#","notes":["#);
    list(line, event.notes.iter(), note);
    line.push(']');
    if !event.steps.is_empty() {
        line.push_str(r#","steps":["#);
        list(line, event.steps.iter(), |line, step| {
            put!(
                line,
                r#"{{"layer":"{}","text":{}}}"#,
                step.layer,
                quoted(&step.text)
            );
        });
        line.push(']');
    }
    if let Some(text) = &event.text {
        put!(line, r#","text":{}"#, quoted(text));
    }
    line.push_str("}\n");
}

fn states(line: &mut String, states: [StateAt; 2]) {
    line.push_str(r#","states":{"#);
    list(line, Side::BOTH.iter(), |line, side| {
        let StateAt { state, sure } = states[side.index()];
        put!(
            line,
            r#""{}":{{"state":"{}","sure":"{}"}}"#,
            side.name(),
            state.name(),
            sure.name()
        );
    });
    line.push('}');
}

fn segment(line: &mut String, tcp: &Tcp) {
    line.push_str(r#","flags":["#);
    list(line, tcp.flags.names(), |line, name| {
        put!(line, r#""{name}""#);
    });
    put!(line, r#"],"seq":{},"ack":{},"#, tcp.seq, tcp.ack);
    put!(
        line,
        r#""seq_raw":{},"ack_raw":{},"#,
        tcp.seq_raw,
        tcp.ack_raw
    );
    put!(line, r#""len":{},"window":{}"#, tcp.len, tcp.window);
    if let Some(mss) = tcp.mss {
        put!(line, r#","mss":{mss}"#);
    }
    if tcp.flags.has(Flags::SYN) {
        if let Some(scale) = tcp.scale {
            put!(line, r#","scale":{scale}"#);
        }
        put!(line, r#","sack_permitted":{}"#, tcp.sack_permitted);
        if let Some((own, peer)) = tcp.timestamps {
            put!(line, r#","timestamps":[{own},{peer}]"#);
        }
    }
    if !tcp.sack.is_empty() {
        line.push_str(r#","sack":["#);
        list(line, tcp.sack.iter(), |line, (start, end)| {
            put!(line, "[{start},{end}]");
        });
        line.push(']');
    }
}

fn note(line: &mut String, note: &Note) {
    put!(line, r#"{{"note":"{}""#, note.name());
    match *note {
        Note::Retransmission { of, after, how } => {
            if let Some(of) = of {
                put!(line, r#","of":{of}"#);
            }
            line.push_str(r#","after":"#);
            seconds(line, after.cast_signed());
            put!(line, r#","how":"{}""#, how.name());
        }
        Note::Duplicate { of } => {
            put!(line, r#","of":{of}"#);
        }
        Note::Gap { bytes } => {
            put!(line, r#","bytes":{bytes}"#);
        }
        Note::DuplicateAck { count, of } => {
            put!(line, r#","count":{count},"of":{of}"#);
        }
        Note::ReadLate { after } => {
            line.push_str(r#","after":"#);
            seconds(line, after.cast_signed());
        }
        Note::Connected { rtt } => {
            line.push_str(r#","rtt":"#);
            seconds(line, rtt.cast_signed());
        }
        Note::Rtt { time, of } => {
            put!(line, r#","of":{of},"time":"#);
            seconds(line, time.cast_signed());
        }
        _ => {}
    }
    line.push('}');
}

fn tail(line: &mut String, capture: &Capture) {
    put!(
        line,
        r#"{{"v":1,"event":"end","frames":{},"flows":{},"dropped":{},"skipped":{{"#,
        capture.frames,
        capture.flows.len() + capture.forgotten,
        capture.dropped
    );
    list(line, capture.skipped.iter(), |line, (why, count)| {
        put!(line, "{}:{count}", quoted(why));
    });
    line.push('}');
    if let Some(fault) = &capture.fault {
        put!(line, r#","fault":{}"#, quoted(&fault.to_string()));
    }
    line.push_str("}\n");
}

fn list<T>(line: &mut String, items: impl Iterator<Item = T>, put: impl Fn(&mut String, T)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            line.push(',');
        }
        put(line, item);
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Nanoseconds as a number of seconds, without rounding.
fn seconds(line: &mut String, time: i64) {
    let sign = if time < 0 { "-" } else { "" };
    let time = time.unsigned_abs();
    put!(
        line,
        "{sign}{}.{:09}",
        time / 1_000_000_000,
        time % 1_000_000_000
    );
}
