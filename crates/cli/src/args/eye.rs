//! Drawing what crosses the wire beside another verb's work.

use std::ffi::OsString;

use clap::Args;

/// The picture beside the work.
#[derive(Debug, Args)]
pub(crate) struct EyeArgs {
    /// Draw on standard error what crosses the wire, or into FILE: .svg, .html, .json, .txt or .pcapng (docs/TRACE.md)
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub(crate) trace: Option<OsString>,
}
