//! Why a stream or a connection ended, for a person.

use std::io;

use quinn::{ConnectionError, ReadError, StoppedError, TransportErrorCode, VarInt, WriteError};
use wire::webtransport::{SESSION_GONE, from_http3};

use super::DONE;
use super::crypto::Notes;
use super::ends::Ends;
use crate::error::{Error, Operation, QuicEnd, TlsError};

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The peer has refused it by this alert of TLS.
    Alert(u8),
    /// This end has, for this reason.
    Refused(TlsError),
    /// It is not TLS that failed.
    Other(Error),
}

/// What became of a handshake with `address`, of which `notes` have heard.
pub(super) fn handshake(
    operation: Operation,
    address: &str,
    error: ConnectionError,
    notes: &Notes,
) -> Failure {
    /// Where the numbers of alerts begin (RFC 9001, section 4.8).
    const CRYPTO: u64 = 0x100;

    let alert = |code: TransportErrorCode| {
        let number = u64::from(code).checked_sub(CRYPTO)?;
        u8::try_from(number).ok()
    };
    match error {
        ConnectionError::ConnectionClosed(close) if let Some(alert) = alert(close.error_code) => {
            Failure::Alert(alert)
        }
        ConnectionError::TransportError(error) if alert(error.code).is_some() => {
            let fault = notes.fault().map(TlsError::again);
            Failure::Refused(fault.unwrap_or(TlsError::Misbehaved(error.reason)))
        }
        other => Failure::Other(lost(operation, address, &other)),
    }
}

/// H3_NO_ERROR (RFC 9114, section 8.1).
const HTTP3_DONE: VarInt = VarInt::from_u32(0x100);

/// Whether a connection was closed by a peer that was content.
pub(super) fn is_content(ends: &Ends, error: &ConnectionError) -> bool {
    let is_done = |code| code == DONE || ends.within.is_some() && code == HTTP3_DONE;
    matches!(error, ConnectionError::ApplicationClosed(close) if is_done(close.error_code))
}

/// Whether a stream was ended because its session is over: that says why.
pub(super) fn is_gone(ends: &Ends, code: VarInt) -> bool {
    ends.within.is_some() && code.into_inner() == SESSION_GONE
}

/// How the session of a stream has ended. `Ok`: in good order.
pub(super) fn of_session(ends: &Ends, operation: Operation) -> io::Result<()> {
    match &ends.within {
        Some(within) => within
            .ended(operation, &ends.address())
            .map_err(io::Error::other),
        None => Ok(()),
    }
}

/// What the loss of a connection to `address` means for what was tried.
pub(super) fn lost(operation: Operation, address: &str, error: &ConnectionError) -> Error {
    use ConnectionError as E;
    let io = |kind: io::ErrorKind| Error::io(operation, address, kind.into());
    let protocol = |reason: String| Error::Protocol {
        operation,
        address: address.to_owned(),
        reason,
    };
    match error {
        E::ApplicationClosed(close) => Error::QuicClosed {
            operation,
            address: address.to_owned(),
            end: QuicEnd::Connection,
            code: close.error_code.into_inner(),
            reason: words(&close.reason),
        },
        E::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            Error::Io {
                operation,
                address: address.to_owned(),
                source: io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "it takes no new connections",
                ),
            }
        }
        E::ConnectionClosed(close) => protocol(format!(
            "the peer gave up: {}{}",
            close.error_code,
            after_colon(&words(&close.reason))
        )),
        E::TransportError(error) => protocol(format!(
            "the peer broke the rules of QUIC: {}{}",
            error.code,
            after_colon(&error.reason)
        )),
        E::VersionMismatch => protocol(
            "it speaks no version of QUIC that is spoken here, which is version 1".to_owned(),
        ),
        E::TimedOut => Error::io(
            operation,
            address,
            io::Error::new(io::ErrorKind::TimedOut, "nothing came from it any more"),
        ),
        E::Reset => io(io::ErrorKind::ConnectionReset),
        E::LocallyClosed => io(io::ErrorKind::NotConnected),
        E::CidsExhausted => protocol("there are no connection ids left".to_owned()),
    }
}

/// What a person wrote, or at least a program.
fn words(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).into_owned()
}

fn after_colon(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!(": {words}"),
    }
}

/// The same for those who read; `Ok`: it is the end.
pub(super) fn read(ends: &Ends, error: ReadError) -> io::Result<()> {
    let operation = Operation::Receive;
    Err(io::Error::other(match error {
        ReadError::Reset(code) => at_stream(ends, operation, QuicEnd::Reset, code),
        ReadError::ConnectionLost(error) if is_content(ends, &error) => return Ok(()),
        ReadError::ConnectionLost(error) => lost(operation, &ends.address(), &error),
        ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
            return Err(io::ErrorKind::NotConnected.into());
        }
    }))
}

/// The same for those who write.
pub(super) fn write(ends: &Ends, error: WriteError) -> io::Error {
    let operation = Operation::Send;
    io::Error::other(match error {
        WriteError::Stopped(code) => at_stream(ends, operation, QuicEnd::Stopped, code),
        WriteError::ConnectionLost(error) => lost(operation, &ends.address(), &error),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            return io::ErrorKind::BrokenPipe.into();
        }
    })
}

/// The same for those who have written all and wait until it has arrived. A peer that is content has heard enough.
pub(super) fn finish(ends: &Ends, ended: Result<Option<VarInt>, StoppedError>) -> io::Result<()> {
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(code)) if told(ends, code) == 0 => Ok(()),
        Err(StoppedError::ConnectionLost(error)) if is_content(ends, &error) => Ok(()),
        Ok(Some(code)) => Err(write(ends, WriteError::Stopped(code))),
        Err(error) => Err(write(ends, error.into())),
    }
}

fn at_stream(ends: &Ends, operation: Operation, end: QuicEnd, code: VarInt) -> Error {
    Error::QuicClosed {
        operation,
        address: ends.address(),
        end,
        code: told(ends, code),
        reason: String::new(),
    }
}

/// The application's code; inside of HTTP/3 what is none of those is HTTP/3's.
fn told(ends: &Ends, code: VarInt) -> u64 {
    let code = code.into_inner();
    match &ends.within {
        Some(_) => from_http3(code).map_or(code, u64::from),
        None => code,
    }
}
