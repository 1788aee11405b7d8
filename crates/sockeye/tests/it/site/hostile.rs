//! Names, links and kinds of file that others have stumbled over, and folders that change meanwhile.

use super::*;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// As a client that means mischief writes them.
const OUT: &[&str] = &[
    "/../secret",
    "/..\\secret",
    "/..%5csecret",
    "/....//secret",
    "/./../secret",
    "/a/../../secret",
    "/%2e%2e/secret",
    "/%2e%2e%2fsecret",
    "/%2e%2e%5csecret",
    "/.%2e/secret",
    "/%252e%252e/secret",
    "/%252e%252e%252fsecret",
    "/..%c0%afsecret",
    "/%c0%ae%c0%ae/secret",
    "/..%00/secret",
    "/.%00./secret",
    "/secret%00.txt",
    "/..;/secret",
    "/..%3b/secret",
    "//../secret",
    "/a//../../secret",
    "/%2fetc/passwd",
    "//etc/passwd",
    "/etc/passwd",
    "/proc/self/environ",
    "/C:%5csecret",
    "/%5c%5c%3f%5cC:%5csecret",
    "/~root/secret",
    "/file:///secret",
];

#[tokio::test]
async fn no_name_leads_out() {
    let tree = Tree::with(SiteOptions {
        hidden: true,
        ..SiteOptions::default()
    });
    tree.write("a/file", "x");
    for path in OUT {
        for end in ["", "/", "/x"] {
            let answer = tree.get(&format!("{path}{end}"), &[]).await;
            assert!(answer.status.is_client_error(), "{path}{end}: {answer:?}");
            assert!(!answer.text().contains(SECRET), "{path}{end}");
        }
    }
}

#[tokio::test]
async fn links_are_followed_inside_and_nowhere_else() {
    let tree = Tree::new();
    tree.write("sub/file.txt", "inside");
    let secret = tree.folder.path().join("secret");
    for (link, to) in [
        ("near.txt", Path::new("sub/file.txt")),
        ("sub/up.txt", Path::new("../sub/file.txt")),
        ("folder", Path::new("sub")),
        ("out.txt", Path::new("../secret")),
        ("sub/out.txt", Path::new("../../secret")),
        ("absolute.txt", &secret),
        ("above", Path::new("..")),
        ("slash", Path::new("/")),
        ("itself", Path::new("itself")),
        ("nowhere", Path::new("not-there")),
        ("index.html", Path::new("../secret")),
    ] {
        symlink(to, tree.path(link)).unwrap();
    }
    for path in ["/near.txt", "/sub/up.txt", "/folder/file.txt"] {
        assert_eq!(tree.get(path, &[]).await.text(), "inside", "{path}");
    }
    for path in [
        "/out.txt",
        "/sub/out.txt",
        "/absolute.txt",
        "/above/secret",
        "/above/",
        "/slash/etc/passwd",
        "/itself",
        "/nowhere",
        "/index.html",
    ] {
        let answer = tree.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    // What cannot be had is not offered.
    let listing = tree.get("/folder/", &[]).await;
    assert_eq!(listing.links(), ["../", "file.txt", "up.txt"]);
}

#[tokio::test]
async fn only_regular_files_are_read() {
    let tree = Tree::new();
    let null = rustix::fs::stat("/dev/null").unwrap().st_rdev;
    let make =
        |name, sort, device| mknodat(CWD, tree.path(name), sort, Mode::RUSR | Mode::WUSR, device);
    make("fifo.txt", FileType::Fifo, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("socket.txt")).unwrap();
    let mut paths = vec!["/fifo.txt", "/socket.txt"];
    // A device takes a privilege to make.
    if make("device.txt", FileType::CharacterDevice, null).is_ok() {
        paths.push("/device.txt");
    }
    for path in paths {
        for lines in [&[][..], &[("accept-encoding", "br, gzip")]] {
            let answer = tree.get(path, lines).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    assert_eq!(tree.get("/", &[]).await.links(), [""; 0]);
}

/// Names that a system can have and a page, a header or a log must survive.
fn strange_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "<script>alert(1)",
        "\"><img src=x onerror=alert(1)>",
        "'onmouseover='alert(1)",
        "&amp;",
        "javascript:alert(1)",
        "C:\\x",
        "..\\x",
        "....",
        "a?b#c%d",
        "%2e%2e",
        "%00",
        "$(x)",
        "`x`",
        ";",
        "*",
        "-rf",
        "--help",
        "CON",
        "NUL.txt",
        "x.",
        "x ",
        " x",
        "x:ads",
        "~root",
        "new\nline",
        "ta\tb",
        "return\r\nSet-Cookie: x=y",
        "\u{1b}[2Jescape",
        "\u{7f}",
        "\u{85}",
        "\u{9b}31m",
        "\u{202e}gpj.exe",
        "zero\u{200d}width",
        "caf\u{e9}",
        "cafe\u{301}",
        "case",
        "CASE",
        "中文.txt",
        "中文.html",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"\xff\xfe".to_vec());
    names.push(b"\xd6\xd0\xce\xc4.txt".to_vec());
    names.push(vec![b'n'; 255]);
    names
}

#[tokio::test]
async fn every_name_is_listed_and_its_link_leads_to_it() {
    let tree = Tree::with(SiteOptions {
        hidden: true,
        ..SiteOptions::default()
    });
    let names = strange_names();
    for name in &names {
        tree.write(Path::new("all").join(OsStr::from_bytes(name)), name);
        fs::create_dir(tree.path(OsStr::from_bytes(name))).unwrap();
    }
    let listing = tree.get("/all/", &[]).await;
    let odd = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
    assert!(!listing.body.iter().any(odd), "a control character");
    for letter in ['\u{85}', '\u{9b}', '\u{202e}'] {
        assert!(!listing.text().contains(letter), "{letter:?}");
    }
    assert!(!listing.text().contains("<script") && !listing.text().contains("<img"));
    let links = listing.links();
    assert_eq!(links.len(), names.len() + 1);
    let mut found = Vec::new();
    for link in &links[1..] {
        let file = tree.get(&format!("/all/{link}"), &[]).await;
        assert_eq!(file.status, StatusCode::OK, "{link}");
        found.push(file.body);
        // As a folder's name it stands in `Location`.
        let folder = tree.get(&format!("/{link}"), &[]).await;
        assert_eq!(folder.header("location"), format!("/{link}/"));
    }
    let mut wanted = names;
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn names_and_paths_that_are_too_long_are_not_there() {
    let tree = Tree::new();
    for path in [
        format!("/{}", "n".repeat(256)),
        format!("/{}", "%41".repeat(10_000)),
        format!("/{}x", "d/".repeat(5000)),
        "/".repeat(10_000) + "x",
    ] {
        let answer = tree.get(&path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} bytes", path.len());
    }
}

#[tokio::test]
async fn three_hundred_folders_deep() {
    let tree = Tree::new();
    let deep = "d/".repeat(300);
    tree.write(format!("{deep}file.txt"), "at the bottom");
    let file = tree.get(&format!("/{deep}file.txt"), &[]).await;
    assert_eq!(file.text(), "at the bottom");
    let folder = tree.get(&format!("/{deep}"), &[]).await;
    assert_eq!(folder.links(), ["../", "file.txt"]);
}

#[tokio::test]
async fn ten_thousand_files_in_one_folder() {
    let tree = Tree::new();
    for n in 0..10_000 {
        File::create(tree.path(format!("file-{n:05}"))).unwrap();
    }
    let links = tree.get("/", &[]).await.links();
    let expected: Vec<String> = (0..10_000).map(|n| format!("file-{n:05}")).collect();
    assert!(links == expected, "{} links", links.len());
}

/// Set when it is dropped: the other thread ends, too, when this one fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A name that is a folder inside at one moment and a link to the outside at the next: whoever looks first and
/// opens then is caught sooner or later.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_folder_that_is_swapped_for_a_link_lets_nobody_out() {
    const ROUNDS: usize = 2000;
    let tree = Tree::new();
    tree.write("real/secret", "inside");
    symlink("..", tree.path("link")).unwrap();
    fs::rename(tree.path("real"), tree.path("name")).unwrap();
    let (done, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let swap = |away: &str, to: &str| {
        fs::rename(tree.path("name"), tree.path(away)).unwrap();
        fs::rename(tree.path(to), tree.path("name")).unwrap();
        swaps.fetch_add(1, Ordering::Relaxed);
    };
    let ask = async {
        let (mut inside, mut refused) = (0, 0);
        while inside + refused < ROUNDS || swaps.load(Ordering::Relaxed) < ROUNDS {
            for path in ["/name/secret", "/name/", "/name/name/secret"] {
                let answer = tree.get(path, &[]).await;
                assert!(!answer.text().contains(SECRET), "{path}");
                match answer.status {
                    StatusCode::OK => inside += 1,
                    StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => refused += 1,
                    other => panic!("{path}: {other}"),
                }
            }
        }
        (inside, refused)
    };
    let (inside, refused) = std::thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap("real", "link");
                swap("link", "real");
            }
        });
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(ask))
    });
    assert!(
        inside > 0 && refused > 0,
        "{inside} inside, {refused} refused"
    );
}
