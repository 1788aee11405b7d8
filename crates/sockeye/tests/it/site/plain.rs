//! Files, parts of files, folders: what browsers and download managers ask for every day.

use super::*;

use sockeye::{Encoding, Framing, Session};

#[tokio::test]
async fn a_file_comes_with_all_that_a_client_needs_to_know() {
    let tree = Tree::new();
    tree.write("a/page.html", "<p>hello");
    let page = tree.get("/a/page.html?ignored=yes", &[]).await;
    assert_eq!(
        (page.status, page.text().as_str()),
        (StatusCode::OK, "<p>hello")
    );
    for (name, value) in [
        ("content-type", "text/html; charset=UTF-8"),
        ("content-length", "8"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
        ("content-encoding", ""),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    assert!(page.header("etag").starts_with('"'));
    let date = httpdate::parse_http_date(page.header("last-modified")).unwrap();
    let age = SystemTime::now().duration_since(date).unwrap().as_secs();
    assert!((3590..3700).contains(&age), "{age}");
}

#[tokio::test]
async fn every_length_arrives_byte_for_byte() {
    let tree = Tree::new();
    for len in [
        0,
        1,
        1023,
        1024,
        65_535,
        65_536,
        65_537,
        131_072,
        131_073,
        1 << 20,
    ] {
        let content = numbered(len);
        tree.write("file.bin", &content);
        let file = tree.get("/file.bin", &[]).await;
        assert_eq!(file.header("content-length"), len.to_string());
        assert!(file.body == content, "{len} bytes");
    }
}

#[tokio::test]
async fn head_says_the_same_and_sends_nothing() {
    let tree = Tree::new();
    tree.write("page.html", numbered(200_000));
    tree.write("sub/x", "x");
    let lines = [("accept-encoding", "gzip"), ("range", "bytes=0-9")];
    for path in ["/page.html", "/sub", "/sub/", "/nowhere", "/%00", "/.x"] {
        for lines in [&[][..], &lines[..1], &lines[1..], &lines] {
            let get = tree.ask(Method::GET, path, lines).await;
            let head = tree.head(path, lines).await;
            // A range is asked for with GET and nothing else (RFC 9110, section 14.2).
            if get.status == StatusCode::PARTIAL_CONTENT {
                assert_eq!(head.status, StatusCode::OK, "{path} {lines:?}");
                assert_eq!(head.header("content-length"), "200000");
            } else {
                assert_eq!(head.status, get.status, "{path} {lines:?}");
                assert_eq!(head.headers, get.headers, "{path} {lines:?}");
            }
            assert_eq!(head.body.size_hint().exact(), Some(0));
            assert_eq!(read(head.body).await.unwrap(), b"", "{path} {lines:?}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_not() {
    let tree = Tree::new();
    tree.write("file", "x");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for path in ["/file", "/", "/nowhere"] {
            let answer = tree.ask(method.clone(), path, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        }
    }
    assert_eq!(fs::read(tree.path("file")).unwrap(), b"x");
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let tree = Tree::new();
    tree.write("file.txt", "x");
    let first = tree.get("/file.txt", &[]).await;
    let (tag, date) = (first.header("etag"), first.header("last-modified"));
    let early = "Mon, 01 Jan 1990 00:00:00 GMT";
    for (lines, status) in [
        (&[("if-none-match", tag)][..], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-modified-since", date)], 304),
        (
            &[("if-none-match", "\"x\""), ("if-modified-since", date)],
            200,
        ),
        (&[("if-modified-since", early)], 200),
        (&[("if-match", tag)], 200),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-unmodified-since", early)], 412),
        (&[("if-none-match", tag), ("range", "bytes=0-0")], 304),
        (&[("if-match", tag), ("range", "bytes=0-0")], 206),
    ] {
        let answer = tree.get("/file.txt", lines).await;
        assert_eq!(answer.status, status, "{lines:?}");
        if status == 304 {
            assert_eq!(answer.body, b"");
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.header("content-length"), "");
        }
    }
    tree.write("file.txt", "y");
    let changed = tree.get("/file.txt", &[("if-none-match", tag)]).await;
    assert_eq!(
        (changed.status.as_u16(), changed.text().as_str()),
        (200, "y")
    );
    // Conditions are about files that are there (RFC 9110, section 13.2.1).
    let nowhere = tree.get("/nowhere", &[("if-none-match", "*")]).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_range_is_those_bytes() {
    let tree = Tree::new();
    let content = numbered(300_000);
    tree.write("file.bin", &content);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 299_999),
        ("bytes=-1", 299_999, 299_999),
        ("bytes=100000-250000", 100_000, 250_000),
        ("bytes=299990-999999", 299_990, 299_999),
        ("bytes=-999999", 0, 299_999),
    ] {
        let part = tree.get("/file.bin", &[("range", range)]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        let says = format!("bytes {first}-{last}/300000");
        assert_eq!(part.header("content-range"), says);
        assert!(part.body == content[first..=last], "{range}");
    }
    for range in ["bytes=300000-", "bytes=-0"] {
        let none = tree.get("/file.bin", &[("range", range)]).await;
        assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(none.header("content-range"), "bytes */300000");
    }
    for range in ["bytes=9-0", "lines=0-1", "bytes=x"] {
        let all = tree.get("/file.bin", &[("range", range)]).await;
        assert_eq!((all.status, all.body.len()), (StatusCode::OK, 300_000));
    }
}

#[tokio::test]
async fn several_ranges_come_in_one_body() {
    let tree = Tree::new();
    let content = numbered(300_000);
    tree.write("file.bin", &content);
    let lines = [("range", "bytes=-10,0-99,100000-250000,999999-")];
    let answer = tree.get("/file.bin", &lines).await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.header("content-range"), "");
    let kind = answer.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(299_990, 299_999), (0, 99), (100_000, 250_000)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/300000\r\n\r\n"
        );
        expected.extend(head.bytes().chain(content[first..=last].iter().copied()));
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert!(answer.body == expected);
    let again = tree.get("/file.bin", &lines).await;
    assert_ne!(again.header("content-type"), kind, "nobody can foresee it");
}

#[tokio::test]
async fn a_part_is_continued_only_of_the_same_file() {
    let tree = Tree::new();
    tree.write("file.bin", numbered(1000));
    let first = tree.head("/file.bin", &[]).await;
    let (tag, date) = (first.header("etag"), first.header("last-modified"));
    for (condition, status) in [(tag, 206), (date, 206), ("\"x\"", 200), ("W/\"x\"", 200)] {
        let lines = [("range", "bytes=500-"), ("if-range", condition)];
        let answer = tree.get("/file.bin", &lines).await;
        assert_eq!(answer.status, status, "{condition}");
    }
    tree.write("file.bin", numbered(2000));
    let lines = [("range", "bytes=500-"), ("if-range", tag)];
    let answer = tree.get("/file.bin", &lines).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 2000));
}

#[tokio::test]
async fn a_folder_shows_its_index_or_what_is_in_it() {
    let tree = Tree::new();
    tree.write("with/index.html", "the index");
    tree.write("without/b.txt", "b");
    tree.write("without/A.txt", "aa");
    tree.write("without/zoo/x", "x");
    tree.write("without/.hidden", "x");
    fs::create_dir(tree.path("without/empty")).unwrap();
    let index = tree.get("/with/", &[]).await;
    assert_eq!(index.text(), "the index");
    assert_eq!(index.header("content-type"), "text/html; charset=UTF-8");
    assert!(!index.header("etag").is_empty());
    let listing = tree.get("/without/", &[]).await;
    assert_eq!(listing.status, StatusCode::OK);
    assert_eq!(listing.header("content-type"), "text/html; charset=utf-8");
    let policy = listing.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(listing.links(), ["../", "empty/", "zoo/", "A.txt", "b.txt"]);
    let text = listing.text();
    assert!(
        text.contains("<h1>/without/</h1>") && text.contains("2 B"),
        "{text}"
    );
    let root = tree.get("/", &[]).await;
    assert_eq!(root.links(), ["with/", "without/"], "nothing is above it");
    let empty = tree.get("/without/empty/", &[]).await;
    assert!(empty.text().contains("Nothing is in this folder."));
}

#[tokio::test]
async fn a_folder_is_called_by_its_full_name() {
    let tree = Tree::new();
    for name in [
        "sub/a b",
        "evil.example",
        r"\evil.example",
        "a\r\nSet-Cookie: x",
    ] {
        fs::create_dir_all(tree.path(name)).unwrap();
    }
    tree.write("file", "x");
    for (path, location) in [
        ("/sub", "/sub/"),
        ("/sub/a%20b?x=1&y=%2f", "/sub/a%20b/?x=1&y=%2f"),
        ("//evil.example", "/evil.example/"),
        ("/%5cevil.example", "/%5Cevil.example/"),
        ("/\\evil.example", "/%5Cevil.example/"),
        ("/a%0d%0aSet-Cookie:%20x", "/a%0D%0ASet-Cookie%3A%20x/"),
    ] {
        let answer = tree.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY, "{path}");
        assert_eq!(answer.header("location"), location);
        assert_eq!(answer.header("cache-control"), "no-cache");
    }
    assert_eq!(tree.get("/file/", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_listings_a_folder_keeps_to_itself() {
    let tree = Tree::with(SiteOptions {
        listing: false,
        ..SiteOptions::default()
    });
    tree.write("sub/file.txt", "x");
    tree.write("with/index.html", "the index");
    let sub = tree.get("/sub/", &[]).await;
    assert_eq!(sub.status, StatusCode::FORBIDDEN);
    assert!(!sub.text().contains("file.txt"));
    assert_eq!(tree.get("/sub/file.txt", &[]).await.text(), "x");
    assert_eq!(tree.get("/with/", &[]).await.text(), "the index");
}

#[tokio::test]
async fn hidden_names_are_served_only_when_that_is_asked_for() {
    for hidden in [false, true] {
        let tree = Tree::with(SiteOptions {
            hidden,
            ..SiteOptions::default()
        });
        tree.write(".env", "x");
        tree.write(".git/config", "x");
        tree.write("sub/.x/y", "x");
        let status = if hidden { 200 } else { 404 };
        for path in ["/.env", "/%2eenv", "/.git/config", "/.git/", "/sub/.x/y"] {
            assert_eq!(tree.get(path, &[]).await.status, status, "{path}");
        }
        let links: &[&str] = if hidden {
            &[".git/", "sub/", ".env"]
        } else {
            &["sub/"]
        };
        assert_eq!(tree.get("/", &[]).await.links(), links);
    }
}

#[tokio::test]
async fn text_is_in_the_encoding_that_was_named() {
    let tree = Tree::with(SiteOptions {
        encoding: "gb2312".parse::<Encoding>().unwrap(),
        ..SiteOptions::default()
    });
    tree.write("a.html", b"\xd6\xd0\xce\xc4");
    tree.write("README", b"\xd6\xd0\xce\xc4");
    for path in ["/a.html", "/README"] {
        let file = tree.get(path, &[]).await;
        assert!(file.header("content-type").ends_with("; charset=GB2312"));
        assert_eq!(file.body, b"\xd6\xd0\xce\xc4", "as it is on the disk");
    }
}

#[tokio::test]
async fn a_name_without_an_end_is_judged_by_what_is_in_it() {
    let tree = Tree::new();
    tree.write("LICENSE", "Permission is hereby granted");
    tree.write("program", b"\x7fELF\x02\x01\x01\0");
    let license = tree.get("/LICENSE", &[]).await;
    assert_eq!(license.header("content-type"), "text/plain; charset=UTF-8");
    let program = tree.get("/program", &[]).await;
    assert_eq!(program.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn whoever_comes_without_http_is_told_where_to_go() {
    let tree = Tree::new();
    for (near, mut far) in [Session::pair(Framing::Raw), Session::packet_pair()] {
        let asked = async {
            far.send("hello?").await.unwrap();
            let said = far.recv().await.unwrap().unwrap();
            assert_eq!(&said.data[..], b"this port serves files, over HTTP\n");
            // An echo at the other end is not answered again.
            far.send(said).await.unwrap();
            far.finish().await.unwrap();
            assert!(far.recv().await.unwrap().is_none(), "said once");
        };
        let (served, ()) = within(async { tokio::join!(tree.site.serve(near), asked) }).await;
        served.unwrap();
    }
}
