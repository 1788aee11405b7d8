//! What can go wrong in TLS, as sentences about the peer: "it …".

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use crate::certificate::{Fingerprint, minute};

/// Why TLS (RFC 8446, RFC 5246) was not agreed on, or what broke it later.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// What came is no TLS.
    NotTls,
    /// Its certificate proves nothing to us.
    Certificate {
        /// Why not.
        fault: CertificateFault,
        /// What the certificate is recognised by, when there is one that can be read.
        sha256: Option<Fingerprint>,
    },
    /// It showed no certificate where one is asked for.
    NoCertificate,
    /// It ended TLS by an alert.
    Alert {
        /// As RFC 8446, section 6, names it: `unknown_ca`.
        name: String,
        /// What that means, as a sentence about the peer.
        meaning: &'static str,
    },
    /// Nothing can be agreed on.
    Incompatible(String),
    /// It broke the rules.
    Misbehaved(String),
    /// It closed before anything was agreed on.
    Closed,
    /// Nothing was agreed on in this time.
    TimedOut(Duration),
    /// The connection below broke.
    Broken(io::Error),
    /// This end cannot do what it is asked for.
    Ours(String),
}

/// Why a certificate is not accepted, as the end of a sentence that begins with "its certificate".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It is signed by itself, and was not named by anyone.
    SelfSigned,
    /// Nobody we trust has signed it.
    UnknownIssuer {
        /// Who has.
        issuer: Option<String>,
    },
    /// It is not valid any more.
    Expired {
        /// Since when.
        since: SystemTime,
    },
    /// It is not valid yet.
    NotYetValid {
        /// From when on it will be.
        from: SystemTime,
    },
    /// It belongs to another host.
    WrongName {
        /// The name that was asked for.
        wanted: String,
        /// Those that it has.
        names: Vec<String>,
    },
    /// It is none of those that were pinned.
    NotPinned,
    /// It may not be used for this.
    WrongUse {
        /// What it would have to be for: `server authentication`.
        wanted: String,
    },
    /// Its issuer may not vouch for it, its signature is wrong, it cannot be read, ….
    Other(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("it does not speak TLS"),
            Self::Certificate { fault, .. } => write!(f, "its certificate {fault}"),
            Self::NoCertificate => f.write_str("it showed no certificate"),
            Self::Alert { name, meaning } => write!(f, "{meaning} (alert {name})"),
            Self::Incompatible(what) | Self::Ours(what) => f.write_str(what),
            Self::Misbehaved(how) => write!(f, "it broke the rules of TLS: {how}"),
            Self::Closed => f.write_str("it closed the connection during the TLS handshake"),
            Self::TimedOut(limit) => write!(f, "no TLS handshake within {limit:?}"),
            Self::Broken(source) => f.write_str(&super::cause(source)),
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfSigned => f.write_str("is self-signed"),
            Self::UnknownIssuer { issuer: None } => {
                f.write_str("is signed by an authority that is not trusted")
            }
            Self::UnknownIssuer {
                issuer: Some(issuer),
            } => write!(f, "is signed by an authority that is not trusted, {issuer}"),
            Self::Expired { since } => write!(f, "expired on {}", minute(*since)),
            Self::NotYetValid { from } => write!(f, "is not valid before {}", minute(*from)),
            Self::WrongName { wanted, names } => {
                write!(f, "is not for {wanted}: ")?;
                match names.split_at_checked(MOST_NAMES) {
                    _ if names.is_empty() => f.write_str("it names no host"),
                    Some((first, rest)) if !rest.is_empty() => {
                        let (first, n) = (first.join(", "), rest.len());
                        write!(f, "it is for {first} and {n} more")
                    }
                    _ => write!(f, "it is for {}", names.join(", ")),
                }
            }
            Self::NotPinned => f.write_str("is none of those that were pinned"),
            Self::WrongUse { wanted } => write!(f, "is not meant for {wanted}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Why a file with a certificate, a key or authorities is of no use.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialFault {
    /// The system does not give it.
    Unreadable(io::Error),
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it.
    NoKey,
    /// Its key is encrypted, and nobody is asked for a passphrase.
    Encrypted,
    /// It is in the binary form (DER).
    NotPem,
    /// Its key is another one than that of the certificate in this file.
    OtherKey(String),
    /// What is in it cannot be read, or not be used.
    Malformed(String),
}

impl fmt::Display for CredentialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(source) => f.write_str(&super::cause(source)),
            Self::NoCertificate => f.write_str("there is no certificate in it"),
            Self::NoKey => f.write_str("there is no private key in it"),
            Self::Encrypted => f.write_str("its key is encrypted"),
            Self::NotPem => f.write_str("it is not PEM but binary (DER)"),
            Self::OtherKey(certificate) => {
                write!(
                    f,
                    "its key does not belong to the certificate in {certificate}"
                )
            }
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

/// Names that are told; there are certificates with hundreds.
const MOST_NAMES: usize = 5;

impl std::error::Error for TlsError {}

impl TlsError {
    /// The same once more, for those who only see it in somebody else's error.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::NotTls => Self::NotTls,
            Self::Certificate { fault, sha256 } => Self::Certificate {
                fault: fault.clone(),
                sha256: *sha256,
            },
            Self::NoCertificate => Self::NoCertificate,
            Self::Alert { name, meaning } => Self::Alert {
                name: name.clone(),
                meaning,
            },
            Self::Incompatible(what) => Self::Incompatible(what.clone()),
            Self::Misbehaved(how) => Self::Misbehaved(how.clone()),
            Self::Closed => Self::Closed,
            Self::TimedOut(limit) => Self::TimedOut(*limit),
            Self::Broken(source) => Self::Broken(io::Error::new(source.kind(), source.to_string())),
            Self::Ours(what) => Self::Ours(what.clone()),
        }
    }

    /// For those who pass errors on as errors of a stream.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Broken(source) => source,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_tells_the_right_ones() {
        let names = |n: usize| {
            let names = (1..=n).map(|n| format!("{n}.example")).collect();
            CertificateFault::WrongName {
                wanted: "a.example".to_owned(),
                names,
            }
            .to_string()
        };
        assert_eq!(names(0), "is not for a.example: it names no host");
        assert_eq!(
            names(2),
            "is not for a.example: it is for 1.example, 2.example"
        );
        assert!(names(5).ends_with("4.example, 5.example"), "{}", names(5));
        assert!(names(9).ends_with("5.example and 4 more"), "{}", names(9));
    }
}
