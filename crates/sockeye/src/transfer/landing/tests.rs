//! A file that lands, is cut, clashes, and is lied about.

use super::*;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn folder() -> (TempDir, Root) {
    let folder = TempDir::new().unwrap();
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 509) as u8).collect()
}

fn of(size: usize) -> Declared {
    Declared {
        size: Some(size as u64),
        ..Declared::default()
    }
}

fn begin(root: &Root, name: &str, size: usize) -> Landing {
    Landing::begin(root, &path(name), of(size), Clash::Rename, "id").unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let (folder, root) = folder();
    for size in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let bytes = bytes(size);
        let name = format!("a/b/{size}.bin");
        let mut landing = begin(&root, &name, size);
        landing.write(&bytes).unwrap();
        assert!(!folder.path().join(&name).exists());
        let landed = landing.finish(Some(blake3::hash(&bytes))).unwrap();
        assert_eq!(landed.path, path(&name));
        assert_eq!(landed.size, size as u64);
        assert_eq!(std::fs::read(folder.path().join(&name)).unwrap(), bytes);
    }
    let left = std::fs::read_dir(folder.path().join("a/b"))
        .unwrap()
        .count();
    assert_eq!(left, 5, "no part and no state stays");
}

#[test]
fn what_was_proved_is_there_after_a_cut() {
    let (folder, root) = folder();
    let bytes = bytes(5 * CHUNK + 9);
    let mut landing = begin(&root, "x", bytes.len());
    landing.write(&bytes[..2 * CHUNK + 500]).unwrap();
    drop(landing);
    assert_eq!(names(&folder), ["x.part", "x.part.state"]);
    let mut landing = begin(&root, "x", bytes.len());
    assert_eq!((landing.offset(), landing.resumed()), (2 << 20, 2 << 20));
    landing.write(&bytes[2 * CHUNK..]).unwrap();
    landing.finish(Some(blake3::hash(&bytes))).unwrap();
    assert_eq!(names(&folder), ["x"]);
    assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), bytes);
}

#[test]
fn a_part_that_was_tampered_with_counts_up_to_there() {
    let (folder, root) = folder();
    let bytes = bytes(4 * CHUNK);
    let cut = || {
        let mut landing = begin(&root, "x", bytes.len());
        let at = landing.offset() as usize;
        landing.write(&bytes[at..3 * CHUNK + 1]).unwrap();
    };
    let part = folder.path().join("x.part");
    cut();
    let file = File::options().write(true).open(&part).unwrap();
    file.write_all_at(&[!bytes[CHUNK + 3]], CHUNK as u64 + 3)
        .unwrap();
    assert_eq!(begin(&root, "x", bytes.len()).offset(), 1 << 20);
    cut();
    file.set_len(2 * CHUNK as u64 - 1).unwrap();
    assert_eq!(begin(&root, "x", bytes.len()).offset(), 1 << 20);
    cut();
    // A state that is torn, or is none.
    let state = folder.path().join("x.part.state");
    let length = state.metadata().unwrap().len();
    let torn = File::options().write(true).open(&state).unwrap();
    torn.set_len(length - 1).unwrap();
    assert_eq!(begin(&root, "x", bytes.len()).offset(), 2 << 20);
    torn.write_all_at(b"nonsense", 0).unwrap();
    assert_eq!(begin(&root, "x", bytes.len()).offset(), 0);
    assert!(part.exists(), "what is not known is left alone");
}

/// Whoever is killed with a file of a chunk at most that is whole leaves it in its part.
#[test]
fn a_part_that_is_whole_gets_its_name_from_whoever_comes_next() {
    let (folder, root) = folder();
    let bytes = bytes(CHUNK);
    let name = String::from_utf8(part::Parts::of(b"x", "id").own).unwrap();
    let left = |content: &[u8], sent: &[u8]| {
        std::fs::write(folder.path().join(&name), content).unwrap();
        let (declared, hash) = (of(sent.len()), blake3::hash(sent));
        Settled::left(&root, &path("x"), declared, Clash::Rename, "id", hash)
    };
    let mut other = bytes.clone();
    other[77] ^= 1;
    for content in [
        &bytes[..CHUNK - 1],
        &other,
        b"",
        &[&bytes[..], b"x"].concat(),
    ] {
        assert!(left(content, &bytes).is_none());
        assert_eq!(names(&folder), [&name[..]], "it is left alone");
    }
    let settled = left(&bytes, &bytes).expect("all of it is there");
    assert!(left(&bytes, &bytes).is_none(), "another one has it");
    let landed = settled.commit_alone(root.top()).unwrap();
    assert_eq!((landed.path, landed.size), (path("x"), CHUNK as u64));
    assert_eq!(names(&folder), ["x"]);
    assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), bytes);
    std::fs::remove_file(folder.path().join("x")).unwrap();
    let absent = Settled::left(
        &root,
        &path("x"),
        of(1),
        Clash::Rename,
        "id",
        [0; 32].into(),
    );
    assert!(absent.is_none());
}

#[test]
fn another_content_does_not_go_on_with_a_part() {
    let (folder, root) = folder();
    let bytes = bytes(3 * CHUNK);
    let mut landing = begin(&root, "x", bytes.len());
    landing.write(&bytes[..2 * CHUNK]).unwrap();
    drop(landing);
    let other = Landing::begin(&root, &path("x"), of(bytes.len()), Clash::Rename, "other").unwrap();
    assert_eq!(other.offset(), 0);
    drop(other);
    assert_eq!(
        begin(&root, "x", bytes.len() + 1).offset(),
        0,
        "another size"
    );
    assert_eq!(begin(&root, "x", bytes.len()).offset(), 2 << 20);
    assert_eq!(names(&folder), ["x.part", "x.part.state"]);
}

#[test]
fn senders_of_one_name_do_not_mix() {
    let (folder, root) = folder();
    for size in [10, 2 * CHUNK] {
        let contents: Vec<_> = (0..3_u8).map(|n| vec![n; size]).collect();
        let mut landings: Vec<_> = ["one", "two", "two"]
            .map(|id| Landing::begin(&root, &path("x"), of(size), Clash::Rename, id).unwrap())
            .into();
        for at in 0..size / 10 {
            for (landing, content) in landings.iter_mut().zip(&contents) {
                landing.write(&content[at * 10..][..10]).unwrap();
            }
        }
        let rest = size / 10 * 10;
        for (mut landing, content) in landings.into_iter().zip(&contents) {
            landing.write(&content[rest..]).unwrap();
            let landed = landing.finish(Some(blake3::hash(content))).unwrap();
            let there = folder.path().join(landed.path.to_string());
            assert_eq!(&std::fs::read(&there).unwrap(), content);
        }
        assert_eq!(names(&folder), ["x", "x (1)", "x (2)"]);
        for name in names(&folder) {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
}

#[test]
fn a_name_that_is_taken_is_kept_replaced_or_refused() {
    let (folder, root) = folder();
    let there = folder.path().join("x.txt");
    std::fs::write(&there, "old").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let land = |name: &str, clash| {
        let mut landing = Landing::begin(&root, &path(name), of(3), clash, "id")?;
        landing.write(b"new")?;
        landing.finish(None).map(|landed| landed.path.to_string())
    };
    assert!(matches!(
        land("x.txt", Clash::Refuse),
        Err(Fault::Exists { .. })
    ));
    assert_eq!(land("x.txt", Clash::Rename).unwrap(), "x (1).txt");
    assert_eq!(std::fs::read(&there).unwrap(), b"old");
    assert_eq!(land("x.txt", Clash::Overwrite).unwrap(), "x.txt");
    assert_eq!(std::fs::read(&there).unwrap(), b"new");
    assert_eq!(land("sub", Clash::Rename).unwrap(), "sub (1)");
    assert!(
        land("sub", Clash::Overwrite).is_err(),
        "a folder is not replaced"
    );
    assert!(
        land("x.txt/y", Clash::Rename).is_err(),
        "a file is no folder"
    );
    assert_eq!(names(&folder), ["sub", "sub (1)", "x (1).txt", "x.txt"]);
}

#[test]
fn lies_are_found_out() {
    let (folder, root) = folder();
    let mut landing = begin(&root, "x", 10);
    landing.write(b"123456789").unwrap();
    assert!(matches!(
        landing.write(b"ab"),
        Err(Fault::Size {
            declared: 10,
            came: 11,
            ..
        })
    ));
    assert!(matches!(
        landing.settle(None),
        Err(Fault::Size {
            declared: 10,
            came: 9,
            ..
        })
    ));
    let mut landing = begin(&root, "x", 3);
    landing.write(b"abc").unwrap();
    let fault = landing.finish(Some(blake3::hash(b"abd"))).unwrap_err();
    assert!(matches!(fault, Fault::Damaged { .. }));
    let much = Declared {
        size: Some(u64::MAX),
        ..Declared::default()
    };
    let fault = Landing::begin(&root, &path("x"), much, Clash::Rename, "id").unwrap_err();
    assert!(matches!(fault, Fault::NoRoom { .. }), "{fault}");
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn parts_of_others_are_left_alone() {
    let (folder, root) = folder();
    std::fs::write(folder.path().join("secret"), "outside").unwrap();
    std::fs::write(folder.path().join("x.part"), "somebody's own").unwrap();
    symlink("secret", folder.path().join("y.part")).unwrap();
    std::fs::create_dir(folder.path().join("z.part")).unwrap();
    let bytes = bytes(CHUNK + 1);
    for name in ["x", "y", "z"] {
        let mut landing = begin(&root, name, bytes.len());
        landing.write(&bytes).unwrap();
        landing.finish(None).unwrap();
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes);
    }
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("x.part"), "somebody's own");
    assert_eq!(read("secret"), "outside");
}

#[test]
fn times_and_modes_are_those_of_the_source() {
    let (folder, root) = folder();
    let modified = UNIX_EPOCH + Duration::new(1_234_567, 890_000_000);
    for (mode, expected) in [
        (0o755, 0o755),
        (0o444, 0o444),
        (0o4777, 0o755),
        (0o600, 0o600),
    ] {
        let declared = Declared {
            size: Some(1),
            modified: Some(modified),
            mode: Some(mode),
            is_sparse: false,
        };
        let mut landing =
            Landing::begin(&root, &path("x"), declared, Clash::Overwrite, "id").unwrap();
        landing.write(b"x").unwrap();
        landing.finish(None).unwrap();
        let facts = folder.path().join("x").metadata().unwrap();
        let mode = facts.permissions().mode() & 0o7777;
        // Whatever the umask takes away.
        assert_eq!(mode & !0o077, expected & !0o077, "{mode:o}");
        assert_eq!(mode & !expected, 0, "{mode:o}");
        assert_eq!(facts.modified().unwrap(), modified);
    }
}

#[test]
fn holes_stay_holes_and_are_proved() {
    let (folder, root) = folder();
    let size = 40 * CHUNK + 6;
    let declared = Declared {
        is_sparse: true,
        ..of(size)
    };
    let mut landing = Landing::begin(&root, &path("x"), declared, Clash::Rename, "id").unwrap();
    landing.write(b"abc").unwrap();
    landing.skip(size as u64 - 6).unwrap();
    landing.write(b"xyz").unwrap();
    let mut expected = vec![0; size];
    expected[..3].copy_from_slice(b"abc");
    expected[size - 3..].copy_from_slice(b"xyz");
    landing.finish(Some(blake3::hash(&expected))).unwrap();
    let there = folder.path().join("x");
    assert_eq!(std::fs::read(&there).unwrap(), expected);
    assert!(there.metadata().unwrap().blocks() < 1024);
}

#[test]
fn many_land_at_once() {
    let (folder, root) = folder();
    let settle = |n: usize| {
        let mut landing = begin(&root, &format!("{}/{n}", n % 10), 4);
        landing.write(&(n as u32).to_le_bytes()).unwrap();
        landing.settle(None).unwrap()
    };
    let landed = commit(&root, (0..100).map(settle).collect());
    assert_eq!(landed.len(), 100);
    for (n, landed) in landed.into_iter().enumerate() {
        let landed = landed.unwrap();
        let there = folder.path().join(landed.path.to_string());
        assert_eq!(std::fs::read(there).unwrap(), (n as u32).to_le_bytes());
    }
}

#[test]
fn what_is_there_already_is_known() {
    let (folder, root) = folder();
    let modified = UNIX_EPOCH + Duration::from_secs(77);
    let bytes = bytes(2 * CHUNK + 5);
    let declared = Declared {
        modified: Some(modified),
        ..of(bytes.len())
    };
    assert!(kept(&root, &path("x"), &declared).unwrap().is_none());
    let mut landing =
        Landing::begin(&root, &path("x"), declared.clone(), Clash::Rename, "id").unwrap();
    landing.write(&bytes).unwrap();
    landing.finish(None).unwrap();
    let digest = kept(&root, &path("x"), &declared).unwrap().unwrap();
    assert_eq!(digest.hash(), blake3::hash(&bytes));
    let later = Declared {
        modified: Some(modified + Duration::from_secs(1)),
        ..declared
    };
    assert!(kept(&root, &path("x"), &later).unwrap().is_none());
    assert!(folder.path().join("x").exists());
}

#[test]
fn a_part_that_nobody_wants_goes() {
    let (folder, root) = folder();
    let mut landing = begin(&root, "x", 3 * CHUNK);
    landing.write(&bytes(2 * CHUNK)).unwrap();
    landing.remove().unwrap();
    let mut landing = begin(&root, "x", 3 * CHUNK);
    assert_eq!(landing.offset(), 0);
    landing.write(b"abc").unwrap();
    drop(landing);
    assert_eq!(names(&folder), [""; 0], "less than a chunk is nothing");
}
