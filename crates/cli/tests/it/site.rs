//! `serve site` as it is used: curl, browsers' ways, download managers, and folders that are odd.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::stage::{Ended, Server, Wire, binary, drain, folder, hear, path, program, sockeye};

/// A folder that is served, and what asks.
struct Site {
    folder: Arc<TempDir>,
    server: Server,
}

impl Site {
    /// `serve site FOLDER FLAGS`, on a port that the system chose.
    #[track_caller]
    fn with(flags: &[&str]) -> Self {
        let folder = folder();
        let words = ["site", folder.path().to_str().unwrap(), "127.0.0.1:0"];
        let server = Server::of(words.iter().chain(flags));
        Self { folder, server }
    }

    fn new() -> Self {
        Self::with(&[])
    }

    /// A file of some age, as most files are.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = path(&self.folder, name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(old).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.at)
    }

    /// curl with these flags.
    #[track_caller]
    fn curl(&self, path: &str, flags: &[&str]) -> Ended {
        let url = self.url(path);
        let flags = ["-s", "-S", "--path-as-is"].iter().chain(flags);
        program("curl", flags.copied().chain([url.as_str()])).run()
    }

    /// The status, and the body.
    #[track_caller]
    fn get(&self, path: &str, flags: &[&str]) -> (u16, Vec<u8>) {
        let flags: Vec<&str> = flags
            .iter()
            .copied()
            .chain(["-w", "%{stderr}%{http_code}"])
            .collect();
        let ended = self.curl(path, &flags);
        assert_eq!(ended.code, 0, "{path}: {}", ended.err);
        (ended.err.parse().unwrap(), ended.out)
    }
}

/// The value of a header in what `curl -i` or `-I` has written.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (given, value) = line.split_once(": ")?;
        given.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn curl_gets_files_and_folders() {
    let site = Site::new();
    let data = binary(3 << 20);
    site.write("sub/data.bin", &data);
    site.write("sub/index.html", "the index");
    let (status, got) = site.get("/sub/data.bin", &[]);
    assert!(status == 200 && got == data);
    assert_eq!(site.get("/sub", &[]).0, 301);
    assert_eq!(site.get("/sub", &["-L"]), (200, b"the index".to_vec()));
    assert_eq!(site.get("/nowhere", &[]).0, 404);
    assert_eq!(site.get("/../../etc/passwd", &[]).0, 400);
    assert_eq!(site.get("/", &["-X", "DELETE"]).0, 405);
    let (status, listing) = site.get("/", &[]);
    let listing = String::from_utf8(listing).unwrap();
    assert!(
        status == 200 && listing.contains("<a href=\"sub/\">"),
        "{listing}"
    );
    let head = site.curl("/sub/data.bin", &["-I"]).text();
    assert_eq!(header(&head, "content-length"), Some("3145728"));
    assert!(header(&head, "date").is_some() && header(&head, "etag").is_some());
}

#[test]
fn over_http_2_it_is_the_same() {
    let site = Site::new();
    let data = binary(3 << 20);
    site.write("data.bin", &data);
    site.write("page.html", "x ".repeat(100_000));
    let h2 = "--http2-prior-knowledge";
    assert!(site.get("/data.bin", &[h2]) == (200, data.clone()));
    assert!(site.get("/data.bin", &[h2, "-r", "1000000-"]) == (206, data[1_000_000..].to_vec()));
    let (status, page) = site.get("/page.html", &[h2, "--compressed"]);
    assert!(status == 200 && page == "x ".repeat(100_000).as_bytes());
    let head = site.curl("/data.bin", &[h2, "-I"]).text();
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    assert_eq!(header(&head, "content-length"), Some("3145728"));
}

#[test]
fn what_curl_has_it_does_not_get_again() {
    let site = Site::new();
    site.write("file.txt", "content");
    let place = path(&site.folder, "etag").display().to_string();
    assert_eq!(site.get("/file.txt", &["--etag-save", &place]).0, 200);
    assert_eq!(
        site.get("/file.txt", &["--etag-compare", &place]),
        (304, vec![])
    );
    let copy = path(&site.folder, "file.txt").display().to_string();
    assert_eq!(site.get("/file.txt", &["-z", &copy]), (304, vec![]));
    site.write("file.txt", "another");
    let (status, body) = site.get("/file.txt", &["--etag-compare", &place]);
    assert_eq!((status, &body[..]), (200, &b"another"[..]));
}

#[test]
fn a_download_is_resumed() {
    let site = Site::new();
    let data = binary(1 << 20);
    site.write("data.bin", &data);
    let place = path(&site.folder, "copy").display().to_string();
    fs::write(&place, &data[..300_000]).unwrap();
    assert_eq!(site.get("/data.bin", &["-C", "-", "-o", &place]).0, 206);
    assert!(fs::read(&place).unwrap() == data);
    // All of it is there: nothing is asked for that the file does not have.
    let again = site.get("/data.bin", &["-C", "-", "-o", &place]);
    assert_eq!(again.0, 416);
    assert!(fs::read(&place).unwrap() == data);
}

#[test]
fn curl_gets_parts() {
    let site = Site::new();
    let data = binary(1000);
    site.write("data.bin", &data);
    assert_eq!(
        site.get("/data.bin", &["-r", "10-19"]),
        (206, data[10..20].to_vec())
    );
    assert_eq!(
        site.get("/data.bin", &["-r", "-5"]),
        (206, data[995..].to_vec())
    );
    assert_eq!(site.get("/data.bin", &["-r", "1000-"]).0, 416);
    let several = site.curl("/data.bin", &["-i", "-r", "0-9,500-509"]);
    let several = String::from_utf8_lossy(&several.out).into_owned();
    let kind = header(&several, "content-type").unwrap();
    assert!(
        kind.starts_with("multipart/byteranges; boundary="),
        "{kind}"
    );
    assert!(several.contains("Content-Range: bytes 500-509/1000\r\n"));
}

#[test]
fn text_is_compressed_on_the_way_and_beforehand() {
    let site = Site::new();
    let text = "all work and no play\n".repeat(10_000);
    site.write("file.txt", &text);
    let (status, got) = site.get("/file.txt", &["--compressed"]);
    assert!(status == 200 && got == text.as_bytes());
    let head = site.curl("/file.txt", &["--compressed", "-I"]).text();
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!(header(&head, "vary"), Some("accept-encoding"));
    // By the tool that everybody has, in place of ours.
    let packed = program("gzip", ["-c"]).with("from gzip itself");
    site.write("file.txt.gz", &packed.out);
    let (status, got) = site.get(
        "/file.txt",
        &["--compressed", "-H", "Accept-Encoding: gzip"],
    );
    assert_eq!((status, &got[..]), (200, &b"from gzip itself"[..]));
}

#[test]
fn flags_hide_and_show() {
    let site = Site::with(&["--no-listing"]);
    site.write("file.txt", "x");
    site.write(".hidden", "x");
    assert_eq!(site.get("/", &[]).0, 403);
    assert_eq!(site.get("/.hidden", &[]).0, 404);
    let site = Site::with(&["--hidden", "--encoding", "gbk"]);
    site.write(".hidden", "x");
    site.write("file.txt", "x");
    assert_eq!(site.get("/.hidden", &[]), (200, b"x".to_vec()));
    let head = site.curl("/file.txt", &["-I"]).text();
    assert_eq!(
        header(&head, "content-type"),
        Some("text/plain; charset=GBK")
    );
}

#[test]
fn a_folder_that_is_none_is_told_in_one_line() {
    let folder = folder();
    fs::write(path(&folder, "file"), "x").unwrap();
    for (words, code, complaint) in [
        (
            vec!["site"],
            2,
            "sockeye: site needs a folder: sockeye serve site DIR [ADDR]…",
        ),
        (
            vec!["site", "nowhere", "127.0.0.1:0"],
            1,
            "sockeye: cannot serve the folder nowhere: no such file or directory",
        ),
        (
            vec!["site", "file", "127.0.0.1:0"],
            1,
            "sockeye: cannot serve the folder file: not a directory",
        ),
    ] {
        let line = sockeye(std::iter::once("serve").chain(words));
        let ended = line.home(&folder).run();
        assert_eq!((ended.code, ended.complaint()), (code, complaint));
    }
    let echo = Server::start("echo 127.0.0.1:0 --no-listing");
    echo.run
        .err
        .until("--no-listing is for `site`; `echo` ignores it");
}

#[test]
fn a_plain_client_is_told_where_to_go() {
    let site = Site::new();
    let told = format!(
        "this port serves files: open http://{}/ in a browser\n",
        site.server.at
    );
    let nc = program("nc", ["-N", "127.0.0.1", site.server.port()]).with("hello?\n");
    assert_eq!((nc.code, nc.text()), (0, told.clone()));
    let mut client = site.server.tcp();
    client.write_all(b"\0\x01\x02").unwrap();
    assert_eq!(drain(&mut client), (told.clone().into_bytes(), Wire::Fin));
    let words = ["-u", "-W1", "127.0.0.1", site.server.port()];
    assert_eq!(program("nc", words).with("hello?\n").text(), told);
}

/// The file that is being fetched becomes another one, and then a shorter one.
#[test]
fn a_client_sees_one_state_of_a_file_or_an_end_that_is_none() {
    const LEN: usize = 64 << 20;
    let site = Site::new();
    let file = || {
        File::options()
            .write(true)
            .open(path(&site.folder, "data.bin"))
    };
    for shrink in [false, true] {
        let data = binary(LEN);
        site.write("data.bin", &data);
        let mut client = site.server.tcp();
        write!(
            client,
            "GET /data.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        // More than the kernel keeps for us: the rest has not been read yet.
        hear(&mut client, "HTTP/1.1 200 OK\r\n");
        if shrink {
            file().unwrap().set_len(1000).unwrap();
        } else {
            site.write("other.bin", "another");
            fs::rename(
                path(&site.folder, "other.bin"),
                path(&site.folder, "data.bin"),
            )
            .unwrap();
        }
        let (rest, _) = drain(&mut client);
        let head = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let body = &rest[head + 4..];
        match shrink {
            true => assert!(body.len() < LEN, "all of a file that is cut"),
            false => assert!(body == data, "{} bytes", body.len()),
        }
    }
}

#[test]
fn clients_that_stop_reading_cost_little_and_hold_up_nobody() {
    const CLIENTS: usize = 50;
    let site = Site::new();
    let large = File::create(path(&site.folder, "large.bin")).unwrap();
    large.set_len(4 << 30).unwrap();
    site.write("small.txt", "small");
    assert_eq!(site.get("/small.txt", &[]), (200, b"small".to_vec()));
    let before = resident(&site.server);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = site.server.tcp();
        write!(client, "GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        hear(&mut client, "HTTP/1.1 200 OK\r\n");
        clients.push(client);
    }
    for _ in 0..3 {
        assert_eq!(site.get("/small.txt", &[]), (200, b"small".to_vec()));
    }
    let each = resident(&site.server).saturating_sub(before) / CLIENTS;
    assert!(each < 256 * 1024, "{each} bytes for each client");
    for mut client in clients {
        client.read_exact(&mut [0; 1 << 16]).unwrap();
        assert_ne!(now_or_data(&client), Wire::Reset);
    }
    // They have gone: nothing is read for them any more, and the next one is served.
    assert_eq!(site.get("/small.txt", &[]), (200, b"small".to_vec()));
}

/// Whether the connection has been cut; data that stands ready says no.
fn now_or_data(client: &std::net::TcpStream) -> Wire {
    client.set_nonblocking(true).unwrap();
    match client.peek(&mut [0; 1]) {
        Ok(0) => Wire::Fin,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Wire::Reset,
        _ => Wire::Open,
    }
}

/// Bytes of memory that a server holds.
fn resident(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.run.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn nothing_of_the_folder_is_opened_by_its_path() {
    let folder = folder();
    let home = crate::stage::folder();
    fs::create_dir(path(&folder, "sub")).unwrap();
    for name in ["a.txt", "sub/b.html", "sub/c.bin"] {
        fs::write(path(&folder, name), "x".repeat(5000)).unwrap();
    }
    std::os::unix::fs::symlink("sub/b.html", path(&folder, "link")).unwrap();
    let trace = path(&home, "trace").display().to_string();
    let words = [
        // The server is the process that is started, and ended, here; strace stands beside it.
        "-D",
        "-f",
        "-q",
        "-e",
        "trace=/^(open|stat|lstat|access|readlink|newfstatat|statx).*",
        "-o",
        &trace,
        env!("CARGO_BIN_EXE_sockeye"),
        "serve",
        "site",
        folder.path().to_str().unwrap(),
        "127.0.0.1:0",
    ];
    let server = Server::ready(program("strace", words));
    for name in [
        "/a.txt",
        "/sub",
        "/sub/",
        "/sub/b.html",
        "/sub/c.bin",
        "/link",
        "/nowhere",
        "/",
    ] {
        let url = format!("http://{}{name}", server.at);
        assert_eq!(program("curl", ["-s", "--compressed", &url]).run().code, 0);
    }
    drop(server);
    let trace = fs::read_to_string(&trace).unwrap();
    let (_, after) = trace
        .split_once("RESOLVE_BENEATH")
        .expect("openat2 was traced");
    for line in after.lines() {
        let beneath = line.contains("openat2(")
            && line.contains("RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS")
            || line.contains("openat2(") && line.contains("RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH");
        let names_ours = [
            "a.txt",
            "sub",
            "b.html",
            "c.bin",
            "link",
            "nowhere",
            "index.html",
        ]
        .iter()
        .any(|name| line.contains(&format!("{name}\"")));
        // Entries of a folder that is listed are looked at by their own names, and links not followed.
        let entry = line.contains("AT_SYMLINK_NOFOLLOW") && !line.contains('/');
        assert!(!names_ours || beneath || entry, "{line}");
        assert!(!line.contains(folder.path().to_str().unwrap()), "{line}");
    }
    assert!(after.contains("openat2("), "{after}");
}

#[test]
fn strange_names_come_back_as_they_are() {
    let site = Site::new();
    for (name, path) in [
        ("a b+c.txt", "/a%20b+c.txt"),
        ("100%.txt", "/100%25.txt"),
        ("中文.txt", "/%E4%B8%AD%E6%96%87.txt"),
        ("..\\x", "/%2e.%5cx"),
    ] {
        site.write(name, name);
        let (status, body) = site.get(path, &[]);
        match name.starts_with('.') {
            true => assert_eq!(status, 404, "{path}"),
            false => assert_eq!((status, &body[..]), (200, name.as_bytes()), "{path}"),
        }
    }
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe");
    fs::write(site.folder.path().join(Path::new(odd)), "odd").unwrap();
    assert_eq!(site.get("/%ff%FE", &[]), (200, b"odd".to_vec()));
    let (_, listing) = site.get("/", &[]);
    assert!(
        String::from_utf8(listing)
            .unwrap()
            .contains("<a href=\"%FF%FE\">")
    );
}

#[test]
fn a_file_is_written_to_while_it_is_there() {
    let site = Site::new();
    site.write("log.txt", "one\n");
    let log = File::options()
        .append(true)
        .open(path(&site.folder, "log.txt"))
        .unwrap();
    for n in 0..20 {
        let line = format!("line {n}\n");
        let len = log.metadata().unwrap().len();
        log.write_all_at(line.as_bytes(), len).unwrap();
        let (status, got) = site.get("/log.txt", &[]);
        assert_eq!(status, 200);
        assert!(
            got.ends_with(line.as_bytes()),
            "what is there is served at once"
        );
    }
}
