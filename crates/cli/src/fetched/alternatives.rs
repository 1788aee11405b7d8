//! The file in which it is remembered where servers speak HTTP/3: `alt-svc.jsonl` in the folder of our state.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sockeye::fetch::Alternatives;

use crate::args::FetchArgs;
use crate::config;

/// The most bytes that are read of it: more than we ever write.
const MOST: u64 = 1024 * 1024;

/// What is remembered; `None` when nothing is to be. One that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn load(args: &FetchArgs) -> Result<Option<Alternatives>> {
    // Anyone could have said it whose certificate nobody looks at, and it would be believed for days.
    if args.no_alt_svc || args.http2 || args.tls.is_insecure() {
        return Ok(None);
    }
    let Some(path) = path() else {
        return Ok(Some(Alternatives::default()));
    };
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(Alternatives::of_text(&String::from_utf8_lossy(
            &bytes,
        )))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Some(Alternatives::default()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes it down, if there is news.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn save(known: &Alternatives) -> Result<()> {
    let Some(path) = path().filter(|_| known.has_changed()) else {
        return Ok(());
    };
    let written = write(&path, &known.text());
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Beside the old file, and renamed over it: who reads meanwhile sees one of both.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    // Where somebody has been is nobody else's business.
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    let done = file
        .write_all(text.as_bytes())
        .and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

fn path() -> Option<PathBuf> {
    config::state().map(|state| state.join("alt-svc.jsonl"))
}
