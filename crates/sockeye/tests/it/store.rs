//! The store of a chat on a disk that fills up, under a process that is killed, and over files that are not what
//! they should be.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use sockeye::hub::store::{Archive, Retention, Span, Store};
use sockeye::hub::{Draft, LineKind};
use sockeye::{StoreError, StoreFault};
use tempfile::TempDir;

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(Some(path), Retention::default(), |_| {})
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("chat.db")
}

fn says(room: &str, text: &str) -> Draft {
    Draft {
        room: room.into(),
        from: "ann".into(),
        kind: LineKind::Say,
        text: text.into(),
        tag: None,
    }
}

/// All ids and texts of a room.
async fn all(store: &Store, room: &str) -> Result<Vec<(u64, String)>, StoreError> {
    let mut lines = Vec::new();
    loop {
        let after = lines.last().map_or(0, |(id, _)| *id);
        let page = store.lines(room, Span::After(after), 1000).await?;
        if page.is_empty() {
            return Ok(lines);
        }
        lines.extend(page.iter().map(|line| (line.id, line.text.to_string())));
    }
}

/// This test program again, doing only what `test` does, with `at` in its environment.
fn again(test: &str, at: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(AT, at)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Where [`again`] says what to work on.
const AT: &str = "SOCKEYE_TEST_STORE";

const ROOMS: [&str; 2] = ["lobby", "dev"];

#[tokio::test]
async fn what_was_acknowledged_outlives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let mut acknowledged: Vec<(String, u64, String)> = Vec::new();
    for kill in 0..24 {
        let mut child = again("store::says_until_killed", &path).spawn().unwrap();
        // Another number each time: in the middle of the first commit, of a checkpoint, of the index.
        let enough = 1 + kill * kill * 5;
        acknowledged.extend(heard_until_killed(&mut child, enough));
        let store = open(&path).unwrap();
        let mut kept = Vec::new();
        for room in ROOMS {
            let lines = all(&store, room).await.unwrap();
            let ids: Vec<u64> = lines.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "{room}");
            kept.push(lines);
        }
        for (room, id, text) in &acknowledged {
            let room = ROOMS.iter().position(|name| name == room).unwrap();
            assert_eq!(
                kept[room][*id as usize - 1],
                (*id, text.clone()),
                "kill {kill}"
            );
        }
        // Dropped or closed, the next one may have it.
        if kill % 2 == 0 {
            store.close().await.unwrap();
        } else {
            drop(store);
            wait_until_free(&path).await;
        }
    }
    assert!(acknowledged.len() > 10_000, "{}", acknowledged.len());
    let db = Connection::open(&path).unwrap();
    let sound: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// Lets it say `enough`, kills it, and gives all that it said was safe.
fn heard_until_killed(child: &mut Child, enough: usize) -> Vec<(String, u64, String)> {
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    let mut line = String::new();
    while heard.len() < enough && said.read_line(&mut line).unwrap() > 0 {
        heard.extend(receipt(&line));
        line.clear();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    // It may have been killed within a line.
    let whole = rest.rfind('\n').map_or("", |end| &rest[..=end]);
    heard.extend(whole.lines().filter_map(receipt));
    assert!(heard.len() >= enough, "it ended by itself");
    heard
}

fn receipt(line: &str) -> Option<(String, u64, String)> {
    let mut words = line
        .trim_end_matches('\n')
        .strip_prefix("safe ")?
        .splitn(3, ' ');
    let mut next = || words.next().map(str::to_owned);
    Some((next()?, next()?.parse().ok()?, next()?))
}

/// Waits for a store that was dropped and closes in its own time.
async fn wait_until_free(path: &Path) {
    let waiting = async {
        loop {
            match open(path) {
                Ok(store) => break store.close().await.unwrap(),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.expect("the lock to be released");
}

#[test]
#[ignore = "what_was_acknowledged_outlives_being_killed starts and kills it"]
fn says_until_killed() {
    let Some(path) = std::env::var_os(AT) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&path)).unwrap();
        let speakers = (0..8).map(|speaker| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let room = ROOMS[(speaker + number) % 2];
                    let text = format!(
                        "{}/{speaker}/{number} {}",
                        std::process::id(),
                        "天".repeat(number % 300)
                    );
                    let receipt = store.append(says(room, &text)).await.unwrap();
                    println!("safe {room} {} {text}", receipt.id);
                }
            })
        });
        // Not for ever, should nobody kill it.
        let speaking = futures_util::future::join_all(speakers);
        let _ = tokio::time::timeout(Duration::from_secs(60), speaking).await;
    });
}

#[tokio::test]
async fn a_file_belongs_to_one_store_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let store = open(&path).unwrap();
    store.append(says("lobby", "hello")).await.unwrap();
    let link = folder.path().join("other-name.db");
    symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let refused = open(name).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "cannot open {}: another sockeye has it open",
                name.display()
            )
        );
    }
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = fs::metadata(entry.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
    // Reading beside it is allowed.
    let archive = Archive::open(&path).unwrap();
    store.append(says("lobby", "and more")).await.unwrap();
    let lines = archive.lines("lobby", Span::Last, 10).unwrap();
    assert_eq!(
        lines.iter().map(|line| &*line.text).collect::<Vec<_>>(),
        ["hello", "and more"]
    );
    assert_eq!(archive.rooms().unwrap()[0].last, 2);
    drop(archive);
    let clone = store.clone();
    store.close().await.unwrap();
    let wal = folder.path().join("chat.db-wal");
    assert!(!wal.exists(), "everything is in its place");
    for refused in [
        clone.append(says("lobby", "late")).await.err(),
        clone.lines("lobby", Span::Last, 1).await.err(),
        clone.clone().close().await.err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused.fault, StoreFault::Closed), "{refused}");
    }
    open(&path).unwrap().close().await.unwrap();
}

#[test]
fn what_is_no_database_of_ours_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let sqlite = |statements: &str| {
        let _ = fs::remove_file(&path);
        Connection::open(&path)
            .unwrap()
            .execute_batch(statements)
            .unwrap();
        fs::read(&path).unwrap()
    };
    let ours = "PRAGMA application_id = 0x534b5943; CREATE TABLE rooms (name);";
    for (bytes, cause) in [
        (b"Dear diary, ".repeat(200), "not a database"),
        (
            sqlite("CREATE TABLE accounts (name); PRAGMA user_version = 1"),
            "the database of another program",
        ),
        (
            sqlite("PRAGMA application_id = 7"),
            "the database of another program",
        ),
        (
            sqlite(&format!("{ours} PRAGMA user_version = 3")),
            "made by a newer sockeye (schema 3, this one knows 1)",
        ),
    ] {
        fs::write(&path, &bytes).unwrap();
        let shown = path.display();
        let expected = format!("cannot open {shown}: {cause}");
        assert_eq!(open(&path).unwrap_err().to_string(), expected);
        assert_eq!(Archive::open(&path).unwrap_err().to_string(), expected);
        assert_eq!(fs::read(&path).unwrap(), bytes, "{cause}");
    }
    let nowhere = folder.path().join("no/chat.db");
    assert_eq!(
        open(&nowhere).unwrap_err().to_string(),
        format!(
            "cannot open {}: no such file or directory",
            nowhere.display()
        )
    );
    let absent = folder.path().join("absent.db");
    assert!(Archive::open(&absent).is_err());
    assert!(!absent.exists(), "who only reads makes nothing");
    assert!(open(folder.path()).is_err());
    // An empty file is anybody's: one that was made, and then the power went.
    fs::write(&path, b"").unwrap();
    open(&path).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_read_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let store = open(&path).unwrap();
    let said: Vec<_> = (0..2500)
        .map(|n| store.append(says("lobby", &format!("天 word{n}"))))
        .collect();
    futures_util::future::join_all(said).await;
    store.close().await.unwrap();
    let sound = fs::read(&path).unwrap();
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut refused, mut read) = (0, 0);
    for round in 0..80 {
        let mut bytes = sound.clone();
        if round % 4 == 0 {
            bytes.truncate(1 + random(sound.len() - 1));
        } else {
            // Whole runs, as a bad block has them; at first in the header.
            let reach = if round < 20 { 200 } else { sound.len() - 64 };
            let at = random(reach);
            for byte in &mut bytes[at..at + 1 + random(63)] {
                *byte = random(256) as u8;
            }
        }
        fs::write(&path, &bytes).unwrap();
        match open(&path) {
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{error}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "round {round}: {error}");
            }
            Ok(store) => {
                read += 1;
                // The damage lies in a text, or where nothing is. Whatever is asked has an answer.
                let _ = all(&store, "lobby").await;
                let _ = store.search("lobby", "word7", None, 100).await;
                let _ = store.append(says("lobby", "next")).await;
                let _ = store.close().await;
            }
        }
        let _ = fs::remove_file(folder.path().join("chat.db-wal"));
        let _ = fs::remove_file(folder.path().join("chat.db-shm"));
    }
    assert!(refused > 20 && read > 10, "{refused} refused, {read} read");
}

#[test]
fn a_full_disk_refuses_lines_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // A disk of its own, that nobody else sees and that goes with the process.
    let mut alone = Command::new("unshare");
    let mut this = again("store::fills_its_disk", at);
    this.stdout(Stdio::null());
    alone.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    alone
        .arg("mount -t tmpfs -o size=4m none \"$0\" && exec \"$@\"")
        .arg(at);
    alone
        .arg(this.get_program())
        .args(this.get_args())
        .env(AT, at);
    let ended = alone.output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    if complained.contains("unshare: ") || complained.contains("mount: ") {
        // Where that is forbidden, the limit of pages in the unit test is all there is.
        return;
    }
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{complained}"
    );
}

#[tokio::test]
#[ignore = "a_full_disk_refuses_lines_until_there_is_room starts it on a disk of its own"]
async fn fills_its_disk() {
    let Some(at) = std::env::var_os(AT) else {
        return;
    };
    let at = Path::new(&at);
    let path = at.join("chat.db");
    let store = open(&path).unwrap();
    fs::write(at.join("ballast"), vec![1; 2_500_000]).unwrap();
    let text = "long ".repeat(400);
    let mut kept = 0;
    // Several at once, so that commits of many have to be taken apart.
    let refused = loop {
        let several = (0..16).map(|_| store.append(says("lobby", &text)));
        let several = futures_util::future::join_all(several).await;
        kept += several.iter().filter(|kept| kept.is_ok()).count();
        if let Some(refused) = several.into_iter().find_map(Result::err) {
            break refused;
        }
        assert!(kept < 10_000, "the disk does not fill up");
    };
    assert_eq!(
        refused.to_string(),
        format!("cannot write to {}: the disk is full", path.display())
    );
    assert_eq!(all(&store, "lobby").await.unwrap().len(), kept);
    fs::remove_file(at.join("ballast")).unwrap();
    for _ in 0..20 {
        let receipt = store.append(says("lobby", &text)).await.unwrap();
        kept += 1;
        assert_eq!(receipt.id, kept as u64);
    }
    store.close().await.unwrap();
    let store = open(&path).unwrap();
    assert_eq!(all(&store, "lobby").await.unwrap().len(), kept);
}
