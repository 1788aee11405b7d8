//! The command line as a person or a script runs it: real processes, over sockets of this machine only.

mod eof;
mod eof_datagrams;
mod stage;
