//! Files that change while they are sent: an answer is whole and of one state, or it breaks off.

use super::*;

use std::io::Write;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

/// Longer than what is read ahead.
const LEN: usize = 4 << 20;

/// A body of which the first piece has been taken.
struct Begun {
    body: Body,
    taken: Vec<u8>,
}

async fn begin(tree: &Tree, lines: &[(&str, &str)]) -> Begun {
    let answer = tree.ask(Method::GET, "/file.txt", lines).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut body = answer.body;
    let first = within(poll_fn(|cx| pin!(&mut body).poll_frame(cx))).await;
    let first: Bytes = first.unwrap().unwrap().into_data().unwrap();
    assert!(!first.is_empty() && first.len() < LEN / 2);
    let taken = first.to_vec();
    Begun { body, taken }
}

impl Begun {
    /// The rest, or how it broke off; then less than the announced length has come.
    async fn rest(self) -> Result<Vec<u8>, String> {
        let rest = read(self.body).await.map_err(|error| error.to_string())?;
        Ok([self.taken, rest].concat())
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_sent_to_its_end() {
    let tree = Tree::new();
    let content = numbered(LEN);
    tree.write("file.txt", &content);
    let begun = begin(&tree, &[]).await;
    tree.write("other.txt", "another");
    fs::rename(tree.path("other.txt"), tree.path("file.txt")).unwrap();
    assert!(begun.rest().await.unwrap() == content, "the file as it was");
    assert_eq!(tree.get("/file.txt", &[]).await.text(), "another");
    tree.write("file.txt", &content);
    let begun = begin(&tree, &[]).await;
    fs::remove_file(tree.path("file.txt")).unwrap();
    assert!(begun.rest().await.unwrap() == content, "one that is gone");
}

#[tokio::test]
async fn a_file_that_grows_is_sent_as_long_as_it_was() {
    let tree = Tree::new();
    let content = numbered(LEN);
    tree.write("file.txt", &content);
    let begun = begin(&tree, &[]).await;
    let mut log = File::options()
        .append(true)
        .open(tree.path("file.txt"))
        .unwrap();
    log.write_all(b"more").unwrap();
    assert!(begun.rest().await.unwrap() == content);
}

#[tokio::test]
async fn a_file_that_shrinks_breaks_the_answer_off() {
    let tree = Tree::new();
    for packing in [&[][..], &[("accept-encoding", "gzip")]] {
        for left in [0, 1000, LEN as u64 - 1] {
            tree.write("file.txt", numbered(LEN));
            let begun = begin(&tree, packing).await;
            let file = File::options().write(true).open(tree.path("file.txt"));
            file.unwrap().set_len(left).unwrap();
            let broken = begun.rest().await.unwrap_err();
            assert_eq!(broken, "the file was changed while it was sent");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_written_to_breaks_the_answer_off() {
    let tree = Tree::new();
    for packing in [&[][..], &[("accept-encoding", "gzip")]] {
        tree.write("file.txt", numbered(LEN));
        let begun = begin(&tree, packing).await;
        let file = File::options().write(true).open(tree.path("file.txt"));
        // What has been sent already is not what it is any more.
        file.unwrap().write_all_at(b"!", 0).unwrap();
        let broken = begun.rest().await.unwrap_err();
        assert_eq!(broken, "the file was changed while it was sent");
    }
}

#[tokio::test]
async fn a_sparse_terabyte_is_a_file_like_any_other() {
    let tree = Tree::new();
    let len = 1_u64 << 40;
    let file = File::create(tree.path("sparse.bin")).unwrap();
    // Not every file system takes one this long.
    if file.set_len(len).is_err() {
        return;
    }
    file.write_all_at(b"end", len - 3).unwrap();
    let head = tree.head("/sparse.bin", &[]).await;
    assert_eq!(head.header("content-length"), len.to_string());
    let part = tree.get("/sparse.bin", &[("range", "bytes=-3")]).await;
    assert_eq!(part.text(), "end");
    let said = format!("bytes {}-{}/{len}", len - 3, len - 1);
    assert_eq!(part.header("content-range"), said);
}

#[tokio::test]
async fn a_time_that_cannot_be_is_no_obstacle() {
    let tree = Tree::new();
    let now = SystemTime::now();
    for (time, said) in [
        (SystemTime::UNIX_EPOCH, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (SystemTime::UNIX_EPOCH - Duration::from_secs(9), ""),
    ] {
        tree.write("file.txt", "x");
        modified(&tree.path("file.txt"), time);
        let file = tree.get("/file.txt", &[]).await;
        assert_eq!(
            (file.status, file.header("last-modified")),
            (StatusCode::OK, said)
        );
        assert_eq!(tree.get("/", &[]).await.status, StatusCode::OK);
    }
    modified(&tree.path("file.txt"), now + Duration::from_secs(1 << 33));
    let file = tree.get("/file.txt", &[]).await;
    let date = httpdate::parse_http_date(file.header("last-modified")).unwrap();
    // RFC 9110, section 8.8.2.1: never later than the answer itself.
    assert!(date <= SystemTime::now(), "{date:?}");
    assert!(file.header("etag").starts_with("W/"), "who knows when");
    assert_eq!(tree.get("/", &[]).await.status, StatusCode::OK);
}
