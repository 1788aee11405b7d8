//! The steps of an upload, whichever protocol asks for them: found, gone on with, finished, given up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::filling::Filling;
use super::proof::Proofs;
use super::trouble::{Trouble, set};
use super::tus::unreadable;
use super::uploads::{Begun, End, Upload};
use super::{Files, clash, waiting};
use crate::request::{Body, Response};
use crate::service::folder::Target;
use crate::transfer::{Hash, Landing};

impl Files {
    /// Lets go of uploads that nobody has gone on with for too long.
    pub(super) async fn sweep(&self) -> Result<(), Trouble> {
        let root = self.landings()?.clone();
        let (uploads, keep) = (self.uploads.clone(), self.options.keep);
        waiting(move || {
            uploads.sweep(&root, keep);
            Ok(())
        })
        .await
    }

    /// Begins an upload.
    pub(super) async fn begin(&self, word: &str, begun: Begun) -> Result<Arc<Upload>, Trouble> {
        let id = format!("{word}.{}", begun.size);
        let Some(upload) = self.uploads.begin(id, begun) else {
            let why = "too many uploads are under way";
            return Err(Trouble::Wrong(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        // Also what has no bytes, and what there is no room for, is known now.
        let place = upload.place(self.landings()?).await;
        drop(place.inspect_err(|_| upload.ends(End::Gone))?);
        Ok(upload)
    }

    /// The upload of this word. One that this server has forgotten, because it was started anew, is found by what it
    /// has left.
    pub(super) async fn upload(&self, target: &Target, id: &str) -> Result<Arc<Upload>, Trouble> {
        let unknown = Trouble::Wrong(StatusCode::NOT_FOUND, "there is no such upload");
        let path = self.path(target)?;
        if let Some(upload) = self.uploads.find(id) {
            return match upload.end() {
                _ if upload.path != path => Err(unknown),
                End::Gone => Err(Trouble::Wrong(StatusCode::GONE, "this upload was given up")),
                End::Open | End::Landed(_) => Ok(upload),
            };
        }
        let size = id.split_once('.').and_then(|(_, size)| size.parse().ok());
        let Some(size) = size else {
            return Err(unknown);
        };
        let (root, at, word) = (self.landings()?.clone(), path.clone(), id.to_owned());
        let looking = move || Ok(Landing::is_begun(&root, &at, Some(size), &word));
        if !waiting(looking).await? {
            return Err(unknown);
        }
        let name = format!("filename {}", STANDARD.encode(path.name()));
        let begun = Begun {
            path,
            size,
            modified: None,
            metadata: HeaderValue::try_from(name).ok(),
            clash: clash(&self.options),
        };
        self.uploads.begin(id.to_owned(), begun).ok_or(unknown)
    }

    /// Writes what comes at byte `from` of an upload, and gives how many bytes there are then. What has `proofs`
    /// counts only when it is what they say; their BLAKE3 is still to be compared.
    pub(super) async fn append(
        &self,
        upload: &Upload,
        from: u64,
        mut body: Body,
        mut proofs: Option<Proofs>,
    ) -> Result<(u64, Option<Hash>), Trouble> {
        let place = upload.place(self.landings()?).await?;
        let mut over = upload.over.subscribe();
        let there = match upload.end() {
            End::Landed(_) => upload.size,
            End::Gone => return Err(Trouble::Wrong(StatusCode::GONE, "this upload was given up")),
            End::Open => place.as_ref().map_or(0, Landing::len),
        };
        if from != there {
            return Err(Trouble::Elsewhere { there, from });
        }
        let before = place.as_ref().map(|landing| landing.digest().clone());
        let mut filling = Filling::new(place, upload.size - there, upload.progress.clone());
        let see = |piece: &[u8]| {
            if let Some(proofs) = &mut proofs {
                proofs.update(piece);
            }
        };
        let mut taken = filling.take(&mut body, &mut over, see).await;
        let mut place = filling.into_place().await?;
        let mut hash = None;
        if let Some(proofs) = proofs {
            taken = taken.and_then(|()| proofs.check().map(|said| hash = said));
            if let (Err(_), Some(before)) = (&taken, before) {
                // What cannot be compared is not taken.
                let progress = upload.progress.clone();
                place = waiting(move || {
                    if let Some(landing) = &mut *place {
                        landing.rewind(before)?;
                        progress.store(landing.len(), Relaxed);
                    }
                    Ok(place)
                })
                .await?;
            }
        }
        let stands = place.as_ref().map_or(there, Landing::len);
        drop(place);
        taken?;
        Ok((stands, hash))
    }

    /// All has come: it gets its name.
    pub(super) async fn finished(
        &self,
        request: &Parts,
        upload: &Upload,
        expected: Option<Hash>,
    ) -> Result<Response, Trouble> {
        let mut place = upload.place(self.landings()?).await?;
        if let Some(landing) = place.take() {
            let landed = waiting(move || landing.finish(expected)).await?;
            super::tell(request, &self.said(&landed).await?);
            upload.ends(End::Landed(landed));
        }
        let mut response = Response::new(Body::empty());
        if let End::Landed(landed) = upload.end() {
            set(
                &mut response,
                header::CONTENT_LOCATION,
                self.location(&landed.path),
            );
            if let Some(hash) = landed.hash {
                let hash = STANDARD.encode(hash.as_bytes());
                let name = HeaderName::from_static("repr-digest");
                set(&mut response, name, format!("blake3=:{hash}:"));
            }
        }
        Ok(response)
    }

    pub(super) async fn give_up(&self, upload: &Upload) -> Result<Response, Trouble> {
        let mut place = upload.place(self.landings()?).await?;
        if let Some(landing) = place.take() {
            waiting(move || landing.remove()).await?;
        }
        // What has landed stays: it is a file by now.
        upload.ends(End::Gone);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// The word that names an upload: `?upload=…`.
pub(super) fn word(request: &Parts) -> Option<String> {
    let query = request.uri.query()?;
    let word = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("upload="))?;
    Some(word.to_owned())
}

pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Trouble> {
    let value = headers.get(name).and_then(|it| it.to_str().ok());
    // Digits alone: `+1` is a number to Rust.
    let value = value.filter(|it| it.bytes().all(|letter| letter.is_ascii_digit()));
    let number = value.and_then(|it| it.parse().ok());
    number.ok_or_else(|| unreadable(name))
}

pub(super) fn random() -> Result<u128, Trouble> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Trouble::Lost)?;
    Ok(u128::from_ne_bytes(bytes))
}
