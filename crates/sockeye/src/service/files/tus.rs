//! Uploads that go on after a cut, by tus 1.0 (<https://tus.io/protocols/resumable-upload>), with its extensions
//! creation, creation-with-upload, termination, checksum and expiration.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use wire::transfer::RelativePath;

use super::proof::{CHECKSUMS, Proofs};
use super::steps::{number, random, word};
use super::trouble::{Trouble, set};
use super::uploads::{Begun, End, Upload};
use super::{Files, clash};
use crate::request::{Body, Response};
use crate::service::folder::{Target, words};
use crate::transfer::Landing;

pub(super) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

const SPOKEN: &str = "1.0.0";

/// What a body of PATCH must be.
const BODY: &str = "application/offset+octet-stream";

/// Whether a request belongs to an upload.
pub(super) fn is_asked(request: &Parts) -> bool {
    match request.method {
        Method::HEAD => word(request).is_some(),
        Method::POST => request.headers.contains_key(RESUMABLE),
        _ => true,
    }
}

/// A method that something on the way would not let through (section "X-HTTP-Method-Override").
pub(super) fn meant(request: &mut Parts) {
    const MEANT: HeaderName = HeaderName::from_static("x-http-method-override");
    if request.method == Method::POST
        && let Some(meant) = request.headers.get(MEANT)
        && let Some(method) = [Method::PATCH, Method::DELETE, Method::HEAD]
            .into_iter()
            .find(|method| meant == method.as_str())
    {
        request.method = method;
    }
}

/// What OPTIONS tells (section "OPTIONS").
pub(super) fn offer(headers: &mut HeaderMap, max_size: Option<u64>) {
    let extensions = "creation,creation-with-upload,termination,checksum,expiration";
    for (name, value) in [
        (RESUMABLE, SPOKEN),
        (VERSION, SPOKEN),
        (EXTENSION, extensions),
        (ALGORITHM, CHECKSUMS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(most) = max_size {
        headers.insert(MAX_SIZE, most.into());
    }
}

impl Files {
    /// One request of an upload.
    pub(super) async fn tus(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        let done = match request.headers.get(RESUMABLE) {
            Some(version) if version == SPOKEN => self.step(request, target, body).await,
            // Section "Tus-Version": 412 with what is spoken.
            _ => Ok(words(
                StatusCode::PRECONDITION_FAILED,
                "tus 1.0.0 is spoken here: say Tus-Resumable: 1.0.0",
            )),
        };
        let mut response = done.unwrap_or_else(|trouble| super::told(request, &trouble));
        set(&mut response, RESUMABLE, SPOKEN);
        if response.status() == StatusCode::PRECONDITION_FAILED {
            set(&mut response, VERSION, SPOKEN);
        }
        // Pages of other sites, where they may ask, must be able to read these.
        let seen = "Location, Upload-Offset, Upload-Length, Upload-Expires, Tus-Resumable, Content-Location";
        set(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, seen);
        Ok(response)
    }

    async fn step(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        self.sweep().await?;
        let Some(id) = word(request) else {
            return match request.method {
                Method::POST => self.create(request, target, body).await,
                _ => Err(misplaced()),
            };
        };
        let upload = self.upload(target, &id).await?;
        match request.method {
            Method::HEAD => self.state(&upload).await,
            Method::PATCH => self.go_on(request, &upload, body).await,
            Method::DELETE => self.give_up(&upload).await,
            _ => Err(misplaced()),
        }
    }

    async fn create(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        let size = number(&request.headers, &LENGTH)?;
        self.fits(Some(size))?;
        let metadata = request.headers.get(METADATA).cloned();
        let said = Said::read(metadata.as_ref());
        let word = format!("{:032x}", random()?);
        let path = self.named(target, &said, &word)?;
        let begun = Begun {
            path,
            size,
            modified: said.modified,
            metadata,
            clash: clash(&self.options),
        };
        let upload = self.begin(&word, begun).await?;
        let mut response = match is_body(request) {
            true => self.go_on(request, &upload, body).await?,
            false if size == 0 => self.finished(request, &upload, None).await?,
            false => Response::new(Body::empty()),
        };
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("{}?upload={}", self.location(&upload.path), upload.id);
        set(&mut response, header::LOCATION, location);
        self.say_expiry(&upload, &mut response);
        Ok(response)
    }

    /// Where it is to land: as the metadata say, in the folder that was asked.
    pub(super) fn named(
        &self,
        target: &Target,
        said: &Said,
        word: &str,
    ) -> Result<RelativePath, Trouble> {
        let name = match &said.name {
            Some(name) => name.clone(),
            None if !target.is_folder => return self.path(target),
            None => format!("upload-{}", &word[..8]).into_bytes(),
        };
        self.checked(target.join(&name))
    }

    async fn state(&self, upload: &Upload) -> Result<Response, Trouble> {
        let mut response = Response::new(Body::empty());
        let offset = match upload.end() {
            End::Landed(landed) => {
                set(
                    &mut response,
                    header::CONTENT_LOCATION,
                    self.location(&landed.path),
                );
                upload.size
            }
            // Whoever writes knows best; and what nobody has open is looked at.
            End::Open | End::Gone => match upload.is_open() {
                true => upload.progress.load(Relaxed),
                false => {
                    let place = upload.place(self.landings()?).await?;
                    place.as_ref().map_or(0, Landing::len)
                }
            },
        };
        set(&mut response, OFFSET, offset.to_string());
        set(&mut response, LENGTH, upload.size.to_string());
        set(&mut response, header::CACHE_CONTROL, "no-store");
        if let Some(metadata) = &upload.metadata {
            response.headers_mut().insert(METADATA, metadata.clone());
        }
        self.say_expiry(upload, &mut response);
        Ok(response)
    }

    async fn go_on(
        &self,
        request: &Parts,
        upload: &Upload,
        body: Body,
    ) -> Result<Response, Trouble> {
        let kind = request.headers.get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != BODY) {
            let why = "the bytes of an upload are application/offset+octet-stream";
            return Err(Trouble::Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let from = match request.method {
            Method::POST => 0,
            _ => number(&request.headers, &OFFSET)?,
        };
        let checksum = request.headers.get(CHECKSUM).map(|said| said.to_str());
        let checksum = checksum.transpose().map_err(|_| unreadable(&CHECKSUM))?;
        let proofs = checksum.map(Proofs::of_checksum).transpose()?;
        let (stands, _) = self.append(upload, from, body, proofs).await?;
        let mut response = match stands == upload.size {
            true => self.finished(request, upload, None).await?,
            false => Response::new(Body::empty()),
        };
        *response.status_mut() = StatusCode::NO_CONTENT;
        set(&mut response, OFFSET, stands.to_string());
        self.say_expiry(upload, &mut response);
        Ok(response)
    }

    fn say_expiry(&self, upload: &Upload, response: &mut Response) {
        if let End::Open = upload.end() {
            let at = httpdate::fmt_http_date(upload.expires(self.options.keep));
            set(response, EXPIRES, at);
        }
    }
}

fn misplaced() -> Trouble {
    let why = "an upload is begun by POST to a folder, and goes on by PATCH where the answer says";
    Trouble::Wrong(StatusCode::METHOD_NOT_ALLOWED, why)
}

/// creation-with-upload: the POST brings the first bytes.
fn is_body(request: &Parts) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == BODY)
}

pub(super) fn unreadable(name: &HeaderName) -> Trouble {
    let why = match name {
        it if *it == LENGTH => "the upload needs its length: Upload-Length",
        it if *it == OFFSET => "the request must say where it goes on: Upload-Offset",
        _ => "a header field of the upload cannot be read",
    };
    Trouble::Wrong(StatusCode::BAD_REQUEST, why)
}

/// What the metadata of an upload say that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `relativePath` if that says where in a folder it was, or else `filename` or `name`.
    pub(super) name: Option<Vec<u8>>,
    /// `lastModified`, in milliseconds since 1970 as browsers have it.
    pub(super) modified: Option<SystemTime>,
}

impl Said {
    /// Reads `key base64,key base64`. What cannot be read is not there.
    pub(super) fn read(metadata: Option<&HeaderValue>) -> Self {
        let mut said = Self::default();
        let mut whole = None;
        let text = metadata.and_then(|it| it.to_str().ok()).unwrap_or_default();
        for pair in text.split(',') {
            let (key, value) = pair.trim().split_once(' ').unwrap_or((pair, ""));
            let Ok(value) = STANDARD.decode(value.trim()) else {
                continue;
            };
            match key {
                "filename" | "name" if !value.is_empty() => said.name = Some(value),
                // Uppy says `null` where there is none.
                "relativePath" if !value.is_empty() && value != b"null" => whole = Some(value),
                "lastModified" => {
                    let millis = str::from_utf8(&value).ok().and_then(|it| it.parse().ok());
                    let since = millis.map(Duration::from_millis);
                    said.modified = since.and_then(|it| UNIX_EPOCH.checked_add(it));
                }
                _ => {}
            }
        }
        said.name = whole.or(said.name);
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_say_a_name_and_a_time() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        for (metadata, name, modified) in [
            ("filename aGVsbG8udHh0", Some("hello.txt"), None),
            (
                "is_confidential,filename aGVsbG8udHh0",
                Some("hello.txt"),
                None,
            ),
            (
                "name YQ==, lastModified MTcwMDAwMDAwMDAwMA==",
                Some("a"),
                at(1_700_000_000),
            ),
            ("filename Yg==,relativePath YS9i", Some("a/b"), None),
            ("filename Yg==,relativePath bnVsbA==", Some("b"), None),
            ("filename !", None, None),
            ("filename", None, None),
            ("lastModified LTE=", None, None),
            ("", None, None),
        ] {
            let value = HeaderValue::from_static(metadata);
            let name = name.map(|name| name.as_bytes().to_vec());
            assert_eq!(
                Said::read(Some(&value)),
                Said { name, modified },
                "{metadata}"
            );
        }
    }
}
