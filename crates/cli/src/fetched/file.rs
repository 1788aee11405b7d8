//! A file that is written beside its name and gets it when it is whole.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sockeye::{Error, Operation};

use crate::failure::Usage;

/// A file on its way: `NAME.part`, and `NAME.part.tag` with what says which version of it that is.
///
/// What is no regular file (`/dev/null`, a pipe) is written directly.
#[derive(Debug)]
pub(super) struct Part {
    /// What it will be called.
    path: PathBuf,
    /// Written beside it, and renamed in the end.
    beside: bool,
    file: File,
    begins_at: u64,
    /// How long it must be in the end, when that is known.
    whole: Option<u64>,
    at: u64,
}

impl Part {
    /// Begins a file anew.
    ///
    /// # Errors
    /// When it cannot be written, or somebody else is writing it.
    pub(super) fn begin(path: &Path, tag: Option<&str>, make_folders: bool) -> Result<Self> {
        if let (true, Some(folder)) = (make_folders, path.parent()) {
            let made = std::fs::create_dir_all(folder);
            made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        if path.is_dir() {
            return Err(Usage(format!("cannot write {}: it is a folder", path.display())).into());
        }
        let beside = path.metadata().map_or(true, |facts| facts.is_file());
        if !beside {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            return Ok(Self::new(path.to_owned(), false, file, 0));
        }
        // Whoever gave the name of a link meant the file that it leads to.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let part = part_of(&path);
        let file = locked(&part)?;
        let emptied = file.set_len(0);
        emptied.with_context(|| format!("cannot write {}", part.display()))?;
        let noted = match tag {
            Some(tag) => std::fs::write(tag_of(&path), tag),
            None => removed(&tag_of(&path)),
        };
        noted.with_context(|| format!("cannot write {}", tag_of(&path).display()))?;
        Ok(Self::new(path, true, file, 0))
    }

    /// Goes on with what is there, from byte `at`.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn go_on(path: &Path, at: u64, whole: Option<u64>) -> Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let part = part_of(&path);
        let wrong = || format!("cannot write {}", part.display());
        if !part.exists() {
            // The name's own file stays until there is a better one.
            std::fs::copy(&path, &part).with_context(wrong)?;
        }
        let file = locked(&part)?;
        file.set_len(at).with_context(wrong)?;
        let mut part = Self::new(path, true, file, at);
        part.whole = whole;
        Ok(part)
    }

    fn new(path: PathBuf, beside: bool, file: File, begins_at: u64) -> Self {
        Self {
            path,
            beside,
            file,
            begins_at,
            whole: None,
            at: begins_at,
        }
    }

    /// How much of it was there.
    pub(super) fn begins_at(&self) -> u64 {
        self.begins_at
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        let written = self.file.write_all(data);
        written.with_context(|| format!("cannot write {}", self.shown().display()))?;
        self.at += data.len() as u64;
        Ok(())
    }

    /// All has come: it gets its name.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(whole) = self.whole.filter(|whole| *whole != self.at) {
            return Err(Error::Protocol {
                operation: Operation::Fetch,
                address: self.path.display().to_string(),
                reason: format!("the server sent it up to byte {} of {whole}", self.at),
            }
            .into());
        }
        if !self.beside {
            return Ok(());
        }
        let named = self.file.sync_all().and_then(|()| name(&self.path));
        self.beside = false;
        named.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn shown(&self) -> PathBuf {
        match self.beside {
            true => part_of(&self.path),
            false => self.path.clone(),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.beside && self.at == 0 {
            // Nothing has come: there is nothing to go on with.
            let _ = removed(&part_of(&self.path)).and_then(|()| removed(&tag_of(&self.path)));
        }
    }
}

/// What a person is told of a part that stays, if one does.
pub(super) fn left(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let part = part_of(&path);
    let length = part.metadata().ok()?.len();
    let part = part.display();
    (length > 0).then(|| format!("{part} has {length} bytes: -C - goes on from there"))
}

/// The part gets the name.
pub(super) fn name(path: &Path) -> io::Result<()> {
    std::fs::rename(part_of(path), path)?;
    removed(&tag_of(path))
}

fn removed(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn locked(part: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(part);
    let file = file.with_context(|| format!("cannot write {}", part.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Usage(format!(
            "cannot write {}: another download is writing it",
            part.display()
        ))
        .into()),
        // Where there are no locks it is written without.
        _ => Ok(file),
    }
}

pub(super) fn part_of(path: &Path) -> PathBuf {
    with_end(path, ".part")
}

pub(super) fn tag_of(path: &Path) -> PathBuf {
    with_end(path, ".part.tag")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// A name that a server has given, as one for a file here: it leads to no other folder and hides nothing.
pub(crate) fn file_name(given: &str) -> Option<String> {
    let letter = |c: char| match c {
        '/' | '\\' => '_',
        c if wire::text::is_printable(c) => c,
        _ => '_',
    };
    let name: String = given.trim().chars().map(letter).collect();
    let name = match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    };
    let most = name.char_indices().map(|(at, c)| at + c.len_utf8());
    // 255 bytes are the most that Linux takes, and `.part.tag` needs some.
    let end = most.take_while(|end| *end <= 240).last()?;
    Some(name[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else_and_hide_nothing() {
        for (given, name) in [
            ("a.txt", Some("a.txt")),
            ("文.txt", Some("文.txt")),
            ("../../etc/passwd", Some("_._.._etc_passwd")),
            (".bashrc", Some("_bashrc")),
            ("..", Some("_.")),
            ("a\\b", Some("a_b")),
            ("a\x1b\nb", Some("a__b")),
            ("", None),
            ("  ", None),
        ] {
            assert_eq!(file_name(given).as_deref(), name, "{given}");
        }
        assert_eq!(file_name(&"文".repeat(200)).unwrap().len(), 240);
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let mut part = Part::begin(&path, Some("tag"), false).unwrap();
        part.write(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let twice = Part::begin(&path, None, false).unwrap_err().to_string();
        assert!(twice.contains("another download"), "{twice}");
        drop(part);
        assert!(left(&path).unwrap().contains("3 bytes"));
        assert_eq!(std::fs::read(part_of(&path)).unwrap(), b"new");
        let mut part = Part::go_on(&path, 2, Some(4)).unwrap();
        part.write(b"x").unwrap();
        assert!(part.finish().is_err(), "one byte is missing");
        part.write(b"y").unwrap();
        part.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"nexy");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_part_without_a_byte_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        assert!(Part::begin(&path, None, false).is_err());
        let part = Part::begin(&path, Some("tag"), true).unwrap();
        drop(part);
        assert_eq!(left(&path), None);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 0, "{left:?}");
        assert!(Part::begin(folder.path(), None, false).is_err());
    }
}
