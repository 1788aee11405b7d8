//! What characters look like.

use unicode_normalization::UnicodeNormalization;

// FROM: characters that look like others, in order. ENDS: where in INTO the others end. Written by the build script.
include!(concat!(env!("OUT_DIR"), "/lookalikes.rs"));

/// The same for all texts that look alike, and not for people's eyes (the skeleton of UTS 39, section 4).
pub(super) fn skeleton(text: &str) -> impl Iterator<Item = char> {
    text.nfd().flat_map(prototype).nfd()
}

/// What stands for all that look like `c`; nothing for what nobody sees.
fn prototype(c: char) -> impl Iterator<Item = char> {
    let (others, own) = match FROM.binary_search(&c) {
        Ok(at) => {
            let begin = if at == 0 { 0 } else { ENDS[at - 1] };
            (&INTO[begin.into()..ENDS[at].into()], None)
        }
        Err(_) => (&[][..], Some(c)),
    };
    others.iter().copied().chain(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_security::confusable_detection as library;

    use super::*;

    fn assert_as_the_library_has_it(text: &str) {
        let ours: String = skeleton(text).collect();
        let theirs: String = library::skeleton(text).collect();
        assert_eq!(ours, theirs, "{text:?}");
    }

    #[test]
    fn every_character_looks_as_the_library_says() {
        // Nothing is between, nor beyond but private use (Unicode 18, chapter 2).
        for c in ('\0'..'\u{40000}').chain('\u{e0000}'..'\u{f0000}') {
            assert_as_the_library_has_it(c.encode_utf8(&mut [0; 4]));
        }
    }

    #[test]
    fn marks_of_several_characters_are_put_in_order() {
        // A mark that is part of what one character looks like, and then one that comes before it.
        for text in [
            "ç\u{301}",
            "\u{1e69}\u{323}",
            "ഃ\u{323}\u{301}",
            "ǡ\u{328}",
            "",
        ] {
            assert_as_the_library_has_it(text);
        }
    }

    proptest! {
        #[test]
        fn texts_look_as_the_library_says(text in "\\PC{0,12}") {
            assert_as_the_library_has_it(&text);
        }

        #[test]
        fn so_do_letters_with_marks(text in "[\\p{L}\\p{M}]{0,8}") {
            assert_as_the_library_has_it(&text);
        }
    }
}
