//! The in-memory adaptor: clients and origins are values, every exchange moves when the test says so.

mod origin;
mod sites;
mod values;
mod world;

pub(crate) use sites::{connection, origin, route, site, tls_connection};
pub(crate) use values::{Answer, Asked, Ended, Request, lines};
pub(crate) use world::World;
