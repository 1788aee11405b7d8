//! TLS: both hellos, the messages that can be read, and what is inside where a key log opens it.

use wire::tls::{self, ClientHello, Content, Record, ServerHello};

use super::seal::Opener;
use super::{KeyLog, Speech, Steps, Waiting};
use crate::event::Side;

mod older;

const LAYER: &str = "TLS";

/// Messages of the handshake that are longer are passed over.
const MESSAGE_MAX: usize = 256 * 1024;

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Tls {
    halves: [Half; 2],
    random: Option<[u8; 32]>,
    hello: Option<ServerHello>,
    alpn: Option<String>,
    /// What is spoken inside.
    speech: Speech,
    /// A record waits for its key.
    waits: bool,
    /// Nothing waits any more.
    gave_up: bool,
}

#[derive(Debug, Default)]
struct Half {
    waiting: Waiting,
    /// Messages whose end has not come.
    messages: Vec<u8>,
    opener: Option<Opener>,
    /// The same in TLS 1.2.
    older: Option<older::Opener>,
    /// Behind the handshake.
    done: bool,
    /// From here on nothing can be read.
    sealed: bool,
    lost: bool,
}

const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

impl Tls {
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    pub(super) fn give_up(&mut self) {
        self.gave_up = true;
    }

    pub(super) fn read(&mut self, from: Side, bytes: &[u8], keys: &KeyLog, steps: &mut Steps) {
        let at = from.index();
        self.waits = false;
        if self.halves[at].lost {
            return;
        }
        self.halves[at].waiting.push(bytes);
        loop {
            let half = &mut self.halves[at];
            let waiting = &half.waiting.bytes;
            let Some((record, header)) = Record::read(waiting) else {
                // It may be that only the rest of the header is missing.
                half.lost = waiting.len() >= Record::HEADER;
                return;
            };
            let end = header + record.length;
            if waiting.len() >= end
                && keys.more_come
                && !self.gave_up
                && self.lacks(from, record, keys)
            {
                self.waits = true;
                return;
            }
            let half = &mut self.halves[at];
            let waiting = &half.waiting.bytes;
            // Sealed data is not kept.
            if half.sealed && record.content == Content::Data {
                half.waiting.pass(end as u64);
                continue;
            }
            if waiting.len() < end {
                return;
            }
            let whole: Vec<u8> = half.waiting.bytes.drain(..end).collect();
            let (head, body) = whole.split_at(header);
            self.record(from, record, head, body, keys, steps);
        }
    }

    /// Whether the key of this record is not there.
    fn lacks(&self, from: Side, record: Record, keys: &KeyLog) -> bool {
        let half = &self.halves[from.index()];
        let Some((hello, random)) = self.hello.as_ref().zip(self.random.as_ref()) else {
            return false;
        };
        let secrets = keys.of(random);
        let modern = hello.version >= 0x304;
        match record.content {
            _ if half.sealed || half.opener.is_some() || half.older.is_some() => false,
            Content::Data if half.done => {
                secrets.is_none_or(|secrets| secrets.data[from.index()].is_none())
            }
            Content::Data if modern => {
                secrets.is_none_or(|secrets| secrets.handshake[from.index()].is_none())
            }
            Content::ChangeCipherSpec if !modern => {
                secrets.is_none_or(|secrets| secrets.master.is_none())
            }
            _ => false,
        }
    }

    fn record(
        &mut self,
        from: Side,
        record: Record,
        head: &[u8],
        body: &[u8],
        keys: &KeyLog,
        steps: &mut Steps,
    ) {
        if self.halves[from.index()].older.is_some() {
            return self.open_older(from, record, head, body, keys, steps);
        }
        let modern = self
            .hello
            .as_ref()
            .is_some_and(|hello| hello.version >= 0x304);
        let half = &mut self.halves[from.index()];
        match record.content {
            Content::ChangeCipherSpec if modern || half.opener.is_some() => {}
            Content::ChangeCipherSpec => {
                // Of a client that pretends to be old, before the server has chosen.
                if self.hello.is_some() {
                    steps.say(LAYER, "ChangeCipherSpec");
                    let opener = self.older(from, keys);
                    let half = &mut self.halves[from.index()];
                    half.older = opener;
                    half.sealed = half.older.is_none();
                }
            }
            Content::Handshake if half.sealed => steps.say(LAYER, "Finished, sealed"),
            Content::Handshake => self.messages(from, body, keys, steps),
            Content::Alert if half.sealed => steps.say(LAYER, "alert, sealed"),
            Content::Alert => alert(body, steps),
            Content::Data => self.open(from, head, body, keys, steps),
            Content::Heartbeat => {}
        }
    }

    fn open(&mut self, from: Side, head: &[u8], body: &[u8], keys: &KeyLog, steps: &mut Steps) {
        let at = from.index();
        if self.halves[at].opener.is_none() {
            self.halves[at].opener = self.secret(from, keys, self.halves[at].done);
        }
        let half = &mut self.halves[at];
        let opened = half
            .opener
            .as_mut()
            .and_then(|opener| opener.open(head, body));
        let Some((kind, inside)) = opened else {
            half.sealed = true;
            steps.say(LAYER, "sealed from here on");
            return;
        };
        match Content::of(kind) {
            Some(Content::Handshake) => self.messages(from, &inside, keys, steps),
            Some(Content::Alert) => alert(&inside, steps),
            Some(Content::Data) => self.speech.read(from, &inside, keys, steps),
            _ => {}
        }
    }

    fn older(&self, from: Side, keys: &KeyLog) -> Option<older::Opener> {
        let (client, hello) = (self.random.as_ref()?, self.hello.as_ref()?);
        let master = keys.of(client)?.master.as_ref()?;
        older::Opener::new(hello.cipher, master, [client, &hello.random], from)
    }

    fn open_older(
        &mut self,
        from: Side,
        record: Record,
        head: &[u8],
        body: &[u8],
        keys: &KeyLog,
        steps: &mut Steps,
    ) {
        let half = &mut self.halves[from.index()];
        let Some(inside) = half
            .older
            .as_mut()
            .and_then(|opener| opener.open(head, body))
        else {
            half.older = None;
            half.sealed = true;
            steps.say(LAYER, "sealed from here on");
            return;
        };
        match record.content {
            Content::Handshake => self.messages(from, &inside, keys, steps),
            Content::Alert => alert(&inside, steps),
            Content::Data => self.speech.read(from, &inside, keys, steps),
            Content::ChangeCipherSpec | Content::Heartbeat => {}
        }
    }

    /// The key of one direction: of the handshake, or of data.
    fn secret(&self, from: Side, keys: &KeyLog, data: bool) -> Option<Opener> {
        let secrets = keys.of(self.random.as_ref()?)?;
        let kind = if data {
            &secrets.data
        } else {
            &secrets.handshake
        };
        Opener::new(self.hello.as_ref()?.cipher, kind[from.index()].as_ref()?)
    }

    /// What names the connection in key logs.
    pub(super) fn random(&self) -> Option<&[u8; 32]> {
        self.random.as_ref()
    }

    /// The same, and the cipher suite, once both ends have said hello.
    pub(super) fn agreed(&self) -> Option<(&[u8; 32], u16)> {
        Some((self.random.as_ref()?, self.hello.as_ref()?.cipher))
    }

    /// Begins with what was agreed on: a server of HTTP/2 may speak first, and its frames do not look like anything.
    fn speak(&mut self) {
        if self.inside() == Some("h2") {
            self.speech = Speech::Http2(Box::default());
        }
    }

    /// The protocol inside, as the server has chosen it.
    pub(super) fn inside(&self) -> Option<&str> {
        self.alpn.as_deref()
    }

    /// Messages of the handshake, which may be cut anywhere.
    pub(super) fn messages(&mut self, from: Side, bytes: &[u8], keys: &KeyLog, steps: &mut Steps) {
        let mut messages = std::mem::take(&mut self.halves[from.index()].messages);
        messages.extend_from_slice(bytes);
        let mut read = 0;
        while let Some((kind, body, length)) = tls::handshake(&messages[read..]) {
            self.message(from, kind, body, steps);
            read += length;
            let half = &mut self.halves[from.index()];
            match kind {
                FINISHED if half.opener.is_some() => {
                    let next = self.secret(from, keys, true);
                    let half = &mut self.halves[from.index()];
                    half.done = true;
                    half.sealed = next.is_none() && !keys.more_come;
                    half.opener = next;
                }
                KEY_UPDATE => {
                    if let Some(opener) = &mut half.opener {
                        opener.update();
                    }
                }
                _ => {}
            }
        }
        messages.drain(..read);
        if messages.len() < MESSAGE_MAX {
            self.halves[from.index()].messages = messages;
        }
    }

    fn message(&mut self, from: Side, kind: u8, body: &[u8], steps: &mut Steps) {
        let name = tls::message(kind);
        let details = match kind {
            1 if from == Side::A => ClientHello::read(body).map(|hello| {
                let details = offered(&hello);
                // A second one, after a retry, has the same random.
                self.random = Some(hello.random);
                details
            }),
            2 => ServerHello::read(body).map(|hello| {
                let details = chosen(&hello);
                if !hello.retry {
                    self.hello = Some(hello);
                }
                details
            }),
            8 => {
                self.alpn = tls::alpn_of_extensions(body);
                self.speak();
                self.alpn.as_deref().map(printable)
            }
            11 => Some(format!("{} B", body.len())),
            _ => None,
        };
        match details {
            Some(details) if !details.is_empty() => steps.say(LAYER, format!("{name} ({details})")),
            _ => steps.say(LAYER, name),
        }
    }
}

fn alert(body: &[u8], steps: &mut Steps) {
    if let [level, number, ..] = body {
        let fatal = if *level == 2 && *number != 0 {
            "fatal "
        } else {
            ""
        };
        steps.say(LAYER, format!("{fatal}alert {}", tls::alert(*number)));
    }
}

/// `to localhost, TLS 1.3/1.2, speaks h2, X25519`
fn offered(hello: &ClientHello) -> String {
    let mut parts = Vec::new();
    parts.extend(
        hello
            .server_name
            .as_ref()
            .map(|name| format!("to {}", printable(name))),
    );
    let known = hello
        .versions
        .iter()
        .filter(|version| (0x300..=0x304).contains(*version));
    let mut versions = known.map(|version| tls::version(*version).into_owned());
    let first = versions.next();
    let others = versions.map(|name| name.trim_start_matches("TLS ").to_owned());
    parts.extend(first.map(|first| {
        std::iter::once(first)
            .chain(others)
            .collect::<Vec<_>>()
            .join("/")
    }));
    if !hello.alpn.is_empty() {
        parts.push(format!("speaks {}", printable(&hello.alpn.join("/"))));
    }
    // Values like 0x5a5a are there to be ignored (RFC 8701).
    let shares = hello
        .shares
        .iter()
        .filter(|group| **group & 0x0f0f != 0x0a0a);
    parts.extend(shares.map(|group| tls::group(*group).into_owned()));
    if hello.resumes {
        parts.push("resumes".to_owned());
    }
    if hello.early_data {
        parts.push("early data".to_owned());
    }
    parts.join(", ")
}

/// `TLS 1.3, AES-256-GCM, X25519`
fn chosen(hello: &ServerHello) -> String {
    let mut parts = vec![
        tls::version(hello.version).into_owned(),
        tls::cipher(hello.cipher).into_owned(),
    ];
    parts.extend(hello.group.map(|group| tls::group(group).into_owned()));
    parts.extend(hello.alpn.as_deref().map(printable));
    if hello.retry {
        parts.insert(0, "begin again".to_owned());
    }
    parts.join(", ")
}

fn printable(text: &str) -> String {
    wire::text::printable(text).into_owned()
}
