//! What was found, written as zip or tar.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wire::text::{Encoding, printable};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};

use super::super::query::Pack;
use super::Out;
use super::walk::{Found, Walk};
use crate::service::folder::content::changed;
use crate::service::folder::kind::Kind;
use crate::service::folder::{Opened, Sort};

/// Tells, at the end of an archive, what should be in it and is not.
const MISSING: &str = "NOT IN THIS ARCHIVE.txt";

/// 3 is what zstd takes by itself: 300 MB/s and more on one core.
const LEVEL: i32 = 3;

/// From here on a zip has to say lengths in 64 bits; a bit below, for a file that grows.
const LARGE: u64 = 4 * 1000 * 1000 * 1000;

/// # Errors
/// When the client has gone, or a file is not what it was: then what has been sent is not whole.
pub(super) fn pack(walk: Walk<'_>, kind: Pack, out: Out) -> io::Result<()> {
    match kind {
        Pack::Zip => zip(walk, out)?.finish(),
        Pack::Tar => tar(walk, out)?.finish(),
        Pack::TarZst => {
            let mut encoder = zstd::Encoder::new(out, LEVEL)?;
            encoder.include_checksum(true)?;
            tar(walk, encoder)?.finish()?.finish()
        }
    }
}

fn zip(walk: Walk<'_>, out: Out) -> io::Result<Out> {
    let mut zip = ZipWriter::new_stream(out);
    let mut missing = String::new();
    for Found { name, opened } in walk {
        match opened {
            Ok(opened) => zip_one(&mut zip, &name, &opened)?,
            Err(error) => miss(&mut missing, &name, &error),
        }
    }
    if !missing.is_empty() {
        zip.start_file(MISSING, SimpleFileOptions::default())?;
        zip.write_all(missing.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

fn zip_one(zip: &mut ZipWriter<StreamWriter<Out>>, name: &[u8], opened: &Opened) -> io::Result<()> {
    let Opened { file, facts } = opened;
    // Names in a zip are UTF-8.
    let shown = Encoding::UTF_8.show(name);
    let kind = Kind::by_name(name);
    let method = match kind.is_some_and(Kind::is_compressible) {
        true => CompressionMethod::Deflated,
        false => CompressionMethod::Stored,
    };
    let mut options = SimpleFileOptions::default()
        .compression_method(method)
        .large_file(facts.len >= LARGE)
        .unix_permissions(file.metadata()?.mode() & 0o777);
    let modified = Timestamp::from_second(facts.modified.0).ok();
    let modified = modified.map(|at| at.to_zoned(TimeZone::UTC).datetime());
    // Before 1980 a zip has no time.
    if let Some(modified) = modified.and_then(|at| at.try_into().ok()) {
        options = options.last_modified_time(modified);
    }
    if facts.kind == Sort::Folder {
        return Ok(zip.add_directory(shown, options)?);
    }
    zip.start_file(shown, options)?;
    io::copy(&mut Whole::of(opened), zip)?;
    Ok(())
}

fn tar<W: Write>(walk: Walk<'_>, out: W) -> io::Result<W> {
    let mut tar = tar::Builder::new(out);
    let mut missing = String::new();
    for Found { name, opened } in walk {
        match opened {
            Ok(opened) => tar_one(&mut tar, &name, &opened)?,
            Err(error) => miss(&mut missing, &name, &error),
        }
    }
    if !missing.is_empty() {
        let mut header = tar::Header::new_gnu();
        header.set_size(missing.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, MISSING, missing.as_bytes())?;
    }
    tar.into_inner()
}

fn tar_one<W: Write>(tar: &mut tar::Builder<W>, name: &[u8], opened: &Opened) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let Opened { file, facts } = opened;
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    let mut header = tar::Header::new_gnu();
    header.set_mode(file.metadata()?.mode() & 0o777);
    header.set_mtime(u64::try_from(facts.modified.0).unwrap_or(0));
    if facts.kind == Sort::Folder {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        return tar.append_data(&mut header, path, io::empty());
    }
    header.set_size(facts.len);
    tar.append_data(&mut header, path, Whole::of(opened))
}

/// The bytes that the file had when it was opened, and an error when they are no longer there: its length has been
/// said already.
struct Whole<'a>(io::Take<&'a File>);

impl<'a> Whole<'a> {
    fn of(opened: &'a Opened) -> Self {
        Self((&*opened.file).take(opened.facts.len))
    }
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if self.0.limit() > 0 && !buffer.is_empty() => Err(changed()),
            n => Ok(n),
        }
    }
}

fn miss(missing: &mut String, name: &[u8], error: &io::Error) {
    let name = Encoding::UTF_8.show(name);
    // Writing into a string cannot fail.
    let _ = writeln!(missing, "{}: {error}", printable(&name));
}
