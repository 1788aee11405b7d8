//! What happened on a connection, written down for tools that draw it.

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use quinn::{QlogConfig, QlogStream};

/// A new file in `folder`, for its owner alone. None is no reason to be without a connection.
pub(super) fn stream(folder: &Path, title: &str) -> Option<QlogStream> {
    let path = folder.join(format!("{title}.sqlog"));
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .ok()?;
    let mut config = QlogConfig::default();
    config
        .writer(Box::new(BufWriter::new(file)))
        .title(Some(title.to_owned()));
    config.into_stream()
}
