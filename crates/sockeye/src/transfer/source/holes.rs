//! Where files have holes (lseek(2)).

use std::fs::File;

use rustix::fs::SeekFrom;

/// Where the next bytes are that are no hole; a file system that does not know has none.
pub(super) fn next_data(file: &File, at: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(rustix::io::Errno::NXIO) => u64::MAX,
        Err(_) => at,
    }
}

/// Where they end.
pub(super) fn next_hole(file: &File, at: u64) -> u64 {
    rustix::fs::seek(file, SeekFrom::Hole(at)).map_or(u64::MAX, |hole| hole.max(at + 1))
}
