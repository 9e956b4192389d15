//! Watches in, decisions, writes out.
//!
//! Watches tell one task what they see; it keeps the index and all that follows from it in a [`state`] that
//! is synchronous, hands writes to a bounded number of tasks, and takes in what became of them. Every
//! replica does all of it but the writing.

mod core;
mod fetch;
mod follow;
mod read;
mod rewind;
mod sighting;
pub mod state;
mod watches;

pub use core::{Context, run};
pub use sighting::{Key, Kind, Sighting, Source, What};
