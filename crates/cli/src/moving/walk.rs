//! Which files are meant: those that are named, and what is in folders.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{DirEntry, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result};
use globset::{Glob, GlobSet, GlobSetBuilder};
use sockeye::transfer::{Item, RelativePath};
use wire::text::printable;

use crate::failure::Usage;

/// More threads look at no more files.
const MOST_THREADS: usize = 8;

/// Which files of folders are meant.
#[derive(Debug)]
pub(crate) struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Filter {
    /// # Errors
    /// When a pattern cannot be read.
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        Ok(Self {
            include: match include {
                [] => None,
                include => Some(globs(include)?),
            },
            exclude: globs(exclude)?,
        })
    }

    fn wants(&self, within: &Path, name: &OsStr, is_folder: bool) -> bool {
        if self.include.is_none() && self.exclude.is_empty() {
            return true;
        }
        let path = within.join(name);
        let is_in = |globs: &GlobSet| globs.is_match(&path) || globs.is_match(name);
        !is_in(&self.exclude) && (is_folder || self.include.as_ref().is_none_or(is_in))
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| Usage(error.to_string()))?);
    }
    Ok(set.build()?)
}

/// Everything that `files` name. `tell` hears what is left out.
///
/// # Errors
/// When one is not there, or has a name that no other end would take.
pub(crate) fn walk(
    files: &[PathBuf],
    filter: &Filter,
    stdin: &str,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Item>> {
    let threads = thread::available_parallelism().map_or(1, |all| all.get().min(MOST_THREADS));
    let mut items = Vec::new();
    for file in files {
        if file.as_os_str() == "-" {
            let name = RelativePath::new(stdin).map_err(|why| Usage(format!("--name: {why}")))?;
            let input = std::io::stdin().as_fd().try_clone_to_owned();
            items.push(Item::stream(
                File::from(input.context("cannot read standard input")?),
                name,
            ));
            continue;
        }
        let wrong = || format!("cannot send {}", printable(&file.to_string_lossy()));
        let named = match file.file_name() {
            Some(name) => name.to_owned(),
            // `.` and `..` are called something, too; the root is not.
            None => {
                let whole = file.canonicalize().with_context(wrong)?;
                whole
                    .file_name()
                    .unwrap_or_else(|| OsStr::new("root"))
                    .to_owned()
            }
        };
        let path = RelativePath::new(named.as_bytes()).with_context(wrong)?;
        let item = Item::new(file.clone(), path.clone()).with_context(wrong)?;
        let is_folder = file.is_dir();
        items.push(item);
        if is_folder {
            let inner = Inner {
                folder: file.clone(),
                path,
                within: PathBuf::new(),
            };
            let mut found = inner.all(filter, threads)?;
            items.append(&mut found.items);
            found.left_out.iter().for_each(|what| tell(what));
        }
    }
    Ok(items)
}

/// A folder of what was named.
struct Inner {
    folder: PathBuf,
    /// What it is called at the other end.
    path: RelativePath,
    /// Where it is in the folder that was named, for patterns.
    within: PathBuf,
}

/// What is in a folder itself, and where to go on.
type Entries = Vec<(Item, Option<Inner>)>;

/// Things in their order, each folder before what is in it.
struct Found {
    items: Vec<Item>,
    left_out: Vec<String>,
}

impl Inner {
    /// Everything in it, looked at by so many threads: a file system that is far away answers many at once.
    fn all(&self, filter: &Filter, threads: usize) -> Result<Found> {
        let (entries, mut left_out) = self.entries(filter)?;
        let folders: Vec<_> = entries
            .iter()
            .filter_map(|(_, inner)| inner.as_ref())
            .collect();
        let alone = if folders.len() > 1 { 1 } else { threads };
        let mut contents = on_each(&folders, threads, |inner| inner.all(filter, alone)).into_iter();
        let mut items = Vec::with_capacity(entries.len());
        for (item, inner) in entries {
            items.push(item);
            if inner.is_some()
                && let Some(content) = contents.next()
            {
                let mut content = content?;
                items.append(&mut content.items);
                left_out.append(&mut content.left_out);
            }
        }
        Ok(Found { items, left_out })
    }

    /// What is in it itself, and what is left out.
    fn entries(&self, filter: &Filter) -> Result<(Entries, Vec<String>)> {
        let shown = |path: &Path| printable(&path.to_string_lossy()).into_owned();
        let wrong = || format!("cannot read {}", shown(&self.folder));
        let mut entries = std::fs::read_dir(&self.folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(wrong)?;
        entries.sort_by_cached_key(DirEntry::file_name);
        let (mut found, mut left_out) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            let (from, kind) = (entry.path(), entry.file_type().with_context(wrong)?);
            let name = entry.file_name();
            if !filter.wants(&self.within, &name, kind.is_dir()) {
                continue;
            }
            let mut leave_out = |why: &dyn Display| {
                left_out.push(format!("{} is left out: {why}", shown(&from)));
            };
            if !kind.is_dir() && !kind.is_file() {
                leave_out(&"it is no file and no folder");
                continue;
            }
            let path = [self.path.as_bytes(), b"/", name.as_bytes()].concat();
            let path = match RelativePath::new(path) {
                Ok(path) => path,
                Err(why) => {
                    leave_out(&why);
                    continue;
                }
            };
            let facts = entry.metadata();
            let facts = facts.with_context(|| format!("cannot send {}", shown(&from)))?;
            let inner = kind.is_dir().then(|| Self {
                folder: from.clone(),
                path: path.clone(),
                within: self.within.join(&name),
            });
            found.push((Item::found(from, path, &facts), inner));
        }
        Ok((found, left_out))
    }
}

/// What `work` makes of each, in their order, on so many threads.
fn on_each<T: Sync, R: Send + Sync>(
    things: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if threads.min(things.len()) < 2 {
        return things.iter().map(work).collect();
    }
    let done: Vec<_> = things.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let both: Vec<_> = things.iter().zip(&done).collect();
    let worker = || {
        while let Some((thing, place)) = both.get(next.fetch_add(1, Relaxed)) {
            // Nobody else has this place.
            let _ = place.set(work(thing));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path, include: &[&str], exclude: &[&str]) -> Vec<String> {
        let owned = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let filter = Filter::new(&owned(include), &owned(exclude)).unwrap();
        let items = walk(&[folder.join("t")], &filter, "stdin", &mut |_| {}).unwrap();
        items.iter().map(|item| item.path.to_string()).collect()
    }

    #[test]
    fn many_folders_are_told_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = vec!["t".to_owned()];
        for number in 10..60 {
            let inner = format!("t/{number}");
            std::fs::create_dir_all(folder.path().join(&inner).join("in")).unwrap();
            std::fs::write(folder.path().join(&inner).join("file"), "").unwrap();
            expected.extend(["", "/file", "/in"].map(|what| format!("{inner}{what}")));
        }
        assert_eq!(found(folder.path(), &[], &[]), expected);
        assert_eq!(on_each(&[1, 2, 3], 8, |n| n * 2), [2, 4, 6]);
    }

    #[test]
    fn patterns_choose_among_what_is_in_folders() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("t");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        for name in ["x.txt", "a/y.jpg", "a/b/z.txt", ".dot"] {
            std::fs::write(tree.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
        let all = [
            "t",
            "t/.dot",
            "t/a",
            "t/a/b",
            "t/a/b/z.txt",
            "t/a/y.jpg",
            "t/x.txt",
        ];
        assert_eq!(found(folder.path(), &[], &[]), all);
        assert_eq!(
            found(folder.path(), &["*.txt"], &["b"]),
            ["t", "t/a", "t/x.txt"]
        );
        assert_eq!(
            found(folder.path(), &["a/**"], &[]),
            ["t", "t/a", "t/a/b", "t/a/b/z.txt", "t/a/y.jpg"]
        );
        assert!(Filter::new(&["[".to_owned()], &[]).is_err());
        let nowhere = walk(
            &[tree.join("nowhere")],
            &Filter::new(&[], &[]).unwrap(),
            "-",
            &mut |_| {},
        );
        assert!(nowhere.is_err());
    }
}
