//! Names of files that a stranger chose, and which of them are none.

use std::fmt;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

use crate::text::printable;

/// The most bytes that Linux takes for one name.
pub const MAX_NAME: usize = 255;

/// The most bytes of a path, which the kernel takes in one call (`PATH_MAX` without its NUL).
pub const MAX_PATH: usize = 4095;

/// The path of a file beneath some folder: names with slashes between them, which lead nowhere else.
///
/// Bytes, as Unix has them, and not text: a name in GBK comes through as it is. [`Display`](fmt::Display) shows it so
/// that a terminal does nothing with it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelativePath(Box<[u8]>);

/// Why bytes are no path that is taken from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathFault {
    /// There is nothing.
    #[error("a name is empty")]
    Empty,
    /// It begins with a slash.
    #[error("the path begins at the root of the file system")]
    Absolute,
    /// A name is `.` or `..`.
    #[error("a name is . or .., which leads elsewhere")]
    Dots,
    /// It has control characters, NUL among them.
    #[error("a name has control characters")]
    Control,
    /// It has characters that change the direction of the text after them, or cannot be seen.
    #[error("a name has characters that change how others are shown")]
    Invisible,
    /// A name is longer than [`MAX_NAME`].
    #[error("a name has more than 255 bytes")]
    LongName,
    /// It is longer than [`MAX_PATH`].
    #[error("the path has more than 4095 bytes")]
    LongPath,
}

impl RelativePath {
    /// # Errors
    /// When a file of this name could lie elsewhere, or a terminal could not show the name as it is.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathFault> {
        let bytes = bytes.into();
        if bytes.len() > MAX_PATH {
            return Err(PathFault::LongPath);
        }
        if bytes.first() == Some(&b'/') {
            return Err(PathFault::Absolute);
        }
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" => return Err(PathFault::Empty),
                b"." | b".." => return Err(PathFault::Dots),
                name if name.len() > MAX_NAME => return Err(PathFault::LongName),
                name => can_be_shown(name)?,
            }
        }
        Ok(Self(bytes.into()))
    }

    /// The path as the file system takes it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names on the way, the last one included.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last name.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|byte| *byte == b'/');
        &self.0[start.map_or(0, |slash| slash + 1)..]
    }

    /// The folder that it lies in; `None` where that is the one that all paths begin in.
    pub fn folder(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// A file of another name in the same folder.
    ///
    /// # Errors
    /// When that is no name.
    pub fn with_name(&self, name: &[u8]) -> Result<Self, PathFault> {
        let before = self.0.len() - self.name().len();
        Self::new([&self.0[..before], name].concat())
    }

    /// Alike for paths that are one on systems that mind neither case nor how letters are composed (Unicode Standard
    /// Annex 15). What is no UTF-8 is only like itself.
    pub fn folded(&self) -> Box<[u8]> {
        if self.0.is_ascii() {
            return self.0.to_ascii_lowercase().into();
        }
        let Ok(text) = std::str::from_utf8(&self.0) else {
            return self.0.clone();
        };
        let lower: String = text.nfd().flat_map(char::to_lowercase).nfc().collect();
        lower.into_bytes().into()
    }

    /// Whether a quick look tells that it is what it is [`folded`](Self::folded) to.
    pub fn is_folded(&self) -> bool {
        self.0
            .iter()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    }

    /// What other systems would not take its last name for, as a reason without a full stop; it is a good name here.
    pub fn trouble_elsewhere(&self) -> Option<&'static str> {
        trouble_elsewhere(self.name())
    }
}

fn can_be_shown(name: &[u8]) -> Result<(), PathFault> {
    // Most names are.
    if name.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    for part in name.utf8_chunks() {
        for letter in part.valid().chars() {
            if letter.is_control() {
                return Err(PathFault::Control);
            }
            if changes_others(letter) {
                return Err(PathFault::Invisible);
            }
        }
    }
    Ok(())
}

/// Marks, embeddings, overrides and isolates of direction (Unicode Standard Annex 9), separators of lines, and the
/// mark of byte order. Joiners stay: Persian and emoji are written with them.
fn changes_others(letter: char) -> bool {
    matches!(
        letter,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Windows has names of devices in every folder, and letters that it keeps for itself ("Naming Files, Paths, and
/// Namespaces").
fn trouble_elsewhere(name: &[u8]) -> Option<&'static str> {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or(name);
    let is_device = match stem.trim_ascii_end() {
        [stem @ .., b'1'..=b'9'] => [b"COM", b"LPT"]
            .iter()
            .any(|own| stem.eq_ignore_ascii_case(*own)),
        stem => [b"CON", b"PRN", b"AUX", b"NUL"]
            .iter()
            .any(|own| stem.eq_ignore_ascii_case(*own)),
    };
    if is_device {
        return Some("it is the name of a device on Windows");
    }
    if matches!(name.last(), Some(b'.' | b' ')) {
        return Some("Windows drops the dot or space at its end");
    }
    if name.iter().any(|byte| br#"<>:"\|?*"#.contains(byte)) {
        return Some("it has letters that no name has on Windows");
    }
    None
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&String::from_utf8_lossy(&self.0)))
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_other_systems_take_for_one_fold_alike() {
        let folded = |name: &[u8]| RelativePath::new(name).unwrap().folded();
        let composed = "a/\u{c9}t\u{e9}".as_bytes();
        assert_eq!(folded(composed), folded("A/E\u{301}te\u{301}".as_bytes()));
        assert_eq!(folded("\u{39f}".as_bytes()), folded("\u{3bf}".as_bytes()));
        assert_ne!(folded(b"ete"), folded("\u{e9}t\u{e9}".as_bytes()));
        assert_eq!(&*folded(b"A\xff"), b"A\xff");
        for (name, expected) in [("a/b-1", true), ("a/B", false), ("\u{e9}", false)] {
            assert_eq!(RelativePath::new(name).unwrap().is_folded(), expected);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        let long = "x".repeat(256);
        let deep = "a/".repeat(2048) + "a";
        for (name, fault) in [
            ("", PathFault::Empty),
            ("a//b", PathFault::Empty),
            ("a/", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("//host/share", PathFault::Absolute),
            (".", PathFault::Dots),
            ("..", PathFault::Dots),
            ("../x", PathFault::Dots),
            ("a/../../x", PathFault::Dots),
            ("a/..", PathFault::Dots),
            ("./x", PathFault::Dots),
            ("x\0.txt", PathFault::Control),
            ("a\nb", PathFault::Control),
            ("a\tb", PathFault::Control),
            ("\u{1b}[2J", PathFault::Control),
            ("a\u{7f}", PathFault::Control),
            ("a\u{85}b", PathFault::Control),
            ("evil\u{202e}gpj.exe", PathFault::Invisible),
            ("a\u{2066}b", PathFault::Invisible),
            (&long, PathFault::LongName),
            (&deep, PathFault::LongPath),
        ] {
            assert_eq!(RelativePath::new(name), Err(fault), "{name:?}");
        }
    }

    #[test]
    fn names_that_only_look_strange_are_taken_as_they_are() {
        let longest = "x".repeat(255);
        for name in [
            "a",
            "a/b/c",
            "..x",
            "...",
            "....//x".trim_end_matches("//x"),
            "~",
            "~root/x",
            "-rf",
            "--help",
            "%2e%2e%2f",
            r"..\x",
            r"C:\x",
            "$(x)",
            "a;b",
            "*",
            "\"quoted\"",
            "文.txt",
            "ﬁ",
            "a\u{200d}b",
            ".bashrc",
            " ",
            &longest,
        ] {
            let path = RelativePath::new(name).unwrap_or_else(|fault| panic!("{name:?}: {fault}"));
            assert_eq!(path.as_bytes(), name.as_bytes());
        }
        let gbk = b"\xd6\xd0/\xff\xfe";
        let path = RelativePath::new(*gbk).unwrap();
        assert_eq!(path.as_bytes(), gbk);
        assert_eq!(
            path.names().collect::<Vec<_>>(),
            [&b"\xd6\xd0"[..], b"\xff\xfe"]
        );
        assert!(!path.to_string().is_empty());
    }

    #[test]
    fn a_path_is_a_folder_and_a_name() {
        let path = RelativePath::new("a/b/c.txt").unwrap();
        assert_eq!(path.name(), b"c.txt");
        assert_eq!(path.folder().unwrap().as_bytes(), b"a/b");
        assert_eq!(path.with_name(b"d").unwrap().as_bytes(), b"a/b/d");
        let alone = RelativePath::new("c").unwrap();
        assert_eq!(alone.name(), b"c");
        assert_eq!(alone.folder(), None);
        assert_eq!(alone.with_name(b"d").unwrap().as_bytes(), b"d");
        assert!(alone.with_name(b"..").is_err());
    }

    #[test]
    fn trouble_on_other_systems_is_known() {
        for (name, troubled) in [
            ("CON", true),
            ("con.txt", true),
            ("a/NUL.tar.gz", true),
            ("com1", true),
            ("LPT9.x", true),
            ("AUX ", true),
            ("x.", true),
            ("x ", true),
            ("x:ads", true),
            (r"a\b", true),
            ("com0", false),
            ("com10", false),
            ("console", false),
            ("icon", false),
            ("x.y", false),
        ] {
            let path = RelativePath::new(name).unwrap();
            assert_eq!(path.trouble_elsewhere().is_some(), troubled, "{name}");
        }
    }
}
