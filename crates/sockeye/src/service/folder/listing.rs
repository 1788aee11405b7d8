//! What is in a folder: its entries in order, and the page that shows them.

use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::page::{self, Text};
use super::root::{Opened, Root, Sort};
use super::target::{Target, segment};
use wire::text::Encoding;

/// More entries than this are left out, and the page says so: it takes 100 bytes of memory for each.
const MOST: usize = 100_000;

/// Rows that are made at a time.
const ROWS: usize = 500;

/// One line of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::service) struct Entry {
    pub(in crate::service) name: Vec<u8>,
    pub(in crate::service) is_folder: bool,
    pub(in crate::service) len: u64,
    /// Seconds since 1970.
    pub(in crate::service) modified: i64,
}

/// The entries of a folder.
pub(in crate::service) struct Listing {
    pub(in crate::service) entries: Vec<Entry>,
    pub(in crate::service) left_out: bool,
}

impl Listing {
    /// Reads a folder, on a thread that may wait. Only what would be served is in it.
    pub(in crate::service) fn read(
        root: &Root,
        target: &Target,
        folder: &Opened,
        with_hidden: bool,
    ) -> io::Result<Self> {
        let mut entries = Vec::new();
        let mut left_out = false;
        for entry in Dir::read_from(&folder.file)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || (name.starts_with(b".") && !with_hidden) {
                continue;
            }
            if entries.len() == MOST {
                left_out = true;
                break;
            }
            // What went away meanwhile is not there.
            let Ok(stat) = statat(&folder.file, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let (sort, len, modified) = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => match root.behind(&target.join(name)) {
                    Ok(facts) => (facts.kind, facts.len, facts.modified.0),
                    Err(_) => continue,
                },
                FileType::RegularFile => (Sort::File, stat.st_size as u64, stat.st_mtime),
                FileType::Directory => (Sort::Folder, 0, stat.st_mtime),
                _ => continue,
            };
            if sort != Sort::Other {
                entries.push(Entry {
                    name: name.to_vec(),
                    is_folder: sort == Sort::Folder,
                    len,
                    modified,
                });
            }
        }
        entries.sort_by_cached_key(|entry| {
            let folded = entry.name.to_ascii_lowercase();
            (!entry.is_folder, folded, entry.name.clone())
        });
        Ok(Self { entries, left_out })
    }

    /// The page, made while it is sent.
    ///
    /// Names are UTF-8 on nearly every system, whatever the files hold; other bytes are shown as `\xNN`.
    pub(in crate::service) fn into_page(self, target: &Target) -> Page {
        let name = format!("/{}", Encoding::UTF_8.show(&target.name));
        let slash = if target.name.is_empty() { "" } else { "/" };
        let mut text = page::head(&format!("{name}{slash}"));
        text.push_str(
            "<table>\n<tr><th>Name</th><th class=\"n\">Size</th><th class=\"n\">Modified (UTC)</th></tr>\n",
        );
        if !target.name.is_empty() {
            text.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        let mut end = "</table>\n".to_owned();
        if self.left_out {
            end.push_str("<p>There is more in this folder than is listed here.</p>\n");
        } else if self.entries.is_empty() {
            end.push_str("<p>Nothing is in this folder.</p>\n");
        }
        end.push_str(page::END);
        self.into_rows(text, Entry::write, end)
    }

    /// Whatever is made of each entry, between `head` and `end`, while it is sent.
    pub(in crate::service) fn into_rows(
        self,
        head: String,
        write: fn(&Entry, &mut String),
        end: String,
    ) -> Page {
        Page {
            next: Some(head),
            rows: self.entries.into_iter(),
            write,
            end: Some(end),
        }
    }
}

impl Entry {
    fn write(&self, page: &mut String) {
        let slash = if self.is_folder { "/" } else { "" };
        page.push_str("<tr><td><a href=\"");
        page.extend(segment(&self.name));
        let name = Encoding::UTF_8.show(&self.name);
        // Writing into a string cannot fail.
        let _ = write!(
            page,
            "{slash}\"><bdi>{}</bdi>{slash}</a></td><td class=\"n\">",
            Text(&name)
        );
        if !self.is_folder {
            let _ = write!(
                page,
                "<data value=\"{}\">{}</data>",
                self.len,
                size(self.len)
            );
        }
        page.push_str("</td><td class=\"n\">");
        if let Ok(time) = Timestamp::from_second(self.modified) {
            let _ = write!(page, "{}", time.strftime("%Y-%m-%d %H:%M"));
        }
        page.push_str("</td></tr>\n");
    }
}

/// `17 B`, `1.5 KiB`, `100 MiB`: three digits at most, rounded down.
fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut whole = bytes;
    let mut tenths = 0;
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = next;
    }
    match (unit, whole) {
        ("B", _) | (_, 100..) => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}

/// A listing on its way.
pub(in crate::service) struct Page {
    next: Option<String>,
    rows: std::vec::IntoIter<Entry>,
    write: fn(&Entry, &mut String),
    end: Option<String>,
}

impl Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let Some(end) = &mut this.end else {
            return Poll::Ready(None);
        };
        let mut text = this.next.take().unwrap_or_default();
        for entry in this.rows.by_ref().take(ROWS) {
            (this.write)(&entry, &mut text);
        }
        if this.rows.len() == 0 {
            text.push_str(end);
            this.end = None;
        }
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none()
    }
}

/// Reads a folder without making the runtime wait.
pub(in crate::service) async fn read(
    root: &Arc<Root>,
    target: &Target,
    folder: Opened,
    with_hidden: bool,
) -> io::Result<Listing> {
    let (root, target) = (root.clone(), target.clone());
    let reading = move || Listing::read(&root, &target, &folder, with_hidden);
    tokio::task::spawn_blocking(reading).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1535, "1.4 KiB"),
            (1536, "1.5 KiB"),
            (100 * 1024, "100 KiB"),
            (1024 * 1024 - 1, "1023 KiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
