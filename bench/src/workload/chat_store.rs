//! The store of a chat: lines per second that outlive a power cut, beside a bare loop over the same SQLite.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, params};
use sockeye::hub::store::{Retention, Span, Store};
use sockeye::hub::{Draft, Line, LineKind};
use tokio::task::JoinSet;

use super::{Plan, rounds};
use crate::contender::{Contender, SOCKEYE};
use crate::report::Bound::{AtLeast, AtMost};
use crate::report::{Column, Goal, Table};

const SQLITE: &str = "sqlite";
const WRITERS: u64 = 64;
const LIMIT: Duration = Duration::from_secs(120);

const DURABLE: &[Column] = &[("lines/s", 0), ("lines/commit", 1)];

/// How many lines were in each commit.
type Groups = Vec<usize>;

/// Each of 64 writers says a line as soon as the one before it is safe.
pub(super) fn durable(plan: &Plan) -> Result<Vec<Table>> {
    let goals = vec![Goal::ratio(0, SQLITE, AtLeast(0.5))];
    let title = "chat-store: 64 writers, lines that are safe on the disk".to_owned();
    let mut table = Table::new(title, DURABLE, goals);
    // SQLite commits as many at once as the store did in the round before it.
    let mut groups = vec![WRITERS as usize];
    let both = [SQLITE, SOCKEYE].map(|name| Contender::new(name, name, ""));
    rounds(plan.rounds, &both, LIMIT, |contender, round| {
        let folder = tempfile::tempdir().context("making a folder for a database")?;
        let length = plan.window.length;
        let path = folder.path().join("chat.db");
        let (lines, wall, commits) = if contender.name == SOCKEYE {
            let (lines, wall) = store_for(&path, length, &mut groups)?;
            (lines, wall, groups.len())
        } else {
            sqlite_for(&path, length, &groups)?
        };
        let rate = lines as f64 / wall.as_secs_f64();
        let figures = vec![rate, lines as f64 / commits as f64];
        table.add(contender.name, round, figures);
        Ok(())
    });
    Ok(vec![table])
}

fn store_for(path: &Path, length: Duration, groups: &mut Groups) -> Result<(u64, Duration)> {
    let (told, sizes) = std::sync::mpsc::channel();
    let feed = move |lines: &[Arc<Line>]| {
        // Who has stopped listening needs no more of them.
        let _ = told.send(lines.len());
    };
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let store = Store::open(Some(path), Retention::default(), feed)?;
        let began = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, next) = (store.clone(), next.clone());
            writers.spawn(async move {
                let mut done = 0;
                while began.elapsed() < length {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    store.append(draft(writer, number)).await?;
                    done += 1;
                }
                Ok::<u64, sockeye::StoreError>(done)
            });
        }
        let mut lines = 0;
        while let Some(done) = writers.join_next().await {
            lines += done??;
        }
        let wall = began.elapsed();
        store.close().await?;
        Ok::<_, anyhow::Error>((lines, wall))
    })?;
    *groups = sizes.try_iter().collect();
    Ok(result)
}

/// The plainest loop: one table, one statement, a commit after as many lines as the store commits at once.
fn sqlite_for(path: &Path, length: Duration, groups: &Groups) -> Result<(u64, Duration, usize)> {
    let mut db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch(
        "CREATE TABLE lines (
            key INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL,
            sender TEXT NOT NULL, text TEXT NOT NULL, tag TEXT
        ) STRICT",
    )?;
    let began = Instant::now();
    let (mut lines, mut commits) = (0, 0);
    for group in groups.iter().cycle() {
        let whole = db.transaction()?;
        let mut insert =
            whole.prepare_cached("INSERT INTO lines VALUES (NULL, ?, ?, ?, ?, NULL)")?;
        for _ in 0..*group {
            let draft = draft(lines % WRITERS, lines);
            insert.execute(params![lines, draft.kind.word(), draft.from, draft.text])?;
            lines += 1;
        }
        drop(insert);
        whole.commit()?;
        commits += 1;
        if began.elapsed() >= length {
            break;
        }
    }
    Ok((lines, began.elapsed(), commits))
}

const JOIN: &[Column] = &[
    ("ms to join", 2),
    ("ms to search", 2),
    ("MiB at first", 1),
    ("MiB after all", 1),
    ("lines/s filled", 0),
];
const LINES: u64 = 1_000_000;

/// The last 50 lines of a room of a million, right after the store was opened; then all of them, page by page.
pub(super) fn join(plan: &Plan) -> Result<Vec<Table>> {
    let goals = vec![Goal::figure(0, AtMost(50.0))];
    let title = "chat-join: the last 50 lines of 1,000,000; then all, in pages".to_owned();
    let mut table = Table::new(title, JOIN, goals);
    let folder = tempfile::tempdir().context("making a folder for a database")?;
    let path = folder.path().join("chat.db");
    let runtime = runtime()?;
    let began = Instant::now();
    runtime.block_on(fill(&path))?;
    let filled = LINES as f64 / began.elapsed().as_secs_f64();
    let sockeye = [Contender::new(SOCKEYE, SOCKEYE, "")];
    rounds(plan.rounds, &sockeye, LIMIT, |contender, round| {
        let mut figures = runtime.block_on(read(&path))?;
        figures.push(filled);
        table.add(contender.name, round, figures);
        Ok(())
    });
    Ok(vec![table])
}

async fn fill(path: &Path) -> Result<()> {
    let store = Store::open(Some(path), Retention::default(), |_| {})?;
    let mut numbers = 1..=LINES;
    loop {
        let lines = numbers.by_ref().take(1000);
        let lines: Vec<_> = lines.map(|id| Arc::new(line(id))).collect();
        if lines.is_empty() {
            break;
        }
        store.insert(lines).await?;
    }
    Ok(store.close().await?)
}

async fn read(path: &Path) -> Result<Vec<f64>> {
    let store = Store::open(Some(path), Retention::default(), |_| {})?;
    let began = Instant::now();
    let last = store.lines("lobby", Span::Last, 50).await?;
    let joined = began.elapsed();
    ensure!(
        last.len() == 50 && last[49].id == LINES,
        "not the last lines"
    );
    let at_first = memory();
    let mut longest = Duration::ZERO;
    // Everywhere, seldom, once, and nowhere.
    for (words, least) in [
        ("天", 50),
        ("w4321 天气", 50),
        ("n777777", 1),
        ("w1 zebra 马", 0),
    ] {
        let began = Instant::now();
        let found = store.search("lobby", words, None, 50).await?;
        longest = longest.max(began.elapsed());
        ensure!(found.len() == least, "{words}: found {}", found.len());
    }
    let mut seen = 0;
    loop {
        let page = store.lines("lobby", Span::After(seen), 1000).await?;
        let Some(last) = page.last() else { break };
        seen = last.id;
    }
    ensure!(seen == LINES, "only {seen} lines");
    let after = memory();
    store.close().await?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![ms(joined), ms(longest), at_first, after])
}

/// MiB that this process has in memory.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting a runtime")
}

fn draft(writer: u64, number: u64) -> Draft {
    Draft {
        room: "lobby".into(),
        from: format!("writer-{writer}").into(),
        kind: LineKind::Say,
        text: text(number).into(),
        tag: None,
    }
}

fn line(id: u64) -> Line {
    let draft = draft(id % WRITERS, id);
    Line {
        id,
        time: jiff::Timestamp::now(),
        room: draft.room,
        from: draft.from,
        kind: draft.kind,
        text: draft.text,
        tag: draft.tag,
    }
}

/// Eight words out of 5000, some Chinese ones, and one that no other line has.
fn text(number: u64) -> String {
    const CHINESE: &[&str] = &[
        "今天天气",
        "很好",
        "我们",
        "去北京",
        "聊天",
        "明天见",
        "上海",
        "你好",
    ];
    let mut seed = number;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut text = format!("n{number}");
    for _ in 0..8 {
        // Small numbers are more frequent, as common words are.
        let word = next(5000) * next(5000) / 5000;
        text.push_str(&format!(" w{word}"));
    }
    for _ in 0..2 {
        text.push(' ');
        text.push_str(CHINESE[next(8) as usize]);
    }
    text
}
