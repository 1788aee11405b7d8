//! The command line as a person or a script runs it: real processes, over sockets of this machine only.

#[path = "../../../sockeye/src/protocol/tls/tests/authority.rs"]
mod authority;
mod chat_client;
mod console;
mod editor;
mod eof;
mod eof_datagrams;
mod eof_websocket;
mod exec;
mod faults;
mod fetch;
mod fetch_files;
mod fetch_http3;
mod fetch_peers;
mod guard;
mod h3_peers;
mod help;
mod http;
mod http3;
mod http_peers;
mod interop;
mod load;
mod matrix;
mod quic;
mod quic_peers;
mod relay;
mod rough;
mod scripted;
mod shown;
mod site;
mod stage;
mod tls;
mod tls_peers;
mod trace;
mod web;
mod wrong;
