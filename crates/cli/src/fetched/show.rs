//! Content on standard output: as it came, or for a terminal as text that cannot drive it.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use http::HeaderMap;
use sockeye::fetch::content_type;
use wire::text::{Decoder, Encoding, printable_block};

use crate::failure::Usage;

/// Bytes that are looked at for what the content is.
const LOOK: usize = 1024;

/// Standard output.
pub(super) struct Screen {
    /// `None` where bytes pass as they are.
    terminal: Option<Terminal>,
    /// The reader has gone.
    gone: bool,
}

struct Terminal {
    /// What the head says.
    kind: String,
    charset: Option<String>,
    /// The beginning, until it is known what it is.
    beginning: Vec<u8>,
    decoder: Option<Decoder>,
    /// A carriage return that may be half of a line end.
    held: bool,
    ends_line: bool,
}

impl Screen {
    /// For content with these fields; `anything`: it was said that it may be shown whatever it is.
    pub(super) fn new(headers: &HeaderMap, anything: bool) -> Self {
        let (kind, charset) = content_type(headers);
        let terminal = (!anything && io::stdout().is_terminal()).then_some(Terminal {
            kind,
            charset,
            beginning: Vec::new(),
            decoder: None,
            held: false,
            ends_line: true,
        });
        Self {
            terminal,
            gone: false,
        }
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Shows text that is not the content.
    pub(super) fn show(&mut self, text: &[u8]) -> Result<()> {
        let shown = match self.terminal {
            Some(_) => printable_block(&String::from_utf8_lossy(text))
                .into_owned()
                .into_bytes(),
            None => text.to_vec(),
        };
        self.put(&shown)
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        let Some(terminal) = &mut self.terminal else {
            return self.put(data);
        };
        let shown = terminal.push(data)?;
        self.put(shown.as_bytes())
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let Some(terminal) = &mut self.terminal else {
            return Ok(());
        };
        let shown = terminal.finish()?;
        self.put(shown.as_bytes())
    }

    /// A reader who leaves, as `head` does, has seen enough: that is no failure.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Err(error.into())
            }
            written => written.context("cannot write to standard output"),
        }
    }
}

impl Terminal {
    fn push(&mut self, data: &[u8]) -> Result<String> {
        if self.decoder.is_some() {
            return Ok(self.decode(data));
        }
        self.beginning.extend_from_slice(data);
        match self.beginning.len() < LOOK {
            true => Ok(String::new()),
            false => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<String> {
        let beginning = std::mem::take(&mut self.beginning);
        let look = &beginning[..beginning.len().min(LOOK)];
        let encoding = self.encoding(look);
        let wide = encoding.name().starts_with("utf-16");
        if look.contains(&0) && !wide {
            let what = "what comes is no text, and could confuse the terminal: -o FILE saves it, -o - shows it anyway";
            return Err(Usage(what.to_owned()).into());
        }
        self.decoder = Some(encoding.decoder());
        Ok(self.decode(&beginning))
    }

    /// As the head says, or a page itself (`<meta charset=…>`), or UTF-8.
    fn encoding(&self, look: &[u8]) -> Encoding {
        let read = |name: &str| name.parse::<Encoding>().ok();
        let said = self.charset.as_deref().and_then(read);
        let of_page = || {
            let text = String::from_utf8_lossy(look).to_ascii_lowercase();
            let (_, after) = text.split_once("charset=")?;
            let name = after.trim_start_matches(['"', '\'']);
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c))?;
            read(&name[..end])
        };
        let page = || self.kind.contains("html").then(of_page).flatten();
        said.or_else(page).unwrap_or(Encoding::UTF_8)
    }

    fn decode(&mut self, data: &[u8]) -> String {
        let mut text = String::with_capacity(data.len() + 1);
        if std::mem::take(&mut self.held) {
            text.push('\r');
        }
        if let Some(decoder) = &mut self.decoder {
            decoder.push_shown(data, &mut text);
        }
        if text.ends_with('\r') {
            text.pop();
            self.held = true;
        }
        if let Some(last) = text.chars().next_back() {
            self.ends_line = last == '\n';
        }
        printable_block(&text).into_owned()
    }

    /// What is left, and a line end where the content has none, so that the prompt stands alone.
    fn finish(&mut self) -> Result<String> {
        let mut shown = match self.decoder {
            None if self.beginning.is_empty() => return Ok(String::new()),
            None => self.begin()?,
            Some(_) => String::new(),
        };
        let mut rest = String::new();
        if let Some(decoder) = &mut self.decoder {
            decoder.finish_shown(&mut rest);
        }
        shown.push_str(&printable_block(&rest));
        if !self.ends_line || !rest.is_empty() {
            shown.push('\n');
        }
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &str, pieces: &[&[u8]]) -> Result<String, String> {
        let mut parts = kind.splitn(2, "; charset=");
        let mut terminal = Terminal {
            kind: parts.next().unwrap().to_owned(),
            charset: parts.next().map(str::to_owned),
            beginning: Vec::new(),
            decoder: None,
            held: false,
            ends_line: true,
        };
        let mut all = String::new();
        for piece in pieces {
            all.push_str(&terminal.push(piece).map_err(|error| error.to_string())?);
        }
        all.push_str(&terminal.finish().map_err(|error| error.to_string())?);
        Ok(all)
    }

    #[test]
    fn text_is_decoded_and_cannot_drive_the_terminal() {
        let long = vec![b'x'; LOOK];
        let page = b"<html><meta charset=\"gb2312\">\xc4\xe3\xba\xc3";
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(
            shown("text/plain; charset=gb2312", &[b"\xc4", b"\xe3\xba\xc3\n"]),
            ok("你好\n")
        );
        assert_eq!(
            shown("text/html", &[page]),
            ok("<html><meta charset=\"gb2312\">你好\n")
        );
        assert_eq!(shown("text/plain", &[b"a\x1b[31mb\r\n"]), ok("a\\e[31mb\n"));
        assert_eq!(shown("", &["é".as_bytes()]), ok("é\n"));
        assert_eq!(shown("", &[b"\xff"]), ok("\\xff\n"));
        let cut = shown("", &[&long, b"a\r", b"\nb\r", b"c"]).unwrap();
        assert_eq!(
            cut.strip_prefix(std::str::from_utf8(&long).unwrap()),
            Some("a\nb\\rc\n")
        );
        assert_eq!(shown("", &[]), ok(""));
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        let error = shown("application/octet-stream", &[b"\x7fELF\0\0"]).unwrap_err();
        assert!(error.contains("-o FILE"), "{error}");
    }
}
