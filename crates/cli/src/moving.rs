//! Files that are sent and received: where they go, which they are, and how it is told.

mod deliver;
mod elsewhere;
mod meter;
mod offer;
mod persist;
mod place;
mod walk;

pub(crate) use deliver::deliver;
pub(crate) use elsewhere::elsewhere;
pub(crate) use meter::Meter;
pub(crate) use offer::{offer, offered, secret};
pub(crate) use persist::{number, persist};
pub(crate) use place::{Place, is_place, make, options};
pub(crate) use walk::{Filter, walk};
