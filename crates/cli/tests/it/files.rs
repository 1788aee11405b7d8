//! `serve files` and `serve cat` as they are used: curl, wget and archives, in both directions.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{Ended, LONG, Server, binary, folder, path, program, sockeye};

/// A folder that is served, and what comes to it.
pub(crate) struct Files {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) server: Server,
}

impl Files {
    /// `serve files FOLDER FLAGS`, on a port that the system chose.
    #[track_caller]
    pub(crate) fn with(flags: &[&str]) -> Self {
        let folder = folder();
        let server = serve(&folder, "127.0.0.1:0", flags);
        Self { folder, server }
    }

    #[track_caller]
    pub(crate) fn open() -> Self {
        Self::with(&["--write"])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        path(&self.folder, name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let place = self.path(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, content).unwrap();
        let file = File::options().write(true).open(&place).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(old).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.at)
    }

    /// curl with these flags: the status, and what it wrote.
    #[track_caller]
    pub(crate) fn curl(&self, path: &str, flags: &[&str]) -> (u16, Vec<u8>) {
        let ended = self.curl_with(path, flags, "");
        assert_eq!(ended.code, 0, "{path}: {}", ended.err);
        (ended.err.parse().unwrap(), ended.out)
    }

    #[track_caller]
    pub(crate) fn curl_with(&self, path: &str, flags: &[&str], input: impl AsRef<[u8]>) -> Ended {
        let url = self.url(path);
        let status = ["-w", "%{stderr}%{http_code}"];
        let flags = ["-s", "-S", "--path-as-is"]
            .iter()
            .chain(flags)
            .chain(&status);
        program("curl", flags.copied().chain([url.as_str()])).with(input)
    }

    /// The status, and the words for a person.
    #[track_caller]
    pub(crate) fn says(&self, path: &str, flags: &[&str]) -> (u16, String) {
        let (status, words) = self.curl(path, flags);
        (status, String::from_utf8(words).unwrap())
    }

    /// Names in the folder, hidden ones too.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

#[track_caller]
pub(crate) fn serve(folder: &TempDir, at: &str, flags: &[&str]) -> Server {
    let words = ["files", folder.path().to_str().unwrap(), at];
    Server::of(words.iter().chain(flags))
}

/// A file to be sent, outside of what is served.
pub(crate) fn source(content: &[u8]) -> (Arc<TempDir>, String) {
    let home = folder();
    let place = path(&home, "source.bin");
    fs::write(&place, content).unwrap();
    (home, place.to_str().unwrap().to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (given, value) = line.split_once(": ")?;
        given.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn files_are_downloaded_and_gone_on_with() {
    let files = Files::with(&[]);
    let data = binary(3 << 20);
    files.write("sub/data.bin", &data);
    assert!(files.curl("/sub/data.bin", &[]) == (200, data.clone()));
    let h2 = ["--http2-prior-knowledge", "-r", "1000000-"];
    assert!(files.curl("/sub/data.bin", &h2) == (206, data[1_000_000..].to_vec()));
    let home = folder();
    let place = path(&home, "data.bin").display().to_string();
    for get in [
        vec!["curl", "-s", "-C", "-", "-o", &place],
        vec!["wget", "-q", "-c", "-O", &place],
    ] {
        fs::write(&place, &data[..300_000]).unwrap();
        let url = files.url("/sub/data.bin");
        let ended = program(get[0], get[1..].iter().copied().chain([url.as_str()])).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(fs::read(&place).unwrap() == data, "{get:?}");
    }
    assert_eq!(files.curl("/sub", &[]).0, 301);
    assert_eq!(files.curl("/nowhere", &[]).0, 404);
    assert_eq!(files.curl("/x", &["-T", &place]).0, 405, "nothing is taken");
    assert_eq!(files.curl("/x", &["-X", "POST"]).0, 405);
}

#[test]
fn a_digest_is_told_to_who_wants_it() {
    let files = Files::with(&[]);
    files.write("hello.txt", "hello");
    let want = "Want-Repr-Digest: sha-256=10, blake3=1, md5=5";
    let (_, head) = files.says("/hello.txt", &["-I", "-H", want]);
    // What sha256sum and b3sum say, in base64.
    let sha = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let blake3 = "blake3=:6o8WPbOGgpJeRJHF5Y1Ls1Bu+MFOt4qG6QjFYkpnIA8=:";
    let told = header(&head, "repr-digest");
    assert_eq!(told, Some(&*format!("{sha}, {blake3}")));
    let (_, head) = files.says("/hello.txt", &["-I", "-H", "Want-Repr-Digest: md5=1"]);
    assert_eq!(header(&head, "repr-digest"), None);
}

#[test]
fn a_listing_is_json_for_programs_and_a_page_for_browsers() {
    let files = Files::with(&[]);
    files.write("b.txt", "12345");
    files.write("a/x", "");
    files.write(".hidden", "");
    files.write("later.bin.part", "12");
    files.write("later.bin.part.state", "1");
    let odd = files
        .folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"\xff\""));
    fs::write(odd, "").unwrap();
    for (path, flags) in [
        ("/?json", &[][..]),
        ("/", &["-H", "Accept: application/json"]),
    ] {
        let (status, listing) = files.curl(path, flags);
        let listing: serde_json::Value = serde_json::from_slice(&listing).unwrap();
        assert_eq!(
            (status, &listing["path"], &listing["write"]),
            (200, &"/".into(), &false.into())
        );
        let entries = listing["entries"].as_array().unwrap();
        let seen = |at: usize, field: &str| entries[at][field].clone();
        assert_eq!(entries.len(), 3, "{entries:?}");
        assert_eq!(
            (seen(0, "name"), seen(0, "kind")),
            ("a".into(), "folder".into())
        );
        assert_eq!(
            (seen(1, "href"), seen(1, "size")),
            ("b.txt".into(), 5.into())
        );
        assert_eq!(
            (seen(2, "name"), seen(2, "href")),
            ("\\xff\"".into(), "%FF%22".into())
        );
    }
    let (_, page) = files.says("/", &["-H", "Accept: text/html"]);
    assert!(page.contains("/.sockeye/files.js"), "{page}");
    let (_, plain) = files.says("/?plain", &["-H", "Accept: text/html"]);
    assert!(plain.contains("<a href=\"b.txt\">"), "{plain}");
}

#[test]
fn a_whole_folder_is_one_archive() {
    let files = Files::with(&[]);
    let data = binary(300_000);
    files.write("top/data.bin", &data);
    files.write("top/deep/er/note.txt", "text ".repeat(1000));
    files.write("top/empty", "");
    files.write("top/.hidden", "");
    fs::create_dir(files.path("top/nothing")).unwrap();
    fs::set_permissions(files.path("top/empty"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("data.bin", files.path("top/link")).unwrap();
    symlink("..", files.path("top/circle")).unwrap();
    symlink("/etc/passwd", files.path("top/out")).unwrap();
    let home = folder();
    for (kind, unpack) in [
        ("zip", &["unzip", "-q", "a"][..]),
        ("tar", &["tar", "-xf", "a"]),
        ("tar.zst", &["tar", "--zstd", "-xf", "a"]),
    ] {
        let (status, archive) = files.curl(&format!("/top/?archive={kind}"), &[]);
        assert_eq!(status, 200);
        let to = path(&home, kind);
        fs::create_dir(&to).unwrap();
        fs::write(to.join("a"), archive).unwrap();
        let place = to.to_str().unwrap();
        let ended = program("env", ["-C", place].iter().chain(unpack)).run();
        assert_eq!((ended.code, &*ended.err), (0, ""), "{kind}");
        fs::remove_file(to.join("a")).unwrap();
        assert!(fs::read(to.join("data.bin")).unwrap() == data, "{kind}");
        assert!(
            fs::read(to.join("link")).unwrap() == data,
            "{kind}: a link is what it leads to"
        );
        let note = fs::read_to_string(to.join("deep/er/note.txt")).unwrap();
        assert_eq!(note, "text ".repeat(1000), "{kind}");
        let mode = fs::metadata(to.join("empty")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750, "{kind}");
        assert!(to.join("nothing").is_dir(), "{kind}");
        for absent in [".hidden", "circle", "out"] {
            assert!(!to.join(absent).exists(), "{kind}: {absent}");
        }
    }
    let (_, head) = files.says("/top/?archive=zip", &["-I"]);
    assert!(
        header(&head, "content-disposition")
            .unwrap()
            .contains("filename=\"top.zip\"")
    );
}

#[test]
fn an_archive_of_more_than_4_gib_can_be_unpacked() {
    let files = Files::with(&[]);
    let large = File::create(files.path("large.img")).unwrap();
    large.set_len((4 << 30) + 5).unwrap();
    drop(large);
    // Read as it comes, without a disk for it.
    let url = files.url("/?archive=zip");
    let script = "import sys, urllib.request, zlib, struct\n\
        answer = urllib.request.urlopen(sys.argv[1])\n\
        tail, n = b'', 0\n\
        while part := answer.read(1 << 20):\n\
        \x20   n += len(part); tail = (tail + part)[-400:]\n\
        assert n > 4 << 30, n\n\
        assert b'PK\\x06\\x06' in tail, 'no Zip64'\n\
        assert struct.pack('<Q', (4 << 30) + 5) in tail, 'the size is not told'\n\
        print('whole')";
    let mut python = program("python3", ["-c", script, &url]).start();
    let ended = python.end_within(Duration::from_secs(180));
    assert_eq!(ended.text(), "whole\n", "{ended:?}");
}

#[test]
fn what_is_put_is_there_and_never_over_something_else() {
    let files = Files::open();
    let data = binary(3 << 20);
    let (_home, from) = source(&data);
    let put = ["-T", from.as_str()];
    let (status, words) = files.says("/new/folder/data.bin", &put);
    assert!(
        status == 201 && words.starts_with("saved new/folder/data.bin: 3145728 bytes"),
        "{words}"
    );
    assert!(fs::read(files.path("new/folder/data.bin")).unwrap() == data);
    files
        .server
        .run
        .err
        .until("note: saved new/folder/data.bin: 3145728 bytes, blake3 ");
    // curl takes its own name behind a slash.
    assert_eq!(files.curl("/", &put).0, 201);
    assert!(fs::read(files.path("source.bin")).unwrap() == data);
    files.write("taken.txt", "mine");
    for flags in [
        &[][..],
        &["-H", "If-None-Match: *"],
        &["-H", "If-Match: \"x\""],
    ] {
        let all: Vec<_> = put.iter().chain(flags).copied().collect();
        let (status, words) = files.says("/taken.txt", &all);
        let expected = if flags.is_empty() { 409 } else { 412 };
        assert_eq!(status, expected, "{flags:?}: {words}");
    }
    assert_eq!(fs::read(files.path("taken.txt")).unwrap(), b"mine");
    assert_eq!(
        files
            .curl("/absent.txt", &["-H", "If-Match: \"x\"", "-T", &from])
            .0,
        412
    );
    assert_eq!(files.curl("/new", &put).0, 409, "it is a folder");
    assert_eq!(
        files.curl("/taken.txt/below", &put).0,
        409,
        "a file is no folder"
    );
    assert_eq!(
        files
            .curl("/x.gz", &["-H", "Content-Encoding: gzip", "-T", &from])
            .0,
        415
    );
    assert_eq!(
        files.names(),
        ["new", "source.bin", "taken.txt"],
        "and nothing else is left"
    );
}

#[test]
fn what_is_put_replaces_where_that_is_allowed() {
    let files = Files::with(&["--write", "--overwrite"]);
    files.write("a.txt", "old");
    let (_home, from) = source(b"new");
    assert_eq!(
        files
            .curl("/a.txt", &["-H", "If-None-Match: *", "-T", &from])
            .0,
        412
    );
    let (_, head) = files.says("/a.txt", &["-I"]);
    let tag = format!("If-Match: {}", header(&head, "etag").unwrap());
    assert_eq!(files.curl("/a.txt", &["-H", &tag, "-T", &from]).0, 200);
    assert_eq!(
        files.curl("/a.txt", &["-H", &tag, "-T", &from]).0,
        412,
        "it is another one"
    );
    assert_eq!(fs::read(files.path("a.txt")).unwrap(), b"new");
}

#[test]
fn what_is_put_can_be_proved_and_without_a_length() {
    let files = Files::open();
    let (_home, from) = source(b"hello");
    let right = "Repr-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let wrong = "Repr-Digest: sha-256=:AAAAul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(files.curl("/wrong", &["-H", wrong, "-T", &from]).0, 460);
    assert_eq!(files.curl("/right", &["-H", right, "-T", &from]).0, 201);
    let ended = files.curl_with("/stream", &["-T", "-"], binary(2 << 20));
    assert_eq!(ended.err, "201", "{ended:?}");
    assert!(fs::read(files.path("stream")).unwrap() == binary(2 << 20));
    assert_eq!(files.names(), ["right", "stream"]);
}

#[test]
fn a_put_that_was_cut_is_gone_on_with() {
    let files = Files::open();
    let data = binary(5 << 20);
    let (_home, from) = source(&data);
    let mut wire = files.server.tcp();
    let head = format!(
        "PUT /data.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n",
        data.len()
    );
    wire.write_all(head.as_bytes()).unwrap();
    wire.write_all(&data[..3 << 20]).unwrap();
    drop(wire);
    files.server.run.err.until("PUT /data.bin");
    // All of it in whole chunks of 1 MiB is there.
    assert_eq!(
        files.curl("/data.bin", &["-C", "1048576", "-T", &from]).0,
        409
    );
    assert_eq!(
        files.curl("/data.bin", &["-C", "3145728", "-T", &from]).0,
        201
    );
    assert!(fs::read(files.path("data.bin")).unwrap() == data);
    assert_eq!(files.names(), ["data.bin"]);
}

#[test]
fn what_is_too_large_or_hidden_is_not_taken() {
    let files = Files::with(&["--write", "--max-file", "1k"]);
    let (_home, from) = source(&binary(1025));
    assert_eq!(files.curl("/a", &["-T", &from]).0, 413);
    let ended = files.curl_with("/a", &["-T", "-"], binary(100_000));
    assert_eq!(ended.err, "413", "{ended:?}");
    let tus = [
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 1025",
    ];
    assert_eq!(files.curl("/", &tus).0, 413);
    let (_, head) = files.says("/", &["-i", "-X", "OPTIONS"]);
    assert_eq!(header(&head, "tus-max-size"), Some("1024"));
    let (_small, small) = source(b"x");
    assert_eq!(files.curl("/.bashrc", &["-T", &small]).0, 404);
    assert_eq!(files.curl("/.git/hooks/x", &["-T", &small]).0, 404);
    assert!(files.names().is_empty(), "{:?}", files.names());
}

#[test]
fn fifty_at_once_are_all_there() {
    let files = Files::open();
    let data = binary(1_500_000);
    let (_home, from) = source(&data);
    let url = files.url("/");
    let mut runs: Vec<_> = (0..50)
        .map(|n| program("curl", ["-sS", "-f", "-T", &from, &format!("{url}{n}.bin")]).start())
        .collect();
    for run in &mut runs {
        let ended = run.end_within(Duration::from_secs(60));
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    assert_eq!(files.names().len(), 50);
    for name in files.names() {
        assert!(fs::read(files.path(&name)).unwrap() == data, "{name}");
    }
    // Of fifty that want one name, one has it.
    let same = format!("{url}same.bin");
    let mut runs: Vec<_> = (0..50)
        .map(|_| {
            program(
                "curl",
                ["-s", "-o/dev/null", "-w%{http_code}", "-T", &from, &same],
            )
            .start()
        })
        .collect();
    let mut codes: Vec<_> = runs
        .iter_mut()
        .map(|run| run.end_within(Duration::from_secs(60)).text())
        .collect();
    codes.sort();
    assert_eq!(
        codes.iter().filter(|code| *code == "201").count(),
        1,
        "{codes:?}"
    );
    assert!(codes[1..].iter().all(|code| code == "409"), "{codes:?}");
    assert_eq!(files.names().len(), 51);
}

#[test]
fn pages_of_other_sites_may_not_put_files_here() {
    let files = Files::open();
    let (_home, from) = source(b"x");
    let evil = ["-H", "Origin: https://evil.example", "-T", from.as_str()];
    assert_eq!(files.curl("/x", &evil).0, 403);
    let post = [
        "-X",
        "POST",
        "-H",
        "Origin: https://evil.example",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 1",
    ];
    assert_eq!(files.curl("/", &post).0, 403);
    assert!(files.names().is_empty());
    files.write("page.html", "<script>alert(1)</script>");
    let (_, head) = files.says("/page.html", &["-I"]);
    assert_eq!(header(&head, "content-security-policy"), Some("sandbox"));
}

#[test]
fn to_be_written_by_anyone_it_must_be_said_who() {
    let home = folder();
    let place = home.path().to_str().unwrap();
    let ended = sockeye(["serve", "files", place, "*:0", "--write"]).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended
            .complaint()
            .contains("anyone who can connect could put files here"),
        "{ended:?}"
    );
    for flags in [&["*:0"][..], &["*:0", "--write", "--allow", "127.0.0.1"]] {
        drop(Server::of(["files", place].iter().chain(flags)));
    }
    let files = Files::with(&["--write", "--token", "secret"]);
    let (_home, from) = source(b"x");
    assert_eq!(files.curl("/x", &["-T", &from]).0, 401);
    assert_eq!(files.curl("/?json", &[]).0, 401);
    assert_eq!(files.curl("/x?token=secret", &["-T", &from]).0, 201);
    assert_eq!(
        files.curl("/x", &["-H", "Authorization: Bearer secret"]),
        (200, b"x".to_vec())
    );
}

#[test]
fn the_process_reaches_the_folder_and_no_more() {
    let files = Files::with(&["--write", "-v"]);
    let said = files.server.run.err.until("listening");
    if said.contains("no landlock") {
        eprintln!("skipped: this kernel has no landlock");
        return;
    }
    assert!(
        said.contains("the process is confined by landlock"),
        "{said}"
    );
    // Through a name of its own it could reach any file, were it not for that.
    let outside = folder();
    fs::write(path(&outside, "secret"), "outside").unwrap();
    let id = files.server.run.id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let loose = Files::with(&["-v", "--no-confinement"]);
    assert!(!loose.server.run.err.text().contains("confined"));
}

#[test]
fn a_server_that_was_killed_goes_on_with_what_was_sent() {
    let home = folder();
    let data = binary(4 << 20);
    let mut server = serve(&home, "127.0.0.1:0", &["--write"]);
    let at = server.at.clone();
    let tus = |arguments: &[&str], url: &str, input: &[u8]| {
        let always = ["-s", "-i", "-H", "Tus-Resumable: 1.0.0"];
        let ended =
            program("curl", always.iter().chain(arguments).copied().chain([url])).with(input);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.text()
    };
    let length = format!("Upload-Length: {}", data.len());
    let name = "Upload-Metadata: filename ZGF0YS5iaW4=";
    let begun = tus(
        &["-X", "POST", "-H", &length, "-H", name],
        &format!("http://{at}/"),
        b"",
    );
    let location = header(&begun, "location").unwrap();
    assert!(location.starts_with("/data.bin?upload="), "{begun}");
    let url = format!("http://{at}{location}");
    let part = [
        "-X",
        "PATCH",
        "-H",
        "Content-Type: application/offset+octet-stream",
        "--data-binary",
        "@-",
    ];
    let from = |offset: &str| format!("Upload-Offset: {offset}");
    let sent = tus(
        &[&part[..], &["-H", &from("0")]].concat(),
        &url,
        &data[..(2 << 20) + 77],
    );
    assert_eq!(header(&sent, "upload-offset"), Some("2097229"), "{sent}");
    server.run.signal(Signal::KILL);
    server.run.end();
    drop(server);
    let _server = serve(&home, &at, &["--write"]);
    let asked = tus(&["-I"], &url, b"");
    // Of the chunk that was not full nothing is proved.
    assert_eq!(header(&asked, "upload-offset"), Some("2097152"), "{asked}");
    assert_eq!(header(&asked, "upload-length"), Some("4194304"));
    let sent = tus(
        &[&part[..], &["-H", &from("2097152")]].concat(),
        &url,
        &data[2 << 20..],
    );
    assert_eq!(header(&sent, "upload-offset"), Some("4194304"), "{sent}");
    assert!(fs::read(path(&home, "data.bin")).unwrap() == data);
    // A client that has not heard that asks again.
    let asked = tus(&["-I"], &url, b"");
    assert_eq!(header(&asked, "upload-offset"), Some("4194304"), "{asked}");
    assert_eq!(header(&asked, "content-location"), Some("/data.bin"));
}

/// One request of an upload by the draft: its head and what was said.
#[track_caller]
fn drafted(files: &Files, path: &str, method: &str, fields: &[&str], content: &[u8]) -> String {
    let mut flags = vec!["-i", "-X", method];
    // What has no content is not to wait for any.
    match method {
        "HEAD" => flags = vec!["-I"],
        "PATCH" | "POST" => flags.extend(["--data-binary", "@-", "-H", "Expect:"]),
        _ => {}
    }
    if method == "PATCH" {
        flags.extend(["-H", "Content-Type: application/partial-upload"]);
    }
    flags.extend(fields.iter().flat_map(|field| ["-H", field]));
    let ended = files.curl_with(path, &flags, content);
    assert_eq!(ended.code, 0, "{ended:?}");
    format!("{} {}", ended.err, ended.text())
}

#[test]
fn uploads_go_on_by_the_draft_of_the_ietf_too() {
    let files = Files::with(&["--write", "--max-file", "10M"]);
    let data = binary(3 << 20);
    let said = drafted(&files, "/", "OPTIONS", &[], b"");
    let limit = "max-size=10485760, max-age=86400";
    assert_eq!(header(&said, "upload-limit"), Some(limit), "{said}");
    // Its example 2: a series of parts, the first of them with the creation.
    let name = "Content-Disposition: inline; filename=\"a b.bin\"";
    let (part, length) = ("Upload-Complete: ?0", "Upload-Length: 3145728");
    let begun = drafted(&files, "/", "POST", &[part, length, name], &data[..1 << 20]);
    assert!(begun.starts_with("201 "), "{begun}");
    let at = header(&begun, "location").unwrap().to_owned();
    assert!(at.starts_with("/a%20b.bin?upload="), "{begun}");
    assert_eq!(header(&begun, "upload-complete"), Some("?0"));
    assert_eq!(header(&begun, "upload-limit"), Some(limit));
    let asked = drafted(&files, &at, "HEAD", &[], b"");
    for (name, value) in [
        ("upload-offset", "1048576"),
        ("upload-complete", "?0"),
        ("upload-length", "3145728"),
        ("upload-limit", limit),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&asked, name), Some(value), "{asked}");
    }
    assert!(asked.starts_with("204 "), "{asked}");
    // Somebody who thinks that it stands elsewhere, or is shorter.
    let there = "Upload-Offset: 1048576";
    let wrong = drafted(&files, &at, "PATCH", &[part, "Upload-Offset: 7"], b"x");
    assert!(wrong.starts_with("409 "), "{wrong}");
    assert_eq!(header(&wrong, "upload-offset"), Some("1048576"), "{wrong}");
    assert_eq!(
        header(&wrong, "content-type"),
        Some("application/problem+json")
    );
    let body = wrong.rsplit("\r\n\r\n").next().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
    assert_eq!(body["type"], kind);
    assert_eq!(
        (&body["expected-offset"], &body["provided-offset"]),
        (&1_048_576.into(), &7.into())
    );
    let last = "Upload-Complete: ?1";
    let wrong = drafted(&files, &at, "PATCH", &[last, there], b"x");
    assert!(
        wrong.starts_with("400 ") && wrong.contains("#inconsistent-upload-length"),
        "{wrong}"
    );
    let digest = "Content-Digest: sha-256=:AAAAul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let wrong = drafted(
        &files,
        &at,
        "PATCH",
        &[part, there, digest],
        &data[1 << 20..2 << 20],
    );
    assert!(wrong.starts_with("460 "), "{wrong}");
    // All of its bytes do not make it complete: only its client does.
    let sent = drafted(&files, &at, "PATCH", &[part, there], &data[1 << 20..]);
    assert!(sent.starts_with("204 "), "{sent}");
    assert_eq!(header(&sent, "upload-complete"), Some("?0"), "{sent}");
    assert!(
        !files.names().contains(&"a b.bin".to_owned()),
        "{:?}",
        files.names()
    );
    for _ in 0..2 {
        let done = drafted(&files, &at, "PATCH", &[last, "Upload-Offset: 3145728"], b"");
        assert!(done.starts_with("201 "), "{done}");
        assert_eq!(header(&done, "upload-complete"), Some("?1"), "{done}");
        assert_eq!(header(&done, "location"), Some("/a%20b.bin"), "{done}");
        let asked = drafted(&files, &at, "HEAD", &[], b"");
        assert_eq!(header(&asked, "upload-complete"), Some("?1"), "{asked}");
    }
    assert!(fs::read(files.path("a b.bin")).unwrap() == data);
    assert_eq!(files.names(), ["a b.bin"]);
}

#[test]
fn an_upload_by_the_draft_that_nobody_wants_is_gone() {
    let files = Files::with(&["--write", "--max-file", "1k"]);
    let (part, whole) = ("Upload-Complete: ?0", "Upload-Complete: ?1");
    // Its example 1: all of it in one request.
    let done = drafted(
        &files,
        "/one",
        "POST",
        &[whole, "Upload-Length: 5"],
        b"hello",
    );
    assert!(
        done.starts_with("201 ") && header(&done, "upload-complete") == Some("?1"),
        "{done}"
    );
    assert_eq!(fs::read(files.path("one")).unwrap(), b"hello");
    let right = "Repr-Digest: blake3=:6o8WPbOGgpJeRJHF5Y1Ls1Bu+MFOt4qG6QjFYkpnIA8=:";
    let done = drafted(&files, "/two", "POST", &[whole, right], b"hello");
    assert!(done.starts_with("201 "), "{done}");
    let wrong = drafted(&files, "/three", "POST", &[whole, right], b"Hello");
    assert!(wrong.starts_with("460 "), "{wrong}");
    for (fields, content, status) in [
        (&[part][..], "hello", "411 "),
        (&[part, "Upload-Length: 2000"], "", "413 "),
        (&[whole, "Upload-Length: 6"], "hello", "400 "),
        (&[whole, "Content-Encoding: gzip"], "hello", "415 "),
        (&["Upload-Complete: yes"], "hello", "405 "),
    ] {
        let said = drafted(&files, "/x", "POST", fields, content.as_bytes());
        assert!(said.starts_with(status), "{fields:?}: {said}");
    }
    let (_home, from) = source(b"hello");
    let said = files.says("/x", &["-H", part, "-T", &from]);
    assert_eq!(said.0, 405, "a part of a file is none");
    let begun = drafted(&files, "/x", "POST", &[part, "Upload-Length: 5"], b"he");
    let at = header(&begun, "location").unwrap();
    let more = drafted(
        &files,
        at,
        "PATCH",
        &[part, "Upload-Offset: 2"],
        b"llo and more",
    );
    assert!(more.starts_with("413 "), "{more}");
    assert!(drafted(&files, at, "HEAD", &[], b"").starts_with("410 "));
    let begun = drafted(&files, "/x", "POST", &[part, "Upload-Length: 5"], b"he");
    let at = header(&begun, "location").unwrap();
    assert!(drafted(&files, at, "DELETE", &[], b"").starts_with("204 "));
    assert!(drafted(&files, at, "HEAD", &[], b"").starts_with("410 "));
    assert!(drafted(&files, "/x?upload=1.5", "HEAD", &[], b"").starts_with("404 "));
    let left = files.names();
    assert!(left.iter().all(|name| !name.starts_with('x')), "{left:?}");
}

#[test]
fn a_file_is_sent_to_whoever_comes() {
    let home = folder();
    let data = binary(700_000);
    let place = path(&home, "disk.img");
    fs::write(&place, &data).unwrap();
    let server = Server::of(["cat", place.to_str().unwrap(), "127.0.0.1:0"]);
    let ended = program("nc", ["127.0.0.1", server.port()]).run();
    assert!(ended.out == data, "{} bytes", ended.out.len());
    let told = server.run.err.until("unverified");
    assert!(
        told.contains("disk.img to 127.0.0.1") && told.contains("700000 bytes, blake3 "),
        "{told}"
    );
    let ended = sockeye(["connect", &format!("ws://{}", server.at), "--recv-only"]).run();
    assert!(ended.code != 0 || ended.out == data, "{}", ended.err);
    let url = format!("http://{}/", server.at);
    let ended = program("curl", ["-s", "-i", "-r", "699990-", &url]).run();
    assert!(ended.out.ends_with(&data[699_990..]));
    assert!(
        ended.text().contains("filename=\"disk.img\""),
        "{}",
        ended.text()
    );
    for (file, why) in [
        ("/nowhere/x", "no such file"),
        ("/dev/null", "no regular file"),
    ] {
        let ended = sockeye(["serve", "cat", file, "127.0.0.1:0"]).run();
        assert!(
            ended.code != 0 && ended.complaint().contains(why),
            "{ended:?}"
        );
    }
}

#[test]
fn people_without_http_are_told_where_to_go() {
    let files = Files::with(&[]);
    let ended = program("nc", ["-N", "127.0.0.1", files.server.port()]).with("hello\n");
    assert!(
        ended
            .text()
            .contains(&format!("open http://{}/", files.server.at)),
        "{ended:?}"
    );
    let mut wire = files.server.tcp();
    wire.write_all(b"\xf5skt\r\n\x1a\n").unwrap();
    wire.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    wire.set_read_timeout(Some(LONG)).unwrap();
    wire.read_to_end(&mut heard).unwrap();
    assert!(
        !String::from_utf8_lossy(&heard).contains("browser"),
        "sockeye is spoken to as such"
    );
}
