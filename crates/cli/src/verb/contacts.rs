//! `sockeye contacts`: names for addresses.

use std::process::ExitCode;

use anyhow::Result;
use sockeye::Address;

use crate::args::{ContactsAction, ContactsArgs};
use crate::config::Config;
use crate::failure::Usage;

pub(crate) fn run(args: ContactsArgs) -> Result<ExitCode> {
    let config = Config::load()?;
    match args.action.unwrap_or(ContactsAction::List) {
        ContactsAction::List => return list(&config),
        ContactsAction::Add { name, address } => {
            let name = plain(&name)?;
            // Refused now rather than at the first use.
            let address: Address = address.parse()?;
            let changed = config.set_contact(name, &address.to_string())?;
            eprintln!(
                "{} @{name} = {address}",
                if changed { "changed" } else { "added" }
            );
        }
        ContactsAction::Remove { name } => {
            let name = plain(&name)?;
            if !config.remove_contact(name)? {
                return Err(Usage(format!(
                    "there is no contact @{name} in {}",
                    config.path().display()
                ))
                .into());
            }
            eprintln!("removed @{name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(config: &Config) -> Result<ExitCode> {
    let contacts = config.contacts()?;
    if contacts.is_empty() {
        eprintln!(
            "no contacts in {}; `sockeye contacts add NAME ADDR` adds one",
            config.path().display()
        );
    }
    let lines: String = contacts
        .iter()
        .map(|(name, address)| format!("@{name}\t{address}\n"))
        .collect();
    super::print(lines.as_bytes())
}

/// The name without the `@` that people write before it.
fn plain(name: &str) -> Result<&str> {
    let plain = name.strip_prefix('@').unwrap_or(name);
    let ok = !plain.is_empty()
        && plain
            .chars()
            .all(|c| !c.is_whitespace() && wire::text::is_printable(c));
    match ok && !plain.contains(['@', '/']) {
        true => Ok(plain),
        false => Err(Usage(format!(
            "`{}` is no name for a contact: letters without spaces, @ and /",
            name.escape_debug()
        ))
        .into()),
    }
}
