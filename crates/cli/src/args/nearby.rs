//! How others on this network find a server: `serve --announce`, and `sockeye find`.

use std::time::Duration;

use clap::Args;
use sockeye::nearby::MAX_NAME;

use super::values::time;

/// How a server is found.
#[derive(Debug, Args)]
#[command(next_help_heading = "Being found")]
pub(crate) struct NearbyArgs {
    /// Let those on this network find the server by mDNS, with `sockeye find` or what shows _sockeye._tcp [default NAME: the service and this machine]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = name)]
    pub(crate) announce: Option<String>,
    /// Draw the page's address as a QR code; `chat` does where phones can reach it
    #[arg(long)]
    pub(crate) qr: bool,
}

fn name(text: &str) -> Result<String, String> {
    if text.len() > MAX_NAME {
        return Err(format!("a name has {MAX_NAME} bytes at the most"));
    }
    match text.contains(char::is_control) {
        true => Err("a name has no control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// List the servers that announce themselves on this network
///
/// A line each, as they answer: the address for `sockeye connect` or `sockeye chat`, the service, and the name, with tabs
/// between. Names are whatever those who announce them say; control characters in them are shown as
/// escapes.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct FindArgs {
    /// Only those that serve this: chat, echo … [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// How long to listen
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// End with the first that answers
    #[arg(short = '1', long)]
    pub(crate) once: bool,
    /// As JSON, an object a line (docs/JSON.md)
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sockeye serve '*:3000' --announce                      let others find this chat
  sockeye serve '*:3000' --announce=\"Ann's chat\"         under a name
  sockeye find                                           who is there
  sockeye chat \"$(sockeye find chat --once | cut -f1)\"   talk in the first that answers
Exit code 3: nobody answered in time.";
