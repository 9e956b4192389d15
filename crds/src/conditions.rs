use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition, as Kubernetes knows them (kstatus-compatible).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`, `ResolvedRefs`, `CertificateReady`, `Programmed`, `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the object that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed (RFC 3339).
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// One word for programs.
    #[schemars(length(min = 1, max = 128))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It doesn't.
    False,
    /// Not known yet.
    Unknown,
}

/// Types of conditions.
pub mod condition {
    /// The object itself is in order and takes part.
    pub const ACCEPTED: &str = "Accepted";
    /// Everything that it refers to exists and may be used.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// There is a valid certificate for every host that wants one.
    pub const CERTIFICATE_READY: &str = "CertificateReady";
    /// Every edge that was live has loaded it.
    pub const PROGRAMMED: &str = "Programmed";
    /// It serves.
    pub const READY: &str = "Ready";
}

/// Status of a policy towards what it is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `Ready`.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One entry for each target, the first 16.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name", "sectionName"]))]
    pub targets: Vec<TargetStatus>,
    /// How many sites and routes it applies to in all.
    #[serde(default)]
    pub target_count: i64,
}

/// Status of a policy towards one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `EdgeSite`.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name of the site.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Name of the route, or empty for the whole site.
    #[serde(default)]
    #[schemars(length(max = 63), extend("default" = ""))]
    pub section_name: String,
    /// `Accepted`.
    #[serde(default)]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
