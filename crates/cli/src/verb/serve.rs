//! `sockeye serve`: listen, and serve whoever comes.

use std::process::ExitCode;

use anyhow::Result;
use sockeye::service::{Echo, Upper};
use sockeye::{Observer as _, Port};
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::console::{Desk, desk};
use crate::eye::{self, Eye};
use crate::plan::{self, Chosen, Plan};
use crate::report::{self, Form, Log, Reporter, announce::announce};
use crate::signals::Signals;

/// `confined`: what was done so that the process reaches no more than it needs.
pub(crate) async fn run(mut args: ServeArgs, confined: Option<String>) -> Result<ExitCode> {
    let eye = eye::beside(&args.eye)?;
    args.tls.hearer = eye.as_ref().map(Eye::keys);
    args.eye.dialed = eye.as_ref().map(Eye::lookout);
    args.eye.lookout = eye.as_ref().and_then(Eye::port_lookout);
    args.eye.view = eye.as_ref().map(Eye::view);
    let log = Log::default();
    let done = open(args, confined, eye.as_ref(), &log).await;
    log.flush();
    eye::close(eye).await?;
    done
}

async fn open(
    args: ServeArgs,
    confined: Option<String>,
    eye: Option<&Eye>,
    log: &Log,
) -> Result<ExitCode> {
    let plan = Plan::read(&args)?;
    let form = match (args.json, args.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Hex,
        (false, false) => Form::Text,
    };
    let reporter = Reporter::new(
        log.clone(),
        form,
        args.verbose || (args.hex && plan.service != "reply"),
    );
    for lint in plan.lints(&args) {
        reporter.hint(&format!("note: {lint}"));
    }
    if let Some(confined) = confined.filter(|_| args.verbose) {
        reporter.hint(&confined);
    }
    let service = plan.service(&args, |what| reporter.note(what)).await?;
    let config = plan::port::config(&args, plan.service, &plan.addresses, reporter.clone())?;
    let tls = config.tls.clone();
    // Heard from the first socket on: a signal right after `listening` removes Unix sockets, too.
    let mut signals = Signals::listen()?;
    let port = Port::bind_all(&plan.addresses, config).await?;
    let listening = port.listening();
    let announced = plan::nearby::announce(&args, plan.service, &listening)?;
    if let Some(eye) = eye {
        eye.watch(&listening)?;
    }
    announce(&reporter, &listening);
    if plan.addresses.iter().any(plan::tls::may_speak_tls) {
        reporter.certificate(&tls.certificate()?);
    }
    report::nearby::code(
        &reporter,
        plan::nearby::page(&args, plan.service, &listening).as_deref(),
        args.nearby.qr,
    );

    let stop = CancellationToken::new();
    let serving = async {
        let code = serve(service, port, &args, log, &stop, &mut signals).await;
        stop.cancel();
        code
    };
    let announcing = report::nearby::announced(&reporter, announced, &stop);
    let (code, ()) = tokio::join!(serving, announcing);
    code
}

/// Until it has ended, or a signal came.
async fn serve(
    service: Chosen,
    port: Port,
    args: &ServeArgs,
    log: &Log,
    stop: &CancellationToken,
    signals: &mut Signals,
) -> Result<ExitCode> {
    match service {
        Chosen::Echo => until_signalled(port.serve(Echo, stop.clone()), stop, signals).await,
        Chosen::Upper => until_signalled(port.serve(Upper, stop.clone()), stop, signals).await,
        Chosen::Service(service) => {
            until_signalled(port.serve(service, stop.clone()), stop, signals).await
        }
        Chosen::Console => {
            let desk = desk::open(args, log)?;
            let serving = port.serve(Desk(desk.console.clone()), stop.clone());
            desk.run(until_signalled(serving, stop, signals), stop)
                .await
        }
    }
}

/// The first signal stops in good order, the second at once.
async fn until_signalled(
    serving: impl Future<Output = sockeye::Result<()>>,
    stop: &CancellationToken,
    signals: &mut Signals,
) -> Result<ExitCode> {
    tokio::pin!(serving);
    let code = tokio::select! {
        served = &mut serving => return served.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        code = signals.next() => code,
    };
    stop.cancel();
    tokio::select! {
        served = &mut serving => served?,
        _ = signals.next() => {}
    }
    Ok(ExitCode::from(code))
}
