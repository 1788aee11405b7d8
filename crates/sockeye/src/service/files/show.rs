//! What a path shows: a file, or a folder as a page, a listing or an archive.

use std::io;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, header};
use rustix::io::Errno;

use super::query::Shown;
use super::{Files, archive, browse, parts};
use crate::request::{Answer, Body, HasPage, Request, Response};
use crate::service::folder::{
    Asked, Opened, Root, Sort, Target, attachment, digest, listing, moved, page,
};

/// The folder that something is looked up in, and what alone is there of it, if not all.
pub(super) struct Scope {
    pub(super) root: Arc<Root>,
    pub(super) shown: Option<super::offer::Shown>,
}

impl Files {
    pub(super) async fn show(
        &self,
        request: Request,
        target: &Target,
        scope: Scope,
    ) -> io::Result<Answer> {
        let found = scope.root.find(target.name.clone()).await?;
        let query = request.uri().query();
        match found.facts.kind {
            Sort::File if !target.is_folder => {
                // A body is no part of what is asked.
                let (request, _) = request.into_parts();
                let response = self.file(&request, target, &scope.root, found).await?;
                Ok(match &self.offer {
                    Some(offer) => offer.counted(&request.method, response).into(),
                    None => response.into(),
                })
            }
            Sort::Folder if !target.is_folder => {
                Ok(moved(&self.options.under, target, query).into())
            }
            Sort::Folder => self.folder(request, target, scope, found).await,
            Sort::File | Sort::Other => Err(Errno::NOENT.into()),
        }
    }

    async fn file(
        &self,
        request: &Parts,
        target: &Target,
        root: &Arc<Root>,
        file: Opened,
    ) -> io::Result<Response> {
        let asked = Asked {
            root,
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
        scope: Scope,
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
                    let (name, hidden) = (target.name.clone(), self.options.hidden);
                    match archive::Archive::begin(scope.root, name, kind, hidden, scope.shown) {
                        Some(archive) => *response.body_mut() = Body::stream(archive),
                        None => return Ok(archive::busy().into()),
                    }
                }
            }
            Shown::Json => {
                browse::describe(response.headers_mut());
                if is_whole {
                    let listing = self.listing(target, scope, folder).await?;
                    *response.body_mut() =
                        Body::stream(browse::json(listing, target, &self.options));
                }
            }
            Shown::Best | Shown::Plain | Shown::Download => {
                page::describe(response.headers_mut());
                if is_whole {
                    let listing = self.listing(target, scope, folder).await?;
                    *response.body_mut() = Body::stream(listing.into_page(target));
                }
            }
        }
        let by_taste = HeaderValue::from_static("accept");
        response.headers_mut().insert(header::VARY, by_taste);
        Ok(response.into())
    }

    async fn listing(
        &self,
        target: &Target,
        scope: Scope,
        folder: Opened,
    ) -> io::Result<listing::Listing> {
        let hidden = self.options.hidden;
        let mut listing = listing::read(&scope.root, target, folder, hidden).await?;
        parts::hide(&mut listing.entries, |entry| &entry.name);
        if let Some(shown) = scope.shown {
            listing.entries.retain(|entry| shown.has(&entry.name));
        }
        Ok(listing)
    }
}
