//! The names that people and rooms go by: which are fit, and which are the same to the eye.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

mod lookalike;

use lookalike::skeleton;

/// How many characters, as a person counts them, a name may have (UAX 29: extended grapheme clusters).
pub const MAX_CHARACTERS: usize = 24;

/// How many bytes of UTF-8: one character may have any number of marks above it.
const MAX_BYTES: usize = 128;

/// A name in any script, composed (Unicode NFC).
///
/// Letters, their marks, digits, emoji, and `-_.'` inside: nothing that is invisible, that turns the direction of
/// writing, or that could be mistaken for a command.
///
/// Two names are equal if people could take one for the other: upper and lower case, compatibility forms and
/// characters that look alike (UTS 39, section 4) make no difference.
///
/// ```
/// use wire::nickname::Nickname;
///
/// let ann: Nickname = "Ann".parse()?;
/// assert_eq!(ann, "aＮn".parse()?);
/// assert_eq!(ann, "Аnn".parse()?); // The first letter is Cyrillic.
/// assert_eq!(ann.as_str(), "Ann");
/// assert!("a\u{202e}nn".parse::<Nickname>().is_err());
/// # Ok::<(), wire::nickname::NicknameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Nickname {
    shown: String,
    key: String,
}

/// Why a name is unfit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NicknameError {
    /// Nothing is left of it.
    #[error("a name has at least one character")]
    Empty,
    /// Too many characters, or too many marks on them.
    #[error("a name has at most {MAX_CHARACTERS} characters")]
    Long,
    /// A character that names do not have.
    #[error("a name has letters, digits, emoji and -_.' in it, and no {}", Told(*.0))]
    Unfit(char),
    /// It begins with a mark or a sign.
    #[error("a name begins with a letter, a digit or an emoji")]
    Start,
}

impl Nickname {
    /// As its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The same for all names that are equal to this one; not for people's eyes.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl std::str::FromStr for Nickname {
    type Err = NicknameError;

    fn from_str(text: &str) -> Result<Self, NicknameError> {
        // Before it is taken apart: a hostile name may be as large as a message.
        if text.len() > 4 * MAX_BYTES {
            return Err(NicknameError::Long);
        }
        let shown: String = text.trim().nfc().collect();
        if shown.len() > MAX_BYTES || shown.graphemes(true).count() > MAX_CHARACTERS {
            return Err(NicknameError::Long);
        }
        let first = shown.chars().next().ok_or(NicknameError::Empty)?;
        if let Some(unfit) = shown.chars().find(|&c| !is_fit(c)) {
            return Err(NicknameError::Unfit(unfit));
        }
        if !can_begin(first) {
            return Err(NicknameError::Start);
        }
        let folded: String = shown.nfkc().flat_map(char::to_lowercase).collect();
        // The table maps some small letters to large ones that look like them.
        let key = skeleton(&folded).flat_map(char::to_lowercase).collect();
        Ok(Self { shown, key })
    }
}

impl PartialEq for Nickname {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Nickname {}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn is_fit(c: char) -> bool {
    can_begin(c)
        || matches!(c, '-' | '_' | '.' | '\'' | '·')
        || c.general_category_group() == GeneralCategoryGroup::Mark
}

fn can_begin(c: char) -> bool {
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
    ) && !is_blank(c)
        || (c.is_emoji_char() && !c.is_ascii())
}

/// Letters by category that show nothing: fillers of Hangul (UTS 39 leaves them out of identifiers).
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// A character in a message about it.
struct Told(char);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ' ' => f.write_str("spaces"),
            c if c.is_ascii_graphic() => write!(f, "{c}"),
            c => write!(f, "U+{:04X}", u32::from(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Nickname, NicknameError> {
        text.parse()
    }

    #[test]
    fn names_of_any_script_are_fit() {
        for name in [
            "ann",
            "Müller",
            "李雷",
            "Ольга",
            "محمد",
            "हिन्दी",
            "たろう",
            "김철수",
            "O'Neil",
            "r2-d2",
            "a_b.c",
            "🐟",
            "7",
        ] {
            assert_eq!(read(name).map(|name| name.shown), Ok(name.to_owned()));
        }
        assert_eq!(read("  ann ").unwrap().as_str(), "ann");
    }

    #[test]
    fn unfit_names_are_told_why() {
        for (name, why) in [
            ("", NicknameError::Empty),
            (" \t", NicknameError::Empty),
            ("a b", NicknameError::Unfit(' ')),
            ("a\u{1b}[31m", NicknameError::Unfit('\u{1b}')),
            ("\u{202e}nna", NicknameError::Unfit('\u{202e}')),
            ("a\u{200b}b", NicknameError::Unfit('\u{200b}')),
            ("a\u{ad}b", NicknameError::Unfit('\u{ad}')),
            ("\u{3164}", NicknameError::Unfit('\u{3164}')),
            ("<b>", NicknameError::Unfit('<')),
            ("#lobby", NicknameError::Unfit('#')),
            ("/quit", NicknameError::Unfit('/')),
            ("-rf", NicknameError::Start),
            ("\u{301}a", NicknameError::Start),
        ] {
            assert_eq!(read(name).unwrap_err(), why, "{name:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_of_people() {
        assert!(read(&"é".repeat(MAX_CHARACTERS)).is_ok());
        assert!(read(&"e\u{301}".repeat(MAX_CHARACTERS)).is_ok());
        assert!(read(&"李".repeat(MAX_CHARACTERS)).is_ok());
        assert_eq!(
            read(&"a".repeat(MAX_CHARACTERS + 1)).unwrap_err(),
            NicknameError::Long
        );
        let towering = format!("a{}", "\u{301}".repeat(200));
        assert_eq!(read(&towering).unwrap_err(), NicknameError::Long);
        assert_eq!(
            read(&"a".repeat(10_000_000)).unwrap_err(),
            NicknameError::Long
        );
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for (a, b) in [
            ("Ann", "ANN"),
            ("paypal", "раураl"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("ﬁsh", "fish"),
            (
                "Straße",
                "STRASSE".to_lowercase().replace("ss", "ß").as_str(),
            ),
        ] {
            assert_eq!(read(a).unwrap(), read(b).unwrap(), "{a} {b}");
        }
        assert_ne!(read("ann").unwrap(), read("bob").unwrap());
        assert_ne!(read("李雷").unwrap(), read("李蕾").unwrap());
    }

    #[test]
    fn the_message_shows_no_character_that_could_do_harm() {
        let told = |name: &str| read(name).unwrap_err().to_string();
        assert!(told("a\u{1b}b").ends_with("and no U+001B"));
        assert!(told("a b").ends_with("and no spaces"));
        assert!(told("a<b").ends_with("and no <"));
    }
}
