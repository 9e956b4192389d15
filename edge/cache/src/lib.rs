//! HTTP caching (RFC 9111) for an edge: a shared cache without sockets.
//!
//! In: a key, views of a request's and an answer's header fields, body bytes, a policy as plain values, and
//! the time. Out: a [`Lookup`], bodies pinned in memory, fills that many readers share, and a [`Reason`] for
//! everything that was decided.
//!
//! The way of a request: [`KeyBuilder`] → [`Cache::key`] → [`Cache::lookup`] → serve a [`Hit`], or
//! [`Cache::begin`] → as leader, ask the origin, [`judge`] its head and write to the [`FillWriter`]; as
//! anybody, read from the [`FillReader`].
//!
//! This crate must never open a socket, read a clock, start a task, or give out a body that is not whole
//! under a key that is not the request's.

mod body;
mod budget;
mod buffer;
mod cache;
mod cache_status;
mod conditional;
mod config;
mod cursor;
mod date;
mod dictionary;
mod directives;
mod disk;
mod ending;
mod entry;
mod etag;
mod fields;
mod fill;
mod freshness;
mod ghost;
mod key;
mod lookup;
mod marks;
mod multipart;
mod near;
mod partial;
mod purge;
mod purging;
mod range;
mod reader;
mod reason;
mod rules;
mod shard;
mod shared;
mod shares;
mod site;
mod status;
mod stored;
mod tags;
mod time;
mod update;
mod vary;
mod writer;

pub use budget::Held;
pub use cache::{Begin, BeginMode, BeginRequest, Cache, CacheStats};
pub use cache_status::{CacheStatus, Fwd, Served};
pub use conditional::{NOT_MODIFIED_FIELDS, OriginCondition, Selection, select};
pub use config::{CacheConfig, FillLimits, UnusableConfig};
pub use cursor::StoredBody;
pub use date::{DateWriter, parse_http_date};
pub use directives::{
    MAX_DELTA_SECS, Qualified, RequestDirectives, ResponseDirectives, parse_age, parse_delta_secs,
};
pub use disk::{DiskConfig, DiskError, DiskStats, Load, seed_in};
pub use ending::Finished;
pub use entry::Hit;
pub use etag::ETag;
pub use fields::{Fields, FieldsBuilder, FieldsIter, FieldsView, Replaced, list_members};
pub use fill::AnswerHead;
pub use freshness::{Lifetime, OriginHead, RequestFacts, Transformed, Verdict, judge};
pub use key::{KeyBuilder, KeyRef, KeyTarget, MethodClass};
pub use lookup::{Lookup, Stale};
pub use near::Near;
pub use purge::{
    LogDamage, MAX_PATTERN_BYTES, MAX_STARS, MAX_TAG_BYTES, Purge, PurgeError, PurgeLog, PurgeProgress,
    PurgeRecord, PurgeUrl, percent_decode,
};
pub use purging::Sweep;
pub use range::{ByteRange, ContentRange, MAX_RANGES, RangeRequest, Resolved};
pub use reader::{Chunk, FillReader, HeadEvent};
pub use reason::Reason;
pub use rules::{StatusTtl, StorageClass, StoreRules, TtlPolicy};
pub use site::Site;
pub use stored::is_hop_by_hop;
pub use tags::{MAX_TAG_FIELDS, TagRules, Tags};
pub use time::Now;
pub use update::NotModified;
pub use vary::VaryKey;
pub use writer::FillWriter;
