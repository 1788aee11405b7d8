//! Which of the known names did the person mean?

/// The name most like `word`, if one is so much like it that it was probably meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let tolerance = match word.len() {
        0..=1 | 33.. => return None,
        2..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    names
        .into_iter()
        // Names that are begun are as near as a slip: nobody who types "u16" is far from "u16be".
        .map(|name| {
            (
                if name.starts_with(&word) {
                    1
                } else {
                    distance(&word, name)
                },
                name,
            )
        })
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The end of an error message: `; did you mean "line"?`, or nothing.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// Edit distance in which swapping two neighbours counts once, so that `tpc` is nearer to `tcp` than
/// to `tls`.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let change = above[j] + usize::from(a[i] != b[j]);
            let mut best = change.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_strangers_are_not() {
        let names = ["raw", "line", "length", "gb18030"];
        assert_eq!(nearest("Lnie", names), Some("line"));
        assert_eq!(nearest("Lnei", names), None);
        assert_eq!(nearest("LINES", names), Some("line"));
        assert_eq!(nearest("lenght", names), Some("length"));
        assert_eq!(nearest("gb", names), Some("gb18030"));
        assert_eq!(nearest("gb-18030", names), Some("gb18030"));
        assert_eq!(nearest("sparkling", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
