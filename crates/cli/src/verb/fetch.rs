//! `sockeye fetch`: what a URL names, and how it came.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sockeye::Lookout;
use sockeye::fetch::Fetcher;
use wire::text::printable;

use crate::args::FetchArgs;
use crate::eye::{self, Eye};
use crate::failure::{self, Timeout};
use crate::fetched::{Attempt, Failure, alternatives, bring};
use crate::plan::fetch::{self as plan, Job};
use crate::report::conversation::{Conversation, Told};
use crate::report::write_out;
use crate::signals::Signals;

/// The longest pause between two tries, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) async fn run(args: FetchArgs) -> Result<ExitCode> {
    let eye = eye::beside(&args.eye)?;
    with_eye(args, eye).await
}

/// The same, watched by `eye`, which is closed at the end.
pub(crate) async fn with_eye(mut args: FetchArgs, eye: Option<Eye>) -> Result<ExitCode> {
    args.tls.hearer = eye.as_ref().map(Eye::keys);
    let lookout = eye.as_ref().map(Eye::lookout);
    let done = fetch(args, lookout).await;
    eye::close(eye).await?;
    done
}

async fn fetch(args: FetchArgs, lookout: Option<Arc<dyn Lookout>>) -> Result<ExitCode> {
    let jobs = plan::jobs(&args)?;
    let format = plan::format(&args)?;
    let conversation = Arc::new(Conversation::new(told(&args)));
    let mut options = plan::options(&args, &jobs, |what| match args.silent {
        true => {}
        false => eprintln!("warning: {what}"),
    })?;
    options.witness = Some(conversation.clone());
    options.dial.lookout = lookout;
    let alternatives = alternatives::load(&args)?;
    options.alternatives = alternatives.clone();
    let mut fetcher = Fetcher::new(options);
    let mut signals = Signals::listen()?;
    let mut ended = ExitCode::SUCCESS;
    for job in &jobs {
        let done = tokio::select! {
            done = persist(&args, job, &mut fetcher) => done,
            code = signals.next() => return Ok(ExitCode::from(code)),
        };
        let failure = done.err().map(|error| {
            ended = ExitCode::from(failure::exit_code(&error));
            (failure::line(&error), failure::exit_code(&error))
        });
        if let Some((line, _)) = failure.as_ref().filter(|_| !args.silent || args.show_error) {
            eprintln!("{line}");
        }
        let left = job.target.left();
        if let (Some(left), Some(_), false) = (left, &failure, args.silent) {
            eprintln!("note: {}", printable(&left));
        }
        let heard = conversation.take();
        if let Some(format) = &format {
            let failure = failure.as_ref().map(|(line, code)| (&**line, *code));
            write_out::write(format, &heard, &job.target.shown(), failure);
        }
    }
    fetcher.close().await;
    if let Some(error) = alternatives.and_then(|known| alternatives::save(&known).err())
        && !args.silent
    {
        eprintln!("note: {}", printable(&format!("{error:#}")));
    }
    Ok(ended)
}

fn told(args: &FetchArgs) -> Told {
    match (args.verbose, args.timing, args.json) {
        (true, ..) => Told::All,
        (_, true, _) => Told::Times,
        (.., true) => Told::Json,
        _ => Told::Nothing,
    }
}

/// Brings it, and tries again as often as that is wanted.
async fn persist(args: &FetchArgs, job: &Job, fetcher: &mut Fetcher) -> Result<()> {
    let mut pause = Duration::from_secs(1);
    let mut attempt = Attempt::default();
    for left in (0..=args.retry).rev() {
        attempt.is_last = left == 0;
        let bringing = bring(args, job, fetcher, &mut attempt);
        let done = match args.max_time {
            None => bringing.await,
            Some(limit) => tokio::time::timeout(limit, bringing)
                .await
                .unwrap_or_else(|_| Err(Failure::passing(late(job, limit)))),
        };
        let failure = match done {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let can = !attempt.has_shown && job.order.payload.can_be_sent_again();
        if attempt.is_last || !failure.may_pass || !can {
            return Err(failure.error);
        }
        attempt.is_another = true;
        let wait = failure.after.unwrap_or(pause);
        if !args.silent {
            eprintln!(
                "{}; trying again in {wait:?}",
                failure::line(&failure.error)
            );
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST);
    }
    Ok(())
}

fn late(job: &Job, limit: Duration) -> anyhow::Error {
    let location = &job.order.location;
    Timeout(format!(
        "cannot fetch {location}: it took longer than {limit:?}"
    ))
    .into()
}
