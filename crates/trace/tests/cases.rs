//! What no reference capture shows: made packet by packet, with what must be found out about them.

use trace::{Capture, Event, Fate, How, Note, State, Sure, Transport};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;

/// A capture of raw IP; times are in milliseconds.
struct Made {
    file: Vec<u8>,
    /// The next IP identification of each end.
    ids: [u16; 2],
    ports: [u16; 2],
}

/// What stands in a segment beside its flags.
#[derive(Clone, Copy, Default)]
struct With<'a> {
    seq: u32,
    ack: u32,
    data: &'a [u8],
    /// The sender's clock.
    clock: Option<u32>,
    /// The identification, if it is not the next.
    id: Option<u16>,
}

impl Made {
    fn new() -> Self {
        let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 101];
        Self {
            file: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            ids: [100, 900],
            ports: [40000, 80],
        }
    }

    fn frame(&mut self, time: u32, frame: &[u8]) -> &mut Self {
        let length = frame.len() as u32;
        let words = [time / 1000, time % 1000 * 1000, length, length];
        self.file
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.file.extend(frame);
        self
    }

    fn ip(protocol: u8, client: bool, id: u16, part: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x45, 0];
        frame.extend((20 + payload.len() as u16).to_be_bytes());
        frame.extend([id.to_be_bytes(), part.to_be_bytes()].concat());
        frame.extend([64, protocol, 0, 0]);
        let (from, to) = if client { (1, 2) } else { (2, 1) };
        frame.extend([10, 0, 0, from, 10, 0, 0, to]);
        frame.extend(payload);
        frame
    }

    fn segment(&mut self, time: u32, client: bool, flags: u8, with: With<'_>) -> &mut Self {
        let next = &mut self.ids[usize::from(!client)];
        let id = with.id.unwrap_or(*next);
        *next += 1;
        let [own, other] = self.ports;
        let (from, to) = if client { (own, other) } else { (other, own) };
        let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
        segment.extend([with.seq.to_be_bytes(), with.ack.to_be_bytes()].concat());
        let offset = if with.clock.is_some() { 0x80 } else { 0x50 };
        segment.extend([offset, flags, 0xff, 0xff, 0, 0, 0, 0]);
        if let Some(clock) = with.clock {
            segment.extend([1, 1, 8, 10]);
            segment.extend([clock.to_be_bytes(), [0; 4]].concat());
        }
        segment.extend(with.data);
        self.frame(time, &Self::ip(6, client, id, 0, &segment))
    }

    fn handshake(&mut self, time: u32, isn: u32) -> &mut Self {
        let seq = |seq: u32, ack: u32| With {
            seq,
            ack,
            ..With::default()
        };
        self.segment(time, true, SYN, seq(isn, 0))
            .segment(time + 20, false, SYN | ACK, seq(7, isn + 1))
            .segment(time + 20, true, ACK, seq(isn + 1, 8))
    }

    fn read(&self) -> Capture {
        Capture::read(&self.file[..])
    }
}

fn notes(event: &Event) -> &[Note] {
    &event.notes
}

fn states(event: &Event) -> [(State, Sure); 2] {
    event.states.unwrap().map(|at| (at.state, at.sure))
}

#[test]
fn ends_that_open_at_once_are_both_syn_sent_and_then_syn_received() {
    let at = |seq: u32, ack: u32| With {
        seq,
        ack,
        ..With::default()
    };
    let mut made = Made::new();
    // Seen at A; the SYNs cross.
    made.segment(0, true, SYN, at(10, 0))
        .segment(5, false, SYN, at(500, 0))
        .segment(5, true, SYN | ACK, at(10, 501))
        .segment(25, false, SYN | ACK, at(500, 11))
        .segment(25, true, ACK, at(11, 501));
    let capture = made.read();
    let events = &capture.flows[0].events;
    assert_eq!(states(&events[0])[1].0, State::Listen, "taken back");
    let [a, b] = states(&events[1]);
    assert_eq!((a, b.0), ((State::SynReceived, Sure::Seen), State::SynSent));
    assert!(notes(&events[1]).contains(&Note::SimultaneousOpen));
    assert_eq!(states(&events[4])[0].0, State::Established);
    // RFC 9293, figure 7: the SYN-ACKs are the SYNs, and nothing was lost. A's SYN is acknowledged after 25 ms.
    let again = |event: &Event| {
        let mut notes = event.notes.iter();
        notes.any(|note| matches!(note, Note::Retransmission { .. }))
    };
    assert!(!events.iter().any(again), "{events:?}");
    let rtt = Note::Connected { rtt: 25_000_000 };
    assert!(notes(&events[4]).contains(&rtt), "{:?}", notes(&events[4]));
    let picture = trace::draw(&capture.flows[0], "made", &trace::Style::default());
    assert!(picture.contains("both ends opened at once"), "{picture}");
    assert!(
        !picture.contains("client"),
        "nobody is the client: {picture}"
    );
}

#[test]
fn what_the_network_delivers_twice_is_no_retransmission() {
    let mut made = Made::new();
    let data = |id| With {
        seq: 11,
        ack: 8,
        data: b"once",
        clock: Some(70),
        id: Some(id),
    };
    made.handshake(0, 10)
        .segment(30, true, ACK, data(500))
        .segment(31, true, ACK, data(500))
        .segment(260, true, ACK, data(501));
    let capture = made.read();
    let events = &capture.flows[0].events;
    assert_eq!(notes(&events[4]), [Note::Duplicate { of: 4 }]);
    let again = Note::Retransmission {
        of: Some(5),
        after: 229_000_000,
        how: How::Timeout,
    };
    assert_eq!(notes(&events[5]), [again]);
}

#[test]
fn a_late_original_and_a_retransmission_are_told_apart_by_the_senders_clock_and_count() {
    let data = |seq: u32, clock: u32, id: u16| With {
        seq,
        ack: 8,
        data: b"four",
        clock: Some(clock),
        id: Some(id),
    };
    // In the same millisecond the sender's count of packets tells, also where it wraps around.
    let cases = [
        (99, 300, true),
        (130, 300, false),
        (100, 299, true),
        (100, 301, false),
        (100, 65535, true),
    ];
    for (clock, id, late) in cases {
        let mut made = Made::new();
        let after = if id == 65535 { 0 } else { 300 };
        made.handshake(0, 10)
            .segment(30, true, ACK, data(15, 100, after))
            .segment(31, true, ACK, data(11, clock, id));
        let capture = made.read();
        let events = &capture.flows[0].events;
        assert!(notes(&events[3]).contains(&Note::Gap { bytes: 4 }));
        assert_eq!(
            notes(&events[4]).contains(&Note::OutOfOrder),
            late,
            "{:?}",
            events[4]
        );
        let again = |note: &Note| matches!(note, Note::Retransmission { of: None, .. });
        assert_eq!(notes(&events[4]).iter().any(again), !late);
    }
}

#[test]
fn ports_that_are_used_again_are_another_flow() {
    let mut made = Made::new();
    let at = |seq: u32, ack: u32| With {
        seq,
        ack,
        ..With::default()
    };
    made.handshake(0, 10)
        .segment(40, true, FIN | ACK, at(11, 8))
        .segment(60, false, FIN | ACK, at(8, 12))
        .segment(60, true, ACK, at(12, 9))
        .handshake(1000, 9000)
        // The same SYN once more does not begin a third.
        .segment(1100, true, SYN, at(9000, 0));
    let capture = made.read();
    let counts: Vec<_> = capture.flows.iter().map(|flow| flow.events.len()).collect();
    assert_eq!(counts, [6, 4]);
    assert_eq!(capture.flows[1].events[2].tcp().unwrap().seq, 1);
}

#[test]
fn a_connection_that_the_other_end_does_not_know_any_more_is_reset() {
    let mut made = Made::new();
    let at = |seq: u32, ack: u32| With {
        seq,
        ack,
        ..With::default()
    };
    made.handshake(0, 10)
        .segment(
            40,
            true,
            ACK,
            With {
                data: b"hi",
                ..at(11, 8)
            },
        )
        .segment(60, false, RST, at(8, 0));
    let capture = made.read();
    let events = &capture.flows[0].events;
    assert_eq!(states(&events[4]), [(State::Closed, Sure::Seen); 2]);
    assert_eq!(events[4].tcp().unwrap().ack, 0);
    assert!(!notes(&events[4]).contains(&Note::Refused));
}

#[test]
fn fragments_are_joined_where_the_last_one_came() {
    let mut datagram = vec![0x9c, 0x40, 0, 53, 0, 24, 0, 0];
    datagram.extend(b"sixteen bytes !!");
    let part = |offset: u16, more: bool| (offset / 8) | if more { 0x2000 } else { 0 };
    let mut made = Made::new();
    made.frame(0, &Made::ip(17, true, 5, part(16, false), &datagram[16..]))
        .frame(1, &Made::ip(17, true, 6, part(0, true), &datagram[..16]))
        .frame(2, &Made::ip(17, true, 5, part(0, true), &datagram[..16]));
    let capture = made.read();
    assert_eq!((capture.frames, capture.flows.len()), (3, 1));
    let flow = &capture.flows[0];
    assert_eq!(
        (flow.transport, flow.ends[0].port()),
        (Transport::Udp, 40000)
    );
    let [event] = &flow.events[..] else {
        panic!("{:?}", flow.events);
    };
    assert_eq!((event.frame, event.len()), (3, 16));
    assert_eq!(event.text.as_deref(), Some("sixteen bytes !!"));
    // The part that waits for ever is not forgotten.
    assert_eq!(
        capture.skipped.values().sum::<u64>(),
        1,
        "{:?}",
        capture.skipped
    );
}

#[test]
fn what_is_not_drawn_is_counted_by_its_reason() {
    let mut made = Made::new();
    made.frame(0, &[0x60, 0])
        .frame(1, &Made::ip(2, true, 1, 0, b"igmp"))
        .frame(2, &Made::ip(2, true, 2, 0, b"igmp"))
        .frame(3, b"\x99 is neither 4 nor 6");
    let capture = made.read();
    assert_eq!((capture.frames, capture.flows.len()), (4, 0));
    let skipped: Vec<_> = capture
        .skipped
        .iter()
        .map(|(why, count)| (why.as_str(), *count))
        .collect();
    assert_eq!(
        skipped,
        [
            ("a broken IP header", 1),
            ("cut in the IPv6 header", 1),
            ("protocol 2", 2)
        ]
    );
}

#[test]
fn an_ack_that_is_repeated_after_the_peer_repeats_its_fin_was_lost() {
    let at = |seq: u32, ack: u32| With {
        seq,
        ack,
        ..With::default()
    };
    let mut made = Made::new();
    made.handshake(0, 10)
        .segment(40, true, FIN | ACK, at(11, 8))
        .segment(60, false, FIN | ACK, at(8, 12))
        .segment(60, true, ACK, at(12, 9));
    let before = made.read();
    let last = &before.flows[0].events[5];
    assert_eq!(
        (states(last)[1], last.fate),
        ((State::Closed, Sure::Expected), Fate::Unknown)
    );
    made.segment(280, false, FIN | ACK, at(8, 12));
    let after = made.read();
    let events = &after.flows[0].events;
    assert_eq!(events[5].fate, Fate::Unanswered);
    assert_eq!(
        states(&events[5])[1],
        (State::LastAck, Sure::Seen),
        "taken back"
    );
    assert_eq!(
        states(&events[6]),
        [(State::TimeWait, Sure::Seen), (State::LastAck, Sure::Seen)]
    );
}

#[test]
fn a_clock_that_jumps_by_a_century_does_no_harm() {
    let mut made = Made::new();
    made.handshake(0, 10);
    for record in 0..3 {
        let mut file = made.file.clone();
        let seconds = 24 + record * (16 + 40);
        file[seconds..seconds + 4].fill(0xff);
        let capture = Capture::read(&file[..]);
        assert_eq!(capture.flows[0].events.len(), 3);
        let picture = trace::draw(&capture.flows[0], "made", &trace::Style::default());
        assert!(picture.contains("ESTABLISHED"), "{picture}");
        let picture = trace::svg(&capture.flows[0], "made", trace::Theme::Auto, true);
        assert!(picture.ends_with("</svg>\n"));
    }
}

#[test]
fn three_segments_close_where_one_is_both_the_ack_and_the_fin() {
    let cases = [
        ("three-segment-close", true),
        ("client-first-close", false),
        ("simultaneous-close", false),
    ];
    for (name, three) in cases {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
        let file = std::fs::File::open(format!("{folder}/{name}.pcap")).unwrap();
        let style = trace::Style {
            explain: Some(trace::Language::Chinese),
            ..trace::Style::default()
        };
        let picture = trace::draw(&Capture::read(file).flows[0], name, &style);
        let told = picture
            .replace(['\n', ' ', '│'], "")
            .contains("所以三段就关闭");
        assert_eq!(told, three, "{picture}");
    }
}
