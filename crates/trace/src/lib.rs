//! What crossed the wire, drawn: both ends of a TCP connection step by step, with their states and how sure they are.
//!
//! ```text
//! capture file ──► packets ──► flows ──► meaning ──► diagram, SVG, page, JSON
//!                  wire::      numbers   analysis, state
//!                  pcapng,     from 0
//!                  packet
//! ```
//!
//! ```no_run
//! let file = std::fs::File::open("handshake.pcap")?;
//! let capture = trace::Capture::read(file);
//! for event in &capture.flows[0].events {
//!     println!("{} {:?}", event.frame, event.notes);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)
)]

mod analysis;
mod capture;
mod course;
mod diagram;
mod dump;
mod event;
mod explain;
mod file;
mod flow;
mod fragment;
mod html;
mod json;
mod kernel;
pub mod lab;
mod live;
mod state;
pub mod stats;
mod step;
mod summary;
mod svg;
mod vantage;
mod watcher;
mod witness;
mod words;

pub use capture::{Eye, Lookout, SNAP, Seen, Stamps, WHOLE, wait};
pub use diagram::{Growing, NARROWEST, Style, draw};
pub use dump::Dump;
pub use event::{
    Event, Fate, How, Kind, Note, Side, Sight, State, StateAt, Step, Sure, Tcp, Vantage,
};
pub use explain::Language;
pub use file::{Capture, Fault};
pub use flow::{Flow, Flows, Transport};
pub use html::html;
pub use json::{json, json_end, json_head, json_of, json_packets};
pub use kernel::{answered_after, kernel_facts, round_trip, save_syn, saved_syn, unanswered};
pub use live::{Live, ends, original};
pub use svg::{Theme, svg};
pub use watcher::{Stage, Watcher, Whose};
