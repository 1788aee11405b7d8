//! A folder with clients that we did not write: tus's own for Python and JavaScript, requests, aioquic, and a browser.

use std::fs;
use std::time::Duration;

use crate::files::{Files, source};
use crate::stage::{LONG, binary, program, sockeye};
use crate::web::{node_with_modules, python};

const ALL_IS_WELL: &str = "all is well\n";

#[test]
fn what_tus_says_of_wrong_requests_is_what_happens() {
    let files = Files::open();
    let ended = python("peers/tus_peer.py", &["protocol", &files.url("/")]).run();
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
    assert_eq!(files.names(), ["hello", "hello (1)"]);
}

#[test]
fn clients_of_tus_go_on_after_a_break() {
    let files = Files::open();
    let data = binary((3 << 20) + 17);
    let (_home, from) = source(&data);
    let url = files.url("/");
    for client in [
        python("peers/tus_peer.py", &["tuspy", &url, &from]),
        node_with_modules("peers/tus_peer.mjs", &[&url, &from, "tus-v1"]),
        node_with_modules("peers/tus_peer.mjs", &[&url, &from, "ietf-draft-05"]),
        python("peers/tus_peer.py", &["requests", &url, &from]),
    ] {
        let ended = client.start().end_within(LONG * 3);
        assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
    }
    let names = [
        "by ietf-draft-05.bin",
        "by requests.bin",
        "by tus-v1.bin",
        "by tuspy.bin",
    ];
    assert_eq!(files.names(), names);
    for name in names {
        assert!(fs::read(files.path(name)).unwrap() == data, "{name}");
    }
}

#[test]
fn over_http_3_it_is_the_same() {
    let files = Files::with(&[]);
    let data = binary(2 << 20);
    files.write("large", &data);
    let digest = program("sha256sum", [files.path("large")]).run().text();
    let digest = digest.split(' ').next().unwrap();
    let size = data.len().to_string();
    let arguments = ["site", files.server.port(), &size, digest];
    let ended = python("peers/h3_peer.py", &arguments)
        .start()
        .end_within(LONG * 3);
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
}

#[test]
fn several_protocols_put_files_at_once() {
    let files = Files::open();
    let data = binary(4 << 20);
    let (_home, from) = source(&data);
    let at = files.server.at.clone();
    let curl = |name: &str, flags: &[&str], scheme: &str| {
        let url = format!("{scheme}://{at}/{name}");
        let always = ["-sS", "-f", "-k", "-T", &from];
        let all = always.iter().chain(flags).copied();
        program("curl", all.chain([url.as_str()])).start()
    };
    let put = |name: &str| format!("https://{at}/{name}");
    let http3 = [
        "fetch",
        "--http3-only",
        "--insecure",
        "-T",
        &from,
        &put("h3.bin"),
    ]
    .map(str::to_owned);
    let mut runs = [
        ("h1.bin", curl("h1.bin", &[], "http")),
        ("h1s.bin", curl("h1s.bin", &["--http1.1"], "https")),
        ("h2.bin", curl("h2.bin", &["--http2"], "https")),
        (
            "h2c.bin",
            curl("h2c.bin", &["--http2-prior-knowledge"], "http"),
        ),
        ("h3.bin", sockeye(http3).start()),
    ];
    for (name, run) in &mut runs {
        let ended = run.end_within(LONG * 3);
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        assert!(fs::read(files.path(name)).unwrap() == data, "{name}");
    }
}

/// curl that sees a stream reset together with its answer tells of an error instead of the answer.
#[test]
fn a_large_upload_that_is_refused_is_told_why_over_every_version() {
    let files = Files::open();
    files.write("taken.bin", "here");
    let (_home, from) = source(&binary(16 << 20));
    let at = &files.server.at;
    for (scheme, version) in [
        ("http", "--http1.1"),
        ("https", "--http1.1"),
        ("https", "--http2"),
        ("http", "--http2-prior-knowledge"),
    ] {
        for _ in 0..5 {
            let url = format!("{scheme}://{at}/taken.bin");
            let words = ["-sS", "-k", version, "-T", &from, &url];
            let ended = program("curl", words).start().end_within(LONG);
            assert_eq!(ended.code, 0, "{scheme} {version}: {ended:?}");
            assert!(
                ended.text().starts_with("there is a file of this name"),
                "{scheme} {version}: {ended:?}"
            );
        }
    }
}

#[test]
fn the_page_of_a_folder_in_a_real_browser() {
    let files = Files::open();
    let place = files.folder.path().to_str().unwrap().to_owned();
    let mut browser = python(
        "browser/files.py",
        &[&files.server.at, &place, env!("CARGO_BIN_EXE_sockeye")],
    )
    .start();
    let ended = browser.end_within(Duration::from_secs(400));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().ends_with(" passed\n"), "{ended:?}");
}
