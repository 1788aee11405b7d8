//! What `connect` was told to send on the command line.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use sockeye::{Encoding, Kind, Message};
use tokio::sync::watch;

use super::lines::Lines;
use super::roster::{Member, Order};
use crate::args::Said;
use crate::failure::Usage;

/// One message of the script, ready to be sent but for its line end.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    data: Bytes,
    /// What it is: a line of text gets an end, and bytes are no text where the carrier tells the two apart.
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Line,
    Bytes,
    File,
}

/// Reads what was said on the command line; wrong escapes and hex are told before anything is dialed.
pub(crate) fn read(said: Vec<Said>, encoding: Encoding) -> Result<Vec<Part>> {
    said.into_iter().map(|said| part(said, encoding)).collect()
}

fn part(said: Said, encoding: Encoding) -> Result<Part> {
    match said {
        Said::Text(text) => {
            let data = wire::text::unescape(&text, encoding);
            let data =
                data.map_err(|error| Usage(format!("cannot read --send `{text}`: {error}")))?;
            Ok(Part {
                data: data.into(),
                form: Form::Line,
            })
        }
        Said::Hex(text) => {
            let data = wire::hex::parse(&text);
            let data =
                data.map_err(|error| Usage(format!("cannot read --send-hex `{text}`: {error}")))?;
            Ok(Part {
                data: data.into(),
                form: Form::Bytes,
            })
        }
        Said::File(path) => {
            let mut data = Vec::new();
            let read = match path.to_str() {
                Some("-") => io::stdin().lock().read_to_end(&mut data),
                _ => std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut data)),
            };
            read.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Part {
                data: data.into(),
                form: Form::File,
            })
        }
    }
}

/// How many bytes they are, with their line ends, on a carrier without boundaries.
pub(crate) fn length(parts: &[Part], lines: Lines) -> usize {
    let end = lines.eol(false).len();
    let length = |part: &Part| part.data.len() + if part.form == Form::Line { end } else { 0 };
    parts.iter().map(length).sum()
}

/// Says each part when an answer to the last has come, or `wait` has passed; then ends.
pub(crate) async fn play(parts: &[Part], lines: Lines, wait: Duration, member: Member) {
    let mut heard = member.heard.subscribe();
    for part in parts {
        let eol = if part.form == Form::Line {
            lines.eol(member.packets)
        } else {
            b""
        };
        let data = if eol.is_empty() {
            part.data.clone()
        } else {
            [&*part.data, eol].concat().into()
        };
        let kind = match part.form {
            Form::Bytes => Kind::Binary,
            Form::Line | Form::File => lines.kind,
        };
        let message = Message {
            kind,
            ..Bytes::into(data)
        };
        heard.mark_unchanged();
        if member.orders.send(Order::Say(message)).await.is_err() {
            return;
        }
        tokio::select! {
            () = answer(&mut heard, wait) => {}
            // Who has finished answers no more.
            () = member.finished.cancelled() => {}
        }
    }
    // The session may be over already.
    let _ = member.orders.send(Order::End).await;
}

async fn answer(heard: &mut watch::Receiver<u64>, wait: Duration) {
    let _ = tokio::time::timeout(wait, heard.changed()).await;
}
