//! Certificates, keys and authorities from PEM files (RFC 7468).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::{provider, refusal};
use crate::error::{CredentialFault, Error, Result};

/// The files by which an end proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those of the authorities between it and one that the peer trusts (PEM, its own
    /// first).
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, SEC 1 or PKCS #1, not encrypted. `None`: it stands in the same file.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    fn key(&self) -> &Path {
        self.key.as_ref().unwrap_or(&self.certificate)
    }

    /// Reads both.
    ///
    /// # Errors
    /// When one cannot be read, holds something else, or the two do not belong together.
    pub(super) fn read(&self) -> Result<CertifiedKey> {
        let chain = certificates(&self.certificate)?;
        let key = key(self.key())?;
        CertifiedKey::from_der(chain, key, provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let certificate = self.certificate.display().to_string();
                fault(self.key(), CredentialFault::OtherKey(certificate))
            }
            rustls::Error::InvalidCertificate(error) => {
                let what = format!(
                    "the certificate in it {}",
                    refusal::certificate(error, None)
                );
                fault(&self.certificate, CredentialFault::Malformed(what))
            }
            other => fault(self.key(), CredentialFault::Malformed(refusal::key(&other))),
        })
    }

    /// How both stand in the file system now.
    pub(super) fn stamp(&self) -> [Option<Stamp>; 2] {
        [&self.certificate, self.key()].map(Stamp::of)
    }
}

/// Something that is another when a file has been written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    written: (i64, i64),
    size: u64,
}

impl Stamp {
    /// `None` when there is no such file.
    pub(super) fn of(path: impl AsRef<Path>) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            written: (found.mtime(), found.mtime_nsec()),
            size: found.size(),
        })
    }
}

/// The authorities in a file.
///
/// # Errors
/// When it cannot be read or holds none.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|_| {
            let what = "a certificate in it cannot be read".to_owned();
            fault(path, CredentialFault::Malformed(what))
        })?;
    }
    Ok(found)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(fault(path, nothing(&text, CredentialFault::NoCertificate)))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(fault(path, malformed(&error))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        _ if is_encrypted(&text) => fault(path, CredentialFault::Encrypted),
        pem::Error::NoItemsFound => fault(path, nothing(&text, CredentialFault::NoKey)),
        other => fault(path, malformed(&other)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| fault(path, CredentialFault::Unreadable(source)))
}

/// As PKCS #8 says it, and as OpenSSL did before (RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// Why nothing was found: a binary certificate or key begins as every SEQUENCE of ASN.1 does, and is no text.
fn nothing(text: &[u8], otherwise: CredentialFault) -> CredentialFault {
    match text {
        [0x30, ..] if text.contains(&0) => CredentialFault::NotPem,
        _ => otherwise,
    }
}

fn malformed(error: &pem::Error) -> CredentialFault {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle of a PEM section",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a PEM section is malformed",
        pem::Error::Base64Decode(_) => "what stands between its PEM lines is no base64",
        _ => "it cannot be read as PEM",
    };
    CredentialFault::Malformed(what.to_owned())
}

fn fault(path: &Path, fault: CredentialFault) -> Error {
    Error::Credentials {
        path: path.display().to_string(),
        fault,
    }
}
