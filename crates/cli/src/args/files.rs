//! What is taken into a folder that is served.

use std::time::Duration;

use clap::Args;

use super::values::{long_size, time};

/// The flags of `files`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files (docs/FILES.md)")]
pub(crate) struct FilesArgs {
    /// Files may be put into the folder, by browsers, curl -T and tus
    #[arg(long)]
    pub(crate) write: bool,
    /// What comes replaces a file of the same name [default: it gets a number; PUT is refused]
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The largest file that is taken [default: what there is room for]
    #[arg(long, value_name = "SIZE", value_parser = long_size)]
    pub(crate) max_file: Option<u64>,
    /// How long an upload that was cut is kept for its sender [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) keep_uploads: Option<Duration>,
    /// The process may reach all that its user may, and not only the folder (see docs/FILES.md)
    #[arg(long)]
    pub(crate) no_confinement: bool,
}

impl FilesArgs {
    /// Which of them were given.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        [
            ("--write", self.write),
            ("--overwrite", self.overwrite),
            ("--max-file", self.max_file.is_some()),
            ("--keep-uploads", self.keep_uploads.is_some()),
            ("--no-confinement", self.no_confinement),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}
