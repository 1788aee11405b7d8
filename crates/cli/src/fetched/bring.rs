//! One attempt at one thing: asked for, looked at, and written where it goes.

use std::time::Duration;

use anyhow::Result;
use http::StatusCode;
use http::header;
use sockeye::fetch::{Fetched, Fetcher, Order};
use sockeye::{Error, Operation};

use super::file::Part;
use super::resume::{self, Resumed, Verdict, ask_for_the_rest};
use super::show::Screen;
use super::{Sink, Target};
use crate::args::{FetchArgs, From};
use crate::failure::declined;
use crate::plan::fetch::Job;

/// What is refused but is read, so that the connection can be used again.
const PASSED_OVER: u64 = 64 * 1024;

/// Where the attempts at one thing are.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// It failed before.
    pub(crate) is_another: bool,
    /// There will be no other.
    pub(crate) is_last: bool,
    /// Something of it stands on standard output, so it cannot be shown once more.
    pub(crate) has_shown: bool,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    /// Whether another attempt could succeed.
    pub(crate) may_pass: bool,
    /// When the server wants to be asked again.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    /// One that may pass.
    pub(crate) fn passing(error: anyhow::Error) -> Self {
        Self {
            error,
            may_pass: true,
            after: None,
        }
    }
}

impl<E: Into<anyhow::Error>> std::convert::From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let may_pass = match error.downcast_ref() {
            Some(Error::Io { .. } | Error::Resolve { .. } | Error::TimedOut { .. }) => true,
            Some(error) => error.is_reset(),
            None => false,
        };
        Self {
            error,
            may_pass,
            after: None,
        }
    }
}

/// Brings it.
pub(crate) async fn bring(
    args: &FetchArgs,
    job: &Job,
    fetcher: &mut Fetcher,
    attempt: &mut Attempt,
) -> Result<(), Failure> {
    let mut order = job.order.clone();
    let mut resumed = resumed(args, job, attempt, &mut order)?;
    let mut fetched = fetcher.fetch(order.clone()).await?;
    let mut whole = None;
    if let Some(part) = &resumed {
        match refused(args, &mut fetched, &order, attempt).await {
            Err(failure) if fetched.head.status != StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(failure);
            }
            _ => {}
        }
        match part.verdict(&fetched.head, &order)? {
            Verdict::Rest(length) => whole = length,
            Verdict::Complete => {
                fetched.content.pass_over(PASSED_OVER).await;
                return Ok(job.target.path().map_or(Ok(()), resume::complete)?);
            }
            Verdict::All => {
                if job.target.path().is_none() {
                    return Err(all_instead(&order, part).into());
                }
                note(
                    args,
                    "the server sends all of it: it has changed, or cannot be had in parts",
                );
                resumed = None;
            }
            Verdict::Other => {
                note(
                    args,
                    "it has changed on the server: it is fetched from the beginning",
                );
                fetched.content.pass_over(0).await;
                resumed = None;
                fetched = fetcher.fetch(job.order.clone()).await?;
            }
        }
    }
    refused(args, &mut fetched, &order, attempt).await?;
    let mut sink = sink(args, job, &fetched, resumed.map(|part| (part.at, whole)))?;
    tell_version(args, &fetched);
    attempt.has_shown |= matches!(sink, Sink::Screen(_));
    if args.include || args.head {
        sink.heads(&fetched)?;
    }
    let quiet = args.silent || args.verbose || args.json;
    let taken = sink.take(&mut fetched.content, quiet).await;
    match (&sink, &taken) {
        // Whoever read it has seen enough.
        (Sink::Screen(screen), Err(_)) if screen.is_gone() => return Ok(()),
        _ => {}
    }
    Ok(taken?)
}

/// What is there of it, where that is to be gone on with.
fn resumed(
    args: &FetchArgs,
    job: &Job,
    attempt: &Attempt,
    order: &mut Order,
) -> Result<Option<Resumed>> {
    let path = job.target.path();
    let from = match (args.continue_at, attempt.is_another) {
        (from, false) => from,
        (_, true) => path.map(|_| From::End),
    };
    let Some(from) = from else { return Ok(None) };
    let resumed = ask_for_the_rest(path, from, order)?;
    let wanted = args.continue_at.is_some();
    Ok(match resumed {
        // Nobody asked for it, so it is done only where nothing can go wrong.
        Some(part) if !wanted && !part.is_certain() => {
            order.headers.clone_from(&job.order.headers);
            None
        }
        resumed => resumed,
    })
}

/// Answers that are failures: those that may be others the next time, and with `-f` all from 400 on.
async fn refused(
    args: &FetchArgs,
    fetched: &mut Fetched,
    order: &Order,
    attempt: &Attempt,
) -> Result<(), Failure> {
    use StatusCode as S;
    let status = fetched.head.status;
    let may_pass = matches!(
        status,
        S::REQUEST_TIMEOUT
            | S::TOO_MANY_REQUESTS
            | S::INTERNAL_SERVER_ERROR
            | S::BAD_GATEWAY
            | S::SERVICE_UNAVAILABLE
            | S::GATEWAY_TIMEOUT
    );
    let fails = args.fail && status.as_u16() >= 400;
    if !fails && (attempt.is_last || !may_pass) {
        return Ok(());
    }
    fetched.content.pass_over(PASSED_OVER).await;
    let after = fetched.head.headers.get(header::RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
    Err(Failure {
        error: declined(order.location.to_string(), status),
        may_pass,
        after: after.map(Duration::from_secs),
    })
}

fn sink(
    args: &FetchArgs,
    job: &Job,
    fetched: &Fetched,
    resumed: Option<(u64, Option<u64>)>,
) -> Result<Sink> {
    let headers = &fetched.head.headers;
    Ok(match (&job.target, resumed) {
        (Target::Output, _) => Sink::Screen(Screen::new(headers, false)),
        (Target::Anything, _) => Sink::Screen(Screen::new(headers, true)),
        (Target::File(path), Some((at, whole))) => Sink::Part(Part::go_on(path, at, whole)?),
        (Target::File(path), None) => {
            let tag = resume::tag(headers);
            Sink::Part(Part::begin(path, tag.as_deref(), args.create_dirs)?)
        }
    })
}

fn all_instead(order: &Order, part: &Resumed) -> Error {
    Error::Protocol {
        operation: Operation::Fetch,
        address: order.location.to_string(),
        reason: format!(
            "the server sends all of it instead of what is after byte {}",
            part.at
        ),
    }
}

fn tell_version(args: &FetchArgs, fetched: &Fetched) {
    use http::Version;
    let secure = fetched.content.exchange().location.is_secure();
    let why = match (fetched.head.version, secure) {
        (version, true) if args.http2 && version < Version::HTTP_2 => {
            "the server does not speak HTTP/2"
        }
        (version, false) if args.http2 && version < Version::HTTP_2 => {
            "HTTP/2 without TLS needs --http2-prior-knowledge"
        }
        (version, true) if args.http3 && version < Version::HTTP_3 => {
            "the server was not reached over HTTP/3"
        }
        (version, false) if args.http3 && version < Version::HTTP_3 => "HTTP/3 is always in TLS",
        _ => return,
    };
    let version = crate::report::text::version(fetched.head.version);
    note(args, &format!("{why}: this is {version}"));
}

fn note(args: &FetchArgs, what: &str) {
    if !args.silent {
        eprintln!("note: {}", wire::text::printable(what));
    }
}
