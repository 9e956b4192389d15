//! Configuration from the Kubernetes API: one watch of the region's namespace, resumed where it stopped.

mod hold;
pub mod sync;
