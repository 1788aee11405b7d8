//! What the ends of the scenarios do, each a few calls of the sockets' interface.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread::sleep;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::stage::{Stage, drain};
use crate::lab::PORT;

const HELLO: &[u8; 5] = b"hello";
const SEGMENT: usize = 1448;

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

// --- Clients -----------------------------------------------------------------------------------------------

/// Opens and closes.
pub(super) fn open(stage: &Stage<'_>) -> io::Result<()> {
    let stream = stage.connect()?;
    stage.meet()?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Says hello, hears the answer, and closes.
pub(super) fn ask(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(HELLO)?;
    stream.read_exact(&mut [0; 5])?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Says all it has to say and finishes, then listens.
pub(super) fn finish_first(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(b"what is there?\n")?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Nobody answers.
pub(super) fn call_in_vain(stage: &Stage<'_>) -> io::Result<()> {
    match stage.connect_within(ms(4500)) {
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("was answered after all")),
    }
}

/// Nobody listens.
pub(super) fn be_refused(stage: &Stage<'_>) -> io::Result<()> {
    match stage.connect() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("was not refused")),
    }
}

/// Calls the other end, which calls at the same moment, and closes.
pub(super) fn call_and_close(stage: &Stage<'_>) -> io::Result<()> {
    stage.meet()?;
    let stream = stage.connect_from(PORT)?;
    stage.meet()?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// The same, but the other end closes.
pub(super) fn call_and_listen(stage: &Stage<'_>) -> io::Result<()> {
    stage.meet()?;
    let stream = stage.connect_from(PORT)?;
    stage.meet()?;
    drain(&stream).map(drop)
}

/// So many bytes at once, and then nothing more.
fn send(stage: &Stage<'_>, bytes: usize) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(&vec![b'x'; bytes])?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Twenty segments: enough to tell of a loss.
pub(super) fn send_twenty(stage: &Stage<'_>) -> io::Result<()> {
    send(stage, 20 * SEGMENT)
}

/// Four segments, and hears that they have come before it closes.
pub(super) fn send_four(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(&[b'x'; 4 * SEGMENT])?;
    stream.read_exact(&mut [0; 1])?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// More than the server has room for.
pub(super) fn send_too_much(stage: &Stage<'_>) -> io::Result<()> {
    send(stage, 16 * 1024)
}

/// Enough to see how it becomes faster.
pub(super) fn send_much(stage: &Stage<'_>) -> io::Result<()> {
    send(stage, 400 * 1024)
}

/// Three short writes, one behind the other.
pub(super) fn write_in_pieces(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    for piece in [b"one", b"two", b"six"] {
        stream.write_all(piece)?;
    }
    stream.read_exact(&mut [0; 1])?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Says hello and gives up.
pub(super) fn break_off(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(HELLO)?;
    stream.read_exact(&mut [0; 5])?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Says hello, and is thrown out.
pub(super) fn be_thrown_out(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(HELLO)?;
    expect_reset(drain(&stream))
}

fn expect_reset(read: io::Result<u64>) -> io::Result<()> {
    match read {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("saw an orderly end where a reset was due")),
    }
}

/// Has nothing to say for some seconds, and asks whether the server is still there.
pub(super) fn keep_alive(stage: &Stage<'_>) -> io::Result<()> {
    let stream = stage.connect()?;
    let every = Duration::from_secs(1);
    let often = TcpKeepalive::new().with_time(every).with_interval(every);
    SockRef::from(&stream).set_tcp_keepalive(&often)?;
    sleep(ms(3300));
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Hello and its answer, and then both close at the same moment.
pub(super) fn ask_and_close_at_once(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.connect()?;
    stream.write_all(HELLO)?;
    stream.read_exact(&mut [0; 5])?;
    // Whatever acknowledges the answer has arrived, so that only the ends of both are on the way.
    sleep(ms(100));
    stage.meet()?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

// --- Servers -----------------------------------------------------------------------------------------------

/// Accepts, and closes when the client has.
pub(super) fn accept(stage: &Stage<'_>) -> io::Result<()> {
    let stream = stage.accept()?;
    stage.meet()?;
    drain(&stream).map(drop)
}

/// Answers in capitals, and closes when the client has.
pub(super) fn answer(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.accept()?;
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(b"HELLO")?;
    drain(&stream).map(drop)
}

/// The same, but it takes its time to close: its FIN comes after its ACK.
pub(super) fn answer_and_dawdle(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.accept()?;
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(b"HELLO")?;
    drain(&stream)?;
    sleep(ms(120));
    Ok(())
}

pub(super) fn answer_and_close_at_once(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.accept()?;
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(b"HELLO")?;
    stage.meet()?;
    stream.shutdown(Shutdown::Write)?;
    drain(&stream).map(drop)
}

/// Goes on talking to a client that has finished.
pub(super) fn answer_at_length(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.accept()?;
    drain(&stream)?;
    for line in ["bread\n", "cheese\n", "wine\n"] {
        stream.write_all(line.as_bytes())?;
        sleep(ms(60));
    }
    Ok(())
}

/// Reads everything.
pub(super) fn read_all(stage: &Stage<'_>) -> io::Result<()> {
    drain(&stage.accept()?).map(drop)
}

/// Reads four segments, and says that it has.
pub(super) fn confirm_four(stage: &Stage<'_>) -> io::Result<()> {
    confirm(stage, 4 * SEGMENT)
}

/// Reads three short pieces, and says that it has.
pub(super) fn confirm_pieces(stage: &Stage<'_>) -> io::Result<()> {
    confirm(stage, 9)
}

fn confirm(stage: &Stage<'_>, bytes: usize) -> io::Result<()> {
    let mut stream = stage.accept()?;
    stream.read_exact(&mut vec![0; bytes])?;
    stream.write_all(b".")?;
    drain(&stream).map(drop)
}

/// Has little room, and reads only after a while.
pub(super) fn read_late(stage: &Stage<'_>) -> io::Result<()> {
    let (stream, _) = stage.listen(Some(4096))?.accept()?;
    sleep(ms(2200));
    drain(&stream).map(drop)
}

/// Closes without having read what has come.
pub(super) fn close_unread(stage: &Stage<'_>) -> io::Result<()> {
    let stream = stage.accept()?;
    stream.peek(&mut [0; 1]).map(drop)
}

/// Answers once, and is left.
pub(super) fn answer_and_be_left(stage: &Stage<'_>) -> io::Result<()> {
    let mut stream = stage.accept()?;
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(b"HELLO")?;
    expect_reset(drain(&stream))
}

/// Is there, but no program listens.
pub(super) fn be_deaf(stage: &Stage<'_>) -> io::Result<()> {
    stage.ready();
    Ok(())
}

/// Listens, but nothing ever comes through.
pub(super) fn listen_in_vain(stage: &Stage<'_>) -> io::Result<()> {
    let listener = stage.listen(None)?;
    listener.set_nonblocking(true)?;
    sleep(ms(4600));
    match listener.accept() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("was reached after all")),
    }
}
