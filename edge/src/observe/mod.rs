//! What is told of an edge: metrics, the access log, the admin server.
//!
//! In: one record a request, a few events a connection. Out: Prometheus text, JSON lines, answers to probes.
//! Nothing here may slow a request down: counters are a worker's own and summed when scraped, log lines are
//! handed over in batches, and what the log's reader can't take is dropped and counted.

mod admin;
mod ask_purge;
mod counters;
mod exposition;
mod line;
mod log;
mod origins;
mod probe;
mod record;

pub(crate) use admin::{Admin, AdminSockets, Health};
pub use ask_purge::{AdminPlace, ask_purge};
pub(crate) use counters::{ConnectionEnd, Counters, Handshake, Warmed};
pub(crate) use exposition::{Exposition, Measured, PurgeMetrics};
pub(crate) use log::{AccessLog, LineBuffer};
pub(crate) use origins::OriginMetrics;
pub use probe::{Probe, ProbeError, probe};
pub(crate) use record::Recorder;
