//! What a file hashes to, for whoever asks (RFC 9530).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::content::{PIECE, check, read_full};
use super::root::{Facts, Opened};

/// Asks for digests of all of the file, whichever part of it is sent (RFC 9530, section 4).
pub(in crate::service) const WANT: HeaderName = HeaderName::from_static("want-repr-digest");

/// Says them (section 3).
pub(in crate::service) const SAY: HeaderName = HeaderName::from_static("repr-digest");

/// Files that are read at once for this: each takes a core, or all of a disk.
const AT_ONCE: usize = 4;

/// Digests that are remembered.
const MOST: usize = 4096;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// By the state of a file, so that one that was changed is another.
type Known = HashMap<(Facts, Algorithm), Vec<u8>>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// How a file is hashed. SHA-2 is in the registry of RFC 9530, section 7.2. BLAKE3 is not yet: `blake3` is its own
/// name, 32 bytes its usual length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::service) enum Algorithm {
    Blake3,
    Sha256,
    Sha512,
}

const ALL: [Algorithm; 3] = [Algorithm::Blake3, Algorithm::Sha256, Algorithm::Sha512];

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }
}

/// The digests that a request prefers: a dictionary of names and weights from 0, not wanted, to 10. None of those
/// that are not known here.
pub(in crate::service) fn wanted(headers: &HeaderMap) -> Vec<Algorithm> {
    let mut wanted: Vec<(Algorithm, u8)> = Vec::new();
    let lines = headers.get_all(WANT).iter();
    for member in lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
    {
        let (name, weight) = member.split_once('=').unwrap_or((member, "1"));
        let weight = weight.split(';').next().unwrap_or_default().trim();
        let algorithm = ALL.into_iter().find(|it| it.name() == name.trim());
        if let (Some(algorithm), Ok(weight @ 0..=10)) = (algorithm, weight.parse()) {
            // The last of two members of one name counts (RFC 9651, section 3.2).
            wanted.retain(|(it, _)| *it != algorithm);
            wanted.push((algorithm, weight));
        }
    }
    wanted.retain(|(_, weight)| *weight > 0);
    wanted.into_iter().map(|(algorithm, _)| algorithm).collect()
}

/// `sha-256=:…:, blake3=:…:`, as a header says digests.
///
/// # Errors
/// When the file cannot be read, or is changed meanwhile.
pub(in crate::service) async fn said(
    opened: &Opened,
    algorithms: &[Algorithm],
) -> io::Result<HeaderValue> {
    let mut members = Vec::new();
    for algorithm in algorithms {
        let digest = STANDARD.encode(digest(opened, *algorithm).await?);
        members.push(format!("{}=:{digest}:", algorithm.name()));
    }
    // base64 has no letter that a header could not have.
    Ok(HeaderValue::try_from(members.join(", ")).unwrap_or(HeaderValue::from_static("")))
}

async fn digest(opened: &Opened, algorithm: Algorithm) -> io::Result<Vec<u8>> {
    let key = (opened.facts, algorithm);
    if let Some(known) = known().get(&key) {
        return Ok(known.clone());
    }
    // It is never closed.
    let _place = PLACES.acquire().await;
    // Who does not wait any more shall not keep the disk busy.
    let asked = Asked(Arc::default());
    let (opened, left) = (opened.clone(), asked.0.clone());
    let facts = opened.facts;
    let hashing = move || hash(&opened, algorithm, &left);
    let digest = tokio::task::spawn_blocking(hashing).await??;
    if facts.has_settled() {
        let mut known = known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, digest.clone());
    }
    Ok(digest)
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the thread that nobody waits any more.
struct Asked(Arc<AtomicBool>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn hash(opened: &Opened, algorithm: Algorithm, left: &AtomicBool) -> io::Result<Vec<u8>> {
    let mut hasher = match algorithm {
        Algorithm::Blake3 => Hasher::Blake3(Box::default()),
        Algorithm::Sha256 => Hasher::Sha(Context::new(&SHA256)),
        Algorithm::Sha512 => Hasher::Sha(Context::new(&SHA512)),
    };
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < opened.facts.len && !left.load(Relaxed) {
        let n = read_full(&opened.file, &mut buffer, at)?;
        if n == 0 {
            break;
        }
        // What a log has got meanwhile is not of the state that is asked for.
        let most = usize::try_from(opened.facts.len - at).map_or(n, |left| left.min(n));
        match &mut hasher {
            Hasher::Blake3(hasher) => drop(hasher.update(&buffer[..most])),
            Hasher::Sha(hasher) => hasher.update(&buffer[..most]),
        }
        at += n as u64;
    }
    check(&opened.file, &opened.facts)?;
    Ok(match hasher {
        Hasher::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        Hasher::Sha(hasher) => hasher.finish().as_ref().to_vec(),
    })
}

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha(Context),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_what_is_known_and_nothing_else() {
        use Algorithm::{Blake3, Sha256, Sha512};
        for (lines, algorithms) in [
            (&["sha-256=10"][..], &[Sha256][..]),
            (&["sha-512=3, sha-256=10, unixsum=1"], &[Sha512, Sha256]),
            (&["sha-256=1", "blake3=2"], &[Sha256, Blake3]),
            (&["sha-256"], &[Sha256]),
            (&["sha-256=0, blake3 = 1;x=y"], &[Blake3]),
            (&["sha-256=1, sha-256=0"], &[]),
            (&["sha-256=11, blake3=x, md5=1", ""], &[]),
            (&[], &[]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WANT, HeaderValue::from_static(line));
            }
            assert_eq!(wanted(&headers), algorithms, "{lines:?}");
        }
    }
}
