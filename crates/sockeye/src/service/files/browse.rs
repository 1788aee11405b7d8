//! What is in a folder, for programs: JSON.

use std::fmt::Write;

use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use wire::text::Encoding;

use super::FilesOptions;
use crate::service::folder::Target;
use crate::service::folder::listing::{Entry, Listing, Page};
use crate::service::folder::target::segment;

pub(super) fn describe(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The listing as JSON: an object with `v` (1), `root` and `path`, where all begins and where this is, `write`, whether
/// files may be put here, `limit`, the largest that may, in bytes, or null, `entries` in order, folders first, and `more` when some were
/// left out. An entry has `name` (bytes that are no UTF-8 as `\xNN`), `href` relative to the folder, `kind` (`file`
/// or `folder`), `size` in bytes and `modified` in seconds since 1970.
pub(super) fn json(listing: Listing, target: &Target, options: &FilesOptions) -> Page {
    let FilesOptions {
        write: may_write,
        max_size,
        under,
        ..
    } = options;
    let root = json!(format!("{under}/"));
    let path = json!(format!("{under}{}", target.folder_path()));
    let limit = json!(max_size);
    let end = format!("\n],\"more\":{}}}\n", listing.left_out);
    let head = format!(
        "{{\"v\":1,\"root\":{root},\"path\":{path},\"write\":{may_write},\"limit\":{limit},\"entries\":["
    );
    listing.into_rows(head, write, end)
}

fn write(entry: &Entry, text: &mut String) {
    let slash = if entry.is_folder { "/" } else { "" };
    let mut href: String = segment(&entry.name).collect();
    href.push_str(slash);
    let kind = match entry.is_folder {
        true => "folder",
        false => "file",
    };
    let entry = json!({
        "name": Encoding::UTF_8.show(&entry.name),
        "href": href,
        "kind": kind,
        "size": entry.len,
        "modified": entry.modified,
    });
    // All rows but the first stand behind another one.
    let comma = if text.ends_with('[') { "" } else { "," };
    // Writing into a string cannot fail.
    let _ = write!(text, "{comma}\n{entry}");
}

/// Whether a browser that opens it runs what is in it.
pub(super) fn is_active(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default();
    ["html", "xml"].iter().any(|name| kind.contains(name))
}
