use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an edge runs and has loaded; each edge writes its own, in its region's namespace, named after its Pod.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "edge.breakwater.dev",
    version = "v1alpha1",
    kind = "EdgeNode",
    plural = "edgenodes",
    shortname = "en",
    category = "breakwater",
    namespaced,
    status = "EdgeNodeStatus",
    printcolumn(name = "Region", type_ = "string", json_path = r#".spec.region"#),
    printcolumn(name = "Node", type_ = "string", json_path = r#".spec.node"#),
    printcolumn(name = "Version", type_ = "string", json_path = r#".status.version"#),
    printcolumn(name = "Ready", type_ = "boolean", json_path = r#".status.ready"#),
    printcolumn(name = "Sites", type_ = "integer", json_path = r#".status.sites"#),
    printcolumn(name = "Failed", type_ = "integer", json_path = r#".status.failedCount"#),
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeNodeSpec {
    /// The `EdgeRegion`.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// The Node.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
}

/// What an edge has loaded. No traffic counters: those are metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeNodeStatus {
    /// Version of the edge.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub version: String,
    /// The newest form of configuration that it reads.
    #[serde(default)]
    pub reader: u32,
    /// When its process started (RFC 3339).
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub started_at: String,
    /// It has its configuration and listens.
    #[serde(default)]
    pub ready: bool,
    /// What it has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Sites that it serves.
    #[serde(default)]
    pub sites: i64,
    /// Objects that it can't use, the first 64; their sites keep their last good configuration.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub failed: Vec<FailedSite>,
    /// How many it can't use in all.
    #[serde(default)]
    pub failed_count: i64,
    /// Why it holds back what it was told, if it does (`ListShrank`, `ApiUnreachable`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub held: Option<String>,
    /// Bytes of its cache's memory tier.
    #[serde(default)]
    pub cache_max_bytes: i64,
}

/// How far an edge has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    /// The incarnation of the region's configuration.
    #[schemars(length(max = 64))]
    pub incarnation: String,
    /// Everything up to this version of the Secrets is loaded, but for what has failed.
    #[schemars(length(max = 64))]
    pub resource_version: String,
}

/// An object that an edge can't use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedSite {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    pub object: String,
    /// `home/namespace/name` of the site, where it could be read.
    #[serde(default)]
    #[schemars(length(max = 600))]
    pub site: String,
    /// Hash of the object's bytes.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// What is wrong.
    #[schemars(length(max = 1024))]
    pub reason: String,
}
