//! What people wrote becomes what edges load: objects in, configurations and statuses out.
//!
//! In: plain objects, one at a time, into an [`Index`]; settings of the platform; the time as an argument.
//! Out: [`Changes`] (Secrets to publish and to withdraw, statuses, what must still be fetched), for exactly
//! the sites that something touched; and the verdict on manifests that never saw a cluster ([`schema`]).
//! The same input gives the same bytes, in whatever order it came.
//!
//! This crate must never read an object, a file or a clock by itself, and never decide by what it did before
//! except through what was published, which is an input like any other.

pub mod acknowledge;
mod changes;
pub mod conditions;
mod index;
mod key;
pub mod object;
mod policy;
mod problem;
pub mod schema;
mod settings;
mod site;

pub use changes::{
    Changes, Condition, NeedsDelta, Publish, PublishKind, Retire, StatusUpdate, TargetStatus, Wanted,
    Withdraw,
};
pub use index::Index;
pub use key::{Key, Name, PolicyKey, PolicyKind, SecretPosition};
pub use object::Object;
pub use problem::{Problem, reason};
pub use settings::{HostGrant, ImplicitRegion, Settings};
