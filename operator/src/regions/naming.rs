use std::collections::BTreeMap;

use breakwater_crds::EdgeRegion;
use kube::ResourceExt;

/// Name of the `DaemonSet` in a region's namespace.
pub const DAEMON_SET: &str = "breakwater-edge";

/// Name of the headless Service that finds the edges' metrics.
pub const METRICS_SERVICE: &str = "breakwater-edge-metrics";

/// Name of the `ServiceAccount` of the edges; the chart makes it.
pub const SERVICE_ACCOUNT: &str = "breakwater-edge";

/// Label of Pods and published Secrets: which region they belong to.
pub const REGION_LABEL: &str = "edge.breakwater.dev/region";

/// Who manages what the operator applies.
pub const MANAGER: &str = "breakwater-operator";

/// Where an edge's own probes reach it, in an `emptyDir` of its Pod: on the host's network a probe of a port
/// might be answered by the process that is being replaced.
pub const ADMIN_SOCKET: &str = "/run/breakwater/admin.sock";

/// The namespace of a region's edges; `None` for a peer.
pub fn namespace(region: &EdgeRegion) -> Option<String> {
    let local = region.spec.local.as_ref()?;
    Some(
        local
            .namespace
            .clone()
            .unwrap_or_else(|| format!("breakwater-edge-{}", region.name_any())),
    )
}

/// What a region's edges are selected by; never changed, since a `DaemonSet`'s selector can't be.
pub fn selector(region: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "breakwater-edge"),
        (REGION_LABEL, region),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Labels of what belongs to a region's edges. No `app.kubernetes.io/instance`: Argo CD tracks by it and
/// would prune what carries its own.
pub fn labels(region: &str) -> BTreeMap<String, String> {
    let mut labels = selector(region);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "breakwater".to_owned());
    labels
}
