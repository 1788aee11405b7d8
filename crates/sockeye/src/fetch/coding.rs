//! Content that was compressed on its way (RFC 9110, section 8.4): gzip.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Compressed bytes that are decompressed at once: what comes of them is at most a thousand times as much.
const STEP: usize = 4 * 1024;

/// Decompresses a stream, a step at a time.
pub(super) struct Decoder {
    gzip: MultiGzDecoder<Vec<u8>>,
    waiting: Bytes,
    began: bool,
}

impl Decoder {
    /// What decompresses an answer with these fields; `None` when nothing has to.
    ///
    /// # Errors
    /// When it is compressed in a way that nobody asked for.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let Some(coding) = headers.get(CONTENT_ENCODING) else {
            return Ok(None);
        };
        let coding = String::from_utf8_lossy(coding.as_bytes()).to_ascii_lowercase();
        match coding.trim() {
            "gzip" | "x-gzip" => Ok(Some(Self {
                gzip: MultiGzDecoder::new(Vec::new()),
                waiting: Bytes::new(),
                began: false,
            })),
            "" | "identity" => Ok(None),
            other => Err(format!(
                "it is compressed as {other}, which nobody asked for"
            )),
        }
    }

    /// Takes what came. What it means is given by [`next`](Self::next), and must be taken before more comes.
    pub(super) fn push(&mut self, data: Bytes) {
        self.began |= !data.is_empty();
        self.waiting = data;
    }

    /// The next bytes; `None` when more must come.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.waiting.has_remaining() {
            let step = self.waiting.split_to(self.waiting.len().min(STEP));
            self.gzip.write_all(&step).map_err(wrong)?;
            let out = std::mem::take(self.gzip.get_mut());
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    /// The last bytes.
    ///
    /// # Errors
    /// When the compressed bytes are not whole.
    pub(super) fn finish(&mut self) -> io::Result<Bytes> {
        // An answer without content is no gzip, whatever its head says of it.
        if self.began {
            self.gzip.try_finish().map_err(wrong)?;
        }
        Ok(std::mem::take(self.gzip.get_mut()).into())
    }
}

fn wrong(error: io::Error) -> io::Error {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the compressed content is not whole".to_owned(),
        _ => format!("the content is no gzip: {error}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn packed(data: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn decoder(coding: &str) -> Result<Option<Decoder>, String> {
        let coding = (CONTENT_ENCODING, coding.parse().unwrap());
        Decoder::of(&HeaderMap::from_iter([coding]))
    }

    fn unpacked(pieces: &[Bytes]) -> io::Result<Vec<u8>> {
        let mut decoder = decoder("gzip").unwrap().unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            decoder.push(piece.clone());
            while let Some(data) = decoder.next()? {
                assert!(data.len() < STEP * 1100, "{} bytes at once", data.len());
                all.extend_from_slice(&data);
            }
        }
        all.extend_from_slice(&decoder.finish()?);
        Ok(all)
    }

    #[test]
    fn it_comes_out_as_it_went_in_however_it_is_cut() {
        let data: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let whole = packed(&data);
        let cut = whole.slice(..1000);
        assert!(unpacked(&[cut.clone(), whole.slice(1000..)]).unwrap() == data);
        let bytes: Vec<_> = packed(b"hello")
            .iter()
            .map(|byte| Bytes::copy_from_slice(&[*byte]))
            .collect();
        assert_eq!(unpacked(&bytes).unwrap(), b"hello");
        assert_eq!(unpacked(&[]).unwrap(), b"");
        let not_whole = unpacked(&[cut]).unwrap_err().to_string();
        assert_eq!(not_whole, "the compressed content is not whole");
        let wrong = unpacked(&["<html>no gzip at all".into()])
            .unwrap_err()
            .to_string();
        assert!(wrong.starts_with("the content is no gzip"), "{wrong}");
    }

    #[test]
    fn a_bomb_comes_out_in_pieces() {
        let data = vec![0; 64 << 20];
        assert_eq!(unpacked(&[packed(&data)]).unwrap().len(), data.len());
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        assert!(decoder("identity").unwrap().is_none());
        assert!(decoder("X-GZIP").unwrap().is_some());
        assert!(decoder("br").err().unwrap().contains("br"));
    }
}
