//! Commands among typed lines: `/to NAME`, `/list` …

/// What a typed line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A message for those that are aimed at.
    Say(&'a [u8]),
    /// `/to NAME`: aim at one.
    Aim(&'a str),
    /// `/to NAME TEXT`: a message for one.
    SayTo(&'a str, &'a [u8]),
    /// `/all`
    AimAtAll,
    /// `/list`
    List,
    /// `/close NAME`
    Close(&'a str),
    /// `/quit`
    Quit,
    /// `/help`
    Help,
    /// Something that is none of these; what is wrong with it.
    Wrong(String),
}

pub(crate) const HELP: &str = "\
/to NAME         talk to one from now on; /to NAME TEXT only this once
/all             talk to everyone again
/list            who is there
/close NAME      end the session with one
/quit            end
//TEXT           send /TEXT
";

/// Reads one typed line. A text that begins with `/` is written with two.
pub(crate) fn read(line: &[u8]) -> Line<'_> {
    let Some(rest) = line.strip_prefix(b"/") else {
        return Line::Say(line);
    };
    if rest.starts_with(b"/") {
        return Line::Say(rest);
    }
    let Ok(text) = std::str::from_utf8(rest) else {
        return Line::Say(line);
    };
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("to", "") => Line::Wrong("/to needs a name".to_owned()),
        ("to", rest) => match rest.split_once(char::is_whitespace) {
            None => Line::Aim(rest),
            Some((name, text)) => Line::SayTo(name, text.trim_start().as_bytes()),
        },
        ("all", "") => Line::AimAtAll,
        ("list", "") => Line::List,
        ("close", "") => Line::Wrong("/close needs a name".to_owned()),
        ("close", name) => Line::Close(name),
        ("quit" | "exit", "") => Line::Quit,
        ("help" | "?", _) => Line::Help,
        _ => Line::Wrong(format!(
            "there is no command /{word}; /help shows which there are, //{word} sends it as text"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_text() {
        assert_eq!(read(b"hello /to"), Line::Say(b"hello /to"));
        assert_eq!(read(b"//quit"), Line::Say(b"/quit"));
        assert_eq!(read(b"/to george"), Line::Aim("george"));
        assert_eq!(
            read("/to 乔治 你好 吗".as_bytes()),
            Line::SayTo("乔治", "你好 吗".as_bytes())
        );
        assert_eq!(read(b"/all"), Line::AimAtAll);
        assert_eq!(read(b"/close #2"), Line::Close("#2"));
        assert_eq!(read(b"/quit"), Line::Quit);
        assert!(matches!(read(b"/to"), Line::Wrong(_)));
        assert!(matches!(read(b"/etc/passwd"), Line::Wrong(_)));
        assert_eq!(read(b"/\xff"), Line::Say(b"/\xff"));
    }
}
