use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breakwater_edge_cache::{CacheStatus, Fwd, Served};
use breakwater_edge_config::SiteId;
use breakwater_edge_proxy::{Protocol, Reason};

/// Upper bounds of the duration histogram's buckets, microseconds.
pub(super) const BUCKETS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Values of the label `class`.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Values of the label `cache`.
pub(super) const CACHES: [&str; 10] = [
    "none",
    "hit",
    "bypass",
    "method",
    "uri-miss",
    "vary-miss",
    "miss",
    "request",
    "stale",
    "partial",
];

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Handshake {
    /// With a new session.
    Full,
    /// With a session of before.
    Resumed,
    /// No SNI, or a name that no certificate covers.
    UnknownName,
    /// Alert, or bytes that aren't TLS.
    Failed,
    /// It took too long.
    Timeout,
}

impl Handshake {
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Full, "full"),
        (Self::Resumed, "resumed"),
        (Self::UnknownName, "unknown-name"),
        (Self::Failed, "failed"),
        (Self::Timeout, "timeout"),
    ];
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum ConnectionEnd {
    /// By either side, in order.
    Closed,
    /// The peer broke it off, or spoke something else.
    Error,
    /// Idle for too long.
    Idle,
    /// A head took too long.
    HeadTimeout,
    /// It took what it was sent too slowly.
    Stalled,
    /// There were too many connections.
    Refused,
    /// By a reason of the phases.
    Shut,
    /// The edge stopped.
    Drained,
}

impl ConnectionEnd {
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Closed, "closed"),
        (Self::Error, "error"),
        (Self::Idle, "idle"),
        (Self::HeadTimeout, "head-timeout"),
        (Self::Stalled, "stalled"),
        (Self::Refused, "refused"),
        (Self::Shut, "shut"),
        (Self::Drained, "drained"),
    ];
}

/// What came of a request that warms the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Warmed {
    /// It was stored.
    Stored,
    /// It was there, or another was fetching it.
    There,
    /// It can't be stored.
    NotStored,
    /// The origin failed, or no route leads to it.
    Failed,
}

impl Warmed {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Stored, "stored"),
        (Self::There, "there"),
        (Self::NotStored, "not-stored"),
        (Self::Failed, "failed"),
    ];
}

/// Counters of one site.
#[derive(Debug, Default)]
pub(crate) struct SiteCounters {
    pub(super) classes: [AtomicU64; CLASSES.len()],
    pub(super) caches: [AtomicU64; CACHES.len()],
    pub(super) origin_requests: AtomicU64,
    pub(super) origin_errors: AtomicU64,
    pub(super) body_bytes: AtomicU64,
}

/// Counters of one worker: it alone writes them, a scrape reads them.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) ends: [AtomicU64; ConnectionEnd::ALL.len()],
    pub(super) handshakes: [AtomicU64; Handshake::ALL.len()],
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) protocols: [AtomicU64; 2],
    pub(super) reasons: Box<[AtomicU64]>,
    pub(super) durations: [AtomicU64; BUCKETS_US.len() + 1],
    pub(super) duration_us: AtomicU64,
    pub(super) unknown_site: SiteCounters,
    pub(super) log_dropped: AtomicU64,
    pub(super) warmed: [AtomicU64; Warmed::ALL.len()],
    sites: Mutex<HashMap<SiteId, Arc<SiteCounters>>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::default(),
            accept_errors: AtomicU64::default(),
            ends: Default::default(),
            handshakes: Default::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
            protocols: Default::default(),
            reasons: Reason::ALL.iter().map(|_| AtomicU64::default()).collect(),
            durations: Default::default(),
            duration_us: AtomicU64::default(),
            unknown_site: SiteCounters::default(),
            log_dropped: AtomicU64::default(),
            warmed: Default::default(),
            sites: Mutex::default(),
        }
    }
}

/// Adds to a counter that only this thread writes: no locked instruction.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    pub(crate) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(crate) fn accept_error(&self) {
        add(&self.accept_errors, 1);
    }

    pub(crate) fn ended(&self, end: ConnectionEnd, (bytes_in, bytes_out): (u64, u64)) {
        if let Some(counter) = self.ends.get(end as usize) {
            add(counter, 1);
        }
        add(&self.bytes_in, bytes_in);
        add(&self.bytes_out, bytes_out);
    }

    pub(crate) fn handshake(&self, how: Handshake) {
        if let Some(counter) = self.handshakes.get(how as usize) {
            add(counter, 1);
        }
    }

    pub(crate) fn warmed(&self, what: Warmed) {
        if let Some(counter) = self.warmed.get(what as usize) {
            add(counter, 1);
        }
    }

    pub(crate) fn log_dropped(&self, lines: u64) {
        add(&self.log_dropped, lines);
    }

    pub(crate) fn request(&self, protocol: Protocol, reason: Option<Reason>, duration: Duration) {
        let protocol = usize::from(protocol == Protocol::Http2);
        if let Some(counter) = self.protocols.get(protocol) {
            add(counter, 1);
        }
        if let Some(counter) = reason.and_then(|reason| self.reasons.get(reason as usize)) {
            add(counter, 1);
        }
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.durations.get(bucket) {
            add(counter, 1);
        }
        add(&self.duration_us, us);
    }

    /// The counters of a site, made at its first request.
    pub(crate) fn site(&self, id: &SiteId) -> Arc<SiteCounters> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        match sites.get(id) {
            Some(counters) => Arc::clone(counters),
            None => Arc::clone(sites.entry(id.clone()).or_default()),
        }
    }

    /// Forgets sites that are no longer configured, so that their number stays bounded.
    pub(super) fn retain_sites(&self, keep: impl Fn(&SiteId) -> bool) {
        self.sites
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|id, _| keep(id));
    }

    pub(super) fn for_each_site(&self, mut visit: impl FnMut(&SiteId, &SiteCounters)) {
        for (id, counters) in &*self.sites.lock().unwrap_or_else(PoisonError::into_inner) {
            visit(id, counters);
        }
    }
}

impl SiteCounters {
    pub(crate) fn request(&self, status: u16, cache: Option<&CacheStatus>, body_bytes: u64) {
        if let Some(counter) = self.classes.get(usize::from(status / 100).min(CLASSES.len() - 1)) {
            add(counter, 1);
        }
        if let Some(counter) = self.caches.get(cache_index(cache)) {
            add(counter, 1);
        }
        add(&self.body_bytes, body_bytes);
    }

    pub(crate) fn origin(&self, attempts: u64, failed: bool) {
        add(&self.origin_requests, attempts);
        add(&self.origin_errors, u64::from(failed));
    }
}

/// Position in [`CACHES`].
pub(super) fn cache_index(cache: Option<&CacheStatus>) -> usize {
    match cache.map(|cache| cache.served) {
        None => 0,
        Some(Served::Hit) => 1,
        Some(Served::Forwarded(fwd)) => match fwd {
            Fwd::Bypass => 2,
            Fwd::Method => 3,
            Fwd::UriMiss => 4,
            Fwd::VaryMiss => 5,
            Fwd::Miss => 6,
            Fwd::Request => 7,
            Fwd::Stale => 8,
            Fwd::Partial => 9,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_status_has_the_label_of_the_standard() {
        for fwd in [
            Fwd::Bypass,
            Fwd::Method,
            Fwd::UriMiss,
            Fwd::VaryMiss,
            Fwd::Miss,
            Fwd::Request,
            Fwd::Stale,
            Fwd::Partial,
        ] {
            let status = CacheStatus::new(Served::Forwarded(fwd));
            assert_eq!(CACHES[cache_index(Some(&status))], fwd.as_str());
        }
        assert_eq!(CACHES[cache_index(Some(&CacheStatus::new(Served::Hit)))], "hit");
        assert_eq!(CACHES[cache_index(None)], "none");
    }

    #[test]
    fn tables_of_labels_are_in_the_order_of_their_enumerations() {
        for (at, (end, _)) in ConnectionEnd::ALL.iter().enumerate() {
            assert_eq!(*end as usize, at);
        }
        for (at, (how, _)) in Handshake::ALL.iter().enumerate() {
            assert_eq!(*how as usize, at);
        }
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let counters = Counters::default();
        counters.request(Protocol::Http2, Some(Reason::NoRoute), Duration::from_micros(100));
        counters.request(Protocol::Http2, None, Duration::from_micros(101));
        counters.request(Protocol::Http1, None, Duration::from_hours(1));
        let counts: Vec<u64> = counters.durations.iter().map(|c| c.load(Relaxed)).collect();
        assert_eq!((counts[0], counts[1], *counts.last().unwrap()), (1, 1, 1));
        assert_eq!(counters.reasons[Reason::NoRoute as usize].load(Relaxed), 1);
        assert_eq!(counters.protocols[1].load(Relaxed), 2);
    }
}
