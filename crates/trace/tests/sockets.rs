//! What our own sockets tell where nobody sees packets: when bytes came, dials that fail, and for whom we dial.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trace::{Capture, Growing, Language, Live, Sight, Style, Theme, html, json_of, svg};
use wire::packet::{UPPER_PDU, stream_bytes};

const START: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// Who talks to whom, and how long after the start.
struct Told {
    live: Live,
    a: SocketAddr,
    b: SocketAddr,
}

impl Told {
    fn new() -> Self {
        Self {
            live: Live::new(Sight::Socket, |_, _| true),
            a: "127.0.0.1:40000".parse().unwrap(),
            b: "127.0.0.1:7000".parse().unwrap(),
        }
    }

    /// A connection that stands.
    fn connected() -> Self {
        let mut told = Self::new();
        told.infer(0, true, "SYN", None);
        told.infer(0, false, "SYN ACK", None);
        told.infer(0, true, "ACK", None);
        told
    }

    fn ends(&self, from_a: bool) -> (SocketAddr, SocketAddr) {
        match from_a {
            true => (self.a, self.b),
            false => (self.b, self.a),
        }
    }

    fn infer(&mut self, at: u64, from_a: bool, what: &'static str, facts: Option<&str>) {
        let ends = self.ends(from_a);
        let facts = facts.map(str::to_owned);
        self.live.infer(START + at * MS, ends, what, facts);
    }

    fn failed(&mut self, at: u64, refused: bool, facts: &str) {
        let ends = (self.a, self.b);
        let time = START + at * MS;
        self.live.failed(time, ends, refused, facts.to_owned());
    }

    /// B has read this at `read`, or A has got it at its own time.
    fn bytes(&mut self, at: u64, read: Option<u64>, from_a: bool, text: &str) {
        let (from, to) = self.ends(from_a);
        let data = stream_bytes(from, to, "tls", text.as_bytes());
        let read = read.map(|read| START + read * MS);
        self.live
            .packet_read(UPPER_PDU, START + at * MS, read, &data);
    }

    fn packets(&self) -> Vec<Value> {
        let flow = self.live.flows().get(0).unwrap();
        let lines = json_of(flow, 0, 0, self.live.started());
        let lines = lines.lines().skip(1);
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn picture(&mut self, style: Style) -> String {
        let mut growing = Growing::new(style, "");
        let fresh = self.live.fresh();
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let mut text = growing.grow(self.live.flows(), &fresh, now);
        text.push_str(&growing.grow(self.live.flows(), &[], later));
        text + &growing.finish(self.live.flows())
    }
}

/// Without the spaces and lines at which a picture breaks its sentences.
fn flat(text: &str) -> String {
    let is_layout = |letter: char| letter.is_whitespace() || letter == '│';
    text.chars().filter(|letter| !is_layout(*letter)).collect()
}

#[track_caller]
fn says(picture: &str, piece: &str) {
    assert!(
        flat(picture).contains(&flat(piece)),
        "{piece} is not in\n{picture}"
    );
}

/// B answers 200 ms after it was asked, and reads what came meanwhile only then.
fn busy() -> Told {
    let mut told = Told::connected();
    told.bytes(10, Some(10), true, "one");
    told.bytes(210, None, false, "ONE");
    told.bytes(60, Some(211), true, "two");
    told.bytes(212, None, false, "TWO");
    told
}

#[test]
fn what_waits_for_its_reader_has_the_kernels_time_and_says_so() {
    let told = busy();
    let packets = told.packets();
    let late = &packets[5];
    assert_eq!(late["text"], "two");
    assert_eq!(
        (&late["time"], &late["read"]),
        (&0.06.into(), &0.211.into())
    );
    let notes = json!([{"note": "read-late", "after": 0.151}]);
    assert_eq!(late["notes"], notes);
    let prompt = &packets[3];
    assert_eq!(prompt["read"], 0.01, "the kernel has said when it came");
    assert_eq!(prompt["notes"], json!([]), "and it did not wait");
    let answer = &packets[4];
    assert!(
        answer.get("read").is_none(),
        "{answer}: that is our own time"
    );
}

#[test]
fn the_picture_that_grows_does_not_take_an_earlier_time_for_a_pause() {
    let explained = Style {
        explain: Some(Language::English),
        ..Style::default()
    };
    let text = busy().picture(explained);
    says(&text, "kernel: had come 151.0 ms before it was read");
    says(&text, "fetched it 151.0 ms later");
    says(&text, "data that came has the kernel's time");
    let pauses: Vec<_> = text
        .lines()
        .filter(|line| line.contains("later  "))
        .collect();
    assert_eq!(pauses.len(), 1, "{text}");
    assert!(pauses[0].contains("200.0 ms later"), "{text}");
}

fn capture(told: Told) -> Capture {
    told.live.done()
}

#[test]
fn a_picture_of_the_whole_has_what_was_read_late_where_it_came() {
    let mut told = busy();
    told.infer(213, false, "FIN", None);
    told.bytes(70, Some(214), true, "three");
    let capture = capture(told);
    let flow = &capture.flows[0];
    let said: Vec<_> = flow
        .events
        .iter()
        .filter_map(|event| event.text.as_deref())
        .collect();
    assert_eq!(said, ["one", "two", "three", "ONE", "TWO"]);
    let three = flow
        .events
        .iter()
        .find(|event| event.text.as_deref() == Some("three"));
    let states = three.unwrap().states.unwrap().map(|at| at.state.name());
    assert_eq!(states, ["ESTABLISHED"; 2], "the FIN was later");
    let picture = svg(flow, "", Theme::Auto, false);
    let place = |text: &str| picture.find(text).unwrap();
    assert!(place("three") < place("ONE"));
    assert!(!picture.contains("height=\"-"), "{picture}");
}

#[test]
fn many_that_wait_are_still_one_row() {
    let mut told = Told::connected();
    for piece in 0..1000 {
        told.bytes(
            10 + piece,
            Some(20 + piece),
            true,
            "no text of its own, because it is too long",
        );
    }
    let text = told.picture(Style::default());
    assert!(text.lines().count() < 30, "{text}");
    says(&text, "1000 late reads");
}

#[test]
fn a_refused_dial_is_drawn_as_packets_would_show_it() {
    let mut told = Told::new();
    told.infer(0, true, "SYN", None);
    told.failed(1, true, "ECONNREFUSED");
    let packets = told.packets();
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[1]["notes"], json!([{"note": "refused"}]));
    let closed = json!({"state": "CLOSED", "sure": "kernel"});
    assert_eq!(packets[1]["states"]["A"], closed);
    assert_eq!(
        packets[0]["states"]["B"]["state"], "CLOSED",
        "nobody listens there"
    );
    for (language, sentence) in [
        (Language::English, "no program listens on"),
        (Language::Chinese, "没有程序监听这个端口"),
    ] {
        let mut told = Told::new();
        told.infer(0, true, "SYN", None);
        told.failed(1, true, "ECONNREFUSED");
        let style = Style {
            explain: Some(language),
            ..Style::default()
        };
        let text = told.picture(style);
        says(&text, "no connection came about");
        for piece in [
            "(SYN)",
            "(RST)",
            "connection refused",
            "kernel: ECONNREFUSED",
            sentence,
        ] {
            says(&text, piece);
        }
    }
    let capture = capture(told);
    for picture in [
        svg(&capture.flows[0], "", Theme::Auto, false),
        html(&capture, "", Theme::Auto, false, &[]),
    ] {
        assert!(picture.contains("(RST)") && picture.contains("connection refused"));
    }
}

#[test]
fn a_dial_that_nobody_answers_says_how_often_it_was_tried() {
    let explained = |language| Style {
        explain: Some(language),
        ..Style::default()
    };
    let unanswered = || {
        let mut told = Told::new();
        told.infer(0, true, "SYN", None);
        told.infer(1000, true, "sent again", None);
        told.failed(1500, false, "no answer to 2 SYNs");
        told
    };
    let packets = unanswered().packets();
    let again = json!([{"note": "retransmission", "of": 1, "after": 1.0, "how": "syn"}]);
    assert_eq!(packets[1]["notes"], again);
    assert_eq!(
        packets[1]["states"]["B"]["state"], "LISTEN",
        "it has not shown that it got one"
    );
    let closed = json!({"state": "CLOSED", "sure": "kernel"});
    assert_eq!(packets[2]["states"]["A"], closed);
    let text = unanswered().picture(explained(Language::English));
    for piece in [
        "no answer to 2 SYNs",
        "retransmission of #1, 1.00 s later",
        "Nobody answered",
        "No answer is an answer",
    ] {
        says(&text, piece);
    }
    let text = unanswered().picture(explained(Language::Chinese));
    says(&text, "没有回答也是");
    assert!(unanswered().live.flows().get(0).unwrap().is_over());
}

#[test]
fn the_dialed_end_of_a_relay_says_for_whom() {
    let mut told = Told::new();
    let client: SocketAddr = "192.0.2.9:5555".parse().unwrap();
    told.live.on_behalf(told.a.port(), told.b, client);
    told.infer(0, true, "SYN", None);
    let flow = told.live.flows().get(0).unwrap();
    assert_eq!(flow.client, Some(client));
    let head = json_of(flow, 0, 0, told.live.started());
    assert!(head.contains(r#""for":"192.0.2.9:5555""#), "{head}");
    let text = told.picture(Style::default());
    assert!(
        text.contains("dialed for 192.0.2.9:5555") && text.contains("relay  "),
        "{text}"
    );
    // The same ports again are another connection, of which nobody has said that.
    told.failed(9, false, "no answer to 1 SYN");
    told.infer(10, true, "SYN", None);
    assert_eq!(told.live.flows().get(1).unwrap().client, None);
    let capture = capture(told);
    assert!(svg(&capture.flows[0], "", Theme::Auto, false).contains("dialed for 192.0.2.9:5555"));
}
