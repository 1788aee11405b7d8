//! `files`: a folder for whoever has a browser, curl or sockeye, to take from and, if it is allowed, to put into.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rustix::io::Errno;
use wire::text::Encoding;
use wire::transfer::RelativePath;

mod archive;
mod browse;
mod filling;
mod offer;
mod parts;
mod proof;
mod put;
mod query;
mod resumable;
mod show;
mod steps;
mod trouble;
mod tus;
mod uploads;
mod visit;

pub use offer::Offer;
use offer::Shelf;
use show::Scope;
use trouble::Trouble;
use uploads::Uploads;

use super::Service;
use super::folder::target::segment;
use super::folder::{self, Root, Target, refusal, words};
use crate::error::Error;
use crate::request::{Answer, Body, Request, Response};
use crate::session::{Identity, Session};
use crate::token::Token;
use crate::transfer::{self, Clash, Desk, Fault, Landed, alike, mistakable};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Names of a folder that are looked through after each upload, at the most.
const LOOKED_THROUGH: usize = 1000;

/// Where files may be put. There is no DELETE for files: it gives up uploads.
const WRITABLE: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::PATCH,
    Method::DELETE,
];

/// Serves the files of a folder, and takes files into it where that is allowed.
///
/// Files are answered as [`Site`](super::Site) answers them: ranges, conditions, HEAD, compression, and digests by
/// RFC 9530 for who asks. A folder is a page for a browser, JSON for who accepts that or asks for `?json`, and one
/// archive for who asks for `?archive=zip`, `tar` or `tar.zst`.
///
/// Files come by PUT in one request, and by tus 1.0 and the draft of its successor in as many as it takes. They are `NAME.part` until they are whole
/// and on the disk; nothing is overwritten unless that is allowed.
#[derive(Clone, Debug)]
pub struct Files {
    root: Arc<Root>,
    /// The same folder for what comes, and for sockeye at the other end.
    desk: Arc<Desk>,
    uploads: Arc<Uploads>,
    /// What alone is there, wherever it lies.
    offer: Option<Arc<Shelf>>,
    options: FilesOptions,
}

/// What [`Files`] shows and takes.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// Files may be put here.
    pub write: bool,
    /// What comes replaces what is there. Otherwise it gets a number, or by PUT, which names one file and no other, is
    /// refused.
    pub overwrite: bool,
    /// The largest file that is taken, in bytes.
    pub max_size: Option<u64>,
    /// How long an upload that was cut is kept for its sender.
    pub keep: Duration,
    /// Where all of it begins: empty for `/`, or `/SECRET` for what only those find who know the way.
    pub under: String,
    /// Names that begin with a dot are served, listed and taken.
    pub hidden: bool,
    /// What the `charset` of text says.
    pub encoding: Encoding,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            write: false,
            overwrite: false,
            max_size: None,
            keep: DAY,
            under: String::new(),
            hidden: false,
            encoding: Encoding::UTF_8,
        }
    }
}

impl Files {
    /// Serves `folder`, which stays the same one should it be renamed.
    ///
    /// # Errors
    /// When it is no folder, or cannot be opened; when the kernel has no `openat2(2)` (Linux 5.6).
    pub fn open(folder: impl AsRef<Path>, options: FilesOptions) -> crate::error::Result<Self> {
        let folder = folder.as_ref();
        let root = Arc::new(Root::open(folder)?);
        let landings = transfer::Root::open(folder).map_err(|fault| Error::File {
            action: "serve the folder",
            path: folder.display().to_string(),
            source: io::Error::other(fault.to_string()),
        })?;
        let mut desk = Desk::new(transfer::Target {
            root: landings,
            under: None,
            clash: clash(&options),
            hidden: options.hidden,
            max_size: options.max_size,
        });
        let secret = options.under.trim_start_matches('/');
        if !secret.is_empty() {
            let secret = Token::new(secret).map_err(|why| Error::File {
                action: "serve the folder",
                path: folder.display().to_string(),
                source: io::Error::other(why),
            })?;
            desk.secret = Some(secret);
        }
        desk.read = true;
        desk.write = options.write;
        Ok(Self {
            root,
            desk: Arc::new(desk),
            uploads: Arc::default(),
            offer: None,
            options,
        })
    }

    /// Serves only what is offered.
    ///
    /// # Errors
    /// As [`open`](Self::open), for each folder that something of it lies in; and when nothing is offered, or two of
    /// one name.
    pub fn offering(offer: Offer, options: FilesOptions) -> crate::error::Result<Self> {
        let first = offer.named.first().and_then(|(_, path)| path.parent());
        let mut files = Self::open(first.unwrap_or_else(|| Path::new("")), options)?;
        if let Some(desk) = Arc::get_mut(&mut files.desk) {
            desk.offer = Some(offer.items.clone());
        }
        files.offer = Some(Arc::new(Shelf::open(offer)?));
        Ok(files)
    }

    async fn answer(&self, request: Request) -> io::Result<Answer> {
        let Some(path) = self.beneath(request.uri().path()) else {
            return Err(Errno::NOENT.into());
        };
        let Some(mut target) = Target::read(path) else {
            let why = "No file can have that name.";
            return Ok(refusal(StatusCode::BAD_REQUEST, why).into());
        };
        let (mut root, mut shown) = (self.root.clone(), None);
        if let Some(offer) = &self.offer {
            if target.name.is_empty() {
                return Ok(offer.page(&self.options.under).into());
            }
            shown = Some(offer.within(&target.name));
            (root, target.name) = offer.place(&target.name)?;
        }
        if target.is_hidden && !self.options.hidden {
            return Err(Errno::NOENT.into());
        }
        let (mut parts, body) = request.into_parts();
        tus::meant(&mut parts);
        match parts.method {
            Method::HEAD if self.options.write && tus::is_asked(&parts) => {
                Ok(self.take(parts, &target, body).await.into())
            }
            Method::GET | Method::HEAD => {
                let scope = Scope { root, shown };
                self.show(Request::from_parts(parts, body), &target, scope)
                    .await
            }
            Method::PUT | Method::POST | Method::PATCH | Method::DELETE if self.options.write => {
                Ok(self.take(parts, &target, body).await.into())
            }
            _ => Ok(self.not_allowed().into()),
        }
    }

    /// The part of a path that is behind what all of it begins with.
    fn beneath<'a>(&self, path: &'a str) -> Option<&'a str> {
        let under = &self.options.under;
        let (start, rest) = path.split_at_checked(under.len())?;
        // As long to compare however much of it is guessed.
        let is_same = verify_slices_are_equal(start.as_bytes(), under.as_bytes()).is_ok();
        match rest {
            _ if !is_same => None,
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }

    /// Takes a file, or a part of one.
    async fn take(&self, request: Parts, target: &Target, body: Body) -> Response {
        // What it needs is much, and only while files come.
        let taking: Pin<Box<dyn Future<Output = _> + Send + '_>> = match request.method {
            _ if resumable::is_asked(&request) => Box::pin(self.resumable(&request, target, body)),
            Method::PUT => Box::pin(self.put(&request, target, body)),
            _ if tus::is_asked(&request) => Box::pin(self.tus(&request, target, body)),
            _ => {
                return words(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "files come by PUT, or by tus",
                );
            }
        };
        let taken = taking.await;
        taken.unwrap_or_else(|trouble| told(&request, &trouble))
    }

    /// The folder for what comes.
    fn landings(&self) -> Result<&transfer::Root, Trouble> {
        let why = "files can be read here, and nothing else";
        match self.options.write {
            true => Ok(&self.desk.target.root),
            false => Err(Trouble::Wrong(StatusCode::FORBIDDEN, why)),
        }
    }

    /// Where a file is to land.
    fn path(&self, target: &Target) -> Result<RelativePath, Trouble> {
        self.checked(target.name.clone())
    }

    fn checked(&self, name: Vec<u8>) -> Result<RelativePath, Trouble> {
        let path = RelativePath::new(name).map_err(Trouble::Name)?;
        let is_hidden = path.names().any(|name| name.starts_with(b"."));
        if is_hidden && !self.options.hidden {
            let why = "names that begin with a dot are not taken: serve with --hidden";
            return Err(Trouble::Wrong(StatusCode::FORBIDDEN, why));
        }
        Ok(path)
    }

    fn fits(&self, size: Option<u64>) -> Result<(), Trouble> {
        match (size, self.options.max_size) {
            (Some(size), Some(most)) if size > most => Err(Trouble::TooLarge),
            _ => Ok(()),
        }
    }

    /// The path of a file's URI.
    fn location(&self, path: &RelativePath) -> String {
        let mut location = self.options.under.clone();
        for name in path.names() {
            location.push('/');
            location.extend(segment(name));
        }
        location
    }

    /// What became of a file, and what people may mistake it for.
    async fn said(&self, landed: &Landed) -> Result<String, Trouble> {
        let Landed { path, size, hash } = landed;
        let (root, at) = (self.desk.target.root.clone(), path.clone());
        let beside = waiting(move || Ok(alike(&root, &at, LOOKED_THROUGH))).await?;
        let bytes = if *size == 1 { "byte" } else { "bytes" };
        let mut said = format!("saved {path}: {size} {bytes}");
        if let Some(hash) = hash {
            said += &format!(", blake3 {hash}");
        }
        if let Some(beside) = beside {
            said += "; ";
            said += &mistakable(path, &beside);
        }
        Ok(said)
    }

    fn not_allowed(&self) -> Response {
        let why = "Files can be read here, and nothing else.";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, why);
        let names: Vec<_> = self.methods().iter().map(Method::as_str).collect();
        if let Ok(allowed) = HeaderValue::try_from(names.join(", ") + ", OPTIONS") {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}

/// What becomes of a file whose name is taken.
fn clash(options: &FilesOptions) -> Clash {
    match options.overwrite {
        true => Clash::Overwrite,
        false => Clash::Rename,
    }
}

/// Does what may wait for a disk on a thread that may wait.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Trouble::Lost)??)
}

/// Tells the person who serves.
fn tell(request: &Parts, what: &str) {
    if let Some(asker) = request.extensions.get::<Arc<Identity>>() {
        asker.note(&format!("{what}, from {}", asker.peer()));
    }
}

fn told(request: &Parts, trouble: &Trouble) -> Response {
    if trouble.is_ours() {
        tell(request, &format!("cannot take a file: {trouble}"));
    }
    trouble.response()
}

impl Service for Files {
    async fn serve(&self, session: Session) -> crate::error::Result<()> {
        self.visit(session).await
    }

    fn methods(&self) -> &'static [Method] {
        match self.options.write {
            true => WRITABLE,
            false => const { &[Method::GET, Method::HEAD] },
        }
    }

    fn options(&self, headers: &mut HeaderMap) {
        if self.options.write {
            tus::offer(headers, self.options.max_size);
            resumable::offer(headers, &self.options);
        }
    }

    async fn http(&self, request: Request) -> crate::error::Result<Answer> {
        let is_head = request.method() == Method::HEAD;
        let path = request.uri().path().to_owned();
        let asker = request.extensions().get::<Arc<Identity>>().cloned();
        let answer = match self.answer(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let (status, why) = folder::refused(&error);
                if let (true, Some(asker)) = (status.is_server_error(), asker) {
                    asker.note(&format!("cannot serve {path}: {error}"));
                }
                refusal(status, why).into()
            }
        };
        Ok(match answer {
            Answer::Response(mut response) if is_head => {
                *response.body_mut() = Body::empty();
                Answer::Response(response)
            }
            answer => answer,
        })
    }
}
