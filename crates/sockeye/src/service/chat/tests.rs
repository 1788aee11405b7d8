//! The chat, spoken to as people and programs do, in memory.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::timeout;
use wire::framing::Framing;

use super::*;
use crate::hub::HubOptions;

fn chat() -> Chat {
    Chat::new(Hub::open(HubOptions::default()).unwrap())
}

/// The far end of a session that is served.
struct Peer {
    far: Session,
    served: tokio::task::JoinHandle<Result<()>>,
}

impl Peer {
    /// Greeted before it says anything.
    async fn person(chat: &Chat) -> Self {
        let mut peer = Self::new(chat, Session::pair(Framing::Line));
        assert!(
            peer.line()
                .await
                .starts_with("* this is sockeye chat: you are guest-")
        );
        assert!(peer.line().await.starts_with("* you are in #lobby"));
        peer
    }

    fn new(chat: &Chat, (near, far): (Session, Session)) -> Self {
        let chat = chat.clone();
        // The port's tracker is not what is tested here.
        #[expect(clippy::disallowed_methods)]
        let served = tokio::spawn(async move { chat.serve(near).await });
        Self { far, served }
    }

    async fn program(chat: &Chat, hello: Value) -> (Self, Value) {
        let (near, mut far) = Session::pair(Framing::Line);
        far.send(hello.to_string()).await.unwrap();
        let mut peer = Self::new(chat, (near, far));
        let welcome = peer.event("welcome").await;
        (peer, welcome)
    }

    async fn say(&mut self, line: &str) {
        self.far.send(line.to_owned()).await.unwrap();
    }

    async fn ask(&mut self, what: Value) {
        self.say(&what.to_string()).await;
    }

    async fn line(&mut self) -> String {
        let received = timeout(Duration::from_secs(20), self.far.recv()).await;
        let message = received.expect("nothing came").unwrap().expect("it ended");
        message.text().unwrap().to_owned()
    }

    /// The next line that says this.
    async fn until(&mut self, words: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn next(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    async fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["event"] == name {
                return event;
            }
        }
    }

    async fn end(mut self) {
        self.far.finish().await.unwrap();
        while self.far.recv().await.unwrap().is_some() {}
        self.served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn people_and_programs_hear_each_other() {
    let chat = chat();
    let mut ann = Peer::person(&chat).await;
    ann.say("/name ann").await;
    assert_eq!(ann.line().await, "* you are ann now");
    let (mut bot, welcome) = Peer::program(&chat, json!({"do": "hello", "name": "bot"})).await;
    assert_eq!(
        (&welcome["v"], &welcome["name"]),
        (&json!(1), &json!("bot"))
    );
    assert_eq!(bot.event("joined").await["people"], json!(["ann", "bot"]));
    assert_eq!(ann.line().await, "* bot came in");
    ann.say("hello bot").await;
    let line = bot.event("line").await;
    assert_eq!(
        (&line["id"], &line["from"], &line["text"]),
        (&json!(1), &json!("ann"), &json!("hello bot"))
    );
    assert!(line.get("tag").is_none(), "{line}");
    bot.ask(json!({"do": "say", "room": "lobby", "text": "你好", "tag": "7"}))
        .await;
    // Which of them comes first is not said.
    let (a, b) = (bot.next().await, bot.next().await);
    let (line, done) = if a["event"] == "line" { (a, b) } else { (b, a) };
    assert_eq!(
        (&line["event"], &line["tag"]),
        (&json!("line"), &json!("7"))
    );
    assert_eq!(
        (&done["event"], &done["tag"]),
        (&json!("done"), &json!("7"))
    );
    assert_eq!((&line["id"], &done["id"]), (&json!(2), &json!(2)));
    assert_eq!(ann.line().await, "bot: 你好");
    ann.say("/me waves").await;
    assert_eq!(bot.event("line").await["kind"], "me");
    bot.ask(json!({"do": "tell", "to": "ANN", "text": "psst"}))
        .await;
    assert_eq!(ann.line().await, "-> bot tells you: psst");
    ann.end().await;
    assert_eq!(bot.event("went").await["name"], "ann");
    bot.end().await;
}

#[tokio::test]
async fn own_lines_do_not_come_back_to_people() {
    let chat = chat();
    let mut ann = Peer::person(&chat).await;
    let mut bob = Peer::person(&chat).await;
    ann.say("one").await;
    bob.until("one").await;
    bob.say("two").await;
    assert!(ann.line().await.ends_with(": two"));
    ann.end().await;
    bob.end().await;
}

#[tokio::test]
async fn what_a_person_says_last_is_said_although_they_leave_at_once() {
    let chat = chat();
    let (near, mut far) = Session::pair(Framing::Raw);
    far.send(&b"/name ann\nfirst\nlast, without an end"[..])
        .await
        .unwrap();
    Peer::new(&chat, (near, far)).end().await;
    let mut bob = Peer::person(&chat).await;
    bob.until("ann: first").await;
    assert!(bob.line().await.ends_with("ann: last, without an end"));
    bob.end().await;
}

#[tokio::test]
async fn a_program_comes_back_where_it_was() {
    let chat = chat();
    let (mut bot, welcome) = Peer::program(&chat, json!({"do": "hello", "name": "bot"})).await;
    for n in 1..=3 {
        bot.ask(json!({"do": "say", "room": "lobby", "text": n.to_string(), "tag": n.to_string()}))
            .await;
        assert_eq!(bot.event("done").await["id"], n);
    }
    bot.end().await;
    let mut ann = Peer::person(&chat).await;
    ann.say("while you were away").await;
    // It was said when somebody else has heard it.
    let mut carl = Peer::person(&chat).await;
    carl.until("while you were away").await;
    let hello = json!({"do": "hello", "resume": welcome["resume"], "rooms": {"lobby": 2}});
    let (mut bot, welcome) = Peer::program(&chat, hello).await;
    assert_eq!(welcome["name"], "bot");
    assert_eq!(bot.event("joined").await["after"], 2);
    assert_eq!(bot.event("line").await["id"], 3);
    assert_eq!(bot.event("line").await["text"], "while you were away");
    // The same tag again is the same line.
    bot.ask(json!({"do": "say", "room": "lobby", "text": "3", "tag": "3"}))
        .await;
    assert_eq!(bot.event("done").await["id"], 3);
    bot.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_tag() {
    let chat = chat();
    let (mut bot, _) = Peer::program(&chat, json!({"do": "hello"})).await;
    for (ask, why) in [
        (r#"{"do":"dance","tag":"t"}"#, "unknown"),
        (r#"{"do":"say","tag":"t"}"#, "malformed"),
        (
            r#"{"do":"say","room":"nowhere","text":"x","tag":"t"}"#,
            "not-there",
        ),
        (r#"{"do":"name","name":"a b","tag":"t"}"#, "name-unfit"),
        (
            r#"{"do":"history","before":1,"after":2,"tag":"t"}"#,
            "malformed",
        ),
    ] {
        bot.say(ask).await;
        let refused = bot.event("refused").await;
        assert_eq!(
            (&refused["why"], &refused["tag"]),
            (&json!(why), &json!("t")),
            "{ask}"
        );
    }
    for nonsense in ["nonsense", "[1]", "{\"do\":", "{\"do\":7}", "{}"] {
        bot.say(nonsense).await;
        assert_eq!(bot.event("refused").await["why"], "malformed", "{nonsense}");
    }
    bot.say("").await;
    bot.ask(json!({"do": "ping", "tag": "p"})).await;
    assert_eq!(bot.event("pong").await["tag"], "p");
    bot.end().await;
}

#[tokio::test]
async fn hostile_lines_are_told_of_and_harm_nobody() {
    let chat = chat();
    let mut eve = Peer::person(&chat).await;
    let mut ann = Peer::person(&chat).await;
    eve.far.send(b"\xff\xfe\n".to_vec()).await.unwrap();
    assert!(
        eve.line().await.starts_with("* "),
        "it is told that this is no text"
    );
    eve.far.send(vec![b'x'; 1_000_000]).await.unwrap();
    assert!(eve.until("too long").await.contains("1000000 bytes"));
    eve.say("\u{1b}[2Jboo").await;
    let heard = ann.until("boo").await;
    assert!(!heard.contains('\u{1b}'), "{heard:?}");
    for _ in 0..100 {
        eve.say("flood").await;
    }
    eve.until("too fast").await;
    eve.end().await;
    ann.end().await;
}

#[tokio::test]
async fn messages_with_boundaries_end_as_the_peers_do() {
    let chat = chat();
    let mut bare = Peer::new(&chat, Session::packet_pair());
    bare.line().await;
    assert!(!bare.line().await.ends_with('\n'));
    bare.say("/who").await;
    assert!(!bare.line().await.ends_with('\n'));
    bare.say("/who\n").await;
    assert!(bare.line().await.ends_with('\n'));
    bare.far.finish().await.unwrap();
}

#[tokio::test]
async fn the_end_is_told() {
    let chat = chat();
    let mut ann = Peer::person(&chat).await;
    chat.shutdown().await;
    assert_eq!(ann.line().await, "* the server stops");
    assert!(ann.far.recv().await.unwrap().is_none());
    ann.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_say_where_and_how() {
    let chat = chat();
    let mut ann = Peer::person(&chat).await;
    let request = http::Request::get("/?room=lobby&view=events&name=reader");
    let answer = chat
        .http(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let Answer::Response(mut response) = answer else {
        panic!("it is no answer");
    };
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    ann.say("fish").await;
    let mut events = String::new();
    while !events.contains("fish") {
        let data = timeout(Duration::from_secs(20), response.body_mut().data()).await;
        let data = data.unwrap().unwrap().unwrap();
        events.push_str(str::from_utf8(&data).unwrap());
    }
    let mut events = events.split("\n\n");
    let fish = events.find(|event| event.contains("fish")).unwrap();
    assert!(fish.starts_with("id: 1\ndata: {\"v\":1,"), "{fish}");
    drop(response);
    ann.until("reader came in").await;
    ann.until("reader left").await;
    ann.end().await;
}

/// A request of a field or two that may or may not fit together, and lines that are none.
fn requests() -> impl Strategy<Value = String> {
    let what = r"hello|\\u001b\[2J|\\u202e|say|me|join|part|name|tell|history|who|rooms|topic|kick|mute|ban|token|resume|moderate|[a-z\x1b\x{202e}]{0,3}";
    let field = "room|text|name|to|tag|before|after|since|words|limit|minutes|rooms|resume";
    let value = r#""[^"\\]{0,6}"|-?[0-9]{1,20}|null|\{"a":1\}|\[\]|true"#;
    let object = (what, prop::collection::vec((field, value), 0..4)).prop_map(|(what, fields)| {
        let fields = fields
            .iter()
            .map(|(field, value)| format!(r#","{field}":{value}"#));
        format!(r#"{{"do":"{what}"{}}}"#, fields.collect::<String>())
    });
    let command = "/(name|join|msg|history|kick|mute|topic|me|[a-z]{0,3}|\\PC{0,3}) ?(from|since|search|)? ?[^\n]{0,12}";
    prop_oneof![object, command, any::<String>()]
}

proptest! {
    #[test]
    fn whatever_comes_is_understood_or_refused_in_words(line in requests(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let refusals = [
            json::read(line.as_bytes()).err().map(|(refusal, _)| refusal),
            json::read(&bytes).err().map(|(refusal, _)| refusal),
            text::read(&line).err(),
        ];
        json::is_spoken(&bytes);
        for refusal in refusals.into_iter().flatten() {
            prop_assert!(refusal.text.chars().all(wire::text::is_printable), "{:?}", refusal.text);
        }
    }
}

/// A peer whose packets may be forged.
fn forgeable(chat: &Chat) -> Peer {
    let (near, far) = Session::packet_pair();
    let at = |at: &str| crate::session::Endpoint::Net(at.parse().unwrap());
    let identity = Identity::new(
        crate::session::Side::Accepted,
        "udp",
        at("192.0.2.1:3000"),
        at("192.0.2.7:9"),
    );
    Peer::new(
        chat,
        (Session::new(near.into_link(), identity, 65_507), far),
    )
}

#[tokio::test]
async fn an_address_that_may_be_forged_is_sent_three_times_what_came_until_it_says_the_word() {
    const HEADS: usize = 28;
    let chat = chat();
    let mut ann = Peer::person(&chat).await;
    let mut udp = forgeable(&chat);
    let (mut came, mut sent) = (0, 0);
    let mut word = None;
    for turn in 0..10 {
        let text = if turn % 2 == 0 { "/history 200" } else { "hi" };
        came += text.len() + HEADS;
        udp.say(text).await;
        ann.say(&format!("something long that others say meanwhile {turn}"))
            .await;
        // What comes later is counted with the next: never may it be more than that.
        while let Ok(message) = timeout(Duration::from_millis(50), udp.far.recv()).await {
            let text = message.unwrap().unwrap().text().unwrap().to_owned();
            sent += text.len() + HEADS;
            if let Some((_, rest)) = text.split_once("type /here ") {
                word = rest.split(' ').next().map(str::to_owned);
            }
        }
        assert!(sent <= 3 * came, "{sent} for {came}");
        assert!(turn > 0 || word.is_some(), "it is asked at once");
    }
    assert!(sent > came, "it is not left without anything");
    let word = word.unwrap();
    udp.say("/here 00000z").await;
    udp.say(&format!("/here {word}")).await;
    udp.until("* you hear everything now").await;
    ann.say("the end").await;
    udp.until("the end").await;
    for n in 0..20 {
        ann.say(&format!("again something long that others say {n}"))
            .await;
    }
    udp.until("others say 19").await;
}

#[tokio::test]
async fn the_word_cannot_be_guessed() {
    let chat = chat();
    let mut udp = forgeable(&chat);
    udp.say(r#"{"do":"hello"}"#).await;
    let again: Value = serde_json::from_str(&udp.until("again").await).unwrap();
    let word = again["here"].as_str().unwrap().to_owned();
    // Of what is answered as much comes back as was sent for, so that they are many before one is read.
    let mut say = async |word: &str, tag: &str| {
        let tag = tag.repeat(64);
        udp.ask(json!({"do": "here", "here": word, "tag": tag}))
            .await;
    };
    for _ in 0..5 {
        say("wrong", "x").await;
    }
    say(&word, "y").await;
    for _ in 0..5 {
        say("wrong", "z").await;
    }
    assert!(udp.until("yyy").await.contains("password"));
}
