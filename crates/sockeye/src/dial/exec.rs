//! Programs on the dialing side: `exec:COMMAND`.

use super::DialOptions;
use crate::child::{Launch, words};
use crate::error::Result;
use crate::session::Session;

/// Starts `command`, whose words are cut as a shell would; no shell is started.
pub(super) fn dial(command: &str, options: &DialOptions) -> Result<Session> {
    let launch = Launch {
        words: &words(command)?,
        options: &options.child,
        client: options.client.as_deref(),
        observer: options.observer.clone(),
    };
    launch.session(
        options.framing.clone(),
        options.encoding,
        options.max_message,
    )
}
