//! The `sockeye` command: parse, choose a verb, run it, leave with an honest exit code.

mod args;
mod chat;
mod config;
mod confinement;
mod console;
mod eye;
mod failure;
mod fetched;
mod moving;
mod peers;
mod plan;
mod report;
mod signals;
mod stdio;
mod terminal;
mod verb;

use std::process::ExitCode;

use args::{Said, Verb};

fn main() -> ExitCode {
    let done = match args::typed() {
        Ok((verb, said)) => execute(verb, said),
        Err(usage) => Err(usage.into()),
    };
    done.unwrap_or_else(|error| failure::tell(&error))
}

fn execute(verb: Verb, said: Vec<Said>) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Serve(serve) => {
            // Before there are threads.
            let confined = confinement::confine(&serve.0)?;
            make_room_for_files();
            run(Threads::ByCores, || verb::serve::run(*serve.0, confined))
        }
        Verb::Connect(connect) => run(Threads::One, || verb::connect::run(*connect.0, said)),
        Verb::Chat(chat) => run(Threads::One, || verb::chat::run(*chat.0)),
        Verb::Find(find) => run(Threads::One, || verb::find::run(*find.0)),
        Verb::Fetch(fetch) => run(Threads::One, || verb::fetch::run(*fetch.0)),
        Verb::Send(send) => {
            confinement::of_offer(&send.0)?;
            run(Threads::One, || verb::send::run(*send.0))
        }
        Verb::Receive(receive) => {
            confinement::of_box(&receive.0)?;
            make_room_for_files();
            run(Threads::One, || verb::receive::run(*receive.0))
        }
        Verb::Relay(relay) => run(Threads::One, || verb::relay::run(*relay.0)),
        Verb::Trace(trace) if trace.0.is_live() => {
            run(Threads::One, || verb::trace::live::run(*trace.0))
        }
        Verb::Trace(trace) => verb::trace::run(&trace.0),
        Verb::Contacts(contacts) => verb::contacts::run(contacts),
        Verb::Completions { shell } => verb::completions(shell),
        Verb::Man { dir } => verb::man(dir.as_deref()),
    }
}

/// Lets the kernel make its table of our open files as large as it may get with many small files on their way to the
/// disk. Once there are threads, each time it has to grow everybody who opens a file waits for a grace period of RCU,
/// which takes some 10 ms.
fn make_room_for_files() {
    const MANY: i32 = 1023;
    // The copy is closed at once, and the table stays. Whoever may not have so many never will.
    let _ = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), MANY);
}

/// How many threads the runtime has. On one or two cores a single thread is faster: no task migrates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Threads {
    One,
    ByCores,
}

/// How many sockets are taken up at once. What is known of a socket when it is found to be ready should still be in the
/// cache when its session comes to read it: with 1,000 busy ones and tokio's 1,024 it is not.
const EVENTS: usize = 32;

/// Not inlined, so that the frames of the verbs, which are large, are not part of `main`'s: touching them takes as
/// long as printing the version does.
#[inline(never)]
fn run<F: Future<Output = anyhow::Result<ExitCode>>>(
    threads: Threads,
    work: impl FnOnce() -> F,
) -> anyhow::Result<ExitCode> {
    // Counting them reads files of the system, which takes longer than starting the runtime.
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match threads {
        Threads::ByCores if cores() > 2 => tokio::runtime::Builder::new_multi_thread(),
        Threads::ByCores | Threads::One => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().max_io_events_per_tick(EVENTS);
    let runtime = builder.build()?;
    let done = runtime.block_on(async {
        let done = work().await;
        // Nobody else sees them to their end.
        tokio::join!(sockeye::end_children(), sockeye::end_connections());
        done
    });
    // A thread that waits in a read of the terminal must not hold up the exit.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    /// A panic in one session must not end the others: the unwinder that `build.rs` has linked in works.
    #[test]
    fn a_panic_can_be_caught() {
        let caught = std::panic::catch_unwind(|| panic!("one session"));
        let why = caught.expect_err("it came through");
        assert_eq!(why.downcast_ref(), Some(&"one session"));
    }
}
