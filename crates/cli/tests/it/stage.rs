//! What the tests stand on: `sockeye` and other programs as processes, with every wait bounded.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

/// A browser on a busy machine connects, and takes a while to ask. Who is greeted meanwhile is taken for a person with nc.
pub(crate) const UNHURRIED: [&str; 2] = ["--greet-after", "3s"];

/// How long anything is awaited before a test fails, on a busy machine as well. What has to be quick says how quick.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A process that is told what to do and whose output is gathered; killed when dropped.
pub(crate) struct Run {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) out: Gathered,
    pub(crate) err: Gathered,
    _home: Arc<TempDir>,
}

/// How a process ended: its exit code, or 128 + the signal as a shell says it, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    /// How long it took from the call of [`Run::end`].
    pub(crate) after: Duration,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// The line of the failure. Fails unless there is exactly one.
    #[track_caller]
    pub(crate) fn complaint(&self) -> &str {
        let mut lines = self
            .err
            .lines()
            .filter(|line| line.starts_with("sockeye: "));
        match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            _ => panic!("not one line of failure: {self:?}"),
        }
    }
}

/// A command line that is about to run.
pub(crate) struct Line {
    command: Command,
    home: Arc<TempDir>,
}

/// `sockeye` with these arguments, in a home of its own.
pub(crate) fn sockeye<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Line {
    program(env!("CARGO_BIN_EXE_sockeye"), arguments)
}

/// Another program. One that is not installed is a failure that says so.
pub(crate) fn program<S: AsRef<OsStr>>(
    name: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Line {
    let home = Arc::new(TempDir::new().unwrap());
    let mut command = Command::new(name);
    command
        .args(arguments)
        .current_dir(home.path())
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("XDG_STATE_HOME", home.path().join("state"))
        .env("COLUMNS", "100")
        .env_remove("SSLKEYLOGFILE")
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env_remove("HTTPS_PROXY")
        .env_remove("all_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Line { command, home }
}

/// A part of `peers.py`.
pub(crate) fn python<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Line {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers.py");
    let arguments = arguments.into_iter().map(|word| word.as_ref().to_owned());
    program(
        "python3",
        ["-u".into(), script.into_os_string()]
            .into_iter()
            .chain(arguments),
    )
}

/// The words of a command line that has no quotes in it.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

impl Line {
    pub(crate) fn home(mut self, home: &Arc<TempDir>) -> Self {
        self.command
            .current_dir(home.path())
            .env("XDG_CONFIG_HOME", home.path().join("config"))
            .env("XDG_STATE_HOME", home.path().join("state"));
        self.home = home.clone();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    pub(crate) fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn start(mut self) -> Run {
        let name = format!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| {
            panic!("cannot run {name}: {error}; ./test installs every program that tests need")
        });
        let out = child
            .stdout
            .take()
            .map_or_else(Gathered::nothing, Gathered::from);
        let err = child
            .stderr
            .take()
            .map_or_else(Gathered::nothing, Gathered::from);
        Run {
            name,
            input: child.stdin.take(),
            child,
            out,
            err,
            _home: self.home,
        }
    }

    /// Starts it, gives it `input` and the end of input, and waits for its end.
    #[track_caller]
    pub(crate) fn with(self, input: impl AsRef<[u8]>) -> Ended {
        let mut run = self.start();
        let mut pipe = run.input.take().unwrap();
        let input = input.as_ref().to_vec();
        let writer = std::thread::spawn(move || {
            // A program may end without having read all of it.
            let _ = pipe.write_all(&input);
        });
        let ended = run.end();
        // A program that has ended reads no more, so the writer is about to end too.
        writer.join().unwrap();
        ended
    }

    /// The same without any input.
    #[track_caller]
    pub(crate) fn run(self) -> Ended {
        self.with("")
    }
}

impl Run {
    /// Writes to its standard input, which stays open.
    #[track_caller]
    pub(crate) fn say(&mut self, text: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("an open standard input");
        input.write_all(text.as_ref()).unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Takes its standard input, to be written by somebody else.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.input.take().expect("an open standard input")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// From now on it can open no file whose number would be `most` or more.
    pub(crate) fn allow_files(&self, most: u64) {
        let pid = Some(Pid::from_child(&self.child));
        let limits = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        prlimit(pid, Resource::Nofile, limits).unwrap();
    }

    /// Processor time so far, in ticks of 10 ms.
    #[track_caller]
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may hold anything: proc_pid_stat(5), fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Waits until it has only this many threads.
    #[track_caller]
    pub(crate) fn until_threads(&self, count: usize) {
        let tasks = format!("/proc/{}/task", self.id());
        let start = Instant::now();
        while std::fs::read_dir(&tasks).unwrap().count() != count {
            assert!(start.elapsed() < LONG, "{} keeps its threads", self.name);
            std::thread::yield_now();
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and for the end of its output.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Ended {
        self.end_within(LONG)
    }

    /// Writes `data` to its standard input while it answers, and waits for its end.
    #[track_caller]
    pub(crate) fn pass(&mut self, data: &[u8], limit: Duration) -> Ended {
        let mut input = self.take_input();
        let sent = data.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&sent));
        let ended = self.end_within(limit);
        writer.join().unwrap().unwrap();
        ended
    }

    /// As [`end`](Self::end), for what takes its time.
    #[track_caller]
    pub(crate) fn end_within(&mut self, limit: Duration) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < limit,
                "it did not end: {}\nout: {:?}\nerr: {}",
                self.name,
                self.out.text().chars().take(500).collect::<String>(),
                self.err.text().chars().take(2000).collect::<String>()
            );
            std::thread::sleep(Duration::from_millis(2));
        };
        let after = start.elapsed();
        self.out.to_the_end();
        self.err.to_the_end();
        Ended {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            out: self.out.bytes(),
            err: self.err.text(),
            after,
        }
    }

    /// Ends standard input and waits for the end.
    #[track_caller]
    pub(crate) fn hang_up_and_end(&mut self) -> Ended {
        self.hang_up();
        self.end()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process wrote so far.
#[derive(Clone, Default)]
pub(crate) struct Gathered(Arc<(Mutex<Gathering>, Condvar)>);

#[derive(Default)]
struct Gathering {
    bytes: Vec<u8>,
    ended: bool,
}

impl<R: Read + Send + 'static> From<R> for Gathered {
    fn from(mut source: R) -> Self {
        let gathered = Self::default();
        let filled = gathered.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let n = source.read(&mut buffer).unwrap_or(0);
                let mut gathering = filled.lock();
                gathering.bytes.extend_from_slice(&buffer[..n]);
                gathering.ended = n == 0;
                filled.0.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        gathered
    }
}

impl Gathered {
    /// Of an output that goes elsewhere.
    fn nothing() -> Self {
        Self::from(std::io::empty())
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    #[track_caller]
    fn wait(&self, what: &dyn Debug, enough: impl Fn(&[u8]) -> bool, ends: bool) -> Vec<u8> {
        let start = Instant::now();
        let mut gathering = self.lock();
        loop {
            if enough(&gathering.bytes) || ends && gathering.ended {
                return gathering.bytes.clone();
            }
            let shown = || {
                gathering
                    .bytes
                    .iter()
                    .take(2000)
                    .copied()
                    .collect::<Vec<_>>()
            };
            let shown = || String::from_utf8_lossy(&shown()).escape_debug().to_string();
            assert!(
                !gathering.ended,
                "the end came before {what:?}: {}",
                shown()
            );
            let left = LONG.checked_sub(start.elapsed());
            let left = left.unwrap_or_else(|| panic!("{what:?} did not come: {}", shown()));
            let waited = self.0.1.wait_timeout(gathering, left);
            gathering = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for `text`; gives everything so far.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) -> String {
        let found = |bytes: &[u8]| contains(bytes, text.as_bytes());
        String::from_utf8_lossy(&self.wait(&text, found, false)).into_owned()
    }

    /// Waits for the rest of the line that begins with `start` (anywhere in a line); gives the rest.
    #[track_caller]
    pub(crate) fn rest_of(&self, start: &str) -> String {
        let rest = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let (_, rest) = text.split_once(start)?;
            rest.split_once('\n').map(|(line, _)| line.to_owned())
        };
        let all = self.wait(&start, |bytes| rest(bytes).is_some(), false);
        rest(&all).unwrap()
    }

    /// Waits for `n` bytes.
    #[track_caller]
    pub(crate) fn at_least(&self, n: usize) -> Vec<u8> {
        self.wait(&format!("{n} bytes"), |bytes| bytes.len() >= n, false)
    }

    /// Waits for the end; gives everything.
    #[track_caller]
    pub(crate) fn whole(&self) -> Vec<u8> {
        self.wait(&"the end", |_| false, true)
    }

    #[track_caller]
    fn to_the_end(&self) {
        self.wait(&"the end", |_| false, true);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// A `sockeye serve` that is ready, on ports that the system chose.
pub(crate) struct Server {
    pub(crate) run: Run,
    /// The address of the first socket: `127.0.0.1:41237`, or a path.
    pub(crate) at: String,
}

impl Server {
    /// `serve` with these words; they name an address with port 0, or a path.
    #[track_caller]
    pub(crate) fn start(line: &str) -> Self {
        Self::of(words(line))
    }

    #[track_caller]
    pub(crate) fn of<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        Self::ready(sockeye(std::iter::once("serve".into()).chain(words)))
    }

    /// Starts the line and waits until it listens.
    #[track_caller]
    pub(crate) fn ready(line: Line) -> Self {
        let run = line.start();
        let at = run.err.rest_of("listening ");
        let (_, at) = at.split_once(' ').expect("`listening PROTOCOL ADDRESS`");
        Self {
            at: at.to_owned(),
            run,
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.at.rsplit(':').next().unwrap()
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        dial(&self.at)
    }
}

/// A connection of ours, whose reads give up.
pub(crate) fn dial(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    patient(&stream);
    stream
}

fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
}

/// A TCP listener of ours: what a peer sees on the wire.
pub(crate) struct Listener(pub(crate) TcpListener);

impl Listener {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn at(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        readable(&self.0);
        let (stream, _) = self.0.accept().unwrap();
        patient(&stream);
        stream
    }
}

/// Waits until something can be read or accepted.
#[track_caller]
pub(crate) fn readable(fd: &impl std::os::fd::AsFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec {
        tv_sec: LONG.as_secs() as i64,
        tv_nsec: 0,
    };
    let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert!(ready > 0, "nothing came");
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// An orderly end: FIN.
    Fin,
    /// RST.
    Reset,
    /// It is still open, and nothing stands ready.
    Open,
}

/// Reads to the end of the direction: what came, and how it ended.
#[track_caller]
pub(crate) fn drain(stream: &mut impl Read) -> (Vec<u8>, Wire) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, Wire::Fin),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, Wire::Reset),
        Err(error) => panic!("neither FIN nor RST: {error}, after {} bytes", bytes.len()),
    }
}

/// Reads exactly what is expected.
#[track_caller]
pub(crate) fn hear(stream: &mut impl Read, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

/// What can be seen of the other direction without waiting.
#[track_caller]
pub(crate) fn now(stream: &TcpStream) -> Wire {
    stream.set_nonblocking(true).unwrap();
    let seen = match (&*stream).read(&mut [0; 16]) {
        Ok(0) => Wire::Fin,
        Ok(n) => panic!("{n} more bytes"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Wire::Open,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Wire::Reset,
        Err(error) => panic!("{error}"),
    };
    stream.set_nonblocking(false).unwrap();
    seen
}

/// Closes with RST instead of FIN.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// Bytes of every value, the same each time.
pub(crate) fn binary(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(step).take(size).collect()
}

/// A place for sockets and files.
pub(crate) fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new().unwrap())
}

pub(crate) fn path(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// `sockeye connect` with these words.
pub(crate) fn connect(line: &str) -> Line {
    sockeye(std::iter::once("connect").chain(words(line)))
}

/// The place in `text` as a JSON object for each line.
#[track_caller]
pub(crate) fn objects(text: &str) -> Vec<serde_json::Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(read).collect()
}
