//! What the command can do: a verb a file.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) mod chat;
pub(crate) mod connect;
pub(crate) mod contacts;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod receive;
pub(crate) mod relay;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod trace;

/// Prints the completions for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::command(), "sockeye", &mut script);
    print(&script)
}

/// Prints the manual page, or writes a page per command into `dir`.
pub(crate) fn man(dir: Option<&Path>) -> Result<ExitCode> {
    let command = crate::args::command();
    match dir {
        Some(dir) => {
            let written = clap_mangen::generate_to(command, dir);
            written.with_context(|| format!("cannot write the manual into {}", dir.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            print(&page)
        }
    }
}

/// Standard output that is closed early, as by `head`, is no failure.
fn print(text: &[u8]) -> Result<ExitCode> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => {
            written.context("cannot write to standard output")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
