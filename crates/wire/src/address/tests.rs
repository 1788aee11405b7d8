//! Accepted spellings, refused ones with their messages, and round trips.

use proptest::prelude::*;

use super::*;

fn spelled(text: &str) -> String {
    Address::parse(text).map_or_else(|error| panic!("{error}"), |address| address.to_string())
}

fn refused(text: &str) -> AddressError {
    match Address::parse(text) {
        Ok(address) => panic!("`{text}` was read as {address:?}"),
        Err(error) => error,
    }
}

fn net(scheme: Option<Scheme>, host: Host, port: u16) -> Address {
    Address {
        scheme,
        target: Target::Net {
            hosts: vec![HostPort { host, port }],
            path: String::new(),
        },
    }
}

fn v6(ip: &str, zone: Option<&str>) -> Host {
    Host::V6 {
        ip: ip.parse().unwrap(),
        zone: zone.map(str::to_owned),
    }
}

#[test]
fn bare_addresses() {
    let cases = [
        ("3000", Host::Unspecified, 3000),
        (":3000", Host::Unspecified, 3000),
        ("0", Host::Unspecified, 0),
        ("*:3000", Host::Every, 3000),
        ("host:65535", Host::Name("host".to_owned()), 65535),
        ("http:80", Host::Name("http".to_owned()), 80),
        (
            "example.org.:80/",
            Host::Name("example.org.".to_owned()),
            80,
        ),
        (
            "bücher.example:1",
            Host::Name("bücher.example".to_owned()),
            1,
        ),
        ("例え.テスト:1", Host::Name("例え.テスト".to_owned()), 1),
        ("1.2.3.4:0", Host::V4(Ipv4Addr::new(1, 2, 3, 4)), 0),
        ("[::1]:3000", v6("::1", None), 3000),
        ("[fe80::1%eth0]:3000", v6("fe80::1", Some("eth0")), 3000),
        ("[fe80::1%25eth0]:3000", v6("fe80::1", Some("eth0")), 3000),
        ("[fe80::1%2]:1", v6("fe80::1", Some("2")), 1),
        ("[fe80::1%25]:1", v6("fe80::1", Some("25")), 1),
        ("[fe80::1%251]:1", v6("fe80::1", Some("1")), 1),
        ("[fe80::1%25251]:1", v6("fe80::1", Some("251")), 1),
    ];
    for (text, host, port) in cases {
        assert_eq!(Address::parse(text), Ok(net(None, host, port)), "{text}");
    }
}

#[test]
fn canonical_spellings() {
    let cases = [
        ("3000", ":3000"),
        ("UDP://3000", "udp://:3000"),
        ("tcp://h:1/", "tcp://h:1"),
        ("tls://*:443", "tls://*:443"),
        ("ws://h", "ws://h:80"),
        ("ws://h/", "ws://h:80/"),
        ("WSS://h:/chat?room=1", "wss://h:443/chat?room=1"),
        ("http://h?q", "http://h:80/?q"),
        ("https://[::1]", "https://[::1]:443"),
        ("h3://h", "h3://h:443"),
        ("wt://h/a@b:c,d", "wt://h:443/a@b:c,d"),
        ("quic://h:1/x", "quic://h:1/x"),
        ("tcp://a,b:3000", "tcp://a:3000,b:3000"),
        ("tcp://a:1,b:2", "tcp://a:1,b:2"),
        ("http://a,b:1,c", "http://a:1,b:1,c:80"),
        (":1,:2", ":1,:2"),
        ("a,[::1]:3000", "a:3000,[::1]:3000"),
        ("[FE80::0:1%25eth0]:1", "[fe80::1%eth0]:1"),
        ("[fe80::1%2525x]:1", "[fe80::1%2525x]:1"),
        ("tcp://unix:1", "tcp://unix:1"),
        ("unix:/run/a b", "unix:/run/a b"),
        ("unix:///run/a", "unix:/run/a"),
        ("unix://rel", "unix:rel"),
        ("unix:////run", "unix:////run"),
        ("UNIX:@bus", "unix:@bus"),
        ("unixgram:log", "unixgram:log"),
        ("exec: sh -c 'echo http://x'", "exec: sh -c 'echo http://x'"),
        ("exec://bin/true", "exec://bin/true"),
        ("-", "-"),
        ("stdio:", "-"),
        ("stdio://", "-"),
    ];
    for (text, canonical) in cases {
        assert_eq!(spelled(text), canonical);
        assert_eq!(
            Address::parse(canonical),
            Address::parse(text),
            "{canonical}"
        );
    }
}

#[test]
fn targets_that_are_not_on_the_network() {
    let target = |text| {
        Address::parse(text)
            .map(|address| (address.scheme, address.target))
            .unwrap()
    };
    assert_eq!(
        target("unix:@a@b"),
        (
            Some(Scheme::Unix),
            Target::Unix(UnixName::Abstract("a@b".to_owned()))
        )
    );
    assert_eq!(
        target("unix://a"),
        (Some(Scheme::Unix), Target::Unix(UnixName::Path("a".into())))
    );
    assert_eq!(
        target("exec:cat -A"),
        (Some(Scheme::Exec), Target::Exec("cat -A".to_owned()))
    );
    assert_eq!(target("-"), (Some(Scheme::Stdio), Target::Stdio));
}

#[test]
fn messages() {
    let cases = [
        ("", "nothing is written at column 1"),
        (
            "tpc://localhost:3000",
            "unknown scheme `tpc` at column 1 (did you mean `tcp`?)",
        ),
        (
            "HTPS://a",
            "unknown scheme `HTPS` at column 1 (did you mean `https`?)",
        ),
        (
            "tcp:localhost:3000",
            "no `//` after the scheme at column 5 (write `tcp://localhost:3000`)",
        ),
        (
            "tcp://host",
            "no port at column 11 (write `tcp://host:PORT`)",
        ),
        (
            "quic://host:/x",
            "no port at column 12 (write `quic://host:PORT/x`)",
        ),
        (
            "tcp://a:1,b",
            "no port at column 12 (write `tcp://a:1,b:PORT`)",
        ),
        ("localhost", "no port at column 10 (write `localhost:PORT`)"),
        (
            "65536",
            "bad port `65536` at column 1 (a port is a number from 0 to 65535)",
        ),
        (
            "h:-1",
            "bad port `-1` at column 3 (a port is a number from 0 to 65535)",
        ),
        (
            "h:+1",
            "bad port `+1` at column 3 (a port is a number from 0 to 65535)",
        ),
        (
            "主机:http",
            "bad port `http` at column 4 (a port is a number from 0 to 65535)",
        ),
        (
            "::1:3000",
            "IPv6 address without brackets `::1:3000` at column 1 (write `[::1]:3000`)",
        ),
        (
            "ws://fe80::1%eth0/",
            "IPv6 address without brackets `fe80::1%eth0` at column 6 (write `[fe80::1%eth0]:PORT`)",
        ),
        ("[::1:3000", "no closing bracket `[` at column 1"),
        ("[::g]:1", "bad IPv6 address `::g` at column 2"),
        ("[]:1", "bad IPv6 address at column 2"),
        (
            "[1.2.3.4]:1",
            "bad IPv6 address `1.2.3.4` at column 2 (write `1.2.3.4` without brackets)",
        ),
        (
            "[::1]3000",
            "unexpected `3000` at column 6 (a port begins with `:`)",
        ),
        (
            "[fe80::1%]:1",
            "bad zone at column 10 (a zone is a network interface, as in `fe80::1%eth0`)",
        ),
        ("a..b:1", "empty label in the host name at column 3"),
        ("a,,b:1", "no host at column 3"),
        (
            "http:///x",
            "no host at column 8 (write `http://HOST:PORT`)",
        ),
        (
            "/tmp/s",
            "no host at column 1 (write `unix:/tmp/s` for a socket path)",
        ),
        (
            "bob:pw@h:1",
            "unexpected user information `bob:pw@` at column 1 (leave out `bob:pw@`)",
        ),
        (
            "a b:1",
            "unexpected white space ` ` at column 2 (leave it out)",
        ),
        (
            "a\n:1",
            "unexpected white space `\\n` at column 2 (leave it out)",
        ),
        (
            "a\u{202e}:1",
            "unexpected `\\u{202e}` at column 2 (leave it out)",
        ),
        (
            "主机：3000",
            "unexpected `：` at column 3 (write `:`, not the full-width form)",
        ),
        ("a\\b:1", "unexpected `\\` at column 2"),
        (
            "tcp://h:1/x",
            "unexpected path `/x` at column 10 (tcp has no paths; leave it out)",
        ),
        (
            "h:1/x",
            "unexpected path `/x` at column 4 (only URLs have paths: write `ws://h:1/x` or `http://h:1/x`)",
        ),
        (
            "http://h/#top",
            "unexpected fragment `#top` at column 10 (it is never sent; leave it out)",
        ),
        (
            "unix,b:1",
            "host called like a scheme: `unix` at column 1 (write `tcp://unix:PORT`)",
        ),
        ("unix:", "no socket path at column 6"),
        ("unix:@", "no socket path at column 7"),
        ("exec: ", "no command ` ` at column 6"),
        ("stdio:3", "unexpected `3` at column 7 (write `-`)"),
    ];
    for (text, message) in cases {
        let shown = text.replace('\n', "\\n").replace('\u{202e}', "\\u{202e}");
        assert_eq!(
            refused(text).to_string(),
            format!("cannot read the address `{shown}`: {message}")
        );
    }
}

#[test]
fn numbers_are_ipv4_or_nothing() {
    for host in [
        "1.2.3",
        "1.2.3.256",
        "1.2.3.4.5",
        "010.0.0.1",
        "127.1",
        "1.2.3.4.",
        "0x7f.1",
        "0x7F000001",
        "1,2",
    ] {
        let error = refused(&format!("{host}:80"));
        assert_eq!(error.problem(), Problem::Ipv4, "{host}");
        assert!(
            error
                .to_string()
                .contains("looks like an IPv4 address but is not one")
        );
    }
    assert_eq!(spelled("v1.2.3:80"), "v1.2.3:80");
    assert_eq!(
        refused("127。0。0。1:80").hint(),
        Some("write `.`, not the full-width form")
    );
}

#[test]
fn far_schemes_get_the_list() {
    assert_eq!(
        refused("ftp://h").hint(),
        Some(
            "one of: tcp, udp, tls, unix, unixgram, ws, wss, http, https, h3, quic, wt, exec, stdio"
        )
    );
}

#[test]
fn carets() {
    assert_eq!(refused("tcp://host").caret(), "tcp://host\n          ^");
    assert_eq!(refused("h:http").caret(), "h:http\n  ^~~~");
    assert_eq!(refused("主机:http").caret(), "主机:http\n     ^~~~");
    assert_eq!(refused("a\t:1").caret(), "a\\t:1\n ^~");
}

#[test]
fn two_words() {
    let read = |host, port| Address::from_host_port(host, port);
    assert_eq!(read("::1", "3000"), Ok(net(None, v6("::1", None), 3000)));
    assert_eq!(read("[::1]", "3000"), Ok(net(None, v6("::1", None), 3000)));
    assert_eq!(
        read("fe80::1%eth0", "1"),
        Ok(net(None, v6("fe80::1", Some("eth0")), 1))
    );
    assert_eq!(read("*", "0"), Ok(net(None, Host::Every, 0)));
    assert_eq!(
        read("a.example", "80"),
        Ok(net(None, Host::Name("a.example".to_owned()), 80))
    );

    let message = |host, port| read(host, port).unwrap_err().to_string();
    assert_eq!(
        message("h", "http"),
        "cannot read the address `h http`: bad port `http` at column 3 (a port is a number from 0 to 65535)"
    );
    assert_eq!(
        message("tcp://h", "1"),
        "cannot read the address `tcp://h 1`: unexpected `://` at column 4 (write `tcp://h:1`, in one word)"
    );
    assert_eq!(
        message("h:1", "2"),
        "cannot read the address `h:1 2`: unexpected `:` at column 2"
    );
    let problem = |host, port| read(host, port).unwrap_err().problem();
    assert_eq!(problem("1.2.3", "2"), Problem::Ipv4);
    assert_eq!(problem("", "1"), Problem::NoHost);
    assert_eq!(problem("h", ""), Problem::NoPort);
    assert_eq!(problem("unix", "1"), Problem::Reserved);
    assert_eq!(problem("a b", "1"), Problem::Space);
    assert_eq!(problem("fe80::1%a/b", "1"), Problem::Zone);
}

#[test]
fn schemes() {
    for &scheme in Scheme::ALL {
        assert_eq!(Scheme::named(&scheme.name().to_uppercase()), Some(scheme));
    }
    let path = |text| Address::parse(text).unwrap().target;
    assert!(Scheme::Udp.fits(&path("h:1")));
    assert!(!Scheme::Udp.fits(&path("ws://h/x")));
    assert!(!Scheme::Ws.fits(&path("unix:a")));
    assert!(Scheme::Unixgram.fits(&path("unix:a")));
    assert_eq!(
        Address::parse("h:1")
            .unwrap()
            .with_scheme(Scheme::Ws)
            .to_string(),
        "ws://h:1"
    );
}

fn hosts() -> impl Strategy<Value = Host> {
    prop_oneof![
        Just(Host::Unspecified),
        Just(Host::Every),
        any::<Ipv4Addr>().prop_map(Host::V4),
        (
            any::<Ipv6Addr>(),
            prop::option::of("(25)?(25)?[a-z0-9.:-]{1,4}")
        )
            .prop_map(|(ip, zone)| Host::V6 { ip, zone }),
        "[a-z_][a-z0-9-]{0,8}(\\.[a-z]{2,4})?\\.?".prop_map(Host::Name),
        "[а-яñ中文]{1,5}(\\.[a-z]{2})?".prop_map(Host::Name),
    ]
}

fn addresses() -> impl Strategy<Value = Address> {
    let schemes: Vec<_> = Scheme::ALL
        .iter()
        .copied()
        .filter(|scheme| scheme.is_net())
        .collect();
    let hosts = prop::collection::vec(
        (hosts(), any::<u16>()).prop_map(|(host, port)| HostPort { host, port }),
        1..4,
    );
    let net = (
        prop::option::of(prop::sample::select(schemes)),
        hosts,
        "(/[!-\"$-~é]{0,8})?",
    )
        .prop_map(|(scheme, hosts, path)| {
            let path = if scheme.is_some_and(Scheme::has_path) {
                path
            } else {
                String::new()
            };
            Address {
                scheme,
                target: Target::Net { hosts, path },
            }
        });
    let unix =
        (any::<bool>(), any::<bool>(), "[^@\0][^\0]{0,8}").prop_map(|(datagram, hidden, name)| {
            let name = if hidden {
                UnixName::Abstract(name)
            } else {
                UnixName::Path(name.into())
            };
            let scheme = if datagram {
                Scheme::Unixgram
            } else {
                Scheme::Unix
            };
            Address {
                scheme: Some(scheme),
                target: Target::Unix(name),
            }
        });
    let exec = "\\PC{0,8}[a-z]".prop_map(|command| Address {
        scheme: Some(Scheme::Exec),
        target: Target::Exec(command),
    });
    prop_oneof![4 => net, 1 => unix, 1 => exec]
}

proptest! {
    #[test]
    fn an_address_reads_back_equal(address in addresses()) {
        prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
    }

    #[test]
    fn whatever_is_read_reads_back_equal(text in "((tcp|ws|unix|exec|x):(//)?)?[-a-c0-9:/@%\\[\\].,*?#： é中]{0,20}|\\PC{0,12}") {
        match Address::parse(&text) {
            Ok(address) => prop_assert_eq!(Address::parse(&address.to_string()), Ok(address)),
            Err(error) => {
                prop_assert!(text.get(error.span()).is_some());
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert_eq!(error.caret().lines().count(), 2);
            }
        }
    }

    #[test]
    fn two_words_read_back_equal_in_one(host in "[-a-c0-9:/@%\\[\\].,*é中]{0,12}|unix|exec", port in 0u16..) {
        if let Ok(address) = Address::from_host_port(&host, &port.to_string()) {
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }
}

/// Found by fuzzing: the hint repeated control characters of the text.
#[test]
fn an_error_never_carries_control_characters_to_a_terminal() {
    let error = Address::parse("http:\u{16}\0ret@host/").expect_err("no address");
    let line = error.to_string();
    assert!(!line.chars().any(char::is_control), "{line:?}");
}
