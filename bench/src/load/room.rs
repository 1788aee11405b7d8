//! A room: one writes and many read, in whichever way the server wants to be spoken to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::tcp::beside;
use super::{Counters, Watched, Window};
use crate::process::Group;

/// What is said, with its end: the sign at its beginning is in nothing else that a server sends.
const LINE: &[u8; 64] = b"^sockeye bench: sixty-four bytes, as a line of a chat may have.\n";
const SIGN: u8 = b'^';
/// How many lines are on their way at once.
const BATCH: usize = 32;
/// A line that takes longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a room is entered and spoken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Plain lines, after a greeting.
    Sockeye,
    /// Plain lines.
    Ncat,
    /// RFC 2812.
    Irc,
    /// The client protocol of NATS.
    Nats,
}

impl Speech {
    /// What member `number` begins with, and what the line that lets it in has in it.
    fn enter(self, number: usize) -> (String, &'static str) {
        match self {
            Self::Sockeye => (String::new(), "* you are in #lobby"),
            Self::Ncat => (String::new(), "<announce>"),
            Self::Irc => (
                format!("NICK m{number}\r\nUSER m 0 * :m\r\nJOIN #lobby\r\n"),
                " 366 ",
            ),
            Self::Nats => (
                "CONNECT {\"verbose\":false}\r\nSUB lobby 1\r\nPING\r\n".to_owned(),
                "PONG",
            ),
        }
    }

    fn say(self) -> Vec<u8> {
        let text = LINE.trim_ascii_end();
        match self {
            Self::Sockeye | Self::Ncat => LINE.into(),
            Self::Irc => [b"PRIVMSG #lobby :", text, b"\r\n"].concat(),
            Self::Nats => {
                let head = format!("PUB lobby {}\r\n", text.len());
                [head.as_bytes(), text, b"\r\n"].concat()
            }
        }
    }
}

/// Comes in as member `number`.
pub(crate) fn enter(address: SocketAddr, speech: Speech, number: usize) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (words, answer) = speech.enter(number);
    (&stream)
        .write_all(words.as_bytes())
        .context("asking to be let in")?;
    // Nothing of the room has come yet, so nothing is lost with the buffer.
    let mut reader = BufReader::new(&stream);
    let mut line = Vec::new();
    while !String::from_utf8_lossy(&line).contains(answer) {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("member {number} is not let in"))?;
        ensure!(read > 0, "member {number} is thrown out");
    }
    Ok(stream)
}

/// Everyone in a room.
pub(crate) struct Room {
    writer: TcpStream,
    readers: Vec<TcpStream>,
    line: Vec<u8>,
}

impl Room {
    pub(crate) fn fill(address: SocketAddr, speech: Speech, readers: usize) -> Result<Self> {
        let mut room = Self {
            writer: enter(address, speech, 0)?,
            readers: Vec::new(),
            line: speech.say(),
        };
        for number in 1..=readers {
            room.readers.push(enter(address, speech, number)?);
            // Who is told of everybody who comes must not be full of that when the first line is said.
            if number % 20 == 0 || number == readers {
                room.read_news()?;
            }
        }
        Ok(room)
    }

    /// Reads what has come for anybody.
    fn read_news(&self) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        for mut stream in self.readers.iter().chain([&self.writer]) {
            stream.set_nonblocking(true)?;
            while matches!(stream.read(&mut buffer), Ok(1..)) {}
            stream.set_nonblocking(false)?;
        }
        Ok(())
    }

    /// The writer says a batch of lines whenever all readers have heard all of the one before. What is counted is
    /// each line at each reader.
    pub(crate) fn talk(&self, server: &Group, window: Window) -> Result<Watched> {
        let counters = &Counters::default();
        let heard = &Heard::default();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let share = self.readers.len().div_ceil((cpus / 2).max(1)).max(1);
        let readers = self.readers.chunks(share).map(Part::Read);
        let parts = std::iter::once(Part::Write(self)).chain(readers);
        let loads = parts.map(|part| move || part.play(counters, heard));
        beside(counters, loads.collect(), server, window)
    }
}

/// What one thread does.
enum Part<'a> {
    Write(&'a Room),
    Read(&'a [TcpStream]),
}

impl Part<'_> {
    fn play(self, counters: &Counters, heard: &Heard) -> Result<()> {
        match self {
            Self::Write(room) => write(room, counters, heard),
            Self::Read(readers) => read(readers, counters, heard),
        }
    }
}

/// How many lines have been heard by all readers together, and the writer's sleep until it is enough.
#[derive(Default)]
struct Heard {
    lines: Mutex<u64>,
    more: Condvar,
}

impl Heard {
    fn add(&self, lines: u64) {
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) += lines;
        self.more.notify_one();
    }

    /// Whether there are as many before it takes too long.
    fn wait(&self, lines: u64, counters: &Counters) -> bool {
        let began = Instant::now();
        let mut heard = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while *heard < lines && !counters.stopped() {
            if began.elapsed() > PATIENCE {
                return false;
            }
            let waited = self.more.wait_timeout(heard, Duration::from_millis(100));
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn write(room: &Room, counters: &Counters, heard: &Heard) -> Result<()> {
    // Each line is a write of its own, as whoever types or logs lines makes them.
    room.writer.set_nodelay(true)?;
    let each = (room.readers.len() * BATCH) as u64;
    for round in 1.. {
        for _ in 0..BATCH {
            (&room.writer)
                .write_all(&room.line)
                .context("saying a line")?;
        }
        counters.sent.fetch_add(BATCH as u64, Ordering::Relaxed);
        ensure!(
            heard.wait(round * each, counters),
            "not everyone has heard everything"
        );
        if counters.stopped() {
            break;
        }
    }
    Ok(())
}

fn read(readers: &[TcpStream], counters: &Counters, heard: &Heard) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("making an epoll")?;
    for (stream, index) in readers.iter().zip(0..) {
        stream.set_nonblocking(true)?;
        epoll
            .add(stream, EpollEvent::new(EpollFlags::EPOLLIN, index))
            .context("watching a socket")?;
    }
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; 64 * 1024];
    while !counters.stopped() {
        let ready = epoll
            .wait(&mut events, 100_u8)
            .context("waiting for lines")?;
        let mut lines = 0;
        for event in &events[..ready] {
            let index = usize::try_from(event.data()).context("an event of no socket")?;
            let mut stream = &readers[index];
            let count = match stream.read(&mut buffer) {
                Ok(0) => return Err(anyhow!("the server closed connection {index}")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).context("waiting for a line"),
            };
            lines += buffer[..count].iter().filter(|byte| **byte == SIGN).count() as u64;
        }
        counters.done.fetch_add(lines, Ordering::Relaxed);
        heard.add(lines);
    }
    Ok(())
}
