//! Where sessions of one room meet.

pub mod line;
pub mod store;
