//! What `-w` writes: text with the facts of a download in it, by the names that curl gave them.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use sockeye::fetch::{Exchange, Reach};
use wire::text::printable_block;

use super::conversation::Heard;
use super::json;

/// A format that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Format(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Fact(Fact),
    /// `%header{NAME}`
    Header(String),
    /// `%{stderr}`: what follows goes there; `%{stdout}`: back.
    Error(bool),
}

type Fact = fn(&Known<'_>) -> String;

/// What can be written.
struct Known<'a> {
    heard: &'a Heard,
    last: Option<&'a Exchange>,
    file: &'a str,
    error: &'a str,
    code: u8,
}

const FACTS: [(&str, Fact); 32] = [
    ("http_code", |known| known.status()),
    ("response_code", |known| known.status()),
    ("http_version", |known| {
        known.reach(|reach| json::number(reach.version).to_owned())
    }),
    ("method", |known| known.of(|last| last.method.to_string())),
    ("url", |known| {
        known.first(|first| first.location.to_string())
    }),
    ("url_effective", |known| {
        known.of(|last| last.location.to_string())
    }),
    ("scheme", |known| {
        known.of(|last| last.location.scheme().to_owned())
    }),
    ("redirect_url", |known| known.redirect()),
    ("num_redirects", |known| {
        known.heard.exchanges.len().saturating_sub(1).to_string()
    }),
    ("num_connects", |known| {
        known.count(|one| u64::from(!one.reused && one.connection.is_some()))
    }),
    ("content_type", |known| known.header("content-type")),
    ("size_download", |known| {
        known.of(|last| last.received.to_string())
    }),
    ("size_upload", |known| {
        known.of(|last| last.sent.to_string())
    }),
    ("speed_download", |known| {
        known.of(|last| speed(last, last.received))
    }),
    ("speed_upload", |known| {
        known.of(|last| speed(last, last.sent))
    }),
    ("time_namelookup", |known| {
        known.time(|one| one.timings.resolved)
    }),
    ("time_connect", |known| {
        known.time(|one| one.timings.connected)
    }),
    ("time_appconnect", |known| {
        known.time(|one| one.timings.secured)
    }),
    ("time_pretransfer", |known| {
        known.time(|one| one.timings.ready)
    }),
    ("time_starttransfer", |known| {
        known.time(|one| one.timings.answered)
    }),
    ("time_redirect", |known| known.redirects()),
    ("time_total", |known| known.time(|one| one.timings.ended)),
    ("remote_ip", |known| {
        known.reach(|reach| part(&reach.peer, |at| at.ip().to_string()))
    }),
    ("remote_port", |known| {
        known.reach(|reach| part(&reach.peer, |at| at.port().to_string()))
    }),
    ("local_ip", |known| {
        known.reach(|reach| part(&reach.local, |at| at.ip().to_string()))
    }),
    ("local_port", |known| {
        known.reach(|reach| part(&reach.local, |at| at.port().to_string()))
    }),
    ("filename_effective", |known| known.file.to_owned()),
    ("errormsg", |known| known.error.to_owned()),
    ("exitcode", |known| known.code.to_string()),
    ("tls_version", |known| {
        known.reach(|reach| tls(reach, |tls| tls.version.to_owned()))
    }),
    ("tls_cipher", |known| {
        known.reach(|reach| tls(reach, |tls| tls.cipher.unwrap_or_default().to_owned()))
    }),
    ("num_headers", |known| {
        let head = known.heard.head.as_ref();
        head.map_or(0, |head| head.headers.len()).to_string()
    }),
];

fn part(endpoint: &sockeye::Endpoint, of: fn(std::net::SocketAddr) -> String) -> String {
    endpoint.socket_addr().map_or_else(String::new, of)
}

fn tls(reach: &Reach, of: fn(&sockeye::Tls) -> String) -> String {
    reach.tls.as_deref().map_or_else(String::new, of)
}

/// Bytes a second, over the whole of the exchange.
fn speed(exchange: &Exchange, bytes: u64) -> String {
    let seconds = exchange.timings.ended.unwrap_or_default().as_secs_f64();
    let speed = if seconds > 0.0 {
        bytes as f64 / seconds
    } else {
        0.0
    };
    format!("{speed:.0}")
}

impl Known<'_> {
    fn of(&self, fact: impl Fn(&Exchange) -> String) -> String {
        self.last.map_or_else(String::new, fact)
    }

    fn first(&self, fact: impl Fn(&Exchange) -> String) -> String {
        self.heard.exchanges.first().map_or_else(String::new, fact)
    }

    fn reach(&self, fact: impl Fn(&Reach) -> String) -> String {
        let reach = self.last.and_then(|last| last.connection.as_deref());
        reach.map_or_else(String::new, fact)
    }

    fn status(&self) -> String {
        let status = self.last.and_then(|last| last.status);
        format!("{:03}", status.map_or(0, |status| status.as_u16()))
    }

    fn header(&self, name: &str) -> String {
        let head = self.heard.head.as_ref();
        let value = head.and_then(|head| head.headers.get(name));
        value.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    }

    /// Where it would have gone on.
    fn redirect(&self) -> String {
        let is_redirect = self.last.and_then(|last| last.status);
        if !is_redirect.is_some_and(|status| status.is_redirection()) {
            return String::new();
        }
        let to = self.header("location");
        self.of(|last| {
            last.location
                .join(&to)
                .map_or_else(|_| to.clone(), |to| to.to_string())
        })
    }

    fn count(&self, of: impl Fn(&Exchange) -> u64) -> String {
        self.heard.exchanges.iter().map(of).sum::<u64>().to_string()
    }

    /// What it took in all requests together.
    fn time(&self, of: impl Fn(&Exchange) -> Option<Duration>) -> String {
        seconds(self.heard.exchanges.iter().filter_map(of).sum())
    }

    fn redirects(&self) -> String {
        let hops = self
            .heard
            .exchanges
            .split_last()
            .map_or(&[][..], |(_, hops)| hops);
        seconds(hops.iter().filter_map(|hop| hop.timings.ended).sum())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            let (fact, used) = match letter {
                '%' if after.starts_with('{') => bracketed(&after[1..], "%{", fact)?,
                '%' if after.starts_with("header{") => {
                    let header = |name: &str| Ok(Part::Header(name.to_ascii_lowercase()));
                    let (part, used) = bracketed(&after["header{".len()..], "%header{", header)?;
                    (part, used + "header".len())
                }
                '%' if after.starts_with('%') => (Part::Text("%".to_owned()), 1),
                '\\' => escaped(after),
                other => (Part::Text(other.to_string()), 0),
            };
            rest = &after[used..];
            match fact {
                Part::Text(more) => plain.push_str(&more),
                fact => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(fact);
                }
            }
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self(parts))
    }
}

/// What stands before the closing bracket, and how much was used after the opening one's `%`.
fn bracketed(
    text: &str,
    open: &str,
    read: impl Fn(&str) -> Result<Part, String>,
) -> Result<(Part, usize), String> {
    let end = text
        .find('}')
        .ok_or_else(|| format!("no }} after {open}"))?;
    Ok((read(&text[..end])?, end + 2))
}

fn fact(name: &str) -> Result<Part, String> {
    match name {
        "stderr" => return Ok(Part::Error(true)),
        "stdout" => return Ok(Part::Error(false)),
        _ => {}
    }
    let found = FACTS.iter().find(|(known, _)| *known == name);
    let near = || wire::text::nearest::nearest(name, FACTS.iter().map(|(known, _)| *known));
    found.map(|(_, fact)| Part::Fact(*fact)).ok_or_else(|| {
        let meant = wire::text::nearest::did_you_mean(near());
        format!("there is no %{{{name}}}{meant}")
    })
}

fn escaped(after: &str) -> (Part, usize) {
    let text = match after.chars().next() {
        Some('n') => "\n",
        Some('r') => "\r",
        Some('t') => "\t",
        Some('\\') => "\\",
        _ => return (Part::Text("\\".to_owned()), 0),
    };
    (Part::Text(text.to_owned()), 1)
}

/// Writes it.
pub(crate) fn write(format: &Format, heard: &Heard, file: &str, failure: Option<(&str, u8)>) {
    let (out, err) = written(format, heard, file, failure);
    let shown = |text: String, terminal: bool| match terminal {
        // A server's words may stand in it.
        true => printable_block(&text).into_owned(),
        false => text,
    };
    let (mut stdout, stderr) = (io::stdout(), io::stderr());
    eprint!("{}", shown(err, stderr.is_terminal()));
    // Whoever does not read it does not miss it.
    let _ = stdout.write_all(shown(out, stdout.is_terminal()).as_bytes());
}

/// What is written to standard output, and what to standard error.
fn written(
    format: &Format,
    heard: &Heard,
    file: &str,
    failure: Option<(&str, u8)>,
) -> (String, String) {
    let (error, code) = failure.unwrap_or_default();
    let known = Known {
        heard,
        last: heard.exchanges.last(),
        file,
        error,
        code,
    };
    let (mut out, mut err) = (String::new(), String::new());
    let mut to_error = false;
    for part in &format.0 {
        let text = match part {
            Part::Text(text) => text.clone(),
            Part::Fact(fact) => fact(&known),
            Part::Header(name) => known.header(name),
            Part::Error(error) => {
                to_error = *error;
                continue;
            }
        };
        if to_error { &mut err } else { &mut out }.push_str(&text);
    }
    (out, err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(format: &str) -> (String, String) {
        let format = format.parse().unwrap();
        written(&format, &Heard::default(), "file", Some(("it broke", 6)))
    }

    #[test]
    fn formats_are_read() {
        let pair = |out: &str, err: &str| (out.to_owned(), err.to_owned());
        assert_eq!(
            nothing("a%{http_code}b\\n%%\\t\\x"),
            pair("a000b\n%\t\\x", "")
        );
        assert_eq!(
            nothing("%{time_total}|%{errormsg}|%{exitcode}"),
            pair("0.000000|it broke|6", "")
        );
        assert_eq!(
            nothing("%{stderr}e%{filename_effective}%{stdout}o"),
            pair("o", "efile")
        );
        assert_eq!(
            nothing("[%header{X-A}]é%{remote_ip}%{url}"),
            pair("[]é", "")
        );
        assert_eq!(nothing(""), pair("", ""));
    }

    #[test]
    fn what_is_no_format_is_told() {
        for (format, says) in [
            ("%{http_cod}", "http_code"),
            ("%{http_code", "no } after %{"),
            ("%header{x", "no } after %header{"),
            ("%{}", "there is no %{}"),
        ] {
            let error = format.parse::<Format>().unwrap_err();
            assert!(error.contains(says), "{format}: {error}");
        }
    }
}
