//! Names that a folder has already, and that other systems would take for one that comes.

use std::collections::HashMap;

use rustix::fs::Dir;
use wire::transfer::RelativePath;

use super::Root;

/// A folder with more names than this is not looked through: it would cost more than it tells.
const MOST: usize = 10_000;

/// Names of all folders that are remembered.
const REMEMBERED: usize = 100_000;

/// The names of a folder, by what is alike.
type Names = HashMap<Box<[u8]>, Vec<Box<[u8]>>>;

/// What folders had in them when they were looked at: each once, before anything of a transfer landed there.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    folders: HashMap<Box<[u8]>, Names>,
    remembered: usize,
}

/// What stands beside `path` under a name that is the same one to systems that mind no case or composition of letters.
/// Of a folder with more than `most` names nothing is known.
pub fn alike(root: &Root, path: &RelativePath, most: usize) -> Option<RelativePath> {
    told(&names(root, path, most), path)
}

/// How people are told of that.
pub fn mistakable(path: &RelativePath, beside: &RelativePath) -> String {
    format!(
        "{beside} is there beside {path}: they are one name to systems that mind no case or composition of letters"
    )
}

impl Neighbours {
    /// As [`alike`], for many files.
    pub(super) fn alike(&mut self, root: &Root, path: &RelativePath) -> Option<RelativePath> {
        let above = above(path);
        if !self.folders.contains_key(above) {
            if self.remembered > REMEMBERED {
                *self = Self::default();
            }
            let names = names(root, path, MOST);
            self.remembered += names.len() + 1;
            self.folders.insert(above.into(), names);
        }
        told(self.folders.get(above)?, path)
    }
}

/// The folder that a path lies in, as bytes.
fn above(path: &RelativePath) -> &[u8] {
    let bytes = path.as_bytes();
    &bytes[..bytes.len() - path.name().len()]
}

fn told(names: &Names, path: &RelativePath) -> Option<RelativePath> {
    if names.is_empty() {
        return None;
    }
    let name = RelativePath::new(path.name()).ok()?;
    let mut alike = names.get(&name.folded())?.iter();
    let beside = alike.find(|beside| ***beside != *path.name())?;
    path.with_name(beside).ok()
}

/// What cannot be looked at tells nothing: whoever writes there hears why.
fn names(root: &Root, path: &RelativePath, most: usize) -> Names {
    let mut names = Names::new();
    let opened = root.folder(path.folder().as_ref());
    let Ok(entries) = opened.and_then(Dir::read_from) else {
        return names;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_bytes();
        if names.len() >= most {
            return Names::new();
        }
        if let Ok(path) = RelativePath::new(name) {
            names.entry(path.folded()).or_default().push(name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::new(text).unwrap()
    }

    #[test]
    fn a_folder_is_looked_at_once_and_before_anything_lands() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        write("README");
        write("a/Caf\u{e9}");
        let mut neighbours = Neighbours::default();
        let mut beside = |name: &str| {
            let found = neighbours.alike(&root, &path(name));
            found.map(|found| found.to_string())
        };
        assert_eq!(beside("readme").as_deref(), Some("README"));
        assert_eq!(beside("README"), None, "it is the same one");
        assert_eq!(beside("a/cafe\u{301}").as_deref(), Some("a/Caf\u{e9}"));
        assert_eq!(beside("A").as_deref(), Some("a"), "folders too");
        assert_eq!(beside("nowhere/README"), None);
        write("new");
        assert_eq!(beside("New"), None, "it came with the transfer");
        let now = alike(&root, &path("New"), 3);
        assert_eq!(now, Some(path("new")));
        assert_eq!(alike(&root, &path("New"), 2), None, "too many to look at");
    }
}
