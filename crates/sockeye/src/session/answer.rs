//! What became of requests: the head of an answer, and the report of one that needed no session.

use std::borrow::Cow;
use std::time::Duration;

use super::{Identity, RequestHead};

/// The beginning of an HTTP answer: everything but its body.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// The version that carries it.
    pub version: http::Version,
    /// 200, 404, …
    pub status: http::StatusCode,
    /// What the server calls the status, where that is not what RFC 9110 calls it; only in HTTP/1.
    pub reason: Option<Box<str>>,
    /// The header fields; empty for an answer of ours.
    pub headers: http::HeaderMap,
}

/// A request that was answered without a session: by the service itself, or by HTTP's own rules.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Who asked.
    pub identity: &'a Identity,
    /// `GET`, `POST`, …
    pub method: &'a http::Method,
    /// The target as it was sent.
    pub uri: &'a http::Uri,
    /// The version that carried it.
    pub version: http::Version,
    /// How it was answered.
    pub status: http::StatusCode,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Whether the client took all of it.
    pub whole: bool,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
}

impl Answered<'_> {
    /// What was asked for, as a person knows it: the path and query, or all of a target that names its host in
    /// HTTP/1.
    pub fn target(&self) -> Cow<'_, str> {
        target(self.uri, self.version)
    }
}

impl RequestHead {
    /// As [`Answered::target`].
    pub fn target(&self) -> Cow<'_, str> {
        target(&self.uri, self.version)
    }
}

/// HTTP/2 always names the host beside the path (RFC 9113, section 8.3.1).
fn target(uri: &http::Uri, version: http::Version) -> Cow<'_, str> {
    match uri.path_and_query() {
        Some(path) if uri.authority().is_none() || version > http::Version::HTTP_11 => {
            Cow::Borrowed(path.as_str())
        }
        _ => Cow::Owned(uri.to_string()),
    }
}
