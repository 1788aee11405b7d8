//! Why a file was not taken, and how HTTP says it.

use std::io;

use http::{HeaderName, HeaderValue, StatusCode};
use rustix::io::Errno;

use wire::transfer::path::PathFault;

use crate::request::Response;
use crate::service::folder::words;
use crate::transfer::Fault;

/// Why a file was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The body of the request broke off.
    Broken(io::Error),
    /// A later request goes on with it.
    Over,
    /// It does not go on where it stands.
    Elsewhere {
        /// The bytes that are there.
        there: u64,
        /// The byte that was said.
        from: u64,
    },
    /// A thread has failed.
    Lost,
    /// It is more than is taken.
    TooLarge,
    /// What was asked for makes no sense, in words.
    Wrong(StatusCode, &'static str),
    /// No file gets such a name.
    Name(PathFault),
    /// It cannot be written.
    Fault(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// tus, section "Checksum": what came is not what was sent.
pub(super) fn checksum_mismatch() -> StatusCode {
    // It is within what a status may be.
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Trouble {
    /// How HTTP says it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Broken(error) if error.kind() == io::ErrorKind::InvalidData => {
                StatusCode::BAD_REQUEST
            }
            Self::Broken(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Over | Self::Elsewhere { .. } => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Wrong(status, _) => *status,
            Self::Name(_) => StatusCode::BAD_REQUEST,
            Self::Fault(fault) => status(fault),
        }
    }

    /// Whether it is something that the person who serves has to know.
    pub(super) fn is_ours(&self) -> bool {
        self.status().is_server_error()
    }

    /// As text, for a person at a terminal.
    pub(super) fn response(&self) -> Response {
        let text = match self {
            Self::Broken(error) => format!("the request broke off: {error}"),
            Self::Over => "a later request goes on with this upload".to_owned(),
            Self::Elsewhere { there, .. } => format!("the upload stands at byte {there}"),
            Self::Lost => "the file could not be written".to_owned(),
            Self::TooLarge => "it is larger than what is taken here".to_owned(),
            Self::Wrong(_, why) => (*why).to_owned(),
            Self::Name(fault) => format!("no file gets such a name: {fault}"),
            Self::Fault(fault) => told(fault),
        };
        words(self.status(), &text)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the request broke off: {error}"),
            Self::Over => f.write_str("a later request goes on with this upload"),
            Self::Elsewhere { there, from } => {
                write!(f, "byte {from} was sent, and the upload stands at {there}")
            }
            Self::Lost => f.write_str("a thread that writes failed"),
            Self::TooLarge => f.write_str("it is larger than what is taken here"),
            Self::Wrong(_, why) => f.write_str(why),
            Self::Name(fault) => write!(f, "no file gets such a name: {fault}"),
            Self::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

fn status(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Busy { .. } => StatusCode::LOCKED,
        Fault::Exists { .. } => StatusCode::CONFLICT,
        Fault::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Fault::Size { .. } => StatusCode::BAD_REQUEST,
        Fault::Damaged { .. } => checksum_mismatch(),
        Fault::File { source, .. } => refused(source),
    }
}

/// What the system says about a file that is written.
fn refused(error: &io::Error) -> StatusCode {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => StatusCode::INSUFFICIENT_STORAGE,
        Some(Errno::FBIG) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StatusCode::FORBIDDEN,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => StatusCode::SERVICE_UNAVAILABLE,
        // Something on the way is a file, or leads out of the folder.
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::INVAL,
        ) => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Where the folder lies on this machine is nobody's business: the words of the system stay, without the name.
fn told(fault: &Fault) -> String {
    match fault {
        Fault::Busy { .. } => "somebody else is sending a file of this name".to_owned(),
        Fault::Exists { .. } => {
            "there is a file of this name: take another one, or serve with --overwrite".to_owned()
        }
        Fault::NoRoom { needs, free, .. } => {
            format!("there is no room for it: it needs {needs} bytes, and {free} are free")
        }
        Fault::Size { declared, came, .. } => {
            format!("{declared} bytes were announced, and {came} came")
        }
        Fault::Damaged { .. } => "what came is not what was sent".to_owned(),
        Fault::File { action, source, .. } => {
            format!("cannot {action} it: {}", crate::error::cause(source))
        }
    }
}

/// A field of an answer, made of text of ours.
pub(super) fn set(response: &mut Response, name: HeaderName, value: impl Into<String>) {
    if let Ok(value) = HeaderValue::try_from(value.into()) {
        response.headers_mut().insert(name, value);
    }
}
