//! The heads of a request and of its answer: what a session over HTTP knows of them.

use std::borrow::Cow;

use bytes::BytesMut;
use http::{HeaderValue, Uri};

/// The request that a session began with.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// `GET`, `POST`, …
    pub method: http::Method,
    /// The target as it was sent.
    pub uri: Uri,
    /// The version that carries it.
    pub version: http::Version,
    /// The header fields.
    pub headers: http::HeaderMap,
}

impl RequestHead {
    /// As [`Answered::target`](super::Answered::target).
    pub fn target(&self) -> Cow<'_, str> {
        target(&self.uri, self.version)
    }

    /// Whether it can begin several sessions: the streams and datagrams of WebTransport.
    pub fn is_shared(&self) -> bool {
        self.version == http::Version::HTTP_3 && self.method == http::Method::CONNECT
    }

    /// The same, with memory of its own: as it was read it is a part of the buffer that it was read into, which is
    /// several times its size, and it may be kept as long as a session.
    #[must_use]
    pub(crate) fn on_its_own(mut self) -> Self {
        let target = self.uri.to_string();
        let mut whole = BytesMut::with_capacity(
            target.len() + self.headers.values().map(HeaderValue::len).sum::<usize>(),
        );
        whole.extend_from_slice(target.as_bytes());
        self.headers
            .values()
            .for_each(|value| whole.extend_from_slice(value.as_bytes()));
        let mut whole = whole.freeze();
        // Neither fails: they are what they were.
        if let Ok(uri) = Uri::from_maybe_shared(whole.split_to(target.len())) {
            self.uri = uri;
        }
        for value in self.headers.values_mut() {
            let sensitive = value.is_sensitive();
            if let Ok(copy) = HeaderValue::from_maybe_shared(whole.split_to(value.len())) {
                *value = copy;
            }
            value.set_sensitive(sensitive);
        }
        self
    }
}

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

/// HTTP/2 always names the host beside the path (RFC 9113, section 8.3.1).
pub(super) fn target(uri: &Uri, version: http::Version) -> Cow<'_, str> {
    match uri.path_and_query() {
        Some(path) if uri.authority().is_none() || version > http::Version::HTTP_11 => {
            Cow::Borrowed(path.as_str())
        }
        _ => Cow::Owned(uri.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_on_its_own_is_the_same_head() {
        let read = bytes::Bytes::from_static(b"GET /a?b=%20c X: one TWO ");
        let mut head = RequestHead {
            method: http::Method::GET,
            uri: Uri::from_maybe_shared(read.slice(4..13)).unwrap(),
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
        };
        let secret = HeaderValue::from_maybe_shared(read.slice(21..24));
        let mut secret = secret.unwrap();
        secret.set_sensitive(true);
        let open = HeaderValue::from_maybe_shared(read.slice(17..20));
        head.headers.append("x", open.unwrap());
        head.headers.append("x", secret);
        head.headers.append("empty", HeaderValue::from_static(""));
        let own = head.on_its_own();
        assert_eq!(own.uri, "/a?b=%20c");
        let values: Vec<_> = own.headers.get_all("x").iter().collect();
        assert_eq!(values, ["one", "TWO"]);
        assert!(values[1].is_sensitive() && !values[0].is_sensitive());
        assert_eq!(own.headers["empty"], "");
        let outside =
            |value: &&HeaderValue| !read.as_ptr_range().contains(&value.as_bytes().as_ptr());
        assert!(values.iter().all(outside));
    }
}
