//! The verdict on manifests that never saw a cluster.
