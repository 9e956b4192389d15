//! An edge: sockets, TLS, protocol adaptors, origins and observation around the phases of
//! `breakwater-edge-proxy`.
//!
//! In: objects of configuration ([`Change`]) from whatever source drives it, and visitors' bytes. Out: answers, and
//! what it has loaded ([`Status`]). It must never need the control plane to go on serving, never listen
//! before its configuration is complete, and never let a bad object harm another site.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use breakwater_edge::{Edge, EdgeOptions};
//! use std::time::Duration;
//!
//! let edge = Edge::start(EdgeOptions { http: vec!["127.0.0.1:0".parse()?], ..EdgeOptions::default() })?;
//! let _failures = edge.apply(vec![]); // what the source knows, all of it
//! edge.set_complete(); // the source has told everything that it had at the start
//! edge.listen()?;
//! println!("{:?}", edge.addresses());
//! edge.drain(Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//! ```

mod active;
mod control;
mod edge;
mod handover;
mod listen;
mod listeners;
mod memory;
mod observe;
mod options;
pub mod origin;
mod purge;
pub mod source;
mod state;
mod tier;
mod transport;

pub use active::{Change, Failure};
pub use edge::{Addresses, Edge, StartError};
pub use observe::{AdminPlace, Probe, ProbeError, ask_purge, probe};
pub use options::{CacheDisk, EdgeOptions, Http1, Limits, LogTarget};
pub use state::Status;
