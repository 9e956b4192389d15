//! Limits that hold against strangers, in memory that is fixed when the process starts.
//!
//! In: a rule, the bytes of a key that a stranger may choose, and the time. Out: a decision. One
//! [`RateTable`] serves the whole process, shared by its worker threads: a table for each of them would
//! multiply every limit by their number.
//!
//! This crate must never allocate after construction, read a clock, open a socket, or let the number of
//! keys that it has seen change how much memory it uses.

mod rate;
mod set;

pub use rate::{Decision, RateSpec, RateTable, Seed, TableTooSmall};

/// Monotonic time in nanoseconds since a moment that the caller chose when the process started.
///
/// The table holds 58 bits of it: nine years of uptime.
pub type Nanos = u64;
