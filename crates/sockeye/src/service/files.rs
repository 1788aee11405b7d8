//! `files`: a folder for whoever has a browser, curl or sockeye, to take from and, if it is allowed, to put into.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rustix::io::Errno;
use wire::text::Encoding;

mod archive;
mod browse;
mod query;

use query::Shown;

use super::Service;
use super::folder::{
    self, Asked, Opened, Root, Sort, Target, attachment, digest, listing, moved, page, refusal,
};
use crate::error::Result;
use crate::request::{Answer, Body, HasPage, Request, Response};
use crate::session::{Identity, Session};

/// Serves the files of a folder, and takes files into it where that is allowed.
///
/// Files are answered as [`Site`](super::Site) answers them: ranges, conditions, HEAD, compression, and digests by
/// RFC 9530 for who asks. A folder is a page for a browser, JSON for who accepts that or asks for `?json`, and one
/// archive for who asks for `?archive=zip`, `tar` or `tar.zst`.
#[derive(Clone, Debug)]
pub struct Files {
    root: Arc<Root>,
    options: FilesOptions,
}

/// What [`Files`] shows and takes.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// Names that begin with a dot are served, listed and taken.
    pub hidden: bool,
    /// What the `charset` of text says.
    pub encoding: Encoding,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
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
    pub fn open(folder: impl AsRef<Path>, options: FilesOptions) -> Result<Self> {
        let root = Arc::new(Root::open(folder.as_ref())?);
        Ok(Self { root, options })
    }

    async fn answer(&self, request: Request) -> io::Result<Answer> {
        let Some(target) = Target::read(request.uri().path()) else {
            let why = "No file can have that name.";
            return Ok(refusal(StatusCode::BAD_REQUEST, why).into());
        };
        if target.is_hidden && !self.options.hidden {
            return Err(Errno::NOENT.into());
        }
        match *request.method() {
            Method::GET | Method::HEAD => self.show(request, &target).await,
            _ => Ok(self.not_allowed().into()),
        }
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

    async fn show(&self, request: Request, target: &Target) -> io::Result<Answer> {
        let found = self.root.find(target.name.clone()).await?;
        let query = request.uri().query();
        match found.facts.kind {
            Sort::File if !target.is_folder => {
                // A body is no part of what is asked.
                let (request, _) = request.into_parts();
                Ok(self.file(&request, target, found).await?.into())
            }
            Sort::Folder if !target.is_folder => Ok(moved(target, query).into()),
            Sort::Folder => self.folder(request, target, found).await,
            Sort::File | Sort::Other => Err(Errno::NOENT.into()),
        }
    }

    async fn file(&self, request: &Parts, target: &Target, file: Opened) -> io::Result<Response> {
        let asked = Asked {
            root: &self.root,
            method: &request.method,
            headers: &request.headers,
            name: &target.name,
            file,
            encoding: self.options.encoding,
            digests: digest::wanted(&request.headers),
        };
        let mut response = asked.answer().await?;
        let headers = response.headers_mut();
        if headers
            .get(header::CONTENT_TYPE)
            .is_some_and(browse::is_active)
        {
            // Whoever puts a page here shall not speak with this server's voice (HTML, section 7.1.5).
            let alone = HeaderValue::from_static("sandbox");
            headers.insert(header::CONTENT_SECURITY_POLICY, alone);
        }
        if let Shown::Download = Shown::of(request) {
            headers.insert(header::CONTENT_DISPOSITION, attachment(&target.name, ""));
        }
        Ok(response)
    }

    async fn folder(
        &self,
        request: Request,
        target: &Target,
        folder: Opened,
    ) -> io::Result<Answer> {
        let has_page = request.extensions().get::<HasPage>().is_some();
        let (parts, body) = request.into_parts();
        let shown = Shown::of(&parts);
        if shown == Shown::Best && has_page {
            return Ok(Answer::Session(Request::from_parts(parts, body)));
        }
        let mut response = Response::new(Body::empty());
        let is_whole = parts.method == Method::GET;
        match shown {
            Shown::Archive(kind) => {
                archive::describe(response.headers_mut(), kind, &target.name);
                if is_whole {
                    let (root, name) = (self.root.clone(), target.name.clone());
                    match archive::Archive::begin(root, name, kind, self.options.hidden) {
                        Some(archive) => *response.body_mut() = Body::stream(archive),
                        None => return Ok(archive::busy().into()),
                    }
                }
            }
            Shown::Json => {
                browse::describe(response.headers_mut());
                if is_whole {
                    let listing = self.listing(target, folder).await?;
                    *response.body_mut() = Body::stream(browse::json(listing, target));
                }
            }
            Shown::Best | Shown::Plain | Shown::Download => {
                page::describe(response.headers_mut());
                if is_whole {
                    let listing = self.listing(target, folder).await?;
                    *response.body_mut() = Body::stream(listing.into_page(target));
                }
            }
        }
        let by_taste = HeaderValue::from_static("accept");
        response.headers_mut().insert(header::VARY, by_taste);
        Ok(response.into())
    }

    async fn listing(&self, target: &Target, folder: Opened) -> io::Result<listing::Listing> {
        listing::read(&self.root, target, folder, self.options.hidden).await
    }
}

impl Service for Files {
    /// Whoever comes without HTTP is told where to go.
    async fn serve(&self, session: Session) -> Result<()> {
        folder::point_to_http(session).await
    }

    fn methods(&self) -> &'static [Method] {
        const { &[Method::GET, Method::HEAD] }
    }

    async fn http(&self, request: Request) -> Result<Answer> {
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
