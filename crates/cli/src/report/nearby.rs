//! How a server is found by others: its page's address as a QR code, and what becomes of its announcement.

use sockeye::Observer as _;
use sockeye::nearby::{Announced, Tidings};
use tokio_util::sync::CancellationToken;

use super::{Form, Reporter, qr};

/// Draws the address of the page. `is_wanted`: somebody asked for it, and is told why there is none.
pub(crate) fn code(reporter: &Reporter, page: Option<&str>, is_wanted: bool) {
    if reporter.form == Form::Json {
        return;
    }
    match page.map(|page| (page, qr::for_terminal(page))) {
        Some((page, Some(code))) => reporter.hint(&format!("{code}{page}")),
        Some((_, None)) if is_wanted => reporter.hint(
            "note: no QR code: standard error is no terminal, or it is narrower than the code",
        ),
        None if is_wanted => {
            reporter.hint("note: no QR code: no page is served at these addresses");
        }
        _ => {}
    }
}

/// Tells what becomes of announcements until the server stops, and takes them back.
pub(crate) async fn announced(
    reporter: &Reporter,
    announced: Option<Announced>,
    stop: &CancellationToken,
) {
    let Some(mut announced) = announced else {
        return;
    };
    while let Some(tidings) = stop.run_until_cancelled(announced.tidings()).await {
        reporter.note(&match tidings {
            Tidings::Announced(name) => {
                format!("announced on the network as `{name}`: `sockeye find` finds it")
            }
            Tidings::Renamed { from, to } => {
                format!("`{from}` is taken on the network: announced as `{to}`")
            }
            Tidings::Trouble(what) => format!("the announcement on the network: {what}"),
        });
    }
    announced.withdraw().await;
}
