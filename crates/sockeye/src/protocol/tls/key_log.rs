//! The secrets of connections, written where tools such as Wireshark find them.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A file that the secrets of every connection are appended to, in the format of `SSLKEYLOGFILE`
/// (RFC 9850). Whoever can read it can read the connections.
///
/// Somebody in this process can hear them, too.
#[derive(Clone, Default)]
pub struct KeyLog {
    file: Option<Arc<Mutex<File>>>,
    hearer: Option<Arc<Hearer>>,
}

/// Hears lines of a key log, each with its `\n`.
type Hearer = dyn Fn(&str) + Send + Sync;

impl KeyLog {
    /// Opens the file, or makes it, readable by its owner alone.
    ///
    /// # Errors
    /// As opening a file.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Some(Arc::new(Mutex::new(file))),
            hearer: None,
        })
    }

    /// The same, which writes what `other` writes, too.
    #[must_use]
    pub fn writing_as(self, other: Option<Self>) -> Self {
        Self {
            file: self.file.or_else(|| other?.file),
            ..self
        }
    }

    /// Every line is told to `hearer`, too, before anything is sent that it opens.
    #[must_use]
    pub fn heard_by(self, hearer: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            hearer: Some(Arc::new(hearer)),
            ..self
        }
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        let mut hex = |bytes: &[u8], end| {
            for byte in bytes {
                // Writing to a string does not fail.
                let _ = write!(line, "{byte:02x}");
            }
            line.push(end);
        };
        hex(client_random, ' ');
        hex(secret, '\n');
        if let Some(hearer) = &self.hearer {
            hearer(&line);
        }
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk takes nothing from the connection, and there is nobody to tell from here.
            let _ = file.write_all(line.as_bytes());
        }
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::KeyLog as _;

    use super::*;

    #[test]
    fn secrets_are_appended_a_line_each_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        for secret in [&[0xab, 0xcd], &[0, 0xff]] {
            KeyLog::append(&path)
                .unwrap()
                .log("CLIENT_RANDOM", &[1, 2, 0xf0], secret);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "CLIENT_RANDOM 0102f0 abcd\nCLIENT_RANDOM 0102f0 00ff\n"
        );
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            KeyLog::append(folder.path()).is_err(),
            "a folder is no file"
        );
    }

    #[test]
    fn somebody_in_this_process_hears_what_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let heard = Arc::new(Mutex::new(String::new()));
        let ear = heard.clone();
        let hearer = KeyLog::default().heard_by(move |line| ear.lock().unwrap().push_str(line));
        hearer.log("CLIENT_RANDOM", &[1], &[2]);
        let both = hearer.writing_as(Some(KeyLog::append(&path).unwrap()));
        both.log("CLIENT_RANDOM", &[3], &[4]);
        assert_eq!(
            *heard.lock().unwrap(),
            "CLIENT_RANDOM 01 02\nCLIENT_RANDOM 03 04\n"
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "CLIENT_RANDOM 03 04\n");
    }
}
