//! Where configuration comes from: Kubernetes and the node's disk.

pub mod kubernetes;
