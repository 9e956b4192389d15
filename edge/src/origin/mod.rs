//! Origins: endpoints, connections to them, their health.
//!
//! In: configuration ([`Origins::compile`], [`Origins::set`]) and requests ([`Origin::exchange`]). Out: answers as streams of frames, errors that say what
//! happened and whether a repetition is safe, and snapshots for metrics. It must never connect to an address
//! that the region's rule refuses, never let one site use another's connection, and never use a connection
//! again of which it isn't sure that the last answer is over.
//!
//! The way of a request: [`exchange`] (attempts, timeouts) asks [`origin`] for an endpoint ([`endpoints`],
//! [`balance`], [`health`]), [`acquire`] for a connection ([`pool`], [`lease`], [`connection`], [`connect`]),
//! and hands out the answer ([`answer`]). DNS, health checks and the list of this machine's addresses run on the control
//! runtime; connections are driven by the worker that opened them.

mod acquire;
mod answer;
mod balance;
mod budget;
mod connect;
mod connection;
mod counters;
mod dns;
mod draft;
mod endpoint;
mod endpoints;
mod error;
mod exchange;
mod fault;
mod guard;
mod health;
mod lease;
#[allow(clippy::module_inception, reason = "one origin, in the module of all")]
mod origin;
mod origins;
mod outgoing;
mod pool;
mod probe;
mod request;
mod snapshot;
mod task;
mod tls;
mod wire;

pub use answer::{OriginBody, OriginResponse, OriginStream};
pub use error::{OriginError, OriginErrorKind};
pub use exchange::Exchange;
pub use origin::Origin;
pub use origins::{Origins, OriginsOptions, SiteOrigins};
pub use outgoing::{BodyError, MAX_KEPT_BYTES, RequestBody};
pub use request::{Facts, OriginRequest};
pub use snapshot::{EndpointSnapshot, OriginSnapshot};
pub use tls::OriginConfigError;
