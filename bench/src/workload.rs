//! The workloads, and what they have in common: rounds, in which the contenders take turns.

mod bulk;
mod chat;
mod chat_store;
mod fetch;
mod http3;
mod http_file;
mod http_get;
mod idle;
mod quic_bulk;
mod relay;
mod start_up;
mod tcp_echo;
mod trace_capture;
mod trace_read;
mod trace_rows;
mod transfer;
mod transfer_large;
mod transfer_small;
mod turns;
mod udp_burst;
mod udp_echo;
mod udp_shared;
mod ws_echo;

use std::time::Duration;

use anyhow::Result;

use crate::contender::{Contender, Programs};
use crate::load::Window;
use crate::process::Deadline;
use crate::report::Table;

/// What the command line asks for.
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    pub(crate) window: Window,
    pub(crate) gib: u64,
}

/// A name for `--only`, and what to run.
pub(crate) type Workload = (&'static str, fn(&Plan) -> Result<Vec<Table>>);

pub(crate) const ALL: &[Workload] = &[
    ("tcp-echo", tcp_echo::run),
    ("http-get", http_get::run),
    ("http-file", http_file::run),
    ("ws-echo", ws_echo::run),
    ("udp-echo", udp_echo::echo),
    ("udp-upper", udp_echo::upper),
    ("udp-flood", udp_burst::flood),
    ("udp-paced", udp_burst::paced),
    ("udp-shared", udp_shared::run),
    ("bulk", bulk::run),
    ("quic-bulk", quic_bulk::run),
    ("h3-get", http3::get),
    ("h3-file", http3::file),
    ("h3-fetch", fetch::run),
    ("relay", relay::run),
    ("idle", idle::run),
    ("chat-fanout", chat::fan_out),
    ("chat-idle", chat::idle),
    ("start-up", start_up::run),
    ("trace-read", trace_read::run),
    ("trace-overhead", trace_capture::overhead),
    ("trace-capture", trace_capture::capture),
    ("trace-rows", trace_rows::run),
    ("chat-store", chat_store::durable),
    ("chat-join", chat_store::join),
    ("transfer-1g", transfer_large::plain),
    ("transfer-tls", transfer_large::tls),
    ("transfer-small", transfer_small::run),
];

/// Takes a sample of each contender in each round. Another one begins each round, so that nobody
/// always runs in the shadow of the same neighbour. A failed sample is told and left out, and so is a
/// contender that has failed twice: each time may have taken all of `limit`.
fn rounds(
    count: usize,
    contenders: &[Contender],
    limit: Duration,
    mut sample: impl FnMut(&Contender, usize) -> Result<()>,
) {
    let mut failures = vec![0; contenders.len()];
    for round in 0..count {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let contender = &contenders[index];
            if failures[index] == 2 {
                continue;
            }
            let deadline = Deadline::after(limit);
            if let Err(error) = sample(contender, round) {
                eprintln!("{}, round {round}: {error:#}", contender.name);
                failures[index] += 1;
            }
            drop(deadline);
        }
    }
}
