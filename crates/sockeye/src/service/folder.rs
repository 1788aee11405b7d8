//! A folder beneath which files are served: names, what stands behind them, and answers to GET. What `site` and
//! `files` have in common.

use std::io;

use http::{HeaderValue, StatusCode, header};
use rustix::io::Errno;

use crate::error::Result;
use crate::request::Response;
use crate::session::{Info, Session};

mod coding;
pub(super) mod condition;
pub(super) mod content;
pub(super) mod digest;
mod disposition;
pub(super) mod file;
pub(super) mod kind;
pub(super) mod listing;
mod packed;
pub(super) mod page;
mod range;
pub(super) mod root;
pub(super) mod target;

pub(super) use disposition::attachment;
pub(super) use file::Asked;
pub(super) use page::refusal;
pub(super) use root::{Opened, Root, Sort};
pub(super) use target::Target;

/// A folder is named with a slash at its end, or the links of its page would lead elsewhere.
pub(super) fn moved(under: &str, target: &Target, query: Option<&str>) -> Response {
    let mut location = format!("{under}{}", target.folder_path());
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    let mut response = refusal(StatusCode::MOVED_PERMANENTLY, "It is a folder.");
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What the system says about a name that is read, as HTTP says it.
pub(super) fn refused(error: &io::Error) -> (StatusCode, &'static str) {
    match Errno::from_io_error(error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL,
        ) => (StatusCode::NOT_FOUND, "There is nothing of that name here."),
        Some(Errno::ACCESS | Errno::PERM) => (StatusCode::FORBIDDEN, "This may not be read."),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "There is too much to do just now.",
        ),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "This could not be read."),
    }
}

/// A line for a person at a terminal.
pub(super) fn words(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(format!("{text}\n").into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    let exactly = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, exactly);
    response
}

/// Where to go, for whoever comes without HTTP.
pub(super) fn pointer(info: &Info) -> String {
    let scheme = if info.tls().is_some() {
        "https"
    } else {
        "http"
    };
    match info.local().socket_addr() {
        Some(local) => {
            format!("this port serves files: open {scheme}://{local}/ in a browser\n")
        }
        None => "this port serves files, over HTTP\n".to_owned(),
    }
}

/// Tells whoever comes without HTTP where to go.
pub(super) async fn point_to_http(mut session: Session) -> Result<()> {
    let text = pointer(session.info());
    session.send(text).await?;
    if !session.keeps_boundaries() {
        return session.close().await;
    }
    // Told once: a peer that answers everything, as an echo does, would be told for ever.
    session.finish().await?;
    while session.recv().await?.is_some() {}
    Ok(())
}
