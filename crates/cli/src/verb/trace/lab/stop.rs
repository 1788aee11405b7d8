//! What ends a play before its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context, Result};

use crate::signals::Signals;

/// The first signal ends the play, the second one us. The first one's exit code, once it has come.
pub(super) fn listen(stop: Arc<AtomicBool>) -> Result<Arc<AtomicU8>> {
    let first = Arc::new(AtomicU8::new(0));
    let told = first.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            told.store(runtime.block_on(signals.next()), Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
            std::process::exit(runtime.block_on(signals.next()).into());
        })
        .context("cannot start a thread")?;
    Ok(first)
}
