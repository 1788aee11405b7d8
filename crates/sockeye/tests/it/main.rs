//! The library through its public API: in memory, and over real sockets of this machine only.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts the port and waits for it itself"
)]

mod binding;
mod cancel;
mod crowd;
mod datagrams;
mod dialing;
mod early;
mod endings;
mod exec;
mod fetch;
mod framing;
mod gather;
mod introductions;
mod limits;
mod link;
mod matrix;
mod options;
mod quic;
mod reflex;
mod relay;
mod services;
mod shutdown;
mod sink;
mod site;
mod stage;
mod store;
mod tls;
mod transfer;
mod unix;
mod websocket;
