//! Trying again after a cut, until all is there or it makes no sense any more.

use std::time::Duration;

use anyhow::Result;
use rustix::rand::{GetRandomFlags, getrandom};
use sockeye::transfer::Failure;

use super::Meter;
use crate::args::MovingArgs;
use crate::failure::{self, code};
use crate::verb::connect::jitter;

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// How often in a row it is tried in vain once there was a connection.
const TRIES: u32 = 20;

/// Attempts until one succeeds. An attempt says by its second half whether the other end was reached.
///
/// # Errors
/// When another attempt makes no sense, or enough of them were in vain.
pub(crate) async fn persist(
    args: &MovingArgs,
    meter: &Meter,
    mut attempt: impl AsyncFnMut(&mut bool) -> Result<()>,
) -> Result<()> {
    let (mut was_reached, mut in_vain) = (false, 0);
    let mut pause = Duration::from_millis(250);
    loop {
        let before = meter.moved();
        let Err(error) = attempt(&mut was_reached).await else {
            return Ok(());
        };
        if meter.moved() > before {
            (in_vain, pause) = (0, Duration::from_millis(250));
        }
        let tries = match was_reached {
            true => args.retry.unwrap_or(TRIES),
            false => args.retry.unwrap_or(0),
        };
        if !may_pass(&error) || in_vain >= tries {
            return Err(error);
        }
        in_vain += 1;
        meter.note(&format!(
            "{}; trying again in {pause:?}",
            failure::line(&error)
        ));
        tokio::time::sleep(pause + jitter(pause)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.may_pass(),
        None => matches!(
            failure::exit_code(error),
            code::NETWORK | code::TIMEOUT | code::PEER
        ),
    }
}

/// A number by chance, which a transfer is known by when it comes back.
///
/// # Errors
/// When the system has none.
pub(crate) fn number() -> Result<[u8; 16]> {
    let mut number = [0; 16];
    // 16 bytes come at once or not at all (getrandom(2)).
    getrandom(&mut number, GetRandomFlags::empty())?;
    Ok(number)
}
