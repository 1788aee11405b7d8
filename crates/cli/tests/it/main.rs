//! The command line as a person or a script runs it: real processes, over sockets of this machine only.

mod console;
mod editor;
mod eof;
mod eof_datagrams;
mod guard;
mod help;
mod interop;
mod load;
mod matrix;
mod shown;
mod stage;
mod web;
mod wrong;
