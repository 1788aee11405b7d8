//! WebSocket (RFC 6455) by hand: the handshake, and frames that are made once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::tcp::Talk;

/// `depth` binary messages of `size` bytes at once, and their echo.
pub(crate) fn talk(size: usize, depth: usize) -> Talk {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
    let masked = payload.iter().zip(KEY.iter().cycle());
    let masked: Vec<u8> = masked.map(|(byte, key)| byte ^ key).collect();
    let answer = [frame_head(size, 0), payload].concat();
    let question = [frame_head(size, 0x80), KEY.to_vec(), masked].concat();
    Talk {
        question: question.repeat(depth),
        answer: answer.len() * depth,
        begins: answer,
    }
}

/// A whole binary message; `mask`: the bit that says that a key follows.
fn frame_head(size: usize, mask: u8) -> Vec<u8> {
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(size @ ..126), _) => vec![0x82, mask | size],
        (_, Ok(size)) => [&[0x82, mask | 126], &size.to_be_bytes()[..]].concat(),
        _ => [&[0x82, mask | 127], &(size as u64).to_be_bytes()[..]].concat(),
    }
}

/// Opens a session and has one message echoed.
pub(crate) fn open(address: SocketAddr) -> Result<TcpStream> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .context("asking for a session")?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .context("waiting for the answer to the handshake")?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101 "), "no session: {head}");
    let talk = talk(64, 1);
    stream
        .write_all(&talk.question)
        .context("sending the first message")?;
    let mut answer = vec![0; talk.answer];
    stream
        .read_exact(&mut answer)
        .context("waiting for the first echo")?;
    ensure!(
        answer == talk.begins,
        "the answer is not an echo: {answer:02x?}"
    );
    Ok(stream)
}
