//! A session inside of a connection that carries other things, too: WebTransport's, which ends by itself.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use wire::webtransport::{Close, label};

use crate::error::{Error, Operation, QuicEnd};

/// What such a session has that a connection of its own has not.
pub(super) struct Within {
    /// What its datagrams begin with.
    label: Vec<u8>,
    /// How it ended, once it has.
    end: OnceLock<End>,
    over: CancellationToken,
}

/// How a session has ended.
#[derive(Clone, Debug)]
pub(in crate::protocol) enum End {
    /// In good order, by either end.
    Closed(Close),
    /// The peer has reset its stream, with this code of HTTP/3.
    Reset(u64),
    /// The peer broke the rules: which.
    Broken(String),
}

impl Within {
    /// `id`: that of the request it began with.
    pub(super) fn new(id: u64) -> Self {
        Self {
            label: label(id),
            end: OnceLock::new(),
            over: CancellationToken::new(),
        }
    }

    /// It has ended. The first end counts.
    pub(super) fn end(&self, end: End) {
        let _ = self.end.set(end);
        self.over.cancel();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    pub(super) fn watch(&self) -> Watch {
        Box::pin(self.over.clone().cancelled_owned())
    }

    /// What became of it, for who tried `operation`. `Ok`: it is the end.
    pub(super) fn ended(&self, operation: Operation, address: &str) -> Result<(), Error> {
        let address = address.to_owned();
        match self.end.get() {
            None => Ok(()),
            Some(End::Closed(close)) if close.code == 0 => Ok(()),
            Some(End::Closed(close)) => Err(Error::QuicClosed {
                operation,
                address,
                end: QuicEnd::Session,
                code: close.code.into(),
                reason: close.reason.clone(),
            }),
            Some(End::Reset(code)) => Err(Error::QuicClosed {
                operation,
                address,
                end: QuicEnd::Reset,
                code: *code,
                reason: String::new(),
            }),
            Some(End::Broken(reason)) => Err(Error::Protocol {
                operation,
                address,
                reason: reason.clone(),
            }),
        }
    }

    /// A datagram of its own, as it is sent.
    pub(super) fn labelled(&self, data: &Bytes) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.label.len() + data.len());
        whole.extend_from_slice(&self.label);
        whole.extend_from_slice(data);
        whole.freeze()
    }

    /// What a datagram of its own says; `None` for one of another session.
    pub(super) fn unlabelled(&self, datagram: &Bytes) -> Option<Bytes> {
        let own = datagram.starts_with(&self.label);
        own.then(|| datagram.slice(self.label.len()..))
    }

    /// Bytes that a datagram takes beside what it says.
    pub(super) fn overhead(&self) -> usize {
        self.label.len()
    }
}

/// Waits for the end of a session.
type Watch = Pin<Box<WaitForCancellationFutureOwned>>;

/// The end of a session as one of its streams waits for it: where there is none it never comes.
pub(super) struct Over(Option<Watch>);

impl Over {
    pub(super) fn of(within: Option<&Within>) -> Self {
        Self(within.map(Within::watch))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(watch) => watch.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
