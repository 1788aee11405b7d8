//! The stream of a request as what WebTransport tells its session by. The library has a type for each end.

use std::task::{Context, Poll, ready};

use ::h3::error::{Code, StreamError};
use bytes::{Buf, Bytes};

use super::client;
use crate::protocol::webtransport::{Hears, Says};

macro_rules! tells {
    ($sending:ty, $receiving:ty) => {
        impl Says for $sending {
            async fn say(&mut self, data: Bytes) -> Result<(), StreamError> {
                self.send_data(data).await
            }

            async fn finish(&mut self) -> Result<(), StreamError> {
                Self::finish(self).await
            }

            fn reset(&mut self, code: Code) {
                self.stop_stream(code);
            }
        }

        impl Hears for $receiving {
            fn poll_hear(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Option<Bytes>, StreamError>> {
                let heard = ready!(self.poll_recv_data(cx))?;
                Poll::Ready(Ok(
                    heard.map(|mut data| data.copy_to_bytes(data.remaining()))
                ))
            }

            fn stop(&mut self, code: Code) {
                self.stop_sending(code);
            }
        }
    };
}

tells!(super::Sending, super::Receiving);
tells!(client::Sending, client::Receiving);
