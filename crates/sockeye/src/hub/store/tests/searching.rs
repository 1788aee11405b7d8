//! Searching against a model that looks at every line.

use proptest::prelude::*;

use super::*;
use crate::hub::store::words::Query;

/// What the documentation says, in the plainest way: is each of the words in the text, and where it may begin?
fn fits(text: &str, words: &str) -> bool {
    let lower = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<Vec<_>>()
    };
    let spaced =
        |letter: char| letter.is_alphanumeric() && !('\u{2e80}'..='\u{9fff}').contains(&letter);
    let text = lower(text);
    words.split_whitespace().all(|word| {
        let word = lower(word);
        (0..text.len()).any(|at| {
            let inside = at > 0 && spaced(text[at - 1]) && spaced(text[at]);
            text[at..].starts_with(&word) && !(spaced(word[0]) && inside)
        })
    })
}

async fn found(store: &Store, words: &str) -> Vec<u64> {
    let lines = store.search("lobby", words, None, 1000).await.unwrap();
    lines.iter().map(|line| line.id).collect()
}

/// A store whose searches have to ask the index: what is looked for lies below what is walked through.
async fn buried(texts: &[impl AsRef<str>]) -> Store {
    let store = in_memory();
    let mut id = 0;
    let mut lines = Vec::new();
    for text in texts {
        id += 1;
        lines.push(line("lobby", id, text.as_ref()));
    }
    lines.extend((id + 1..id + 2001).map(|id| line("lobby", id, "")));
    store.insert(lines).await.unwrap();
    wait_for_index(&store, id).await;
    store
}

/// Waits until the lobby's lines up to `id` are found by the index alone.
async fn wait_for_index(store: &Store, id: u64) {
    let indexed = |db: &rusqlite::Connection| {
        let indexed = "SELECT indexed FROM rooms WHERE name = 'lobby'";
        db.query_row(indexed, [], |row| row.get::<_, u64>(0))
    };
    let waiting = async { while store.read("read", indexed).await.unwrap() < id {} };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.expect("the index to get there");
}

#[tokio::test]
async fn words_are_found_where_they_begin_and_signs_anywhere() {
    let texts = [
        "Sockeye salmon swim upstream",
        "今天天气很好，我们去北京",
        "C++ is not C, and \"quotes\" AND NOT (operators*) NEAR/3",
        "see https://example.com/a-b?c=d#e",
        "Straße ΟΔΟΣ 🙂👍 naïve",
        "用sockeye聊天",
    ];
    let store = buried(&texts).await;
    for (words, expected) in [
        ("sock", vec![1, 6]),
        ("SALMON sock", vec![1]),
        ("eye", vec![]),
        ("天", vec![2, 6]),
        ("天气", vec![2]),
        ("天天", vec![2]),
        ("气天", vec![]),
        ("北京 今", vec![2]),
        ("聊", vec![6]),
        ("eye聊", vec![]),
        ("用sock", vec![6]),
        ("用sockeye聊", vec![6]),
        ("sock聊", vec![]),
        ("c++", vec![3]),
        ("c c++", vec![3]),
        ("\"quotes\"", vec![3]),
        ("AND", vec![3]),
        ("NOT", vec![3]),
        ("(operators*)", vec![3]),
        ("near/3", vec![3]),
        ("*", vec![3]),
        ("a* b", vec![]),
        ("example.com", vec![4]),
        ("https://example.com/a-b?c=d#e", vec![4]),
        ("com/a", vec![4]),
        ("👍", vec![5]),
        ("🙂👍", vec![5]),
        ("STRASSE", vec![]),
        ("STRA", vec![5]),
        ("οδοσ", vec![5]),
        ("naï", vec![5]),
        ("，", vec![2]),
        ("", vec![]),
        (" \t\n\0", vec![]),
        ("\u{0}sock\u{7}salmon", vec![1]),
    ] {
        assert_eq!(found(&store, words).await, expected, "{words:?}");
    }
}

#[tokio::test]
async fn a_room_finds_only_its_own_lines_and_pages_go_back() {
    let store = in_memory();
    let mut lines = Vec::new();
    for id in 1..=5000 {
        let text = if id % 10 == 0 { "ten 十" } else { "other" };
        lines.push(line("lobby", id, text));
        lines.push(line("dev", id, "十 ten"));
    }
    store.insert(lines).await.unwrap();
    wait_for_index(&store, 4001).await;
    for words in ["十", "ten", "十 te"] {
        let mut before = None;
        let mut seen = Vec::new();
        loop {
            let page = store.search("lobby", words, before, 70).await.unwrap();
            let Some(first) = page.first() else { break };
            assert!(page.len() <= 70 && page.is_sorted_by_key(|line| line.id));
            before = Some(first.id);
            seen.extend(page.iter().rev().map(|line| line.id));
        }
        let expected: Vec<u64> = (1..=500).rev().map(|n| n * 10).collect();
        assert_eq!(seen, expected, "{words}");
    }
    assert!(
        store
            .search("nowhere", "ten", None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .search("lobby", "ten", None, 0)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn long_words_are_told_apart_behind_their_beginning() {
    let long = |end: &str| format!("{}{end}", "x".repeat(200));
    let store = buried(&[long("a"), long("b")]).await;
    assert_eq!(found(&store, &long("a")).await, [1]);
    assert_eq!(found(&store, &long("")).await, [1, 2]);
    assert_eq!(found(&store, &"x".repeat(10)).await, [1, 2]);
    let many = (0..100)
        .map(|n| format!("w{n}"))
        .collect::<Vec<_>>()
        .join(" ");
    let store = buried(&[&many, "w1"]).await;
    assert_eq!(found(&store, &many).await, [1]);
}

/// Few letters, so that much is found.
fn letters() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(vec![
        'a', 'b', 'B', '1', ' ', ' ', '天', '气', '好', '，', '-', '"', '*', 'é', 'Σ', '🙂',
    ]);
    prop::collection::vec(letter, 0..12).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn the_query_fits_what_the_model_says(text in letters(), words in letters()) {
        if let Some(query) = Query::of(&words) {
            prop_assert_eq!(query.fits(&text), fits(&text, &words));
        } else {
            prop_assert_eq!(words.trim(), "");
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_the_model_finds(
        texts in prop::collection::vec(letters(), 1..40),
        asked in prop::collection::vec(letters(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = buried(&texts).await;
            for words in asked.iter().filter(|words| !words.trim().is_empty()) {
                let expected: Vec<u64> = texts.iter().zip(1..).filter(|(text, _)| fits(text, words)).map(|(_, id)| id).collect();
                prop_assert_eq!(found(&store, words).await, expected, "{:?}", words);
            }
            Ok(())
        })?;
    }
}
