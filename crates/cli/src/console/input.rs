//! Standard input on a thread of its own: a line editor at a terminal, lines or chunks from a pipe.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::Result;
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter, Helper};
use tokio::sync::mpsc;

mod completion;

pub(crate) use completion::Known;

/// What a person or a pipe said.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A line without its end, and whether it had one.
    Line { text: Vec<u8>, ended: bool },
    /// One read of a pipe.
    Chunk(Vec<u8>),
    /// Ctrl-C at the line editor.
    Interrupt,
    /// It cannot be read on.
    Wrong(String),
}

/// How a pipe is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Lines,
    Chunks,
}

/// Standard input.
pub(crate) struct Input {
    typed: mpsc::Receiver<Typed>,
    terminal: bool,
    /// The editor waits for this before it asks for another line, where the prompt depends on what the last one did.
    go: Option<std::sync::mpsc::Sender<()>>,
}

/// How a line editor behaves.
struct Manner<H, P> {
    helper: Option<H>,
    prompt: P,
    /// The file of its history, in the folder of our state.
    history: &'static str,
    /// Whether a line may be remembered.
    remembers: fn(&str) -> bool,
    waits: Option<std::sync::mpsc::Receiver<()>>,
}

/// Prints above the line that is being typed.
pub(crate) struct Printer(Box<dyn ExternalPrinter + Send>);

impl Printer {
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn print(&mut self, text: String) -> io::Result<()> {
        self.0.print(text).map_err(io::Error::other)
    }

    /// Returns when everything that was printed is to be seen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        // The editor holds one text while another waits: when it has taken both of these, it has shown what
        // stood before them. They move the cursor up a line and down again.
        self.print("\x1b[A\n".to_owned())?;
        self.print("\x1b[A\n".to_owned())
    }
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Printer")
    }
}

/// Things typed ahead that may wait.
const AHEAD: usize = 64;

/// The longest line of a pipe.
const LONGEST: u64 = 64 * 1024 * 1024;

impl Input {
    /// A line editor with history, when a person is there to use it: at both ends of the terminal.
    ///
    /// One printer is for what peers say, the other for what we say.
    pub(crate) fn at_terminal() -> Result<Option<(Self, [Printer; 2])>> {
        Self::edited(Manner {
            helper: None::<()>,
            prompt: || "> ".to_owned(),
            history: "history",
            remembers: |_| true,
            waits: None,
        })
    }

    /// The same with a prompt and completions of what is `known`. After each line it waits for [`go`](Self::go).
    pub(crate) fn knowing(
        known: &Known,
        history: &'static str,
        remembers: fn(&str) -> bool,
    ) -> Result<Option<(Self, [Printer; 2])>> {
        let (go, waits) = std::sync::mpsc::channel();
        let prompt = known.clone();
        let edited = Self::edited(Manner {
            helper: Some(known.clone()),
            prompt: move || prompt.lock().prompt.clone(),
            history,
            remembers,
            waits: Some(waits),
        })?;
        Ok(edited.map(|(input, printers)| {
            (
                Self {
                    go: Some(go),
                    ..input
                },
                printers,
            )
        }))
    }

    fn edited<H: Helper + Send + 'static, P: Fn() -> String + Send + 'static>(
        manner: Manner<H, P>,
    ) -> Result<Option<(Self, [Printer; 2])>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let config = Config::builder()
            .max_history_size(1000)?
            .completion_type(CompletionType::List)
            // What shows the prompt as it is at the moment is taken for a painter; it paints nothing.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor: Editor<H, FileHistory> = Editor::with_config(config)?;
        let history = history(manner.history);
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        let mut printer = || {
            editor
                .create_external_printer()
                .map(|one| Printer(Box::new(one)))
        };
        let printers = [printer()?, printer()?];
        let (tell, typed) = mpsc::channel(AHEAD);
        std::thread::spawn(move || edit(&mut editor, manner, history, &tell));
        Ok(Some((
            Self {
                typed,
                terminal: true,
                go: None,
            },
            printers,
        )))
    }

    pub(crate) fn piped(cut: Cut) -> Self {
        let (tell, typed) = mpsc::channel(AHEAD);
        std::thread::spawn(move || match cut {
            Cut::Lines => read_lines(&tell),
            Cut::Chunks => read_chunks(&tell),
        });
        Self {
            typed,
            terminal: false,
            go: None,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The last line has been dealt with: the next one can be typed.
    pub(crate) fn go(&self) {
        // An editor that has ended asks for nothing more.
        self.go.as_ref().map(|go| go.send(()));
    }

    /// What comes next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Typed> {
        self.typed.recv().await
    }
}

fn edit<H: Helper>(
    editor: &mut Editor<H, FileHistory>,
    manner: Manner<H, impl Fn() -> String>,
    history: Option<PathBuf>,
    tell: &mpsc::Sender<Typed>,
) {
    editor.set_helper(manner.helper);
    loop {
        let typed = match editor.readline(&(manner.prompt)()) {
            Ok(line) => {
                if (manner.remembers)(&line) {
                    // Losing the history loses no message.
                    let _ = editor.history_mut().add(&line);
                }
                Typed::Line {
                    text: line.into_bytes(),
                    ended: true,
                }
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(ReadlineError::Eof) => return,
            Err(error) => Typed::Wrong(format!("cannot read the terminal: {error}")),
        };
        if let Some(path) = &history {
            let _ = editor.save_history(path);
        }
        let last = !matches!(typed, Typed::Line { .. });
        if tell.blocking_send(typed).is_err() || last {
            return;
        }
        if manner
            .waits
            .as_ref()
            .is_some_and(|waits| waits.recv().is_err())
        {
            return;
        }
    }
}

/// The file `name` in `$XDG_STATE_HOME/sockeye`, the folder made.
fn history(name: &str) -> Option<PathBuf> {
    let folder = crate::config::state()?;
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join(name))
}

fn read_lines(tell: &mpsc::Sender<Typed>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut text = Vec::new();
        let typed = match stdin.by_ref().take(LONGEST).read_until(b'\n', &mut text) {
            Ok(0) => return,
            Ok(_) => {
                let ended = text.pop_if(|last| *last == b'\n').is_some();
                Typed::Line { text, ended }
            }
            Err(error) => Typed::Wrong(format!("cannot read standard input: {error}")),
        };
        let last = matches!(typed, Typed::Wrong(_));
        if tell.blocking_send(typed).is_err() || last {
            return;
        }
    }
}

fn read_chunks(tell: &mpsc::Sender<Typed>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let typed = match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => return,
            Ok(n) => Typed::Chunk(buffer[..n].to_vec()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Typed::Wrong(format!("cannot read standard input: {error}")),
        };
        let last = matches!(typed, Typed::Wrong(_));
        if tell.blocking_send(typed).is_err() || last {
            return;
        }
    }
}
