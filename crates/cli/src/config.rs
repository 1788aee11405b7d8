//! The config file, and what the words of a command line mean with it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sockeye::Address;
use toml_edit::{Document, DocumentMut, Item, Table};

use crate::failure::Usage;

/// Names for addresses, in `$XDG_CONFIG_HOME/sockeye/config.toml` under `[contacts]`.
#[derive(Debug)]
pub(crate) struct Config {
    path: PathBuf,
    /// As it was read, with the place of everything in it.
    document: Document<String>,
}

impl Config {
    /// Reads the config file; one that is not there is empty.
    pub(crate) fn load() -> Result<Self> {
        let path = path()?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let document = Document::parse(text.clone())
            .map_err(|error| Usage(unreadable(&path, &text, &error)))?;
        let config = Self { path, document };
        config.contacts()?;
        Ok(config)
    }

    /// Every contact, in the order of their names.
    pub(crate) fn contacts(&self) -> Result<BTreeMap<String, Address>> {
        let Some(contacts) = self.document.get("contacts") else {
            return Ok(BTreeMap::new());
        };
        let table = contacts.as_table_like().ok_or_else(|| {
            self.wrong(contacts, "[contacts] must be a table of name = \"address\"")
        })?;
        let mut all = BTreeMap::new();
        for (name, item) in table.iter() {
            let text = item
                .as_str()
                .ok_or_else(|| self.wrong(item, &format!("the address of {name} must be text")))?;
            let address = text
                .parse()
                .map_err(|error| self.wrong(item, &format!("the address of {name}: {error}")))?;
            all.insert(name.to_owned(), address);
        }
        Ok(all)
    }

    /// The address of the contact `name`.
    pub(crate) fn contact(&self, name: &str) -> Result<Address> {
        let mut contacts = self.contacts()?;
        contacts.remove(name).ok_or_else(|| {
            let known: Vec<_> = contacts.keys().map(|name| format!("@{name}")).collect();
            let known = match known.is_empty() {
                true => format!(
                    "none are known; `sockeye contacts add {name} tcp://HOST:PORT` adds one"
                ),
                false => format!("known are {}", known.join(", ")),
            };
            Usage(format!(
                "there is no contact @{name} in {}: {known}",
                self.path.display()
            ))
            .into()
        })
    }

    /// Adds a contact or changes its address. Whether it was there.
    pub(crate) fn set_contact(&self, name: &str, address: &str) -> Result<bool> {
        let known = self.contacts()?.contains_key(name);
        let mut document = self.document.clone().into_mut();
        document
            .entry("contacts")
            .or_insert_with(|| Item::Table(Table::new()))[name] = toml_edit::value(address);
        save(&self.path, &document)?;
        Ok(known)
    }

    /// Removes a contact. Whether it was there.
    pub(crate) fn remove_contact(&self, name: &str) -> Result<bool> {
        let mut document = self.document.clone().into_mut();
        let contacts = document
            .get_mut("contacts")
            .and_then(Item::as_table_like_mut);
        let known = contacts.is_some_and(|contacts| contacts.remove(name).is_some());
        if known {
            save(&self.path, &document)?;
        }
        Ok(known)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn wrong(&self, item: &Item, what: &str) -> anyhow::Error {
        let at = item.span().map_or(0, |span| span.start);
        let (line, column) = place(self.document.raw(), at);
        Usage(format!("{}:{line}:{column}: {what}", self.path.display())).into()
    }
}

/// Written beside the old file and renamed over it: a full disk leaves the old one whole.
fn save(path: &Path, document: &DocumentMut) -> Result<()> {
    let saving = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("toml.new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(document.to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    saving().with_context(|| format!("cannot write {}", path.display()))
}

fn path() -> Result<PathBuf> {
    let folder = folder("XDG_CONFIG_HOME", ".config");
    let folder =
        folder.ok_or_else(|| Usage("no home folder is known: set XDG_CONFIG_HOME".to_owned()))?;
    Ok(folder.join("config.toml"))
}

/// Where what outlives the program is kept: `$XDG_STATE_HOME/sockeye`, or `~/.local/state/sockeye`.
pub(crate) fn state() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

/// Our folder below the one that a variable names, or below the usual place in the home folder
/// (XDG Base Directory Specification).
fn folder(variable: &str, usual: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let named = named.filter(|folder| folder.is_absolute());
    let base = named.or_else(|| std::env::home_dir().map(|home| home.join(usual)))?;
    Some(base.join("sockeye"))
}

fn unreadable(path: &Path, text: &str, error: &toml_edit::TomlError) -> String {
    let (line, column) = place(text, error.span().map_or(0, |span| span.start));
    format!(
        "{}:{line}:{column}: {}",
        path.display(),
        error.message().replace('\n', "; ")
    )
}

/// Line and column, both from 1, of the byte at `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}
