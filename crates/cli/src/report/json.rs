//! Reports as JSON, an object a line. The schema is in docs/JSON.md.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sockeye::fetch::Exchange;
use sockeye::nearby::Found;
use sockeye::{
    Answered, Certificate, Direction, Ending, Info, Kind, Listening, Message, OwnCertificate, Path,
    Tls,
};
use wire::quic::{VERSION_1, VERSION_2, version_name};

use super::text;

/// The version of the schema: fields are added, never changed.
const VERSION: u32 = 1;

pub(crate) fn listening(listening: &Listening) -> String {
    line(
        "listening",
        json!({"protocol": listening.protocol, "address": listening.at.to_string()}),
    )
}

pub(crate) fn opened(info: &Info) -> String {
    let mut fields = session(info);
    if let Some(tls) = info.tls() {
        fields["tls"] = secured(tls);
    }
    if let Some(path) = info.path() {
        fields["quic"] = quic(path);
    }
    line("open", fields)
}

/// A server's own certificate.
pub(crate) fn own_certificate(own: &OwnCertificate) -> String {
    let mut fields = certificate(&own.certificate);
    fields["kept"] = own.unkept.is_none().into();
    line("certificate", fields)
}

fn secured(tls: &Tls) -> Value {
    json!({
        "version": tls.version,
        "cipher": tls.cipher,
        "key_exchange": tls.key_exchange,
        "alpn": tls.alpn,
        "server_name": tls.server_name,
        "resumed": tls.resumed,
        "peer_certificates": tls.peer_certificates.iter().map(certificate).collect::<Value>(),
    })
}

fn certificate(certificate: &Certificate) -> Value {
    let mut fields = json!({"sha256": certificate.sha256().to_string()});
    if let Some(facts) = certificate.facts() {
        let moment = |moment| {
            Timestamp::try_from(moment).map_or(Value::Null, |at: Timestamp| at.to_string().into())
        };
        fields["subject"] = facts.subject.into();
        fields["issuer"] = facts.issuer.into();
        fields["names"] = facts.names.into();
        fields["valid_from"] = moment(facts.valid_from);
        fields["valid_until"] = moment(facts.valid_until);
        fields["self_signed"] = facts.self_signed.into();
    }
    fields
}

pub(crate) fn closed(info: &Info, ending: &Ending) -> String {
    let mut fields = session(info);
    let counters = info.counters();
    fields["why"] = match ending {
        Ending::PeerFinished => "peer",
        Ending::ServiceFinished => "service",
        Ending::Idle(_) => "idle",
        Ending::Stopped => "stopped",
        Ending::Failed(error) if error.is_reset() => "reset",
        _ => "error",
    }
    .into();
    if let Ending::Failed(error) = ending {
        fields["error"] = error.to_string().into();
    }
    fields["bytes_in"] = counters.bytes_in().into();
    fields["bytes_out"] = counters.bytes_out().into();
    fields["messages_in"] = counters.messages_in().into();
    fields["messages_out"] = counters.messages_out().into();
    fields["lost"] = counters.lost().into();
    fields["seconds"] = info.age().as_secs_f64().into();
    if let Some(path) = info.path() {
        fields["quic"] = quic(path);
    }
    line("close", fields)
}

pub(crate) fn message(info: &Info, direction: Direction, message: &Message) -> String {
    let mut fields = session(info);
    fields["direction"] = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
    .into();
    if let Some(from) = &message.from {
        fields["from"] = from.to_string().into();
        fields["unexpected"] = true.into();
    }
    fields["bytes"] = message.data.len().into();
    if matches!(info.protocol(), "ws" | "wss") {
        fields["kind"] = match message.kind {
            Kind::Text => "text",
            Kind::Binary => "binary",
        }
        .into();
    }
    match message.encoding(info.encoding()).decode(&message.data) {
        Ok(text) => fields["text"] = text.into(),
        Err(_) => fields["hex"] = wire::hex::grouped(&message.data).into(),
    }
    line("message", fields)
}

/// A server that announces itself. All of it is its own word.
pub(crate) fn found(found: &Found, address: &str) -> String {
    let facts = &found.facts;
    line(
        "found",
        json!({
            "name": found.name,
            "service": facts.service,
            "room": facts.room,
            "address": address,
            "at": found.at.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "transport": if found.is_tcp { "tcp" } else { "udp" },
            "schemes": facts.schemes,
            "path": facts.path,
        }),
    )
}

pub(crate) fn note(what: &str) -> String {
    line("note", json!({"text": what}))
}

pub(crate) fn answered(answered: &Answered<'_>) -> String {
    let identity = answered.identity;
    let mut fields = json!({
        "protocol": identity.protocol(),
        "local": identity.local().to_string(),
        "peer": identity.peer().to_string(),
        "status": answered.status.as_u16(),
        "bytes": answered.bytes,
        "whole": answered.whole,
        "seconds": answered.took.as_secs_f64(),
    });
    asked(
        &mut fields,
        answered.method,
        &answered.target(),
        answered.version,
    );
    line("answer", fields)
}

/// A request and its answer.
pub(crate) fn exchange(exchange: &Exchange) -> String {
    let times = &exchange.timings;
    let seconds = |phase: Option<Duration>| phase.map(|phase| phase.as_secs_f64());
    let mut fields = json!({
        "url": exchange.location.to_string(),
        "method": exchange.method.as_str(),
        "reused": exchange.reused,
        "bytes_out": exchange.sent,
        "bytes_in": exchange.received,
        "tickets": exchange.tickets,
        "early_data": text::early_data(exchange.early_data),
        "whole": exchange.whole,
        "seconds": seconds(times.ended),
        "timings": {
            "resolved": seconds(times.resolved),
            "connected": seconds(times.connected),
            "secured": seconds(times.secured),
            "sent": seconds(times.sent),
            "answered": seconds(times.answered),
            "ended": seconds(times.ended),
        },
    });
    if let Some(status) = exchange.status {
        fields["status"] = status.as_u16().into();
    }
    if let Some(error) = &exchange.failure {
        fields["error"] = error.clone().into();
    }
    if let Some(reach) = &exchange.connection {
        fields["connection"] = reach.number.into();
        fields["local"] = reach.local.to_string().into();
        fields["peer"] = reach.peer.to_string().into();
        fields["http"] = number(reach.version).into();
        if let Some(proxy) = &reach.proxy {
            fields["proxy"] = proxy.clone().into();
        }
        if let Some(path) = &reach.path {
            fields["quic"] = quic(path);
        }
        if let Some(tls) = &reach.tls {
            fields["tls"] = secured(tls);
        }
    }
    line("exchange", fields)
}

fn quic(path: &Path) -> Value {
    json!({
        "version": match path.version() {
            VERSION_1 => json!(1),
            VERSION_2 => json!(2),
            other => version_name(other).into(),
        },
        "early_data": text::early_data(path.early_data()),
        "retry": path.was_retried(),
        "moves": path.moves(),
        "rtt": path.rtt().as_secs_f64(),
        "packets_sent": path.packets_sent(),
        "packets_lost": path.packets_lost(),
    })
}

fn session(info: &Info) -> Value {
    let mut fields = json!({
        "session": info.id(),
        "protocol": info.protocol(),
        "local": info.local().to_string(),
        "peer": info.peer().to_string(),
        "age": info.age().as_secs_f64(),
    });
    if let Some(request) = info.request() {
        asked(
            &mut fields,
            &request.method,
            &request.target(),
            request.version,
        );
    }
    if let Some(answer) = info.answer() {
        fields["status"] = answer.status.as_u16().into();
    }
    fields
}

fn asked(fields: &mut Value, method: &http::Method, target: &str, version: http::Version) {
    fields["method"] = method.as_str().into();
    fields["target"] = target.into();
    fields["http"] = number(version).into();
}

/// `1.1`
pub(crate) fn number(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn line(event: &str, fields: Value) -> String {
    let mut whole = json!({
        "v": VERSION,
        "time": Timestamp::now().to_string(),
        "event": event,
    });
    if let (Value::Object(whole), Value::Object(fields)) = (&mut whole, fields) {
        whole.extend(fields);
    }
    format!("{whole}\n")
}
