//! What was fetched goes where it belongs: to standard output, or into a file that is whole or not there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sockeye::AnswerHead;
use sockeye::fetch::{Content, Fetched};

pub(crate) mod alternatives;
mod bar;
mod bring;
mod file;
mod resume;
mod show;

pub(crate) use bring::{Attempt, Failure, bring};
pub(crate) use file::file_name;

use bar::Bar;
use file::Part;
use show::Screen;

/// Where what comes goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output, where a terminal gets only text.
    Output,
    /// Standard output, whatever it is.
    Anything,
    /// A file.
    File(PathBuf),
}

impl Target {
    /// The file, where it is one.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Output | Self::Anything => None,
        }
    }

    /// What is left of it after a failure, for a person.
    pub(crate) fn left(&self) -> Option<String> {
        self.path().and_then(file::left)
    }

    /// The name of the file.
    pub(crate) fn shown(&self) -> String {
        self.path()
            .map_or_else(String::new, |path| path.display().to_string())
    }
}

/// Where the content of one answer is written.
enum Sink {
    Screen(Screen),
    Part(Part),
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Screen(screen) => screen.write(data),
            Self::Part(part) => part.write(data),
        }
    }

    /// Shows the heads of all answers, the redirects' first.
    fn heads(&mut self, fetched: &Fetched) -> Result<()> {
        for head in fetched
            .hops
            .iter()
            .map(|(head, _)| head)
            .chain([&fetched.head])
        {
            let text = head_text(head);
            match self {
                Self::Screen(screen) => screen.show(&text)?,
                Self::Part(part) => part.write(&text)?,
            }
        }
        Ok(())
    }

    /// Writes all of the content.
    ///
    /// # Errors
    /// When it breaks off, or cannot be written. A part of a file stays to be gone on with.
    async fn take(&mut self, content: &mut Content, quiet: bool) -> Result<()> {
        let bar = match self {
            Self::Part(part) if !quiet => Bar::new(part.begins_at(), content.length()),
            _ => Bar::none(),
        };
        while let Some(data) = content.data().await {
            let data = data?;
            self.write(&data)?;
            bar.came(data.len());
        }
        bar.done();
        match self {
            Self::Screen(screen) => screen.end(),
            Self::Part(part) => part.finish(),
        }
    }
}

/// As it stands in HTTP/1.1, and much the same in HTTP/2.
fn head_text(head: &AnswerHead) -> Vec<u8> {
    let mut text = format!("{}\r\n", crate::report::text::status_line(head)).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}
