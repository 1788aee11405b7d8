//! `sockeye chat export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `sockeye chat` does without a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ChatAction {
    Export(ExportArgs),
}

/// Print all that was said in a room
///
/// Reads the database of `sockeye serve chat`, whether that runs or not. Times are UTC.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    /// The room
    #[arg(value_name = "ROOM")]
    pub(crate) room: String,
    /// The database [default: that of port 3000, chat-3000.db in the state folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Only lines with a higher id
    #[arg(
        long,
        value_name = "ID",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) after: u64,
    /// As JSON, an object a line (docs/CHAT.md)
    #[arg(long)]
    pub(crate) json: bool,
}
