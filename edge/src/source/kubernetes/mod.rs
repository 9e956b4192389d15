//! Configuration from the Kubernetes API: one watch of the region's namespace, resumed where it stopped.
//!
//! In: Secrets of one type, by list and watch, and the incarnation's `ConfigMap`. Out: changes for the
//! [`Edge`](crate::Edge), the same for the node's disk, and how far it has come. Without the API it goes on
//! with what it has, for ever. It must never drop a site because an answer was short.

mod hold;
mod keep;
mod options;
mod requests;
mod run;
mod sync;

pub use options::Options;
pub use run::{StartError, run};

pub(super) use requests::client;
