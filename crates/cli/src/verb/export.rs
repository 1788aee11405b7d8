//! `sockeye chat export`: what was said in a room, from the database.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use sockeye::hub::store::{Archive, MAX_PAGE, Span};
use sockeye::hub::{Line, LineKind};
use wire::text::printable;

use crate::args::ExportArgs;
use crate::config;
use crate::failure::Usage;

pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let path = match &args.history {
        Some(path) => path.clone(),
        None => usual()?,
    };
    let archive = Archive::open(&path).map_err(sockeye::Error::from)?;
    let room = args.room.trim_start_matches('#');
    check(&archive, &path, room)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut after = args.after;
    loop {
        let page = archive.lines(room, Span::After(after), MAX_PAGE);
        let page = page.map_err(sockeye::Error::from)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let mut written = page.iter().map(|line| match args.json {
            true => writeln!(out, "{}", object(line)),
            false => writeln!(out, "{}", text(line)),
        });
        if let Some(done) = ended(written.find_map(Result::err)) {
            return done;
        }
    }
    ended(out.flush().err()).unwrap_or(Ok(ExitCode::SUCCESS))
}

/// Standard output that is closed early, as by `head`, is no failure.
fn ended(error: Option<io::Error>) -> Option<Result<ExitCode>> {
    let error = error?;
    Some(match error.kind() {
        ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        _ => Err(error).context("cannot write to standard output"),
    })
}

fn usual() -> Result<PathBuf> {
    let state = config::state();
    let state = state.ok_or_else(|| Usage("which database? --history FILE names it".to_owned()))?;
    Ok(state.join("chat-3000.db"))
}

/// A room that was misspelt is not one in which nothing was said.
fn check(archive: &Archive, path: &Path, room: &str) -> Result<()> {
    let rooms = archive.rooms().map_err(sockeye::Error::from)?;
    if rooms.iter().any(|known| *known.name == *room) {
        return Ok(());
    }
    let known: Vec<_> = rooms
        .iter()
        .map(|known| format!("#{}", known.name))
        .collect();
    let known = match known.is_empty() {
        true => "no room yet".to_owned(),
        false => known.join(", "),
    };
    let shown = path.display();
    Err(Usage(format!(
        "there is no room #{room} in {shown}: it has {known}"
    ))
    .into())
}

/// As people who speak plain text are shown it.
fn text(line: &Line) -> String {
    let (time, from) = (line.time.strftime("%F %H:%M:%S"), &line.from);
    let text = printable(&line.text);
    match line.kind {
        LineKind::Say => format!("[{time}] {from}: {text}"),
        LineKind::Topic if text.is_empty() => format!("[{time}] * {from} took the topic away"),
        LineKind::Topic => format!("[{time}] * {from} set the topic: {text}"),
        LineKind::Me | LineKind::Order => format!("[{time}] * {from} {text}"),
    }
}

/// As the server tells programs of it.
fn object(line: &Line) -> serde_json::Value {
    json!({
        "v": 1,
        "time": line.time.to_string(),
        "event": "line",
        "room": &*line.room,
        "id": line.id,
        "from": &*line.from,
        "kind": line.kind.word(),
        "text": &*line.text,
    })
}
