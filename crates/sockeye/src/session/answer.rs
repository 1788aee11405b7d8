//! What became of a request that needed no session.

use std::borrow::Cow;
use std::time::Duration;

use super::Identity;
use super::head::target;

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
