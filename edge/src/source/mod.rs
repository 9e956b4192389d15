//! Where configuration comes from: Kubernetes and the node's disk.

pub mod disk;
mod gauges;
pub mod kubernetes;
mod node;

pub use gauges::{Flag, Gauges, Number};
