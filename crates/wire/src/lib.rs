//! The pure part of sockeye: bytes in, values out.
//!
//! Nothing here opens a socket, spawns a task or reads a clock, so everything can be tested with a
//! literal and fuzzed without a network.
//!
//! | module | question it answers |
//! |---|---|
//! | [`address`] | where? `tcp://[fe80::1%eth0]:3000`, `unix:@bus`, `host,host:3000` |
//! | [`sniff`] | which protocol do these first bytes speak? |
//! | [`framing`] | where does one message end and the next begin? |
//! | [`text`] | which characters are these bytes, and the other way round? |
//! | [`hex`] | how does a person write and read bytes? |
//! | [`nickname`] | is this a name, and could it be taken for that one? |
//! | [`proxy_protocol`] | who does the proxy in front say that a connection came from? |
//! | [`pcapng`] | which packets are in this capture file? |
//! | [`packet`] | who says what to whom in this packet? |
//! | [`quic_packet`] | what does a packet of QUIC say? |
//! | [`tls`] | what do both ends say in the clear before they encrypt? |
//! | [`transfer`] | what do two ends of a file transfer say, and is this the name of a file? |
//! | [`upstream`] | how is somebody reached through a proxy: SOCKS5 or HTTP CONNECT? |
//! | [`quic`] | which datagrams are QUIC's, where others come to the same socket? |
//! | [`webtransport`] | how do sessions of WebTransport begin and end inside of HTTP/3? |
//! | [`websocket`] | which messages are in these bytes, and which bytes make a message? |

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)
)]

pub mod address;
mod fields;
pub mod framing;
pub mod hex;
pub mod nickname;
pub mod packet;
pub mod pcapng;
pub mod proxy_protocol;
pub mod quic;
pub mod quic_packet;
pub mod sniff;
pub mod text;
pub mod tls;
pub mod transfer;
pub mod upstream;
pub mod websocket;
pub mod webtransport;
