//! The services that come with sockeye, over sessions in memory.

use bytes::Bytes;
use sockeye::service::{Echo, Hello, Reply, Upper};
use sockeye::{AnyService, Encoding, Framing, Service, Session};

use crate::stage::{heard, heard_to_the_end, within};

/// What a peer hears that sends `said`, each when the service has taken the one before.
async fn talk(service: impl Service, pair: (Session, Session), said: &[&[u8]]) -> Vec<Vec<u8>> {
    let (near, mut far) = pair;
    let taken = near.info().clone();
    let packets = near.keeps_boundaries();
    let asking = async {
        for (n, message) in said.iter().enumerate() {
            far.send(message.to_vec()).await.unwrap();
            while taken.counters().messages_in() <= n as u64 {
                tokio::task::yield_now().await;
            }
        }
        if packets {
            // Packets have no half-close: whoever asked waits for the answers.
            let mut answers = Vec::new();
            while answers.len() < said.len() {
                answers.push(heard(&mut far).await);
            }
            drop(far);
            return answers;
        }
        far.finish().await.unwrap();
        heard_to_the_end(&mut far).await
    };
    let (served, answers) = within(async { tokio::join!(service.serve(near), asking) }).await;
    served.unwrap();
    answers
}

async fn upper(encoding: Encoding, said: &[&[u8]]) -> Vec<u8> {
    let pair = Session::pair_in(encoding, Framing::Raw);
    talk(Upper, pair, said).await.concat()
}

#[tokio::test]
async fn echo_gives_bytes_back_over_every_framing() {
    for framing in ["raw", "line", "fixed:3", "length:u8", "until:;", "idle:1ms"] {
        let pair = Session::pair(framing.parse().unwrap());
        let answers = talk(Echo, pair, &[b"\x00\xff\x01", b"abc"]).await;
        assert_eq!(answers.concat(), b"\x00\xff\x01abc", "{framing}");
    }
    let answers = talk(Echo, Session::packet_pair(), &[b"a", b"", b"c"]).await;
    assert_eq!(answers, [&b"a"[..], b"", b"c"]);
}

#[tokio::test]
async fn any_service_is_the_service_in_it() {
    let answers = talk(
        AnyService::new(Echo),
        Session::pair(Framing::Line),
        &[b"a", b"b"],
    )
    .await;
    assert_eq!(answers, [b"a", b"b"]);
}

#[tokio::test]
async fn upper_raises_ascii() {
    assert_eq!(
        upper(Encoding::UTF_8, &[b"abc", b"XYZ 09 [`{"]).await,
        b"ABCXYZ 09 [`{"
    );
}

#[tokio::test]
async fn upper_raises_a_utf8_letter_that_came_in_two_reads() {
    // é is C3 A9, É is C3 89; я is D1 8F, Я is D0 AF.
    assert_eq!(
        upper(Encoding::UTF_8, &[b"a\xc3", b"\xa9b\xd1", b"\x8f"]).await,
        b"A\xc3\x89B\xd0\xaf"
    );
    // One byte at a time: U+10428, a four-byte letter, and its upper case U+10400.
    let (small, large) = ("\u{10428}", "\u{10400}");
    let said: Vec<&[u8]> = small.as_bytes().chunks(1).collect();
    assert_eq!(upper(Encoding::UTF_8, &said).await, large.as_bytes());
}

#[tokio::test]
async fn upper_raises_a_gbk_letter_that_came_in_two_reads() {
    let gbk = "gbk".parse().unwrap();
    // GB 2312, row 6: α is A6 C1, Α is A6 A1. 中 is D6 D0, whose second byte must not be taken for a letter.
    assert_eq!(
        upper(gbk, &[b"x\xa6", b"\xc1\xd6", b"\xd0"]).await,
        b"X\xa6\xa1\xd6\xd0"
    );
    // 乣 is 81 61 in GBK: its second byte is ASCII `a`, and stays.
    assert_eq!(upper(gbk, &[b"\x81\x61a"]).await, b"\x81\x61A");
}

#[tokio::test]
async fn upper_leaves_what_is_no_text_as_it_is() {
    assert_eq!(
        upper(Encoding::UTF_8, &[b"a\xff\xfeb\x80c"]).await,
        b"A\xff\xfeB\x80C"
    );
    // The beginning of a letter that never came.
    assert_eq!(upper(Encoding::UTF_8, &[b"a\xe4\xb8"]).await, b"A\xe4\xb8");
    assert_eq!(upper(Encoding::ASCII, &[b"a\xe9b"]).await, b"A\xe9B");
}

#[tokio::test]
async fn upper_follows_unicode_where_one_letter_becomes_two() {
    assert_eq!(
        upper(Encoding::UTF_8, &["straße".as_bytes()]).await,
        b"STRASSE"
    );
    assert_eq!(upper(Encoding::LATIN_1, &[b"stra\xdfe"]).await, b"STRASSE");
}

#[tokio::test]
async fn upper_keeps_a_letter_whose_upper_case_the_encoding_lacks() {
    // ÿ is FF in ISO 8859-1; Ÿ (U+0178) is not in it. µ (B5) raises to Greek Μ, which is not either.
    assert_eq!(
        upper(Encoding::LATIN_1, &[b"a\xffb\xb5\xe9"]).await,
        b"A\xffB\xb5\xc9"
    );
}

#[tokio::test]
async fn upper_answers_each_packet_by_itself() {
    let said: &[&[u8]] = &[b"a\xc3", b"\xa9b", b"", "é".as_bytes()];
    let answers = talk(Upper, Session::packet_pair(), said).await;
    assert_eq!(
        answers,
        [&b"A\xc3"[..], b"\xa9B", b"", "É".as_bytes()],
        "halves of a letter in two packets are no letter"
    );
}

#[tokio::test]
async fn upper_answers_each_framed_message_by_itself() {
    // Between the halves stands a mark on the wire, so they are no letter; and each message has an answer.
    for framing in ["line", "length:u8", "until:;"] {
        let pair = Session::pair(framing.parse().unwrap());
        let answers = talk(Upper, pair, &[b"\xc3", b"\xa9", b"", b"b"]).await;
        assert_eq!(answers, [&b"\xc3"[..], b"\xa9", b"", b"B"], "{framing}");
    }
    let pair = Session::pair("fixed:2".parse().unwrap());
    let answers = talk(Upper, pair, &[b"a\xc3", b"\xa9b"]).await;
    assert_eq!(answers, [b"A\xc3", b"\xa9B"]);
}

#[tokio::test]
async fn hello_greets_first() {
    let (near, mut far) = Session::pair(Framing::Line);
    let asking = async {
        assert_eq!(heard(&mut far).await, b"hello!");
        far.send("Ann").await.unwrap();
        assert_eq!(heard(&mut far).await, b"Hello, Ann!");
        far.send("exit").await.unwrap();
        assert_eq!(far.recv().await.unwrap(), None);
    };
    let hello = Hello::default();
    within(async { tokio::join!(hello.serve(near), asking).0 })
        .await
        .unwrap();
}

#[tokio::test]
async fn hello_over_packets_sends_no_line_end() {
    let (near, mut far) = Session::packet_pair();
    let asking = async {
        far.send("Ann").await.unwrap();
        assert_eq!(heard(&mut far).await, b"hello!");
        assert_eq!(heard(&mut far).await, b"Hello, Ann!");
        far.send("exit").await.unwrap();
        assert_eq!(far.recv().await.unwrap(), None);
    };
    let hello = Hello::default();
    within(async { tokio::join!(hello.serve(near), asking).0 })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn hello_thinks_as_long_as_it_is_told() {
    let (near, mut far) = Session::pair(Framing::Line);
    let hello = Hello {
        greeting: String::new(),
        delay: std::time::Duration::from_secs(3),
    };
    let asking = async {
        let began = tokio::time::Instant::now();
        far.send("Ann").await.unwrap();
        assert_eq!(heard(&mut far).await, b"Hello, Ann!", "and no greeting");
        assert!(began.elapsed() >= hello.delay);
        far.finish().await.unwrap();
    };
    within(async { tokio::join!(hello.serve(near), asking).0 })
        .await
        .unwrap();
}

#[tokio::test]
async fn reply_answers_packets_too_even_empty_ones() {
    let reply = Reply {
        answer: Bytes::from_static(b"\x06"),
        close: false,
        content_type: None,
    };
    let answers = talk(reply, Session::packet_pair(), &[b"a", b"", b"c"]).await;
    assert_eq!(answers, [b"\x06"; 3]);
}
