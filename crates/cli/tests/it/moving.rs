//! `send` and `receive` as people type them: over every carrier, killed in turn, through a network that lies.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{
    Ended, LONG, Line, Listener, Run, Server, binary, folder, path, program, sockeye,
};

const CHUNK: u64 = 1 << 20;

/// A home with a folder to send from, `src`, and one to land in, `in`.
pub(crate) fn home() -> Arc<TempDir> {
    let home = folder();
    fs::create_dir(path(&home, "src")).unwrap();
    fs::create_dir(path(&home, "in")).unwrap();
    home
}

pub(crate) fn serve(home: &Arc<TempDir>, words: &[&str]) -> Server {
    let words = ["serve", "files", "in"].iter().chain(words);
    Server::ready(sockeye(words).home(home))
}

pub(crate) fn send(home: &Arc<TempDir>, words: &[&str]) -> Line {
    sockeye(["send"].iter().chain(words)).home(home)
}

#[track_caller]
pub(crate) fn well(ended: &Ended) {
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[track_caller]
pub(crate) fn same(one: &Path, other: &Path) {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(
        read(one) == read(other),
        "{} is not {}",
        other.display(),
        one.display()
    );
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Waits for what other processes bring about.
#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < LONG, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_tree_goes_and_comes_over_every_carrier() {
    let home = home();
    let src = path(&home, "src");
    fs::create_dir_all(src.join("a/empty folder")).unwrap();
    fs::write(src.join("a/文.txt"), "text").unwrap();
    fs::write(src.join("zero"), "").unwrap();
    fs::write(src.join("large"), binary(3_000_000)).unwrap();
    let gbk = std::ffi::OsStr::from_bytes(b"\xd6\xd0\xce\xc4");
    fs::write(src.join(gbk), "of gbk").unwrap();
    let server = serve(&home, &["--write", "127.0.0.1:0", "unix:u.sock"]);
    let at = &server.at;
    let pin = server.run.err.rest_of("TLS certificate sha256 ");
    let pin = pin.split(' ').next().unwrap();
    for (n, to) in [
        at.clone(),
        format!("http://{at}/by-http"),
        format!("https://{at}/by-https#pin=sha256:{pin}"),
        format!("h3://{at}/by-h3#pin={pin}"),
        format!("ws://{at}/by-ws"),
        "unix:u.sock".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        well(&send(&home, &["src", to]).run());
        let back = format!("out{n}");
        let from = match to.contains("by-") {
            true => to.replace("#", "/src#"),
            false => to.clone(),
        };
        let from = match from.contains("/src") || !to.contains("by-") {
            true => from,
            false => format!("{from}/src"),
        };
        well(&sockeye(["receive", &from, &back]).home(&home).run());
        for name in [
            &b"a/\xe6\x96\x87.txt"[..],
            b"zero",
            b"large",
            b"\xd6\xd0\xce\xc4",
        ] {
            let name = std::ffi::OsStr::from_bytes(name);
            same(&src.join(name), &path(&home, &back).join("src").join(name));
        }
        assert!(path(&home, &back).join("src/a/empty folder").is_dir());
    }
    let told = &server.run.err;
    told.until("note: saved src/a/文.txt: 4 bytes, from 127.0.0.1:");
    told.until("note: sent src/a/文.txt: 4 bytes, to 127.0.0.1:");
    assert_eq!(
        names(&path(&home, "in")),
        ["by-h3", "by-http", "by-https", "by-ws", "src"]
    );
}

/// How much of `x` is at the target.
fn landed(home: &Arc<TempDir>) -> u64 {
    let size = |name| path(home, name).metadata().map_or(0, |facts| facts.len());
    size("in/x.part").max(size("in/x"))
}

#[test]
fn a_hundred_kills_of_both_ends_in_turn_cost_a_chunk_each_at_most() {
    let home = home();
    let size = 160 * CHUNK + 777;
    fs::write(path(&home, "src/x"), binary(size as usize)).unwrap();
    let kills = 100;
    // Most of a chunk more, or all of it and a piece of another one.
    let more = |kill| 300_000 + 100_000 * (kill % 10);
    let sent = kill_in_turn(&home, "src/x", kills, || landed(&home), more);
    same(&path(&home, "src/x"), &path(&home, "in/x"));
    assert_eq!(names(&path(&home, "in")), ["x"]);
    // What frames the content is less than a hundredth of it.
    let most = size + kills * CHUNK;
    assert!(sent <= most + most / 100, "{sent} bytes for {size}");
}

#[test]
fn kills_while_many_files_go_cost_a_chunk_each_at_most() {
    let home = home();
    let files: u64 = 1500;
    let size_of = |n| {
        if n % 50 == 7 {
            600_000 + n
        } else {
            n % 40 * 1000
        }
    };
    let name = |n| format!("{n:04}");
    for n in 0..files {
        let content = binary(size_of(n) as usize);
        fs::write(path(&home, "src").join(name(n)), content).unwrap();
    }
    let there = path(&home, "in/src");
    let is_whole = |name: &std::ffi::OsStr| name.len() == 4;
    let landed = || {
        let entries = fs::read_dir(&there).into_iter().flatten();
        entries
            .filter(|entry| is_whole(&entry.as_ref().unwrap().file_name()))
            .count() as u64
    };
    let kills = 30;
    let sent = kill_in_turn(&home, "src", kills, landed, |kill| 10 + 5 * (kill % 8));
    for n in 0..files {
        same(&path(&home, "src").join(name(n)), &there.join(name(n)));
    }
    assert_eq!(names(&there).len() as u64, files);
    let size: u64 = (0..files).map(size_of).sum();
    // Each sender says once more what it has: a name, its facts and a hash.
    let said = (kills + 1) * files * 120;
    let most = size + size / 100 + said + kills * CHUNK;
    assert!(sent <= most, "{sent} bytes for {size}");
}

#[test]
fn what_is_there_is_not_sent_again_and_that_is_told() {
    let home = home();
    for name in ["a", "b", "c"] {
        fs::write(path(&home, "src").join(name), binary(500_000)).unwrap();
    }
    let server = serve(&home, &["--write", "127.0.0.1:0"]);
    for (changed, told) in [
        (None, "sent 3 files, 1.43 MiB, in "),
        (None, "sent 3 files, 1.43 MiB, 0 B of it now, in "),
        (
            Some("b"),
            "sent 3 files, 1.91 MiB, 976.56 KiB of it now, in ",
        ),
    ] {
        if let Some(name) = changed {
            fs::write(path(&home, "src").join(name), binary(1_000_000)).unwrap();
        }
        let ended = send(&home, &["src", &server.at]).start().end();
        well(&ended);
        assert!(ended.err.contains(told), "{told}: {ended:?}");
    }
    assert_eq!(names(&path(&home, "in/src")), ["a", "b", "b (1)", "c"]);
}

/// Sends `what` through a network that counts, and kills both ends in turn, each time when so much more has landed. How
/// many bytes went.
fn kill_in_turn(
    home: &Arc<TempDir>,
    what: &str,
    kills: u64,
    landed: impl Fn() -> u64,
    more: impl Fn(u64) -> u64,
) -> u64 {
    let first = serve(home, &["--write", "127.0.0.1:0"]);
    let at = first.at.clone();
    let (through, sent) = relay(&at, u64::MAX, false);
    let words = [what, &through, "--limit-rate", "20M", "--retry", "1000"];
    let start = || serve(home, &["--write", &at]);
    let (mut server, mut sender) = (Some(first), Some(send(home, &words).start()));
    for kill in 0..kills {
        let goal = landed() + more(kill);
        let ended = |sender: &mut Option<Run>| !sender.as_mut().unwrap().is_running();
        until("more of it", || landed() >= goal || ended(&mut sender));
        if ended(&mut sender) {
            panic!("over after {kill} kills: {:?}", sender.unwrap().end());
        }
        match kill % 2 {
            0 => drop(
                server
                    .take()
                    .inspect(|server| server.run.signal(Signal::KILL)),
            ),
            _ => drop(sender.take().inspect(|sender| sender.signal(Signal::KILL))),
        }
        // The lock of the old one goes with it.
        server = server.or_else(|| Some(start()));
        sender = sender.or_else(|| Some(send(home, &words).start()));
    }
    well(&sender.unwrap().end_within(6 * LONG));
    sent.load(Ordering::Relaxed)
}

/// A relay that flips one bit in so many bytes on their way to `to`.
fn liar(to: &str, every: u64) -> String {
    relay(to, every, false).0
}

/// The same for what comes from there.
fn liar_back(to: &str, every: u64) -> String {
    relay(to, every, true).0
}

/// How much went through it is told beside where it is.
fn relay(to: &str, every: u64, back: bool) -> (String, Arc<AtomicU64>) {
    let to = to.to_owned();
    let listener = Listener::new();
    let at = listener.at();
    let counted = Arc::new(AtomicU64::new(0));
    let counting = counted.clone();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.0.accept() {
            // Whoever comes while there is no server is sent away.
            let Ok(server) = TcpStream::connect(&to) else {
                continue;
            };
            let (mut client, mut server) = match back {
                true => (server, client),
                false => (client, server),
            };
            let (mut other, mut out) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut other, &mut out));
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(n @ 1..) = client.read(&mut buffer) {
                let count = counting.fetch_add(n as u64, Ordering::Relaxed);
                if count / every != (count + n as u64) / every {
                    buffer[n / 2] ^= 16;
                }
                if server.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            // Whoever is left hears that it is over.
            let _ = server.shutdown(std::net::Shutdown::Write);
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    });
    (at, counted)
}

#[test]
fn bits_that_flip_on_the_way_are_noticed_and_sent_again() {
    let home = home();
    fs::write(path(&home, "src/x"), binary(12_000_000)).unwrap();
    let server = serve(&home, &["--write", "tcp://127.0.0.1:0"]);
    let through = liar(&server.at, 2_500_000);
    let ended = send(&home, &["src/x", &through, "--retry", "0"]).run();
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(
        ended.complaint().contains("damaged on its way"),
        "{ended:?}"
    );
    let ended = send(&home, &["src/x", &through])
        .start()
        .end_within(3 * LONG);
    well(&ended);
    assert!(ended.err.contains("trying again"), "{ended:?}");
    same(&path(&home, "src/x"), &path(&home, "in/x"));
    assert_eq!(names(&path(&home, "in")), ["x"]);
}

#[test]
fn what_cannot_land_says_why() {
    let home = home();
    fs::write(path(&home, "src/x"), binary(3_000_000)).unwrap();
    fs::write(path(&home, "src/.hidden"), "x").unwrap();
    let complains = |words: &[&str], code: i32, says: &str| {
        let ended = send(&home, words).run();
        assert!(
            ended.code == code && ended.err.contains(says),
            "{code}, {says}: {ended:?}"
        );
    };
    let closed = serve(&home, &["127.0.0.1:0"]);
    complains(&["src/x", &closed.at], 6, "served with --write");
    let open = serve(&home, &["--write", "127.0.0.1:0"]);
    complains(&["src/.hidden", &open.at], 6, "begin with a dot");
    complains(
        &["src/x", &format!("https://{}", open.at)],
        4,
        "self-signed",
    );
    let wrong = format!("https://{}#pin={}", open.at, "00".repeat(32));
    complains(&["src/x", &wrong], 4, "");
    complains(&["src/nowhere", &open.at], 1, "No such file");
    let echo = Server::start("echo 127.0.0.1:0");
    complains(&["src/x", &echo.at], 5, "the other end");
    let nobody = Listener::new().at();
    complains(&["src/x", &nobody], 1, "connection refused");
    let ended = sockeye(["receive", &format!("http://{}/nothing", open.at)])
        .home(&home)
        .run();
    assert!(
        ended.code == 6 && ended.err.contains("whole URL"),
        "{ended:?}"
    );
    assert_eq!(names(&path(&home, "in")), [""; 0]);
}

/// On a file system of 4 MiB, and on one that cannot be written.
#[test]
fn a_full_disk_and_one_that_is_read_only_are_told() {
    for (options, says) in [("size=4m", "no room"), ("ro", "read-only")] {
        let home = home();
        fs::write(path(&home, "src/large"), binary(8_000_000)).unwrap();
        fs::write(path(&home, "src/small"), "fits").unwrap();
        let script = format!("mount -t tmpfs -o {options} none in && exec \"$0\" \"$@\"");
        let server = [
            "-rm",
            "sh",
            "-c",
            &script,
            env!("CARGO_BIN_EXE_sockeye"),
            "serve",
            "files",
        ];
        let server = server.iter().chain(&["in", "--write", "unix:u.sock"]);
        let server = Server::ready(program("unshare", server).home(&home));
        let ended = send(&home, &["src/large", "src/small", "unix:u.sock"]).run();
        assert_eq!(ended.code, 6, "{ended:?}");
        assert!(ended.err.contains(says), "{ended:?}");
        let small_lands = !ended.err.contains("small did not land");
        assert_eq!(small_lands, options != "ro", "{ended:?}");
        drop(server);
    }
}

/// Neither end may what the owner may not: the folder of one, the file of the other.
#[test]
fn permissions_that_are_missing_are_told() {
    let home = home();
    fs::write(path(&home, "src/x"), "secret").unwrap();
    let may = |name: &str, mode| {
        fs::set_permissions(path(&home, name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Whoever is root may all the same, unless that is taken from them.
    let powerless = |words: &[&str]| {
        let powers = "--bounding-set=-dac_override,-dac_read_search";
        let before = ["-r", "setpriv", powers, env!("CARGO_BIN_EXE_sockeye")];
        program("unshare", before.iter().chain(words)).home(&home)
    };
    may("in", 0o555);
    let server = Server::ready(powerless(&[
        "serve",
        "files",
        "in",
        "--write",
        "unix:u.sock",
    ]));
    let ended = send(&home, &["src/x", "unix:u.sock"]).run();
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(
        ended.err.contains("x did not land") && ended.err.contains("permission denied"),
        "{ended:?}"
    );
    drop(server);
    may("in", 0o755);
    may("src/x", 0o000);
    fs::remove_file(path(&home, "u.sock")).ok();
    let server = serve(&home, &["--write", "unix:u.sock"]);
    let ended = powerless(&["send", "src/x", "unix:u.sock"]).run();
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.to_lowercase().contains("permission denied"),
        "{ended:?}"
    );
    drop(server);
    assert_eq!(names(&path(&home, "in")), [""; 0]);
}

#[test]
fn fifty_at_once_land_each_as_it_was() {
    let home = home();
    let name = |n: usize| format!("src/x{n:02}");
    for n in 0..50 {
        fs::write(path(&home, &name(n)), &binary(1_500_000)[n..]).unwrap();
    }
    let server = serve(&home, &["--write", "127.0.0.1:0"]);
    let start = Instant::now();
    let senders: Vec<_> = (0..50)
        .map(|n| send(&home, &[&name(n), &server.at]).start())
        .collect();
    for mut sender in senders {
        well(&sender.end_within(6 * LONG));
    }
    assert!(start.elapsed() < 6 * LONG, "{:?}", start.elapsed());
    for n in 0..50 {
        same(
            &path(&home, &name(n)),
            &path(&home, &name(n).replace("src", "in")),
        );
    }
    assert_eq!(names(&path(&home, "in")).len(), 50);
}

#[test]
fn clocks_that_jump_while_files_go_change_nothing() {
    let home = home();
    let content = binary(6_000_000);
    fs::write(path(&home, "src/x"), &content).unwrap();
    let clock = path(&home, "clock");
    let jump = |to: &str| {
        // In one piece, as it is read at any moment.
        fs::write(path(&home, "clock.new"), to).unwrap();
        fs::rename(path(&home, "clock.new"), &clock).unwrap();
    };
    jump("+0");
    // The file only counts where no time is given, and faketime(1) always gives one.
    let library = program("faketime", ["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).run();
    let by_clock = |words: &[&str]| {
        sockeye(words)
            .home(&home)
            .env("LD_PRELOAD", library.text().trim())
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    };
    let server = Server::ready(by_clock(&[
        "serve",
        "files",
        "in",
        "--write",
        "unix:u.sock",
    ]));
    let words = ["send", "src/x", "unix:u.sock", "--limit-rate", "4M"];
    let mut sender = by_clock(&words).start();
    for (chunks, to) in [(1, "+10y"), (2, "-10y"), (4, "+3d")] {
        until("more of it", || landed(&home) >= chunks * CHUNK);
        jump(to);
    }
    well(&sender.end_within(3 * LONG));
    drop(server);
    same(&path(&home, "src/x"), &path(&home, "in/x"));
    let time = |name| path(&home, name).metadata().unwrap().modified().unwrap();
    assert_eq!(time("src/x"), time("in/x"));
}

#[test]
fn names_that_other_systems_cannot_hold_are_told() {
    let home = home();
    for name in ["Caf\u{e9}", "cafe\u{301}", "what?", "plain"] {
        fs::write(path(&home, "src").join(name), name).unwrap();
    }
    let server = serve(&home, &["--write", "unix:u.sock"]);
    let sent = send(&home, &["src", "unix:u.sock"]).run();
    well(&sent);
    assert!(
        sent.err
            .contains("src/Caf\u{e9} and src/cafe\u{301} are the same name to"),
        "{sent:?}"
    );
    assert!(
        sent.err
            .contains("src/what? cannot have its name on every system"),
        "{sent:?}"
    );
    drop(server);
    assert_eq!(names(&path(&home, "in/src")).len(), 4);
    let quiet = send(&home, &["src", "nowhere:1", "--dry-run", "--quiet"]).run();
    assert_eq!(quiet.err, "");
}

#[test]
fn names_that_are_there_already_but_for_case_or_composition_are_told() {
    let home = home();
    fs::create_dir_all(path(&home, "in/Docs")).unwrap();
    fs::write(path(&home, "in/Docs/README"), "theirs").unwrap();
    fs::write(path(&home, "in/Docs/Caf\u{e9}"), "theirs").unwrap();
    fs::create_dir_all(path(&home, "src/Docs")).unwrap();
    fs::create_dir_all(path(&home, "src/docs")).unwrap();
    for name in ["Docs/readme", "Docs/Cafe\u{301}", "Docs/plain"] {
        fs::write(path(&home, "src").join(name), name).unwrap();
    }
    let server = serve(&home, &["--write", "127.0.0.1:0"]);
    let sent = send(&home, &["src/Docs", "src/docs", &server.at]).run();
    well(&sent);
    for (beside, name) in [
        ("Docs/README", "Docs/readme"),
        ("Docs/Caf\u{e9}", "Docs/Cafe\u{301}"),
        ("Docs", "docs"),
    ] {
        let told = format!("note: {beside} is there beside {name}: they are one name to systems");
        assert!(sent.err.contains(&told), "{told}: {sent:?}");
    }
    assert!(!sent.err.contains("plain"), "{sent:?}");
    assert_eq!(
        names(&path(&home, "in/Docs")),
        ["Cafe\u{301}", "Caf\u{e9}", "README", "plain", "readme"]
    );
    // Who fetches hears of what is here.
    fs::create_dir(path(&home, "out")).unwrap();
    let from = format!("http://{}/Docs/plain", server.at);
    fs::write(path(&home, "out/Plain"), "").unwrap();
    let fetched = sockeye(["receive", &from, "out"]).home(&home).run();
    well(&fetched);
    let told = "note: Plain is there beside plain: ";
    assert!(fetched.err.contains(told), "{fetched:?}");
    // So does curl.
    let source = path(&home, "src/Docs/readme");
    let to = format!("http://{}/Docs/Readme", server.at);
    let put = program("curl", ["-s", "-T", source.to_str().unwrap(), &to]).run();
    let told = "README is there beside Docs/Readme: ";
    let either = told.replace("README", "readme");
    let text = put.text();
    assert!(text.contains(told) || text.contains(&either), "{put:?}");
}

#[test]
fn files_beyond_4_gib_keep_their_holes() {
    let home = home();
    let size = (4 << 30) + 3 * CHUNK + 5;
    let file = fs::File::create(path(&home, "src/sparse")).unwrap();
    file.set_len(size).unwrap();
    let write = |at, text: &str| {
        std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), at).unwrap()
    };
    write(0, "first");
    write((4 << 30) + 17, "beyond");
    write(size - 4, "last");
    let server = serve(&home, &["--write", "unix:u.sock"]);
    well(
        &send(&home, &["src/sparse", "unix:u.sock"])
            .start()
            .end_within(6 * LONG),
    );
    drop(server);
    let facts = path(&home, "in/sparse").metadata().unwrap();
    assert_eq!(facts.len(), size);
    assert!(
        facts.blocks() * 512 < 2 * CHUNK,
        "{} blocks",
        facts.blocks()
    );
    let copy = fs::File::open(path(&home, "in/sparse")).unwrap();
    let read = |at, text: &str| {
        let mut found = vec![0; text.len()];
        std::os::unix::fs::FileExt::read_exact_at(&copy, &mut found, at).unwrap();
        assert_eq!(found, text.as_bytes());
    };
    read(0, "first");
    read((4 << 30) + 17, "beyond");
    read(size - 4, "last");
}

#[test]
fn a_hundred_thousand_small_files_land() {
    let home = home();
    for n in 0..100_000 {
        if n % 1000 == 0 {
            fs::create_dir(path(&home, &format!("src/{}", n / 1000))).unwrap();
        }
        fs::write(path(&home, &format!("src/{}/{n}", n / 1000)), n.to_string()).unwrap();
    }
    let server = serve(&home, &["--write", "unix:u.sock"]);
    well(
        &send(&home, &["src", "unix:u.sock"])
            .start()
            .end_within(12 * LONG),
    );
    drop(server);
    for n in 0..100_000 {
        let there = path(&home, &format!("in/src/{}/{n}", n / 1000));
        assert_eq!(fs::read_to_string(there).unwrap(), n.to_string());
    }
}

#[test]
fn the_flags_do_what_they_say() {
    let home = home();
    for name in ["a.txt", "b.jpg", "c.tmp"] {
        fs::write(path(&home, &format!("src/{name}")), name).unwrap();
    }
    let listed = send(
        &home,
        &["src", "nowhere:1", "--dry-run", "--exclude", "*.tmp"],
    )
    .run();
    well(&listed);
    let listed = listed.text();
    let listed: Vec<_> = listed
        .lines()
        .map(|line| line.trim().rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(listed, ["src", "src/a.txt", "src/b.jpg"]);
    let server = serve(&home, &["--write", "--token", "secret", "unix:u.sock"]);
    let secret = ["--token", "secret", "--json"];
    let words = ["src", "unix:u.sock", "--include", "*.txt"];
    let sent = send(&home, &[&words[..], &secret].concat()).run();
    well(&sent);
    let events = crate::stage::objects(&sent.text());
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["as"], "src/a.txt");
    assert_eq!(names(&path(&home, "in/src")), ["a.txt"]);
    // The same again is there already; another one of the same name gets a number.
    well(&send(&home, &[&words[..], &secret].concat()).run());
    fs::write(path(&home, "src/a.txt"), "changed").unwrap();
    let sent = send(
        &home,
        &[
            "src",
            "unix:u.sock",
            "--include",
            "*.txt",
            "--token",
            "secret",
        ],
    )
    .run();
    assert!(
        sent.err.contains("src/a.txt is src/a (1).txt there"),
        "{sent:?}"
    );
    assert_eq!(names(&path(&home, "in/src")), ["a (1).txt", "a.txt"]);
    let words = [
        "-",
        "unix:u.sock",
        "--name",
        "piped",
        "--token",
        "secret",
        "-q",
    ];
    let piped = send(&home, &words).start().pass(&binary(2_500_000), LONG);
    assert_eq!((piped.code, &*piped.err), (0, ""));
    assert!(fs::read(path(&home, "in/piped")).unwrap() == binary(2_500_000));
    let slow = Instant::now();
    let words = [
        "src/a.txt",
        "unix:u.sock",
        "--limit-rate",
        "20",
        "--token",
        "secret",
    ];
    well(&send(&home, &words).run());
    assert!(
        slow.elapsed() > Duration::from_millis(250),
        "7 bytes at 20 a second"
    );
    let (from, to) = ("unix:u.sock", "out");
    fs::create_dir_all(path(&home, "out/src")).unwrap();
    fs::write(path(&home, "out/src/a.txt"), "mine").unwrap();
    let words = ["receive", from, to, "--token", "secret"];
    well(
        &sockeye(words.iter().chain(&["--overwrite"]))
            .home(&home)
            .run(),
    );
    assert_eq!(
        fs::read_to_string(path(&home, "out/src/a.txt")).unwrap(),
        "a.txt"
    );
    drop(server);
}

#[test]
fn one_file_goes_through_standard_input_and_output() {
    let home = home();
    let server = serve(&home, &["--write", "127.0.0.1:0"]);
    let at = &server.at;
    let content = binary(5 * CHUNK as usize + 77);
    let sent = send(&home, &["-", at, "--name", "x"]).start();
    well(&{ sent }.pass(&content, LONG));
    fs::write(path(&home, "in/small"), "a few bytes").unwrap();
    fs::write(path(&home, "in/zero"), "").unwrap();
    let receive = |from: &str, more: &[&str]| {
        let words = ["receive", from, "-"];
        sockeye(words.iter().chain(more)).home(&home).run()
    };
    for (name, content) in [
        ("x", &content[..]),
        ("small", b"a few bytes"),
        ("zero", b""),
    ] {
        let came = receive(&format!("http://{at}/{name}"), &[]);
        well(&came);
        assert!(came.out == content, "{name}: {} bytes", came.out.len());
        assert!(came.err.contains("received 1 file"), "{}", came.err);
    }
    // A network that lies: what came wrong goes no further than the chunk before it, or is asked for again.
    let lying = format!("http://{}/x", liar_back(at, 2_500_000));
    let came = receive(&lying, &["--retry", "0"]);
    assert_eq!(came.code, 7, "{}", came.err);
    assert!(
        came.out == content[..2 * CHUNK as usize],
        "{}",
        came.out.len()
    );
    let came = receive(&lying, &[]);
    well(&came);
    assert!(
        came.out == content && came.err.contains("trying again"),
        "{}",
        came.err
    );
    fs::create_dir_all(path(&home, "in/folder/within")).unwrap();
    let came = receive(&format!("http://{at}/folder"), &[]);
    assert_eq!((came.code, came.out.len()), (6, 0), "{}", came.err);
    assert!(came.err.contains("it is a folder"), "{}", came.err);
    let mut offer = send(&home, &["in/x", "in/small", "--bind", "127.0.0.1:0"]).start();
    let came = receive(&told(&offer), &[]);
    assert_eq!((came.code, came.out.len()), (6, 0), "{}", came.err);
    assert!(came.err.contains("several files"), "{}", came.err);
    offer.signal(Signal::INT);
    offer.end();
    assert_eq!(receive("127.0.0.1:1", &["--json"]).code, 2);
    assert_eq!(sockeye(["receive", "-"]).home(&home).run().code, 2);
}

/// The URL that stands in quotes in what an offer says.
pub(crate) fn told(run: &Run) -> String {
    run.err.rest_of("#pin=");
    let said = run.err.text();
    said.split('\'').nth(1).unwrap().to_owned()
}
