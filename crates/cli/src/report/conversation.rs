//! The conversation of `fetch`, on standard error: line by line, as times, or as JSON.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use sockeye::fetch::{Event, Exchange, NotEarly, Reach, Witness};
use sockeye::{AnswerHead, RequestHead};
use wire::text::printable;

use super::{json, text, timing};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// How long everything took.
    Times,
    /// Everything.
    All,
    /// The facts of each exchange.
    Json,
}

/// Hears a conversation, tells of it, and remembers what [`write_out`](super::write_out) asks for.
#[derive(Debug)]
pub(crate) struct Conversation {
    told: Told,
    heard: Mutex<Heard>,
}

/// What is known of one order so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// One for each request.
    pub(crate) exchanges: Vec<Exchange>,
    /// The head of the last answer.
    pub(crate) head: Option<AnswerHead>,
}

impl Conversation {
    pub(crate) fn new(told: Told) -> Self {
        Self {
            told,
            heard: Mutex::default(),
        }
    }

    /// What was heard since this was asked last.
    pub(crate) fn take(&self) -> Heard {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Conversation {
    fn saw(&self, event: &Event<'_>) {
        match event {
            Event::Heard(head) => self.lock().head = Some((*head).clone()),
            Event::Ended(exchange) => self.lock().exchanges.push((*exchange).clone()),
            _ => {}
        }
        match (self.told, event) {
            (Told::Json, Event::Ended(exchange)) => eprint!("{}", json::exchange(exchange)),
            (Told::Times, Event::Ended(exchange)) => eprint!("{}", timing::chart(exchange)),
            (Told::All, event) => eprint!("{}", lines(event)),
            _ => {}
        }
    }
}

/// `* ` begins what we say, `> ` what we send, `< ` what comes.
fn lines(event: &Event<'_>) -> String {
    match event {
        Event::Resolved { host, addresses } => {
            let all: Vec<_> = addresses.iter().map(|at| at.ip().to_string()).collect();
            say(&format!("resolved {host}: {}", all.join(", ")))
        }
        Event::Connected { local, peer, proxy } => {
            let proxy = proxy.map_or_else(String::new, |proxy| format!(" through {proxy}"));
            say(&format!("connected {local} -> {peer}{proxy}"))
        }
        Event::Quic(reach) => quic(reach),
        Event::Alternative(place) => {
            say(&format!("HTTP/3 is spoken at {place}, which is remembered"))
        }
        Event::NoQuic(error) => say(&format!("no HTTP/3, so it goes over TCP: {error}")),
        Event::Faster(reach) => {
            let version = text::version(reach.version);
            say(&format!("{version} was there first"))
        }
        Event::Secured(tls) => text::agreed(tls, "").lines().map(say).collect(),
        Event::Reused(reach) => say(&reused(reach)),
        Event::Stale => say("the connection was closed meanwhile, another is opened"),
        Event::Early(reach) => say(&format!(
            "asks {} before the handshake is over (0-RTT)",
            reach.peer
        )),
        Event::NotEarly(why) => say(&not_early(why)),
        Event::Asked(head) => asked(head),
        Event::Interim { status, headers } => format!("< {status}\n{}<\n", fields(headers, "<")),
        Event::Heard(head) => heard(head),
        Event::Trailers(trailers) => {
            format!("{}{}", say("trailers:"), fields(trailers, "<"))
        }
        Event::Redirected { status, method, to } => {
            say(&format!("redirect {}: {method} {to}", status.as_u16()))
        }
        Event::Ended(exchange) => ended(exchange),
        _ => String::new(),
    }
}

fn say(what: &str) -> String {
    format!("* {}\n", printable(what))
}

fn reused(reach: &Reach) -> String {
    format!(
        "connection {} is used again: {} -> {}",
        reach.number, reach.local, reach.peer
    )
}

fn not_early(why: &NotEarly) -> String {
    let why = match why {
        NotEarly::Rejected => "the server did not take 0-RTT",
        NotEarly::TooEarly => "the server does not act on 0-RTT",
        NotEarly::Failed(why) => why,
    };
    format!("{why}, so it is asked again after the handshake")
}

fn quic(reach: &Reach) -> String {
    let facts = reach.path.as_deref().map(|path| text::quic(path, ""));
    let connected = format!("connected {} -> {} over QUIC", reach.local, reach.peer);
    say(&connected)
        + &facts
            .iter()
            .map(|facts| say(facts.trim_end()))
            .collect::<String>()
}

fn asked(head: &RequestHead) -> String {
    let mut text = match head.version {
        http::Version::HTTP_2 | http::Version::HTTP_3 => {
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            let uri = &head.uri;
            let authority = uri.authority().map(http::uri::Authority::as_str);
            // In the order in which they are sent (RFC 9113, section 8.3.1).
            format!(
                "> :method: {}\n> :scheme: {}\n> :authority: {}\n> :path: {}\n",
                head.method,
                part(uri.scheme_str()),
                printable(&part(authority)),
                printable(&head.target())
            )
        }
        version => format!(
            "> {} {} {}\n",
            head.method,
            printable(&head.target()),
            text::version(version)
        ),
    };
    text.push_str(&fields(&head.headers, ">"));
    text.push_str(">\n");
    text
}

fn heard(head: &AnswerHead) -> String {
    let status = text::status_line(head);
    let status = printable(status.trim_end());
    format!("< {status}\n{}<\n", fields(&head.headers, "<"))
}

fn fields(headers: &HeaderMap, mark: &str) -> String {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = match value.is_sensitive() {
            true => "(not shown)".into(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        format!("{mark} {name}: {}\n", printable(&value))
    };
    headers.iter().map(line).collect()
}

fn ended(exchange: &Exchange) -> String {
    if exchange.failure.is_some() {
        // Why it failed is told as a failure.
        return timing::chart(exchange);
    }
    let rest = if exchange.whole {
        ""
    } else {
        ", and no more was read"
    };
    let sent = match exchange.sent {
        0 => String::new(),
        sent => format!("{} sent, ", text::count(sent, "byte")),
    };
    let came = text::count(exchange.received, "byte");
    let path = exchange
        .connection
        .as_ref()
        .and_then(|reach| reach.path.as_deref());
    let packets = path.map(text::packets).unwrap_or_default();
    let mut text = say(&format!("{sent}{came} came{rest}{packets}"));
    if exchange.tickets > 0 {
        let tickets = text::count(exchange.tickets, "ticket");
        text += &say(&format!(
            "{tickets} of TLS came, which the next connection can resume with"
        ));
    }
    text + &timing::chart(exchange)
}
