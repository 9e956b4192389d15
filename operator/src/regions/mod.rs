//! The edges of each local region: one `DaemonSet` on the hosts' own network, a headless Service for their
//! metrics, and what the region's status says.
//!
//! In: an `EdgeRegion`, the platform's settings, Nodes and Pods. Out: objects to apply and a status. Everything
//! here is pure; applying is `publish`'s business.

mod daemonset;
mod naming;
mod quantity;
mod service;
mod status;
mod surge;

pub use daemonset::{EdgeSettings, build};
pub use naming::{
    ADMIN_SOCKET, DAEMON_SET, MANAGER, METRICS_SERVICE, REGION_LABEL, SERVICE_ACCOUNT, labels, namespace,
    selector,
};
pub use quantity::{bytes, millicores};
pub use service::metrics_service;
pub use status::{HELD, RegionFacts, SURGE, region_conditions};
pub use surge::{NodeRoom, Shortage, shortage};
