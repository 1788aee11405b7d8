//! Files that are still on their way are not shown: they are not what they will be called.

use std::collections::HashSet;

/// What is proved of a part stands beside it.
const STATE: &[u8] = b".state";

/// Takes parts out of what is in a folder, and what stands beside them. A file of somebody else's that is called
/// `NAME.part` stays.
pub(super) fn hide<T>(entries: &mut Vec<T>, name: impl Fn(&T) -> &[u8]) {
    let states: HashSet<Vec<u8>> = entries
        .iter()
        .filter_map(|entry| name(entry).strip_suffix(STATE))
        .filter(|part| part.ends_with(b".part"))
        .map(<[u8]>::to_vec)
        .collect();
    entries.retain(|entry| {
        let name = name(entry);
        let part = name.strip_suffix(STATE).unwrap_or(name);
        !states.contains(part) && !is_small(name)
    });
}

/// Of what is no longer than a chunk: `NAME.1a2b3c4d.part`, with nothing beside it.
fn is_small(name: &[u8]) -> bool {
    let word = name
        .strip_suffix(b".part")
        .and_then(|rest| rest.rsplit(|letter| *letter == b'.').next());
    word.is_some_and(|word| {
        let is_digit = |letter: &u8| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
        word.len() == 8 && word.len() + 6 < name.len() && word.iter().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_shown_and_files_are() {
        let mut names = vec![
            "a.bin",
            "a.bin.part",
            "a.bin.part.state",
            "film.part",
            "x.0123abcd.part",
            "x.0123abcg.part",
            "0123abcd.part",
            "b.state",
        ];
        hide(&mut names, |name| name.as_bytes());
        let left = [
            "a.bin",
            "film.part",
            "x.0123abcg.part",
            "0123abcd.part",
            "b.state",
        ];
        assert_eq!(names, left);
    }
}
