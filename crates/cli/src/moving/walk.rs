//! Which files are meant: those that are named, and what is in folders.

use std::ffi::OsStr;
use std::fs::{DirEntry, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use globset::{Glob, GlobSet, GlobSetBuilder};
use sockeye::transfer::{Item, RelativePath};
use wire::text::printable;

use crate::failure::Usage;

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

    fn wants(&self, within: &[PathBuf], name: &OsStr, is_folder: bool) -> bool {
        if self.include.is_none() && self.exclude.is_empty() {
            return true;
        }
        let path = within.iter().collect::<PathBuf>().join(name);
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
            inside(file, &path, &mut Vec::new(), filter, tell, &mut items)?;
        }
    }
    Ok(items)
}

/// `within` is where we are in the folder that was named, for patterns.
fn inside(
    folder: &Path,
    path: &RelativePath,
    within: &mut Vec<PathBuf>,
    filter: &Filter,
    tell: &mut dyn FnMut(&str),
    items: &mut Vec<Item>,
) -> Result<()> {
    let shown = |path: &Path| printable(&path.to_string_lossy()).into_owned();
    let wrong = || format!("cannot read {}", shown(folder));
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(wrong)?;
    entries.sort_by_cached_key(DirEntry::file_name);
    for entry in entries {
        let (from, kind) = (entry.path(), entry.file_type().with_context(wrong)?);
        let name = entry.file_name();
        if !filter.wants(within, &name, kind.is_dir()) {
            continue;
        }
        if !kind.is_dir() && !kind.is_file() {
            tell(&format!(
                "{} is left out: it is no file and no folder",
                shown(&from)
            ));
            continue;
        }
        let told = [path.as_bytes(), b"/", name.as_bytes()].concat();
        let told = match RelativePath::new(told) {
            Ok(told) => told,
            Err(why) => {
                tell(&format!("{} is left out: {why}", shown(&from)));
                continue;
            }
        };
        let facts = entry.metadata();
        let facts = facts.with_context(|| format!("cannot send {}", shown(&from)))?;
        if kind.is_dir() {
            items.push(Item::found(from.clone(), told.clone(), &facts));
            within.push(name.into());
            inside(&from, &told, within, filter, tell, items)?;
            within.pop();
        } else {
            items.push(Item::found(from, told, &facts));
        }
    }
    Ok(())
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
