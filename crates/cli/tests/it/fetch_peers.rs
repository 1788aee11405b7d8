//! `fetch` beside curl, and with servers that we did not write: nginx, Python's and Node's.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::authority::Authority;
use crate::fetch::{fails, fetch, shown};
use crate::scripted::{Asked, Scripted, answer};
use crate::stage::{
    Ended, LONG, Run, Server, binary, dial, folder, path, program, python, sockeye, words,
};
use crate::tls_peers::python_server;
use crate::web;

/// The same arguments for both; what each of them ended with.
fn both(home: &Arc<TempDir>, arguments: &[&str]) -> (Ended, Ended) {
    let ours = sockeye(["fetch"].iter().chain(arguments)).home(home).run();
    let theirs = program("curl", ["-sS"].iter().chain(arguments))
        .home(home)
        .run();
    (ours, theirs)
}

/// What both sent, without what each calls itself.
fn common(asked: &[Asked]) -> Vec<Asked> {
    let mut asked = asked.to_vec();
    for one in &mut asked {
        one.fields.retain(|field| {
            !field.starts_with("user-agent: sockeye/")
                && !field.starts_with("user-agent: curl/")
                && !field.starts_with("expect: ")
        });
    }
    asked
}

#[test]
fn curl_asks_the_same_with_the_same_letters() {
    let home = folder();
    fs::write(path(&home, "lines"), "one\r\ntwo\n").unwrap();
    fs::write(path(&home, "large"), binary(2 << 20)).unwrap();
    let server = Scripted::says(answer("200 OK", &[], b"ok"));
    let url = server.url("/folder/");
    for arguments in [
        "",
        "-X PURGE",
        "-I",
        "-d a=1 -d b=2",
        "-d @lines",
        "--data-binary @lines",
        "--data-raw @lines -d x",
        "--data-urlencode name=a&b --data-urlencode @lines",
        "-X PUT -d x",
        "-G -d a=1 -d b=2",
        "-G -d a=1 -X DELETE",
        "-T lines",
        "-T large",
        "-X POST -T lines",
        "-H X-A:1 -H X-A:2",
        "-H Accept:",
        "-H X-Empty;",
        "-H Host:other.example",
        "-H User-Agent:me",
        "-A me",
        "-e http://from.example/",
        "-u me:secret",
        "-b a=1;b=2",
        "-r 0-9",
        "-H Content-Type:text/x -d x",
        "-H Content-Length:2 -d xy",
    ] {
        let (ours, theirs) = both(&home, &words(&format!("{arguments} {url}")));
        assert_eq!(
            (ours.code, theirs.code),
            (0, 0),
            "{arguments} {ours:?} {theirs:?}"
        );
        assert_eq!(
            ours.text().is_empty(),
            theirs.text().is_empty(),
            "{arguments}"
        );
        let [ours, theirs] = &common(&server.asked())[..] else {
            panic!("{arguments}")
        };
        assert_eq!(ours, theirs, "{arguments}");
    }
    let typed = fetch(&format!("-T - {url}")).home(&home).with("typed");
    let theirs = program("curl", ["-s", "-T", "-", &url]).with("typed");
    assert_eq!((typed.code, theirs.code), (0, 0));
    let [ours, theirs] = &common(&server.asked())[..] else {
        panic!("two requests")
    };
    assert_eq!(ours, theirs);
    assert_eq!(ours.content, b"typed");
}

#[test]
fn curl_asks_a_proxy_the_same() {
    let home = folder();
    let proxy = Scripted::says(answer("200 OK", &[], b"passed on"));
    let to = "http://nowhere.example:81/a?b";
    for arguments in ["", "-d x", "-u me:secret", "-H Host:other.example"] {
        for who in ["", "me:secret@"] {
            let line = format!("-x http://{who}{} {arguments} {to}", proxy.at);
            let (ours, theirs) = both(&home, &words(&line));
            assert_eq!(
                (&*ours.text(), &*theirs.text()),
                ("passed on", "passed on"),
                "{line}"
            );
            let mut asked = common(&proxy.asked());
            for one in &mut asked {
                // An old habit, which RFC 9112, section C.2.2, asks to give up.
                one.fields
                    .retain(|field| !field.starts_with("proxy-connection: "));
            }
            let [ours, theirs] = &asked[..] else {
                panic!("{line}")
            };
            assert_eq!(ours, theirs, "{line}");
        }
    }
}

#[test]
fn curl_follows_redirects_to_the_same_places() {
    let home = folder();
    fs::write(path(&home, "file"), "content").unwrap();
    for status in [301, 302, 303, 307, 308] {
        let server = Scripted::start(move |asked| match asked.line.contains(" /to") {
            true => answer("200 OK", &[], b"there"),
            false => answer(&format!("{status} X"), &["Location: ../to?q"], b""),
        });
        let url = server.url("/a/b");
        for arguments in ["-L", "-L -d data", "-L -T file", "-L -I", "-L -u me:secret"] {
            let (ours, theirs) = both(&home, &words(&format!("{arguments} {url}")));
            assert_eq!((ours.code, theirs.code), (0, 0), "{status} {arguments}");
            let mut asked = common(&server.asked());
            for one in &mut asked {
                // curl says what the content was even where none is sent any more.
                one.fields
                    .retain(|field| !field.starts_with("content-type: "));
            }
            let (ours, theirs) = asked.split_at(asked.len() / 2);
            assert_eq!(ours, theirs, "{status} {arguments}");
            assert_eq!(ours.len(), 2, "{status} {arguments}");
        }
    }
}

/// nginx with files, in TLS and not.
struct Nginx {
    _run: Run,
    site: Arc<TempDir>,
    plain: String,
    secure: String,
}

impl Nginx {
    /// nginx cannot be told to take any free port: one that was free a moment ago is likely to be still.
    fn start() -> Self {
        let site = folder();
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let (plain, secure) = (free(), free());
        let ca = Authority::new("Our CA");
        ca.write(site.path(), "ca.pem");
        let issued = ca.server(&["localhost", "127.0.0.1"]);
        let (certificate, key) = issued.write(site.path(), "server.pem");
        let root = site.path().display();
        let config = format!(
            "daemon off; master_process off; error_log stderr; pid {root}/pid;
             events {{}}
             http {{
               access_log off; default_type text/plain;
               client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
               uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
               server {{
                 listen {plain}; listen {secure} ssl http2;
                 ssl_certificate {}; ssl_certificate_key {};
                 root {root}/www; gzip on; gzip_types *; gzip_min_length 1;
                 location /moved {{ return 301 /file; }}
                 location /denied {{ return 403; }}
                 location /said {{ return 200 'said'; }}
                 location /slow {{ limit_rate 20k; }}
               }}
             }}",
            certificate.display(),
            key.display()
        );
        fs::create_dir(path(&site, "www")).unwrap();
        let file = path(&site, "nginx.conf");
        fs::write(&file, config).unwrap();
        let run = program(
            "nginx",
            [
                "-p",
                site.path().to_str().unwrap(),
                "-c",
                file.to_str().unwrap(),
            ],
        )
        .start();
        for at in [&plain, &secure] {
            wait_for(at);
        }
        Self {
            _run: run,
            site,
            plain,
            secure,
        }
    }

    fn write(&self, name: &str, data: &[u8]) {
        fs::write(path(&self.site, "www").join(name), data).unwrap();
    }

    fn ca(&self) -> String {
        path(&self.site, "ca.pem").display().to_string()
    }
}

/// Waits until somebody listens there.
#[track_caller]
pub(crate) fn wait_for(at: &str) {
    wait_until(at, || std::net::TcpStream::connect(at).is_ok());
    drop(dial(at));
}

#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "it did not come: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The fields of a head in their order of names, without those that change with time.
fn head_of(text: &str) -> (String, Vec<String>, String) {
    let (head, content) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().trim_end().to_owned();
    let lower = |field: &str| {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        format!("{}: {}", name.to_ascii_lowercase(), value.trim())
    };
    let mut fields: Vec<_> = lines
        .map(lower)
        .filter(|field| !field.starts_with("date: "))
        .collect();
    fields.sort();
    (first, fields, content.to_owned())
}

#[test]
fn nginx_answers_us_as_it_answers_curl() {
    let nginx = Nginx::start();
    let home = folder();
    nginx.write("file", b"the file\n");
    let ca = nginx.ca();
    let (plain, secure) = (&nginx.plain, &nginx.secure);
    for line in [
        format!("-i http://{plain}/file"),
        format!("-I http://{plain}/file"),
        format!("-i http://{plain}/nothing"),
        format!("-i http://{plain}/denied"),
        format!("-i http://{plain}/said"),
        format!("-i http://{plain}/moved"),
        format!("-i -X DELETE http://{plain}/file"),
        format!("-i -d x http://{plain}/file"),
        format!("-i -r 4-7 http://{plain}/file"),
        format!("-i -r 100- http://{plain}/file"),
        format!("-i -H If-Modified-Since:Thu,01-Jan-2099 http://{plain}/file"),
        format!("-i http://{plain}/../../etc/passwd"),
        format!("-i --http2 --cacert {ca} https://{secure}/file"),
        format!("-i --http1.1 --cacert {ca} https://{secure}/file"),
        format!("-I --http2 --cacert {ca} https://{secure}/nothing"),
    ] {
        let theirs = program("curl", ["-sS"].into_iter().chain(words(&line)))
            .home(&home)
            .run();
        let ours = fetch(&line.replace("--cacert", "--ca")).home(&home).run();
        assert_eq!(
            (ours.code, theirs.code),
            (0, 0),
            "{line} {ours:?} {theirs:?}"
        );
        assert_eq!(head_of(&ours.text()), head_of(&theirs.text()), "{line}");
    }
    let fails_for_both = format!("-f http://{plain}/denied");
    assert_eq!(fetch(&fails_for_both).run().code, 6);
    assert_eq!(program("curl", words(&fails_for_both)).run().code, 22);
    let wrong = fetch(&format!("https://{secure}/file")).run();
    fails(
        &wrong,
        4,
        &["is signed by an authority that is not trusted, CN=Our CA"],
    );
}

#[test]
fn nginx_gives_files_whole_packed_and_in_parts() {
    let nginx = Nginx::start();
    let home = folder();
    let data = binary(3 << 20);
    nginx.write("data", &data);
    let text = "again and again\n".repeat(10_000);
    nginx.write("text", text.as_bytes());
    let ca = nginx.ca();
    for (number, base) in [
        format!("--ca {ca} https://{}", nginx.secure),
        format!("--ca {ca} --http1.1 https://{}", nginx.secure),
        format!("http://{}", nginx.plain),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("file{number}");
        let saved = path(&home, &name);
        let run = |line: &str| fetch(line).home(&home).run();
        let ended = run(&format!("-o {name} {base}/data"));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(fs::read(&saved).unwrap() == data, "{base}");
        let packed = run(&format!("--compressed {base}/text"));
        shown(&packed, 0, &text);
        // Begun here, cut by hand, gone on with there.
        fs::write(&saved, &data[..1_234_567]).unwrap();
        let ended = run(&format!("-v -C - -o {name} {base}/data"));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains(" 206"), "{}", ended.err);
        assert!(fs::read(&saved).unwrap() == data, "{base}");
        let ended = run(&format!("-C - -o {name} {base}/data"));
        assert_eq!(ended.code, 0, "all of it was there: {ended:?}");
        assert!(fs::read(&saved).unwrap() == data, "{base}");
    }
}

#[test]
fn a_download_that_is_cut_by_the_clock_goes_on_at_nginx() {
    let nginx = Nginx::start();
    let home = folder();
    fs::create_dir(path(&nginx.site, "www/slow")).unwrap();
    let data = binary(60_000);
    nginx.write("slow/data", &data);
    let url = format!("http://{}/slow/data", nginx.plain);
    let ended = fetch(&format!("-m 700ms -O {url}")).home(&home).run();
    fails(&ended, 3, &["it took longer than 700ms"]);
    let there = fs::metadata(path(&home, "data.part")).unwrap().len();
    assert!((1..60_000).contains(&there), "{there} bytes");
    assert!(path(&home, "data.part.tag").exists());
    assert!(
        ended.err.contains("note: ") && ended.err.contains(" bytes: -C - goes on"),
        "{ended:?}"
    );
    // A person who has seen enough leaves a part, too.
    let mut stopped = fetch(&format!("-O {url}")).home(&home).start();
    wait_until("the first bytes", || {
        let there = fs::metadata(path(&home, "data.part"));
        there.is_ok_and(|there| (1..30_000).contains(&there.len()))
    });
    stopped.signal(rustix::process::Signal::INT);
    assert_eq!(stopped.end().code, 130);
    let ended = fetch(&format!("-v -C - -O {url}")).home(&home).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.contains("> if-range: \"") && ended.err.contains(" 206 "),
        "{ended:?}"
    );
    assert!(fs::read(path(&home, "data")).unwrap() == data);
}

#[test]
fn python_knows_no_ranges_and_nothing_is_joined() {
    let site = folder();
    let home = folder();
    let data = binary(200_000);
    fs::write(path(&site, "data"), &data).unwrap();
    let server = Server::ready(python(["files", site.path().to_str().unwrap()]));
    let url = format!("http://{}/data", server.at);
    fs::write(path(&home, "data"), &data[..1000]).unwrap();
    let ended = fetch(&format!("-C - -O {url}")).home(&home).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("cannot be had in parts"), "{ended:?}");
    assert!(fs::read(path(&home, "data")).unwrap() == data);
    shown(&fetch(&format!("-C 199999 {url}")).run(), 5, "");
    // What is asked for over HTTP/2 is answered in HTTP/1.1, which is told as what it is.
    let ended = fetch(&format!("--http2-prior-knowledge http://{}/", server.at)).run();
    assert!(matches!(ended.code, 5 | 6), "{ended:?}");
    assert!(
        ended.complaint().contains("cannot receive from http://"),
        "{ended:?}"
    );
}

#[test]
fn an_end_that_anyone_could_have_made_is_none() {
    let (_server, _folder, to) = python_server("http_server");
    let (url, ca) = to
        .strip_prefix("tls")
        .and_then(|to| to.split_once(' '))
        .unwrap();
    let whole = fetch(&format!("{ca} --http1.1 https{url}/whole")).run();
    shown(&whole, 0, "an answer");
    let cut = fetch(&format!("{ca} --http1.1 https{url}/cut")).run();
    fails(
        &cut,
        6,
        &["the connection ended without close_notify", "after 9 bytes"],
    );
    assert_eq!(cut.text(), "an answer", "what came is shown");
}

#[test]
fn aiohttp_echoes_while_we_send() {
    let server = Server::ready(web::python("peers/http_peer.py", &["serve"]));
    let url = |path: &str| format!("http://{}{path}", server.at);
    let data = binary(4 << 20).to_ascii_uppercase();
    let home = folder();
    fs::write(path(&home, "data"), &data).unwrap();
    let ended = fetch(&format!("-T data {}", url("/echo")))
        .home(&home)
        .run();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
    shown(
        &fetch(&format!("-d a=1 {}", url("/seen"))).run(),
        0,
        "POST /seen 3 application/x-www-form-urlencoded 3\n",
    );
    shown(
        &fetch(&format!("--data-json {{}} {}", url("/seen"))).run(),
        0,
        "POST /seen 2 application/json 2\n",
    );
    let ended = fetch(&url("/broken")).run();
    fails(&ended, 6, &["the connection ended after 5 of 10 bytes"]);
    let early = fetch(&format!("-T data {}", url("/early")))
        .home(&home)
        .run();
    shown(&early, 0, "enough\n");
}

#[test]
fn node_speaks_http2_with_all_that_belongs_to_it() {
    let server = Server::ready(web::bare_node("peers/http2_server.mjs", &[]));
    let url = |path: &str| format!("--http2-prior-knowledge http://{}{path}", server.at);
    let ended = fetch(&format!("-H X-Mine:yes -d data {}", url("/seen"))).run();
    shown(&ended, 0, "POST yes data\n");
    let mut typed = fetch(&format!("-T - {}", url("/seen"))).start();
    typed.say("in ");
    typed.say("pieces");
    shown(&typed.hang_up_and_end(), 0, "PUT none in pieces\n");
    let ended = fetch(&format!("-v {}", url("/trailers"))).run();
    shown(&ended, 0, "hi");
    assert!(
        ended.err.contains("* trailers:\n< x-sum: 7\n"),
        "{}",
        ended.err
    );
    let ended = fetch(&url("/reset")).run();
    // Node may end the stream before it resets it, and then too little came.
    let (code, why) = match ended.err.contains("breaks the rules") {
        true => (5, "what came breaks the rules of HTTP/2"),
        false => (6, "the server reset the stream"),
    };
    fails(&ended, code, &[why, "after 5 of 10 bytes"]);
    let ended = fetch(&url("/big")).run();
    assert!(
        ended.code == 0 && ended.out == b"node".repeat(750_000),
        "{}",
        ended.err
    );
    let both = format!("{} http://{}/seen", url("/goaway"), server.at);
    let ended = fetch(&both).run();
    shown(&ended, 0, "bye\nGET none \n");
    let ended = fetch(&format!("-I {}", url("/nothing"))).run();
    assert!(
        ended.text().starts_with("HTTP/2 404 \r\ndate: "),
        "{ended:?}"
    );
}
