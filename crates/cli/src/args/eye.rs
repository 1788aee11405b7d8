//! Drawing what crosses the wire beside another verb's work.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use sockeye::{Lookout, View};

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
    /// Who is told of connections that we dial for others.
    #[arg(skip)]
    pub(crate) dialed: Option<Arc<dyn Lookout>>,
    /// Who is told of those that come.
    #[arg(skip)]
    pub(crate) lookout: Option<Arc<dyn Lookout>>,
    /// What the page shows of it.
    #[arg(skip)]
    pub(crate) view: Option<Arc<dyn View>>,
}
