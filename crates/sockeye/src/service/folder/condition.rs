//! Whether the client has it already: validators and conditions (RFC 9110, sections 8.8 and 13).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// The first second that no HTTP date can name: the year 10000.
const END_OF_DATES: Duration = Duration::from_secs(253_402_300_800);

/// What tells one state of a representation from another.
#[derive(Clone, Debug)]
pub(in crate::service) struct Validators {
    pub(in crate::service) tag: Tag,
    /// When it was last modified, in whole seconds; `None` when no HTTP date can say it.
    pub(in crate::service) modified: Option<SystemTime>,
}

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Tag {
    /// What stands between the quotes.
    pub(in crate::service) opaque: String,
    /// Two states may share it.
    pub(in crate::service) is_weak: bool,
}

/// What is to be done with a request that has conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Verdict {
    /// Answer it.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client wants to deal with.
    Failed,
}

impl Validators {
    /// Decides in the order of section 13.2.2. The method is GET or HEAD.
    pub(in crate::service) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let holds = match self.listed(headers, header::IF_MATCH, Tag::is_strongly) {
            Some(listed) => listed,
            None => self
                .modified_since(headers, header::IF_UNMODIFIED_SINCE)
                .is_none_or(|modified| !modified),
        };
        if !holds {
            return Verdict::Failed;
        }
        let is_known = match self.listed(headers, header::IF_NONE_MATCH, Tag::is_weakly) {
            Some(listed) => listed,
            None => self
                .modified_since(headers, header::IF_MODIFIED_SINCE)
                .is_some_and(|modified| !modified),
        };
        match is_known {
            true => Verdict::NotModified,
            false => Verdict::Proceed,
        }
    }

    /// Whether `Range` counts: the part that the client has is of this very state (section 13.1.5).
    pub(in crate::service) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::IF_RANGE).iter();
        match (lines.next(), lines.next()) {
            (None, _) => true,
            (Some(line), None) if line.as_bytes().contains(&b'"') => Tag::read(line.as_bytes())
                .is_some_and(|(tag, rest)| {
                    rest.trim_ascii().is_empty() && self.tag.is_strongly(&tag)
                }),
            (Some(line), None) => {
                let date = line.to_str().ok().and_then(date);
                !self.tag.is_weak && date.is_some() && date == self.modified
            }
            (Some(_), Some(_)) => false,
        }
    }

    /// Whether the lines of `name` list the tag; `None` without such a line.
    fn listed(
        &self,
        headers: &HeaderMap,
        name: HeaderName,
        same: fn(&Tag, &Tag) -> bool,
    ) -> Option<bool> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        Some(lines.any(|line| {
            let line = line.as_bytes().trim_ascii();
            line == b"*" || tags(line).any(|tag| same(&self.tag, &tag))
        }))
    }

    /// Whether it was modified after the date of `name`; `None` when there is no such line, or none that can
    /// be read (sections 13.1.3 and 13.1.4).
    fn modified_since(&self, headers: &HeaderMap, name: HeaderName) -> Option<bool> {
        let mut lines = headers.get_all(name).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        Some(self.modified? > date(line.to_str().ok()?)?)
    }

    /// As `Last-Modified` says it: never later than now (section 8.8.2.1).
    pub(in crate::service) fn last_modified(&self, now: SystemTime) -> Option<HeaderValue> {
        let text = httpdate::fmt_http_date(self.modified?.min(now));
        HeaderValue::try_from(text).ok()
    }
}

impl Tag {
    /// The tag of what `coding` makes of it.
    pub(in crate::service) fn coded(&self, coding: &str) -> Self {
        Self {
            opaque: format!("{}-{coding}", self.opaque),
            is_weak: self.is_weak,
        }
    }

    /// Section 8.8.3.2.
    fn is_strongly(&self, other: &Self) -> bool {
        !self.is_weak && self == other
    }

    fn is_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The tag at the beginning of `text`, and what comes after it.
    fn read(text: &[u8]) -> Option<(Self, &[u8])> {
        let (is_weak, text) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|letter| *letter == b'"')?;
        let opaque = str::from_utf8(&text[..end]).ok()?.to_owned();
        Some((Self { opaque, is_weak }, &text[end + 1..]))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.opaque)
    }
}

/// The tags of a list, up to what is none.
fn tags(mut text: &[u8]) -> impl Iterator<Item = Tag> {
    std::iter::from_fn(move || {
        while let [b',' | b' ' | b'\t', rest @ ..] = text {
            text = rest;
        }
        let (tag, rest) = Tag::read(text)?;
        text = rest;
        Some(tag)
    })
}

/// A time as HTTP can say it, in whole seconds.
pub(in crate::service) fn in_seconds(seconds: i64) -> Option<SystemTime> {
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    (since < END_OF_DATES).then(|| UNIX_EPOCH + since)
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Failed, NotModified, Proceed};

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const RFC850: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
    const ASCTIME: &str = "Sun Nov  6 08:49:37 1994";

    fn validators(is_weak: bool) -> Validators {
        let opaque = "a,b".to_owned();
        Validators {
            tag: Tag { opaque, is_weak },
            modified: in_seconds(784_111_777),
        }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let read = |(name, value): &(&str, &str)| {
            let name = HeaderName::try_from(name.to_lowercase()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(read).collect()
    }

    /// `headers` of a collected map replaces; this keeps each line.
    fn lines(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn each_condition_alone() {
        for (name, value, verdict) in [
            ("If-None-Match", r#""a,b""#, NotModified),
            ("If-None-Match", r#"W/"a,b""#, NotModified),
            ("If-None-Match", "*", NotModified),
            ("If-None-Match", r#""x", "a,b""#, NotModified),
            ("If-None-Match", r#""x" ,, W/"a,b","#, NotModified),
            ("If-None-Match", r#""a", "b""#, Proceed),
            ("If-None-Match", r#""A,B""#, Proceed),
            ("If-None-Match", "a,b", Proceed),
            ("If-None-Match", r#"w/"a,b""#, Proceed),
            ("If-None-Match", r#""a,b"#, Proceed),
            ("If-None-Match", "", Proceed),
            ("If-Modified-Since", THEN, NotModified),
            ("If-Modified-Since", AFTER, NotModified),
            ("If-Modified-Since", RFC850, NotModified),
            ("If-Modified-Since", ASCTIME, NotModified),
            ("If-Modified-Since", BEFORE, Proceed),
            ("If-Modified-Since", "yesterday", Proceed),
            ("If-Modified-Since", "784111777", Proceed),
            ("If-Match", r#""a,b""#, Proceed),
            ("If-Match", r#""x", "a,b""#, Proceed),
            ("If-Match", "*", Proceed),
            ("If-Match", r#"W/"a,b""#, Failed),
            ("If-Match", r#""x""#, Failed),
            ("If-Match", "a,b", Failed),
            ("If-Unmodified-Since", THEN, Proceed),
            ("If-Unmodified-Since", AFTER, Proceed),
            ("If-Unmodified-Since", BEFORE, Failed),
            ("If-Unmodified-Since", "yesterday", Proceed),
        ] {
            let headers = headers(&[(name, value)]);
            assert_eq!(
                validators(false).judge(&headers),
                verdict,
                "{name}: {value}"
            );
        }
        assert_eq!(validators(false).judge(&HeaderMap::new()), Proceed);
    }

    #[test]
    fn tags_win_over_dates_and_a_failed_condition_over_both() {
        for (lines, verdict) in [
            (
                [("If-Match", r#""a,b""#), ("If-Unmodified-Since", BEFORE)],
                Proceed,
            ),
            (
                [("If-Match", r#""x""#), ("If-Unmodified-Since", AFTER)],
                Failed,
            ),
            (
                [("If-None-Match", r#""x""#), ("If-Modified-Since", AFTER)],
                Proceed,
            ),
            (
                [("If-None-Match", r#""a,b""#), ("If-Modified-Since", BEFORE)],
                NotModified,
            ),
            (
                [("If-Match", r#""x""#), ("If-None-Match", r#""a,b""#)],
                Failed,
            ),
            (
                [("If-Match", "*"), ("If-None-Match", r#""a,b""#)],
                NotModified,
            ),
            (
                [
                    ("If-Unmodified-Since", BEFORE),
                    ("If-Modified-Since", AFTER),
                ],
                Failed,
            ),
            (
                [("If-Unmodified-Since", AFTER), ("If-Modified-Since", AFTER)],
                NotModified,
            ),
        ] {
            assert_eq!(
                validators(false).judge(&headers(&lines)),
                verdict,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn several_lines_are_one_list_and_no_date() {
        let none = lines(&header::IF_NONE_MATCH, &[r#""x""#, r#""a,b""#]);
        assert_eq!(validators(false).judge(&none), NotModified);
        let since = lines(&header::IF_MODIFIED_SINCE, &[AFTER, AFTER]);
        assert_eq!(validators(false).judge(&since), Proceed);
        let range = lines(&header::IF_RANGE, &[r#""a,b""#, r#""a,b""#]);
        assert!(!validators(false).allow_range(&range));
    }

    #[test]
    fn a_weak_tag_says_that_nothing_changed_and_never_more() {
        let weak = validators(true);
        let none = headers(&[("If-None-Match", r#""a,b""#)]);
        assert_eq!(weak.judge(&none), NotModified);
        let same = headers(&[("If-Match", r#"W/"a,b""#)]);
        assert_eq!(weak.judge(&same), Failed);
        for range in [r#"W/"a,b""#, r#""a,b""#, THEN] {
            assert!(
                !weak.allow_range(&headers(&[("If-Range", range)])),
                "{range}"
            );
        }
    }

    #[test]
    fn a_part_is_continued_only_where_nothing_changed() {
        for (value, allowed) in [
            (r#""a,b""#, true),
            (r#"W/"a,b""#, false),
            (r#""x""#, false),
            (r#""x", "a,b""#, false),
            ("*", false),
            (THEN, true),
            (RFC850, true),
            (AFTER, false),
            (BEFORE, false),
            ("yesterday", false),
            ("", false),
        ] {
            let headers = headers(&[("If-Range", value)]);
            assert_eq!(validators(false).allow_range(&headers), allowed, "{value}");
        }
        assert!(validators(false).allow_range(&HeaderMap::new()));
    }

    #[test]
    fn a_time_that_no_date_can_say_is_not_said() {
        for seconds in [-1, i64::MIN, i64::MAX, 253_402_300_800] {
            assert_eq!(in_seconds(seconds), None, "{seconds}");
        }
        let mut validators = validators(false);
        assert_eq!(validators.last_modified(SystemTime::now()).unwrap(), THEN);
        assert_eq!(
            validators.last_modified(UNIX_EPOCH).unwrap(),
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "never in the future"
        );
        validators.modified = in_seconds(253_402_300_799);
        assert!(validators.last_modified(SystemTime::now()).is_some());
        validators.modified = None;
        assert_eq!(validators.last_modified(SystemTime::now()), None);
        let since = headers(&[("If-Modified-Since", AFTER)]);
        assert_eq!(validators.judge(&since), Proceed);
    }

    #[test]
    fn a_tag_is_written_as_it_is_read() {
        for text in [r#""a,b""#, r#"W/"a,b""#, r#""""#] {
            let (tag, rest) = Tag::read(text.as_bytes()).unwrap();
            assert_eq!((tag.to_string().as_str(), rest), (text, &b""[..]));
        }
    }
}
