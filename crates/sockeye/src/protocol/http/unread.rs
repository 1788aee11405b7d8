//! The body of a request that was answered before it had come, in HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use ::http::Version;
use tokio::time::timeout;

use super::answer::Arriving;
use super::{LINGER, Shared};

/// Bytes of it that are read and thrown away.
const MOST: usize = 64 * 1024;

/// Lets it come for a moment. The stream could be reset at once, behind the answer (RFC 9113, section 8.1), but there
/// are clients that still send then, or see the reset first, and never look at what they were told: curl 7.88 says
/// that there was an error in the framing.
pub(super) fn leave<B: Arriving>(shared: &Shared, version: Version, mut body: B) {
    if version != Version::HTTP_2 || body.is_end_stream() {
        return;
    }
    let mut thrown = 0;
    let reading = poll_fn(move |cx| {
        while thrown <= MOST {
            match ready!(Pin::new(&mut body).poll_frame(cx)) {
                Some(Ok(frame)) => thrown += frame.data_ref().map_or(0, |data| data.len()),
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        // No more of it: its window ends.
        Poll::Pending
    });
    // Whether it has come or not: then the stream is over.
    shared.connection.host.run(Box::pin(async {
        let _ = timeout(LINGER, reading).await;
    }));
}
