//! `site`: the files of a folder over HTTP.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rustix::io::Errno;
use wire::text::Encoding;

use super::Service;
use super::folder::{
    self, Asked, Opened, Root, Sort, Target, digest, listing, moved, page, refusal, refused,
};
use crate::error::Result;
use crate::request::{Answer, Body, Request, Response};
use crate::session::{Identity, Session};

/// What a folder shows when no file in it is named.
const INDEX: &[u8] = b"index.html";

/// Serves the files of a folder to GET and HEAD.
///
/// Conditions and ranges are those of RFC 9110, sections 13 and 14. A file that was encoded beforehand
/// (`.br`, `.zst`, `.gz` beside it, and not older) is sent to whoever accepts it; other text is compressed
/// with gzip on its way.
///
/// Nothing outside the folder is served: names are opened beneath it by `openat2(2)`, so that links inside
/// lead around inside, and none leads out, even while they are being changed. Only regular files are served.
#[derive(Clone, Debug)]
pub struct Site {
    root: Arc<Root>,
    options: SiteOptions,
}

/// What a [`Site`] shows, and how.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Folders without an `index.html` show what is in them; else they answer 403.
    pub listing: bool,
    /// Names that begin with a dot are served and listed.
    pub hidden: bool,
    /// What the `charset` of text says.
    pub encoding: Encoding,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            listing: true,
            hidden: false,
            encoding: Encoding::UTF_8,
        }
    }
}

impl Site {
    /// The site of `folder`, which stays the same one should it be renamed.
    ///
    /// # Errors
    /// When it is no folder, or cannot be opened; when the kernel has no `openat2(2)` (Linux 5.6).
    pub fn open(folder: impl AsRef<Path>, options: SiteOptions) -> Result<Self> {
        let root = Arc::new(Root::open(folder.as_ref())?);
        Ok(Self { root, options })
    }

    async fn answer(&self, request: &Parts) -> io::Result<Response> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let why = "Files can be read here, and nothing else.";
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, why);
            let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allowed);
            return Ok(response);
        }
        let Some(target) = Target::read(request.uri.path()) else {
            let why = "No file can have that name.";
            return Ok(refusal(StatusCode::BAD_REQUEST, why));
        };
        if target.is_hidden && !self.options.hidden {
            return Err(Errno::NOENT.into());
        }
        if target.is_folder {
            let index = target.join(INDEX);
            match self.root.find(index.clone()).await {
                Ok(file) if file.facts.kind == Sort::File => {
                    return self.file(request, &index, file).await;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let found = self.root.find(target.name.clone()).await?;
        match found.facts.kind {
            Sort::File if !target.is_folder => self.file(request, &target.name, found).await,
            Sort::Folder if !target.is_folder => Ok(moved("", &target, request.uri.query())),
            Sort::Folder => self.folder(request, &target, found).await,
            Sort::File | Sort::Other => Err(Errno::NOENT.into()),
        }
    }

    async fn file(&self, request: &Parts, name: &[u8], file: Opened) -> io::Result<Response> {
        let asked = Asked {
            root: &self.root,
            method: &request.method,
            headers: &request.headers,
            name,
            file,
            encoding: self.options.encoding,
            digests: digest::wanted(&request.headers),
        };
        asked.answer().await
    }

    async fn folder(
        &self,
        request: &Parts,
        target: &Target,
        folder: Opened,
    ) -> io::Result<Response> {
        if !self.options.listing {
            let why = "What is in this folder is not shown.";
            return Ok(refusal(StatusCode::FORBIDDEN, why));
        }
        let mut response = Response::new(Body::empty());
        page::describe(response.headers_mut());
        if request.method == Method::GET {
            let listing = listing::read(&self.root, target, folder, self.options.hidden).await?;
            *response.body_mut() = Body::stream(listing.into_page(target));
        }
        Ok(response)
    }
}

impl Service for Site {
    /// Whoever comes without HTTP is told where to go.
    async fn serve(&self, session: Session) -> Result<()> {
        folder::point_to_http(session).await
    }

    fn methods(&self) -> &'static [Method] {
        const { &[Method::GET, Method::HEAD] }
    }

    async fn http(&self, request: Request) -> Result<Answer> {
        // A body is no part of what is asked.
        let (request, _) = request.into_parts();
        let mut response = match self.answer(&request).await {
            Ok(response) => response,
            Err(error) => {
                let (status, why) = refused(&error);
                if let (true, Some(asker)) = (
                    status.is_server_error(),
                    request.extensions.get::<Arc<Identity>>(),
                ) {
                    asker.note(&format!("cannot serve {}: {error}", request.uri.path()));
                }
                refusal(status, why)
            }
        };
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        Ok(Answer::Response(response))
    }
}
