//! The library through its public API: in memory, and over real sockets of this machine only.

mod binding;
mod cancel;
mod crowd;
mod datagrams;
mod dialing;
mod endings;
mod framing;
mod limits;
mod link;
mod matrix;
mod options;
mod services;
mod shutdown;
mod sink;
mod stage;
mod unix;
