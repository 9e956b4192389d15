//! The disk tier: what comes back after a restart, what never does, and what becomes of files that aren't as they
//! were written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod model;
mod restart;
mod rig;
mod room;
