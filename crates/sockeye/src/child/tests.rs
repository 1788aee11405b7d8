//! Words of commands, lines of complaints, what a child is told, and how it and its group end.

use std::sync::Mutex;

use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const LONG: Duration = Duration::from_secs(10);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("it hangs")
}

#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Observer for Ear {
    fn note(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
}

fn options() -> ChildOptions {
    ChildOptions {
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
        ..ChildOptions::default()
    }
}

fn start(command: &str, options: &ChildOptions) -> (ByteStream, Fate) {
    start_for(command, options, None).unwrap()
}

fn start_for(
    command: &str,
    options: &ChildOptions,
    client: Option<&Info>,
) -> Result<(ByteStream, Fate)> {
    let launch = Launch {
        words: &words(command).unwrap(),
        options,
        client,
        observer: None,
    };
    launch.start()
}

async fn all_of(stream: &mut ByteStream) -> String {
    let mut all = Vec::new();
    within(stream.read_to_end(&mut all)).await.unwrap();
    String::from_utf8(all).unwrap()
}

#[test]
fn words_are_cut_as_a_shell_would_and_nothing_else_is_done() {
    let cut = |text: &str| {
        words(text).map(|words| {
            words
                .into_iter()
                .map(|w| w.into_string().unwrap())
                .collect()
        })
    };
    for (text, expected) in [
        ("cat", &["cat"][..]),
        (" cat   -n ", &["cat", "-n"]),
        (
            "sh -c 'echo \"a b\"; exit 3'",
            &["sh", "-c", "echo \"a b\"; exit 3"],
        ),
        ("echo \"a \\\" b\" c\\ d ''", &["echo", "a \" b", "c d", ""]),
        (
            "echo $HOME `id` *|;&&>x ~",
            &["echo", "$HOME", "`id`", "*|;&&>x", "~"],
        ),
    ] {
        let cut: Vec<String> = cut(text).unwrap();
        assert_eq!(cut, expected);
        let words: Vec<OsString> = expected.iter().map(Into::into).collect();
        assert_eq!(
            super::words(&written(&words)).unwrap(),
            words,
            "written and read back"
        );
    }
    for text in ["echo 'a", "echo \"a", "echo a\\", "", "  "] {
        let cut: Result<Vec<String>> = cut(text);
        assert!(
            matches!(cut, Err(Error::Unsupported { .. })),
            "{text:?}: {cut:?}"
        );
    }
}

#[tokio::test]
async fn what_is_said_comes_back_and_the_end_of_input_ends_it() {
    let (mut stream, fate) = start("cat", &options());
    stream.write_all(b"one\n").await.unwrap();
    let mut heard = [0; 4];
    within(stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"one\n");
    stream.write_all(b"two").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(all_of(&mut stream).await, "two");
    within(fate.verdict()).await.unwrap();
    assert!(stream.write_all(b"late").await.is_err());
}

#[tokio::test]
async fn an_exit_code_and_a_signal_are_told() {
    for (command, told) in [
        ("sh -c 'exit 3'", "`sh -c 'exit 3'` exited with code 3"),
        (
            "sh -c 'kill -9 $$'",
            "`sh -c 'kill -9 $$'` was ended by signal 9",
        ),
    ] {
        let (_stream, fate) = start(command, &options());
        assert_eq!(within(fate.verdict()).await.unwrap_err().to_string(), told);
    }
    let error = start_for("nonesuch-program -x", &options(), None).unwrap_err();
    let told = "cannot start `nonesuch-program -x`: no such file or directory";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn only_what_is_given_is_in_its_environment() {
    let mut given = options();
    given.env.push(("GIVEN".into(), "yes".into()));
    let client = Info::new(Identity::new(
        Side::Accepted,
        "tcp",
        Endpoint::Net("[::1]:3000".parse().unwrap()),
        Endpoint::Net("192.0.2.7:51234".parse().unwrap()),
    ));
    let (mut stream, _) = start_for("env", &given, Some(&client)).unwrap();
    let all = all_of(&mut stream).await;
    let mut lines: Vec<_> = all
        .lines()
        .filter(|line| !line.starts_with("PATH="))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "GIVEN=yes",
            "SOCKEYE_LOCAL_ADDR=::1",
            "SOCKEYE_LOCAL_PORT=3000",
            "SOCKEYE_PEER_ADDR=192.0.2.7",
            "SOCKEYE_PEER_PORT=51234",
            "SOCKEYE_PROTO=tcp",
        ]
    );
}

#[tokio::test]
async fn a_peers_name_cannot_put_more_into_the_environment() {
    let name = "@x\nPATH=/evil\0() { :;}; echo \u{1b}[2J";
    let client = Info::new(Identity::new(
        Side::Accepted,
        "unix",
        Endpoint::Unix("/run/s".into()),
        Endpoint::Unix(name.into()),
    ));
    let (mut stream, _) = start_for("env", &options(), Some(&client)).unwrap();
    let all = all_of(&mut stream).await;
    let paths = all.lines().filter(|line| line.starts_with("PATH="));
    assert_eq!(paths.collect::<Vec<_>>().len(), 1, "{all}");
    let told = all
        .lines()
        .find(|line| line.starts_with("SOCKEYE_PEER_ADDR="));
    let told = told.unwrap().trim_start_matches("SOCKEYE_PEER_ADDR=");
    assert_eq!(told, r"@x\nPATH=/evil\0() { :;}; echo \e[2J");
}

#[tokio::test]
async fn complaints_are_told_line_by_line_before_the_end() {
    let ear = Arc::new(Ear::default());
    let script = r#"sh -c 'printf "one\r\ntwo \033[2J\n\nlast" >&2; echo out'"#;
    let launch = Launch {
        words: &words(script).unwrap(),
        options: &options(),
        client: None,
        observer: Some(ear.clone()),
    };
    let (mut stream, fate) = launch.start().unwrap();
    assert_eq!(all_of(&mut stream).await, "out\n");
    within(fate.verdict()).await.unwrap();
    let told = ear.0.lock().unwrap().clone();
    let expected = ["one", "two \u{1b}[2J", "", "last"].map(|line| format!("sh stderr: {line}"));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_complaint_without_an_end_is_told_in_parts() {
    let mut told = Vec::new();
    let long = "x".repeat(10_000) + "\nshort";
    keeper::tell(long.as_bytes(), |line| told.push(line.to_owned())).await;
    assert!(told.iter().all(|line| line.len() <= 4096));
    assert_eq!(told.concat(), "x".repeat(10_000) + "short");
    assert_eq!(told.last().map(String::as_str), Some("short"));
}

/// Whether a process is there and not a zombie that init has yet to reap.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    test_kill_process(pid).is_ok() && !matches!(state, None | Some('Z' | 'X'))
}

/// The first line of what a child writes.
async fn first_line(stream: &mut ByteStream) -> String {
    let mut line = String::new();
    while !line.ends_with('\n') {
        let byte = within(stream.read_u8()).await.unwrap();
        line.push(byte.into());
    }
    line.trim_end().to_owned()
}

async fn gone(pid: &str) {
    within(async {
        while lives(pid) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn when_nobody_talks_to_it_any_more_the_whole_group_ends() {
    // The shell starts a grandchild and waits for it.
    for (script, what) in [
        (
            "sleep 1000 & echo $!; wait",
            "one that ends when it is told to",
        ),
        (
            "trap '' TERM; sleep 1000 & echo $!; wait",
            "one that must be killed",
        ),
        (
            "sleep 1000 >&- 2>&- & echo $!",
            "one whose parent has gone before",
        ),
        (
            "(sleep 1000 & echo $!) ; sleep 1000",
            "one of a child that has gone",
        ),
    ] {
        let command = format!("sh -c \"{}\"", script.replace('$', "\\$"));
        let (mut stream, fate) = start(&command, &options());
        let grandchild = first_line(&mut stream).await;
        assert!(lives(&grandchild), "{what}");
        drop(stream);
        within(fate.gone()).await;
        gone(&grandchild).await;
    }
}

#[tokio::test]
async fn a_child_may_tidy_up_when_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidied");
    let command = format!(
        "sh -c 'trap \"echo yes > {}; exit 0\" TERM; echo ready; while :; do sleep 0.01; done'",
        file.display()
    );
    let (mut stream, fate) = start(&command, &options());
    assert_eq!(first_line(&mut stream).await, "ready");
    drop(stream);
    within(fate.gone()).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "yes\n");
}

#[tokio::test]
async fn no_more_children_than_there_are_slots() {
    let mut one = options();
    one.slots = Arc::new(Semaphore::new(1));
    let (stream, fate) = start("cat", &one);
    let error = start_for("cat", &one, None).unwrap_err();
    let told = "cannot start `cat`: as many children run as may";
    assert_eq!(error.to_string(), told);
    drop(stream);
    within(fate.gone()).await;
    // The slot is free when the group has gone.
    within(one.slots.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn children_leave_no_zombies() {
    let (mut stream, fate) = start("sh -c 'echo $$'", &options());
    let pid = first_line(&mut stream).await;
    within(fate.verdict()).await.unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    let (mut stream, fate) = start("sh -c 'echo $$; sleep 1000'", &options());
    let pid = first_line(&mut stream).await;
    drop(stream);
    within(fate.gone()).await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_terminal_of_80_by_24_for_who_wants_one() {
    let mut pty = options();
    pty.pty = true;
    let (mut stream, fate) = start(
        "sh -c 'stty size; test -t 0 && test -t 1 && test -t 2 && tty'",
        &pty,
    );
    let all = all_of(&mut stream).await;
    assert!(all.starts_with("24 80\r\n/dev/pts/"), "{all:?}");
    within(fate.verdict()).await.unwrap();

    // The end of input at the beginning of a line, and in the middle of one.
    for said in ["line\n", "no line", ""] {
        let (mut stream, fate) = start("sh -c 'stty -echo; echo ready; cat; echo end'", &pty);
        assert_eq!(first_line(&mut stream).await, "ready");
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let said = said.replace('\n', "\r\n");
        assert_eq!(all_of(&mut stream).await, format!("{said}end\r\n"));
        within(fate.verdict()).await.unwrap();
    }

    let (mut stream, fate) = start("sh -c 'sleep 1000 & echo $!; wait'", &pty);
    let grandchild = first_line(&mut stream).await;
    drop(stream);
    within(fate.gone()).await;
    gone(&grandchild).await;
}
