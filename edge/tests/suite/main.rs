//! The edge as a whole, over real sockets on the loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

mod support;

mod admin;
mod cache_disk;
mod cli;
mod compressing;
mod configuration;
mod drain;
mod drain_kinds;
mod h1;
mod h1_compare;
mod h1_interim;
mod h2;
mod h2_parsing;
mod handover;
mod limits;
mod origin_addresses;
mod origin_balancing;
mod origin_bodies;
mod origin_cancel;
mod origin_changes;
mod origin_grpc;
mod origin_health;
mod origin_keep_alive;
mod origin_limits;
mod origin_retries;
mod origin_streams;
mod origin_timeouts;
mod origin_tls;
mod origin_upgrade;
mod parsing;
mod purge;
mod queue_poisoning;
mod request_bodies;
mod smuggling;
mod tls;
mod warming;
