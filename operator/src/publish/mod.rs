//! What the operator writes: Secrets, statuses, events and the objects of a region.
//!
//! In: what is to be. Out: server-side applies and deletions that carry the version they were decided on, and
//! what became of each. What decides (queue, pauses, guard, times of conditions) is pure; [`write`] is the
//! one place that talks to the API server for writing, and writes only while this replica leads.

mod backoff;
mod conditions;
mod events;
mod guard;
mod queue;
mod secret;
mod write;

pub use backoff::pause;
pub use conditions::with_times;
pub use events::{Notice, announce, notices};
pub use guard::{Guard, MayGo};
pub use queue::{Lane, Limit, Queue};
pub use secret::{Origin, PublishedSecret, apply_body, is_newer};
pub use write::{Outcome, Resource, Write, Writer};
