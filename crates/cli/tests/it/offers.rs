//! Offers and drop boxes: `send` and `receive` without an address, as people type them.

use std::fs;

use rustix::process::Signal;

use crate::moving::{home, names, same, send, serve, told, well};
use crate::stage::{binary, path, program, sockeye};

#[test]
fn an_offer_is_taken_by_a_browser_and_by_sockeye_and_is_over() {
    let home = home();
    for name in ["x", "y", "other"] {
        fs::write(path(&home, &format!("src/{name}")), binary(1_500_000)).unwrap();
    }
    let words = ["src/x", "src/y", "--count", "2", "--bind", "127.0.0.1:0"];
    let mut offer = send(&home, &words).start();
    let url = told(&offer);
    let page = url
        .split('#')
        .next()
        .unwrap()
        .replace("https://", "http://");
    let curl = |at: &str| {
        program(
            "curl",
            ["-s", "-o", "/dev/stdout", "-w", "%{http_code}", at],
        )
        .run()
    };
    let listed = curl(&page).text();
    assert!(
        listed.contains("/x\">x</a>") && !listed.contains("other"),
        "{listed}"
    );
    let secret = page.split('/').nth(3).unwrap();
    for wrong in [
        format!("{page}other"),
        page.replace(secret, "00000000000000000000") + "x",
        page.replace(&format!("{secret}/"), "x"),
    ] {
        assert!(curl(&wrong).text().ends_with("404"), "{wrong}");
    }
    let guessed = url.replace(secret, "00000000000000000000");
    let ended = sockeye(["receive", &guessed, "out"]).home(&home).run();
    assert_eq!(ended.code, 6, "{ended:?}");
    let downloaded = curl(&format!("{page}x")).out;
    assert!(downloaded == [&binary(1_500_000)[..], b"200"].concat());
    well(&sockeye(["receive", &url, "out"]).home(&home).run());
    same(&path(&home, "src/y"), &path(&home, "out/y"));
    assert_eq!(names(&path(&home, "out")), ["x", "y"]);
    well(&offer.end());
}

#[test]
fn an_offer_is_of_several_folders_and_of_nothing_else_in_them() {
    let home = home();
    for name in [
        "a/x",
        "b/tree/y",
        "b/tree/deep/z",
        "b/tree/my.key",
        "b/secret",
    ] {
        let place = path(&home, name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, name).unwrap();
    }
    std::os::unix::fs::symlink("../secret", path(&home, "b/tree/link")).unwrap();
    std::os::unix::fs::symlink("x", path(&home, "a/latest")).unwrap();
    let words = ["a/latest", "b/tree", "--exclude", "*.key", "--count", "9"];
    let mut offer = send(&home, &[&words[..], &["--bind", "127.0.0.1:0"]].concat()).start();
    let url = told(&offer);
    well(&sockeye(["receive", &url, "out"]).home(&home).run());
    let of = |name: &str| fs::read_to_string(path(&home, name)).unwrap();
    assert_eq!(names(&path(&home, "out")), ["latest", "tree"]);
    assert_eq!(names(&path(&home, "out/tree")), ["deep", "y"]);
    assert_eq!(
        (of("out/latest"), of("out/tree/deep/z")),
        ("a/x".into(), "b/tree/deep/z".into())
    );
    let page = url
        .split('#')
        .next()
        .unwrap()
        .replace("https://", "http://");
    let get = |at: &str| {
        let url = format!("{page}{at}");
        let flags = ["-s", "--path-as-is", "-w", " %{http_code}", &url];
        program("curl", flags).run().text()
    };
    assert_eq!(get("latest"), "a/x 200");
    assert_eq!(get("tree/deep/z"), "b/tree/deep/z 200");
    for hidden in ["x", "secret", "tree/my.key", "tree/link", "a/x", "tree/new"] {
        fs::write(path(&home, "b/tree/new"), "").unwrap();
        assert!(get(hidden).ends_with(" 404"), "{hidden}: {}", get(hidden));
    }
    let listed = get("tree/?json");
    for (name, is_there) in [
        ("deep", true),
        ("y", true),
        ("my.key", false),
        ("link", false),
    ] {
        assert_eq!(
            listed.contains(&format!("\"{name}\"")),
            is_there,
            "{listed}"
        );
    }
    let tar = format!("curl -s '{page}tree/?archive=tar' | tar -t");
    let tar = program("sh", ["-c", &tar]).run().text();
    let mut packed: Vec<_> = tar.lines().map(|name| name.trim_end_matches('/')).collect();
    packed.sort();
    assert_eq!(packed, ["deep", "deep/z", "y"]);
    offer.signal(Signal::INT);
    offer.end();
    for (words, why) in [
        (["a/x", "out/tree/../../a/x"], "something else of this name"),
        (
            ["a/x", "--limit-rate=1k"],
            "--limit-rate is for what is sent to an address",
        ),
    ] {
        let refused = send(&home, &[&words[..], &["--bind", "127.0.0.1:0"]].concat()).run();
        assert!(
            refused.code != 0 && refused.err.contains(why),
            "{refused:?}"
        );
    }
}

#[test]
fn an_offer_reaches_what_it_offers_and_no_more() {
    let home = home();
    let server = serve(&home, &["-v", "127.0.0.1:0"]);
    if server.run.err.until("listening").contains("no landlock") {
        eprintln!("skipped: this kernel has no landlock");
        return;
    }
    for (flag, status) in [(None, "403"), (Some("--no-confinement"), "200")] {
        fs::write(path(&home, "src/x"), "offered").unwrap();
        let words = ["src/x", "--count", "9", "--bind", "127.0.0.1:0"];
        let mut offer = send(&home, &[&words[..], flag.as_slice()].concat()).start();
        let url = told(&offer).replace("https://", "http://");
        let page = url.split('#').next().unwrap();
        let get = || {
            let flags = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
            let url = format!("{page}x");
            program("curl", flags.iter().copied().chain([&*url]))
                .run()
                .text()
        };
        assert_eq!(get(), "200");
        // Another file of the same name is not what was offered: only the kernel can tell.
        fs::write(path(&home, "src/other"), "another").unwrap();
        fs::rename(path(&home, "src/other"), path(&home, "src/x")).unwrap();
        assert_eq!(get(), status, "{flag:?}");
        offer.signal(Signal::INT);
        offer.end();
    }
}

#[test]
fn a_drop_box_takes_files_from_whoever_knows_its_url() {
    let home = home();
    fs::write(path(&home, "src/x"), binary(1_500_000)).unwrap();
    let words = ["receive", "in", "--bind", "127.0.0.1:0"];
    let mut box_ = sockeye(words).home(&home).start();
    let url = told(&box_);
    well(&send(&home, &["src/x", &url]).run());
    let page = url
        .split('#')
        .next()
        .unwrap()
        .replace("https://", "http://");
    let source = path(&home, "src/x");
    well(
        &program(
            "curl",
            [
                "-sf",
                "-T",
                source.to_str().unwrap(),
                &format!("{page}by-curl"),
            ],
        )
        .run(),
    );
    for name in ["x", "by-curl"] {
        same(&source, &path(&home, "in").join(name));
    }
    box_.signal(Signal::INT);
    assert_eq!(box_.end().code, 130);
}
