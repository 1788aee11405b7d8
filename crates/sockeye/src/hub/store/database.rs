//! The database itself: whose it is, what its tables are, and what SQLite's errors mean.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::StoreFault;

/// `SKYC`: what `file` and SQLite call a file's application.
const APPLICATION: i64 = 0x534b_5943;
/// Counts from 1; each schema is made from the one before it by the statements that stand here in its place.
const SCHEMAS: &[&str] = &[FIRST];
/// The latest schema.
pub(super) const SCHEMA: i64 = SCHEMAS.len() as i64;

/// A room's number and a line's id in one key, so that the lines of a room lie together and in order, and a page of
/// them is one walk.
pub(super) const ID_BITS: u32 = 40;
/// The largest id that a line can have.
pub(super) const MAX_ID: u64 = (1 << ID_BITS) - 1;

/// A line's words are found by tokens of our own making (see `words`), which name the room too. The index keeps no
/// text and no positions.
const FIRST: &str = "
    CREATE TABLE rooms (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        floor INTEGER NOT NULL DEFAULT 0, -- ids up to this one are gone
        indexed INTEGER NOT NULL DEFAULT 0, -- ids up to this one are in `words`
        revision INTEGER NOT NULL DEFAULT 0,
        state TEXT
    ) STRICT;
    CREATE TABLE lines (
        key INTEGER PRIMARY KEY,
        room INTEGER AS (key >> 40) VIRTUAL,
        id INTEGER AS (key & 0xffffffffff) VIRTUAL,
        time INTEGER NOT NULL, -- milliseconds since 1970, UTC
        kind TEXT NOT NULL,
        sender TEXT NOT NULL,
        text TEXT NOT NULL,
        tag TEXT
    ) STRICT;
    CREATE UNIQUE INDEX tags ON lines (room, sender, tag) WHERE tag IS NOT NULL;
    CREATE VIRTUAL TABLE words USING fts5 (
        tokens, content='', contentless_delete=1, detail='none', tokenize='ascii'
    );
    -- Lines come often and are searched seldom: fewer merges, more pieces to look into.
    INSERT INTO words (words, rank) VALUES ('automerge', 8);
    CREATE TABLE people (
        key TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        password TEXT,
        seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tokens (
        hash BLOB PRIMARY KEY,
        key TEXT NOT NULL,
        name TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX token_keys ON tokens (key);
    CREATE INDEX token_ends ON tokens (expires);
    CREATE TABLE mail (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        box TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        text TEXT NOT NULL,
        time INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX boxes ON mail (box, number);
";

/// Larger files are not read from end to end before the first line is taken.
const CHECKED: u64 = 64 << 20;
/// How long another program that looks into the file may hold us up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that is ours to write.
pub(super) struct Opened {
    /// The one connection that writes. In memory it reads, too.
    pub(super) db: Arc<Mutex<Connection>>,
    /// Where others can be opened that read.
    pub(super) file: Option<PathBuf>,
    /// Released when it is dropped, after the connection.
    pub(super) lock: Option<File>,
}

pub(super) fn open(at: Option<&Path>) -> Result<Opened, StoreFault> {
    let (mut db, file, lock) = match at {
        None => (Connection::open_in_memory().map_err(fault)?, None, None),
        Some(at) => {
            let (path, lock) = take(at)?;
            let db = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fault)?;
            (db, Some(path), Some(lock))
        }
    };
    let found = identify(&db)?;
    // Only what is ours is changed.
    db.pragma_update(None, "journal_mode", "wal")
        .map_err(fault)?;
    db.pragma_update(None, "synchronous", "full")
        .map_err(fault)?;
    db.pragma_update(None, "secure_delete", "fast")
        .map_err(fault)?;
    // A log that grew while somebody read for long is cut down again.
    db.pragma_update(None, "journal_size_limit", 16 << 20)
        .map_err(fault)?;
    migrate(&mut db, found).map_err(fault)?;
    if let Some(path) = &file
        && fs::metadata(path)?.len() <= CHECKED
    {
        check(&db)?;
    }
    Ok(Opened {
        db: Arc::new(Mutex::new(db)),
        file,
        lock,
    })
}

/// Opens it beside the one who writes.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreFault> {
    File::open(path)?;
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fault)?;
    match identify(&db)? {
        SCHEMA => Ok(db),
        0 => Err(StoreFault::NotADatabase),
        found => Err(StoreFault::Database(format!(
            "made by an older sockeye (schema {found}): serve it once"
        ))),
    }
}

pub(super) fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

/// Makes the file if it is not there, and takes the lock beside it: WAL would let several of us write.
fn take(at: &Path) -> Result<(PathBuf, File), StoreFault> {
    let mut private = OpenOptions::new();
    private
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    // By whatever name the file is reached, it has one lock. So it is made first; empty, it is anybody's.
    private.open(at)?;
    let path = fs::canonicalize(at)?;
    let mut beside = path.clone().into_os_string();
    beside.push("-lock");
    let lock = private.open(beside)?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(StoreFault::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The schema of a database of ours, 0 if it is empty. Changes nothing.
fn identify(db: &Connection) -> Result<i64, StoreFault> {
    let number = |what| db.query_row(what, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id").map_err(fault)?;
    let schema = number("PRAGMA user_version").map_err(fault)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(fault)?;
    match (application, schema) {
        (0, 0) if tables == 0 => Ok(0),
        (APPLICATION, found @ 1..=SCHEMA) => Ok(found),
        (APPLICATION, found) if found > SCHEMA => Err(StoreFault::Newer {
            found,
            known: SCHEMA,
        }),
        _ => Err(StoreFault::Foreign),
    }
}

/// One step after the other, each done wholly or not at all.
fn migrate(db: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (statements, schema) in SCHEMAS.iter().zip(1..).skip(found as usize) {
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(statements)?;
        step.pragma_update(None, "application_id", APPLICATION)?;
        step.pragma_update(None, "user_version", schema)?;
        step.commit()?;
    }
    Ok(())
}

fn check(db: &Connection) -> Result<(), StoreFault> {
    let words: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(fault)?;
    // A heading may stand above it.
    match words.lines().last() {
        Some("ok") => Ok(()),
        words => Err(StoreFault::Damaged(words.unwrap_or_default().to_owned())),
    }
}

/// What an error of SQLite's means to us.
pub(super) fn fault(error: rusqlite::Error) -> StoreFault {
    let code = error.sqlite_error_code();
    let words = match error {
        rusqlite::Error::SqliteFailure(_, Some(words)) => words,
        other => other.to_string(),
    };
    match code {
        Some(ErrorCode::DiskFull) => StoreFault::Full,
        Some(ErrorCode::NotADatabase) => StoreFault::NotADatabase,
        Some(ErrorCode::DatabaseCorrupt) => StoreFault::Damaged(words),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::InUse,
        Some(ErrorCode::SystemIoFailure) => StoreFault::Io(io::Error::other(words)),
        _ => StoreFault::Database(words),
    }
}
