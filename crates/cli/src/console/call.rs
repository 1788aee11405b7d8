//! A conversation that we opened: from where our words come, and when it is over.

use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future::join_all;

use super::input::{Cut, Input, Printer};
use super::lines::{Lines, kind};
use super::patience::{AtEnd, LINGER};
use super::pipe::Pipe;
use super::screen::{Ends, Form, Screen, Style};
use super::script::{self, Part};
use super::{Attendance, Console, Notes};
use crate::args::{ConnectArgs, Eol};
use crate::failure::{self, code};
use crate::report::text;
use crate::signals::Signals;
use crate::terminal::Restored;
use crate::verb::connect::Reached;

/// Where our words come from.
enum Source {
    /// The command line.
    Script,
    /// Nowhere.
    Nothing,
    /// Standard input, unchanged, into this socket.
    Pipe(OwnedFd),
    /// Standard input, line by line.
    Typed { input: Input, commands: bool },
}

/// How one session ended.
type Ended = Result<()>;

pub(crate) async fn run(
    args: &ConnectArgs,
    reached: Reached,
    parts: &[Part],
    notes: &Notes,
    signals: &mut Signals,
) -> Result<ExitCode> {
    let _terminal = Restored::at_the_end();
    let (source, printer) = source(args, &reached, parts)?;
    let several = reached.sessions.len() > 1;
    let console = Console::new(
        Screen::start(style(args, several), printer),
        at_end(args, parts),
        args.count,
        matches!(&source, Source::Typed { input, .. } if !input.is_terminal()),
    );
    notes.onto(console.screen.teller());
    let mut attendances = Vec::new();
    let mut infos = Vec::new();
    for (name, session) in reached.sessions {
        let info = session.info();
        infos.push(info.clone());
        let connected = text::connected(info);
        console.screen.tell(connected.trim_end()).await;
        if args.verbose && info.tls().is_some() {
            let facts = text::secured(info, "");
            console.screen.tell(facts.trim_end()).await;
        }
        attendances.push(console.admit(name, session));
    }
    let ended = converse(args, source, parts, attendances, &console);
    tokio::pin!(ended);
    let (ended, signalled) = tokio::select! {
        ended = &mut ended => (ended, None),
        code = signals.next() => {
            // Everyone is told that we leave, as far as their protocol has words for it.
            console.over.cancel();
            (ended.await, Some(code))
        }
    };
    let signalled = flush(&console, signalled, signals).await?;
    if args.verbose {
        infos
            .iter()
            .for_each(|info| eprint!("{}", text::left(info)));
    }
    let mut code = reached.failed;
    // What our own leaving has cut off is no failure.
    let left = console.over.is_cancelled() || console.screen.gone().is_cancelled();
    let cut_off = |error: &anyhow::Error| {
        let error = error.downcast_ref::<sockeye::Error>();
        left && error.is_some_and(sockeye::Error::is_reset)
    };
    let failed = ended.into_iter().filter_map(Result::err);
    for error in failed.filter(|error| !cut_off(error)) {
        eprintln!("{}", failure::line(&error));
        code = code.or_else(|| Some(failure::exit_code(&error)));
    }
    for refusal in infos.iter().filter_map(|info| failure::refusal(info)) {
        eprintln!("{}", failure::line(&refusal));
        code = code.or_else(|| Some(failure::exit_code(&refusal)));
    }
    let interrupted = console.screen.was_interrupted();
    let signalled = signalled.or_else(|| interrupted.then_some(code::INTERRUPTED));
    Ok(ExitCode::from(signalled.or(code).unwrap_or(0)))
}

/// Waits until everything is shown. One who reads slowly gets all of it, unless a signal says to leave.
async fn flush(
    console: &Console,
    signalled: Option<u8>,
    signals: &mut Signals,
) -> Result<Option<u8>> {
    if signalled.is_some() {
        console.screen.finish_soon().await;
        return Ok(signalled);
    }
    tokio::select! {
        finished = console.screen.finish() => {
            finished.context("cannot write to standard output")?;
            Ok(None)
        }
        code = signals.next() => Ok(Some(code)),
    }
}

fn source(
    args: &ConnectArgs,
    reached: &Reached,
    parts: &[Part],
) -> Result<(Source, Option<Printer>)> {
    if !parts.is_empty() {
        return Ok((Source::Script, None));
    }
    if !args.reads_stdin() {
        return Ok((Source::Nothing, None));
    }
    if let Some((input, [printer, _])) = Input::at_terminal()? {
        return Ok((
            Source::Typed {
                input,
                commands: true,
            },
            Some(printer),
        ));
    }
    let at_terminal = std::io::stdin().is_terminal();
    if let [(_, session)] = &reached.sessions[..] {
        let untouched = args.eol.is_none() && !args.crlf && !at_terminal;
        if let Some(socket) = session.raw_socket()
            && untouched
        {
            let socket = socket.context("cannot pass on standard input")?;
            return Ok((Source::Pipe(socket), None));
        }
        if untouched && args.frame.is_raw() && !session.keeps_boundaries() {
            // The same where the bytes must pass through here, as those of TLS do.
            let typed = Source::Typed {
                input: Input::piped(Cut::Chunks),
                commands: false,
            };
            return Ok((typed, None));
        }
    }
    let cut = if args.binary { Cut::Chunks } else { Cut::Lines };
    let commands = at_terminal || reached.sessions.len() > 1;
    Ok((
        Source::Typed {
            input: Input::piped(cut),
            commands,
        },
        None,
    ))
}

async fn converse(
    args: &ConnectArgs,
    source: Source,
    parts: &[Part],
    attendances: Vec<Attendance>,
    console: &Arc<Console>,
) -> Vec<Ended> {
    match source {
        Source::Nothing => {
            // Nothing will be said, but nobody is told so: the peer may go on for as long as it likes.
            join_all(attendances.into_iter().map(Attendance::attend)).await
        }
        Source::Script => {
            let lines = lines(args, false);
            let played = attendances.into_iter().map(async |attendance| {
                let playing = script::play(parts, lines, args.wait, attendance.member.clone());
                alongside(attendance.attend(), playing).await
            });
            join_all(played).await
        }
        Source::Pipe(socket) => {
            let piped = attendances
                .into_iter()
                .map(|attendance| pipe(attendance, &socket, console));
            join_all(piped).await
        }
        Source::Typed { input, commands } => {
            let talking = join_all(attendances.into_iter().map(Attendance::attend));
            let typing = async {
                lines(args, commands).follow(console, input).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = talking => ended,
                () = typing => Vec::new(),
            }
        }
    }
}

/// What `session` gives; `talk` goes on beside it and not beyond it.
async fn alongside(session: impl Future<Output = Ended>, talk: impl Future<Output = ()>) -> Ended {
    let talk = async {
        talk.await;
        std::future::pending().await
    };
    tokio::select! {
        ended = session => ended,
        never = talk => never,
    }
}

async fn pipe(attendance: Attendance, socket: &OwnedFd, console: &Console) -> Ended {
    let member = attendance.member.clone();
    let peer = member.info.peer().to_string();
    let pipe = Pipe::start(
        socket
            .try_clone()
            .context("cannot pass on standard input")?,
        &member,
    );
    let (ended, piped) = tokio::join!(attendance.attend(), pipe.follow(member, console));
    ended.and_then(|()| piped.map_err(|source| broken(source, peer)))
}

/// Which end of the pipe broke is told apart by how: no socket is a folder.
fn broken(source: std::io::Error, address: String) -> anyhow::Error {
    use rustix::io::Errno;
    match Errno::from_io_error(&source) {
        Some(Errno::ISDIR | Errno::BADF | Errno::IO | Errno::INVAL) => {
            anyhow::Error::new(source).context("cannot read standard input")
        }
        _ => sockeye::Error::Io {
            operation: sockeye::Operation::Send,
            address,
            source,
        }
        .into(),
    }
}

pub(crate) fn lines(args: &ConnectArgs, commands: bool) -> Lines {
    let encoding = args.encoding.unwrap_or_default();
    Lines {
        eol: if args.crlf { Some(Eol::Crlf) } else { args.eol },
        framed: !args.frame.is_raw(),
        encoding,
        kind: kind(args.binary, encoding),
        commands,
    }
}

fn style(args: &ConnectArgs, several: bool) -> Style {
    let form = match (args.json, args.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Hex,
        (false, false) => Form::Plain,
    };
    Style {
        shared: args.socket.broadcasts(),
        form,
        timestamps: args.timestamps,
        names: several,
        ends: Ends::of(&args.frame),
        encoding: args.encoding,
    }
}

fn at_end(args: &ConnectArgs, parts: &[Part]) -> AtEnd {
    match parts.is_empty() {
        true => AtEnd {
            eof: args.eof,
            linger: LINGER,
            limit: None,
            timeout: args.timeout,
        },
        // After --send it is --wait that says how long answers are waited for.
        false => AtEnd {
            eof: args.eof,
            linger: args.wait,
            limit: Some(args.wait),
            timeout: args.timeout,
        },
    }
}
