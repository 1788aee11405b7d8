//! What a process that serves files may still reach: the folder, and what it cannot do without (landlock(7)).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use sockeye::Address;
use wire::address::{Target, UnixName};

use crate::args::ServeArgs;
use crate::config;

/// Linux 6.10. What an older kernel does not know is left out.
const KNOWN: ABI = ABI::V5;

/// What programs read to find names, times, certificates of authorities and random numbers.
const SYSTEM: [&str; 7] = [
    "/etc",
    "/usr",
    "/lib",
    "/proc",
    "/sys",
    "/dev",
    "/run/systemd/resolve",
];

/// Confines the process, before it has threads: those that are there already would not be.
///
/// Gives what was done, in words; `None` where nothing was to be.
///
/// # Errors
/// When the kernel knows how and refuses.
pub(crate) fn confine(args: &ServeArgs) -> Result<Option<String>> {
    let mut words = args.words.iter().map(String::as_str);
    let (Some("files"), Some(folder)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    if args.files.no_confinement {
        return Ok(None);
    }
    let folder = Path::new(folder);
    let mut writable = keeps(words);
    let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    readable.extend(named(args));
    match args.files.write {
        true => writable.push(folder.to_owned()),
        false => readable.push(folder.to_owned()),
    }
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(readable, AccessFs::from_read(KNOWN))))
        .and_then(|rules| rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(KNOWN))))
        .and_then(|rules| rules.restrict_self());
    let status = restricted.context("cannot confine the process to the folder")?;
    let how = match status.ruleset {
        RulesetStatus::FullyEnforced => "confined by landlock to",
        RulesetStatus::PartiallyEnforced => "confined by landlock, as far as this kernel can, to",
        RulesetStatus::NotEnforced => "not confined, for this kernel has no landlock, to",
    };
    Ok(Some(format!("the process is {how} {}", folder.display())))
}

/// Folders that are written to while it serves.
fn keeps<'a>(addresses: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    let mut keeps = Vec::new();
    if let Some(state) = config::state() {
        // One that does not exist cannot be named, and would be made later on. Whoever needs it says what is wrong.
        let _ = std::fs::create_dir_all(&state);
        keeps.push(state);
    }
    keeps.extend(std::env::var_os("QLOGDIR").map(PathBuf::from));
    let keys = std::env::var_os("SSLKEYLOGFILE").map(PathBuf::from);
    keeps.extend(keys.as_deref().map(around));
    for address in addresses.filter_map(|word| word.parse::<Address>().ok()) {
        if let Target::Unix(UnixName::Path(path)) = &address.target {
            keeps.push(around(path));
        }
    }
    keeps
}

/// Files that are read, and read again when they are renewed.
fn named(args: &ServeArgs) -> impl Iterator<Item = PathBuf> {
    let options = args.tls.files();
    let token = args.guard.token_file.clone();
    options.into_iter().chain(token).map(|file| around(&file))
}

fn around(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
