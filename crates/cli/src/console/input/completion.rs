//! What the line editor knows of a conversation while a line is typed: words to complete, and a mark at the prompt.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::Helper;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

/// Shared by the editor and the conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<Words>>);

/// What the editor knows.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The prompt of the next line. It begins with as many columns as `mark` has.
    pub(crate) prompt: String,
    /// What stands at its beginning at this moment.
    pub(crate) mark: String,
    /// Words that begin with what is typed.
    pub(crate) commands: Vec<String>,
    pub(crate) names: Vec<String>,
    /// With the sign that they are rooms.
    pub(crate) rooms: Vec<String>,
}

impl Known {
    /// With the first `prompt`: the editor shows it before anything else is known.
    pub(crate) fn new(commands: &[&str], prompt: &str) -> Self {
        let known = Self::default();
        known.lock().commands = commands.iter().map(|&word| word.to_owned()).collect();
        prompt.clone_into(&mut known.lock().prompt);
        known
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Words {
    /// Where the word before `at` begins, and what it can become.
    fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let before = &line[..at];
        let start = before.rfind(char::is_whitespace).map_or(0, |space| {
            space + before[space..].chars().next().map_or(1, char::len_utf8)
        });
        let word = before[start..].to_lowercase();
        let takes_room = ["/join ", "/room ", "/part ", "/who "]
            .iter()
            .any(|command| before.starts_with(command));
        let (all, end): (Vec<&String>, _) = match word.chars().next() {
            Some('/') if start == 0 => (self.commands.iter().collect(), " "),
            _ if takes_room => (self.rooms.iter().collect(), ""),
            Some('#') => (self.rooms.iter().collect(), " "),
            Some(_) if start == 0 => (self.names.iter().collect(), ": "),
            _ => (self.names.iter().collect(), " "),
        };
        let sign = if takes_room && !word.starts_with('#') {
            "#"
        } else {
            ""
        };
        let wanted = format!("{sign}{word}");
        let fits = all
            .into_iter()
            .filter(|one| one.to_lowercase().starts_with(&wanted));
        (start, fits.map(|one| format!("{one}{end}")).collect())
    }
}

impl Completer for Known {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.lock().complete(line, at))
    }
}

impl Highlighter for Known {
    /// The mark may have become another one since the prompt was first shown; it is as wide as before.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        is_default: bool,
    ) -> Cow<'b, str> {
        let words = self.lock();
        match prompt.get(words.mark.len()..) {
            Some(rest) if is_default && words.mark.is_ascii() => {
                Cow::Owned(format!("{}{rest}", words.mark))
            }
            _ => Cow::Borrowed(prompt),
        }
    }
}

impl Hinter for Known {
    type Hint = String;
}

impl Validator for Known {}

impl Helper for Known {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_names_and_rooms_are_completed() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let words = Words {
            commands: list(&["/join", "/me", "/msg"]),
            names: list(&["Ann", "anna", "李雷"]),
            rooms: list(&["#dev", "#lobby"]),
            ..Words::default()
        };
        for (line, start, all) in [
            ("/m", 0, &["/me ", "/msg "][..]),
            ("an", 0, &["Ann: ", "anna: "]),
            ("hi 李", 3, &["李雷 "]),
            ("/msg AN", 5, &["Ann ", "anna "]),
            ("/join d", 6, &["#dev"]),
            ("/join #l", 6, &["#lobby"]),
            ("see #l", 4, &["#lobby "]),
            ("hi /m", 3, &[]),
            ("你好\u{3000}an", 9, &["Ann ", "anna "]),
        ] {
            assert_eq!(
                words.complete(line, line.len()),
                (start, list(all)),
                "{line}"
            );
        }
    }
}
