//! The store in memory and on disk: what is kept, what is found, what goes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use jiff::SignedDuration;

use super::*;
use crate::hub::line::LineKind;

mod plans;
mod searching;

const FOR_EVER: Retention = Retention {
    age: None,
    lines: None,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What the feed was given.
#[derive(Clone, Default)]
struct Fed(Arc<Mutex<Vec<Arc<Line>>>>);

impl Fed {
    fn lines(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.0.lock().unwrap()
    }

    fn feed(&self) -> impl FnMut(&[Arc<Line>]) + Send + 'static {
        let fed = self.clone();
        move |lines| fed.lines().extend_from_slice(lines)
    }
}

/// A clock that is set by hand, in milliseconds.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn at(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds * 1000)))
    }

    fn set(&self, seconds: i64) {
        self.0.store(seconds * 1000, Ordering::SeqCst);
    }

    fn pace(&self, every: Duration) -> Pace {
        let clock = self.clone();
        Pace {
            clock: Box::new(move || second(0) + clock.passed()),
            every,
        }
    }

    fn passed(&self) -> SignedDuration {
        SignedDuration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn in_memory() -> Store {
    Store::open(None, FOR_EVER, |_| {}).unwrap()
}

fn says(room: &str, from: &str, text: &str) -> Draft {
    Draft {
        room: room.into(),
        from: from.into(),
        kind: LineKind::Say,
        text: text.into(),
        tag: None,
    }
}

fn tagged(room: &str, from: &str, text: &str, tag: &str) -> Draft {
    Draft {
        tag: Some(tag.into()),
        ..says(room, from, text)
    }
}

fn line(room: &str, id: u64, text: &str) -> Arc<Line> {
    let draft = says(room, "ann", text);
    Arc::new(Line {
        id,
        time: second(id.min(1_000_000) as i64),
        room: draft.room,
        from: draft.from,
        kind: draft.kind,
        text: draft.text,
        tag: None,
    })
}

async fn ids(store: &Store, room: &str, span: Span, limit: usize) -> Vec<u64> {
    let lines = store.lines(room, span, limit).await.unwrap();
    lines.iter().map(|line| line.id).collect()
}

/// Waits until the first and last ids of the room are these.
async fn wait_for_bounds(store: &Store, room: &str, bounds: (u64, u64)) {
    let waiting = async {
        while store.bounds(room).await.unwrap() != bounds {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .is_err()
    {
        let now = store.bounds(room).await.unwrap();
        panic!("{room} has {now:?}, and not {bounds:?}");
    }
}

#[tokio::test]
async fn a_line_is_read_as_its_receipt_and_the_feed_told() {
    let fed = Fed::default();
    let store = Store::open(None, FOR_EVER, fed.feed()).unwrap();
    let draft = Draft {
        kind: LineKind::Topic,
        ..tagged("lobby", "李雷", "天气 🙂 \"' %_", "t1")
    };
    let receipt = store.append(draft.clone()).await.unwrap();
    assert_eq!((receipt.id, receipt.was_there), (1, false));
    let expected = Line {
        id: 1,
        time: receipt.time,
        room: draft.room,
        from: draft.from,
        kind: draft.kind,
        text: draft.text,
        tag: draft.tag,
    };
    let read = store.lines("lobby", Span::Last, 10).await.unwrap();
    assert_eq!(read, std::slice::from_ref(&expected));
    assert_eq!(*fed.lines(), [Arc::new(expected)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ids_have_no_gaps_and_the_feed_is_told_before_the_senders() {
    let fed = Fed::default();
    let store = Store::open(None, FOR_EVER, fed.feed()).unwrap();
    let sending = (0..16).map(|sender| {
        let (store, fed) = (store.clone(), fed.clone());
        async move {
            for number in 0..50 {
                let room = format!("room{}", (sender + number) % 3);
                let draft = says(&room, &format!("p{sender}"), &format!("{number}"));
                let receipt = store.append(draft).await.unwrap();
                let fed = fed.lines();
                let mut told = fed.iter().rev();
                assert!(told.any(|line| *line.room == *room && line.id == receipt.id));
            }
        }
    });
    futures_util::future::join_all(sending).await;
    for room in ["room0", "room1", "room2"] {
        let kept = ids(&store, room, Span::Last, 1000).await;
        let fed = fed.lines();
        let told = fed.iter().filter(|line| *line.room == *room);
        let told: Vec<u64> = told.map(|line| line.id).collect();
        assert_eq!(kept, told, "{room}");
        assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "{room}");
    }
    assert_eq!(fed.lines().len(), 16 * 50);
}

#[tokio::test]
async fn a_repeated_tag_gets_the_old_receipt() {
    let fed = Fed::default();
    let store = Store::open(None, FOR_EVER, fed.feed()).unwrap();
    let draft = tagged("lobby", "ann", "hello", "1");
    // Both in one commit, or one after the other.
    let (one, two) = futures_util::join!(store.append(draft.clone()), store.append(draft.clone()));
    let (one, two) = (one.unwrap(), two.unwrap());
    let again = store.append(draft).await.unwrap();
    assert!(!one.was_there && two.was_there && again.was_there);
    assert_eq!((one.id, one.time), (two.id, two.time));
    assert_eq!((one.id, one.time), (again.id, again.time));
    for other in [
        tagged("lobby", "bob", "hello", "1"),
        tagged("dev", "ann", "hello", "1"),
        tagged("lobby", "ann", "hello", "2"),
        says("lobby", "ann", "hello"),
        says("lobby", "ann", "hello"),
    ] {
        assert!(
            !store.append(other.clone()).await.unwrap().was_there,
            "{other:?}"
        );
    }
    assert_eq!(fed.lines().len(), 6);
}

#[tokio::test]
async fn pages_are_cut_where_they_are_asked_for() {
    let store = in_memory();
    for number in 1..=20 {
        store
            .append(says("lobby", "ann", &number.to_string()))
            .await
            .unwrap();
        store.append(says("dev", "ann", "beside it")).await.unwrap();
    }
    for (span, limit, expected) in [
        (Span::Last, 3, 18..=20),
        (Span::Last, 100, 1..=20),
        (Span::Before(5), 3, 2..=4),
        (Span::Before(3), 10, 1..=2),
        (Span::Before(u64::MAX), 1, 20..=20),
        (Span::After(5), 3, 6..=8),
        (Span::After(0), 2, 1..=2),
        (Span::After(18), 10, 19..=20),
    ] {
        let found = ids(&store, "lobby", span, limit).await;
        assert_eq!(found, expected.collect::<Vec<_>>(), "{span:?}");
    }
    for span in [
        Span::Before(0),
        Span::Before(1),
        Span::After(20),
        Span::After(u64::MAX),
    ] {
        assert!(ids(&store, "lobby", span, 10).await.is_empty(), "{span:?}");
    }
    assert!(ids(&store, "nowhere", Span::Last, 10).await.is_empty());
    assert!(ids(&store, "lobby", Span::Last, 0).await.is_empty());
    assert_eq!(store.bounds("lobby").await.unwrap(), (1, 20));
    assert_eq!(store.bounds("nowhere").await.unwrap(), (0, 0));
    let rooms = store.rooms().await.unwrap();
    let rooms: Vec<_> = rooms.iter().map(|room| (&*room.name, room.last)).collect();
    assert_eq!(rooms, [("dev", 20), ("lobby", 20)]);
}

#[tokio::test]
async fn since_begins_with_the_first_line_of_that_time() {
    let clock = Clock::at(0);
    let store = Store::open_with(None, FOR_EVER, |_| {}, clock.pace(HOUR)).unwrap();
    for at in [10, 10, 20, 30, 30, 40] {
        clock.set(at);
        store.append(says("lobby", "ann", "tick")).await.unwrap();
    }
    for (since, first) in [
        (0, 1),
        (10, 1),
        (11, 3),
        (20, 3),
        (30, 4),
        (31, 6),
        (40, 6),
        (41, 7),
    ] {
        let found = ids(&store, "lobby", Span::Since(second(since)), 100).await;
        assert_eq!(found, (first..=6).collect::<Vec<_>>(), "since {since}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_takes_no_id_with_it() {
    let clock = Clock::at(1000);
    let store = Store::open_with(None, FOR_EVER, |_| {}, clock.pace(HOUR)).unwrap();
    let first = store.append(says("lobby", "ann", "now")).await.unwrap();
    clock.set(10);
    let second = store.append(says("lobby", "ann", "before?")).await.unwrap();
    assert!(second.time < first.time);
    assert_eq!((first.id, second.id), (1, 2));
}

#[tokio::test]
async fn lines_with_ids_are_inserted_once() {
    let fed = Fed::default();
    let store = Store::open(None, FOR_EVER, fed.feed()).unwrap();
    let lines = |ids: &[u64]| ids.iter().map(|id| line("lobby", *id, "x")).collect();
    store.insert(lines(&[5, 3, 4])).await.unwrap();
    store.insert(lines(&[2, 3, 6, 6])).await.unwrap();
    assert_eq!(ids(&store, "lobby", Span::Last, 10).await, [2, 3, 4, 5, 6]);
    let told: Vec<u64> = fed.lines().iter().map(|line| line.id).collect();
    assert_eq!(told, [3, 4, 5, 2, 6]);
    let next = store.append(says("lobby", "ann", "next")).await.unwrap();
    assert_eq!(next.id, 7);
    for unfit in [0, 1 << 40] {
        // An id of 0 is skipped: it is no line's.
        let refused = store.insert(lines(&[unfit])).await;
        assert_eq!(refused.is_err(), unfit != 0, "{unfit}");
    }
    assert_eq!(store.bounds("lobby").await.unwrap(), (2, 7));
}

#[tokio::test]
async fn one_that_cannot_be_kept_harms_no_other() {
    let store = in_memory();
    // Queued before the writer looks, so that they come into one commit or a few.
    let appends = (0..50).map(|number| store.append(says("lobby", "ann", &format!("{number}"))));
    let unfit = store.insert(vec![
        line("lobby", 100, "new"),
        line("lobby", 1 << 40, "unfit"),
    ]);
    let (receipts, unfit) = futures_util::join!(futures_util::future::join_all(appends), unfit);
    assert_eq!(
        unfit.unwrap_err().to_string(),
        "cannot write to the chat in memory: a line's id counts from 1, in 40 bits"
    );
    let told: Vec<u64> = receipts
        .into_iter()
        .map(|receipt| receipt.unwrap().id)
        .collect();
    assert_eq!(told, (1..=50).collect::<Vec<_>>());
    assert_eq!(ids(&store, "lobby", Span::Last, 100).await, told);
}

#[tokio::test]
async fn the_state_of_a_room_is_set_by_who_knows_it() {
    let store = in_memory();
    assert_eq!(store.state("lobby").await.unwrap(), None);
    store.append(says("lobby", "ann", "hello")).await.unwrap();
    assert_eq!(store.state("lobby").await.unwrap(), None);
    for (expected, json, set) in [
        (1, "{}", false),
        (0, "{}", true),
        (0, "[]", false),
        (1, "[1]", true),
    ] {
        let done = store.set_state("lobby", expected, json.to_owned()).await;
        assert_eq!(done.unwrap(), set, "{expected} {json}");
    }
    assert_eq!(
        store.state("lobby").await.unwrap(),
        Some((2, "[1]".to_owned()))
    );
    assert!(store.set_state("new", 0, "{}".to_owned()).await.unwrap());
    let rooms = store.rooms().await.unwrap();
    assert_eq!(rooms[1].name, "new".into());
}

#[tokio::test]
async fn people_tokens_and_mail_are_kept() {
    let store = in_memory();
    let ann = PersonRow {
        key: "ann".to_owned(),
        name: "Ann".to_owned(),
        password: Some("$argon2id$…".to_owned()),
        seen: second(7),
    };
    assert_eq!(store.person("ann").await.unwrap(), None);
    store.put_person(ann.clone()).await.unwrap();
    let later = PersonRow {
        seen: second(8),
        ..ann
    };
    store.put_person(later.clone()).await.unwrap();
    assert_eq!(store.person("ann").await.unwrap(), Some(later));

    let token = |byte, expires| TokenRow {
        hash: [byte; 32],
        key: "ann".to_owned(),
        name: "ann".to_owned(),
        expires,
    };
    let year_3000 = second(32_503_680_000);
    store.put_token(token(1, second(1))).await.unwrap();
    store.put_token(token(2, year_3000)).await.unwrap();
    assert_eq!(store.token(&[1; 32]).await.unwrap(), None);
    assert_eq!(
        store.token(&[2; 32]).await.unwrap(),
        Some(token(2, year_3000))
    );
    store.drop_tokens("bob").await.unwrap();
    assert!(store.token(&[2; 32]).await.unwrap().is_some());
    store.drop_tokens("ann").await.unwrap();
    assert_eq!(store.token(&[2; 32]).await.unwrap(), None);

    let mail = |number: i64| Mail {
        to_key: "ann".to_owned(),
        from: "bob".to_owned(),
        to: "Ann".to_owned(),
        text: format!("{number}"),
        time: second(number),
    };
    for number in 0..100 {
        assert!(store.keep_mail(mail(number)).await.unwrap());
    }
    assert!(
        !store.keep_mail(mail(100)).await.unwrap(),
        "the box is full"
    );
    let waiting = store.mail("ann").await.unwrap();
    assert_eq!(waiting.len(), 100);
    assert_eq!(waiting[41].1, mail(41));
    store.drop_mail("ann", waiting[97].0).await.unwrap();
    let texts = |waiting: Vec<(i64, Mail)>| {
        let texts = waiting.into_iter().map(|(_, mail)| mail.text);
        texts.collect::<Vec<_>>()
    };
    assert_eq!(texts(store.mail("ann").await.unwrap()), ["98", "99"]);
    assert!(store.mail("bob").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_refuses_lines_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let store = Store::open(Some(&path), FOR_EVER, |_| {}).unwrap();
    store.append(says("lobby", "ann", "first")).await.unwrap();
    let limit = |pages: i64| {
        // A limit of the writer's own connection is what a full disk is to SQLite.
        store.write("write to", 0, move |batch| {
            let set = batch.db.pragma_update(None, "max_page_count", pages);
            set.map_err(database::fault)
        })
    };
    limit(1).await.unwrap();
    let long = "long ".repeat(1000);
    let mut kept = vec![1];
    let mut refused = 0;
    for _ in 0..100 {
        match store.append(says("lobby", "ann", &long)).await {
            Ok(receipt) => kept.push(receipt.id),
            Err(error) => {
                assert!(matches!(error.fault, StoreFault::Full), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "only {refused} refused");
    assert_eq!(ids(&store, "lobby", Span::Last, 1000).await, kept);
    limit(1_000_000).await.unwrap();
    let next = store.append(says("lobby", "ann", &long)).await.unwrap();
    kept.push(next.id);
    assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>());
    assert_eq!(ids(&store, "lobby", Span::Last, 1000).await, kept);
    store.close().await.unwrap();
}

#[tokio::test]
async fn more_lines_than_are_kept_go_and_ids_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let keep = Retention {
        age: None,
        lines: Some(100),
    };
    let clock = Clock::at(1);
    let open = || {
        Store::open_with(
            Some(&path),
            keep,
            |_| {},
            clock.pace(Duration::from_millis(1)),
        )
        .unwrap()
    };
    let store = open();
    let lines: Vec<_> = (0..2000)
        .map(|n| store.append(tagged("lobby", "ann", &format!("word{n}"), &n.to_string())))
        .collect();
    let receipts = futures_util::future::join_all(lines).await;
    assert!(receipts.iter().all(Result::is_ok));
    store.append(says("small", "ann", "stays")).await.unwrap();
    wait_for_bounds(&store, "lobby", (1901, 2000)).await;
    assert_eq!(store.bounds("small").await.unwrap(), (1, 1));
    // Their words and tags are gone, too.
    let count = |what: &'static str| {
        store.read("read", move |db| {
            db.query_row(what, [], |row| row.get::<_, i64>(0))
        })
    };
    let orphans = "SELECT count(*) FROM words_docsize WHERE id NOT IN (SELECT key FROM lines)";
    assert_eq!(count(orphans).await.unwrap(), 0);
    assert_eq!(count("SELECT count(*) FROM lines").await.unwrap(), 101);
    assert!(
        !store
            .append(tagged("lobby", "ann", "again", "5"))
            .await
            .unwrap()
            .was_there
    );
    // What was deleted does not come back.
    store.insert(vec![line("lobby", 7, "old")]).await.unwrap();
    wait_for_bounds(&store, "lobby", (1902, 2001)).await;
    store.close().await.unwrap();
    let store = open();
    assert_eq!(
        store.append(says("lobby", "ann", "next")).await.unwrap().id,
        2002
    );
}

#[tokio::test]
async fn a_room_whose_lines_are_all_too_old_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let keep = Retention {
        age: Some(Duration::from_secs(60)),
        lines: None,
    };
    let clock = Clock::at(1000);
    let open = || {
        Store::open_with(
            Some(&path),
            keep,
            |_| {},
            clock.pace(Duration::from_millis(1)),
        )
        .unwrap()
    };
    let store = open();
    for _ in 0..3 {
        store.append(says("lobby", "ann", "old")).await.unwrap();
    }
    store.close().await.unwrap();
    // Whoever starts believes the clock.
    clock.set(1061);
    let store = open();
    wait_for_bounds(&store, "lobby", (0, 0)).await;
    assert_eq!(store.rooms().await.unwrap()[0].last, 3);
    assert_eq!(
        store.append(says("lobby", "ann", "new")).await.unwrap().id,
        4
    );
    store.close().await.unwrap();
    let store = open();
    assert_eq!(
        store
            .append(says("lobby", "ann", "newer"))
            .await
            .unwrap()
            .id,
        5
    );
    assert_eq!(store.bounds("lobby").await.unwrap(), (4, 5));
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_deletes_nothing() {
    let keep = Retention {
        age: Some(Duration::from_secs(3600)),
        lines: None,
    };
    let clock = Clock::at(1000);
    let fed = Fed::default();
    let pace = clock.pace(Duration::from_millis(1));
    let store = Store::open_with(None, keep, fed.feed(), pace).unwrap();
    for _ in 0..10 {
        store.append(says("lobby", "ann", "young")).await.unwrap();
    }
    clock.set(1_000_000);
    // Each of these commits is followed by a step of cleaning up.
    for _ in 0..200 {
        store
            .append(says("lobby", "ann", "from the future"))
            .await
            .unwrap();
    }
    assert_eq!(store.bounds("lobby").await.unwrap(), (1, 210));
}
