use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, PolicyMode, PolicyScope, PolicyStatus, RequestMatch, SiteSelector, TargetRef};

/// What is cached and for how long. Without one, RFC 9111 decides from what the origin says. The most
/// specific policy wins as a whole: route, then site, then the platform's default.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "edge.breakwater.dev",
    version = "v1alpha1",
    kind = "CachePolicy",
    plural = "cachepolicies",
    shortname = "cachepol",
    category = "breakwater",
    namespaced,
    status = "PolicyStatus",
    printcolumn(name = "Enabled", type_ = "boolean", json_path = r#".spec.enabled"#),
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
pub struct CachePolicySpec {
    /// The sites or routes that it applies to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    /// For policies in the operator's namespace: the sites that it applies to, instead of `targetRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<PolicyScope>,
    /// Which sites, for `scope: Selected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<SiteSelector>,
    /// For policies in the operator's namespace: how it stands to the sites' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PolicyMode>,
    /// False: nothing is cached.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Methods whose answers are cached besides GET and HEAD, by the request's body with its type, coding and
    /// language. Such an answer is stored only where the origin or `ttl` gives it a lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_methods: Option<BodyMethods>,
    /// What makes two requests the same.
    #[serde(default)]
    pub key: CacheKey,
    /// For how long.
    #[serde(default)]
    pub ttl: Ttl,
    /// Requests that neither use nor fill the cache: any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub bypass: Vec<RequestMatch>,
    /// Largest body that is stored, in bytes; 64 MiB when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_099_511_627_776_i64))]
    pub max_object_bytes: Option<i64>,
    /// Forward only the fields in the key, and those that HTTP needs, on requests whose answer may be stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_headers: bool,
    /// Fields of an answer that carry its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Large files in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices: Option<Slices>,
    /// Paths, with queries, that each edge fetches when the site becomes active, changes or was purged: at each of its
    /// hosts but wildcards. At most 1,024 requests a site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 2048), regex(pattern = r"^/[!-~]*$"))
    )]
    pub prewarm: Vec<String>,
    /// Which share of the memory the answers belong to. Without it, bodies above 1 MiB are `Large`. Large files
    /// have half of the memory at most where small ones want it, and a twentieth until somebody asks for them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,
    /// Compression at the edge. Without it bodies stay as the origin sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

fn yes() -> bool {
    true
}

/// Caching of requests with a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("self.methods.all(m, m in ['POST', 'QUERY'])", "methods must be POST or QUERY"),
    ])))]
pub struct BodyMethods {
    /// `POST`, or `QUERY`.
    #[schemars(
        length(min = 1, max = 4),
        inner(length(min = 1, max = 16), regex(pattern = r"^[A-Z]+$"))
    )]
    pub methods: Vec<String>,
    /// Largest body that is read for the key, in bytes; requests with a larger one pass.
    #[serde(default = "max_body")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_body_bytes: i64,
    /// Bodies are GraphQL in JSON: what isn't a query, or not certainly one, passes. So does a GET whose URL carries
    /// a document with anything but queries.
    #[serde(default)]
    pub graphql: bool,
}

fn max_body() -> i64 {
    65_536
}

/// What makes two requests the same, besides site, scheme, host, port and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CacheKey {
    /// The query.
    #[serde(default)]
    pub query: QueryKey,
    /// Request fields that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))
    )]
    pub headers: Vec<String>,
    /// Cookies that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))
    )]
    pub cookies: Vec<String>,
    /// Phones, tablets and desktops are told apart, by `User-Agent` and `Sec-CH-UA-Mobile`. The origin is told
    /// `phone`, `tablet` or `desktop` in `X-Device-Class`. Where the answer may be stored it sees a `User-Agent`
    /// of the class in place of the visitor's (unless `headers` names it), and `Vary: User-Agent` makes no
    /// further variants.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_class: bool,
}

/// Which query parameters count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.mode) && self.mode in ['Allow', 'Deny']) == (has(self.parameters) && size(self.parameters) > 0)", "parameters are needed by the modes Allow and Deny, and belong to no other mode"),
    ])))]
pub struct QueryKey {
    /// `All`, `None`, `Allow` (only `parameters`) or `Deny` (all but `parameters`).
    #[serde(default)]
    pub mode: QueryMode,
    /// Names for `Allow` and `Deny`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub parameters: Vec<String>,
    /// The order of parameters doesn't count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sort: bool,
}

/// Which query parameters count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QueryMode {
    /// The whole query.
    #[default]
    All,
    /// None of it.
    None,
    /// Only these parameters.
    Allow,
    /// All but these parameters.
    Deny,
}

/// For how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.override) || !(has(self.min) || has(self.max))", "override stands alone: min and max would have no effect"),
    ])))]
pub struct Ttl {
    /// Where the origin says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Duration>,
    /// Whatever the origin says, unless it forbids storing.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub force: Option<Duration>,
    /// Not less than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// Not more than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// By status, where the origin says nothing; first match. `0s`: not stored. What is about one request alone is
    /// never stored and can't be named: 206, 304, 408, 421, 425, 428, 429, 431, 508, 511.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub statuses: Vec<StatusTtl>,
    /// Serve a stale answer while it is revalidated, this long (RFC 5861), where the origin says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Duration>,
    /// Serve a stale answer when the origin fails, this long (RFC 5861), where the origin says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Duration>,
}

/// A lifetime for statuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusTtl {
    /// A status (`404`) or a class (`5xx`).
    #[schemars(length(min = 3, max = 3), regex(pattern = r"^[2-5]([0-9]{2}|xx)$"))]
    pub status: String,
    /// Lifetime.
    pub ttl: Duration,
}

/// Tags for purging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tags {
    /// Names of the answer's fields that list tags; `Cache-Tag`, `Surrogate-Key` and `xkey` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))
    )]
    pub headers: Vec<String>,
    /// Those fields are sent to visitors too. Without `tags` the usual fields are read all the same, and sent.
    #[serde(default)]
    pub expose: bool,
}

/// Large files in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slices {
    /// Bytes of a piece.
    #[schemars(range(min = 65_536, max = 67_108_864))]
    pub bytes: i64,
    /// Ask the origin for ranges, also for a plain GET.
    #[serde(default)]
    pub request_ranges: bool,
}

/// A share of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageClass {
    /// Many small files.
    Small,
    /// Few large files.
    Large,
}

/// Compression at the edge, of answers that are stored: text, data in text, and formats that aren't compressed by
/// themselves. What the origin has compressed stays as it is; so does what it marks `no-transform` or tells a
/// digest of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compression {
    /// In order of preference. A visitor gets the one that it likes best, and the origin is asked for that one.
    #[schemars(length(min = 1, max = 3))]
    pub encodings: Vec<Encoding>,
    /// Bodies below this many bytes stay as they are; 1024 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_048_576))]
    pub min_bytes: Option<i64>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}
