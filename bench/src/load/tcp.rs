//! TCP: a closed loop of questions and answers over many connections, one in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{Counters, Watched, Window, watch};
use crate::process::Group;

const MESSAGE: [u8; 64] = *b"sockeye bench: sixty-four bytes, as a small message often has..\n";

/// What is asked, and what comes back: the same number of bytes each time, with the same beginning.
#[derive(Clone)]
pub(crate) struct Talk {
    pub(crate) question: Vec<u8>,
    pub(crate) answer: usize,
    pub(crate) begins: Vec<u8>,
}

impl Talk {
    fn echo() -> Self {
        Self {
            question: MESSAGE.into(),
            answer: MESSAGE.len(),
            begins: MESSAGE.into(),
        }
    }
}

/// Opens `count` connections and has one message answered on each, so that every session exists.
pub(crate) fn connect(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| open(address)).collect()
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = [0; MESSAGE.len()];
    (&stream)
        .write_all(&MESSAGE)
        .context("sending the first message")?;
    (&stream)
        .read_exact(&mut answer)
        .context("waiting for the first answer")?;
    ensure!(
        answer == MESSAGE,
        "the answer is not an echo: {:?}",
        answer.escape_ascii().to_string()
    );
    Ok(stream)
}

/// One connection, on one CPU together with the server.
pub(crate) fn ping_pong(stream: &TcpStream, server: &Group, window: Window) -> Result<Watched> {
    let (all, one) = (super::cpus()?, super::one_cpu()?);
    server.pin(&one);
    let counters = Counters::default();
    let load = || -> Result<()> {
        super::pin(&one)?;
        let (mut stream, mut answer) = (stream, [0; MESSAGE.len()]);
        while !counters.stopped() {
            stream.write_all(&MESSAGE).context("sending")?;
            stream
                .read_exact(&mut answer)
                .context("waiting for an answer")?;
            counters.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let watched = beside(&counters, vec![load], server, window);
    server.pin(&all);
    watched
}

/// Many connections with an echo server.
pub(crate) fn many(streams: &[TcpStream], server: &Group, window: Window) -> Result<Watched> {
    talk(streams, &Talk::echo(), server, window)
}

/// Many connections, shared out to as many threads as leave half of the CPUs to the server.
pub(crate) fn talk(
    streams: &[TcpStream],
    talk: &Talk,
    server: &Group,
    window: Window,
) -> Result<Watched> {
    let counters = &Counters::default();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let share = streams.len().div_ceil((cpus / 2).max(1)).max(1);
    let loads = streams
        .chunks(share)
        .map(|streams| move || rounds(streams, talk, counters))
        .collect();
    beside(counters, loads, server, window)
}

/// Runs the load threads while the window is watched; any of them failing is a failed sample.
pub(super) fn beside<L>(
    counters: &Counters,
    loads: Vec<L>,
    server: &Group,
    window: Window,
) -> Result<Watched>
where
    L: FnOnce() -> Result<()> + Send,
{
    thread::scope(|scope| {
        let loads: Vec<_> = loads.into_iter().map(|load| scope.spawn(load)).collect();
        let watched = watch(counters, server, window);
        counters.stop();
        for load in loads {
            load.join()
                .map_err(|_| anyhow!("a load thread panicked"))??;
        }
        watched
    })
}

fn rounds(streams: &[TcpStream], talk: &Talk, counters: &Counters) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("making an epoll")?;
    for (stream, index) in streams.iter().zip(0..) {
        stream.set_nonblocking(true)?;
        epoll
            .add(stream, EpollEvent::new(EpollFlags::EPOLLIN, index))
            .context("watching a socket")?;
    }
    for mut stream in streams {
        stream.write_all(&talk.question).context("sending")?;
    }
    let mut owed = vec![talk.answer; streams.len()];
    // At the end all that was asked is answered: nothing of this load reaches into what comes next.
    let mut waiting = streams.len();
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; 64 * 1024];
    while waiting > 0 {
        let ready = epoll
            .wait(&mut events, 100_u8)
            .context("waiting for answers")?;
        let mut done = 0;
        for event in &events[..ready] {
            let index = usize::try_from(event.data()).context("an event of no socket")?;
            let mut stream = &streams[index];
            let count = match stream.read(&mut buffer) {
                Ok(0) => return Err(anyhow!("the server closed connection {index}")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).context("waiting for an answer"),
            };
            let begins = &talk.begins[..talk.begins.len().min(count)];
            ensure!(
                owed[index] < talk.answer || buffer.starts_with(begins),
                "not the answer: {:?}",
                buffer[..count].escape_ascii().to_string()
            );
            let left = owed[index].checked_sub(count);
            owed[index] = left.context("the server sent more than it got")?;
            if owed[index] > 0 {
                continue;
            }
            done += 1;
            if counters.stopped() {
                waiting -= 1;
                continue;
            }
            // Never blocks: a buffer that holds no unanswered message has room for one.
            stream.write_all(&talk.question).context("sending")?;
            owed[index] = talk.answer;
        }
        counters.done.fetch_add(done, Ordering::Relaxed);
    }
    Ok(())
}
