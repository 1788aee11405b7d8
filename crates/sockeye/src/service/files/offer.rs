//! A few files or folders for whoever knows the way, and how often they were taken.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;
use wire::text::printable;
use wire::transfer::RelativePath;

use crate::error::{Error, Result};
use crate::request::{Body, Response};
use crate::service::folder::Root;
use crate::service::folder::target::segment;
use crate::transfer::Item;

/// What is offered: files and folders, from wherever they lie.
#[derive(Debug)]
pub struct Offer {
    /// The files and folders that were named: what each is called, and where it is, with no link on the way.
    pub named: Vec<(Vec<u8>, PathBuf)>,
    /// All that is offered. Their paths begin with those names; what else lies in a folder is not there.
    pub items: Arc<[Item]>,
    /// Hears of each time that all of it was fetched by sockeye, or a file of it was downloaded to its end.
    pub taken: UnboundedSender<()>,
}

/// An offer whose folders are open.
#[derive(Debug)]
pub(super) struct Shelf {
    offer: Offer,
    /// For each that was named the folder that it lies in, and its name there.
    places: Vec<(Arc<Root>, Vec<u8>)>,
    paths: HashSet<RelativePath>,
}

/// What is offered of a folder.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    shelf: Arc<Shelf>,
    folder: Vec<u8>,
}

impl Shelf {
    /// # Errors
    /// When something lies nowhere, or two have the same name.
    pub(super) fn open(offer: Offer) -> Result<Self> {
        let mut places = Vec::with_capacity(offer.named.len());
        for (at, (name, path)) in offer.named.iter().enumerate() {
            let failed = |why: &str| Error::File {
                action: "offer",
                path: path.display().to_string(),
                source: io::Error::other(why.to_owned()),
            };
            if offer.named[..at].iter().any(|(other, _)| other == name) {
                return Err(failed("something else of this name is offered with it"));
            }
            let (Some(folder), Some(real)) = (path.parent(), path.file_name()) else {
                return Err(failed("it lies in no folder"));
            };
            places.push((Arc::new(Root::open(folder)?), real.as_bytes().to_vec()));
        }
        let paths = offer.items.iter().map(|item| item.path.clone()).collect();
        Ok(Self {
            offer,
            places,
            paths,
        })
    }

    /// Where something of it lies: in which folder, and as what.
    ///
    /// # Errors
    /// When it is not offered.
    pub(super) fn place(&self, path: &[u8]) -> io::Result<(Arc<Root>, Vec<u8>)> {
        let mut names = path.splitn(2, |byte| *byte == b'/');
        let first = names.next().unwrap_or_default();
        let mut named = self.offer.named.iter().zip(&self.places);
        let found = named.find(|((name, _), _)| name == first);
        let (_, (root, real)) = found.filter(|_| self.has(path)).ok_or(Errno::NOENT)?;
        let mut there = real.clone();
        if let Some(rest) = names.next() {
            there.push(b'/');
            there.extend_from_slice(rest);
        }
        Ok((root.clone(), there))
    }

    fn has(&self, path: &[u8]) -> bool {
        RelativePath::new(path).is_ok_and(|path| self.paths.contains(&path))
    }

    /// What is offered of the folder at `path`.
    pub(super) fn within(self: &Arc<Self>, path: &[u8]) -> Shown {
        Shown {
            shelf: self.clone(),
            folder: path.to_vec(),
        }
    }

    pub(super) fn was_taken(&self) {
        // Whoever counted may have heard enough.
        let _ = self.offer.taken.send(());
    }

    /// Links to all of it, which begins at `under`.
    pub(super) fn page(&self, under: &str) -> Response {
        let named = self.offer.named.iter();
        let rows: String = named.map(|(name, _)| row(under, name)).collect();
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

impl Shown {
    /// Whether a name in the folder, or beneath one in it, is offered.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.shelf.has(&[&self.folder, &b"/"[..], name].concat())
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
    offer: Option<Arc<Shelf>>,
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
