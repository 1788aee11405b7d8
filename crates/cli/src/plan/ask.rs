//! What `connect` asks for over HTTP: the method, the header fields, and whether a body comes with it.

use std::io::IsTerminal;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use rustix::fs::{FileType, fstat, tell};
use sockeye::{HttpAsk, HttpSends};

use crate::args::ConnectArgs;
use crate::console::call::lines;
use crate::console::script::{self, Part};

/// The header fields that were asked for; what stands in --header wins.
pub(crate) fn headers(args: &ConnectArgs) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(origin) = args
        .origin
        .as_deref()
        .map(HeaderValue::from_str)
        .and_then(Result::ok)
    {
        headers.insert(ORIGIN, origin);
    }
    if let Some(user) = &args.user {
        headers.insert(AUTHORIZATION, sockeye::basic_authorization(user));
    }
    if let Some(kind) = &args.content_type {
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    for (name, _) in &args.header {
        headers.remove(name);
    }
    headers.extend(args.header.iter().cloned());
    headers
}

/// The request of each session.
pub(crate) fn ask(args: &ConnectArgs, parts: &[Part]) -> HttpAsk {
    HttpAsk {
        method: args.method.clone(),
        sends: sends(args, parts),
    }
}

fn sends(args: &ConnectArgs, parts: &[Part]) -> HttpSends {
    if !parts.is_empty() {
        // What a framing adds is not counted here.
        let length = args.frame.is_raw();
        let length = length.then(|| script::length(parts, lines(args, false)) as u64);
        return HttpSends::Something(length);
    }
    if !args.reads_stdin() {
        return HttpSends::Nothing;
    }
    if std::io::stdin().is_terminal() {
        return HttpSends::Something(None);
    }
    let passes_through = args.frame.is_raw() && args.eol.is_none() && !args.crlf;
    match file_length() {
        Some(0) => HttpSends::Nothing,
        Some(length) if passes_through && args.words.len() == 1 => {
            HttpSends::Something(Some(length))
        }
        Some(_) => HttpSends::Something(None),
        None => HttpSends::Perhaps,
    }
}

/// What is left to read of standard input, when that is a file.
fn file_length() -> Option<u64> {
    let stdin = rustix::stdio::stdin();
    let facts = fstat(stdin).ok()?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return None;
    }
    let whole = u64::try_from(facts.st_size).ok()?;
    Some(whole.saturating_sub(tell(stdin).ok()?))
}
