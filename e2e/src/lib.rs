//! Whole Kubernetes clusters on one machine, and what the scenarios in `tests/` need to look at them from outside.
//!
//! A [`cluster::Cluster`] is etcd, kube-apiserver, controller-manager, scheduler, containerd and kubelet in
//! namespaces of its own, joined by a bridge to the network namespace that this process runs in, which stands
//! for the internet. Everything waits for conditions with deadlines; nothing sleeps for luck.

pub mod api_server;
pub mod client;
pub mod cluster;
mod component;
mod control_plane;
pub mod edge;
pub mod fake_edge;
pub mod installed;
pub mod load;
pub mod manifests;
pub mod operator;
pub mod origin;
pub mod pki;
pub mod runner;
pub mod wait;
