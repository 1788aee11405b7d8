//! Files over a stream in memory: whole, cut anywhere, damaged anywhere, and wanted by nobody.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use sockeye::transfer::{
    CHUNK, Clash, Desk, Errand, Failure, Hello, Item, Outcome, Pace, Pipe, Reason, RelativePath,
    Role, Root, Talk, Target, VERSION, receive, send,
};
use sockeye::{ByteStream, Token};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What happens to what is read.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// After so many bytes the connection breaks.
    Cut(u64),
    /// This bit changes.
    Flip(u64),
}

/// A stream with a fault in what comes.
struct Faulty {
    io: DuplexStream,
    fault: Fault,
    read: u64,
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let most = match self.fault {
            Fault::Cut(at) if at == self.read => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Fault::Cut(at) => at - self.read,
            _ => u64::MAX,
        };
        let mut part = out.take(usize::try_from(most).unwrap_or(usize::MAX));
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        let initialized = part.filled().as_ptr();
        assert_eq!(initialized, out.initialized()[before..].as_ptr());
        out.set_filled(before + n);
        if let Fault::Flip(bit) = self.fault
            && let Some(at) = (bit / 8).checked_sub(self.read).filter(|at| *at < n as u64)
        {
            out.filled_mut()[before + at as usize] ^= 1 << (bit % 8);
        }
        self.read += n as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Both ends of a connection; the first is the visitor's.
fn connection(visitor: Fault, host: Fault) -> (ByteStream, ByteStream) {
    let (one, other) = duplex(64 * 1024);
    let end = |io, fault| ByteStream::new(Faulty { io, fault, read: 0 });
    (end(one, visitor), end(other, host))
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 509) as u8).collect()
}

fn desk(folder: &Path) -> Desk {
    let target = Target {
        root: Root::open(folder).unwrap(),
        under: None,
        clash: Clash::Rename,
        hidden: false,
        max_size: None,
    };
    let mut desk = Desk::new(target);
    desk.write = true;
    desk.read = true;
    desk
}

fn items(folder: &Path, names: &[&str]) -> Arc<[Item]> {
    let item = |name: &&str| Item::new(folder.join(name), path(name)).unwrap();
    names.iter().map(item).collect()
}

fn hello(role: Role, at: &str) -> Hello {
    Hello {
        version: VERSION,
        role,
        id: [7; 16],
        path: at.into(),
    }
}

async fn push(stream: ByteStream, items: &Arc<[Item]>, at: &str) -> Result<(), Failure> {
    let mut talk = Talk::visit(stream, hello(Role::Push, at)).await?;
    send(&mut talk, items, None, &()).await?;
    talk.part().await;
    Ok(())
}

fn same(one: &Path, other: &Path) {
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert!(
        read(one) == read(other),
        "{} is not {}",
        one.display(),
        other.display()
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A source with files of many sizes.
fn source() -> (TempDir, Vec<&'static str>) {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    let sizes = [
        ("empty", 0),
        ("a/small", 5),
        ("a/b/chunk", CHUNK),
        ("more", CHUNK + 1),
        ("large", 3 * CHUNK + 77),
    ];
    for (name, size) in sizes {
        std::fs::write(folder.path().join(name), bytes(size)).unwrap();
    }
    (
        folder,
        vec!["empty", "a", "a/small", "a/b", "a/b/chunk", "more", "large"],
    )
}

#[tokio::test]
async fn a_folder_that_is_refused_holds_up_nothing() {
    let from = TempDir::new().unwrap();
    std::fs::create_dir(from.path().join(".no")).unwrap();
    for (name, size) in [("small", 5), ("large", CHUNK + 1)] {
        std::fs::write(from.path().join(name), bytes(size)).unwrap();
        std::fs::write(from.path().join(".no").join(name), bytes(size)).unwrap();
    }
    for list in [
        &[".no", ".no/small", "small"][..],
        &[".no", ".no/small", ".no/large", "small", "large"],
    ] {
        let to = TempDir::new().unwrap();
        let (desk, items) = (desk(to.path()), items(from.path(), list));
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let both = async { tokio::join!(push(ours, &items, ""), desk.attend(theirs, &())) };
        let (pushed, attended) = tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .expect("somebody waits for what does not come");
        pushed.unwrap();
        attended.unwrap();
        for item in items.iter() {
            let outcome = item.outcome.get();
            let is_refused = item.path.as_bytes().starts_with(b".no");
            match outcome {
                Some(Outcome::Failed { reason, .. }) if is_refused => {
                    assert_eq!(*reason, Reason::Forbidden);
                }
                Some(Outcome::Landed(path)) if !is_refused => assert_eq!(*path, item.path),
                other => panic!("{}: {other:?}", item.path),
            }
        }
    }
}

#[tokio::test]
async fn what_is_sent_lands() {
    let ((from, list), to) = (source(), TempDir::new().unwrap());
    let (desk, items) = (desk(to.path()), items(from.path(), &list));
    let (ours, theirs) = connection(Fault::None, Fault::None);
    let (pushed, attended) = tokio::join!(push(ours, &items, ""), desk.attend(theirs, &()));
    pushed.unwrap();
    assert_eq!(attended.unwrap(), Errand::Brought);
    for item in items.iter() {
        assert_eq!(
            item.outcome.get(),
            Some(&Outcome::Landed(item.path.clone()))
        );
    }
    for name in ["empty", "a/small", "a/b/chunk", "more", "large"] {
        same(&from.path().join(name), &to.path().join(name));
        let modified = |folder: &TempDir| {
            folder
                .path()
                .join(name)
                .metadata()
                .unwrap()
                .modified()
                .unwrap()
        };
        assert_eq!(modified(&from), modified(&to));
    }
    assert_eq!(names(to.path()), ["a", "empty", "large", "more"]);
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let ((from, list), to) = (source(), TempDir::new().unwrap());
    let desk = desk(to.path());
    for _ in 0..2 {
        let items = items(from.path(), &list);
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let (pushed, attended) = tokio::join!(push(ours, &items, "sub"), desk.attend(theirs, &()));
        pushed.unwrap();
        attended.unwrap();
    }
    assert_eq!(names(to.path()), ["sub"]);
    assert_eq!(
        names(&to.path().join("sub")),
        ["a", "empty", "large", "more"]
    );
    // Another content of the same name, size and time is another file.
    let other = from.path().join("large");
    let modified = other.metadata().unwrap().modified().unwrap();
    let mut changed = bytes(3 * CHUNK + 77);
    changed[9] ^= 1;
    std::fs::write(&other, changed).unwrap();
    let file = std::fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(modified).unwrap();
    let items = items(from.path(), &["large"]);
    let (ours, theirs) = connection(Fault::None, Fault::None);
    let (pushed, attended) = tokio::join!(push(ours, &items, "sub"), desk.attend(theirs, &()));
    pushed.unwrap();
    attended.unwrap();
    same(&other, &to.path().join("sub/large (1)"));
}

/// Counts what goes by.
struct Count<'a>(&'a std::sync::atomic::AtomicU64);

impl sockeye::transfer::Watch for Count<'_> {
    fn moved(&self, bytes: u64) {
        self.0
            .fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Reads count what goes by: at most one chunk is sent twice for each cut.
#[tokio::test]
async fn a_hundred_cuts_cost_a_chunk_each_at_most() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    let size = 40 * CHUNK + 12_345;
    std::fs::write(from.path().join("x"), bytes(size)).unwrap();
    let (desk, items) = (desk(to.path()), items(from.path(), &["x"]));
    let mut chance = Chance(42);
    let moved = std::sync::atomic::AtomicU64::new(0);
    let mut cuts = 0;
    while items[0].outcome.get().is_none() {
        // Enough for a chunk half of the time; the visitor hears 82 bytes until all is sent.
        let fault = match cuts {
            100.. => (Fault::None, Fault::None),
            n if n % 2 == 0 => (Fault::None, Fault::Cut(chance.below(2 * CHUNK as u64))),
            _ => (Fault::Cut(chance.below(82)), Fault::None),
        };
        let (ours, theirs) = connection(fault.0, fault.1);
        let watch = Count(&moved);
        let (_, _) = tokio::join!(push(ours, &items, ""), desk.attend(theirs, &watch));
        cuts += 1;
        assert!(cuts < 200, "it does not come to an end");
    }
    same(&from.path().join("x"), &to.path().join("x"));
    assert_eq!(names(to.path()), ["x"]);
    let moved = moved.into_inner();
    let most = size as u64 + cuts * CHUNK as u64;
    assert!(cuts >= 100, "only {cuts} cuts");
    assert!(moved <= most, "{moved} bytes for {size} with {cuts} cuts");
}

/// The same for files that are fetched: to a folder, and passed on.
#[tokio::test]
async fn cuts_of_what_is_fetched_cost_a_chunk_each_at_most() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let size = 20 * CHUNK + 12_345;
    std::fs::write(from.path().join("x"), bytes(size)).unwrap();
    let desk = desk(from.path());
    let target = Target {
        root: Root::open(to.path()).unwrap(),
        under: None,
        clash: Clash::Rename,
        hidden: false,
        max_size: None,
    };
    for is_piped in [false, true] {
        let piped = std::fs::File::create(to.path().join("piped")).unwrap();
        let mut pipe = Pipe::new(piped);
        let mut chance = Chance(43);
        let moved = std::sync::atomic::AtomicU64::new(0);
        let (mut cuts, mut is_over) = (0, false);
        while !is_over {
            let fault = match cuts {
                50.. => Fault::None,
                _ => Fault::Cut(chance.below(3 * CHUNK as u64 / 2)),
            };
            let (ours, theirs) = connection(fault, Fault::None);
            let watch = Count(&moved);
            let fetching = async {
                let mut talk = Talk::visit(ours, hello(Role::Pull, "x")).await?;
                match is_piped {
                    true => pipe.receive(&mut talk, &watch).await,
                    false => receive(&mut talk, &target, &[1; 16], &watch).await,
                }
            };
            let (fetched, _) = tokio::join!(fetching, desk.attend(theirs, &()));
            match fetched {
                Ok(()) => is_over = true,
                Err(failure) => assert!(matches!(failure, Failure::Cut(_)), "{failure}"),
            }
            cuts += 1;
            assert!(cuts < 100, "it does not come to an end");
        }
        let name = if is_piped { "piped" } else { "x" };
        same(&from.path().join("x"), &to.path().join(name));
        let (moved, most) = (moved.into_inner(), size as u64 + (cuts - 1) * CHUNK as u64);
        assert!(cuts > 20, "only {cuts} cuts");
        assert!(moved <= most, "{moved} bytes for {size} with {cuts} cuts");
    }
    assert_eq!(names(to.path()), ["piped", "x"]);
}

/// Files of a chunk at most that have landed are not sent again, whether their sender has heard of it, begins anew and
/// knows nothing, or is fetched from.
#[tokio::test]
async fn cuts_of_many_small_files_cost_a_chunk_each_at_most() {
    let from = TempDir::new().unwrap();
    let sizes = (0..800).map(|n| match n % 100 {
        7 => 300_000 + n,
        _ => n * 13 % 9000,
    });
    let list: Vec<_> = sizes
        .enumerate()
        .map(|(n, size)| (format!("{n:04}"), size))
        .collect();
    for (name, size) in &list {
        std::fs::write(from.path().join(name), bytes(*size)).unwrap();
    }
    let size: usize = list.iter().map(|(_, size)| size).sum();
    let list: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
    for way in ["goes on", "begins anew", "fetches"] {
        let to = TempDir::new().unwrap();
        let (source, target) = (desk(from.path()), desk(to.path()));
        let mut sent = items(from.path(), &list);
        let mut chance = Chance(44);
        let moved = std::sync::atomic::AtomicU64::new(0);
        let watch = Count(&moved);
        let (mut cuts, mut is_over) = (0, false);
        while !is_over {
            let fault = match cuts {
                20.. => Fault::None,
                _ => Fault::Cut(chance.below(3 * CHUNK as u64 / 4)),
            };
            let done = if way == "fetches" {
                let (ours, theirs) = connection(fault, Fault::None);
                let fetching = async {
                    let mut talk = Talk::visit(ours, hello(Role::Pull, "")).await?;
                    receive(&mut talk, &target.target, &[1; 16], &watch).await
                };
                tokio::join!(fetching, source.attend(theirs, &())).0
            } else {
                if way == "begins anew" {
                    sent = items(from.path(), &list);
                }
                let (ours, theirs) = connection(Fault::None, fault);
                tokio::join!(push(ours, &sent, ""), target.attend(theirs, &watch)).0
            };
            is_over = done.is_ok();
            cuts += 1;
            assert!(cuts < 50, "{way}: it does not come to an end");
        }
        for name in &list {
            same(&from.path().join(name), &to.path().join(name));
        }
        assert_eq!(names(to.path()).len(), list.len(), "{way}");
        let moved = moved.load(std::sync::atomic::Ordering::Relaxed) as usize;
        // The longest of them is less than a third of a chunk.
        let most = size + (cuts - 1) * CHUNK / 3;
        assert!(cuts > 10, "{way}: only {cuts} cuts");
        assert!(
            moved <= most,
            "{way}: {moved} bytes for {size} with {cuts} cuts"
        );
        // Once more, and nothing goes.
        let (again, none) = (
            items(from.path(), &list),
            std::sync::atomic::AtomicU64::new(0),
        );
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let watch = Count(&none);
        let (pushed, attended) =
            tokio::join!(push(ours, &again, ""), target.attend(theirs, &watch));
        pushed.unwrap();
        attended.unwrap();
        assert_eq!(none.into_inner(), 0, "{way}");
        assert!(
            again
                .iter()
                .all(|item| item.outcome.get() == Some(&Outcome::Landed(item.path.clone())))
        );
    }
}

/// What has been passed on cannot be taken back: a file that changes between two connections ends it.
#[tokio::test]
async fn a_file_that_changes_is_not_passed_on_any_further() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (source, piped) = (from.path().join("x"), to.path().join("piped"));
    let size = 4 * CHUNK;
    std::fs::write(&source, bytes(size)).unwrap();
    let desk = desk(from.path());
    let mut pipe = Pipe::new(std::fs::File::create(&piped).unwrap());
    let mut fetch = async |fault| {
        let (ours, theirs) = connection(fault, Fault::None);
        let fetching = async {
            let mut talk = Talk::visit(ours, hello(Role::Pull, "x")).await?;
            pipe.receive(&mut talk, &()).await
        };
        tokio::join!(fetching, desk.attend(theirs, &())).0
    };
    let cut = fetch(Fault::Cut(5 * CHUNK as u64 / 2)).await;
    assert!(matches!(cut, Err(Failure::Cut(_))), "{cut:?}");
    std::fs::write(&source, &bytes(size + 1)[1..]).unwrap();
    let passed = 2 * CHUNK as u64;
    let changed = fetch(Fault::None).await;
    let is_told = matches!(changed, Err(Failure::Changed { passed: told }) if told == passed);
    assert!(is_told, "{changed:?}");
    assert!(std::fs::read(&piped).unwrap() == bytes(size)[..2 * CHUNK]);
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_wherever_it_is() {
    let from = TempDir::new().unwrap();
    let size = 2 * CHUNK + 100;
    std::fs::write(from.path().join("x"), bytes(size)).unwrap();
    std::fs::write(from.path().join("y"), "small").unwrap();
    let mut chance = Chance(7);
    let mut flips: Vec<u64> = (0..40).map(|_| chance.below(size as u64 * 8)).collect();
    // In the heads and small frames of the beginning, and of the end.
    flips.extend((0..60).map(|_| chance.below(400 * 8)));
    flips.extend((0..20).map(|_| (size as u64 + chance.below(200)) * 8));
    let mut noticed = 0;
    for flip in flips {
        let to = TempDir::new().unwrap();
        let (desk, items) = (desk(to.path()), items(from.path(), &["x", "y"]));
        for fault in [Fault::Flip(flip), Fault::None] {
            let (ours, theirs) = connection(Fault::None, fault);
            let both = async { tokio::join!(push(ours, &items, ""), desk.attend(theirs, &())) };
            let both = tokio::time::timeout(Duration::from_secs(20), both).await;
            let (pushed, attended) = both.expect("it hangs");
            noticed += u32::from(pushed.is_err() && attended.is_err());
            if pushed.is_ok() {
                break;
            }
        }
        same(&from.path().join("x"), &to.path().join("x"));
        same(&from.path().join("y"), &to.path().join("y"));
        assert_eq!(names(to.path()), ["x", "y"], "bit {flip}");
    }
    assert!(noticed >= 100, "{noticed} of 120");
}

#[tokio::test]
async fn files_are_fetched_as_they_are_brought() {
    let ((from, _), to) = (source(), TempDir::new().unwrap());
    std::fs::write(from.path().join(".hidden"), "no").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", from.path().join("a/link")).unwrap();
    let desk = desk(from.path());
    for (at, there) in [
        ("", vec!["a/b/chunk", "a/small", "empty", "large"]),
        ("a", vec!["b/chunk", "small"]),
    ] {
        let to = to.path().join(format!("to{at}"));
        std::fs::create_dir(&to).unwrap();
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let fetching = async {
            let mut talk = Talk::visit(ours, hello(Role::Pull, at)).await?;
            let target = Target {
                root: Root::open(&to).unwrap(),
                under: None,
                clash: Clash::Rename,
                hidden: true,
                max_size: None,
            };
            receive(&mut talk, &target, &[1; 16], &()).await?;
            talk.part().await;
            Ok::<_, Failure>(())
        };
        let (fetched, attended) = tokio::join!(fetching, desk.attend(theirs, &()));
        fetched.unwrap();
        assert_eq!(attended.unwrap(), Errand::Fetched);
        for name in there {
            let source = from.path().join(at.trim_start_matches('/')).join(name);
            let landed = match at {
                "" => to.join(name),
                at => to.join(at).join(name),
            };
            same(&source, &landed);
        }
        assert!(!to.join(".hidden").exists() && !to.join("a/link").exists());
    }
}

#[tokio::test]
async fn only_who_knows_the_secret_may_do_what_is_allowed() {
    let (from, list) = source();
    let to = TempDir::new().unwrap();
    let mut desk = desk(to.path());
    desk.secret = Some(Token::new("secret").unwrap());
    desk.read = false;
    let items = items(from.path(), &list);
    for (role, at, reason) in [
        (Role::Push, "", Some(Reason::NotFound)),
        (Role::Push, "/secre", Some(Reason::NotFound)),
        (Role::Push, "/secret/../x", Some(Reason::NotFound)),
        (Role::Push, "/secret/.ssh", Some(Reason::NotFound)),
        (Role::Pull, "/secret/", Some(Reason::Forbidden)),
        (Role::Push, "/secret/sub/", None),
    ] {
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let visiting = async {
            let mut talk = Talk::visit(ours, hello(role, at)).await?;
            send(&mut talk, &items, None, &()).await?;
            talk.part().await;
            Ok::<_, Failure>(())
        };
        let (visited, attended) = tokio::join!(visiting, desk.attend(theirs, &()));
        match reason {
            None => {
                visited.unwrap();
                same(&from.path().join("large"), &to.path().join("sub/large"));
            }
            Some(expected) => {
                let told = visited.unwrap_err();
                assert!(
                    matches!(told, Failure::Refused { reason, .. } if reason == expected),
                    "{at}: {told}"
                );
                assert!(attended.is_err());
                assert_eq!(names(to.path()), [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn files_that_change_are_told_and_not_landed() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    let desk = desk(to.path());
    for name in ["grows", "shrinks", "goes", "changes", "stays"] {
        std::fs::write(from.path().join(name), bytes(2 * CHUNK)).unwrap();
    }
    let list = ["grows", "shrinks", "goes", "changes", "stays"];
    let items = items(from.path(), &list);
    let file = |name: &str| {
        std::fs::File::options()
            .append(true)
            .open(from.path().join(name))
            .unwrap()
    };
    io::Write::write_all(&mut file("grows"), b"more").unwrap();
    file("shrinks").set_len(100).unwrap();
    std::fs::remove_file(from.path().join("goes")).unwrap();
    file("changes")
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    let (ours, theirs) = connection(Fault::None, Fault::None);
    let (pushed, attended) = tokio::join!(push(ours, &items, ""), desk.attend(theirs, &()));
    pushed.unwrap();
    attended.unwrap();
    let settled: Vec<_> = items
        .iter()
        .map(|item| item.outcome.get().is_some())
        .collect();
    assert_eq!(settled, [true, false, false, false, true]);
    assert_eq!(names(to.path()), ["grows", "stays"]);
    let grown = std::fs::read(to.path().join("grows")).unwrap();
    assert!(grown == bytes(2 * CHUNK), "as long as it was announced");
}

#[tokio::test]
async fn fifty_at_once_and_many_of_one_name() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    let desk = desk(to.path());
    let desk = &desk;
    let transfers = (0..50_u8).map(|n| {
        let folder = from.path().join(n.to_string());
        std::fs::create_dir(&folder).unwrap();
        let content = vec![n; 100 + usize::from(n) * 40_000];
        std::fs::write(folder.join("x.bin"), &content).unwrap();
        let items = items(&folder, &["x.bin"]);
        async move {
            let (ours, theirs) = connection(Fault::None, Fault::None);
            let visiting = async {
                let hello = Hello {
                    id: [n; 16],
                    ..hello(Role::Push, "")
                };
                let mut talk = Talk::visit(ours, hello).await.unwrap();
                send(&mut talk, &items, None, &()).await.unwrap();
                talk.part().await;
            };
            let ((), attended) = tokio::join!(visiting, desk.attend(theirs, &()));
            attended.unwrap();
            let Some(Outcome::Landed(path)) = items[0].outcome.get() else {
                panic!("{:?}", items[0].outcome);
            };
            assert!(std::fs::read(to_path(desk, path)).unwrap() == content);
        }
    });
    futures_util::future::join_all(transfers).await;
    assert_eq!(names(to.path()).len(), 50);
}

fn to_path(desk: &Desk, path: &RelativePath) -> std::path::PathBuf {
    desk.target.root.path().join(path.to_string())
}

/// The connection hangs and the sender comes back by another: the first one lets go of the file.
#[tokio::test]
async fn who_comes_back_takes_the_place_of_who_hangs() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    std::fs::write(from.path().join("x"), bytes(5 * CHUNK)).unwrap();
    let (desk, items) = (desk(to.path()), items(from.path(), &["x"]));
    let (hangs, theirs) = connection(Fault::None, Fault::None);
    let stuck = async {
        // It says what it wants, and nothing more: nobody sees that it has gone.
        let talk = Talk::visit(hangs, hello(Role::Push, "")).await.unwrap();
        std::future::pending::<()>().await;
        drop(talk);
    };
    let first = desk.attend(theirs, &());
    tokio::pin!(stuck, first);
    let begun = tokio::time::timeout(Duration::from_millis(100), async {
        tokio::select! { () = &mut stuck => {}, _ = &mut first => {} }
    });
    assert!(begun.await.is_err(), "it goes on");
    let (ours, theirs) = connection(Fault::None, Fault::None);
    let again = async { tokio::join!(push(ours, &items, ""), desk.attend(theirs, &())) };
    let (replaced, (pushed, attended)) = tokio::join!(
        async {
            tokio::select! { () = &mut stuck => panic!("it hangs"), first = &mut first => first }
        },
        again
    );
    let replaced = replaced.unwrap_err();
    assert!(
        matches!(
            replaced,
            Failure::Refused {
                reason: Reason::Replaced,
                ..
            }
        ),
        "{replaced}"
    );
    pushed.unwrap();
    attended.unwrap();
    same(&from.path().join("x"), &to.path().join("x"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_takes_minutes_needs_one_connection() {
    // At the second rate a whole piece would take two hours: a silence, were it sent at once.
    for (size, rate, least) in [(2 * CHUNK, 10_000, 180), (3000, 10, 290)] {
        let from = TempDir::new().unwrap();
        let to = TempDir::new().unwrap();
        std::fs::write(from.path().join("x"), bytes(size)).unwrap();
        let (desk, items) = (desk(to.path()), items(from.path(), &["x"]));
        let (ours, theirs) = connection(Fault::None, Fault::None);
        let began = tokio::time::Instant::now();
        let slowly = async {
            let mut pace = Pace::new(rate);
            let mut talk = Talk::visit(ours, hello(Role::Push, "")).await?;
            send(&mut talk, &items, Some(&mut pace), &()).await?;
            talk.part().await;
            Ok::<_, Failure>(())
        };
        let (sent, attended) = tokio::join!(slowly, desk.attend(theirs, &()));
        sent.unwrap();
        attended.unwrap();
        assert!(began.elapsed() > Duration::from_secs(least));
        same(&from.path().join("x"), &to.path().join("x"));
    }
}

#[tokio::test]
async fn ten_thousand_small_files_land() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    let list: Vec<String> = (0..10_000).map(|n| format!("{}-{n}", n % 7)).collect();
    for name in &list {
        std::fs::write(from.path().join(name), name).unwrap();
    }
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let (desk, items) = (desk(to.path()), items(from.path(), &list));
    let (ours, theirs) = connection(Fault::None, Fault::None);
    let (pushed, attended) = tokio::join!(push(ours, &items, ""), desk.attend(theirs, &()));
    pushed.unwrap();
    attended.unwrap();
    for name in list {
        assert_eq!(std::fs::read_to_string(to.path().join(name)).unwrap(), name);
    }
    assert_eq!(names(to.path()).len(), 10_000);
}

/// One who is silent is no host of ours; one that says so at once may still have to end what came before.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_busy_is_waited_for_and_one_that_says_nothing_is_not() {
    let (ours, theirs) = duplex(4096);
    let visit = Talk::visit(ByteStream::new(ours), hello(Role::Push, "")).await;
    let failure = visit.expect_err("nobody has answered");
    assert!(matches!(failure, Failure::Silent(_)), "{failure}");
    assert!(failure.may_pass());
    drop(theirs);

    let (ours, theirs) = duplex(4096);
    let hosting = async {
        let (mut talk, _) = Talk::host(ByteStream::new(theirs)).await?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        talk.admit().await
    };
    let visiting = Talk::visit(ByteStream::new(ours), hello(Role::Push, ""));
    let (visited, hosted) = tokio::join!(visiting, hosting);
    hosted.unwrap();
    visited.unwrap();
}
