//! `sockeye send`: files go to another end, which verifies them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use sockeye::dial;
use sockeye::transfer::{Hello, Item, Pace, Role, Talk, VERSION, send};

use crate::args::SendArgs;
use crate::failure::Usage;
use crate::moving::{Filter, Meter, Place, number, options, persist, walk};
use crate::signals::Signals;

/// How often files that change while they are sent are looked at again.
const LOOKS: u32 = 3;

pub(crate) async fn run(args: SendArgs) -> Result<ExitCode> {
    let (files, place) = words(&args.words)?;
    let filter = Filter::new(&args.include, &args.exclude)?;
    let mut left_out = |what: &str| eprintln!("note: {what}");
    let items = walk(files, &filter, &args.name, &mut left_out)?;
    if args.dry_run {
        items
            .iter()
            .for_each(|item| println!("{:>14} {}", item.size(), item.path));
        return Ok(ExitCode::SUCCESS);
    }
    let is_known = items.iter().all(|item| item.facts.size.is_some());
    let whole = is_known.then(|| items.iter().map(Item::size).sum());
    let meter = Meter::new(&args.way, whole);
    let mut signals = Signals::listen()?;
    tokio::select! {
        delivered = deliver(&args, &place, items.into(), &meter) => delivered?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    }
    Ok(ExitCode::from(meter.sum("sent")))
}

/// The last word is where to.
fn words(words: &[PathBuf]) -> Result<(&[PathBuf], Place)> {
    let Some((place, files)) = words.split_last() else {
        return Err(Usage("what is to be sent, and where to?".to_owned()).into());
    };
    let place = place.to_str().map(str::parse);
    let place = place.unwrap_or_else(|| Err(Usage("the address is not UTF-8".to_owned()).into()));
    Ok((files, place?))
}

async fn deliver(
    args: &SendArgs,
    place: &Place,
    mut items: Arc<[Item]>,
    meter: &Meter,
) -> Result<()> {
    let options = options(&args.way, place)?;
    let mut pace = args.limit_rate.map(Pace::new);
    let id = number()?;
    for look in 0..=LOOKS {
        persist(&args.way, meter, async |was_reached| {
            let session = dial(&place.address, &options).await?;
            let hello = Hello {
                version: VERSION,
                role: Role::Push,
                id,
                path: place.path.clone(),
            };
            let mut talk = Talk::visit(session.into_stream(), hello).await?;
            *was_reached = true;
            send(&mut talk, &items, pace.as_mut(), meter).await?;
            talk.part().await;
            Ok(())
        })
        .await?;
        let changed = items.iter().filter(|item| item.outcome.get().is_none());
        let changed: Vec<_> = changed.map(|item| item.path.to_string()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        for name in &changed {
            match look {
                LOOKS => meter.failed(name, "it changes all the time, or cannot be read"),
                _ => meter.note(&format!("{name} changed while it was sent; trying again")),
            }
        }
        items = look_again(&items, meter);
    }
    Ok(())
}

/// The same files as they are now; those that have gone are told.
fn look_again(items: &[Item], meter: &Meter) -> Arc<[Item]> {
    let looked = items.iter().filter_map(|item| match item.look_again() {
        Ok(again) => Some(again),
        Err(error) => {
            meter.failed(&item.path.to_string(), &format!("it is gone: {error}"));
            None
        }
    });
    looked.collect()
}
