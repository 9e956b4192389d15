//! `breakwater run`: operator and edge in one process, without a cluster.
//!
//! In: a directory of manifests, which is watched. Out: an edge that serves them, and lines that say what was
//! refused and why. It applies files the way a cluster takes objects: what is refused or can't be read changes
//! nothing, and what it said before stays in force.

mod authority;
mod folder;
mod manifests;
mod options;
mod platform;
mod report;
mod run;
mod watch;

pub use authority::{Authority, AuthorityError, Issued};
pub use folder::{Delta, Folder, Place};
pub use manifests::texts;
pub use options::RunOptions;
pub use report::{Line, Note, status_notes};
pub use run::{StandaloneError, run};
