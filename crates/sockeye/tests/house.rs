//! The house rules that can be counted: first lines, lengths and names of the workspace's source files.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code that a file may have: neither blank nor comment, and before its tests.
const CODE: usize = 400;
/// Lines that a file may have in all.
const ALL: usize = 800;
/// Names that say nothing about what lives there.
const EMPTY_WORDS: &[&str] = &[
    "util", "utils", "misc", "helper", "helpers", "manager", "managers", "common",
];

#[test]
fn every_source_file_keeps_the_house_rules() {
    let root = root();
    let mut files = Vec::new();
    for member in members(root) {
        for part in ["src", "tests", "benches", "examples"] {
            rust_files(&member.join(part), &mut files);
        }
    }
    assert!(files.len() > 50, "found only {} files", files.len());
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let shown = file.strip_prefix(root).unwrap();
            faults(shown, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The crate that has a place for unsafe code, and the place.
const UNSAFE: (&str, &str) = ("crates/trace", "crates/trace/src/capture/ring.rs");

#[test]
fn unsafe_code_is_forbidden_but_for_one_place() {
    let root = root();
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let rules = lints(&workspace, "workspace.lints.");
    assert!(rules.iter().any(|rule| rule == "unsafe_code = \"forbid\""));
    for member in members(root) {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        if !member.ends_with(UNSAFE.0) {
            let all = "[lints]\nworkspace = true";
            assert!(manifest.contains(all), "{}", member.display());
            continue;
        }
        let but = |rule: &String| rule.replace("\"forbid\"", "\"deny\"");
        let expected: Vec<_> = rules.iter().map(but).collect();
        assert_eq!(lints(&manifest, "lints."), expected);
    }
    let mut files = Vec::new();
    rust_files(&root.join(UNSAFE.0), &mut files);
    files.retain(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("unsafe_code")
    });
    assert_eq!(files, [root.join(UNSAFE.1)]);
}

/// The lines of the tables of a manifest whose names begin so, and what follows in their names.
fn lints(manifest: &str, table: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(head) = line.strip_prefix('[') {
            let name = head.strip_prefix(table);
            inside = name.is_some();
            found.extend(name.map(str::to_owned));
        } else if inside && line.contains('=') {
            found.push(line.to_owned());
        }
    }
    found
}

#[test]
fn the_check_can_fail() {
    let found = |name: &str, text: &str| faults(Path::new(name), text);
    let good = "//! What lives here.\n\nfn f() {}\n";
    assert_eq!(found("src/port.rs", good), [""; 0]);
    assert_eq!(found("src/port.rs", "fn f() {}\n").len(), 1);
    for name in [
        "src/port/mod.rs",
        "src/utils.rs",
        "src/common/port.rs",
        "src/session_manager.rs",
    ] {
        assert_eq!(found(name, good).len(), 1, "{name}");
    }
    let lines = |n: usize| "let x = 1;\n".repeat(n);
    assert_eq!(found("a.rs", &format!("//! A.\n{}", lines(400))), [""; 0]);
    assert_eq!(
        found("a.rs", &format!("//! A.\n{}", lines(401))),
        ["a.rs: 401 lines of code, 400 are allowed"]
    );
    let comments = format!("//! A.\n{}{}", "// b\n\n".repeat(150), lines(400));
    assert_eq!(
        found("a.rs", &comments),
        [""; 0],
        "comments and blanks are free"
    );
    let tested = format!(
        "//! A.\n{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        lines(300),
        lines(400)
    );
    assert_eq!(found("a.rs", &tested), [""; 0], "tests are no code");
    assert_eq!(
        found("a.rs", &format!("{tested}{}", lines(97))),
        ["a.rs: 801 lines, 800 are allowed with tests"]
    );
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap()
}

/// The folders of the workspace's crates.
fn members(root: &Path) -> Vec<PathBuf> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let list = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .expect("the list of members on one line");
    let names = list.trim_end_matches(']').split(',');
    names
        .map(|name| root.join(name.trim().trim_matches('"')))
        .collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What is wrong with a file, one line each.
fn faults(name: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = name.display();
    if !text.starts_with("//!") {
        faults.push(format!(
            "{shown}: it does not begin with `//!` and what lives there"
        ));
    }
    if name.file_name().is_some_and(|name| name == "mod.rs") {
        faults.push(format!("{shown}: write `foo.rs` beside `foo/`"));
    }
    let parts = name.with_extension("");
    let says_nothing = parts.iter().any(|part| {
        let part = part.to_string_lossy();
        part.split('_').any(|word| EMPTY_WORDS.contains(&word))
    });
    if says_nothing {
        faults.push(format!("{shown}: the name does not say what lives there"));
    }
    let is_test = name.iter().any(|part| part == "tests") || name.ends_with("tests.rs");
    let code = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count();
    if code > CODE && !is_test {
        faults.push(format!("{shown}: {code} lines of code, {CODE} are allowed"));
    }
    let all = text.lines().count();
    if all > ALL {
        faults.push(format!(
            "{shown}: {all} lines, {ALL} are allowed with tests"
        ));
    }
    faults
}
