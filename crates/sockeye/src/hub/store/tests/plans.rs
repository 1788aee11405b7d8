//! How SQLite goes about what it is asked: a room of a million lines is never read through.

use super::*;

/// The steps of SQLite's plan.
async fn plan(store: &Store, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let steps = store.read("read", move |db| {
        let mut plan = db.prepare(&explain)?;
        // What is asked with does not matter to the plan.
        let mut rows = plan.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(row.get(3)?);
        }
        Ok(steps)
    });
    steps.await.unwrap()
}

#[tokio::test]
async fn a_page_is_a_walk_along_the_keys() {
    let store = in_memory();
    let walk = "SEARCH lines USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    for statement in [
        lines::between(true),
        lines::between(false),
        lines::NEXT.to_owned(),
    ] {
        assert_eq!(plan(&store, &statement).await, [walk], "{statement}");
    }
    let ends = plan(&store, lines::ENDS).await;
    let walks = ends.iter().filter(|step| *step == walk).count();
    assert_eq!(walks, 2, "{ends:?}");
    assert!(
        !ends.iter().any(|step| step.starts_with("SCAN lines")),
        "{ends:?}"
    );
}

#[tokio::test]
async fn tags_and_words_are_found_by_their_indexes() {
    let store = in_memory();
    assert_eq!(
        plan(&store, batch::TAGGED).await,
        ["SEARCH lines USING INDEX tags (room=? AND sender=? AND tag=?)"]
    );
    let candidates = plan(&store, search::CANDIDATES).await;
    // By what matches, within bounds; in one step, so that nothing is sorted afterwards.
    assert!(
        candidates.len() == 1 && candidates[0].ends_with(":M1><"),
        "{candidates:?}"
    );
}

#[tokio::test]
async fn what_is_committed_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let store = Store::open(Some(&path), FOR_EVER, |_| {}).unwrap();
    let settings = store.write("write to", 0, |batch| {
        let ask = |what| batch.db.query_row(what, [], |row| row.get::<_, String>(0));
        let synchronous = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
        let settings = (ask("PRAGMA journal_mode"), ask(synchronous));
        Ok((
            settings.0.map_err(database::fault)?,
            settings.1.map_err(database::fault)?,
        ))
    });
    // 2 is FULL: each commit waits for the disk, in WAL too.
    assert_eq!(settings.await.unwrap(), ("wal".to_owned(), "2".to_owned()));
}
