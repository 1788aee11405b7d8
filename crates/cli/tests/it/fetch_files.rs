//! `fetch` into files: whole or not there, and gone on with without ever joining two versions.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::fetch::{fails, fetch};
use crate::scripted::{Scripted, answer};
use crate::stage::{Ended, Line, Server, binary, folder, path, program};

/// A folder to save in, and one that is served.
struct Place {
    home: Arc<TempDir>,
    site: Arc<TempDir>,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let site = folder();
        let server = Server::of(["site", site.path().to_str().unwrap(), "127.0.0.1:0"]);
        Self {
            home: folder(),
            site,
            server,
        }
    }

    fn serve(&self, name: &str, data: &[u8]) {
        fs::write(path(&self.site, name), data).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        path(&self.home, name)
    }

    fn has(&self, name: &str, data: &[u8]) {
        self.at_path(name, data);
    }

    #[track_caller]
    fn at_path(&self, name: &str, data: &[u8]) {
        let found = fs::read(self.at(name)).unwrap();
        assert!(
            found == data,
            "{name}: {} bytes, not these {}",
            found.len(),
            data.len()
        );
    }

    /// The names of everything that was saved.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.home.path()).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !matches!(&**name, "state" | "config"))
            .collect();
        names.sort();
        names
    }

    fn line(&self, flags: &str, url: &str) -> Line {
        fetch(&format!("{flags} {url}")).home(&self.home)
    }

    fn fetch(&self, flags: &str, name: &str) -> Ended {
        self.line(flags, &format!("http://{}/{name}", self.server.at))
            .run()
    }
}

#[track_caller]
fn well(ended: &Ended) {
    assert_eq!((ended.code, &*ended.text()), (0, ""), "{ended:?}");
}

#[test]
fn files_are_saved_under_the_names_that_are_given() {
    let place = Place::new();
    let data = binary(1 << 20);
    place.serve("data.bin", &data);
    place.serve("文 1.txt", b"chinese");
    well(&place.fetch("-O", "data.bin"));
    place.has("data.bin", &data);
    well(&place.fetch("-o other", "data.bin"));
    place.has("other", &data);
    well(&place.fetch("-O", "%E6%96%87%201.txt?x"));
    place.has("文 1.txt", b"chinese");
    assert_eq!(place.names(), ["data.bin", "other", "文 1.txt"]);
    fails(
        &place.fetch("-o new/folder/file", "data.bin"),
        1,
        &["cannot write new/folder/file.part"],
    );
    well(&place.fetch("--create-dirs -o new/folder/file", "data.bin"));
    place.has("new/folder/file", &data);
    fails(&place.fetch("-o new", "data.bin"), 2, &["it is a folder"]);
    let site = &place.server.at;
    let two = format!("-o a -o b http://{site}/data.bin http://{site}/%E6%96%87%201.txt");
    well(&place.line(&two, "").run());
    place.has("a", &data);
    place.has("b", b"chinese");
}

#[test]
fn a_name_of_a_server_leads_nowhere_else() {
    let place = Place::new();
    let server = Scripted::says(answer("200 OK", &[], b"x"));
    for (last, name) in [
        ("..%2f..%2fevil", "_._.._evil"),
        (".bashrc", "_bashrc"),
        ("a%00b%1b", "a_b_"),
        ("%5c%5chost%5cx", "__host_x"),
    ] {
        well(&place.line("-O", &server.url(&format!("/dir/{last}"))).run());
        assert_eq!(place.names(), [name], "{last}");
        fs::remove_file(place.at(name)).unwrap();
    }
}

#[test]
fn a_file_that_breaks_off_never_takes_the_name_and_can_be_gone_on_with() {
    let place = Place::new();
    let data = binary(100_000);
    let said = [
        b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 100000\r\n\r\n",
        &data[..40_000],
    ]
    .concat();
    let whole = data.clone();
    let server = Scripted::start(move |asked| match asked.field("range") {
        None => said.clone(),
        Some(range) => {
            assert_eq!(
                (range, asked.field("if-range")),
                ("bytes=40000-", Some("\"one\""))
            );
            let range = "Content-Range: bytes 40000-99999/100000";
            answer(
                "206 Partial Content",
                &[range, "ETag: \"one\""],
                &whole[40_000..],
            )
        }
    });
    fs::write(place.at("file"), "old").unwrap();
    let ended = place.line("-o file", &server.url("/")).run();
    fails(
        &ended,
        6,
        &["the connection ended after 40000 of 100000 bytes"],
    );
    assert!(
        ended.err.contains("note: ")
            && ended
                .err
                .contains("file.part has 40000 bytes: -C - goes on"),
        "{ended:?}"
    );
    place.has("file", b"old");
    assert_eq!(place.names(), ["file", "file.part", "file.part.tag"]);
    well(&place.line("-C - -o file", &server.url("/")).run());
    place.has("file", &data);
    assert_eq!(place.names(), ["file"]);
    // The same without being asked a second time.
    let ended = place.line("--retry 1 -o again", &server.url("/")).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("trying again"), "{ended:?}");
    place.has("again", &data);
}

#[test]
fn what_curl_began_is_gone_on_with() {
    let place = Place::new();
    let data = binary(300_000);
    place.serve("data", &data);
    let url = format!("http://{}/data", place.server.at);
    let begun = program("curl", ["-s", "-r", "0-99999", "-o", "data", &url]);
    assert_eq!(begun.home(&place.home).run().code, 0);
    well(&place.fetch("-C - -O", "data"));
    place.has("data", &data);
    // All of it is there: nothing is asked for but whether there is more.
    let ended = place.fetch("-v -C - -O", "data");
    assert!(
        ended.code == 0 && ended.err.contains("< HTTP/1.1 416 "),
        "{ended:?}"
    );
    place.has("data", &data);
    // Nothing is there: all of it is fetched.
    well(&place.fetch("-C - -o fresh", "data"));
    place.has("fresh", &data);
    fs::write(place.at("some"), &data[..1000]).unwrap();
    well(&place.fetch("-C 500 -o some", "data"));
    place.has("some", &data);
    fails(
        &place.fetch("-C 5000000 -o some", "data"),
        2,
        &["only 300000 bytes are there"],
    );
    let rest = place.fetch("-C 299990", "data");
    assert_eq!(
        (rest.code, &rest.out[..]),
        (0, &data[299_990..]),
        "{}",
        rest.err
    );
}

#[test]
fn two_versions_are_never_joined() {
    let place = Place::new();
    let (old, new) = (binary(50_000), vec![b'n'; 60_000]);
    place.serve("data", &new);
    // Begun when it was another, whose tag is known.
    fs::write(place.at("data.part"), &old[..20_000]).unwrap();
    fs::write(place.at("data.part.tag"), "\"of the old one\"").unwrap();
    let ended = place.fetch("-C - -O", "data");
    well(&ended);
    assert!(
        ended.err.contains("note: the server sends all of it"),
        "{ended:?}"
    );
    place.has("data", &new);
    assert_eq!(place.names(), ["data"]);
    // Begun by somebody who has left no tag, and changed on the server since.
    fs::write(place.at("late"), &old[..20_000]).unwrap();
    let before = fs::File::options()
        .write(true)
        .open(place.at("late"))
        .unwrap();
    before
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let url = format!("http://{}/data", place.server.at);
    let ended = place.line("-C - -o late", &url).run();
    well(&ended);
    assert!(
        ended.err.contains("note: it has changed on the server"),
        "{ended:?}"
    );
    place.has("late", &new);
}

#[test]
fn servers_that_answer_ranges_wrongly_change_nothing() {
    let place = Place::new();
    let some = vec![b's'; 10];
    for (said, code, says) in [
        (
            answer(
                "206 Partial Content",
                &["Content-Range: bytes 5-19/20"],
                &[b'x'; 15],
            ),
            5,
            "from byte 5 on and not from 10",
        ),
        (
            answer("206 Partial Content", &[], &[b'x'; 10]),
            5,
            "its Content-Range cannot be read: none",
        ),
        (
            answer(
                "206 Partial Content",
                &["Content-Range: bytes 10-19/15"],
                &[b'x'; 10],
            ),
            5,
            "cannot be read",
        ),
        (
            answer(
                "416 Range Not Satisfiable",
                &["Content-Range: bytes */7"],
                b"",
            ),
            5,
            "it has 7 bytes and 10 are there",
        ),
        (
            answer("416 Range Not Satisfiable", &[], b""),
            6,
            "answered 416",
        ),
        (
            answer("404 Not Found", &[], b"an error page"),
            6,
            "answered 404",
        ),
    ] {
        fs::write(place.at("file"), &some).unwrap();
        let server = Scripted::says(said);
        fails(
            &place.line("-C - -o file", &server.url("/")).run(),
            code,
            &[says],
        );
        place.has("file", &some);
        assert_eq!(place.names(), ["file"], "{says}");
    }
    // Less than was promised is no whole file.
    let server = Scripted::says(answer(
        "206 Partial Content",
        &["Content-Range: bytes 10-14/20"],
        b"abcde",
    ));
    fails(
        &place.line("-C - -o file", &server.url("/")).run(),
        5,
        &["up to byte 15 of 20"],
    );
    place.has("file", &some);
    // A whole answer instead of the rest is no rest where there is nothing to begin anew.
    let server = Scripted::says(answer("200 OK", &[], b"everything"));
    let ended = place.line("-C 5", &server.url("/")).run();
    fails(
        &ended,
        5,
        &["the server sends all of it instead of what is after byte 5"],
    );
    assert_eq!(ended.text(), "");
}

#[test]
fn what_is_no_file_is_written_directly() {
    let place = Place::new();
    place.serve("data", b"data");
    well(&place.fetch("-o /dev/null", "data"));
    std::os::unix::fs::symlink("real", place.at("link")).unwrap();
    fs::write(place.at("real"), "old").unwrap();
    well(&place.fetch("-o link", "data"));
    place.has("real", b"data");
    assert!(place.at("link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(place.names(), ["link", "real"]);
    let full = place.fetch("-o /dev/full", "data");
    fails(&full, 1, &["cannot write /dev/full: No space left"]);
}
