//! What is read and written, as tables and as properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

mod answers;
mod bodies;
mod heads;
mod messages;
mod properties;
