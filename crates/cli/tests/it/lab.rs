//! `sockeye trace lab`: what every scenario must show by the RFCs.
//!
//! Where networks of one's own are not allowed nothing can be played, and that is said.

use serde_json::Value;

use crate::stage::{Ended, LONG, Line, sockeye};

/// A packet, as JSON tells of it.
pub(crate) struct Packet(pub(crate) Value);

impl Packet {
    /// `A SYN ACK`
    fn what(&self) -> String {
        let flags = self.0["flags"].as_array().unwrap();
        let names = flags.iter().map(|flag| flag.as_str().unwrap());
        let words: Vec<_> = [self.0["from"].as_str().unwrap()]
            .into_iter()
            .chain(names)
            .collect();
        words.join(" ")
    }

    fn states(&self) -> [&str; 2] {
        ["A", "B"].map(|side| self.0["states"][side]["state"].as_str().unwrap())
    }

    pub(crate) fn number(&self, field: &str) -> i64 {
        self.0[field].as_i64().unwrap()
    }

    pub(crate) fn time(&self) -> f64 {
        self.0["time"].as_f64().unwrap()
    }

    /// How long it was on its way, in seconds.
    fn way(&self) -> Option<f64> {
        Some(self.0["arrived"].as_f64()? - self.time())
    }

    fn is_lost(&self) -> bool {
        self.0["fate"] == "lost"
    }

    fn note(&self, name: &str) -> Option<&Value> {
        let notes = self.0["notes"].as_array().unwrap();
        notes.iter().find(|note| note["note"] == name)
    }

    /// How it was sent again, if it was.
    pub(crate) fn again(&self) -> Option<&str> {
        self.note("retransmission")?["how"].as_str()
    }
}

/// Where there can be no lab.
pub(crate) fn is_forbidden(ended: &Ended) -> bool {
    let forbidden = ended.err.contains("this system does not allow them");
    if forbidden {
        eprintln!("no lab, because {}", ended.err.trim());
    }
    forbidden
}

pub(crate) fn lab(arguments: &[&str]) -> Line {
    sockeye(["trace", "lab"].iter().chain(arguments))
}

pub(crate) fn packets(ended: &Ended) -> Vec<Packet> {
    let text = ended.text();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let packets = lines.filter(|line: &Value| line["event"] == "packet");
    packets.map(Packet).collect()
}

/// As much later than the quickest packet of a play another one may be, in seconds.
const STALL: f64 = 0.025;

/// Plays a scenario and gives its packets; none where there can be no lab.
///
/// On a machine that is too busy to carry a packet in time the timers of TCP see a network that is not the one of the
/// scenario, so that it is played again.
#[track_caller]
pub(crate) fn played(arguments: &[&str]) -> Option<Vec<Packet>> {
    let mut tries = 0..5;
    loop {
        let ended = to_the_end(lab(arguments));
        if is_forbidden(&ended) {
            return None;
        }
        let packets = packets(&ended);
        if has_stalled(&packets) && tries.next().is_some() {
            continue;
        }
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
        return Some(packets);
    }
}

fn has_stalled(packets: &[Packet]) -> bool {
    let ways = packets.iter().filter_map(Packet::way);
    let (least, most) = ways.fold((f64::MAX, 0.0_f64), |(least, most), way| {
        (least.min(way), most.max(way))
    });
    most - least > STALL
}

/// Some scenarios take seconds.
#[track_caller]
pub(crate) fn to_the_end(line: Line) -> Ended {
    let mut run = line.start();
    run.hang_up();
    run.end_within(LONG * 3)
}

/// In words: who has sent what, and what each end became.
fn course(packets: &[Packet]) -> Vec<String> {
    let lines = packets.iter().map(|packet| {
        let [a, b] = packet.states();
        let lost = if packet.is_lost() { " lost" } else { "" };
        format!("{}{lost}: {a} {b}", packet.what())
    });
    lines.collect()
}

/// RFC 9293, figures 6 and 12: what opens and closes a connection, whatever is between.
const OPEN: [&str; 3] = [
    "A SYN: SYN-SENT SYN-RECEIVED",
    "B SYN ACK: ESTABLISHED SYN-RECEIVED",
    "A ACK: ESTABLISHED ESTABLISHED",
];

#[test]
fn three_segments_open_and_three_or_four_close() {
    let Some(packets) = played(&["handshake", "--json"]) else {
        return;
    };
    let mut course = course(&packets);
    assert_eq!(course[..3], OPEN);
    // An ACK of its own stands before the server's FIN if the program was slow.
    course.retain(|line| line != "B ACK: FIN-WAIT-2 CLOSE-WAIT");
    assert_eq!(
        course[3..],
        [
            "A FIN ACK: FIN-WAIT-1 CLOSE-WAIT",
            "B FIN ACK: TIME-WAIT LAST-ACK",
            "A ACK: TIME-WAIT CLOSED",
        ]
    );
    let rtt = packets[2].note("connected").unwrap()["rtt"]
        .as_f64()
        .unwrap();
    assert!((0.020..0.5).contains(&rtt), "twice 10 ms and not {rtt}");
    for packet in &packets {
        assert!(packet.way() >= Some(0.010), "{:?}", packet.way());
    }
}

#[test]
fn a_server_that_takes_its_time_closes_with_two_segments() {
    let Some(packets) = played(&["close", "--json"]) else {
        return;
    };
    let course = course(&packets);
    assert_eq!(course[..3], OPEN);
    assert_eq!(
        course[course.len() - 4..],
        [
            "A FIN ACK: FIN-WAIT-1 CLOSE-WAIT",
            "B ACK: FIN-WAIT-2 CLOSE-WAIT",
            "B FIN ACK: TIME-WAIT LAST-ACK",
            "A ACK: TIME-WAIT CLOSED",
        ]
    );
}

#[test]
fn a_half_closed_connection_carries_on_in_close_wait() {
    let Some(packets) = played(&["half-close", "--json"]) else {
        return;
    };
    let lines: Vec<_> = packets
        .iter()
        .filter(|packet| packet.0["text"].is_string())
        .collect();
    let said: Vec<_> = lines
        .iter()
        .map(|packet| packet.0["text"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["what is there?", "bread", "cheese", "wine"]);
    for line in &lines[1..] {
        assert_eq!(line.states(), ["FIN-WAIT-2", "CLOSE-WAIT"]);
    }
}

#[test]
fn fins_that_cross_lead_through_closing() {
    let Some(packets) = played(&["simultaneous-close", "--json"]) else {
        return;
    };
    let fins: Vec<_> = packets
        .iter()
        .filter(|packet| packet.what().contains("FIN"))
        .collect();
    assert_eq!(fins.len(), 2, "{:?}", course(&packets));
    // Neither acknowledges the other: RFC 9293, figure 13.
    for (fin, other) in [(fins[0], fins[1]), (fins[1], fins[0])] {
        assert_eq!(fin.number("ack"), other.number("seq"));
    }
    let all = course(&packets).join("\n");
    assert!(
        all.contains("CLOSING") && !all.contains("CLOSE-WAIT"),
        "{all}"
    );
    assert_eq!(packets.last().unwrap().states(), ["TIME-WAIT", "TIME-WAIT"]);
    let told = packets
        .iter()
        .filter(|packet| packet.note("simultaneous-close").is_some());
    assert_eq!(told.count(), 1);
}

#[test]
fn syns_that_cross_become_one_connection() {
    let Some(packets) = played(&["simultaneous-open", "--json"]) else {
        return;
    };
    // RFC 9293, figure 7. Which of the two comes first is chance.
    let first: Vec<_> = packets[..4]
        .iter()
        .map(|packet| &packet.what()[2..] == "SYN")
        .collect();
    assert_eq!(first, [true, true, false, false]);
    for packet in &packets[2..4] {
        assert_eq!(&packet.what()[2..], "SYN ACK");
        assert_eq!((packet.number("seq"), packet.number("ack")), (0, 1));
    }
    assert!(packets.iter().all(|packet| packet.again().is_none()));
    let told = packets
        .iter()
        .filter(|packet| packet.note("simultaneous-open").is_some());
    assert_eq!(told.count(), 1);
    let rtt = packets
        .iter()
        .find_map(|packet| packet.note("connected"))
        .unwrap()["rtt"]
        .as_f64();
    assert!((0.080..0.5).contains(&rtt.unwrap()), "{rtt:?}");
    let all = course(&packets).join("\n");
    assert!(!all.contains("LISTEN"), "{all}");
}

#[test]
fn a_lost_syn_costs_a_second_and_changes_nothing_at_the_server() {
    let Some(packets) = played(&["syn-loss", "--json"]) else {
        return;
    };
    let course = course(&packets);
    assert_eq!(course[0], "A SYN lost: SYN-SENT LISTEN");
    assert_eq!(course[1..4], OPEN);
    assert_eq!(packets[1].again(), Some("syn"));
    // RFC 6298, section 2.1: one second.
    let waited = packets[1].time() - packets[0].time();
    assert!((1.0..2.0).contains(&waited), "{waited}");
    let rtt = packets[3].note("connected").unwrap()["rtt"]
        .as_f64()
        .unwrap();
    assert!(rtt < 0.5, "from the second SYN, and not {rtt}");
}

#[test]
fn a_lost_syn_ack_leaves_the_server_behind_in_syn_received() {
    let Some(packets) = played(&["syn-ack-loss", "--json"]) else {
        return;
    };
    let course = course(&packets);
    assert_eq!(course[0], OPEN[0]);
    assert_eq!(course[1], "B SYN ACK lost: SYN-SENT SYN-RECEIVED");
    let answer = packets
        .iter()
        .skip(2)
        .find(|packet| packet.what() == "B SYN ACK")
        .unwrap();
    assert_eq!((answer.again(), answer.is_lost()), (Some("syn-ack"), false));
}

#[test]
fn nobody_who_is_not_heard_ever_leaves_syn_sent() {
    let Some(packets) = played(&["syn-blackhole", "--json"]) else {
        return;
    };
    assert!(packets.len() >= 3);
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(packet.what(), "A SYN");
        assert!(packet.is_lost());
        assert_eq!(packet.states(), ["SYN-SENT", "LISTEN"]);
        assert_eq!(packet.again().is_some(), index > 0);
    }
}

#[test]
fn where_nothing_listens_one_round_trip_is_enough() {
    let Some(packets) = played(&["refused", "--json"]) else {
        return;
    };
    assert_eq!(
        course(&packets),
        ["A SYN: SYN-SENT CLOSED", "B RST ACK: CLOSED CLOSED"]
    );
    assert!(packets[1].note("refused").is_some());
    // RFC 9293, section 3.10.7.1: sequence number 0, and the SYN acknowledged.
    assert_eq!(
        (packets[1].number("seq_raw"), packets[1].number("ack")),
        (0, 1)
    );
}

#[test]
fn three_duplicates_repair_a_loss_before_the_timer_does() {
    let Some(packets) = played(&["fast-retransmit", "--json"]) else {
        return;
    };
    let data: Vec<_> = packets
        .iter()
        .filter(|packet| packet.number("len") > 0)
        .collect();
    let lost = data[5];
    assert!(lost.is_lost() && data.iter().filter(|packet| packet.is_lost()).count() == 1);
    assert_eq!(lost.number("seq"), 1 + 5 * 1448);
    let again = data.iter().find(|packet| packet.again().is_some()).unwrap();
    assert_eq!(
        (again.again(), again.number("seq")),
        (Some("fast"), lost.number("seq"))
    );
    assert_eq!(again.note("retransmission").unwrap()["of"], lost.0["frame"]);
    let duplicates = packets
        .iter()
        .filter(|packet| packet.note("duplicate-ack").is_some());
    let before = duplicates.filter(|packet| packet.time() < again.time());
    // RFC 5681, section 3.2; RFC 6675 counts what is acknowledged selectively.
    for duplicate in before {
        assert_eq!(duplicate.number("ack"), lost.number("seq"));
        assert!(duplicate.0["sack"].is_array());
    }
    let gap = data
        .iter()
        .find(|packet| packet.note("gap").is_some())
        .unwrap();
    assert_eq!(gap.note("gap").unwrap()["bytes"], 1448);
}

#[test]
fn a_timer_that_fails_waits_longer_the_next_time() {
    let Some(packets) = played(&["timeout", "--json"]) else {
        return;
    };
    let sent: Vec<_> = packets
        .iter()
        .filter(|packet| packet.0["text"] == "hello")
        .collect();
    assert_eq!(sent.len(), 4);
    let lost: Vec<_> = sent.iter().map(|packet| packet.is_lost()).collect();
    assert_eq!(lost, [true, true, true, false]);
    let waits: Vec<_> = sent
        .windows(2)
        .map(|pair| pair[1].time() - pair[0].time())
        .collect();
    // Never less than Linux's 200 ms, and twice as long the last time (RFC 6298, section 5.5).
    assert!(waits.iter().all(|wait| *wait > 0.2), "{waits:?}");
    assert!(waits[2] > waits[1] * 1.5, "{waits:?}");
    assert!(
        sent[1..]
            .iter()
            .all(|packet| packet.again() == Some("timeout"))
    );
}

#[test]
fn a_probe_finds_out_about_the_end_that_was_lost() {
    let Some(packets) = played(&["tail-loss", "--json"]) else {
        return;
    };
    let data: Vec<_> = packets
        .iter()
        .filter(|packet| packet.number("len") > 1)
        .collect();
    assert_eq!((data[2].is_lost(), data[3].is_lost()), (true, true));
    let probe = data[4];
    assert_eq!(
        (probe.again(), probe.number("seq")),
        (Some("probe"), data[3].number("seq"))
    );
    assert_eq!(
        (data[5].again(), data[5].number("seq")),
        (Some("fast"), data[2].number("seq"))
    );
}

#[test]
fn what_is_overtaken_came_late_and_was_not_lost() {
    let Some(packets) = played(&["reorder", "--json"]) else {
        return;
    };
    let data: Vec<_> = packets
        .iter()
        .filter(|packet| packet.number("len") > 0)
        .collect();
    assert!(data[1].note("out-of-order").is_some(), "{}", data[1].0);
    assert!(data[2].note("gap").is_some());
    assert!(data.iter().all(|packet| !packet.is_lost()));
    let arrived = |packet: &Packet| packet.0["arrived"].as_f64().unwrap();
    assert!(arrived(data[1]) > arrived(data[2]));
}

#[test]
fn copies_and_damage_are_told_from_what_was_sent() {
    let Some(packets) = played(&["duplicate", "--json"]) else {
        return;
    };
    let sent: Vec<_> = packets
        .iter()
        .filter(|packet| packet.0["text"] == "hello")
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].note("duplicate").unwrap()["of"], sent[0].0["frame"]);
    assert_eq!(sent[1].again(), None);
    // RFC 2883: what came twice is reported.
    let reported = packets
        .iter()
        .find(|packet| packet.note("duplicate-sack").is_some());
    assert_eq!(reported.unwrap().0["sack"], serde_json::json!([[1, 6]]));
    let Some(packets) = played(&["corrupt", "--json"]) else {
        return;
    };
    let sent: Vec<_> = packets
        .iter()
        .filter(|packet| packet.0["text"] == "hello")
        .collect();
    assert!(sent[0].is_lost() && sent[0].note("damaged").is_some());
    assert_eq!(
        (sent[1].again(), sent[1].is_lost()),
        (Some("timeout"), false)
    );
}

#[test]
fn a_lost_fin_and_a_lost_last_ack_are_made_good() {
    let Some(packets) = played(&["fin-loss", "--json"]) else {
        return;
    };
    let fins: Vec<_> = packets
        .iter()
        .filter(|packet| packet.what() == "A FIN ACK")
        .collect();
    assert_eq!(
        (fins[0].is_lost(), fins[0].states()[1]),
        (true, "ESTABLISHED")
    );
    assert_eq!(
        (fins[1].again(), fins[1].states()[1]),
        (Some("fin"), "CLOSE-WAIT")
    );
    let packets = played(&["time-wait", "--json"]).unwrap();
    let course = course(&packets);
    // RFC 9293, section 3.6: TIME-WAIT answers a FIN that comes again.
    assert_eq!(
        course[course.len() - 3..],
        [
            "A ACK lost: TIME-WAIT LAST-ACK",
            "B FIN ACK: TIME-WAIT LAST-ACK",
            "A ACK: TIME-WAIT CLOSED",
        ]
    );
}

#[test]
fn a_window_of_zero_is_probed_until_it_opens() {
    let Some(packets) = played(&["zero-window", "--json"]) else {
        return;
    };
    let at = |name: &str| {
        packets
            .iter()
            .position(|packet| packet.note(name).is_some())
    };
    let (full, zero) = (at("window-full").unwrap(), at("zero-window").unwrap());
    let (probe, update) = (
        at("zero-window-probe").unwrap(),
        at("window-update").unwrap(),
    );
    assert!(
        full < zero && zero < probe && probe < update,
        "{full} {zero} {probe} {update}"
    );
    assert_eq!(packets[zero].number("window"), 0);
    // RFC 9293, section 3.8.6.1: the intervals grow.
    let probes = packets
        .iter()
        .filter(|packet| packet.note("zero-window-probe").is_some());
    let times: Vec<_> = probes.map(Packet::time).collect();
    assert!(
        times.len() >= 3 && times[2] - times[1] > (times[1] - times[0]) * 1.3,
        "{times:?}"
    );
}

#[test]
fn keep_alives_ask_with_a_number_that_was_acknowledged() {
    let Some(packets) = played(&["keepalive", "--json"]) else {
        return;
    };
    let asked: Vec<_> = packets
        .iter()
        .filter(|packet| packet.note("keep-alive").is_some())
        .collect();
    assert_eq!(asked.len(), 3);
    // RFC 9293, section 3.8.4: SND.NXT - 1.
    assert!(
        asked
            .iter()
            .all(|packet| (packet.number("seq"), packet.number("len")) == (0, 0))
    );
    let answered = packets
        .iter()
        .filter(|packet| packet.note("keep-alive-ack").is_some());
    assert_eq!(answered.count(), 3);
}

#[test]
fn nagle_holds_back_what_is_small_until_an_ack_comes() {
    let Some(packets) = played(&["nagle", "--json"]) else {
        return;
    };
    let said: Vec<_> = packets
        .iter()
        .filter_map(|packet| packet.0["text"].as_str())
        .collect();
    assert_eq!(said, ["one", "twosix", "."]);
    let held = packets
        .iter()
        .find(|packet| packet.0["text"] == "twosix")
        .unwrap();
    assert!(held.time() - packets[3].time() > 0.019);
}

#[test]
fn a_reset_leaves_no_time_wait() {
    let Some(packets) = played(&["reset", "--json"]) else {
        return;
    };
    let last = packets.last().unwrap();
    assert_eq!(
        (last.what().as_str(), last.states()),
        ("A RST ACK", ["CLOSED", "CLOSED"])
    );
    let packets = played(&["reset-unread", "--json"]).unwrap();
    let last = packets.last().unwrap();
    assert_eq!(
        (last.what().as_str(), last.states()),
        ("B RST ACK", ["CLOSED", "CLOSED"])
    );
}

#[test]
fn a_narrow_line_loses_what_its_queue_cannot_hold() {
    let Some(packets) = played(&["slow-start", "--json"]) else {
        return;
    };
    let data: Vec<_> = packets
        .iter()
        .filter(|packet| packet.number("len") > 0)
        .collect();
    // Ten before anything is acknowledged (RFC 6928).
    let answer = packets
        .iter()
        .find(|packet| packet.what() == "B ACK")
        .unwrap();
    let answered = answer.time() + answer.way().unwrap();
    let first = data.iter().take_while(|packet| packet.time() < answered);
    assert_eq!(first.count(), 10);
    assert!(data.iter().any(|packet| packet.is_lost()));
    // 400 KiB at a million bytes a second, and what stands before them in every frame.
    let took = packets.last().unwrap().time() - data[0].time();
    assert!(took > 0.42, "{took}");
}

#[test]
fn rules_of_the_command_line_come_on_top() {
    let arguments = [
        "exchange",
        "--json",
        "--delay",
        "30ms",
        "--late",
        "server:data:1=50ms",
    ];
    let Some(packets) = played(&arguments) else {
        return;
    };
    let rtt = packets[2].note("connected").unwrap()["rtt"]
        .as_f64()
        .unwrap();
    assert!((0.060..0.5).contains(&rtt), "{rtt}");
    let answer = packets
        .iter()
        .find(|packet| packet.0["text"] == "HELLO")
        .unwrap();
    assert!(answer.way() >= Some(0.080), "{:?}", answer.way());
}
