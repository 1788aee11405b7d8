//! Two people who talk through two servers over NATS, one with nc and one with a page as large as a phone's: both servers
//! are killed, and neither person loses a line or hears one twice.

use rustix::process::Signal;
use serde_json::json;

use crate::chat::Peer;
use crate::hub::{Nats, free_ports, node, node_at};
use crate::stage::{LONG, Run, Server, folder, program};
use crate::web::python;

/// How many lines each of them says at a time.
const LINES: usize = 5;

fn nc(server: &Server) -> Run {
    let nc = program("nc", ["127.0.0.1", server.port()]).start();
    nc.out.until("* you are in #lobby");
    nc
}

fn phone(server: &Server) -> Run {
    let phone = python("browser/member.py", &[&server.at, "phone", "390", "740"]).start();
    phone.out.until("ready\n");
    phone.out.until("in\n");
    phone
}

/// Both say their next lines.
fn talk(nc: &mut Run, phone: &mut Run, turn: usize) {
    for n in 0..LINES {
        nc.say(format!("nc says {turn}.{n}\n"));
        phone.say(format!("phone says {turn}.{n}\n"));
    }
}

fn last(who: &str, turn: usize) -> String {
    format!("{who} says {turn}.{}\n", LINES - 1)
}

/// The lines of one of them that somebody has heard, in their order.
fn heard(text: &str, who: &str) -> Vec<String> {
    let said = format!("{who} says ");
    let lines = text
        .lines()
        .filter_map(|line| Some(line[line.find(&said)?..].to_owned()));
    lines.collect()
}

fn said(who: &str, turns: std::ops::Range<usize>) -> Vec<String> {
    let lines = turns.flat_map(|turn| (0..LINES).map(move |n| (turn, n)));
    lines
        .map(|(turn, n)| format!("{who} says {turn}.{n}"))
        .collect()
}

fn kill(server: &mut Server) {
    server.run.signal(Signal::KILL);
    server.run.end();
}

#[test]
fn neither_nc_nor_a_phone_loses_a_line_when_their_servers_are_killed() {
    let kept = folder();
    let cluster = Nats::cluster(&kept);
    let hub: Vec<_> = cluster.iter().map(|nats| nats.at.clone()).collect();
    let hub = hub.join(",");
    let place = format!("127.0.0.1:{}", free_ports(1)[0]);
    let (mut a, mut b) = (node(&hub), node_at(&hub, &place));
    let (mut first, mut phone) = (nc(&a), phone(&b));
    first.say("/name gadget\n/token\n");
    let token: String = first.out.rest_of("/resume ").chars().take(32).collect();
    talk(&mut first, &mut phone, 0);
    first.out.until(&last("phone", 0));
    phone.out.until(&last("nc", 0));

    // The phone's server dies. Another takes its address, with nothing of its own but the hub's name.
    kill(&mut b);
    talk(&mut first, &mut phone, 1);
    let c = node_at(&hub, &place);
    first.out.until(&last("phone", 1));
    phone.out.until(&last("nc", 1));
    phone.out.until(&last("phone", 1));

    // The one of nc dies, which has nothing but what a person types to come back.
    kill(&mut a);
    let first = first.hang_up_and_end();
    for n in 0..LINES {
        phone.say(format!("phone says 2.{n}\n"));
    }
    phone.out.until(&last("phone", 2));
    let mut second = nc(&c);
    second.say(format!("/resume {token}\n"));
    second.out.until("* you are gadget now");
    talk(&mut second, &mut phone, 3);
    second.out.until(&last("phone", 3));
    for who in ["nc", "phone"] {
        phone.out.until(&last(who, 3));
    }

    let mut late = Peer::hello(
        &c.at,
        &json!({"do": "hello", "name": "late", "rooms": {"lobby": 0}}),
    )
    .0;
    let mut all: Vec<_> = [said("nc", 0..2), said("nc", 3..4), said("phone", 0..4)].concat();
    let everything =
        (0..all.len()).map(|_| late.event("line")["text"].as_str().unwrap().to_owned());
    let mut texts: Vec<_> = everything.collect();
    let shown = phone.out.text();
    let on_the_phone: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let on_the_phone: Vec<_> = on_the_phone
        .iter()
        .map(|(_, text)| (*text).to_owned())
        .collect();
    assert_eq!(on_the_phone, texts, "each once, in the order of their ids");
    for who in ["nc", "phone"] {
        let own: Vec<_> = texts.iter().filter(|text| text.starts_with(who)).collect();
        let order: Vec<_> = all.iter().filter(|text| text.starts_with(who)).collect();
        assert_eq!(own, order, "as they were said");
    }
    texts.sort();
    all.sort();
    assert_eq!(texts, all);

    // Whoever comes in is shown the latest lines, and the missing ones are among them.
    let mut at_nc = heard(&first.text(), "phone");
    assert_eq!(at_nc, said("phone", 0..2), "each once");
    let again = heard(&second.out.text(), "phone");
    let known = at_nc.clone();
    at_nc.extend(again.into_iter().skip_while(|line| known.contains(line)));
    assert_eq!(
        at_nc,
        said("phone", 0..4),
        "nothing is missing and nothing is there twice"
    );
    phone.hang_up();
    phone.end_within(LONG * 2);
}
