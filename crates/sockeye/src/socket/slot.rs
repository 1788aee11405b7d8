//! The place of a message between `send` and a datagram socket that has no room for it yet.

use std::io;
use std::task::{Poll, ready};

use bytes::Bytes;

/// One message that a sink has taken and that has not left.
///
/// It leaves once and whole, before the next one. So a `send` whose future was dropped has either sent its message
/// or not begun to: what the sink had taken by then goes out ahead of what is sent, finished or closed next. No
/// message takes the place of another.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<Bytes>);

impl Slot {
    /// Takes a message.
    ///
    /// # Errors
    /// When the one before has not left: nobody has waited for the sink to be ready.
    pub(crate) fn put(&mut self, message: Bytes) -> io::Result<()> {
        if self.0.is_some() {
            let why = "the message before it has not left";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        self.0 = Some(message);
        Ok(())
    }

    /// What is here.
    pub(crate) fn message(&self) -> Option<&Bytes> {
        self.0.as_ref()
    }

    /// Empties it.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        self.0.take()
    }

    /// Sends what is here. With an outcome, good or bad, it is gone: whoever is told that it failed must not find
    /// it sent with the next one.
    ///
    /// # Errors
    /// As `send`.
    pub(crate) fn poll_leave(
        &mut self,
        send: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        if let Some(message) = &self.0 {
            let sent = ready!(send(message));
            self.0 = None;
            sent?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_no_others_place() {
        let mut slot = Slot::default();
        slot.put("first".into()).unwrap();
        let refused = slot.put("second".into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(slot.take().unwrap(), "first");
        slot.put("second".into()).unwrap();
    }

    #[test]
    fn a_message_leaves_once() {
        let mut slot = Slot::default();
        slot.put("it".into()).unwrap();
        assert!(slot.poll_leave(|_| Poll::Pending).is_pending());
        let mut sent = Vec::new();
        for _ in 0..2 {
            let left = slot.poll_leave(|message| {
                sent.push(message.to_vec());
                Poll::Ready(Ok(message.len()))
            });
            assert!(matches!(left, Poll::Ready(Ok(()))));
        }
        assert_eq!(sent, [b"it"]);
    }

    #[test]
    fn a_message_that_failed_is_gone() {
        let mut slot = Slot::default();
        slot.put("it".into()).unwrap();
        let failed = slot.poll_leave(|_| Poll::Ready(Err(io::ErrorKind::NetworkDown.into())));
        assert!(matches!(failed, Poll::Ready(Err(_))));
        assert!(slot.message().is_none());
    }
}
