//! One room, and in it everybody's programs: each says something, and everyone hears every line once, in one order.

use std::collections::BTreeSet;

use crate::chat::Peer;
use crate::stage::{LONG, Run, Server, UNHURRIED, connect, folder, path, program};
use crate::web::{python, websocat};

/// How many lines each of them says.
const LINES: usize = 5;

/// Those who are shown their own lines as well.
const PAGES: [&str; 2] = ["page", "phone"];

struct Member {
    name: &'static str,
    run: Run,
}

impl Member {
    /// The lines that it has heard, without those that we did not say, and without what stands around them.
    fn heard(&self) -> Vec<String> {
        let text = self.run.out.text();
        let lines = text.lines().filter_map(|line| {
            let at = line.find(" says line ")?;
            // In text it says `NAME: NAME says …`, in JSON `"text":"NAME says …"`.
            let from = line[..at].rfind([' ', '"']).map_or(0, |at| at + 1);
            let line = line[from..].trim_end_matches(['}', '"', '\r']);
            Some(line.split('"').next().unwrap().to_owned())
        });
        lines.collect()
    }
}

/// Two real browsers, which take longest to come.
fn pages(server: &Server) -> Vec<Member> {
    let page = |name, size: &[&str]| {
        let words = [&[server.at.as_str(), name], size].concat();
        python("browser/member.py", &words).start()
    };
    let pages: Vec<_> = vec![
        Member {
            name: PAGES[0],
            run: page(PAGES[0], &[]),
        },
        Member {
            name: PAGES[1],
            run: page(PAGES[1], &["390", "740"]),
        },
    ];
    for page in &pages {
        page.run.out.until("ready\n");
    }
    for page in &pages {
        page.run.out.until("in\n");
    }
    pages
}

fn everybody(server: &Server, place: &str) -> Vec<Member> {
    let (at, port) = (&server.at, server.port());
    let url = format!("http://{at}/?room=lobby&name=curl");
    let plain = [
        ("nc", program("nc", ["127.0.0.1", port])),
        ("ncat", program("ncat", ["127.0.0.1", port])),
        ("ncat-tls", program("ncat", ["--ssl", "127.0.0.1", port])),
        ("websocat", websocat(&format!("ws://{at}/"))),
        (
            "socat",
            program("socat", ["-", &format!("UNIX-CONNECT:{place}")]),
        ),
        ("telnet", program("telnet", ["127.0.0.1", port])),
        ("python", python("peers/chat_peers.py", &["tcp", port])),
        ("udp", python("peers/chat_peers.py", &["udp", port])),
        ("websockets", python("peers/chat_peers.py", &["ws", port])),
        (
            "aioquic",
            python("peers/chat_peers.py", &["h3", port, "aioquic"]),
        ),
        ("curl", program("curl", ["-sN", "-T", ".", &url])),
        ("tls", connect(&format!("tls://{at} --insecure"))),
        ("quic", connect(&format!("quic://{at} --insecure"))),
        ("wss", connect(&format!("wss://{at} --insecure"))),
        ("unix", connect(&format!("unix:{place}"))),
    ];
    plain
        .map(|(name, line)| Member {
            name,
            run: line.start(),
        })
        .into()
}

#[test]
fn everybodys_programs_are_in_one_room() {
    let folder = folder();
    let place = path(&folder, "chat").display().to_string();
    let unix = format!("unix:{place}");
    let words = ["chat", "127.0.0.1:0", &unix];
    let server = Server::of([&words[..], &UNHURRIED].concat());
    let mut witness = Peer::program(&server.at, "witness");
    let mut members = pages(&server);
    members.extend(everybody(&server, &place));
    let listen = |view: &str| {
        program(
            "curl",
            ["-sN", &format!("http://{}/?room=lobby{view}", server.at)],
        )
        .start()
    };
    let listeners = [
        ("text", listen("")),
        ("json", listen("&view=json")),
        ("events", listen("&view=events")),
    ];
    for (view, run) in &listeners {
        let joined = if *view == "text" {
            "* you are in #lobby"
        } else {
            r#""event":"joined""#
        };
        run.out.until(joined);
    }
    for Member { name, run } in &mut members {
        if *name == "udp" {
            // That it gets what is sent there it shows with a second datagram.
            run.say("/who\n");
        }
        if !["curl", "aioquic", PAGES[0], PAGES[1]].contains(name) {
            run.say(format!("/name {name}\n"));
        }
    }
    let mut missing: BTreeSet<_> = members.iter().map(|member| member.name).collect();
    while !missing.is_empty() {
        let came = witness.event("came");
        missing.remove(came["name"].as_str().unwrap());
    }
    for n in 0..LINES {
        for Member { name, run } in &mut members {
            run.say(format!("{name} says line {n}\n"));
        }
    }
    let lines = members.len() * LINES;
    let mut said = Vec::new();
    while said.len() < lines {
        let line = witness.event("line");
        said.push(line["text"].as_str().unwrap().to_owned());
        assert_eq!(line["id"], said.len());
        assert!(
            said.last()
                .unwrap()
                .starts_with(line["from"].as_str().unwrap()),
            "{line}"
        );
    }
    // Something that comes behind all of it, for everyone.
    witness.tell("this is the end");
    for Member { run, .. } in &members {
        run.out.until("this is the end");
    }
    for member in &members {
        let name = member.name;
        let others: Vec<_> = said
            .iter()
            .filter(|line| PAGES.contains(&name) || !line.starts_with(&format!("{name} ")))
            .collect();
        assert_eq!(
            member.heard().iter().collect::<Vec<_>>(),
            others,
            "{name} hears others, once, in their order"
        );
    }
    for (view, run) in listeners {
        run.out.until("this is the end");
        let listener = Member { name: view, run };
        assert_eq!(listener.heard(), said, "{view}");
        if view == "events" {
            let text = listener.run.out.text();
            let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
            assert!(ids.eq((1..=lines + 1).map(|id| id.to_string())), "{text}");
        }
    }
    for Member { run, .. } in members.iter_mut().take(PAGES.len()) {
        run.hang_up();
        run.end_within(LONG * 2);
    }
}
