//! The certificate of a server that has none: made at first use, kept, renewed in time.
//!
//! ECDSA P-256, less than two weeks: what a browser asks for when it is to accept a certificate by its hash
//! (WebTransport, `serverCertificateHashes`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustix::fs::FlockOperation;
use rustls::sign::CertifiedKey;

use super::credentials::{Stamp, TlsFiles};
use crate::certificate::Certificate;

/// How long a new one is valid. With the hour before it, that is less than the 14 days that browsers allow.
const VALID: Duration = Duration::from_secs(13 * 24 * 3600);

/// Clocks differ: a new one is valid from this long ago on.
const EARLIER: Duration = Duration::from_secs(3600);

/// One that is valid for less than this is renewed.
const LEFT: Duration = Duration::from_secs(3 * 24 * 3600);

/// How long another process is given to make it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A self-signed certificate and its key.
pub(super) struct SelfSigned {
    pub(super) key: CertifiedKey,
    /// When it is to be renewed.
    pub(super) renewal: SystemTime,
    /// Why it is not kept, when it should be.
    pub(super) unkept: Option<String>,
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("self-signed.pem")
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(self.file())
    }

    /// The one that is kept, if it can be used at `now` and for a while yet.
    pub(super) fn find(&self, now: SystemTime) -> Option<SelfSigned> {
        let file = self.file();
        // A key that others can read is no secret any more.
        if fs::metadata(&file).ok()?.mode() & 0o077 != 0 {
            return None;
        }
        let files = TlsFiles {
            certificate: file,
            key: None,
        };
        let key = files.read().ok()?;
        let (from, until) = Certificate::from_der(key.cert.first()?.to_vec()).validity()?;
        let renewal = until.checked_sub(LEFT)?;
        (from <= now && now < renewal).then_some(SelfSigned {
            key,
            renewal,
            unkept: None,
        })
    }

    /// Makes one and keeps it, unless somebody else has just done so.
    fn renew(&self, now: SystemTime) -> io::Result<SelfSigned> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let _lock = self.lock()?;
        if let Some(found) = self.find(now) {
            return Ok(found);
        }
        let (made, pem) = make(now)?;
        let new = self.folder.join("self-signed.pem.new");
        // Left by somebody who was stopped: nobody else is here now.
        let _ = fs::remove_file(&new);
        let mut file = private().create_new(true).open(&new)?;
        // Not synced: after a power cut an unreadable one is replaced by another.
        file.write_all(pem.as_bytes())?;
        fs::rename(new, self.file())?;
        Ok(made)
    }

    /// Waits until no other process makes one. Let go of when the file is closed.
    fn lock(&self) -> io::Result<File> {
        let file = private().create(true).open(self.folder.join("lock"))?;
        let start = std::time::Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::AGAIN) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                locked => return locked.map(|()| file).map_err(Into::into),
            }
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The one that `shelf` keeps, or a new one.
///
/// # Errors
/// When none can be made.
pub(super) fn obtain(shelf: Option<&Shelf>, now: SystemTime) -> io::Result<SelfSigned> {
    let Some(shelf) = shelf else {
        return make(now).map(|(made, _)| made);
    };
    if let Some(found) = shelf.find(now) {
        return Ok(found);
    }
    shelf.renew(now).or_else(|error| {
        let (mut made, _) = make(now)?;
        made.unkept = Some(format!("{}: {error}", shelf.folder.display()));
        Ok(made)
    })
}

/// A new one, and how it is kept: the certificate and the key as PEM.
fn make(now: SystemTime) -> io::Result<(SelfSigned, String)> {
    let (mut params, name) = names().map_err(io::Error::other)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - EARLIER).into();
    params.not_after = (now + VALID).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signing =
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let certificate = params.self_signed(&signing).map_err(io::Error::other)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing.serialize_der());
    let chain = vec![certificate.der().clone()];
    let key =
        CertifiedKey::from_der(chain, key.into(), super::provider()).map_err(io::Error::other)?;
    let pem = format!("{}{}", certificate.pem(), signing.serialize_pem());
    let made = SelfSigned {
        key,
        renewal: now + VALID - LEFT,
        unkept: None,
    };
    Ok((made, pem))
}

/// For whom it is, and what the machine is called.
fn names() -> Result<(CertificateParams, String), rcgen::Error> {
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    // Not every machine's name can stand in a certificate.
    if rustls::pki_types::DnsName::try_from(host.as_str()).is_ok() && host != "localhost" {
        names.push(host.clone());
    }
    Ok((CertificateParams::new(names)?, host))
}
