//! What a process that serves files may still reach: the folder, and what it cannot do without (landlock(7)).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    path_beneath_rules,
};
use sockeye::Address;
use wire::address::{Target, UnixName};

use crate::args::{ReceiveArgs, SendArgs, ServeArgs};
use crate::config;
use crate::moving::{is_place, make, offered};

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

/// What a process may still reach, besides the system.
#[derive(Debug, Default)]
struct Reach {
    /// Files, and folders with all that is in them.
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    /// Folders that may be looked into; what is in their files stays unknown.
    listed: Vec<PathBuf>,
}

/// Confines the process to what `serve` needs, before it has threads: those that are there already would not be.
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
    let mut reach = Reach {
        readable: named(args).collect(),
        writable: keeps(words),
        ..Reach::default()
    };
    match args.files.write {
        true => reach.writable.push(folder.to_owned()),
        false => reach.readable.push(folder.to_owned()),
    }
    let how = match reach
        .restrict()
        .context("cannot confine the process to the folder")?
    {
        RulesetStatus::FullyEnforced => "confined by landlock to",
        RulesetStatus::PartiallyEnforced => "confined by landlock, as far as this kernel can, to",
        RulesetStatus::NotEnforced => "not confined, for this kernel has no landlock, to",
    };
    Ok(Some(format!("the process is {how} {}", folder.display())))
}

/// The same for files that `send` offers: they can be read, and nothing else that is the user's.
///
/// # Errors
/// When one is not there, or the kernel knows how and refuses.
pub(crate) fn of_offer(args: &SendArgs) -> Result<()> {
    let is_delivered = args.words.last().is_some_and(|word| is_place(word));
    if is_delivered || args.dry_run || args.offer.no_confinement {
        return Ok(());
    }
    let mut reach = Reach {
        writable: keeps(std::iter::once(&*args.offer.bind)),
        ..Reach::default()
    };
    for file in &args.words {
        let whole = offered(file)?;
        reach.listed.extend(whole.parent().map(Path::to_owned));
        reach.readable.push(whole);
    }
    let done = reach.restrict();
    done.map(drop)
        .context("cannot confine the process to what is offered")
}

/// The same for the folder that others put files into by `receive`, which is made where it is missing.
///
/// # Errors
/// When it cannot be made, or the kernel knows how and refuses.
pub(crate) fn of_box(args: &ReceiveArgs) -> Result<()> {
    let folder = match &args.words[..] {
        [] => Path::new("."),
        [folder] if !is_place(folder) && folder.as_os_str() != "-" => folder,
        _ => return Ok(()),
    };
    if args.offer.no_confinement {
        return Ok(());
    }
    make(folder)?;
    let mut reach = Reach {
        writable: keeps(std::iter::once(&*args.offer.bind)),
        ..Reach::default()
    };
    reach.writable.push(folder.to_owned());
    let done = reach.restrict();
    done.map(drop)
        .context("cannot confine the process to the folder")
}

impl Reach {
    /// Takes everything else away from this thread, and those that it begins.
    fn restrict(self) -> Result<RulesetStatus, RulesetError> {
        let system = SYSTEM.iter().map(PathBuf::from);
        let readable = system.chain(self.readable);
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(KNOWN)))?
            .add_rules(path_beneath_rules(self.writable, AccessFs::from_all(KNOWN)))?
            .add_rules(path_beneath_rules(self.listed, AccessFs::ReadDir))?;
        Ok(rules.restrict_self()?.ruleset)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind;

    /// What a thread that is confined says; `None` where the kernel has no landlock.
    fn confined<T: Send>(reach: Reach, work: impl FnOnce() -> T + Send) -> Option<T> {
        let run = || match reach.restrict().unwrap() {
            RulesetStatus::NotEnforced => None,
            _ => Some(work()),
        };
        // Only this thread: the others of the test go on as they were.
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    fn is_refused<T>(done: std::io::Result<T>) -> bool {
        done.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn the_kernel_refuses_what_is_outside() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for name in ["in", "read", "list/folder", "out"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        fs::write(at("list/given"), "given").unwrap();
        let reach = Reach {
            readable: vec![at("read"), at("list/given")],
            writable: vec![at("in")],
            listed: vec![at("list")],
        };
        let asked = confined(reach, || {
            assert_eq!(fs::read_to_string(at("in/file")).unwrap(), "in");
            fs::write(at("in/new"), "new").unwrap();
            fs::rename(at("in/new"), at("in/newer")).unwrap();
            assert_eq!(fs::read_to_string(at("read/file")).unwrap(), "read");
            assert!(is_refused(fs::write(at("read/file"), "")));
            assert_eq!(fs::read_to_string(at("list/given")).unwrap(), "given");
            assert_eq!(fs::read_dir(at("list")).unwrap().count(), 2);
            assert!(is_refused(fs::read(at("list/folder/file"))));
            assert!(is_refused(fs::read(at("out/file"))));
            assert!(is_refused(fs::read_dir(at("out"))));
            assert!(is_refused(fs::write(at("out/new"), "")));
            assert!(is_refused(fs::rename(at("in/newer"), at("newer"))));
            assert!(is_refused(fs::remove_file(at("out/file"))));
            assert!(fs::read("/etc/hosts").is_ok());
        });
        if asked.is_none() {
            eprintln!("skipped: this kernel has no landlock");
        }
        fs::write(at("out/new"), "").unwrap();
    }
}
