use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, RequestMatch};

/// Names a policy among all of a region: `RateRule/namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(pub String);

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a platform's policy stands to those of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// For sites that have none of their own (`CachePolicy`); added to the site's own (`RateRule`).
    #[default]
    Default,
    /// An outer layer that no site's policy weakens.
    Enforced,
}

/// A policy that many sites share. It is stored once and named by the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Part {
    /// A platform's `RateRule`.
    Rate {
        /// How it stands to the sites' own.
        mode: Mode,
        /// The rule.
        rule: RateRule,
    },
    /// A platform's `CachePolicy`.
    Cache {
        /// How it stands to the sites' own.
        mode: Mode,
        /// The policy.
        policy: Box<CachePolicy>,
    },
}

impl Part {
    /// The policy's name.
    pub fn id(&self) -> &PolicyId {
        match self {
            Self::Rate { rule, .. } => &rule.id,
            Self::Cache { policy, .. } => &policy.id,
        }
    }

    /// The oldest reader that enforces it as it is meant.
    pub fn min_reader(&self) -> u32 {
        match self {
            Self::Rate { .. } => 1,
            Self::Cache { policy, .. } => policy.min_reader(),
        }
    }

    /// The hash of its bytes, by which [`RegionSettings`](crate::RegionSettings) refer to it.
    pub fn hash(&self) -> Result<ContentHash, serde_json::Error> {
        Ok(ContentHash::of(&serde_json::to_vec(self)?))
    }
}

/// A limit on requests: a token bucket for each key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateRule {
    /// Its name.
    pub id: PolicyId,
    /// Requests that count: any of these; empty: every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RequestMatch>,
    /// What is counted by.
    pub key: RateKey,
    /// Requests a period, at least 1.
    pub requests: u32,
    /// The period, milliseconds.
    pub period_ms: u64,
    /// Requests above the even pace that pass at once.
    pub burst: u32,
    /// Status of the answer to an excess request: 429 or 503.
    pub status: u16,
}

/// What a [`RateRule`] counts by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RateKey {
    /// The visitor's address; for IPv6 its /64, since one host has a whole one.
    ClientAddress,
    /// The visitor's subnet, by prefix lengths.
    Subnet {
        /// 8 to 32.
        ipv4: u8,
        /// 16 to 128.
        ipv6: u8,
    },
    /// A request header, by its lower-case name; requests without it share one key.
    Header(String),
    /// A cookie; requests without it share one key.
    Cookie(String),
    /// All requests of the target together.
    Site,
}

/// What is cached and for how long. Without any policy RFC 9111 alone decides, with [`CachePolicy::rfc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachePolicy {
    /// Its name.
    pub id: PolicyId,
    /// False: nothing is looked up and nothing stored.
    pub enabled: bool,
    /// What makes two requests the same.
    pub key: CacheKey,
    /// For how long.
    pub ttl: Ttl,
    /// Methods whose answers are cached besides GET and HEAD, by the request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_methods: Option<BodyMethods>,
    /// Requests that neither use nor fill the cache: any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bypass: Vec<RequestMatch>,
    /// Paths with their queries that are fetched before the first visitor asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prewarm: Vec<String>,
    /// Largest body that is stored.
    pub max_object_bytes: u64,
    /// Which share of the memory answers belong to; `None`: by their size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,
    /// Forward only the fields that are in the key, and those that HTTP needs, on requests whose answer may
    /// be stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_headers: bool,
    /// Which fields of an answer carry its tags; `None`: the usual ones, which visitors get too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Compression of what is stored; `None`: bodies stay as the origin sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

impl CachePolicy {
    /// What holds for a site without any policy: RFC 9111, whole query in the key, bodies up to 64 MiB.
    pub fn rfc() -> Self {
        Self {
            id: PolicyId("builtin/rfc9111".to_owned()),
            enabled: true,
            body_methods: None,
            key: CacheKey::default(),
            ttl: Ttl::default(),
            bypass: Vec::new(),
            prewarm: Vec::new(),
            max_object_bytes: 64 << 20,
            storage_class: None,
            strict_headers: false,
            tags: None,
            compression: None,
        }
    }

    /// The oldest reader that enforces it as it is meant: one that left out a part of the key would give phones
    /// what was made for desktops.
    pub fn min_reader(&self) -> u32 {
        if self.key.device_class { 2 } else { 1 }
    }

    /// Hash of what changes the key: entries made under another fingerprint are never used.
    pub fn fingerprint(&self) -> Result<ContentHash, serde_json::Error> {
        Ok(ContentHash::of(&serde_json::to_vec(&self.key)?))
    }
}

/// Compression of answers that are stored. An edge that doesn't know of it passes them as they are, so it may be
/// ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// The codings that visitors get, in order of preference; each once.
    pub encodings: Vec<Encoding>,
    /// Shorter bodies stay as they are.
    pub min_bytes: u64,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

/// Tags to purge by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags {
    /// Lower-case names of the fields that list them, four at most; empty: `cache-tag`, `surrogate-key`,
    /// `xkey`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Visitors get those fields too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expose: bool,
}

/// A share of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageClass {
    /// Many small files.
    Small,
    /// Few large files.
    Large,
}

/// Caching of requests with a body. An edge that doesn't know of it passes them, so it may be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BodyMethods {
    /// `POST`, `QUERY`.
    pub methods: Vec<String>,
    /// Requests with a larger body pass.
    pub max_body_bytes: u64,
    /// Bodies, and `query` in the URL of a GET, are GraphQL: what isn't a query passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub graphql: bool,
}

/// What makes two requests the same, besides site, scheme, host, port and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheKey {
    /// Which query parameters count. Where the answer may be stored, the origin is sent these only.
    pub query: QueryKey,
    /// Parameters are compared in sorted order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sort_query: bool,
    /// Lower-case names of request fields that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Names of cookies that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
    /// Phones, tablets and desktops are told apart. The origin is told which in `X-Device-Class`; where the
    /// answer may be stored, in place of the visitor's own `User-Agent`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_class: bool,
}

/// Which query parameters are in the key, by exact name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QueryKey {
    /// The raw query.
    #[default]
    All,
    /// None.
    None,
    /// Only these.
    Allow(Vec<String>),
    /// All but these.
    Deny(Vec<String>),
}

/// For how long, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ttl {
    /// Where the origin says nothing (instead of a heuristic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ms: Option<u64>,
    /// Whatever the origin says, except that it must not be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_ms: Option<u64>,
    /// Not less than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ms: Option<u64>,
    /// Not more than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// By status, where the origin says nothing; first match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusTtl>,
    /// Serve stale while a revalidation runs (RFC 5861 §3), where the origin says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate_ms: Option<u64>,
    /// Serve stale when the origin fails (RFC 5861 §4), where the origin says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_if_error_ms: Option<u64>,
}

/// A lifetime for a range of statuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusTtl {
    /// First status.
    pub from: u16,
    /// Last status.
    pub to: u16,
    /// Lifetime; 0: not stored.
    pub ttl_ms: u64,
}

impl StatusTtl {
    /// Statuses that no policy makes edges store: parts and confirmations of something else (206, 304), and what
    /// tells of one request or connection only. A range around one of them leaves it out.
    pub const NEVER_STORED: [u16; 10] = [206, 304, 408, 421, 425, 428, 429, 431, 508, 511];
}
