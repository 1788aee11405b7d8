//! Going on with a file that is there in part, without ever joining two versions of it.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sockeye::fetch::Order;
use sockeye::{AnswerHead, Error, Operation};

use super::file::{name, part_of, tag_of};
use crate::args::From;
use crate::failure::{Usage, declined};

/// What is there of a file, and how the server is asked for the rest.
#[derive(Debug)]
pub(super) struct Resumed {
    /// How much of it there is.
    pub(super) at: u64,
    /// Which version of it that is.
    tag: Option<HeaderValue>,
    /// When it was written last; `None` when there is no file.
    written: Option<SystemTime>,
}

/// What an answer means for what is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the rest, and then this is how long all of it is.
    Rest(Option<u64>),
    /// It is all of it, from the beginning: the file has changed, or the server knows no ranges.
    All,
    /// It is the rest of something else: ask for all of it.
    Other,
    /// There is no rest.
    Complete,
}

/// Asks for what is not there yet; `None` when nothing is.
///
/// # Errors
/// When less is there than `from` says.
pub(super) fn ask_for_the_rest(
    path: Option<&Path>,
    from: From,
    order: &mut Order,
) -> Result<Option<Resumed>> {
    let mut resumed = Resumed {
        at: 0,
        tag: None,
        written: None,
    };
    if let Some(path) = path {
        let part = part_of(path);
        let found = part.metadata().or_else(|_| path.metadata());
        let found = found.ok().filter(std::fs::Metadata::is_file);
        resumed.at = found.as_ref().map_or(0, std::fs::Metadata::len);
        resumed.written = found.and_then(|facts| facts.modified().ok());
        if part.exists() {
            let tag = std::fs::read(tag_of(path)).ok();
            resumed.tag = tag.and_then(|tag| HeaderValue::from_bytes(&tag).ok());
        }
    }
    match from {
        From::Byte(byte) if path.is_some() && byte > resumed.at => {
            let what = format!("-C {byte}: only {} bytes are there", resumed.at);
            return Err(Usage(what).into());
        }
        From::Byte(byte) => resumed.at = byte,
        From::End => {}
    }
    if resumed.at == 0 {
        return Ok(None);
    }
    let range = format!("bytes={}-", resumed.at);
    order
        .headers
        .insert(header::RANGE, HeaderValue::try_from(range)?);
    if let Some(tag) = &resumed.tag {
        order.headers.insert(header::IF_RANGE, tag.clone());
    }
    Ok(Some(resumed))
}

/// What says which version of a thing an answer is (RFC 9110, section 13.1.5): a strong tag, or the date when it
/// was changed if that was long enough ago.
pub(super) fn tag(headers: &HeaderMap) -> Option<String> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(etag) = text(header::ETAG) {
        return (!etag.starts_with("W/")).then(|| etag.to_owned());
    }
    let (changed, now) = (text(header::LAST_MODIFIED)?, text(header::DATE)?);
    // Two changes within one second have the same date (RFC 9110, section 8.8.2.2).
    (moment(now)?.as_second() - moment(changed)?.as_second() >= 1).then(|| changed.to_owned())
}

fn moment(date: &str) -> Option<Timestamp> {
    let read = rfc2822::DateTimeParser::new().parse_timestamp(date);
    read.ok()
}

impl Resumed {
    /// Whether it is known which version is there.
    pub(super) fn is_certain(&self) -> bool {
        self.tag.is_some()
    }

    /// # Errors
    /// When the server refuses, or answers something that was not asked for.
    pub(super) fn verdict(&self, head: &AnswerHead, order: &Order) -> Result<Verdict> {
        let wrong = |reason: String| Error::Protocol {
            operation: Operation::Receive,
            address: order.location.to_string(),
            reason,
        };
        let range = head.headers.get(header::CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        match head.status {
            StatusCode::OK => Ok(Verdict::All),
            StatusCode::PARTIAL_CONTENT => {
                let read = range.and_then(content_range);
                let (first, whole) = read.ok_or_else(|| {
                    let shown = range.unwrap_or("none");
                    wrong(format!("its Content-Range cannot be read: {shown}"))
                })?;
                if first != self.at {
                    let at = self.at;
                    return Err(
                        wrong(format!("it sends from byte {first} on and not from {at}")).into(),
                    );
                }
                Ok(match self.is_other(&head.headers) {
                    true => Verdict::Other,
                    false => Verdict::Rest(whole),
                })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let whole = range.and_then(|range| range.strip_prefix("bytes */"));
                match whole.and_then(|whole| whole.parse::<u64>().ok()) {
                    Some(whole) if whole == self.at => Ok(Verdict::Complete),
                    Some(whole) => {
                        let at = self.at;
                        Err(wrong(format!(
                            "it has {whole} bytes and {at} are there: without -C it begins anew"
                        ))
                        .into())
                    }
                    None => Err(declined(order.location.to_string(), head.status)),
                }
            }
            status => Err(declined(order.location.to_string(), status)),
        }
    }

    /// Whether the rest is that of another version: some servers do not look at `If-Range`.
    fn is_other(&self, headers: &HeaderMap) -> bool {
        match (&self.tag, self.written) {
            (Some(asked), _) => {
                let is_date = !asked.as_bytes().starts_with(b"\"");
                let name = if is_date {
                    header::LAST_MODIFIED
                } else {
                    header::ETAG
                };
                headers.get(name).is_some_and(|found| found != asked)
            }
            // Nobody knows which version is there: at least it must be no older than what is offered.
            (None, Some(written)) => {
                let changed = headers.get(header::LAST_MODIFIED);
                let changed = changed.and_then(|date| moment(date.to_str().ok()?));
                let written = Timestamp::try_from(written).ok();
                changed
                    .zip(written)
                    .is_some_and(|(changed, written)| changed > written)
            }
            (None, None) => false,
        }
    }
}

/// What is there is all of it: it gets its name, if it has not got it.
///
/// # Errors
/// When it cannot be renamed.
pub(super) fn complete(path: &Path) -> Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match part_of(&path).exists() {
        true => Ok(name(&path)?),
        false => Ok(()),
    }
}

/// The first byte, and how long the whole is: `bytes 5-9/10` (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let whole = match whole {
        "*" => None,
        whole => Some(whole.parse::<u64>().ok()?),
    };
    (first <= last && whole.is_none_or(|whole| last < whole)).then_some((first, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> AnswerHead {
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        AnswerHead {
            version: http::Version::HTTP_11,
            status: StatusCode::from_u16(status).unwrap(),
            reason: None,
            headers: fields.iter().map(field).collect(),
        }
    }

    fn resumed(tag: Option<&'static str>) -> Resumed {
        Resumed {
            at: 5,
            tag: tag.map(HeaderValue::from_static),
            // 2001-09-09 01:46:40 UTC
            written: Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)),
        }
    }

    #[test]
    fn answers_to_who_has_five_bytes() {
        let order = Order::get("http://h/".parse().unwrap());
        let range = ("content-range", "bytes 5-9/10");
        let (old, new) = (
            "Sat, 08 Sep 2001 01:46:40 GMT",
            "Mon, 10 Sep 2001 01:46:40 GMT",
        );
        for (tag, status, fields, verdict) in [
            (None, 200, vec![], Ok(Verdict::All)),
            (None, 206, vec![range], Ok(Verdict::Rest(Some(10)))),
            (
                None,
                206,
                vec![("content-range", "bytes 5-9/*")],
                Ok(Verdict::Rest(None)),
            ),
            (
                None,
                206,
                vec![range, ("last-modified", old)],
                Ok(Verdict::Rest(Some(10))),
            ),
            (
                None,
                206,
                vec![range, ("last-modified", new)],
                Ok(Verdict::Other),
            ),
            (
                Some("\"a\""),
                206,
                vec![range, ("etag", "\"a\"")],
                Ok(Verdict::Rest(Some(10))),
            ),
            (
                Some("\"a\""),
                206,
                vec![range, ("etag", "\"b\"")],
                Ok(Verdict::Other),
            ),
            (
                Some(old),
                206,
                vec![range, ("last-modified", new)],
                Ok(Verdict::Other),
            ),
            (
                None,
                206,
                vec![("content-range", "bytes 4-9/10")],
                Err("from byte 4 on"),
            ),
            (
                None,
                206,
                vec![("content-range", "bytes 5-9/9")],
                Err("cannot be read"),
            ),
            (None, 206, vec![], Err("cannot be read: none")),
            (
                None,
                416,
                vec![("content-range", "bytes */5")],
                Ok(Verdict::Complete),
            ),
            (
                None,
                416,
                vec![("content-range", "bytes */4")],
                Err("it has 4 bytes and 5 are there"),
            ),
            (None, 416, vec![], Err("answered 416")),
            (None, 404, vec![], Err("answered 404")),
        ] {
            let found = resumed(tag).verdict(&head(status, &fields), &order);
            match (found, verdict) {
                (Ok(found), Ok(verdict)) => assert_eq!(found, verdict, "{status} {fields:?}"),
                (Err(error), Err(says)) => {
                    let line = error.to_string();
                    assert!(line.contains(says), "{line}");
                }
                (found, _) => panic!("{status} {fields:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn only_what_is_strong_says_which_version_it_is() {
        let date = ("date", "Sat, 08 Sep 2001 01:46:40 GMT");
        let tag = |fields: &[_]| tag(&head(200, fields).headers);
        assert_eq!(tag(&[("etag", "\"a\"")]).as_deref(), Some("\"a\""));
        assert_eq!(
            tag(&[
                ("etag", "W/\"a\""),
                date,
                ("last-modified", "Sat, 08 Sep 2001 01:46:00 GMT")
            ]),
            None
        );
        let earlier = "Sat, 08 Sep 2001 01:46:39 GMT";
        assert_eq!(
            tag(&[date, ("last-modified", earlier)]).as_deref(),
            Some(earlier)
        );
        assert_eq!(tag(&[date, ("last-modified", date.1)]), None);
        assert_eq!(tag(&[("last-modified", earlier)]), None);
    }
}
