//! How a picture of `trace` looks, and what can be had instead of one.

use clap::{Args, ValueEnum};

// What all pictures have in common.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// Only this flow, counted from 0; may be repeated
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub(crate) flow: Vec<usize>,

    /// Every packet: nothing is folded
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) all: bool,
    /// Numbers as they were sent, not counted from the SYN
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) abs: bool,
    /// A sentence for learners wherever something happens for the first time
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) explain: bool,
    /// The language of --explain
    #[arg(help_heading = PICTURE, long, value_name = "LANGUAGE", default_value = "en")]
    pub(crate) lang: Lang,
    /// Nothing but ASCII
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) ascii: bool,
    /// How wide the picture is, from 60 columns: without it as wide as the terminal
    #[arg(help_heading = PICTURE, long, value_name = "COLUMNS", conflicts_with = "json")]
    pub(crate) width: Option<usize>,
    /// JSON instead: an object a line, one for every packet
    #[arg(help_heading = INSTEAD, long)]
    pub(crate) json: bool,
    /// A picture in SVG instead, of one flow, with true slopes
    #[arg(help_heading = INSTEAD, long, conflicts_with_all = ["json", "html", "explain", "abs", "ascii", "width"])]
    pub(crate) svg: bool,
    /// A page in HTML instead, with all flows, to zoom and to ask every arrow
    #[arg(help_heading = INSTEAD, long, conflicts_with_all = ["json", "explain", "abs", "ascii", "width"])]
    pub(crate) html: bool,
    /// The colours of --svg and --html
    #[arg(help_heading = INSTEAD, long, value_name = "THEME", default_value = "auto")]
    pub(crate) theme: Colors,
}

const PICTURE: &str = "Picture";
const INSTEAD: &str = "Instead of a picture in the terminal";

/// Colours of a picture.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Colors {
    /// As whoever looks at it prefers
    Auto,
    /// Dark on light
    Light,
    /// Light on dark
    Dark,
}

/// A language of explanations.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}
