//! Reports as lines for a person.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use sockeye::{
    AnswerHead, Certificate, Counters, Direction, EarlyData, Ending, Endpoint, Info, Message,
    OwnCertificate, Path, Tls, minute,
};
use wire::quic::version_name;
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

/// `tls #1 TLSv1.3 TLS13_AES_256_GCM_SHA384 X25519MLKEM768, alpn h2, server name localhost, resumed`, and a line
/// for each certificate that the peer showed. Nothing when there is no TLS.
pub(crate) fn secured(info: &Info, who: &str) -> String {
    let mut text = info.tls().map_or_else(String::new, |tls| agreed(tls, who));
    if let Some(path) = info.path() {
        text.push_str(&quic(path, who));
    }
    text
}

/// `quic #1 version 1, round trip 0.4 ms, 0-RTT no`, when the handshake is over.
pub(crate) fn quic(path: &Path, who: &str) -> String {
    let version = version_name(path.version());
    let early = early_data(path.early_data()).unwrap_or("no");
    let retry = match path.was_retried() {
        true => ", after a Retry",
        false => "",
    };
    let round_trip = round_trip(path);
    format!("quic{who} version {version}, {round_trip}, 0-RTT {early}{retry}\n")
}

/// What became of 0-RTT, if there was any.
pub(super) fn early_data(early: EarlyData) -> Option<&'static str> {
    match early {
        EarlyData::None => None,
        EarlyData::Accepted => Some("accepted"),
        EarlyData::Rejected => Some("rejected"),
    }
}

/// The same of TLS that belongs to no session.
pub(crate) fn agreed(tls: &Tls, who: &str) -> String {
    let mut text = format!("tls{who} {}", tls.version);
    let parts = [
        tls.cipher.map(|suite| format!(" {suite}")),
        tls.key_exchange.map(|group| format!(" {group}")),
        tls.alpn.as_ref().map(|name| format!(", alpn {name}")),
        tls.server_name
            .as_ref()
            .map(|name| format!(", server name {name}")),
        tls.resumed.then(|| ", resumed".to_owned()),
    ];
    text.extend(parts.into_iter().flatten());
    let mut text = format!("{}\n", printable(&text));
    for certificate in &tls.peer_certificates {
        let line = format!("certificate{who} {}", certificate_facts(certificate));
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}

/// `CN=localhost, issuer CN=Our CA, 2026-01-31 12:34 UTC to 2026-02-13 12:34 UTC, sha256 AB:CD:…`
fn certificate_facts(certificate: &Certificate) -> String {
    let sha256 = certificate.sha256();
    match certificate.facts() {
        Some(facts) => format!(
            "{}, issuer {}, {} to {}, sha256 {sha256}",
            facts.subject,
            facts.issuer,
            minute(facts.valid_from),
            minute(facts.valid_until),
        ),
        None => format!("that cannot be read, sha256 {sha256}"),
    }
}

/// `TLS certificate sha256 AB:CD:… (self-signed, valid until 2026-01-31 12:34 UTC)`
pub(crate) fn own_certificate(own: &OwnCertificate) -> String {
    let mut about = Vec::new();
    if own.self_signed {
        about.push("self-signed".to_owned());
    }
    if let Some((_, until)) = own.certificate.validity() {
        let valid = if until < SystemTime::now() {
            "expired on"
        } else {
            "valid until"
        };
        about.push(format!("{valid} {}", minute(until)));
    }
    if let Some(why) = &own.unkept {
        about.push(format!("another one the next time: {}", printable(why)));
    }
    let about = about.join(", ");
    format!(
        "TLS certificate sha256 {} ({about})",
        own.certificate.sha256()
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

/// `answered HTTP/1.1 200 OK`, and with `fields` a line for each of the header.
pub(crate) fn heard(head: &AnswerHead, fields: bool) -> String {
    let mut text = format!("answered {} {}", version(head.version), head.status);
    if let (true, Some(to)) = (
        head.status.is_redirection(),
        head.headers.get(http::header::LOCATION),
    ) {
        let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
        let _ = write!(text, ", which is at {to}; that is not followed");
    }
    let mut text = format!("{}\n", printable(&text));
    for (name, value) in head.headers.iter().filter(|_| fields) {
        let line = format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        let _ = writeln!(text, "< {}", printable(&line));
    }
    text
}

/// `HTTP/1.1 200 OK`; later versions have no words there (RFC 9113, section 8.3.2).
pub(crate) fn status_line(head: &AnswerHead) -> String {
    let usual = || head.status.canonical_reason().unwrap_or_default();
    let reason = match head.version {
        http::Version::HTTP_10 | http::Version::HTTP_11 => {
            head.reason.as_deref().unwrap_or_else(usual)
        }
        _ => "",
    };
    format!(
        "{} {} {reason}",
        version(head.version),
        head.status.as_u16()
    )
}

/// `HTTP/1.1`
pub(crate) fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// `connected tcp 127.0.0.1:51234 -> 127.0.0.1:3000`, `connected exec:cat`
pub(crate) fn connected(info: &Info) -> String {
    let peer = info.peer().to_string();
    let peer = printable(&peer);
    match info.local() {
        Endpoint::Memory => format!("connected {peer}\n"),
        local => format!("connected {} {local} -> {peer}\n", info.protocol()),
    }
}

/// `left tcp 127.0.0.1:3000: in 5 bytes in 1 message, …, 1.2s`
pub(crate) fn left(info: &Info) -> String {
    let peer = info.peer().to_string();
    let (protocol, peer) = (info.protocol(), printable(&peer));
    let (traffic, age) = (traffic(info.counters()), age(info.age()));
    let packets = info.path().map(packets).unwrap_or_default();
    format!("left {protocol} {peer}: {traffic}{packets}, {age}\n")
}

/// `, 12 packets sent and none of them lost, round trip 0.4 ms`
pub(crate) fn packets(path: &Path) -> String {
    let lost = match path.packets_lost() {
        0 => "none".to_owned(),
        lost => lost.to_string(),
    };
    let sent = count(path.packets_sent(), "packet");
    let moves = match path.moves() {
        0 => String::new(),
        moves => format!(", {} of its ends", count(moves.into(), "move")),
    };
    format!(
        ", {sent} sent and {lost} of them lost, {}{moves}",
        round_trip(path)
    )
}

/// `round trip 0.4 ms`
fn round_trip(path: &Path) -> String {
    format!("round trip {:.1} ms", path.rtt().as_secs_f64() * 1000.0)
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
    let text = message.encoding(info.encoding()).show(&message.data);
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
        wire::hex::dump(&message.data, message.encoding(info.encoding()))
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
