//! `sockeye receive`: files come from another end, and are verified here.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use sockeye::dial;
use sockeye::service::{Files, FilesOptions};
use sockeye::transfer::{Clash, Failure, Hello, Pipe, Role, Root, Talk, Target, VERSION, receive};

use crate::args::ReceiveArgs;
use crate::failure::Usage;
use crate::moving::{Meter, Place, is_place, make, number, offer, options, persist, secret};
use crate::signals::Signals;

pub(crate) async fn run(args: ReceiveArgs) -> Result<ExitCode> {
    let (place, folder) = match &args.words[..] {
        [place, folder] => (Some(place), folder.as_path()),
        [place] if is_place(place) => (Some(place), Path::new(".")),
        [folder] => (None, folder.as_path()),
        _ => (None, Path::new(".")),
    };
    if folder.as_os_str() == "-" {
        return pass_on(&args, place).await;
    }
    make(folder)?;
    let Some(place) = place else {
        return take(&args, folder).await;
    };
    let place: Place = place.to_string_lossy().parse()?;
    let target = Target {
        root: Root::open(folder)?,
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
    let fetching = pull(&args, &place, &meter, async |talk, id| {
        receive(talk, &target, id, &meter).await
    });
    tokio::select! {
        fetched = fetching => fetched?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    }
    Ok(ExitCode::from(meter.sum("received")))
}

/// Without an address others bring files.
async fn take(args: &ReceiveArgs, folder: &Path) -> Result<ExitCode> {
    let under = secret()?;
    let options = FilesOptions {
        write: true,
        overwrite: args.overwrite,
        hidden: args.hidden,
        under: under.clone(),
        ..FilesOptions::default()
    };
    let service = Files::open(folder, options)?;
    let what = "files are taken until Ctrl-C; the other end types one of";
    let words = (what, "send FILE");
    offer(&args.offer, service, &under, words, std::future::pending()).await
}

/// One file goes to standard output, as far as it is proved.
async fn pass_on(args: &ReceiveArgs, place: Option<&PathBuf>) -> Result<ExitCode> {
    let Some(place) = place else {
        let what = "what is brought here cannot go to standard output: sockeye receive URL - fetches a file to it";
        return Err(Usage(what.to_owned()).into());
    };
    if args.way.json {
        let what = "standard output is for the file: --json has no place";
        return Err(Usage(what.to_owned()).into());
    }
    let place: Place = place.to_string_lossy().parse()?;
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let mut pipe = Pipe::new(output.context("cannot write standard output")?.into());
    let meter = Meter::new(&args.way, None);
    let mut signals = Signals::listen()?;
    let fetching = pull(args, &place, &meter, async |talk, _| {
        pipe.receive(talk, &meter).await
    });
    tokio::select! {
        fetched = fetching => fetched?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    }
    Ok(ExitCode::from(meter.sum("received")))
}

/// What is at `place` comes, as often as it takes.
async fn pull(
    args: &ReceiveArgs,
    place: &Place,
    meter: &Meter,
    mut take: impl AsyncFnMut(&mut Talk, &[u8; 16]) -> Result<(), Failure>,
) -> Result<()> {
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
        let taken = take(&mut talk, &id).await;
        Ok(talk.ended(taken).await?)
    })
    .await
}
