//! What went wrong, for a person: one line with a hint, and the exit code for scripts.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::process::ExitCode;

use sockeye::transfer::{self, Failure};
use sockeye::{
    AddressError, CertificateFault, CredentialFault, Error, Info, Operation, StoreError,
    StoreFault, TlsError,
};
use trace::Fault;
use wire::pcapng::FileError;
use wire::upstream::Refusal;

mod moving;

/// Exit codes. Scripts rely on them: `sockeye --help` lists them.
pub(crate) mod code {
    pub(crate) const NETWORK: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const TIMEOUT: u8 = 3;
    pub(crate) const TLS: u8 = 4;
    pub(crate) const PROTOCOL: u8 = 5;
    pub(crate) const PEER: u8 = 6;
    pub(crate) const VERIFICATION: u8 = 7;
    pub(crate) const CHILD: u8 = 8;
    pub(crate) const INTERRUPTED: u8 = 130;
    pub(crate) const TERMINATED: u8 = 143;
}

/// The command line does not make sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A wait that the person has limited is over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Timeout(pub(crate) String);

/// The peer's answer says that it will not.
#[derive(Debug, thiserror::Error)]
#[error("{peer} answered {status}")]
struct Declined {
    peer: String,
    status: http::StatusCode,
}

/// A server does not let us in under the name that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the chat refuses: {0}")]
struct TurnedAway(String);

pub(crate) fn turned_away(why: String) -> anyhow::Error {
    TurnedAway(why).into()
}

/// What a session that asked over HTTP was told in the end, if that is a failure.
pub(crate) fn refusal(info: &Info) -> Option<anyhow::Error> {
    let status = info.answer()?.status;
    let refused = status.is_client_error() || status.is_server_error();
    let peer = info.peer().to_string();
    refused.then(|| Declined { peer, status }.into())
}

/// An answer that is a failure for whoever asked for that to be one.
pub(crate) fn declined(peer: String, status: http::StatusCode) -> anyhow::Error {
    Declined { peer, status }.into()
}

/// Tells standard error and gives the exit code.
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("{}", line(error));
    ExitCode::from(exit_code(error))
}

/// `sockeye: cannot listen on 127.0.0.1:3000: address already in use (choose another port …)`
pub(crate) fn line(error: &anyhow::Error) -> String {
    let hint = hint(error)
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    // The library's errors name their cause themselves.
    let text = match error.downcast_ref::<Error>() {
        Some(error) => error.to_string(),
        None => error.chain().map(plain).collect::<Vec<_>>().join(": "),
    };
    // A peer's name can stand in an error; it must not drive the terminal.
    let text = wire::text::printable(&text).into_owned();
    format!("sockeye: {text}{hint}")
}

/// Without the `(os error 28)` that only programmers of this program need.
fn plain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.is::<AddressError>() || error.is::<transfer::Fault>() {
        return code::USAGE;
    }
    if error.is::<Timeout>() {
        return code::TIMEOUT;
    }
    if error.is::<Declined>() || error.is::<TurnedAway>() {
        return code::PEER;
    }
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault_code(fault);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return moving::exit_code(failure);
    }
    let error = error.downcast_ref::<Error>();
    match error.and_then(Error::tls) {
        Some(TlsError::TimedOut(_)) => return code::TIMEOUT,
        Some(TlsError::Broken(_)) => return code::NETWORK,
        Some(_) => return code::TLS,
        None => {}
    }
    match error {
        Some(
            Error::Credentials {
                fault: CredentialFault::Unreadable(_),
                ..
            }
            | Error::Address(_)
            | Error::Unsupported { .. }
            | Error::NotEncodable(_)
            | Error::Io {
                operation: Operation::Configure(_),
                ..
            },
        ) => code::USAGE,
        Some(Error::Credentials { .. }) => code::TLS,
        Some(
            Error::Child { .. }
            | Error::Io {
                operation: Operation::Start,
                ..
            },
        ) => code::CHILD,
        Some(Error::TimedOut { .. }) => code::TIMEOUT,
        Some(Error::Refused { .. } | Error::ClosedByPeer { .. } | Error::QuicClosed { .. }) => {
            code::PEER
        }
        Some(
            Error::Framing { .. }
            | Error::Protocol { .. }
            | Error::NotText(_)
            | Error::Proxy {
                source: Refusal::Garbled(..),
                ..
            },
        ) => code::PROTOCOL,
        Some(
            error @ Error::Io {
                operation: Operation::Receive | Operation::Send,
                ..
            },
        ) if error.is_reset() => code::PEER,
        Some(Error::Io { source, .. }) if source.kind() == ErrorKind::TimedOut => code::TIMEOUT,
        // Where a protocol is read, these are bytes that it cannot mean.
        Some(Error::Io {
            operation: Operation::Receive,
            source,
            ..
        }) if source.kind() == ErrorKind::InvalidData => code::PROTOCOL,
        _ => code::NETWORK,
    }
}

fn fault_code(fault: &Fault) -> u8 {
    match fault {
        Fault::Io(_) => code::USAGE,
        _ => code::PROTOCOL,
    }
}

fn hint(error: &anyhow::Error) -> Option<Cow<'static, str>> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault_hint(fault).map(Into::into);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return moving::hint(failure).map(Into::into);
    }
    let error = error.downcast_ref::<Error>()?;
    if let Some(tls) = error.tls() {
        return tls_hint(tls);
    }
    let hint = match error {
        Error::Io {
            operation,
            source,
            address,
        } => io_hint(*operation, source, address)?,
        Error::Resolve { .. } => "check the spelling, or write the address in numbers",
        Error::TimedOut {
            operation: Operation::Connect,
            ..
        } => "is a firewall in the way? -w, or --connect-timeout of fetch, gives it more time",
        Error::TooLarge { .. } => "send less at once, or use tcp://",
        Error::Framing { .. } => "do both ends use the same --frame?",
        Error::NotEncodable(_) => "choose another --encoding",
        Error::Credentials { fault, .. } => credential_hint(fault)?,
        Error::Store(StoreError { fault, .. }) => store_hint(fault)?,
        Error::Proxy {
            source: Refusal::NeedsCredentials,
            ..
        } => "write --proxy socks5://USER:PASSWORD@HOST:PORT, or SOCKEYE_PROXY in the environment",
        _ => return None,
    };
    Some(hint.into())
}

/// Something else is spoken there.
fn other_protocol(source: &std::io::Error, address: &str) -> Option<&'static str> {
    let is_other = source.to_string().starts_with("the answer is not HTTP");
    let plain = address.starts_with("http://");
    (is_other && plain).then_some("is that the right port? https:// speaks TLS")
}

fn fault_hint(fault: &Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::File(FileError::Compressed) => "gunzip -c FILE | sockeye trace --read -",
        Fault::File(FileError::Magic(_)) | Fault::Empty => {
            "`tcpdump -w FILE` and Wireshark write captures"
        }
        Fault::File(_) => "what stands before that place was read",
        _ => return None,
    })
}

fn tls_hint(error: &TlsError) -> Option<Cow<'static, str>> {
    let hint = match error {
        TlsError::Certificate { fault, sha256 } => {
            return sha256.map(|sha256| certificate_hint(fault, &sha256.to_string()).into());
        }
        TlsError::NotTls => "is that the right port? tcp:// speaks without TLS",
        TlsError::Closed | TlsError::TimedOut(_) => "does it speak TLS on that port?",
        TlsError::Alert { name, .. } if name == "certificate_required" => {
            "--cert FILE --key FILE show it who we are"
        }
        TlsError::Alert { name, .. } if name == "unrecognized_name" => {
            "--servername NAME asks for another"
        }
        TlsError::Alert { name, .. } if name == "no_application_protocol" => {
            "--alpn NAME offers another"
        }
        _ => return None,
    };
    Some(hint.into())
}

/// What can be done about a certificate with this SHA-256.
fn certificate_hint(fault: &CertificateFault, sha256: &str) -> String {
    let pin = format!("--pin {sha256} trusts exactly this one");
    match fault {
        CertificateFault::SelfSigned => format!("{pin}, --insecure anyone"),
        CertificateFault::UnknownIssuer { .. } => format!("--ca FILE names its authority; {pin}"),
        CertificateFault::Expired { .. } | CertificateFault::NotYetValid { .. } => {
            format!("is the clock right? {pin}")
        }
        CertificateFault::WrongName { .. } => {
            format!("--servername NAME asks for another name; {pin}")
        }
        CertificateFault::NotPinned => format!("its SHA-256 is {sha256}"),
        _ => pin,
    }
}

fn credential_hint(fault: &CredentialFault) -> Option<&'static str> {
    Some(match fault {
        CredentialFault::NoKey => "--key FILE names the one that has it",
        CredentialFault::Encrypted => "openssl pkey -in FILE -out PLAIN decrypts it",
        CredentialFault::NotPem => {
            "openssl x509 -inform der -in FILE, or openssl pkey, makes PEM of it"
        }
        _ => return None,
    })
}

fn store_hint(fault: &StoreFault) -> Option<&'static str> {
    Some(match fault {
        StoreFault::Full => "once there is room again, lines are taken again",
        StoreFault::NotADatabase | StoreFault::Foreign => "it is as it was: name another file",
        StoreFault::InUse => "end that one, or name another file",
        StoreFault::Damaged(_) => {
            "move it away to begin anew; `sqlite3 FILE .recover` shows what is left of it"
        }
        _ => return None,
    })
}

fn io_hint(operation: Operation, source: &std::io::Error, address: &str) -> Option<&'static str> {
    // Internet addresses end in a port.
    let unix = address
        .rsplit(':')
        .next()
        .is_none_or(|port| port.parse::<u16>().is_err());
    Some(match (operation, source.kind()) {
        (Operation::Listen, ErrorKind::AddrInUse) if unix => {
            "another program listens there: choose another name"
        }
        (Operation::Listen, ErrorKind::AddrInUse) => {
            "another program listens there: choose another port, or :0 for any free one; `ss -lntup` shows who"
        }
        (Operation::Listen, ErrorKind::AlreadyExists) => "choose another name",
        (Operation::Listen, ErrorKind::PermissionDenied) if unix => {
            "the folder or the name there is not yours to use"
        }
        (Operation::Listen, ErrorKind::PermissionDenied) => {
            "ports below 1024 are the system's: choose a higher one"
        }
        (Operation::Listen, ErrorKind::AddrNotAvailable) => {
            "no interface of this machine has that address: `ip addr` shows which there are, * is all of them"
        }
        (Operation::Start, ErrorKind::NotFound) => {
            "is it installed, and on the PATH? A shell's own words need sh -c '…'"
        }
        (Operation::Receive, ErrorKind::InvalidData) => return other_protocol(source, address),
        (Operation::Connect, ErrorKind::ConnectionRefused) => {
            "nobody listens there: is the server running, on that port and address? --retry waits for it"
        }
        (Operation::Connect, ErrorKind::NotFound) if unix => {
            "there is no such socket: is the server running?"
        }
        (Operation::Receive | Operation::Send, ErrorKind::ConnectionRefused) => {
            "nobody listens there"
        }
        (Operation::Connect, ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) => {
            "there is no route to it: is the network up?"
        }
        (Operation::Connect, ErrorKind::AddrInUse) => "another socket uses that source port",
        (Operation::Connect | Operation::Send, ErrorKind::PermissionDenied) => {
            "a broadcast address needs --broadcast; a firewall may forbid it too"
        }
        (Operation::Configure(_), ErrorKind::PermissionDenied) => {
            "the system allows this only to root"
        }
        (Operation::Configure("SO_BINDTODEVICE"), _) => {
            "`ip link` shows the names of the interfaces"
        }
        (Operation::Configure("TCP_CONGESTION"), _) => {
            "`sysctl net.ipv4.tcp_available_congestion_control` shows which there are"
        }
        _ => return None,
    })
}
