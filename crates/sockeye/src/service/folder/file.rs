//! The answer to a request for a file: which of its representations, and which bytes of that.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use wire::text::Encoding;

use super::coding::{Accepted, Coding};
use super::condition::{Validators, Verdict};
use super::content::{Content, Part, Reader};
use super::digest::{self, Algorithm};
use super::kind::{self, Kind};
use super::packed::{self, Packed, Place};
use super::page::refusal;
use super::range::{self, Wanted};
use super::root::{Opened, Root, Sort};
use crate::request::{Body, Response};

/// A file that is asked for.
pub(in crate::service) struct Asked<'a> {
    pub(in crate::service) root: &'a Arc<Root>,
    pub(in crate::service) method: &'a Method,
    pub(in crate::service) headers: &'a HeaderMap,
    /// Beneath the root.
    pub(in crate::service) name: &'a [u8],
    pub(in crate::service) file: Opened,
    pub(in crate::service) encoding: Encoding,
    /// Those that the request wants to know.
    pub(in crate::service) digests: Vec<Algorithm>,
}

/// One form of a file.
struct Chosen {
    opened: Opened,
    coding: Option<Coding>,
    /// Held while it is compressed on the way.
    place: Option<Place>,
}

impl Asked<'_> {
    /// # Errors
    /// When it cannot be read.
    pub(in crate::service) async fn answer(self) -> std::io::Result<Response> {
        let mut reader = Reader::new(self.file.clone());
        let kind = match Kind::by_name(self.name) {
            Some(kind) => kind,
            None => {
                let head = reader.fill(vec![0; kind::ENOUGH], 0).await?;
                Kind::by_content(&head, self.encoding)
            }
        };
        let is_compressible = kind.is_compressible();
        let accepted = Accepted::read(self.headers);
        let chosen = self.choose(is_compressible, &accepted).await;
        let now = SystemTime::now();
        let mut headers = HeaderMap::with_capacity(12);
        if is_compressible {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        let Some(chosen) = chosen else {
            let why = "This file is not there in any encoding that is accepted.";
            let mut response = refusal(StatusCode::NOT_ACCEPTABLE, why);
            response.headers_mut().extend(headers);
            return Ok(response);
        };
        let validators = chosen.validators(now);
        describe(&mut headers, &validators, now);
        match validators.judge(self.headers) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(bare(StatusCode::NOT_MODIFIED, headers)),
            Verdict::Failed => {
                let mut response = refusal(
                    StatusCode::PRECONDITION_FAILED,
                    "The file is not in the state that was asked for.",
                );
                response.headers_mut().extend(headers);
                return Ok(response);
            }
        }
        if !self.digests.is_empty() {
            let said = digest::said(&chosen.opened, &self.digests).await?;
            headers.insert(digest::SAY, said);
        }
        headers.insert(header::CONTENT_TYPE, kind.content_type(self.encoding));
        let exactly = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, exactly);
        if let Some(coding) = chosen.coding {
            let name = HeaderValue::from_static(coding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        if let Some(place) = chosen.place {
            let body = match *self.method == Method::HEAD {
                true => Body::empty(),
                false => Body::stream(Packed::new(chosen.opened, place)),
            };
            return Ok(response(StatusCode::OK, headers, body));
        }
        let bytes = HeaderValue::from_static("bytes");
        headers.insert(header::ACCEPT_RANGES, bytes);
        if chosen.coding.is_some() {
            reader = Reader::new(chosen.opened);
        }
        self.send(headers, reader, &validators).await
    }

    /// Which form of the file; `None` when the client takes none of them.
    async fn choose(&self, is_compressible: bool, accepted: &Accepted) -> Option<Chosen> {
        let codings = || accepted.codings().filter(|_| is_compressible);
        for coding in codings() {
            if let Some(opened) = self.encoded(coding).await {
                let coding = Some(coding);
                return Some(Chosen {
                    opened,
                    coding,
                    place: None,
                });
            }
        }
        // A part of what is compressed on the way would be of no use for the next part.
        // And whoever wants to know its digest could not have one.
        let is_whole = !self.headers.contains_key(header::RANGE) && self.digests.is_empty();
        let is_packed = is_whole && codings().any(|coding| coding == packed::CODING);
        let place = is_packed
            .then(|| Place::take(self.file.facts.len))
            .flatten();
        if place.is_none() && !accepted.takes_identity() {
            return None;
        }
        Some(Chosen {
            opened: self.file.clone(),
            coding: place.is_some().then_some(packed::CODING),
            place,
        })
    }

    /// The file that was encoded beforehand, unless it is of an older state.
    async fn encoded(&self, coding: Coding) -> Option<Opened> {
        let name = [self.name, coding.extension().as_bytes()].concat();
        let opened = self.root.find(name).await.ok()?;
        let facts = &opened.facts;
        let fits = facts.kind == Sort::File && facts.is_not_older_than(&self.file.facts);
        fits.then_some(opened)
    }

    /// The file as it is, or parts of it.
    async fn send(
        &self,
        mut headers: HeaderMap,
        reader: Reader,
        validators: &Validators,
    ) -> std::io::Result<Response> {
        let len = reader.opened.facts.len;
        let has_range = *self.method == Method::GET && validators.allow_range(self.headers);
        let wanted = match has_range {
            true => range::wanted(self.headers, len),
            false => Wanted::All,
        };
        let (status, parts) = match wanted {
            Wanted::Nothing => {
                let why = "The file does not have the bytes that were asked for.";
                let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, why);
                let range = value(format!("bytes */{len}"));
                response.headers_mut().insert(header::CONTENT_RANGE, range);
                return Ok(response);
            }
            Wanted::All => (StatusCode::OK, vec![Part::Span(0..len)]),
            Wanted::Parts(mut parts) if parts.len() == 1 => {
                let part = parts.remove(0);
                headers.insert(header::CONTENT_RANGE, value(content_range(&part, len)));
                (StatusCode::PARTIAL_CONTENT, vec![Part::Span(part)])
            }
            Wanted::Parts(parts) => (
                StatusCode::PARTIAL_CONTENT,
                multipart(&mut headers, parts, len),
            ),
        };
        let content = Content::new(reader, parts);
        headers.insert(header::CONTENT_LENGTH, content.len().into());
        if *self.method == Method::HEAD {
            return Ok(response(status, headers, Body::empty()));
        }
        let body = match content.len() {
            0..=WHOLE => content.into_whole().await?.into(),
            _ => Body::stream(content),
        };
        Ok(response(status, headers, body))
    }
}

/// Up to this size an answer is read before it begins, so that it leaves with its head.
const WHOLE: u64 = 64 * 1024;

impl Chosen {
    fn validators(&self, now: SystemTime) -> Validators {
        let mut validators = self.opened.facts.validators(now);
        if let Some(coding) = self.coding {
            validators.tag = validators.tag.coded(coding.name());
            // The same file may be compressed to other bytes by another version of this program.
            validators.tag.is_weak |= self.place.is_some();
        }
        validators
    }
}

fn describe(headers: &mut HeaderMap, validators: &Validators, now: SystemTime) {
    headers.insert(header::ETAG, value(validators.tag.to_string()));
    if let Some(date) = validators.last_modified(now) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    // It may be kept, and is asked for again: a file that was changed is seen at once.
    let again = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, again);
}

/// Several parts in one body (RFC 9110, section 14.6), and its type.
fn multipart(headers: &mut HeaderMap, parts: Vec<Range<u64>>, len: u64) -> Vec<Part> {
    // 128 bits that no file can have been made for.
    let random = || RandomState::new().hash_one(len);
    let boundary = format!("{:016x}{:016x}", random(), random());
    let kind = value(format!("multipart/byteranges; boundary={boundary}"));
    let kind = headers.insert(header::CONTENT_TYPE, kind);
    let kind = kind.as_ref().and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let mut body = Vec::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        let range = content_range(&part, len);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        body.push(Part::Text(head.into()));
        body.push(Part::Span(part));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    body.push(Part::Text(Bytes::from(end)));
    body
}

fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

/// Text of ours, which has nothing in it that a header may not have.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn bare(status: StatusCode, headers: HeaderMap) -> Response {
    response(status, headers, Body::empty())
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
