//! What a text is found by: its words, and each sign of what is written without spaces between words.

/// How much of a long word is looked up; the rest is compared with the text.
const WORD: usize = 64;

/// What a character is to those who search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Stands between words.
    Gap,
    /// Part of a word, which is found where it begins.
    Letter,
    /// Found wherever it stands: of a script without spaces, or no letter at all.
    Sign,
}

fn sort(letter: char) -> Sort {
    if letter.is_whitespace() || letter.is_control() {
        Sort::Gap
    } else if letter.is_alphanumeric() && !has_no_spaces(letter) {
        Sort::Letter
    } else {
        Sort::Sign
    }
}

/// Scripts in which words follow each other without spaces, or carry endings that nobody types who searches.
fn has_no_spaces(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0e00..=0x0eff // Thai, Lao
        | 0x0f00..=0x109f // Tibetan, Burmese
        | 0x1100..=0x11ff // Hangul in parts
        | 0x1780..=0x17ff // Khmer
        | 0x2e80..=0x9fff // Chinese, Japanese and their signs
        | 0xa960..=0xa97f | 0xac00..=0xd7ff // Hangul
        | 0xf900..=0xfaff | 0xff00..=0xffef // compatibility forms, full and half width
        | 0x20000..=0x3ffff // rare Chinese
    )
}

/// The text without capital letters, each letter for itself, so that a part of a text becomes a part of it.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Letters that follow each other, or signs that do.
struct Run<'a> {
    text: &'a str,
    sort: Sort,
}

/// The runs of a folded text.
fn runs(text: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let sort = sort(rest.chars().next()?);
        let end = rest.find(|letter| self::sort(letter) != sort);
        let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(Run { text, sort })
    })
    .filter(|run| run.sort != Sort::Gap)
}

/// The beginning of a word that is looked up.
fn stem(word: &str) -> &str {
    let end = word.char_indices().nth(WORD);
    end.map_or(word, |(end, _)| &word[..end])
}

/// Each character of `text` with the one after it.
fn pairs(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text.char_indices().map(|(at, _)| at);
    let ends = ends.chain([text.len()]).skip(2);
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

/// The last character of `text`.
fn tail(text: &str) -> Option<&str> {
    let (at, _) = text.char_indices().next_back()?;
    Some(&text[at..])
}

/// The tokens of a line in the room of this number, with spaces between: its words, and each sign with the one after
/// it, if there is one.
pub(super) fn tokens(number: i64, text: &str) -> String {
    let text = fold(text);
    let mut found: Vec<&str> = Vec::new();
    for run in runs(&text) {
        match run.sort {
            Sort::Letter => found.push(stem(run.text)),
            _ => found.extend(pairs(run.text).chain(tail(run.text))),
        }
    }
    found.sort_unstable();
    found.dedup();
    let mut tokens = String::with_capacity(text.len() + found.len() * 4);
    for part in found {
        push_token(&mut tokens, number, part);
        tokens.push(' ');
    }
    tokens
}

/// Begins with the room, so that what others say costs nothing. The tokenizer splits at ASCII's own signs, so they
/// take the place of characters that nobody uses.
fn push_token(tokens: &mut String, number: i64, part: &str) {
    tokens.push_str(&number.to_string());
    tokens.push('x');
    tokens.extend(part.chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' => letter,
        letter if letter.is_ascii() => char::from_u32(0xe000 + u32::from(letter)).unwrap_or(letter),
        letter => letter,
    }));
}

/// Words that are looked for.
pub(super) struct Query {
    parts: Vec<String>,
}

/// The most words that are looked for at once, and the most tokens that are looked up; the text decides in the end.
const LOOKED_UP: usize = 32;

impl Query {
    /// `None` when there is nothing to look for.
    pub(super) fn of(words: &str) -> Option<Self> {
        let folded = fold(words);
        let parts = folded.split(|letter| sort(letter) == Sort::Gap);
        let parts = parts.filter(|part| !part.is_empty());
        let mut parts: Vec<_> = parts.map(str::to_owned).collect();
        parts.sort_unstable();
        parts.dedup();
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// Does this text have all of the words?
    pub(super) fn fits(&self, text: &str) -> bool {
        let text = fold(text);
        self.parts.iter().all(|part| has(&text, part))
    }

    /// What the index of words is asked; whatever fits is among its answers.
    pub(super) fn expression(&self, number: i64) -> String {
        let mut asked = Vec::new();
        for part in &self.parts {
            let mut runs = runs(part).peekable();
            while let Some(run) = runs.next() {
                match run.sort {
                    // The last word may go on in the text.
                    Sort::Letter => asked.push((stem(run.text), runs.peek().is_none())),
                    _ if tail(run.text) == Some(run.text) => asked.push((run.text, true)),
                    _ => asked.extend(pairs(run.text).map(|pair| (pair, false))),
                }
            }
        }
        asked.sort_unstable();
        asked.dedup();
        // Long ones are rare. What begins with one or two letters is not, and all of it would be listed.
        asked.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let has_long = asked.first().is_some_and(|(text, _)| text.len() > 2);
        asked.retain(|(text, may_go_on)| !(has_long && *may_go_on && text.len() <= 2));
        asked.truncate(LOOKED_UP);
        let mut expression = String::new();
        for (text, may_go_on) in asked {
            if !expression.is_empty() {
                expression.push_str(" AND ");
            }
            expression.push('"');
            push_token(&mut expression, number, text);
            expression.push_str(if may_go_on { "\"*" } else { "\"" });
        }
        expression
    }
}

/// Does `text` have `part` in a place where it may be found?
fn has(text: &str, part: &str) -> bool {
    let is_letter = |letter: char| sort(letter) == Sort::Letter;
    let begins_word = part.starts_with(is_letter);
    let mut from = 0;
    while let Some(at) = text[from..].find(part).map(|at| from + at) {
        if !(begins_word && text[..at].ends_with(is_letter)) {
            return true;
        }
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    false
}
