//! The phases, driven by a second adaptor that has no sockets, no runtime and no clock but the test's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

mod memory;

mod admit;
mod bodies;
mod collapsing;
mod compressing;
mod crowd;
mod decorate;
mod devices;
mod forwarding;
mod invalidating;
mod isolation;
mod origins;
mod parse;
mod parsers;
mod poisoning;
mod policies;
mod policy_fields;
mod properties;
mod purging;
mod ranges;
mod routing;
mod sites;
mod splitting;
mod storing;
mod tags;
mod validating;
mod warming;
