//! Reports as lines for a person.

use std::fmt::Write;
use std::time::Duration;

use sockeye::{Counters, Direction, Ending, Info, Message};
use wire::text::printable;

/// `open  #1 tcp 127.0.0.1:51234 -> 127.0.0.1:3000`
pub(crate) fn opened(info: &Info) -> String {
    format!(
        "open  #{} {} {} -> {}\n",
        info.id(),
        info.protocol(),
        printable(&info.peer().to_string()),
        info.local()
    )
}

/// `close #1 tcp 127.0.0.1:51234 (the peer closed) in 5 B/1, out 5 B/1, 1.2s`
pub(crate) fn closed(info: &Info, ending: &Ending) -> String {
    format!(
        "close #{} {} {}: {}; {}, {}\n",
        info.id(),
        info.protocol(),
        printable(&info.peer().to_string()),
        printable(&ending.to_string()),
        traffic(info.counters()),
        age(info.age())
    )
}

/// `left tcp 127.0.0.1:3000: in 5 bytes in 1 message, …, 1.2s`
pub(crate) fn left(info: &Info) -> String {
    let peer = info.peer().to_string();
    let (protocol, peer) = (info.protocol(), printable(&peer));
    let (traffic, age) = (traffic(info.counters()), age(info.age()));
    format!("left {protocol} {peer}: {traffic}, {age}\n")
}

/// `in 5 bytes in 1 message, out 5 bytes in 1 message`
pub(crate) fn traffic(counters: &Counters) -> String {
    let mut text = format!(
        "in {} in {}, out {} in {}",
        count(counters.bytes_in(), "byte"),
        count(counters.messages_in(), "message"),
        count(counters.bytes_out(), "byte"),
        count(counters.messages_out(), "message"),
    );
    if counters.lost() > 0 {
        let _ = write!(text, ", {} lost", count(counters.lost(), "message"));
    }
    text
}

/// `#1 < hello`: `<` came in, `>` went out.
pub(crate) fn message(info: &Info, direction: Direction, message: &Message) -> String {
    let text = info.encoding().show(&message.data);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    format!("#{} {} {}\n", info.id(), arrow(direction), printable(text))
}

/// A heading and the message as a hex dump.
pub(crate) fn dump(info: &Info, direction: Direction, message: &Message) -> String {
    let size = count(message.data.len() as u64, "byte");
    format!(
        "#{} {} {size}\n{}",
        info.id(),
        arrow(direction),
        wire::hex::dump(&message.data, info.encoding())
    )
}

pub(crate) fn count(n: u64, thing: &str) -> String {
    if n == 1 {
        format!("1 {thing}")
    } else {
        format!("{n} {thing}s")
    }
}

fn arrow(direction: Direction) -> char {
    match direction {
        Direction::In => '<',
        Direction::Out => '>',
    }
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        0..=59 => format!("{:.1}s", age.as_secs_f64()),
        seconds @ 60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
