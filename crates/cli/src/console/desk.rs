//! `serve console`: the person at the terminal is the service.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::input::{Cut, Input};
use super::lines::{Lines, kind};
use super::patience::{AtEnd, LINGER};
use super::screen::{Ends, Form, Style};
use super::{Console, Screen};
use crate::args::{Eof, ServeArgs};
use crate::failure::code;
use crate::report::Log;
use crate::terminal::Restored;

/// A console, its input, and how lines of it are sent.
pub(crate) struct OpenDesk {
    pub(crate) console: Arc<Console>,
    input: Input,
    lines: Lines,
    _terminal: Restored,
}

/// Opens the console; `log` is written above the line that is typed.
pub(crate) fn open(args: &ServeArgs, log: &Log) -> Result<OpenDesk> {
    let form = match (args.json, args.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Hex,
        (false, false) => Form::Plain,
    };
    let encoding = (args.encoding != Default::default()).then_some(args.encoding);
    // One session alone is shown as nc shows it.
    let style = Style {
        shared: false,
        form,
        timestamps: args.timestamps,
        names: !args.once,
        ends: Ends::of(&args.frame),
        encoding,
    };
    let terminal = Restored::at_the_end();
    // The prompt comes after what was announced, not into the middle of it.
    log.flush();
    let (input, printer) = match Input::at_terminal()? {
        Some((input, [printer, own])) => {
            log.above(own);
            (input, Some(printer))
        }
        None => (Input::piped(Cut::Lines), None),
    };
    let at_end = AtEnd {
        eof: Eof::Half,
        linger: LINGER,
        limit: None,
        timeout: None,
    };
    // One session with a pipe is nc -l: every line is for it, and all that stands in the pipe.
    let piped_through = args.once && !input.is_terminal();
    let screen = Screen::start(style, printer);
    let console = Console::new(screen, at_end, None, piped_through);
    let lines = Lines {
        eol: args.eol,
        framed: !args.frame.is_raw(),
        encoding: args.encoding,
        kind: kind(false, args.encoding),
        commands: !piped_through,
    };
    Ok(OpenDesk {
        console,
        input,
        lines,
        _terminal: terminal,
    })
}

impl OpenDesk {
    /// Serves until `serving` ends or the person does.
    pub(crate) async fn run(
        self,
        serving: impl Future<Output = Result<ExitCode>>,
        stop: &CancellationToken,
    ) -> Result<ExitCode> {
        let Self {
            console,
            input,
            lines,
            ..
        } = self;
        let at_terminal = input.is_terminal();
        let typing = async {
            lines.follow(&console, input).await;
            // At a terminal the end of input is the person leaving; a pipe has only run dry.
            if !at_terminal && !console.over.is_cancelled() {
                console.over.cancelled().await;
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let served = tokio::select! {
            served = serving => served?,
            () = typing => ExitCode::SUCCESS,
        };
        if stop.is_cancelled() {
            console.screen.finish_soon().await;
        } else {
            let finished = console.screen.finish().await;
            finished.context("cannot write to standard output")?;
        }
        Ok(if console.screen.was_interrupted() {
            ExitCode::from(code::INTERRUPTED)
        } else {
            served
        })
    }
}
