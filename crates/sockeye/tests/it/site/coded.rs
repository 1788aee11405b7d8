//! Files that are sent in another form: encoded beforehand, or compressed on the way.

use super::*;

use std::io::Read;

use flate2::read::GzDecoder;

const ALL: &str = "gzip, deflate, br, zstd";

/// Text that shrinks, longer than several pieces.
fn text(lines: usize) -> String {
    (0..lines)
        .map(|n| format!("line {n} of the text\n"))
        .collect()
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(body).read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn text_is_compressed_for_those_who_can_read_it() {
    let tree = Tree::new();
    for (name, content) in [
        ("a.txt", text(100)),
        ("b.json", text(50_000)),
        ("README", text(1000)),
    ] {
        tree.write(name, &content);
        let path = format!("/{name}");
        let packed = tree.get(&path, &[("accept-encoding", ALL)]).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{name}");
        assert_eq!(packed.header("content-length"), "");
        assert_eq!(packed.header("accept-ranges"), "");
        assert_eq!(packed.header("vary"), "accept-encoding");
        assert!(packed.body.len() < content.len() / 2);
        assert!(unpacked(&packed.body) == content.as_bytes(), "{name}");
        for line in [&[][..], &[("accept-encoding", "gzip;q=0, identity")]] {
            let plain = tree.get(&path, line).await;
            assert_eq!(plain.header("content-encoding"), "");
            assert_eq!(plain.header("vary"), "accept-encoding");
            assert_ne!(plain.header("etag"), packed.header("etag"));
            assert!(plain.body == content.as_bytes());
        }
    }
}

#[tokio::test]
async fn what_gains_nothing_is_sent_as_it_is() {
    let tree = Tree::new();
    tree.write("small.txt", text(40));
    tree.write("picture.png", text(1000));
    tree.write("archive.zip", text(1000));
    let lines = [("accept-encoding", ALL)];
    for path in ["/small.txt", "/picture.png", "/archive.zip"] {
        let file = tree.get(path, &lines).await;
        assert_eq!(file.header("content-encoding"), "", "{path}");
        assert!(!file.header("content-length").is_empty(), "{path}");
    }
    assert_eq!(tree.get("/picture.png", &lines).await.header("vary"), "");
    // Too long to lose its length: nobody could go on with it.
    let long = File::create(tree.path("long.txt")).unwrap();
    long.set_len(65 << 20).unwrap();
    let long = tree.head("/long.txt", &lines).await;
    assert_eq!(long.header("content-encoding"), "");
}

#[tokio::test]
async fn a_part_is_never_of_what_is_compressed_on_the_way() {
    let tree = Tree::new();
    let content = text(1000);
    tree.write("a.txt", &content);
    let whole = tree.get("/a.txt", &[("accept-encoding", ALL)]).await;
    let tag = whole.header("etag");
    assert!(tag.starts_with("W/"), "{tag}");
    let lines = [("accept-encoding", ALL), ("range", "bytes=5-9")];
    let part = tree.get("/a.txt", &lines).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header("content-encoding"), "");
    assert_eq!(part.body, &content.as_bytes()[5..=9]);
    // What the client has is no beginning of the plain file.
    let lines = [lines[0], lines[1], ("if-range", tag)];
    let all = tree.get("/a.txt", &lines).await;
    assert_eq!(all.status, StatusCode::OK);
    assert!(all.body == content.as_bytes());
}

#[tokio::test]
async fn a_compressed_form_has_a_tag_of_its_own() {
    let tree = Tree::new();
    tree.write("a.txt", text(1000));
    let packed = tree.head("/a.txt", &[("accept-encoding", ALL)]).await;
    let plain = tree.head("/a.txt", &[]).await;
    let ask = |tag, accept| [("if-none-match", tag), ("accept-encoding", accept)];
    for (tag, accept, status) in [
        (packed.header("etag"), ALL, 304),
        (packed.header("etag"), "identity", 200),
        (plain.header("etag"), "identity", 304),
        (plain.header("etag"), ALL, 200),
    ] {
        let answer = tree.get("/a.txt", &ask(tag, accept)).await;
        assert_eq!(answer.status, status, "{tag} {accept}");
    }
}

#[tokio::test]
async fn what_was_encoded_beforehand_is_sent_to_who_takes_it() {
    let tree = Tree::new();
    tree.write("a.js", text(100));
    for (end, content) in [(".br", "brotli"), (".zst", "zstandard"), (".gz", "zipped")] {
        tree.write(format!("a.js{end}"), content);
    }
    for (accept, coding, content) in [
        (ALL, "br", "brotli"),
        ("gzip, deflate", "gzip", "zipped"),
        ("br;q=0.1, zstd;q=0.5", "zstd", "zstandard"),
        ("gzip, br;q=0", "gzip", "zipped"),
        ("identity;q=0, *", "br", "brotli"),
    ] {
        let file = tree.get("/a.js", &[("accept-encoding", accept)]).await;
        assert_eq!(file.header("content-encoding"), coding, "{accept}");
        assert_eq!(
            file.header("content-type"),
            "text/javascript; charset=UTF-8"
        );
        assert_eq!(file.header("vary"), "accept-encoding");
        assert_eq!(file.text(), content);
        let tag = file.header("etag");
        assert!(tag.ends_with(&format!("-{coding}\"")), "{tag}");
    }
    // It has a length and stays the same, so parts of it are parts.
    let lines = [("accept-encoding", "br"), ("range", "bytes=0-2")];
    let part = tree.get("/a.js", &lines).await;
    assert_eq!(part.header("content-range"), "bytes 0-2/6");
    assert_eq!(
        (part.header("content-encoding"), part.text().as_str()),
        ("br", "bro")
    );
    // By its own name it is a file like any other.
    let own = tree.get("/a.js.gz", &[("accept-encoding", ALL)]).await;
    assert_eq!(own.header("content-encoding"), "");
    assert_eq!(own.header("content-type"), "application/gzip");
}

#[tokio::test]
async fn a_form_of_an_older_state_is_not_sent() {
    let tree = Tree::new();
    tree.write("a.css", "new");
    tree.write("a.css.br", "old");
    let path = tree.path("a.css.br");
    modified(&path, SystemTime::now() - Duration::from_secs(7200));
    let lines = [("accept-encoding", "br")];
    assert_eq!(tree.get("/a.css", &lines).await.text(), "new");
    modified(&path, SystemTime::now());
    assert_eq!(tree.get("/a.css", &lines).await.text(), "old");
}

#[tokio::test]
async fn a_form_is_a_file_of_this_folder_or_nothing() {
    let tree = Tree::new();
    tree.write("a.css", "plain");
    tree.write("b.css", "plain");
    std::os::unix::fs::symlink("../secret", tree.path("a.css.br")).unwrap();
    fs::create_dir(tree.path("b.css.br")).unwrap();
    tree.write("only.css.br", "nothing without it");
    let lines = [("accept-encoding", "br")];
    assert_eq!(tree.get("/a.css", &lines).await.text(), "plain");
    assert_eq!(tree.get("/b.css", &lines).await.text(), "plain");
    let only = tree.get("/only.css", &lines).await;
    assert_eq!(only.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_takes_nothing_that_there_is_gets_nothing() {
    let tree = Tree::new();
    tree.write("a.txt", "short");
    tree.write("a.png", "x");
    for path in ["/a.txt", "/a.png"] {
        let lines = [("accept-encoding", "identity;q=0, gzip")];
        let answer = tree.get(path, &lines).await;
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{path}");
    }
}
