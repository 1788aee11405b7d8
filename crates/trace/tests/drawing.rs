//! The pictures: as they are kept in tests/golden, which `UPDATE_GOLDEN=1 cargo test` writes anew, and what is true
//! of all of them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use trace::{Capture, Language, Style, Theme, draw, html, svg};
use unicode_width::UnicodeWidthStr;
use wire::pcapng::{Item, Reader};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder("data").join(name)).unwrap()
}

/// All captures, by name.
fn captures() -> Vec<String> {
    let entries = fs::read_dir(folder("data")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains(".pcap")).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 45);
    names
}

fn drawn(bytes: &[u8], name: &str, style: &Style) -> String {
    let capture = Capture::read(bytes);
    let pictures = capture.flows.iter().map(|flow| draw(flow, name, style));
    pictures.collect::<Vec<_>>().join("\n")
}

fn wide(width: usize) -> Style {
    Style {
        width,
        ..Style::default()
    }
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let file = folder("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let lines = expected.lines().zip(text.lines());
    let difference = lines.into_iter().find(|(old, new)| old != new);
    assert!(
        expected == text,
        "{name} differs, first {difference:?}; UPDATE_GOLDEN=1 cargo test writes it anew"
    );
}

#[test]
fn every_capture_is_drawn_as_before() {
    for name in captures() {
        golden(
            &format!("{name}.txt"),
            &drawn(&file(&name), &name, &wide(100)),
        );
    }
}

#[test]
fn narrow_plain_and_explained_pictures_are_as_before() {
    let ascii = Style {
        ascii: true,
        ..wide(100)
    };
    let explained = |language| Style {
        explain: Some(language),
        ..wide(100)
    };
    let raw = Style {
        absolute: true,
        ..wide(100)
    };
    for name in [
        "syn-loss.pcap",
        "zero-window.pcap",
        "tls13-http1.pcapng",
        "udp-refused.pcap",
    ] {
        for (kind, style) in [
            ("80", &wide(80)),
            ("60", &wide(60)),
            ("ascii", &ascii),
            ("en", &explained(Language::English)),
            ("zh", &explained(Language::Chinese)),
            ("abs", &raw),
        ] {
            golden(
                &format!("{name}.{kind}.txt"),
                &drawn(&file(name), name, style),
            );
        }
    }
    let name = "timewait-retransmit.pcap";
    let text = drawn(&file(name), name, &explained(Language::English));
    golden(&format!("{name}.en.txt"), &text);
}

/// `<!-- picture: NAME -->`, or `NAME en` with explanations, and the picture behind it.
#[test]
fn the_pictures_in_the_documentation_are_real() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TRACE.md");
    let text = fs::read_to_string(&path).unwrap();
    let mut made = String::new();
    let mut lines = text.lines().peekable();
    let mut pictures = 0;
    while let Some(line) = lines.next() {
        made += &format!("{line}\n");
        let Some(what) = line.strip_prefix("<!-- picture: ") else {
            continue;
        };
        pictures += 1;
        let mut words = what.trim_end_matches(" -->").split(' ');
        let name = words.next().unwrap();
        let explain = words.next().map(|_| Language::English);
        let picture = drawn(
            &file(name),
            name,
            &Style {
                explain,
                ..wide(100)
            },
        );
        made += &format!("\n```text\n{picture}```\n");
        lines.next_if_eq(&"");
        if lines.next_if_eq(&"```text").is_some() {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    assert!(pictures >= 3);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert!(
        expected == made,
        "UPDATE_GOLDEN=1 cargo test makes the pictures of docs/TRACE.md anew"
    );
}

/// The tags of markup that is well formed, without those of its own end.
fn tags(markup: &str) -> usize {
    let mut open = Vec::new();
    let mut count = 0;
    for piece in markup.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag that ends");
        assert!(!text.contains('&') || text.contains(';'), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
        } else if !tag.ends_with('/') {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            open.push(tag.split(' ').next().unwrap());
        }
        count += 1;
    }
    assert!(open.is_empty(), "{open:?}");
    count
}

#[test]
fn pictures_in_svg_are_well_formed_and_have_an_arrow_for_every_packet() {
    for name in captures() {
        let capture = Capture::read(&file(&name)[..]);
        for flow in &capture.flows {
            let picture = svg(flow, "<&\"name\">", Theme::Auto, true);
            assert!(tags(&picture) > flow.events.len() * 5, "{name}");
            let arrows = picture.matches("class=\"row\"").count();
            assert_eq!(arrows, flow.events.len(), "{name}");
            assert!(
                !picture.contains("NaN") && !picture.contains("inf\""),
                "{name}"
            );
            assert!(picture.contains("&lt;&amp;&quot;name&quot;&gt;"), "{name}");
        }
        let page = html(&capture, "</script>", Theme::Auto, false, &[]);
        assert!(!page.contains("<title></script>"), "{name}");
        assert_eq!(page.matches("<section>").count(), capture.flows.len());
    }
    for (file_name, theme) in [
        ("lo-h2.pcapng", Theme::Auto),
        ("simultaneous-close.pcap", Theme::Dark),
    ] {
        let capture = Capture::read(&file(file_name)[..]);
        let picture = svg(&capture.flows[0], file_name, theme, false);
        golden(&format!("{file_name}.svg"), &picture);
    }
}

/// The picture that docs/TRACE.md shows.
#[test]
fn the_svg_in_the_documentation_is_real() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trace.svg");
    let capture = Capture::read(&file("tls13-http1.pcapng")[..]);
    let picture = svg(&capture.flows[0], "tls13-http1.pcapng", Theme::Auto, false);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &picture).unwrap();
    }
    let shown = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        shown == picture,
        "UPDATE_GOLDEN=1 cargo test makes docs/trace.svg anew"
    );
}

#[test]
fn no_line_is_longer_than_the_terminal_and_the_lines_of_the_ends_stand_straight() {
    for name in captures() {
        let bytes = file(&name);
        for width in [60, 61, 72, 83, 84, 100, 130] {
            for explain in [None, Some(Language::English), Some(Language::Chinese)] {
                for ascii in [false, true] {
                    let style = Style {
                        explain,
                        ascii,
                        all: width == 72,
                        ..wide(width)
                    };
                    let text = drawn(&bytes, &name, &style);
                    for line in text.lines() {
                        assert!(line.width() <= width, "{name} at {width}: {line}");
                    }
                    let plain = text.is_ascii() || explain == Some(Language::Chinese);
                    assert!(plain || !ascii, "{name}");
                }
            }
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    for name in captures() {
        let colored = Style {
            color: true,
            ..wide(100)
        };
        let text = drawn(&file(&name), &name, &colored);
        let mut plain = String::new();
        for (index, part) in text.split('\x1b').enumerate() {
            plain += match index {
                0 => part,
                _ => part.split_once('m').unwrap().1,
            };
        }
        let plain: Vec<_> = plain.lines().map(str::trim_end).collect();
        let expected = drawn(&file(&name), &name, &wide(100));
        assert_eq!(plain, expected.lines().collect::<Vec<_>>(), "{name}");
    }
}

/// A capture of raw IP.
struct Made(Vec<u8>);

impl Made {
    fn new() -> Self {
        let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 101];
        Self(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn frame(&mut self, time: u64, frame: &[u8], original: usize) {
        let words = [
            time / 1_000_000,
            time % 1_000_000,
            frame.len() as u64,
            original as u64,
        ];
        self.0
            .extend(words.iter().flat_map(|word| (*word as u32).to_le_bytes()));
        self.0.extend(frame);
    }

    /// A segment with `len` bytes of data, of which the capture keeps none.
    fn segment(&mut self, time: u64, client: bool, flags: u8, seq: u32, ack: u32, len: u16) {
        let (client_ip, server_ip) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let (client_port, server_port) = (40000_u16, 80_u16);
        let mut frame = vec![0x45, 0];
        frame.extend((40 + len).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        let ends = [(client_ip, client_port), (server_ip, server_port)];
        let (from, to) = if client {
            (ends[0], ends[1])
        } else {
            (ends[1], ends[0])
        };
        frame.extend([from.0, to.0].concat());
        frame.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
        frame.extend([seq.to_be_bytes(), ack.to_be_bytes()].concat());
        frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.frame(time, &frame, 40 + usize::from(len));
    }
}

/// A gigabyte, in segments of 32 KiB, of which every hundredth is lost and sent again if `lossy`.
fn gigabyte(lossy: bool) -> Vec<u8> {
    let mut made = Made::new();
    let (syn, ack, fin) = (0x02, 0x10, 0x01);
    let (client, server) = (4_000_000_000_u32, 17_u32);
    made.segment(0, true, syn, client, 0, 0);
    made.segment(20_000, false, syn | ack, server, client.wrapping_add(1), 0);
    made.segment(20_020, true, ack, client.wrapping_add(1), server + 1, 0);
    let (mut at, mut time) = (client.wrapping_add(1), 20_100);
    for number in 0..32_768 {
        made.segment(time, true, ack, at, server + 1, 32_768);
        if lossy && number % 100 == 99 {
            made.segment(time + 250_000, true, ack, at, server + 1, 32_768);
            time += 250_000;
        }
        at = at.wrapping_add(32_768);
        if number % 2 == 1 {
            made.segment(time + 20_000, false, ack, server + 1, at, 0);
        }
        time += 40_000;
    }
    made.segment(time, true, fin | ack, at, server + 1, 0);
    made.segment(
        time + 20_000,
        false,
        fin | ack,
        server + 1,
        at.wrapping_add(1),
        0,
    );
    made.segment(time + 20_010, true, ack, at.wrapping_add(1), server + 2, 0);
    made.0
}

#[test]
fn a_gigabyte_fits_on_a_few_screens_with_and_without_losses() {
    for lossy in [false, true] {
        let bytes = gigabyte(lossy);
        let text = drawn(&bytes, "made", &wide(100));
        let lines = text.lines().count();
        assert!(lines < 200, "{lines} lines");
        assert!(text.contains("1 073 741 824 bytes →"), "{text}");
        assert!(text.contains("TIME-WAIT") && text.contains("SYN-SENT"));
        let again = "retransmitted: 327 by the client";
        assert_eq!(text.contains(again), lossy, "{text}");
        let pieces = text.lines().filter(|line| line.contains(" segments "));
        assert!(pieces.count() > 10, "it shows how it went on: {text}");
        let all = Style {
            all: true,
            ..wide(100)
        };
        assert!(drawn(&bytes, "made", &all).lines().count() > 49_000);
    }
}

/// The capture with other first numbers: those of the end with the lower address are moved by `a`, the other's by `b`.
fn shifted(bytes: &[u8], a: u32, b: u32) -> Vec<u8> {
    let mut moved = bytes.to_vec();
    let mut reader = Reader::new();
    let mut at = 0;
    while let Ok(Some((item, length))) = reader.read(&bytes[at..]) {
        if let Item::Packet(packet) = item {
            let begin = at + length - packet.data.len();
            let frame = &mut moved[begin..at + length];
            assert_eq!(packet.link, 1);
            let (own, peer) = if frame[26..30] < frame[30..34] {
                (a, b)
            } else {
                (b, a)
            };
            let mut add = |at: usize, by: u32| {
                let word = u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                frame[at..at + 4].copy_from_slice(&word.wrapping_add(by).to_be_bytes());
            };
            add(38, own);
            add(42, peer);
            let end = 34 + usize::from(packet.data[46] >> 4) * 4;
            let mut option = 54;
            while option < end && packet.data[option] != 0 {
                let (kind, size) = match packet.data[option] {
                    1 => (1, 1),
                    kind => (kind, usize::from(packet.data[option + 1])),
                };
                if kind == 5 {
                    (option + 2..option + size)
                        .step_by(4)
                        .for_each(|at| add(at, peer));
                }
                option += size;
            }
        }
        at += length;
    }
    moved
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn first_numbers_make_no_difference(
        name in prop::sample::select(vec![
            "data-loss.pcap", "zero-window.pcap", "reorder.pcap", "keepalive.pcap", "midstream.pcap",
            "simultaneous-close-at-B.pcap", "synack-loss.pcap", "half-close.pcap",
        ]),
        a: u32,
        b: u32,
    ) {
        let bytes = file(name);
        let style = Style { all: true, ..wide(100) };
        prop_assert_eq!(drawn(&shifted(&bytes, a, b), name, &style), drawn(&bytes, name, &style));
    }

    #[test]
    fn every_prefix_is_drawn(name in prop::sample::select(captures()), cut in any::<prop::sample::Index>()) {
        let bytes = file(&name);
        let cut = &bytes[..cut.index(bytes.len())];
        let capture = Capture::read(cut);
        prop_assert!(capture.fault.is_some() || capture.frames > 0 || cut.len() > 23);
        drawn(cut, &name, &wide(80));
    }

    #[test]
    fn broken_bytes_do_no_harm(
        name in prop::sample::select(captures()),
        holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = file(&name);
        for (at, byte) in holes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drawn(&bytes, &name, &Style { explain: Some(Language::English), ..wide(60) });
    }
}
