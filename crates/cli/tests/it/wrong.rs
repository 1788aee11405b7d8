//! What people get wrong, and what the system refuses: one line with the operation, the address and a hint; the
//! right exit code; nothing lost of what had come; and servers that stay up.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;

use crate::stage::{
    Ended, Listener, Server, binary, connect, drain, folder, hear, path, program, sockeye, words,
};

/// The exit code, and all of these words in the one line of failure.
#[track_caller]
fn fails(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = ended.complaint();
    for part in says {
        assert!(line.contains(part), "`{part}` is not in `{line}`");
    }
    assert!(!line.contains("os error"), "{line}");
    assert_eq!(ended.out, b"", "{ended:?}");
}

fn serve(line: &str) -> crate::stage::Line {
    sockeye(std::iter::once("serve").chain(words(line)))
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let says = [
        "cannot listen on",
        &at,
        "already in use",
        "another port",
        ":0",
    ];
    fails(&serve(&format!("echo tcp://{at}")).run(), 1, &says);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    fails(
        &serve(&format!("echo udp://{at}")).run(),
        1,
        &["cannot listen on", &at],
    );
    // Both protocols on one number: the TCP socket goes too.
    fails(
        &serve(&format!("echo {at}")).run(),
        1,
        &["cannot listen on", &at],
    );
}

#[test]
fn unix_name_in_use() {
    let folder = folder();
    let place = path(&folder, "s").display().to_string();
    let server = Server::start(&format!("echo unix:{place}"));
    let says = ["cannot listen on", &place, "in use", "another name"];
    fails(&serve(&format!("echo unix:{place}")).run(), 1, &says);
    let ended = connect(&format!("unix:{place} --send hi --count 1")).run();
    assert_eq!(ended.text(), "hi\n", "the first server is still there");
    drop(server);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let folder = folder();
    let place = path(&folder, "s");
    drop(std::os::unix::net::UnixListener::bind(&place).unwrap());
    assert!(place.exists());
    let _server = Server::start(&format!("echo unix:{}", place.display()));
    let ended = connect(&format!("unix:{} --send hi --count 1", place.display())).run();
    assert_eq!(ended.text(), "hi\n");
}

#[test]
fn a_file_is_not_replaced_by_a_socket() {
    let folder = folder();
    let place = path(&folder, "precious");
    std::fs::write(&place, "words").unwrap();
    let shown = place.display().to_string();
    fails(
        &serve(&format!("echo unix:{shown}")).run(),
        1,
        &["cannot listen on", &shown],
    );
    assert_eq!(std::fs::read_to_string(place).unwrap(), "words");
}

#[test]
fn privileged_port() {
    let first: u16 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // Where the system protects no port there is nothing to be refused.
    if first < 2 {
        return;
    }
    let command = [
        env!("CARGO_BIN_EXE_sockeye"),
        "serve",
        "echo",
        "tcp://127.0.0.1:1",
    ];
    let line = if rustix::process::geteuid().is_root() {
        // Nobody, without the right to take such ports; the program must be readable for nobody.
        let folder = std::env::temp_dir().join(format!("sockeye-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let copy = folder.join("sockeye");
        std::fs::copy(command[0], &copy).unwrap();
        let own = [
            "--reuid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            copy.to_str().unwrap(),
        ];
        let ended = program("setpriv", own.iter().chain(&command[1..])).run();
        std::fs::remove_dir_all(folder).unwrap();
        ended
    } else {
        sockeye(&command[1..]).run()
    };
    fails(
        &line,
        1,
        &[
            "cannot listen on",
            "127.0.0.1:1",
            "permission denied",
            "1024",
        ],
    );
}

#[test]
fn unknown_scheme() {
    for (line, meant) in [
        ("tpc://localhost:3000", "tcp"),
        ("upd://localhost:3000", "udp"),
        ("uinx:/tmp/x", "unix"),
    ] {
        fails(
            &connect(line).run(),
            2,
            &[line.split(':').next().unwrap(), meant],
        );
        fails(&serve(&format!("echo {line}")).run(), 2, &[meant]);
    }
}

#[test]
fn addresses_that_cannot_be_read() {
    for (line, says) in [
        ("connect localhost", "port"),
        ("connect tcp://localhost", "port"),
        ("connect localhost:99999", "65535"),
        ("connect localhost 99999", "65535"),
        ("connect [::1:3000", "bracket"),
        ("connect 127.0.0.1:http", "http"),
        ("serve 99999", "65535"),
        ("serve echo 99999", "65535"),
        ("serve localhost:", "port"),
        ("connect unix:", "path"),
    ] {
        fails(&sockeye(words(line)).run(), 2, &[says]);
    }
}

#[test]
fn what_has_no_address_of_its_own_says_where_it_is_served() {
    for scheme in ["h3", "wt"] {
        let line = format!("{scheme}://127.0.0.1:9");
        fails(&serve(&line).run(), 2, &[&line, "without a scheme"]);
    }
}

#[test]
fn misspelt_service() {
    fails(&serve("ehco").run(), 2, &["ehco", "did you mean `echo`?"]);
    fails(&serve("uper 3000").run(), 2, &["uper", "`upper`"]);
    fails(
        &serve("zzz").run(),
        2,
        &[
            "zzz",
            "echo, upper, hello, reply, sink, cat, files, site, relay, exec, console",
        ],
    );
    fails(&serve("reply").run(), 2, &["reply needs a text"]);
}

#[test]
fn what_the_parser_refuses_is_one_line() {
    for (line, complaint) in [
        (
            "connect :1 --sned hi",
            "there is no option --sned (did you mean --send?)",
        ),
        (
            "connect --frme line :1",
            "there is no option --frme (did you mean --frame?)",
        ),
        (
            "--frame line connect",
            "there is no option --frame (`connect --frame` exists)",
        ),
        (
            "contacts --nope",
            "there is no option --nope (`sockeye contacts --help` tells more)",
        ),
        ("srve", "there is no command `srve` (did you mean serve?)"),
        (
            "contacts ad x",
            "there is no command `ad` (did you mean add?)",
        ),
        (
            "connect",
            "missing: <ADDR>... (`sockeye connect --help` tells more)",
        ),
        ("connect :1 --send", "no value for --send <TEXT>"),
        (
            "connect :1 --eol x",
            "--eol <EOL> cannot be `x`: there are lf, crlf, cr, none",
        ),
        (
            "completions bas",
            "<SHELL> cannot be `bas`: there are bash, elvish, fish, powershell, zsh (did you mean bash?)",
        ),
        (
            "connect :1 --wait 3x",
            "cannot read `3x` as --wait <TIME>: `x` is no unit of time; write 500ms, 3s, 2m, 1h or 30d",
        ),
        (
            "connect :1 -4 -6",
            "--ipv4 does not go with --ipv6 (`sockeye connect --help` tells more)",
        ),
        (
            "serve --hex --hex",
            "--hex is there twice (`sockeye serve --help` tells more)",
        ),
        (
            "serve --json=1",
            "--json takes no value such as `1` (`sockeye serve --help` tells more)",
        ),
        (
            "man a b",
            "`b` is one word too many (`sockeye man --help` tells more)",
        ),
    ] {
        let ended = sockeye(words(line)).run();
        assert_eq!((ended.code, ended.text()), (2, String::new()), "{line}");
        assert_eq!(ended.err, format!("sockeye: {complaint}\n"), "{line}");
    }
}

#[test]
fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;

    let name = std::ffi::OsStr::from_bytes(b"unix:a\xffb");
    for verb in ["connect", "serve"] {
        let ended = sockeye([verb.as_ref(), name]).run();
        fails(&ended, 2, &["is no UTF-8"]);
    }
}

#[test]
fn unresolvable_name() {
    let ended = connect("no-such-host.invalid:3000").run();
    fails(
        &ended,
        1,
        &["cannot resolve no-such-host.invalid", "spelling"],
    );
    fails(
        &serve("tcp://no-such-host.invalid:3000").run(),
        1,
        &["no-such-host.invalid"],
    );
}

#[test]
fn an_address_of_another_machine() {
    let ended = serve("echo tcp://192.0.2.1:0").run();
    fails(&ended, 1, &["cannot listen on", "192.0.2.1", "ip addr"]);
}

#[test]
fn refused() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let says = [
        "cannot connect to",
        &free.to_string(),
        "refused",
        "is the server running",
    ];
    fails(&connect(&free.to_string()).run(), 1, &says);
    let folder = folder();
    let place = path(&folder, "nothing").display().to_string();
    let says = ["cannot connect to", &place, "is the server running"];
    fails(&connect(&format!("unix:{place}")).run(), 1, &says);
    fails(
        &connect(&format!("unixgram:{place}")).run(),
        1,
        &["cannot connect to", &place],
    );
    fails(
        &connect("unix:@sockeye-no-such-name").run(),
        1,
        &["sockeye-no-such-name"],
    );
}

#[test]
fn timed_out() {
    // A full backlog answers no SYN.
    let full = socket_with_full_backlog();
    let at = full.0.local_addr().unwrap().to_string();
    let says = ["cannot connect to", &at, "no answer within 300ms", "-w"];
    fails(&connect(&format!("{at} -w 300ms")).run(), 3, &says);
}

/// A listener that takes nobody more, and those that wait in vain.
fn socket_with_full_backlog() -> (TcpListener, Vec<std::net::TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let at = listener.local_addr().unwrap();
    let limit = std::time::Duration::from_millis(100);
    let waiting = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&at, limit).ok());
    let waiting = waiting.collect();
    (listener, waiting)
}

#[test]
fn unreachable() {
    // In a network of its own that has no interface up there is a route to nothing.
    let own = [
        "-rn",
        env!("CARGO_BIN_EXE_sockeye"),
        "connect",
        "192.0.2.1:9",
    ];
    let ended = program("unshare", own).run();
    if ended.err.starts_with("unshare:") {
        // Where namespaces are forbidden the same is asked of the broadcast address, which no stream reaches.
        let ended = connect("255.255.255.255:9").run();
        return fails(&ended, 1, &["cannot connect to 255.255.255.255:9"]);
    }
    fails(
        &ended,
        1,
        &["cannot connect to 192.0.2.1:9", "unreachable", "route"],
    );
}

#[test]
fn too_large_a_datagram() {
    let server = Server::start("echo udp://127.0.0.1:0");
    let folder = folder();
    let file = path(&folder, "big");
    std::fs::write(&file, binary(70_000)).unwrap();
    let line = format!("udp://{} --send-file {}", server.at, file.display());
    let says = [
        "cannot send to",
        &server.at,
        "70000",
        "the limit is 65507",
        "tcp://",
    ];
    fails(&connect(&line).run(), 1, &says);
    let ended = connect(&format!("udp://{} --send hi --count 1", server.at)).run();
    assert_eq!(ended.text(), "hi", "the server is still there");
}

#[test]
fn message_over_the_limit() {
    let server = Server::start("echo --frame line --max-message 10 tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"short\n").unwrap();
    hear(&mut client, "short\n");
    client.write_all(b"much too long a line\n").unwrap();
    drain(&mut client);
    let line = server.run.err.rest_of("close #1 ");
    assert!(line.contains("10"), "{line}");
    let mut other = server.tcp();
    other.write_all(b"again\n").unwrap();
    hear(&mut other, "again\n");

    let listener = Listener::new();
    let mut run = connect(&format!("{} --frame line --max-message 10", listener.at())).start();
    let mut peer = listener.accept();
    peer.write_all(b"short\nmuch too long a line\n").unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (5, "short\n"));
    let line = ended.complaint();
    assert!(line.contains("10") && line.contains("--frame"), "{line}");
}

#[test]
fn fixed_frame_cut_short() {
    let words = "expected 16 bytes, the peer closed after 5";
    let server = Server::start("echo --frame fixed:16 tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"0123456789abcdef01234").unwrap();
    hear(&mut client, "0123456789abcdef");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let line = server.run.err.rest_of("close #1 ");
    assert!(line.contains(words), "{line}");

    let listener = Listener::new();
    let mut run = connect(&format!("{} --frame fixed:16", listener.at())).start();
    let mut peer = listener.accept();
    peer.write_all(b"0123456789abcdef01234").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (5, "0123456789abcdef"));
    assert!(ended.complaint().contains(words), "{ended:?}");
}

#[test]
fn undecodable_text() {
    let server = Server::start("upper -v tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"a\xffb\n").unwrap();
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"A\xffB\n", "what is no text passes unchanged");
    server.run.err.until("a\\xffb");
    let ended = connect(&format!("{} --encoding utf-8", server.at)).with(b"x\xff\n");
    assert_eq!((ended.code, ended.text().as_str()), (0, "X\\xff\n"));
    let ended = connect(&server.at).with(b"x\xff\n");
    assert_eq!(
        (ended.code, &ended.out[..]),
        (0, &b"X\xff\n"[..]),
        "without --encoding bytes stay bytes"
    );
}

#[test]
fn wrong_hex_and_escapes() {
    let says = ["--send-hex", "fc 2", "odd"];
    fails(
        &sockeye(["connect", "127.0.0.1:9", "--send-hex", "fc 2"]).run(),
        2,
        &says[..2],
    );
    fails(
        &sockeye(["connect", "127.0.0.1:9", "--send-hex", "xy"]).run(),
        2,
        &["--send-hex", "xy"],
    );
    fails(
        &sockeye(["connect", "127.0.0.1:9", "--send", "\\q"]).run(),
        2,
        &["--send", "\\q"],
    );
    fails(
        &sockeye(["serve", "reply", "--hex", "f"]).run(),
        2,
        &["hex", "`f`"],
    );
    let line = [
        "connect",
        "127.0.0.1:9",
        "--encoding",
        "gb2312",
        "--send",
        "\u{1F600}",
    ];
    let ended = sockeye(line).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    let ended = sockeye(["connect", "127.0.0.1:9", "--send-file", "/no/such/file"]).run();
    assert!(ended.complaint().contains("/no/such/file"), "{ended:?}");
}

#[test]
fn broken_config_file() {
    let folder = folder();
    std::fs::create_dir_all(path(&folder, "config/sockeye")).unwrap();
    let file = path(&folder, "config/sockeye/config.toml");
    for (text, place) in [
        ("[contacts]\ngeorge = \n", ":2:"),
        ("[contacts]\ngeorge = 5\n", ":2:10:"),
        (
            "[contacts]\ngood = \"127.0.0.1:1\"\nbad = \"tpc://x:1\"\n",
            ":3:7:",
        ),
        ("contacts = 5\n", ":1:"),
    ] {
        std::fs::write(&file, text).unwrap();
        let shown = format!("config.toml{place}");
        for line in [
            "contacts",
            "connect @george",
            "contacts add a tcp://127.0.0.1:1",
        ] {
            fails(&sockeye(words(line)).home(&folder).run(), 2, &[&shown]);
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            text,
            "left as it was"
        );
    }
}

#[test]
fn full_disk_in_sink() {
    let folder = folder();
    let out = path(&folder, "out");
    std::fs::create_dir(&out).unwrap();
    let mount = words("-t tmpfs -o size=64k none")
        .into_iter()
        .chain([out.to_str().unwrap()]);
    if !rustix::process::geteuid().is_root() || program("mount", mount).run().code != 0 {
        // Without the right to mount there is /dev/full, which is full from the start.
        return dev_full();
    }
    let _mounted = Mounted(out.clone());
    let mut server = Server::of([
        "sink",
        "--out",
        &format!("{}/", out.display()),
        "tcp://127.0.0.1:0",
    ]);
    let mut client = server.tcp();
    // The server may end it before all of it is sent.
    let _ = client.write_all(&binary(500_000));
    let _ = client.shutdown(std::net::Shutdown::Write);
    drain(&mut client);
    let line = server.run.err.rest_of("close #1 ");
    assert!(line.contains("no space") && line.contains("out/"), "{line}");
    let kept: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(kept.len(), 1);
    let name = kept[0].file_name().into_string().unwrap();
    assert!(name.ends_with(".part"), "{name}");
    let kept_bytes = std::fs::read(kept[0].path()).unwrap();
    assert!(
        !kept_bytes.is_empty() && binary(500_000).starts_with(&kept_bytes),
        "what had come is kept"
    );
    std::fs::remove_file(kept[0].path()).unwrap();
    let ended = connect(&format!("{} --send small", server.at)).run();
    assert_eq!(ended.code, 0, "the server stays up: {ended:?}");
    server.run.err.until("saved 6 bytes");
    server.run.signal(rustix::process::Signal::TERM);
    assert_eq!(server.run.end().code, 143);
}

fn dev_full() {
    let server = Server::start("sink --out /dev/full tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    drain(&mut client);
    server.run.err.rest_of("close #1 ");
    server.tcp();
    server.run.err.until("open  #2");
}

/// Unmounts at the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        program("umount", [&self.0]).run();
    }
}

#[test]
fn an_output_that_is_full() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut run = connect(&format!("{} --send hi", server.at))
        .stdout(full)
        .start();
    let ended = run.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    let line = ended.complaint();
    assert!(
        line.contains("cannot write to standard output")
            && line.to_lowercase().contains("no space"),
        "{line}"
    );
}

#[test]
fn stdout_closed_early() {
    // As endless as `yes`: it ends because nobody reads it any more.
    let server = Server::start("echo tcp://127.0.0.1:0");
    let line = format!(
        "yes | '{}' connect {} | head -c 1",
        env!("CARGO_BIN_EXE_sockeye"),
        server.at
    );
    let line = format!("{line}; exit ${{PIPESTATUS[1]}}");
    let ended = program("bash", ["-c", &line]).run();
    assert_eq!((ended.code, ended.text().as_str()), (0, "y"), "{ended:?}");
    for line in ["--help", "man", "completions bash"] {
        let line = format!(
            "'{}' {line} | head -c 1; exit ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_sockeye")
        );
        let ended = program("bash", ["-c", &line]).run();
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{line}");
    }
}

#[test]
fn sink_has_no_standard_output() {
    let says = ["cannot save to `-`", "serve console --once"];
    fails(&serve("sink --out - tcp://127.0.0.1:0").run(), 2, &says);
    let line = sockeye(words("serve console --once tcp://127.0.0.1:0")).stdin(Stdio::null());
    let mut server = Server::ready(line);
    assert_eq!(connect(&server.at).with(binary(100_000)).code, 0);
    assert!(server.run.end().out == binary(100_000), "as it says");
}

#[test]
fn contacts_that_do_not_exist() {
    let ended = connect("@nobody").run();
    fails(&ended, 2, &["@nobody", "contacts add nobody"]);
    fails(
        &connect("@").run(),
        2,
        &["no name after `@`", "sockeye contacts"],
    );
    let ended = sockeye(["contacts", "add", "a b", "127.0.0.1:1"]).run();
    fails(&ended, 2, &["a b"]);
    let ended = sockeye(["contacts", "add", "a", "tpc://127.0.0.1:1"]).run();
    fails(&ended, 2, &["tcp"]);
}

#[test]
fn one_of_several_that_is_not_there_ends_nothing_for_the_others() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = connect(&format!("{} {free}", server.at)).with("hello\n");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.complaint().contains(&free.to_string()));
    assert!(ended.text().contains("hello"), "{ended:?}");
}

#[test]
fn a_stranger_with_terminal_escapes_drives_nobodys_terminal() {
    let server = Server::start("echo -v tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"\x1b]0;owned\x07\n").unwrap();
    server.run.err.until("owned");
    assert!(!server.run.err.text().contains('\x1b'));
}

#[test]
fn options_that_the_system_refuses() {
    let ended = connect("127.0.0.1:9 --bind-device no-such-interface").run();
    assert_eq!(ended.code, 2, "{ended:?}");
    let line = ended.complaint();
    assert!(line.contains("SO_BINDTODEVICE"), "{line}");
    let ended = serve("tcp://127.0.0.1:0 --congestion nonsense").run();
    fails(&ended, 2, &["TCP_CONGESTION", "sysctl"]);
}

#[test]
fn standard_input_that_cannot_be_read() {
    let listener = Listener::new();
    let folder = std::fs::File::open("/tmp").unwrap();
    let mut run = connect(&listener.at()).stdin(Stdio::from(folder)).start();
    let mut peer = listener.accept();
    peer.write_all(b"words").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!(ended.out, b"words", "{ended:?}");
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.complaint().contains("standard input"), "{ended:?}");
}
