//! The body of a request that was refused before it had come, in HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;

use ::http::{Request, Version};
use tokio::time::timeout;

use super::answer::Arriving;
use super::{LINGER, Shared};

/// Bytes of it that are read and thrown away.
const MOST: usize = 64 * 1024;

/// Lets it come for a moment. The stream could be reset at once, behind the answer (RFC 9113, section 8.1), but there
/// are clients that still send then, fail at that, and never look at what they were told.
pub(super) fn leave<B: Arriving>(shared: &Shared, request: Request<B>) {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return;
    }
    let reading = async move {
        let mut body = request.into_body();
        let mut thrown = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            thrown += frame.data_ref().map_or(0, |data| data.len());
            if thrown > MOST {
                break;
            }
        }
    };
    // Whether it has come or not: then the stream is over.
    shared.connection.host.run(Box::pin(async {
        let _ = timeout(LINGER, reading).await;
    }));
}
