//! A few files or folders for whoever knows the way, and how often they were taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;
use wire::text::printable;

use crate::request::{Body, Response};
use crate::service::folder::target::segment;
use crate::transfer::Item;

/// What of a folder is offered.
#[derive(Debug)]
pub struct Offer {
    /// Names in the folder.
    pub names: Vec<Vec<u8>>,
    /// All of it, for those who speak the transfer protocol.
    pub items: Arc<[Item]>,
    /// Hears of each time that all of it was fetched by sockeye, or a file of it was downloaded to its end.
    pub taken: UnboundedSender<()>,
}

impl Offer {
    /// # Errors
    /// When a path leads to something else in the folder.
    pub(super) fn has(&self, path: &[u8]) -> io::Result<()> {
        let first = path.split(|byte| *byte == b'/').next();
        match self.names.iter().any(|name| Some(&name[..]) == first) {
            true => Ok(()),
            false => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn was_taken(&self) {
        // Whoever counted may have heard enough.
        let _ = self.taken.send(());
    }

    /// Links to all of it, which begins at `under`.
    pub(super) fn page(&self, under: &str) -> Response {
        let rows: String = self.names.iter().map(|name| row(under, name)).collect();
        let page = format!(
            "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>sockeye</title><style>body{{font:1.2em/1.6 system-ui;margin:2em}}</style>\
             <h1>Files for you</h1><ul>{rows}</ul>\n"
        );
        let mut response = Response::new(page.into());
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// The same answer, which tells when a download has come to the end of its file.
    pub(super) fn counted(self: &Arc<Self>, method: &Method, response: Response) -> Response {
        let is_last = match response.status() {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT => reaches_the_end(&response),
            _ => false,
        };
        if method != Method::GET || !is_last {
            return response;
        }
        let offer = self.clone();
        response.map(|body| {
            Body::stream(Counted {
                body,
                offer: Some(offer),
            })
        })
    }
}

/// `bytes 5-9/10` (RFC 9110, section 14.4): the last byte is there.
fn reaches_the_end(response: &Response) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    let ends = range.and_then(|range| {
        let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (_, last) = range.split_once('-')?;
        Some(last.parse::<u64>().ok()?.checked_add(1)? == whole.parse::<u64>().ok()?)
    });
    ends.unwrap_or(false)
}

fn row(under: &str, name: &[u8]) -> String {
    let href: String = segment(name).collect();
    let name = String::from_utf8_lossy(name);
    let mut shown = String::new();
    for letter in printable(&name).chars() {
        match letter {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            letter => shown.push(letter),
        }
    }
    format!("<li><a href=\"{under}/{href}\">{shown}</a>")
}

/// A body that tells when all of it has left.
struct Counted {
    body: Body,
    offer: Option<Arc<Offer>>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let is_over = match &frame {
            None => true,
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if is_over && let Some(offer) = self.offer.take() {
            offer.was_taken();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
