//! `sink`: what arrived is in a file, and nothing that was there before is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye::service::{Sink, Target};
use sockeye::{ByteStream, Endpoint, Framing, Identity, Link, PortConfig, Service, Session, Side};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stage::{Events, Stage, within};

/// The names in `folder`, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn file(path: PathBuf) -> Sink {
    Sink {
        target: Target::File(path),
    }
}

/// One session that sends `messages` and finishes.
async fn give(sink: &Sink, pair: (Session, Session), messages: &[&'static str]) {
    let (near, mut far) = pair;
    let giving = async {
        for message in messages {
            far.send(*message).await.unwrap();
        }
        far.finish().await.unwrap();
        if far.keeps_boundaries() {
            drop(far);
        } else {
            assert_eq!(far.recv().await.unwrap(), None, "a sink says nothing");
        }
    };
    within(async { tokio::join!(sink.serve(near), giving).0 })
        .await
        .unwrap();
}

#[tokio::test]
async fn discard_counts_and_answers_nothing() {
    let (observer, mut events) = Events::pair();
    let (near, far) = tokio::io::duplex(64);
    let session = |io, side, observer| {
        let identity = Identity::new(side, "test", Endpoint::Memory, Endpoint::Memory);
        let link = Link::Bytes(ByteStream::new(io), Framing::Raw);
        Session::new(link, identity.observer(observer), 1024)
    };
    let pair = (
        session(near, Side::Accepted, Some(observer)),
        session(far, Side::Dialed, None),
    );
    give(&Sink::default(), pair, &["abc", "de"]).await;
    assert_eq!(events.note("took").await, "(memory) took 5 bytes");
}

#[tokio::test]
async fn a_file_holds_the_bytes_of_the_wire_with_their_marks() {
    for (framing, wire) in [
        ("line", &b"a\nbc\n"[..]),
        ("length:u8", b"\x01a\x02bc"),
        ("until:;", b"a;bc;"),
        ("raw", b"abc"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sink = file(folder.path().join("got.bin"));
        give(&sink, Session::pair(framing.parse().unwrap()), &["a", "bc"]).await;
        assert_eq!(names(folder.path()), ["got.bin"], "{framing}");
        assert_eq!(fs::read(folder.path().join("got.bin")).unwrap(), wire);
    }
}

#[tokio::test]
async fn packets_are_kept_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file(folder.path().join("got"));
    give(&sink, Session::packet_pair(), &["a", "", "bc"]).await;
    assert_eq!(fs::read(folder.path().join("got")).unwrap(), b"abc");
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("got.txt");
    fs::write(&name, "precious").unwrap();
    let sink = file(name);
    for text in ["one", "two"] {
        give(&sink, Session::pair(Framing::Raw), &[text]).await;
    }
    assert_eq!(names(folder.path()), ["got-2.txt", "got-3.txt", "got.txt"]);
    for (name, text) in [
        ("got.txt", "precious"),
        ("got-2.txt", "one"),
        ("got-3.txt", "two"),
    ] {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
    }
}

#[tokio::test]
async fn an_empty_session_is_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    give(
        &file(folder.path().join("got")),
        Session::pair(Framing::Raw),
        &[],
    )
    .await;
    assert_eq!(fs::read(folder.path().join("got")).unwrap(), b"");
}

#[tokio::test]
async fn sessions_at_the_same_time_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file(folder.path().join("got"));
    let (near_a, mut far_a) = Session::pair(Framing::Raw);
    let (near_b, mut far_b) = Session::pair(Framing::Raw);
    let giving = async {
        for _ in 0..100 {
            far_a.send("aaaa").await.unwrap();
            far_b.send("bbbb").await.unwrap();
        }
        far_a.finish().await.unwrap();
        far_b.finish().await.unwrap();
    };
    let (a, b, ()) =
        within(async { tokio::join!(sink.serve(near_a), sink.serve(near_b), giving) }).await;
    a.and(b).unwrap();
    let mut kept = ["got", "got-2"].map(|name| fs::read(folder.path().join(name)).unwrap());
    kept.sort();
    assert_eq!(kept, [vec![b'a'; 400], vec![b'b'; 400]]);
}

#[tokio::test]
async fn a_folder_gets_a_file_per_session() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink {
        target: Target::Folder(folder.path().to_owned()),
    };
    for text in ["one", "two"] {
        give(&sink, Session::pair(Framing::Raw), &[text]).await;
    }
    assert_eq!(names(folder.path()), ["_memory_", "_memory_-2"]);
    assert_eq!(fs::read(folder.path().join("_memory_")).unwrap(), b"one");
}

/// What strangers send is nobody else's business, whatever the umask allows.
#[tokio::test]
async fn what_is_saved_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    for sink in [
        file(folder.path().join("got.txt")),
        Sink {
            target: Target::Folder(folder.path().to_owned()),
        },
    ] {
        give(&sink, Session::pair(Framing::Raw), &["secret"]).await;
    }
    assert_eq!(names(folder.path()), ["_memory_", "got.txt"]);
    for name in names(folder.path()) {
        let mode = fs::metadata(folder.path().join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// Gives some bytes, then breaks.
struct Broken(bool);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        out.put_slice(b"half");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_broken_session_leaves_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::new(Side::Accepted, "test", Endpoint::Memory, Endpoint::Memory);
    let link = Link::Bytes(ByteStream::new(Broken(false)), Framing::Raw);
    let session = Session::new(link, identity, 1024);
    let sink = file(folder.path().join("got.txt"));
    let error = within(sink.serve(session)).await.unwrap_err();
    assert!(error.is_reset(), "{error}");
    let kept = names(folder.path());
    assert!(
        kept.len() == 1 && kept[0].starts_with("got.txt.") && kept[0].ends_with(".part"),
        "{kept:?}"
    );
    assert_eq!(fs::read(folder.path().join(&kept[0])).unwrap(), b"half");
}

#[tokio::test]
async fn a_session_that_was_stopped_leaves_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file(folder.path().join("got.txt"));
    let mut stage = Stage::with("tcp://127.0.0.1:0", PortConfig::default(), sink).await;
    let mut session = stage.dial().await;
    session.send("half").await.unwrap();
    let info = stage.events.opened().await;
    while info.counters().bytes_in() < 4 {
        tokio::task::yield_now().await;
    }
    stage.stop.cancel();
    let note = stage.events.note("kept").await;
    assert!(note.starts_with("kept 4 bytes as "), "{note}");
    stage.end().await;
    let kept = names(folder.path());
    assert!(kept.len() == 1 && kept[0].ends_with(".part"), "{kept:?}");
    assert_eq!(fs::read(folder.path().join(&kept[0])).unwrap(), b"half");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (near, _far) = Session::pair(Framing::Raw);
    let sink = file(folder.path().join("none/got"));
    let error = within(sink.serve(near)).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot create ") && error.ends_with("no such file or directory"),
        "{error}"
    );
}
