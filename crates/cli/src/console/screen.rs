//! What is shown: the peers' words on standard output, ours on standard error.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use sockeye::{Direction, Encoding, Framing, Info, Kind, Message};
use tokio_util::sync::CancellationToken;
use wire::text::{Decoder, printable, printable_block};

use super::input::Printer;
use super::writer::{Print, Writer};
use crate::report;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they came.
    Plain,
    /// A heading and a hex dump.
    Hex,
    /// A JSON object a line.
    Json,
}

/// What the framing has cut off each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Nothing: bytes come as they stand on the wire.
    None,
    /// Its line end.
    Line,
    /// Something that no person reads.
    Other,
}

impl Ends {
    pub(crate) fn of(framing: &Framing) -> Self {
        match framing {
            Framing::Line => Self::Line,
            framing if framing.is_raw() => Self::None,
            _ => Self::Other,
        }
    }
}

/// What is shown with each message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) form: Form,
    pub(crate) timestamps: bool,
    /// Who said it: when there are several.
    pub(crate) names: bool,
    /// What the framing takes away is given back: a line end, or at a terminal any end.
    pub(crate) ends: Ends,
    /// Others than the peer are expected to answer: it is a broadcast address.
    pub(crate) shared: bool,
    /// Decode from this encoding; bytes pass as they are when `None` and nobody is watching.
    pub(crate) encoding: Option<Encoding>,
}

/// Standard output and standard error, or the space above a line that is being typed.
#[derive(Debug)]
pub(crate) struct Screen {
    writer: Writer,
    style: Style,
    terminal: bool,
    editor: bool,
    interrupted: AtomicBool,
}

impl Screen {
    /// With a printer, a person types.
    pub(crate) fn start(style: Style, printer: Option<Printer>) -> Self {
        let editor = printer.is_some();
        Self {
            writer: Writer::new(printer),
            style,
            terminal: io::stdout().is_terminal(),
            editor,
            interrupted: AtomicBool::new(false),
        }
    }

    /// Cancelled when nobody takes the output any more.
    pub(crate) fn gone(&self) -> &CancellationToken {
        self.writer.gone()
    }

    /// Whether a person types at a line editor.
    pub(crate) fn has_editor(&self) -> bool {
        self.editor
    }

    /// Tells the person something that no peer said.
    pub(crate) async fn tell(&self, text: &str) {
        // When the output is gone there is nobody to tell.
        let line = format!("{text}\n").into_bytes();
        self.writer.put(Print::Own(line)).await;
    }

    /// For those who cannot wait.
    pub(crate) fn teller(&self) -> Teller {
        Teller(self.writer.clone())
    }

    /// How one session's messages are shown.
    pub(crate) fn voice(&self, name: &str, info: &Arc<Info>) -> Voice<'_> {
        let encoding = self.style.encoding.unwrap_or_default();
        Voice {
            screen: self,
            name: name.to_owned(),
            info: info.clone(),
            decoder: encoding.decoder(),
        }
    }

    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
    }

    pub(crate) fn was_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Waits until everything is written. A reader that has had enough (`| head`) is no failure.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        self.writer.finish().await
    }

    /// The same when the person wants to leave: a reader who has stopped reading is not waited for.
    pub(crate) async fn finish_soon(&self) {
        // Whether all was written makes no difference any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.finish()).await;
    }

    /// The prompt has changed while nothing was printed.
    pub(crate) async fn redraw(&self) {
        // Up a line and down again: the editor draws itself anew after what is printed above it.
        self.print(b"\x1b[A\n".to_vec()).await;
    }

    /// Standard output, as it is. `false` when nobody looks any more.
    pub(crate) async fn print(&self, bytes: Vec<u8>) -> bool {
        bytes.is_empty() || self.writer.put(Print::Peer(bytes)).await
    }
}

/// Tells the person something without waiting.
#[derive(Clone, Debug)]
pub(crate) struct Teller(Writer);

impl Teller {
    /// # Errors
    /// Gives the line back when it would have to wait, or nobody is there to see it.
    pub(crate) fn tell(&self, line: String) -> Result<(), Vec<u8>> {
        let told = self.0.try_put(Print::Own(line.into_bytes()));
        told.map_err(|unsent| match unsent {
            Print::Own(line) => line,
            Print::Peer(_) | Print::Flush(_) => Vec::new(),
        })
    }
}

/// One session's messages on the screen.
pub(crate) struct Voice<'a> {
    screen: &'a Screen,
    name: String,
    info: Arc<Info>,
    decoder: Decoder,
}

impl Voice<'_> {
    /// Shows a message. `false` when nobody looks any more.
    pub(crate) async fn show(&mut self, message: &Message) -> bool {
        let style = self.screen.style;
        let unexpected = self.unexpected(message);
        let shown = match style.form {
            Form::Json => report::json::message(&self.info, Direction::In, message).into_bytes(),
            Form::Hex => {
                let size = report::text::count(message.data.len() as u64, "byte");
                let encoding = message.encoding(style.encoding.unwrap_or_default());
                let heading = format!("{}< {size}\n", self.heading(&unexpected));
                (heading + &wire::hex::dump(&message.data, encoding)).into_bytes()
            }
            Form::Plain if style.names || style.timestamps || !unexpected.is_empty() => {
                self.lines(message, &unexpected).into_bytes()
            }
            Form::Plain if self.screen.terminal || style.encoding.is_some() => {
                self.text(message).into_bytes()
            }
            Form::Plain => {
                let mut data = message.data.to_vec();
                if self.ends_lines() || (self.is_line(message) && !data.ends_with(b"\n")) {
                    data.push(b'\n');
                }
                data
            }
        };
        self.screen.print(shown).await
    }

    /// The stream has ended: the bytes of a character that never became whole are shown too.
    pub(crate) async fn finish(&mut self) {
        let mut rest = String::new();
        self.decoder.finish_shown(&mut rest);
        // When the output is gone there is nobody to show it to.
        let _ = self.screen.print(rest.into_bytes()).await;
    }

    fn text(&mut self, message: &Message) -> String {
        let encoding = message.encoding(self.decoder.encoding());
        let mut text = String::new();
        if encoding == self.decoder.encoding() {
            self.decoder.push_shown(&message.data, &mut text);
        } else {
            text = encoding.show(&message.data);
        }
        if self.screen.terminal {
            text = printable_block(&text).into_owned();
        }
        let apart =
            self.screen.terminal && (self.packets() || self.screen.style.ends != Ends::None);
        let apart = apart || self.is_line(message);
        if self.ends_lines() || (apart && !text.ends_with('\n')) {
            text.push('\n');
        }
        text
    }

    /// Whether the framing took a line end from each message.
    fn ends_lines(&self) -> bool {
        self.screen.style.ends == Ends::Line && !self.packets()
    }

    /// Whether the carrier keeps message boundaries.
    fn packets(&self) -> bool {
        matches!(self.info.protocol(), "udp" | "unixgram" | "ws" | "wss")
    }

    /// Whether it is a text message of a carrier that tells text from bytes: lines that are typed are such.
    fn is_line(&self, message: &Message) -> bool {
        message.kind == Kind::Text && matches!(self.info.protocol(), "ws" | "wss")
    }

    /// A line of output for each line of the message, each with its heading.
    fn lines(&self, message: &Message, unexpected: &str) -> String {
        let encoding = self.screen.style.encoding.unwrap_or_default();
        let text = message.encoding(encoding).show(&message.data);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let heading = self.heading(unexpected);
        text.split('\n')
            .map(|line| format!("{heading}{}\n", printable(line.trim_end_matches('\r'))))
            .collect()
    }

    /// `12:34:56.789 george: `
    fn heading(&self, unexpected: &str) -> String {
        let style = self.screen.style;
        let time = match style.timestamps {
            true => format!("{} ", jiff::Zoned::now().strftime("%H:%M:%S%.3f")),
            false => String::new(),
        };
        match (unexpected, style.names) {
            ("", true) => format!("{time}{}: ", Name(&self.name)),
            ("", false) => time,
            (sender, _) => format!("{time}{sender}: "),
        }
    }

    /// Who else than the peer sent it. A group or a broadcast address expects others.
    fn unexpected(&self, message: &Message) -> String {
        let Some(from) = &message.from else {
            return String::new();
        };
        let shared = self
            .info
            .peer()
            .socket_addr()
            .is_some_and(|peer| match peer.ip() {
                std::net::IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
                std::net::IpAddr::V6(ip) => ip.is_multicast(),
            });
        if shared || self.screen.style.shared {
            from.to_string()
        } else {
            format!("unexpected sender {from}")
        }
    }
}

/// A name as it is shown: what a peer calls itself must not drive the terminal.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(self.0))
    }
}
