//! Names, links and disks that mean no good, to a folder that takes files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::files::{Files, serve, source};
use crate::stage::{Server, binary, folder, path, program};

/// As they stand in a URL. None of them may land outside, and what does land has the name that was sent.
const NAMES: &[&str] = &[
    "../x",
    "..%5cx",
    "....//x",
    "/etc/x",
    "C:%5cx",
    "%5c%5c?%5cC:%5cx",
    "//host/share",
    "%2e%2e%2fx",
    "%252e%252e/x",
    "..%c0%af/x",
    ".%00./x",
    "x%00.txt",
    ".",
    "..",
    "",
    "~",
    "~root/x",
    "-rf",
    "--help",
    "CON",
    "NUL.txt",
    "aux",
    "COM1",
    "x.",
    "x%20",
    "x:ads",
    "a%2fb",
    "a/../../x",
    "trailing/",
    "%ff%fe",
    "%b2%e2%ca%d4",
    "caf%c3%a9",
    "cafe%cc%81",
    "twin",
    "TWIN",
    "%e2%80%aegpj.exe",
    "a%e2%80%8db",
    "line%0abreak",
    "tab%09stop",
    "esc%1b%5b31m",
    "%22quotes%27",
    "$(x)",
    ";",
    "*",
    ".ssh/authorized_keys",
    ".bashrc",
    ".git/hooks/x",
    "sub/.hidden",
    "%7f",
    "%c2%9b31m",
];

fn everything_beneath(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(next) = ahead.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                ahead.push(entry.path());
            }
            let name = entry.path();
            let name = name.strip_prefix(folder).unwrap();
            found.push(format!("{name:?}"));
        }
    }
    found.sort();
    found
}

#[test]
fn no_name_lands_outside_or_upsets_a_terminal() {
    let home = folder();
    let served = path(&home, "served");
    fs::create_dir(&served).unwrap();
    let server = Server::of(["files", served.to_str().unwrap(), "127.0.0.1:0", "--write"]);
    let long = "n".repeat(255);
    let longer = "n".repeat(256);
    let deep = "d/".repeat(300) + "x";
    let names = NAMES.iter().copied().chain([&*long, &*longer, &*deep]);
    let base64 = |name: &[u8]| {
        let ended = program("base64", ["-w0"]).with(name);
        ended.text()
    };
    for name in names {
        let url = format!("http://{}/{name}", server.at);
        // A slash at the end would have curl add a name of its own.
        let put = [
            "-s",
            "-o/dev/null",
            "-w%{http_code}",
            "--path-as-is",
            "-X",
            "PUT",
            "--data-binary",
            "x",
            &url,
        ];
        let status: u16 = program("curl", put).run().text().parse().unwrap();
        assert!(
            matches!(status, 201 | 400 | 404 | 409),
            "PUT {name}: {status}"
        );
        // The same as a name that a tus client chose.
        let plain = percent_decoded(name);
        let metadata = format!("Upload-Metadata: filename {}", base64(&plain));
        let root = format!("http://{}/", server.at);
        let post = [
            "-s",
            "-o/dev/null",
            "-w%{http_code}",
            "-X",
            "POST",
            "-H",
            "Tus-Resumable: 1.0.0",
            "-H",
            "Upload-Length: 0",
            "-H",
            &metadata,
            &root,
        ];
        let status: u16 = program("curl", post).run().text().parse().unwrap();
        assert!(
            matches!(status, 201 | 400 | 403 | 409),
            "tus {name}: {status}"
        );
    }
    let outside = everything_beneath(home.path());
    let outside: Vec<_> = outside
        .iter()
        .filter(|name| !name.starts_with("\"served"))
        .collect();
    let outside: Vec<_> = outside
        .into_iter()
        .filter(|name| !name.starts_with("\"state") && !name.starts_with("\"config"))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    for absent in ["/etc/x", "/x", "/tmp/x"] {
        assert!(!Path::new(absent).exists(), "{absent}");
    }
    let inside = everything_beneath(&served);
    assert!(inside.iter().any(|name| name == "\"--help\""), "{inside:?}");
    assert!(
        inside.iter().any(|name| name == "\"\\xFF\\xFE\""),
        "{inside:?}"
    );
    assert!(
        inside.iter().any(|name| *name == format!("\"{long}\"")),
        "255 bytes fit"
    );
    assert!(
        !inside
            .iter()
            .any(|name| name.contains("/.") || name.starts_with("\".")),
        "{inside:?}"
    );
    let told = server.run.err.bytes();
    let raw = told
        .iter()
        .filter(|byte| **byte < b' ' && **byte != b'\n')
        .count();
    assert_eq!(raw, 0, "control characters on the terminal of who serves");
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|it| str::from_utf8(it).ok());
        match digits
            .filter(|_| *first == b'%')
            .and_then(|it| u8::from_str_radix(it, 16).ok())
        {
            Some(byte) => {
                plain.push(byte);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[test]
fn links_lead_nowhere_outside_in_either_direction() {
    let files = Files::open();
    let outside = folder();
    fs::write(path(&outside, "secret"), "outside").unwrap();
    symlink(outside.path(), files.path("out")).unwrap();
    symlink(path(&outside, "secret"), files.path("direct")).unwrap();
    symlink("..", files.path("up")).unwrap();
    symlink("round", files.path("round")).unwrap();
    let (_home, from) = source(b"x");
    for name in ["/out/secret", "/direct", "/up/x", "/round", "/out/"] {
        assert_eq!(files.curl(name, &[]).0, 404, "GET {name}");
    }
    for name in ["/out/new", "/up/new", "/round/new", "/direct/new"] {
        let status = files.curl(name, &["-T", &from]).0;
        assert!(matches!(status, 409 | 403), "PUT {name}: {status}");
    }
    // A link is a name that is taken.
    let status = files.curl("/direct", &["-T", &from]).0;
    assert_eq!(status, 409, "it is not written through");
    assert_eq!(fs::read(path(&outside, "secret")).unwrap(), b"outside");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere_outside() {
    let files = Files::open();
    let outside = folder();
    fs::write(path(&outside, "file"), "outside").unwrap();
    files.write("real/file", "inside");
    symlink("real", files.path("swap")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (root, outside, stop) = (files.folder.clone(), outside.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut swaps = 0;
            while !stop.load(Relaxed) {
                for to in [Path::new("real"), outside.path()] {
                    let next = path(&root, "next");
                    symlink(to, &next).unwrap();
                    fs::rename(&next, path(&root, "swap")).unwrap();
                    swaps += 1;
                }
            }
            swaps
        })
    };
    let list = folder();
    let wishes: String = (0..1000)
        .map(|n| {
            let (get, put) = (files.url("/swap/file"), files.url(&format!("/swap/put{n}")));
            format!("url={get}\noutput=-\nnext\nsilent\nrequest=PUT\ndata=x\nurl={put}\noutput=/dev/null\nnext\nsilent\n")
        })
        .collect();
    let config = path(&list, "wishes");
    fs::write(
        &config,
        format!("silent\n{wishes}url={}\noutput=/dev/null\n", files.url("/")),
    )
    .unwrap();
    let start = Instant::now();
    let mut asked = program("curl", ["-s", "-K", config.to_str().unwrap()]).start();
    let ended = asked.end_within(Duration::from_secs(120));
    stop.store(true, Relaxed);
    let swaps = swapping.join().unwrap();
    assert!(swaps > 1000, "{swaps} swaps in {:?}", start.elapsed());
    assert!(ended.text().contains("inside"), "{}", ended.err);
    assert!(!ended.text().contains("outside"));
    assert_eq!(
        fs::read_dir(outside.path()).unwrap().count(),
        1,
        "nothing was put there"
    );
}

/// `serve files` in namespaces of its own, where `setup` has made `DIR`. `None` where that may not be done.
fn apart(home: &TempDir, setup: &str) -> Option<Server> {
    let may = program("unshare", ["--map-root-user", "--mount", "true"]).run();
    if may.code != 0 {
        eprintln!("skipped: no namespaces here: {}", may.err);
        return None;
    }
    let script = format!("set -e; {setup}; exec \"$0\" serve files \"$1\" 127.0.0.1:0 --write");
    let place = home.path().to_str().unwrap();
    let words = [
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        env!("CARGO_BIN_EXE_sockeye"),
        place,
    ];
    Some(Server::ready(program("unshare", words)))
}

fn put(server: &Server, name: &str, from: &str) -> (String, String) {
    let url = format!("http://{}/{name}", server.at);
    let ended = program(
        "curl",
        ["-s", "-w", "%{stderr}%{http_code}", "-T", from, &url],
    )
    .run();
    (ended.err.clone(), ended.text())
}

#[test]
fn a_disk_that_is_full_is_told_before_the_first_byte_and_after_the_last_that_fits() {
    let home = folder();
    let Some(server) = apart(&home, "mount -t tmpfs -o size=4m none \"$1\"") else {
        return;
    };
    let (_large, large) = source(&binary(6 << 20));
    let (status, words) = put(&server, "large", &large);
    assert!(
        status == "507" && words.contains("there is no room for it: it needs 6291456 bytes"),
        "{words}"
    );
    // How much comes is not known before it is there.
    let url = format!("http://{}/stream", server.at);
    let ended = program(
        "curl",
        ["-s", "-w", "%{stderr}%{http_code}", "-T", "-", &url],
    )
    .with(binary(6 << 20));
    assert!(ended.err == "507", "{ended:?}");
    let (_small, small) = source(&binary(100_000));
    let mut landed = 0;
    for n in 0..60 {
        let (status, words) = put(&server, &format!("small{n}"), &small);
        match &*status {
            "201" => landed += 1,
            "507" => break,
            other => panic!("{other}: {words}"),
        }
    }
    assert!(landed < 60, "{landed}");
    let url = format!("http://{}/?json", server.at);
    let listing: serde_json::Value =
        serde_json::from_str(&program("curl", ["-s", &url]).run().text()).unwrap();
    assert_eq!(
        listing["entries"].as_array().unwrap().len(),
        landed,
        "{listing}"
    );
}

#[test]
fn a_disk_that_may_not_be_written_is_told() {
    let home = folder();
    fs::write(path(&home, "here"), "x").unwrap();
    let setup = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";
    let Some(server) = apart(&home, setup) else {
        return;
    };
    let (_home, from) = source(b"x");
    let (status, words) = put(&server, "new", &from);
    assert!(
        status == "403" && words.contains("read-only"),
        "{status} {words}"
    );
    let url = format!("http://{}/here", server.at);
    assert_eq!(program("curl", ["-s", &url]).run().text(), "x");
}

#[test]
fn what_is_no_file_is_not_served() {
    let home = folder();
    let served = path(&home, "served");
    fs::create_dir(&served).unwrap();
    let fifo = served.join("fifo");
    assert_eq!(program("mkfifo", [&fifo]).run().code, 0);
    let _socket = std::os::unix::net::UnixListener::bind(served.join("socket")).unwrap();
    let server = Server::of(["files", served.to_str().unwrap(), "127.0.0.1:0", "--write"]);
    for name in ["fifo", "socket"] {
        let url = format!("http://{}/{name}", server.at);
        let ended = program("curl", ["-s", "-o/dev/null", "-w%{http_code}", &url]).run();
        assert_eq!(ended.text(), "404", "{name}");
    }
}

#[test]
fn a_part_that_somebody_has_changed_is_noticed() {
    let home = folder();
    let mut server = serve(&home, "127.0.0.1:0", &["--write"]);
    let at = server.at.clone();
    let data = binary(3 << 20);
    let tus = |flags: &[&str], url: &str, input: &[u8]| {
        let always = ["-s", "-i", "-H", "Tus-Resumable: 1.0.0"];
        program("curl", always.iter().chain(flags).copied().chain([url]))
            .with(input)
            .text()
    };
    let begun = tus(
        &[
            "-X",
            "POST",
            "-H",
            "Upload-Length: 4194304",
            "-H",
            "Upload-Metadata: filename eA==",
        ],
        &format!("http://{at}/"),
        b"",
    );
    let location = begun
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap();
    let url = format!("http://{at}{location}");
    let patch = [
        "-X",
        "PATCH",
        "-H",
        "Content-Type: application/offset+octet-stream",
        "-H",
        "Upload-Offset: 0",
        "--data-binary",
        "@-",
    ];
    assert!(tus(&patch, &url, &data).contains("upload-offset: 3145728"));
    server.run.signal(rustix::process::Signal::KILL);
    server.run.end();
    drop(server);
    let part = path(&home, "x.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[(1 << 20) + 5] ^= 1;
    fs::write(&part, bytes).unwrap();
    let _server = serve(&home, &at, &["--write"]);
    let asked = tus(&["-I"], &url, b"");
    assert!(
        asked.contains("upload-offset: 1048576"),
        "the second chunk is not what was proved: {asked}"
    );
}
