use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, PolicyMode, PolicyScope, PolicyStatus, RequestMatch, SiteSelector, TargetRef};

/// A limit on requests: which count, by which key, how many, and what happens to the rest. All rules that
/// apply to a site or a route add up.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "edge.breakwater.dev",
    version = "v1alpha1",
    kind = "RateRule",
    plural = "raterules",
    shortname = "rr",
    category = "breakwater",
    namespaced,
    status = "PolicyStatus",
    printcolumn(name = "Requests", type_ = "integer", json_path = r#".spec.rate.requests"#),
    printcolumn(name = "Period", type_ = "string", json_path = r#".spec.rate.period"#),
    printcolumn(name = "Targets", type_ = "integer", json_path = r#".status.targetCount"#),
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
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.targetRefs) && size(self.targetRefs) > 0) != has(self.scope)", "give targetRefs (the sites and routes it applies to), or in the operator's namespace scope: a policy without both would apply to nothing or, by a typo, to everything"),
        ("has(self.selector) == (has(self.scope) && self.scope == 'Selected')", "selector is needed by scope Selected, and belongs to no other scope"),
        ("!has(self.selector) || has(self.selector.sites) || has(self.selector.namespaces)", "selector: give sites, namespaces or both; for every site use scope AllSites"),
        ("!has(self.mode) || has(self.scope)", "mode belongs to policies with a scope"),
        ("!has(self.targetRefs) || self.targetRefs.all(t, self.targetRefs.exists_one(x, x.name == t.name && (has(x.sectionName) ? x.sectionName : '') == (has(t.sectionName) ? t.sectionName : '')))", "targetRefs: each target may be listed once"),
    ])))]
pub struct RateRuleSpec {
    /// The sites or routes that it applies to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    /// For rules in the operator's namespace: the sites that it applies to, instead of `targetRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<PolicyScope>,
    /// Which sites, for `scope: Selected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<SiteSelector>,
    /// For rules in the operator's namespace: how it stands to the sites' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PolicyMode>,
    /// Requests that count: any of these; every request when empty.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matches: Vec<RequestMatch>,
    /// Visitors' countries that count (ISO 3166-1 alpha-2); every country when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(regex(pattern = r"^[A-Z]{2}$"), length(min = 2, max = 2))
    )]
    pub countries: Vec<String>,
    /// What is counted by.
    #[serde(default)]
    pub key: RateKey,
    /// How many pass.
    pub rate: Rate,
    /// Requests above the even pace that pass at once; `rate.requests` when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub burst: Option<u32>,
    /// What happens to the rest.
    #[serde(default)]
    pub excess: Excess,
}

/// Requests a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Requests.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: u32,
    /// The period, one second to one day.
    pub period: Duration,
}

/// What requests are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.type) && self.type in ['Header', 'Cookie']) == has(self.name)", "name is needed by the types Header and Cookie, and belongs to no other type"),
        ("!(has(self.ipv4PrefixLength) || has(self.ipv6PrefixLength)) || (has(self.type) && self.type == 'Subnet')", "prefix lengths belong to type Subnet"),
    ])))]
pub struct RateKey {
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: RateKeyType,
    /// For `Header` and `Cookie`: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))]
    pub name: Option<String>,
    /// For `Subnet`: leading bits of an IPv4 address, 24 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 32))]
    pub ipv4_prefix_length: Option<u8>,
    /// For `Subnet`: leading bits of an IPv6 address, 56 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 128))]
    pub ipv6_prefix_length: Option<u8>,
}

/// What requests are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RateKeyType {
    /// The visitor's address (IPv6: its /64).
    #[default]
    ClientAddress,
    /// The visitor's subnet.
    Subnet,
    /// A request header.
    Header,
    /// A cookie.
    Cookie,
    /// The TLS and HTTP fingerprint (JA4).
    Fingerprint,
    /// All requests of a site together.
    Site,
}

/// What happens to requests above the rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.status) || ((!has(self.action) || self.action == 'Reject') && self.status in [429, 503])", "status must be 429 or 503, and belongs to action Reject"),
        ("(has(self.action) && self.action == 'Delay') == has(self.maxDelay)", "maxDelay is needed by action Delay, and belongs to no other"),
        ("(has(self.action) && self.action == 'Ban') == has(self.banFor)", "banFor is needed by action Ban, and belongs to no other"),
    ])))]
pub struct Excess {
    /// What happens.
    #[serde(default)]
    pub action: ExcessAction,
    /// For `Reject`: the status of the answer, 429 when it isn't given. `Retry-After` says when to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// For `Delay`: the longest wait; requests that would wait longer are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// For `Ban`: how long the key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban_for: Option<Duration>,
}

/// What happens to requests above the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExcessAction {
    /// An answer with `status` and `Retry-After`.
    #[default]
    Reject,
    /// The request waits for its turn.
    Delay,
    /// The visitor has to show that it is a browser.
    Challenge,
    /// The key is refused for a time, in the kernel where it is an address.
    Ban,
}
