//! Who may depend on whom inside the library: rules 2 to 4 of "Who may depend on whom" in the design.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what its files may name after `crate::`. A module may always name itself.
///
/// The first row whose name fits counts, so a part stands before its whole.
const MAY_USE: &[(&str, &[&str])] = &[
    ("certificate", &[]),
    ("error", &["certificate"]),
    ("task", &[]),
    ("token", &[]),
    // Files on their way: they are carried by any stream, and know nothing of sessions.
    ("transfer/*", &["stream", "token", "error"]),
    ("transfer", &["stream", "token", "error"]),
    // 2. stream → wire; session → stream; the service trait → session; services → all of these.
    ("stream", &[]),
    // What a port shows of itself is lines, whatever they tell.
    ("view", &["request"]),
    // Who watches packets knows nothing of whose they are.
    ("lookout", &["stream"]),
    ("session", &["stream", "certificate", "error"]),
    // Where sessions of one room meet knows nothing of sessions.
    ("hub/*", HUB),
    ("hub", HUB),
    // A request as services see it knows no protocol.
    ("request", &[]),
    // A service names neither a port nor a protocol. One dials, one starts programs.
    ("service/relay", &["service", "session", "dial", "error"]),
    ("service/exec", &["service", "session", "child", "error"]),
    // One takes files that come in parts, and says a secret that is part of their names.
    (
        "service/*",
        &[
            "service", "session", "stream", "request", "hub", "transfer", "token", "error",
        ],
    ),
    ("service", &["session", "request", "error"]),
    // A program is a peer of a kind: what it says is a stream.
    ("child/*", CHILD),
    ("child", CHILD),
    // 3. A protocol knows what it carries and who is served, and no other protocol.
    ("protocol/*", PROTOCOL),
    ("protocol", PROTOCOL),
    // What both ends have in common knows neither of them.
    ("socket", &["session", "error"]),
    ("resolve", &["socket", "error"]),
    // 4. Both ends know protocols, sessions and the service trait, and not each other.
    ("port/*", PORT),
    ("port", PORT),
    ("dial/*", DIAL),
    ("dial", DIAL),
    // A client of HTTP asks over what was dialed.
    ("fetch/*", FETCH),
    ("fetch", FETCH),
    // Announcements are told where something listens, and know no port.
    ("nearby/*", &["error"]),
    ("nearby", &["error"]),
    // The front door shows everything.
    ("lib", &["*"]),
];

const HUB: &[&str] = &["error", "task", "token"];

const PROTOCOL: &[&str] = &[
    "service::Service",
    "service::AnyService",
    "session",
    "stream",
    "request",
    "lookout",
    "view",
    "task",
    "token",
    "certificate",
    "error",
];

const PORT: &[&str] = &[
    "service::Service",
    "service::AnyService",
    "protocol",
    "lookout",
    "session",
    "stream",
    "lookout",
    "socket",
    "resolve",
    "task",
    "token",
    "certificate",
    "error",
];

const DIAL: &[&str] = &[
    "protocol", "session", "stream", "child", "socket", "resolve", "lookout", "token", "error",
];

const FETCH: &[&str] = &["dial", "protocol", "session", "request", "error"];

const CHILD: &[&str] = &["session", "stream", "task", "error"];

#[test]
fn modules_use_only_what_stands_below_them() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&sources, &mut files);
    assert!(files.len() > 20, "found only {files:?}");
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let module = file.strip_prefix(&sources).unwrap().with_extension("");
        faults.extend(check(module.to_str().unwrap(), &text, &file));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_check_can_fail() {
    let at = Path::new("made/up.rs");
    for (module, line, fault) in [
        ("session/info", "use crate::port::Port;", Some("port::Port")),
        (
            "stream",
            "use crate::session::Session;",
            Some("session::Session"),
        ),
        ("service/echo", "use crate::dial::dial;", Some("dial::dial")),
        ("service", "use crate::dial;", Some("dial")),
        (
            "port/tcp",
            "use crate::service::Echo;",
            Some("service::Echo"),
        ),
        (
            "port",
            "use crate::{error::Error, dial::dial};",
            Some("dial::dial"),
        ),
        (
            "dial/udp",
            "    let _ = crate::port::IDLE;",
            Some("port::IDLE"),
        ),
        ("session", "use crate::Session;", Some("Session")),
        ("novelty", "use crate::error::Error;", Some("novelty")),
        ("session/info", "use crate::stream::Counters;", None),
        ("session/info", "use crate::session::Message;", None),
        ("port/run", "use crate::service::Service;", None),
        ("stream", "// use crate::session::Session;", None),
        ("stream", "/// See [`Session`](crate::Session).", None),
        ("port/unix", "pub(in crate::port) struct Peer;", None),
    ] {
        let faults = check(module, &format!("//! Made up.\n{line}\n"), at);
        match fault {
            None => assert_eq!(faults, [""; 0], "{module}: {line}"),
            Some(name) => {
                assert_eq!(faults.len(), 1, "{module}: {line}");
                assert!(faults[0].starts_with("made/up.rs:2: "), "{faults:?}");
                assert!(faults[0].contains(&format!("`{name}`")), "{faults:?}");
            }
        }
    }
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::port::Port;\n}\n";
    assert!(
        check("session", tests, at).is_empty(),
        "tests may use what they like"
    );
    let several = "use crate::{\n    error::Error,\n    port::{Port, PortConfig},\n};\n";
    assert_eq!(
        check("session", several, at),
        [
            "made/up.rs:3: `session` may not use `port::Port`",
            "made/up.rs:3: `session` may not use `port::PortConfig`"
        ]
    );
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
}

/// What `text`, the source of `module`, names and may not, each with file and line.
fn check(module: &str, text: &str, file: &Path) -> Vec<String> {
    let top = module.split('/').next().unwrap_or(module);
    let row = MAY_USE
        .iter()
        .find(|(name, _)| match name.strip_suffix("/*") {
            Some(folder) => folder == top && module != top,
            None => *name == module || (*name == top && module != top),
        });
    let Some((_, allowed)) = row else {
        return vec![format!(
            "{}:2: `{module}` is not in the table of this test",
            file.display()
        )];
    };
    let is_allowed = |path: &str| {
        let within = |whole: &str| {
            path.strip_prefix(whole)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        within(top) && !(module != top && top == "service" && !within("service"))
            || allowed.iter().any(|whole| *whole == "*" || within(whole))
    };
    let code = code_of(text);
    let mut faults = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let mut paths = Vec::new();
        expand(
            "",
            &code[at + "crate::".len()..],
            at + "crate::".len(),
            &mut paths,
        );
        for (path, at) in paths {
            if !is_allowed(&path) {
                let line = code[..at].matches('\n').count() + 1;
                faults.push(format!(
                    "{}:{line}: `{module}` may not use `{path}`",
                    file.display()
                ));
            }
        }
    }
    faults
}

/// The text up to its tests, with comments blanked out and every line in its place.
fn code_of(text: &str) -> String {
    let code = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(text);
    let code = code
        .strip_prefix("#[cfg(test)]\nmod tests")
        .map_or(code, |_| "");
    let lines = code.lines().map(|line| match line.find("//") {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths at the beginning of `text`, which stands at `at`: one, or those of a group in braces.
fn expand(before: &str, text: &str, at: usize, paths: &mut Vec<(String, usize)>) -> usize {
    let mut path = before.to_owned();
    let mut end = 0;
    while let Some(letter) = text[end..].chars().next() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':' | '*' => path.push(letter),
            '{' => {
                end += 1;
                loop {
                    end +=
                        text[end..].len() - text[end..].trim_start_matches([' ', '\n', ',']).len();
                    if text[end..].is_empty() || text[end..].starts_with('}') {
                        return end + 1;
                    }
                    let length = expand(&path, &text[end..], at + end, paths);
                    if length == 0 {
                        return end;
                    }
                    end += length;
                }
            }
            _ => break,
        }
        end += 1;
    }
    if end > 0 {
        paths.push((path.trim_end_matches(':').to_owned(), at));
    }
    end
}
