//! What a policy says about storing, in plain values.

use crate::tags::TagRules;

/// Where the origin is silent, what a policy says; and what it says whatever the origin says. Milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TtlPolicy {
    /// For cacheable statuses where the origin says nothing; instead of a heuristic.
    pub default_ms: Option<u64>,
    /// For cacheable statuses whatever the origin says, except that it must not be stored. Also overrides
    /// `no-cache`.
    pub force_ms: Option<u64>,
    /// Not less than this. `no-cache` stays `no-cache`.
    pub min_ms: Option<u64>,
    /// Not more than this.
    pub max_ms: Option<u64>,
    /// By status where the origin says nothing; the first match holds, before `default_ms` and `force_ms`.
    /// The only way to store 400 and 413.
    pub statuses: Vec<StatusTtl>,
    /// Where the origin says nothing (RFC 5861 §3).
    pub stale_while_revalidate_ms: Option<u64>,
    /// Where the origin says nothing (RFC 5861 §4).
    pub stale_if_error_ms: Option<u64>,
}

/// A lifetime for a range of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusTtl {
    /// First status.
    pub from: u16,
    /// Last status.
    pub to: u16,
    /// 0: not stored.
    pub ttl_ms: u64,
}

/// Which share of the memory an answer belongs to: a few large files don't push out many small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageClass {
    /// Many small files.
    Small,
    /// Few large files: half of the memory at most where small ones want it.
    Large,
}

/// What a policy says about storing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRules {
    /// Lifetimes.
    pub ttl: TtlPolicy,
    /// Largest body that is stored, bytes.
    pub max_object_bytes: u64,
    /// `None`: by the size of the body, large above 1 MiB.
    pub class: Option<StorageClass>,
    /// Store answers with `Set-Cookie`, the field included. Everybody gets that cookie.
    pub store_set_cookie: bool,
    /// Lower-case names of request fields that `Vary` may name without making variants: the key, or what the
    /// origin was sent in their place, stands for them.
    pub unvaried_fields: &'static [&'static str],
    /// Tags to purge by.
    pub tags: TagRules,
}

impl Default for StoreRules {
    /// RFC 9111 without any policy; bodies up to 64 MiB.
    fn default() -> Self {
        Self {
            ttl: TtlPolicy::default(),
            max_object_bytes: 64 << 20,
            class: None,
            store_set_cookie: false,
            unvaried_fields: &[],
            tags: TagRules::default(),
        }
    }
}
