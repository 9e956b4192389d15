use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Duration, SecretRef};

/// A region: a local one, whose edges run in this cluster, or a peer in a cluster of its own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "edge.breakwater.dev",
    version = "v1alpha1",
    kind = "EdgeRegion",
    plural = "edgeregions",
    shortname = "er",
    category = "breakwater",
    status = "EdgeRegionStatus",
    printcolumn(name = "Desired", type_ = "integer", json_path = r#".status.desired"#),
    printcolumn(name = "Live", type_ = "integer", json_path = r#".status.live"#),
    printcolumn(name = "Current", type_ = "integer", json_path = r#".status.current"#),
    printcolumn(name = "Sites", type_ = "integer", json_path = r#".status.sites"#),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("has(self.local) != has(self.peer)", "give one of local (edges in this cluster) and peer (another cluster)"),
        ("!has(self.addresses) || self.addresses.all(a, self.addresses.exists_one(x, x.address == a.address))", "addresses: each address may be listed once"),
    ])))]
pub struct EdgeRegionSpec {
    /// Edges in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRegion>,
    /// Another cluster's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// Public addresses of its edges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub addresses: Vec<RegionAddress>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Lower ones are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: Option<u16>,
    /// A Service of a site's namespace and name here is the same as in the site's home region. Without it,
    /// origins by Service don't resolve in this region.
    #[serde(default)]
    pub service_sameness: bool,
}

/// Edges in this cluster: one DaemonSet on the hosts' own network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalRegion {
    /// Namespace of the edges and their configuration; `breakwater-edge-` and the region's name when it isn't
    /// given. It must exist (the chart makes it) and belong to one region alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Nodes that run an edge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that edges tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Ports on the hosts.
    #[serde(default)]
    pub ports: Ports,
    /// Worker threads of an edge; every core that it may use when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub cores: Option<u16>,
    /// Memory of the cache, in bytes; half of the memory limit when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_048_576, max = 17_592_186_044_416_i64))]
    pub cache_memory_bytes: Option<i64>,
    /// Most of the cache's files in the state directory, in bytes, 0 for none; 4 GiB when it isn't given. They
    /// take no more than half of what is free there when an edge starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 17_592_186_044_416_i64))]
    pub cache_disk_bytes: Option<i64>,
    /// Resources of an edge's container. During an update a node holds two edges, so requests must fit twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Priority class of the edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// How long an edge that is told to stop lets its connections finish; 60 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// Directory on the hosts for the last good configuration; `/var/lib/breakwater/` and the region's name when
    /// it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = r"^/[A-Za-z0-9._/-]+$"))]
    pub state_directory: Option<String>,
}

/// Ports on the hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.http) ? self.http : 80) != (has(self.https) ? self.https : 443) && (has(self.http) ? self.http : 80) != (has(self.admin) ? self.admin : 9180) && (has(self.https) ? self.https : 443) != (has(self.admin) ? self.admin : 9180)", "ports: http, https and admin must differ"),
        ("!has(self.adminAddress) || self.adminAddress == 'NodeIP' || isIP(self.adminAddress)", "adminAddress must be an address or NodeIP"),
    ])))]
pub struct Ports {
    /// HTTP.
    #[serde(default = "port_http")]
    #[schemars(range(min = 1, max = 65_535))]
    pub http: u16,
    /// HTTPS.
    #[serde(default = "port_https")]
    #[schemars(range(min = 1, max = 65_535))]
    pub https: u16,
    /// Metrics, on `adminAddress`.
    #[serde(default = "port_admin")]
    #[schemars(range(min = 1, max = 65_535))]
    pub admin: u16,
    /// Address that metrics listen on: `127.0.0.1`, or `NodeIP` for the node's own.
    #[serde(default = "admin_address")]
    #[schemars(length(min = 2, max = 45))]
    pub admin_address: String,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            http: port_http(),
            https: port_https(),
            admin: port_admin(),
            admin_address: admin_address(),
        }
    }
}

fn port_http() -> u16 {
    80
}
fn port_https() -> u16 {
    443
}
fn port_admin() -> u16 {
    9180
}
fn admin_address() -> String {
    "127.0.0.1".to_owned()
}

/// A taint that is tolerated, as in a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.value) || !has(self.operator) || self.operator == 'Equal'", "value belongs to operator Equal"),
    ])))]
pub struct Toleration {
    /// Taint key; every key when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// `Exists` or `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Taint value for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Every effect when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a taint is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// There.
    Exists,
    /// With that value.
    Equal,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New Pods stay away.
    NoSchedule,
    /// New Pods rather stay away.
    PreferNoSchedule,
    /// Pods are evicted.
    NoExecute,
}

/// Resources of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Reserved: `cpu`, `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, String>,
    /// At most: `cpu`, `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, String>,
}

/// Another cluster's region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Secret in the operator's namespace with the peer's kubeconfig under the key `kubeconfig`.
    pub kubeconfig_secret_ref: SecretRef,
    /// What the peer may claim; nothing when it isn't given.
    #[serde(default)]
    pub accept: Accept,
}

/// What a peer may claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accept {
    /// Hosts, exact or `*.suffix`; `*` for every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
    /// Namespaces; `*` for every namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// A public address of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("isIP(self.address)", "address must be an IPv4 or IPv6 address"),
    ])))]
pub struct RegionAddress {
    /// IPv4 or IPv6.
    #[schemars(length(min = 2, max = 45))]
    pub address: String,
    /// Who provides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub provider: Option<String>,
}

/// Where a region is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// ISO 3166-1 alpha-2.
    #[schemars(length(min = 2, max = 2), regex(pattern = r"^[A-Z]{2}$"))]
    pub country: String,
    /// Degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: Option<f64>,
}

/// How a region is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeRegionStatus {
    /// The generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Accepted`, `Programmed`, `Ready`.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Nodes that are to run an edge.
    #[serde(default)]
    pub desired: i64,
    /// Edges that are live.
    #[serde(default)]
    pub live: i64,
    /// Live edges that have acknowledged everything published.
    #[serde(default)]
    pub current: i64,
    /// Sites published to it.
    #[serde(default)]
    pub sites: i64,
}
