//! `sockeye send`: files go to another end, which verifies them.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::HumanBytes;
use sockeye::service::{Files, FilesOptions, Offer};
use sockeye::transfer::Item;

use crate::args::SendArgs;
use crate::failure::Usage;
use crate::moving::{
    Filter, Meter, Place, deliver, elsewhere, is_place, offer, offered, secret, walk,
};
use crate::signals::Signals;

pub(crate) async fn run(args: SendArgs) -> Result<ExitCode> {
    let (files, place) = words(&args.words)?;
    let filter = Filter::new(&args.include, &args.exclude)?;
    let mut left_out = |what: &str| eprintln!("note: {what}");
    let items = walk(files, &filter, &args.name, &mut left_out)?;
    if !args.way.quiet {
        elsewhere(&items, |what| eprintln!("note: {what}"));
    }
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
    if args.limit_rate.is_some() {
        let what =
            "--limit-rate is for what is sent to an address: whoever takes an offer sets the rate";
        return Err(Usage(what.to_owned()).into());
    }
    let mut named = Vec::with_capacity(files.len());
    for file in files {
        let whole = offered(file)?;
        // What is called `.` has its name in its path.
        let name = file.file_name().or_else(|| whole.file_name());
        named.push((
            name.map_or_else(Vec::new, |name| name.as_bytes().to_vec()),
            whole,
        ));
    }
    let (taken, mut takes) = tokio::sync::mpsc::unbounded_channel();
    let under = secret()?;
    let options = FilesOptions {
        under: under.clone(),
        hidden: true,
        ..FilesOptions::default()
    };
    let size: u64 = items.iter().map(Item::size).sum();
    let items = items.into();
    let service = Files::offering(
        Offer {
            named,
            items,
            taken,
        },
        options,
    )?;
    let times = match args.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let what = format!(
        "offered {times}, {}; the other end types one of",
        HumanBytes(size)
    );
    let over = async {
        for _ in 0..args.count {
            takes.recv().await;
        }
    };
    offer(&args.offer, service, &under, (&what, "receive"), over).await
}
