//! `sockeye send`: files go to another end, which verifies them.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use sockeye::dial;
use sockeye::service::{Files, FilesOptions, Offer};
use sockeye::transfer::{Hello, Item, Pace, Role, Talk, VERSION, send};

use crate::args::SendArgs;
use crate::failure::Usage;
use crate::moving::{
    Filter, Meter, Place, is_place, number, offer, options, persist, secret, walk,
};
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
    let Some(place) = place else {
        return give(&args, files, items).await;
    };
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

/// The last word may be where to.
fn words(words: &[PathBuf]) -> Result<(&[PathBuf], Option<Place>)> {
    let place = words.last().filter(|last| is_place(last));
    let files = &words[..words.len() - usize::from(place.is_some())];
    if files.is_empty() {
        return Err(
            Usage("what is to be sent there? Files come before the address".to_owned()).into(),
        );
    }
    let place = place.and_then(|place| place.to_str()).map(str::parse);
    Ok((files, place.transpose()?))
}

/// Without an address it is offered, to as many as may have it.
async fn give(args: &SendArgs, files: &[PathBuf], items: Vec<Item>) -> Result<ExitCode> {
    let whole = files.iter().map(|file| {
        let whole = file.canonicalize();
        whole.map_err(|error| Usage(format!("cannot offer {}: {error}", file.display())))
    });
    let whole = whole.collect::<Result<Vec<_>, _>>()?;
    let folder = whole.first().and_then(|file| file.parent());
    let Some(folder) =
        folder.filter(|folder| whole.iter().all(|file| file.parent() == Some(folder)))
    else {
        let what = "what is offered together has to lie in one folder".to_owned();
        return Err(Usage(what).into());
    };
    let names = whole.iter().filter_map(|file| file.file_name());
    let (taken, mut takes) = tokio::sync::mpsc::unbounded_channel();
    let under = secret()?;
    let options = FilesOptions {
        under: under.clone(),
        hidden: true,
        ..FilesOptions::default()
    };
    let size: u64 = items.iter().map(Item::size).sum();
    let offered = Offer {
        names: names.map(|name| name.as_bytes().to_vec()).collect(),
        items: items.into(),
        taken,
    };
    let service = Files::offering(folder, offered, options)?;
    let what = format!(
        "{size} bytes are offered, {} times; the other end types one of",
        args.count
    );
    let over = async {
        for _ in 0..args.count {
            takes.recv().await;
        }
    };
    offer(&args.offer, service, &under, (&what, "receive ", ""), over).await
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
