//! `sockeye receive`: files come from another end, and are verified here.

use std::process::ExitCode;

use anyhow::{Context, Result};
use sockeye::dial;
use sockeye::transfer::{Clash, Hello, Role, Root, Talk, Target, VERSION, receive};

use crate::args::ReceiveArgs;
use crate::moving::{Meter, Place, number, options, persist};
use crate::signals::Signals;

pub(crate) async fn run(args: ReceiveArgs) -> Result<ExitCode> {
    let place: Place = args.from.parse()?;
    let made = std::fs::create_dir_all(&args.folder);
    made.with_context(|| format!("cannot make the folder {}", args.folder.display()))?;
    let target = Target {
        root: Root::open(&args.folder)?,
        under: None,
        clash: match args.overwrite {
            true => Clash::Overwrite,
            false => Clash::Rename,
        },
        hidden: args.hidden,
        max_size: None,
    };
    let meter = Meter::new(&args.way, None);
    let mut signals = Signals::listen()?;
    tokio::select! {
        fetched = fetch(&args, &place, &target, &meter) => fetched?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    }
    Ok(ExitCode::from(meter.sum("received")))
}

async fn fetch(args: &ReceiveArgs, place: &Place, target: &Target, meter: &Meter) -> Result<()> {
    let options = options(&args.way, place)?;
    let id = number()?;
    persist(&args.way, meter, async |was_reached| {
        let session = dial(&place.address, &options).await?;
        let hello = Hello {
            version: VERSION,
            role: Role::Pull,
            id,
            path: place.path.clone(),
        };
        let mut talk = Talk::visit(session.into_stream(), hello).await?;
        *was_reached = true;
        receive(&mut talk, target, &id, meter).await?;
        talk.part().await;
        Ok(())
    })
    .await
}
