//! The phases of a request, from its parsed head to its record.
//!
//! In: facts of a connection, a request's head as borrowed bytes, what origins and fills report, the time.
//! Out: steps for a protocol adaptor to take ([`boundary`]), heads to send, plans of requests to origins,
//! one record a request. Everything is synchronous and decides from its arguments and the current
//! configuration alone.
//!
//! This crate must never learn of sockets, tasks, TLS or any HTTP library (a test looks at its dependency
//! tree): protocol servers are adaptors around it, so that HTTP/1.1, HTTP/2 and HTTP/3 behave alike.
//!
//! Read in this order: [`boundary`], [`Worker`], then `phases/` file by file.

pub mod boundary;
mod coding;
pub mod compile;
mod facts;
mod fill;
mod phases;
mod plan;
mod reason;
mod record;
mod reply;
mod retry;
mod scratch;
mod wire;
mod worker;

pub use boundary::{BodyRead, End, Event, Step};
pub use breakwater_edge_cache::{Chunk, FillReader, HeadEvent, Hit, Now, Reason as CacheReason, StoredBody};
pub use facts::{ConnFacts, Protocol, TlsFacts};
pub use fill::{Fill, FillStep, MAX_ORPHANED_MS};
pub use phases::trailers;
pub use plan::{BodyMode, FailureKind, FetchPlan, OriginFailure};
pub use reason::Reason;
pub use record::Record;
pub use reply::early;
pub use scratch::Scratch;
pub use wire::{
    BodyHint, Field, FieldBuf, Fields, MAX_FIELDS, Name, OriginHead, RequestHead, ResponseHead, TooManyFields,
};
pub use worker::{Shared, Worker};
