//! Compressing and decompressing messages, one direction each (RFC 7692, section 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Direction;
use crate::websocket::Violation;

/// Ends each message, and is left out of it (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The smallest window that zlib can compress for. 8 can be agreed on; then nothing is compressed, which
/// the extension allows for any message (section 6).
const SMALLEST: u8 = 9;

/// The most room that is made before anything is decompressed.
const FIRST: usize = 64 * 1024;

/// The most room that is made at once for what is compressed.
const STEP: usize = 64 * 1024;

/// Decompresses what a peer sends.
#[derive(Debug)]
pub(in crate::websocket) struct Inflater {
    takeover: bool,
    /// None while there is nothing to remember.
    stream: Option<Decompress>,
}

/// Compresses what we send.
#[derive(Debug)]
pub(in crate::websocket) struct Deflater {
    direction: Direction,
    /// None while there is nothing to remember.
    stream: Option<Compress>,
}

impl Inflater {
    pub(in crate::websocket) fn new(direction: Direction) -> Self {
        // The window is the largest whatever was agreed on: it can read what was written for a smaller one.
        Self {
            takeover: direction.takeover,
            stream: None,
        }
    }

    /// Appends what `part` of a message decompresses to; `is_end`: it is the last part. A message may have
    /// `limit` bytes, and nothing is decompressed beyond.
    pub(in crate::websocket) fn inflate(
        &mut self,
        part: &[u8],
        is_end: bool,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Violation> {
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        run(stream, part, out, limit)?;
        if is_end {
            run(stream, &TAIL, out, limit)?;
            if !self.takeover {
                self.stream = None;
            }
        }
        Ok(())
    }
}

fn run(
    stream: &mut Decompress,
    mut part: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Violation> {
    // One byte beyond the limit tells that it is exceeded.
    let most = limit.saturating_add(1);
    loop {
        if out.len() == out.capacity() {
            // Doubled, so that no more room is made than was filled before.
            let first = part.len().saturating_mul(3).clamp(256, FIRST);
            out.reserve_exact(first.max(out.len()).min(most - out.len()));
        }
        let before = stream.total_in();
        let status = stream.decompress_vec(part, out, FlushDecompress::Sync);
        part = &part[(stream.total_in() - before) as usize..];
        if out.len() > limit {
            out.truncate(limit);
            return Err(Violation::TooLong { limit });
        }
        match status {
            // A final block may stand in the middle (section 7.2.3.4): what follows may still refer to what
            // came before.
            Ok(Status::StreamEnd) => {
                stream.reset(false);
                let window = &out[out.len().saturating_sub(1 << 15)..];
                stream
                    .set_dictionary(window)
                    .map_err(|_| Violation::Damaged)?;
            }
            // With room left in the output, all that the input gives has come.
            Ok(Status::Ok | Status::BufError) if out.len() < out.capacity() => {
                return if part.is_empty() {
                    Ok(())
                } else {
                    Err(Violation::Damaged)
                };
            }
            Ok(Status::Ok | Status::BufError) => {}
            Err(_) => return Err(Violation::Damaged),
        }
        if part.is_empty() && out.len() < out.capacity() {
            return Ok(());
        }
    }
}

impl Deflater {
    /// `None`: nothing can be compressed for that direction.
    pub(in crate::websocket) fn new(direction: Direction) -> Option<Self> {
        (direction.window_bits >= SMALLEST).then_some(Self {
            direction,
            stream: None,
        })
    }

    /// Appends `message`, compressed.
    pub(in crate::websocket) fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message.is_empty() {
            // An empty block; zlib would not write a second one in a row (section 7.2.3.6).
            out.push(0x00);
            return;
        }
        let bits = self.direction.window_bits;
        let stream = self.stream.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::default(), false, bits)
        });
        let mut rest = message;
        loop {
            out.reserve((rest.len() + rest.len() / 8 + 64).min(STEP));
            let before = stream.total_in();
            let compressed = stream.compress_vec(rest, out, FlushCompress::Sync);
            debug_assert!(compressed.is_ok(), "only a wrong state is an error");
            rest = &rest[(stream.total_in() - before) as usize..];
            if compressed.is_err() || rest.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        debug_assert!(out.ends_with(&TAIL), "a sync flush ends so");
        out.truncate(out.len() - TAIL.len());
        if !self.direction.takeover {
            self.stream = None;
        }
    }
}
