//! What a request asks for: the path of its URI as a name beneath the root, and back.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but the letters that mean themselves everywhere in a URI (RFC 3986, section 2.3): a backslash is a
/// slash to browsers, and a colon could end a scheme.
const RESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A name beneath the root, made of plain segments: none is empty, `.` or `..`, none holds a slash or NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Target {
    /// `docs/a.txt`; empty for the root itself.
    pub(in crate::service) name: Vec<u8>,
    /// It was written with a slash at its end.
    pub(in crate::service) is_folder: bool,
    /// One of its segments begins with a dot.
    pub(in crate::service) is_hidden: bool,
}

impl Target {
    /// Reads the path of a URI; every escape is decoded once. `None`: no file can have that name.
    pub(in crate::service) fn read(path: &str) -> Option<Self> {
        let mut target = Self {
            name: Vec::with_capacity(path.len()),
            is_folder: path.ends_with('/'),
            is_hidden: false,
        };
        for segment in path.strip_prefix('/')?.split('/') {
            let segment = Cow::from(percent_decode_str(segment));
            match &*segment {
                b"" => continue,
                b"." | b".." => return None,
                letters if letters.contains(&0) || letters.contains(&b'/') => return None,
                _ => target.is_hidden |= segment.starts_with(b"."),
            }
            if !target.name.is_empty() {
                target.name.push(b'/');
            }
            target.name.extend_from_slice(&segment);
        }
        Some(target)
    }

    /// The name of `file` in this folder.
    pub(in crate::service) fn join(&self, file: &[u8]) -> Vec<u8> {
        let mut name = self.name.clone();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(file);
        name
    }

    /// The path of its URI, as a folder. It begins with one slash: two would be the name of a host.
    pub(in crate::service) fn folder_path(&self) -> String {
        let mut path = String::from("/");
        for segment in self.name.split(|letter| *letter == b'/') {
            if !segment.is_empty() {
                path.extend(percent_encode(segment, &RESERVED));
                path.push('/');
            }
        }
        path
    }
}

/// One name as a segment of a URI.
pub(in crate::service) fn segment(name: &[u8]) -> impl Iterator<Item = &str> {
    percent_encode(name, &RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(path: &str) -> Option<(Vec<u8>, bool, bool)> {
        Target::read(path).map(|target| (target.name, target.is_folder, target.is_hidden))
    }

    fn named(name: impl AsRef<[u8]>) -> Option<(Vec<u8>, bool, bool)> {
        Some((name.as_ref().to_vec(), false, false))
    }

    #[test]
    fn a_path_is_a_name_beneath_the_root() {
        assert_eq!(read("/"), Some((b"".to_vec(), true, false)));
        assert_eq!(read("/a/b.txt"), named("a/b.txt"));
        assert_eq!(read("/a/"), Some((b"a".to_vec(), true, false)));
        assert_eq!(read("//a///b"), named("a/b"));
        assert_eq!(read("/%61%20%25"), named("a %"));
        assert_eq!(read("/%ff%FE"), named([0xff, 0xfe]));
        assert_eq!(read("/%e4%b8%ad"), named("中"));
        assert_eq!(read("/100%"), named("100%"));
        assert_eq!(read("/a%zz%2"), named("a%zz%2"));
        assert_eq!(
            read("/.git/config"),
            Some((b".git/config".to_vec(), false, true))
        );
        assert_eq!(read("/a/%2egit"), Some((b"a/.git".to_vec(), false, true)));
    }

    #[test]
    fn no_name_leads_out() {
        for path in [
            "",
            "*",
            "a",
            "../x",
            "/..",
            "/.",
            "/./x",
            "/../x",
            "/a/../x",
            "/a/..",
            "/%2e%2e/x",
            "/%2e%2e%2fx",
            "/%2E./x",
            "/..%2fx",
            "/..%2f..%2fetc%2fpasswd",
            "/a%2fb",
            "/%2fetc/passwd",
            "/x%00.txt",
            "/.%00./x",
            "/%00",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn what_leads_out_elsewhere_is_a_plain_name_here() {
        for (path, name) in [
            (r"/..\x", r"..\x"),
            ("/..%5c..%5cx", r"..\..\x"),
            ("/....//x", "..../x"),
            ("/%252e%252e/x", "%2e%2e/x"),
            (r"/C:\x", r"C:\x"),
            (r"/\\?\C:\x", r"\\?\C:\x"),
            ("//host/share", "host/share"),
            ("//etc/passwd", "etc/passwd"),
            ("/~root/x", "~root/x"),
            ("/-rf", "-rf"),
            ("/--help", "--help"),
            ("/CON", "CON"),
            ("/NUL.txt", "NUL.txt"),
            ("/x.", "x."),
            ("/x%20", "x "),
            ("/x:ads", "x:ads"),
            ("/$(x)", "$(x)"),
            ("/;", ";"),
            ("/%2a", "*"),
            ("/%0a%09%1b%22%27", "\n\t\u{1b}\"'"),
            ("/%e2%80%aegpj.exe", "\u{202e}gpj.exe"),
        ] {
            assert_eq!(Target::read(path).unwrap().name, name.as_bytes(), "{path}");
        }
        let overlong = Target::read("/..%c0%af/x").unwrap();
        assert_eq!(overlong.name, b"..\xc0\xaf/x", "two bytes are no slash");
    }

    #[test]
    fn a_folder_is_named_from_the_root_whatever_it_is_called() {
        for (path, location) in [
            ("/", "/"),
            ("/a", "/a/"),
            ("//evil.example", "/evil.example/"),
            ("/%5cevil.example", "/%5Cevil.example/"),
            ("/a%0d%0ab", "/a%0D%0Ab/"),
            ("/javascript:x", "/javascript%3Ax/"),
            ("/%ff", "/%FF/"),
            ("/a%20b/c%3fd", "/a%20b/c%3Fd/"),
        ] {
            assert_eq!(Target::read(path).unwrap().folder_path(), location);
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_its_way_through_a_uri(name in proptest::collection::vec(1_u8.., 1..40)) {
            let plain = !name.contains(&b'/') && name != b"." && name != b"..";
            let path = format!("/{}", segment(&name).collect::<String>());
            let read = Target::read(&path).map(|target| target.name);
            prop_assert_eq!(read, plain.then_some(name));
        }

        #[test]
        fn whatever_comes_stays_beneath(path in "[/.%2eE5cf0\\\\a]{0,24}") {
            if let Some(target) = Target::read(&path) {
                prop_assert!(!target.name.starts_with(b"/"));
                prop_assert!(target.name.is_empty() || target
                    .name
                    .split(|letter| *letter == b'/')
                    .all(|segment| !matches!(segment, b"" | b"." | b"..") && !segment.contains(&0)));
            }
        }
    }
}
