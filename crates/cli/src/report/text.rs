//! Reports as lines for a person.

use std::fmt::Write;
use std::time::Duration;

use sockeye::{Answered, Counters, Direction, Ending, Info, Message};
use wire::text::printable;

/// `open  #1 tcp 127.0.0.1:51234 -> 127.0.0.1:3000`, `open  #2 http GET /path 127.0.0.1:51236 -> …`
pub(crate) fn opened(info: &Info) -> String {
    let asked = info.request().map_or_else(String::new, |request| {
        format!("{} {} ", request.method, printable(&request.target()))
    });
    format!(
        "open  #{} {} {asked}{} -> {}\n",
        info.id(),
        info.protocol(),
        printable(&info.peer().to_string()),
        info.local()
    )
}

/// `close #1 tcp 127.0.0.1:51234: the peer closed; in 5 bytes in 1 message, …, 1.2s`
pub(crate) fn closed(info: &Info, ending: &Ending) -> String {
    let status = info.answer().map_or_else(String::new, |answer| {
        format!("{}; ", answer.status.as_u16())
    });
    format!(
        "close #{} {} {}: {status}{}; {}, {}\n",
        info.id(),
        info.protocol(),
        printable(&info.peer().to_string()),
        printable(&ending.to_string()),
        traffic(info.counters()),
        age(info.age())
    )
}

/// `answer http GET /path 127.0.0.1:51234: 200; out 6 bytes, 0.1ms`
pub(crate) fn answered(answered: &Answered<'_>) -> String {
    let identity = answered.identity;
    format!(
        "answer {} {} {} {}: {}; out {}{}, {:.1}ms\n",
        identity.protocol(),
        answered.method,
        printable(&answered.target()),
        printable(&identity.peer().to_string()),
        answered.status.as_u16(),
        count(answered.bytes, "byte"),
        if answered.whole { "" } else { ", cut off" },
        answered.took.as_secs_f64() * 1e3
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
