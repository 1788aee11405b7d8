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
use crate::error::Error;

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
        let unkept = Error::File {
            action: "write",
            path: shelf.folder.display().to_string(),
            source: error,
        };
        made.unkept = Some(unkept.to_string());
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn shown(found: &SelfSigned) -> Certificate {
        Certificate::from_der(found.key.cert[0].to_vec())
    }

    #[test]
    fn it_is_what_a_browser_accepts_by_its_hash() {
        let now = SystemTime::now();
        let made = obtain(None, now).unwrap();
        let facts = shown(&made).facts().unwrap();
        let valid = facts.valid_until.duration_since(facts.valid_from).unwrap();
        assert!(valid < DAY * 14, "{valid:?}");
        assert!(facts.valid_from < now && made.renewal > now + DAY * 9);
        assert!(facts.self_signed);
        assert_eq!(facts.names[..3], ["localhost", "127.0.0.1", "::1"]);
        let algorithm = made.key.key.algorithm();
        assert_eq!(algorithm, rustls::SignatureAlgorithm::ECDSA);
        assert_ne!(
            shown(&made),
            shown(&obtain(None, now).unwrap()),
            "each is new"
        );
    }

    #[test]
    fn those_who_come_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a/b");
        let now = SystemTime::now();
        let found: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| shown(&obtain(Some(&Shelf::new(&place)), now).unwrap())))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&place), 0o700);
        assert_eq!(mode(&place.join("self-signed.pem")), 0o600);
        assert!(!place.join("self-signed.pem.new").exists());
    }

    #[test]
    fn what_cannot_be_used_any_more_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let now = SystemTime::now();
        let kept = |now| shown(&obtain(Some(&shelf), now).unwrap());
        let first = kept(now);
        assert_eq!(kept(now + DAY * 9), first);
        let second = kept(now + DAY * 11);
        assert_ne!(second, first, "it would have been valid for two days");
        let third = kept(now);
        assert_ne!(third, second, "it is not valid yet: the clock was put back");
        fs::set_permissions(shelf.file(), fs::Permissions::from_mode(0o644)).unwrap();
        let fourth = kept(now);
        assert_ne!(fourth, third, "others could read its key");
        fs::write(shelf.file(), "-----BEGIN CERT").unwrap();
        fs::write(folder.path().join("self-signed.pem.new"), "left behind").unwrap();
        let fifth = kept(now);
        assert_ne!(fifth, fourth);
        assert_eq!(kept(now), fifth);
    }

    #[test]
    fn without_a_place_for_it_there_is_one_nevertheless() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let shelf = Shelf::new(&file.join("below"));
        let why = obtain(Some(&shelf), SystemTime::now()).unwrap().unkept;
        let why = why.unwrap();
        let place = file.join("below").display().to_string();
        assert_eq!(why, format!("cannot write {place}: not a directory"));
    }

    #[test]
    fn a_lock_that_nobody_lets_go_of_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let _held = shelf.lock().unwrap();
        let start = std::time::Instant::now();
        let made = obtain(Some(&shelf), SystemTime::now()).unwrap();
        assert!(made.unkept.is_some());
        assert!(start.elapsed() < PATIENCE * 5);
    }
}
