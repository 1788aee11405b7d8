//! Letters and colours: what a terminal can show.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Style;
use super::label::Class;

/// What is drawn in ASCII where other letters would be nicer.
const ASCII: &[(char, &str)] = &[
    ('─', "-"),
    ('╌', "."),
    ('━', "="),
    ('╍', "="),
    ('│', "|"),
    ('├', "|"),
    ('┤', "|"),
    ('┬', "|"),
    ('┴', "|"),
    ('┊', ":"),
    ('▶', ">"),
    ('◀', "<"),
    ('✗', "x"),
    ('↻', "~"),
    ('·', "."),
    ('–', "-"),
    ('→', "->"),
    ('←', "<-"),
    ('“', "\""),
    ('”', "\""),
    ('…', "~"),
    ('×', "x"),
    ('µ', "u"),
];

/// What may not begin a line.
const CLOSING: &str = "。，：；、）」』？！";

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Draws as the style wants.
pub(super) struct Pen {
    ascii: bool,
    color: bool,
}

impl Pen {
    pub(super) fn new(style: &Style) -> Self {
        Self {
            ascii: style.ascii,
            color: style.color,
        }
    }

    /// In the letters that may be used. What has no likeness in ASCII is escaped.
    pub(super) fn plain(&self, text: &str) -> String {
        if !self.ascii || text.is_ascii() {
            return text.to_owned();
        }
        let mut plain = String::with_capacity(text.len());
        for letter in text.chars() {
            match ASCII.iter().find(|(other, _)| *other == letter) {
                _ if letter.is_ascii() => plain.push(letter),
                Some((_, instead)) => plain.push_str(instead),
                None => plain.extend(letter.escape_unicode()),
            }
        }
        plain
    }

    pub(super) fn arrow(&self, text: &str, class: Class) -> String {
        let code = match class {
            Class::Syn => "32",
            Class::Fin => "33",
            Class::Rst => "31",
            Class::Data => "36",
            Class::Ack => "2",
            Class::Again => "35",
            Class::Step => "34",
            Class::Note => "",
            Class::Explained => "3",
        };
        self.colored(text, code)
    }

    /// A state in its column: dim where it is only expected.
    pub(super) fn state(&self, padded: &str, state: &str) -> String {
        match state.starts_with('(') {
            true => self.colored(padded, "2"),
            false => self.colored(padded, "1"),
        }
    }

    fn colored(&self, text: &str, code: &str) -> String {
        if !self.color || code.is_empty() || text.trim().is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The text in lines of `room` columns, all but the first one shorter by `indent`. Breaks at spaces where there are
/// any, and between letters of scripts that have none.
pub(crate) fn wrapped(text: &str, room: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    // Where the line can be broken: the length before that, and of what stands before the next word.
    let mut space = None;
    for letter in text.chars() {
        let limit = if lines.is_empty() {
            room
        } else {
            room.saturating_sub(indent)
        }
        .max(8);
        let wide = letter.width().unwrap_or(0);
        if letter == ' ' || (wide == 2 && !CLOSING.contains(letter)) {
            space = Some((line.len(), letter == ' '));
        }
        if columns + wide > limit {
            let rest = match space.take() {
                Some((at, skip)) if at > 0 => {
                    let rest = line.split_off(at);
                    let skipped = usize::from(skip).min(rest.len());
                    rest[skipped..].to_owned()
                }
                _ => String::new(),
            };
            lines.push(std::mem::replace(&mut line, rest));
            columns = width(&line);
            if letter == ' ' {
                continue;
            }
        }
        line.push(letter);
        columns += wide;
    }
    lines.push(line);
    lines
}
