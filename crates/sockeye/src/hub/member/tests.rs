//! People in rooms, without sessions.

use std::time::Duration;

use super::*;
use crate::hub::{HubOptions, LineKind};

fn hub() -> Hub {
    let options = HubOptions {
        rate: None,
        ..HubOptions::default()
    };
    Hub::open(options).unwrap()
}

async fn somebody(hub: &Hub, name: &str) -> Member {
    let mut member = hub.member(None);
    member.take_name(name, None).await.unwrap();
    member.enter("lobby", None, 20).await.unwrap();
    member
}

async fn say(member: &mut Member, text: &str) -> u64 {
    let kept = member
        .say("lobby", LineKind::Say, text, None)
        .await
        .unwrap();
    kept.await.unwrap().id
}

/// Says the numbers below `end`, all of them at once.
async fn count(member: &mut Member, end: usize) {
    let mut kept = Vec::new();
    for n in 0..end {
        let text = n.to_string();
        let said = member.say("lobby", LineKind::Say, &text, None).await;
        kept.push(said.unwrap());
    }
    for kept in kept {
        kept.await.unwrap();
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Said(said) => format!("{} {}: {}", said.line.id, said.line.from, said.line.text),
        Event::Came { name } => format!("+{name}"),
        Event::Went { name } => format!("-{name}"),
        Event::Renamed { name, to } => format!("{name}={to}"),
    }
}

/// The news as people would tell them, up to a line that says `last`.
async fn heard(member: &mut Member, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let news = tokio::time::timeout(Duration::from_secs(20), member.news()).await;
        match news.expect("there is more news") {
            News::Event { event, .. } => all.push(told(&event)),
            News::Run { run, .. } => all.extend(run.lines().map(|line| told(line))),
            News::Past { lines, .. } => {
                all.extend(
                    lines
                        .iter()
                        .map(|line| format!("({}) {}: {}", line.id, line.from, line.text)),
                );
            }
            News::Missed { from, to, .. } => all.push(format!("missed {from}-{to}")),
            News::Told(told) => all.push(format!("{} -> {}: {}", told.from, told.to, told.text)),
            News::Parted { room, why } => all.push(format!("out of {room}: {why}")),
            News::Notice(text) | News::Bye(text) => all.push(text.to_string()),
        }
        if all.last().is_some_and(|line| line.ends_with(last)) {
            return all;
        }
    }
}

#[tokio::test]
async fn everyone_hears_everything_in_one_order() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    let mut bob = somebody(&hub, "bob").await;
    for n in 0..50 {
        say(
            if n % 2 == 0 { &mut ann } else { &mut bob },
            &format!("line {n}"),
        )
        .await;
    }
    let lines = |heard: Vec<String>| -> Vec<String> {
        heard
            .into_iter()
            .filter(|line| line.contains("line"))
            .collect()
    };
    let anns = lines(heard(&mut ann, "line 49").await);
    let bobs = lines(heard(&mut bob, "line 49").await);
    assert_eq!(anns.len(), 50);
    assert_eq!(anns, bobs);
    assert_eq!(anns[0], "1 ann: line 0");
    assert_eq!(anns[49], "50 bob: line 49");
}

#[tokio::test]
async fn in_a_large_room_nobody_is_forgotten() {
    let hub = hub();
    let mut all = Vec::new();
    for n in 0..50 {
        all.push(somebody(&hub, &format!("m{n}")).await);
    }
    for round in 0..3 {
        // All of them wait, and are woken.
        let mut listening = tokio::task::JoinSet::new();
        for mut member in all.split_off(1) {
            listening.spawn(async move {
                let heard = heard(&mut member, "the end").await;
                let said = heard.iter().filter(|line| line.contains(" m0: ")).count();
                (member, said)
            });
        }
        for n in 0..99 {
            say(&mut all[0], &format!("{round} {n}")).await;
        }
        say(&mut all[0], "the end").await;
        while let Some(heard) = listening.join_next().await {
            let (member, said) = heard.unwrap();
            assert_eq!(said, 100, "{} in round {round}", member.name());
            all.push(member);
        }
    }
}

#[tokio::test]
async fn who_comes_later_reads_what_was_said_and_then_hears_the_rest_without_a_gap() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    for n in 1..=30 {
        say(&mut ann, &n.to_string()).await;
    }
    let mut bob = hub.member(None);
    let entered = bob.enter("lobby", None, 5).await.unwrap();
    assert_eq!((entered.first, entered.last, entered.after), (1, 30, 25));
    say(&mut ann, "31").await;
    let told = heard(&mut bob, ": 31").await;
    let expected = [
        "(26) ann: 26",
        "(27) ann: 27",
        "(28) ann: 28",
        "(29) ann: 29",
        "(30) ann: 30",
        "31 ann: 31",
    ];
    assert_eq!(told, expected);
    let mut carl = hub.member(None);
    assert_eq!(carl.enter("#Lobby", Some(29), 5).await.unwrap().after, 29);
    assert_eq!(
        heard(&mut carl, ": 31").await,
        ["(30) ann: 30", "(31) ann: 31"]
    );
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_what_was_missed_and_can_fetch_it() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    let mut slow = somebody(&hub, "slow").await;
    say(&mut ann, "first").await;
    heard(&mut slow, "first").await;
    count(&mut ann, super::super::ring::EVENTS + 100).await;
    let last = say(&mut ann, "the end").await;
    let told = heard(&mut slow, "the end").await;
    let lost = last - super::super::ring::EVENTS as u64;
    assert_eq!(told[0], format!("missed 2-{lost}"));
    assert_eq!(told.len() as u64, 1 + last - lost);
    let found = slow.look("lobby", Look::After(1), 2).await.unwrap();
    assert_eq!(
        found
            .lines
            .iter()
            .map(|line| &*line.text)
            .collect::<Vec<_>>(),
        ["0", "1"]
    );
    assert!(found.more);
}

#[tokio::test]
async fn who_comes_back_misses_nothing_however_long_it_was() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    count(&mut ann, 3 * PAGE).await;
    let mut bob = hub.member(None);
    bob.enter("lobby", Some(10), 20).await.unwrap();
    // What leaves the ring while they read the past is read from the store as well.
    count(&mut ann, super::super::ring::EVENTS + 50).await;
    let last = say(&mut ann, "the end").await;
    let told = heard(&mut bob, "the end").await;
    let ids = told.iter().map(|line| {
        let id = line
            .trim_start_matches('(')
            .split([')', ' '])
            .next()
            .unwrap();
        id.parse::<u64>().unwrap_or_else(|_| panic!("{line}"))
    });
    assert!(ids.eq(11..=last), "{} lines", told.len());
}

#[tokio::test]
async fn a_name_with_a_password_stays_its_owners() {
    let hub = hub();
    let mut ann = hub.member(None);
    ann.take_name("Ann", Some("correct horse")).await.unwrap();
    let mut eve = hub.member(None);
    for (name, password, why) in [
        ("Ann", None, Why::Password),
        ("ann", Some("wrong password"), Why::Password),
        ("Аnn", None, Why::Password),
        ("guest-1", None, Why::NameUnfit),
        ("\u{202e}nnA", None, Why::NameUnfit),
    ] {
        assert_eq!(
            eve.take_name(name, password).await.unwrap_err().why,
            why,
            "{name}"
        );
    }
    assert!(eve.is_guest());
    let mut phone = hub.member(None);
    assert_eq!(
        &*phone.take_name("ANN", Some("correct horse")).await.unwrap(),
        "ANN"
    );
    drop((ann, phone));
    assert_eq!(
        eve.take_name("ann", None).await.unwrap_err().why,
        Why::Password
    );
    for _ in 0..ATTEMPTS {
        assert!(
            eve.take_name("ann", Some("guess number one"))
                .await
                .is_err()
        );
    }
    let refusal = eve
        .take_name("ann", Some("correct horse"))
        .await
        .unwrap_err();
    assert!(refusal.text.contains("too many"), "{refusal}");
}

#[tokio::test]
async fn a_token_brings_the_same_person_back_and_nobody_else() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    let token = ann.token().await.unwrap();
    let mut same = hub.member(None);
    assert_eq!(&*same.come_back(&token).await.unwrap(), "ann");
    drop((ann, same));
    let mut eve = hub.member(None);
    assert_eq!(
        eve.take_name("ann", None).await.unwrap_err().why,
        Why::NameTaken
    );
    assert!(eve.come_back("AAAA").await.is_err());
    let mut back = hub.member(None);
    assert_eq!(&*back.come_back(&token).await.unwrap(), "ann");
}

#[tokio::test]
async fn a_name_waits_only_for_those_who_can_come_back_under_it() {
    let hub = hub();
    drop(somebody(&hub, "ann").await);
    let mut ann = somebody(&hub, "ann").await;
    let token = ann.token().await.unwrap();
    ann.take_name("anna", None).await.unwrap();
    drop(ann);
    let mut eve = somebody(&hub, "ann").await;
    let refusal = eve.take_name("anna", None).await.unwrap_err();
    assert_eq!(refusal.why, Why::NameTaken);
    let mut back = hub.member(None);
    assert_eq!(&*back.come_back(&token).await.unwrap(), "anna");
}

#[tokio::test]
async fn what_is_told_to_somebody_absent_waits_for_them() {
    let hub = hub();
    let mut ann = hub.member(None);
    ann.take_name("ann", Some("correct horse")).await.unwrap();
    let mut bob = somebody(&hub, "bob").await;
    assert!(!bob.tell("ann", "here").await.unwrap());
    assert_eq!(heard(&mut ann, "here").await, ["bob -> ann: here"]);
    drop(ann);
    assert!(bob.tell("ANN", "later").await.unwrap());
    assert_eq!(
        bob.tell("nobody", "x").await.unwrap_err().why,
        Why::NotThere
    );
    let mut ann = hub.member(None);
    ann.take_name("ann", Some("correct horse")).await.unwrap();
    let News::Told(told) = ann.news().await else {
        panic!("it was not told");
    };
    assert!(told.was_kept());
    assert_eq!(&*told.text, "later");
    ann.told(&told).await;
    drop(ann);
    let mut ann = hub.member(None);
    ann.take_name("ann", Some("correct horse")).await.unwrap();
    assert!(ann.try_news().is_none(), "it is told once");
}

#[tokio::test]
async fn owners_give_orders_and_others_do_not() {
    let hub = hub();
    let mut ann = hub.member(None);
    ann.take_name("ann", Some("correct horse")).await.unwrap();
    ann.enter("dev", None, 0).await.unwrap();
    let mut eve = hub.member(None);
    eve.take_name("eve", None).await.unwrap();
    let entered = eve.enter("dev", None, 0).await.unwrap();
    assert_eq!(entered.owners, ["ann"]);
    let refusal = eve.order("dev", Order::Kick, "ann", "").await.unwrap_err();
    assert_eq!(refusal.why, Why::NotOwner);
    let mute = Order::Mute(Some(Duration::from_secs(600)));
    ann.order("dev", mute, "eve", "spam")
        .await
        .unwrap()
        .await
        .unwrap();
    let refusal = eve.say("dev", LineKind::Say, "x", None).await.unwrap_err();
    assert_eq!(refusal.why, Why::Muted);
    assert!(refusal.text.contains(" until "), "{refusal}");
    ann.order("dev", Order::Unmute, "eve", "")
        .await
        .unwrap()
        .await
        .unwrap();
    eve.say("dev", LineKind::Say, "x", None)
        .await
        .unwrap()
        .await
        .unwrap();
    ann.order("dev", Order::Ban(None), "eve", "again")
        .await
        .unwrap()
        .await
        .unwrap();
    let told = heard(&mut eve, "banned eve: again").await;
    assert_eq!(told.last().unwrap(), "out of dev: ann banned eve: again");
    assert_eq!(
        eve.enter("dev", None, 0).await.unwrap_err().why,
        Why::Banned
    );
    assert_eq!(
        eve.look("dev", Look::Latest, 5).await.unwrap_err().why,
        Why::Banned
    );
    assert_eq!(
        ann.order("dev", Order::Unban, "bob", "")
            .await
            .unwrap_err()
            .why,
        Why::NotThere
    );
    ann.order("dev", Order::Unban, "eve", "")
        .await
        .unwrap()
        .await
        .unwrap();
    eve.enter("dev", None, 0).await.unwrap();
    ann.set_topic("dev", "fish").await.unwrap().await.unwrap();
    assert_eq!(eve.topic("dev").await.unwrap(), "fish");
    assert_eq!(
        eve.set_topic("dev", "x").await.unwrap_err().why,
        Why::NotOwner
    );
}

#[tokio::test]
async fn limits_are_told() {
    let hub = Hub::open(HubOptions::default()).unwrap();
    let mut ann = somebody(&hub, "ann").await;
    let long = "x".repeat(crate::hub::MAX_LINE + 1);
    assert_eq!(
        ann.say("lobby", LineKind::Say, &long, None)
            .await
            .unwrap_err()
            .why,
        Why::Length
    );
    assert_eq!(
        ann.say("lobby", LineKind::Say, " ", None)
            .await
            .unwrap_err()
            .why,
        Why::Malformed
    );
    assert_eq!(
        ann.say("dev", LineKind::Say, "x", None)
            .await
            .unwrap_err()
            .why,
        Why::NotThere
    );
    let refusal = loop {
        if let Err(refusal) = ann.say("lobby", LineKind::Say, "x", None).await {
            break refusal;
        }
    };
    assert_eq!(refusal.why, Why::Rate);
    assert!(refusal.wait.is_some());
}

#[tokio::test]
async fn a_line_that_is_said_twice_with_one_tag_is_one() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    let first = ann
        .say("lobby", LineKind::Say, "once", Some("t"))
        .await
        .unwrap()
        .await
        .unwrap();
    let again = ann
        .say("lobby", LineKind::Say, "once", Some("t"))
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!((first.id, first.was_there), (1, false));
    assert_eq!((again.id, again.was_there), (1, true));
}

#[tokio::test]
async fn people_come_and_go_and_guests_unseen() {
    let hub = hub();
    let mut ann = somebody(&hub, "ann").await;
    let guest = {
        let mut guest = hub.member(None);
        guest.enter("lobby", None, 0).await.unwrap();
        guest
    };
    drop(guest);
    let mut bob = somebody(&hub, "bob").await;
    bob.take_name("rob", None).await.unwrap();
    drop(bob);
    assert_eq!(
        heard(&mut ann, "-rob").await,
        ["+ann", "+bob", "bob=rob", "-rob"]
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_much_is_told_and_may_still_speak() {
    let hub = Hub::open(HubOptions::default()).unwrap();
    let mut ann = somebody(&hub, "ann").await;
    say(&mut ann, "one").await;
    let mut refusal = None;
    for asked in 0.. {
        let done = match asked % 4 {
            0 => ann.list().await.map(drop),
            1 => ann.who("lobby").await.map(drop),
            2 => ann.topic("lobby").await.map(drop),
            _ => ann.look("lobby", Look::Latest, 10).await.map(drop),
        };
        if let Err(why) = done {
            assert_eq!(asked, looks::LOOKS.burst, "{why:?}");
            refusal = Some(why);
            break;
        }
    }
    let refusal = refusal.unwrap();
    assert_eq!(refusal.why, Why::Rate);
    say(&mut ann, "two").await;
    tokio::time::advance(refusal.wait.unwrap()).await;
    assert_eq!(
        ann.look("lobby", Look::Latest, 10)
            .await
            .unwrap()
            .lines
            .len(),
        2
    );
    assert!(ann.list().await.is_err());
}

#[tokio::test]
async fn rooms_are_listed_with_what_they_are_about() {
    let hub = hub();
    let (mut ann, mut bob) = (hub.member(None), hub.member(None));
    for room in ["lobby", "dev", "quiet"] {
        ann.enter(room, None, 20).await.unwrap();
    }
    bob.enter("dev", None, 20).await.unwrap();
    ann.set_topic("dev", "fish").await.unwrap().await.unwrap();
    ann.part("lobby").unwrap();
    let said = ann.say("dev", LineKind::Say, "hello", None).await.unwrap();
    said.await.unwrap();
    let facts = bob.list().await.unwrap();
    let facts: Vec<_> = facts
        .iter()
        .map(|facts| (&*facts.room, &*facts.topic, facts.people, facts.last))
        .collect();
    assert_eq!(facts, [("dev", "fish", 2, 2), ("quiet", "", 1, 0)]);
}
