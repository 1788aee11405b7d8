//! Uploads that go on after a cut, by the draft that is to follow tus (draft-ietf-httpbis-resumable-upload, interop
//! version 8). Its 104 is not said, for hyper's servers have no interim answers: a client that wants to go on begins
//! with `Upload-Complete: ?0`.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::proof::Proofs;
use super::steps::{random, word};
use super::trouble::{Trouble, set};
use super::tus::{LENGTH, METADATA, OFFSET, RESUMABLE, Said};
use super::uploads::{Begun, End, Upload};
use super::{Files, FilesOptions, clash};
use crate::request::{Body, Response};
use crate::service::folder::Target;
use crate::transfer::Landing;

const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What a body of PATCH must be.
const BODY: &str = "application/partial-upload";

/// Where problems are named (RFC 9457).
const PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

/// Whether a request belongs to such an upload, and not to one of tus.
pub(super) fn is_asked(request: &Parts) -> bool {
    let headers = &request.headers;
    if headers.contains_key(RESUMABLE) {
        return false;
    }
    match request.method {
        Method::HEAD | Method::DELETE => word(request).is_some(),
        Method::PATCH => is_partial(headers) || flag(headers).is_some(),
        Method::POST => flag(headers).is_some(),
        // All of a file in one request is what PUT is anyway.
        Method::PUT => flag(headers) == Some(false),
        _ => false,
    }
}

/// What is told of limits (section "Limits").
pub(super) fn limits(options: &FilesOptions) -> String {
    let age = options.keep.as_secs();
    match options.max_size {
        Some(most) => format!("max-size={most}, max-age={age}"),
        None => format!("max-age={age}"),
    }
}

pub(super) fn offer(headers: &mut HeaderMap, options: &FilesOptions) {
    if let Ok(limits) = HeaderValue::try_from(limits(options)) {
        headers.insert(LIMIT, limits);
    }
}

impl Files {
    /// One request of an upload.
    pub(super) async fn resumable(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        let mut response = match self.advance(request, target, body).await {
            Ok(response) => response,
            Err(Trouble::Elsewhere { there, from }) => {
                let title = "offset from request does not match offset of resource";
                let more = json!({"expected-offset": there, "provided-offset": from});
                let kind = "mismatching-upload-offset";
                let mut response = problem(StatusCode::CONFLICT, kind, title, more);
                set(&mut response, OFFSET, there.to_string());
                response
            }
            Err(trouble) => super::told(request, &trouble),
        };
        if !response.headers().contains_key(&COMPLETE) {
            set(&mut response, COMPLETE, "?0");
        }
        offer(response.headers_mut(), &self.options);
        // Pages of other sites, where they may ask, must be able to read these.
        let seen = "Location, Upload-Complete, Upload-Offset, Upload-Length, Upload-Limit, Content-Location";
        set(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, seen);
        Ok(response)
    }

    async fn advance(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        self.sweep().await?;
        let misplaced = || {
            let why = "such an upload is begun by POST, and goes on by PATCH where the answer says";
            Err(Trouble::Wrong(StatusCode::METHOD_NOT_ALLOWED, why))
        };
        let Some(id) = word(request) else {
            return match request.method {
                Method::POST => self.found(request, target, body).await,
                _ => misplaced(),
            };
        };
        let upload = self.upload(target, &id).await?;
        match request.method {
            Method::HEAD => self.offset(&upload).await,
            Method::PATCH => self.patch(request, &upload, body).await,
            Method::DELETE => self.give_up(&upload).await,
            _ => misplaced(),
        }
    }

    /// Section "Upload Creation".
    async fn found(
        &self,
        request: &Parts,
        target: &Target,
        body: Body,
    ) -> Result<Response, Trouble> {
        let headers = &request.headers;
        let coding = headers.get(header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| coding != "identity") {
            let why = "files are taken as they are: send it without Content-Encoding";
            return Err(Trouble::Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let is_whole = flag(headers) == Some(true);
        let came = integer(headers, &header::CONTENT_LENGTH).filter(|_| is_whole);
        let size = match (integer(headers, &LENGTH), came) {
            (Some(said), Some(came)) if said != came => return Ok(inconsistent()),
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => {
                let why = "the upload needs its length: Upload-Length";
                return Err(Trouble::Wrong(StatusCode::LENGTH_REQUIRED, why));
            }
        };
        self.fits(Some(size))?;
        let mut said = Said::read(headers.get(METADATA));
        said.name = file_name(headers).or(said.name);
        let word = format!("{:032x}", random()?);
        let begun = Begun {
            path: self.named(target, &said, &word)?,
            size,
            modified: said.modified,
            metadata: None,
            clash: clash(&self.options),
        };
        let upload = self.begin(&word, begun).await?;
        let proofs = digests(headers, is_whole)?;
        let (stands, hash) = self.append(&upload, 0, body, proofs).await?;
        if is_whole {
            return match stands == size {
                true => self.last(request, &upload, hash).await,
                false => Ok(inconsistent()),
            };
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("{}?upload={}", self.location(&upload.path), upload.id);
        set(&mut response, header::LOCATION, location);
        set(&mut response, OFFSET, stands.to_string());
        Ok(response)
    }

    /// Section "Offset Retrieval".
    async fn offset(&self, upload: &Upload) -> Result<Response, Trouble> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        // Whoever still writes is told to leave: what is said now has to hold.
        let place = upload.place(self.landings()?).await?;
        let offset = match upload.end() {
            End::Landed(landed) => {
                set(&mut response, COMPLETE, "?1");
                let location = self.location(&landed.path);
                set(&mut response, header::CONTENT_LOCATION, location);
                upload.size
            }
            End::Open | End::Gone => place.as_ref().map_or(0, Landing::len),
        };
        set(&mut response, OFFSET, offset.to_string());
        set(&mut response, LENGTH, upload.size.to_string());
        set(&mut response, header::CACHE_CONTROL, "no-store");
        Ok(response)
    }

    /// Section "Upload Append".
    async fn patch(
        &self,
        request: &Parts,
        upload: &Upload,
        body: Body,
    ) -> Result<Response, Trouble> {
        let headers = &request.headers;
        if !is_partial(headers) {
            let why = "the bytes of an upload are application/partial-upload";
            return Err(Trouble::Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let (Some(from), Some(is_last)) = (integer(headers, &OFFSET), flag(headers)) else {
            let why = "the request must say where it goes on, and whether it is the last one: \
                       Upload-Offset, Upload-Complete";
            return Err(Trouble::Wrong(StatusCode::BAD_REQUEST, why));
        };
        let came = integer(headers, &header::CONTENT_LENGTH).filter(|_| is_last);
        let ends = came.map(|came| from.saturating_add(came));
        let mut lengths = integer(headers, &LENGTH).into_iter().chain(ends);
        if lengths.any(|length| length != upload.size) {
            return Ok(inconsistent());
        }
        let proofs = digests(headers, false)?;
        let appended = self.append(upload, from, body, proofs).await;
        if let Err(Trouble::TooLarge) = &appended {
            self.give_up(upload).await?;
        }
        let (stands, _) = appended?;
        if is_last {
            return match stands == upload.size {
                true => self.last(request, upload, None).await,
                false => Ok(inconsistent()),
            };
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        set(&mut response, OFFSET, stands.to_string());
        Ok(response)
    }

    /// The answer that a request for all of it would have got.
    async fn last(
        &self,
        request: &Parts,
        upload: &Upload,
        hash: Option<crate::transfer::Hash>,
    ) -> Result<Response, Trouble> {
        let mut response = self.finished(request, upload, hash).await?;
        *response.status_mut() = StatusCode::CREATED;
        if let Some(location) = response.headers().get(header::CONTENT_LOCATION).cloned() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        set(&mut response, COMPLETE, "?1");
        Ok(response)
    }
}

fn is_partial(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == BODY)
}

/// `Upload-Complete`: what is no boolean is not there (RFC 9651, section 3.3.6).
fn flag(headers: &HeaderMap) -> Option<bool> {
    match item(headers, &COMPLETE)? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// What is no integer is not there (RFC 9651, section 3.3.1).
fn integer(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let digits = item(headers, name)?;
    let is_one = digits.len() <= 15 && digits.bytes().all(|letter| letter.is_ascii_digit());
    digits.parse().ok().filter(|_| is_one)
}

/// The value of a field without its parameters.
fn item<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// What is said of the bytes of a request: that of the representation counts only where all of it comes at once.
fn digests(headers: &HeaderMap, is_whole: bool) -> Result<Option<Proofs>, Trouble> {
    let mut said = headers.clone();
    if !is_whole {
        said.remove(DIGEST);
    }
    let is_any = said.contains_key(DIGEST) || said.contains_key(CONTENT_DIGEST);
    is_any.then(|| Proofs::read(&said)).transpose()
}

/// What the client calls the file: `Content-Disposition: inline; filename*=UTF-8''a%20b` (RFC 6266, section 4.3). Of a
/// path the last name counts.
fn file_name(headers: &HeaderMap) -> Option<Vec<u8>> {
    let said = headers.get(header::CONTENT_DISPOSITION)?.to_str().ok()?;
    let mut plain = None;
    for part in said.split(';') {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match &*key {
            "filename*" => {
                let charset = value.get(..7).unwrap_or_default();
                if charset.eq_ignore_ascii_case("utf-8''") {
                    plain = Some(percent_decode_str(&value[7..]).collect());
                    break;
                }
            }
            "filename" => plain = Some(value.trim_matches('"').as_bytes().to_vec()),
            _ => {}
        }
    }
    let path: Vec<u8> = plain?;
    let name = path.rsplit(|letter| *letter == b'/').next()?;
    (!name.is_empty()).then(|| name.to_vec())
}

/// Section "Inconsistent Length".
fn inconsistent() -> Response {
    let kind = "inconsistent-upload-length";
    let title = "inconsistent length values for upload";
    problem(StatusCode::BAD_REQUEST, kind, title, json!({}))
}

fn problem(status: StatusCode, kind: &str, title: &str, mut more: Value) -> Response {
    more["type"] = format!("{PROBLEMS}{kind}").into();
    more["title"] = title.into();
    let mut response = Response::new(more.to_string().into());
    *response.status_mut() = status;
    set(
        &mut response,
        header::CONTENT_TYPE,
        "application/problem+json",
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn fields_that_are_nothing_are_not_there() {
        for (value, is) in [
            ("?1", Some(true)),
            ("?0;why=none", Some(false)),
            ("1", None),
            ("true", None),
        ] {
            assert_eq!(flag(&headers(COMPLETE, value)), is, "{value}");
        }
        for (value, is) in [
            ("0", Some(0)),
            ("123456789012345;x", Some(123_456_789_012_345)),
            ("1234567890123456", None),
            ("-1", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(integer(&headers(LENGTH, value), &LENGTH), is, "{value}");
        }
    }

    #[test]
    fn a_file_is_called_what_the_client_calls_it() {
        for (value, name) in [
            // The example of section "Upload Creation".
            (
                "inline; filename=\"file name.jpg\"; filename*=UTF-8''file%20name.jpg",
                Some("file name.jpg"),
            ),
            ("inline; filename=\"a.txt\"", Some("a.txt")),
            ("inline; FileName=a", Some("a")),
            ("inline; filename*=utf-8''%E6%96%87; filename=x", Some("文")),
            ("inline; filename*=latin1''x; filename=y", Some("y")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("inline; filename=\"x/\"", None),
            ("inline", None),
        ] {
            let found = file_name(&headers(header::CONTENT_DISPOSITION, value));
            assert_eq!(found.as_deref(), name.map(str::as_bytes), "{value}");
        }
    }
}
