//! What outlives the program: who we were at which address, so that we are the same person next time.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// `$XDG_STATE_HOME/sockeye/chat.json`: tokens by address and name, for nobody else's eyes.
#[derive(Debug)]
pub(crate) struct Keep {
    path: Option<PathBuf>,
    key: String,
}

impl Keep {
    /// What is kept for `address`, for the name that was asked for or for any.
    pub(crate) fn of(address: &str, name: Option<&str>) -> Self {
        Self {
            path: crate::config::state().map(|folder| folder.join("chat.json")),
            key: format!("{} {address}", name.unwrap_or("*")),
        }
    }

    fn all(&self) -> Map<String, Value> {
        let text = self.path.as_ref().map(std::fs::read_to_string);
        let all = text
            .and_then(Result::ok)
            .and_then(|text| serde_json::from_str(&text).ok());
        all.unwrap_or_default()
    }

    /// The token of last time.
    pub(crate) fn token(&self) -> Option<String> {
        self.all().get(&self.key)?.as_str().map(str::to_owned)
    }

    /// Keeps `token`, or forgets the last one. Losing it loses a name without a password, and no line.
    pub(crate) fn keep(&self, token: Option<&str>) {
        let mut all = self.all();
        let known = all.get(&self.key).and_then(Value::as_str);
        let Some(path) = self.path.as_ref().filter(|_| known != token) else {
            return;
        };
        match token {
            Some(token) => drop(all.insert(self.key.clone(), token.into())),
            None => drop(all.remove(&self.key)),
        }
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let new = path.with_extension(format!("json.{}", std::process::id()));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(Value::Object(all).to_string().as_bytes())?;
            std::fs::rename(&new, path)
        };
        if let Err(error) = write() {
            eprintln!("warning: cannot write {}: {error}", path.display());
        }
    }
}
