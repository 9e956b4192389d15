//! May a stored answer be used for a request, now (RFC 9111 §4)?

use crate::cache_status::Fwd;
use crate::directives::RequestDirectives;
use crate::entry::Hit;
use crate::{Now, Reason};

/// What the cache has for a request.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Serve it: fresh, or stale within what the request accepts (`max-stale`).
    Fresh(Hit),
    /// Something is stored that must be validated first, or may be served meanwhile.
    Stale(Stale),
    /// Only parts of it are here: what they [hold](Hit::holds) may be served while they are fresh.
    Partial {
        /// The answer with its parts.
        hit: Hit,
        /// Without asking the origin.
        fresh: bool,
    },
    /// Nothing. [`Fwd::UriMiss`] or [`Fwd::VaryMiss`].
    Miss(Fwd),
    /// Nothing, and the last answer could not be shared: fetch alone.
    HitForMiss,
    /// Nothing that may be used without asking the origin, which the request forbids: 504 (RFC 9111
    /// §5.2.1.7).
    OnlyIfCachedMiss,
}

/// A stored answer that isn't simply fresh.
#[derive(Clone, Debug)]
pub struct Stale {
    /// The answer. Give it to [`Cache::begin`](crate::Cache::begin) to have it validated.
    pub hit: Hit,
    /// Why it isn't served as it is.
    pub reason: Reason,
    /// Serve it now, and have it validated in the background (RFC 5861 §3).
    pub serve_now: bool,
    /// Serve it if the origin can't be asked or fails (RFC 5861 §4).
    pub serve_on_error: bool,
}

impl Stale {
    /// For `Cache-Status`: whether the request or the answer is why the origin is asked.
    pub fn fwd(&self) -> Fwd {
        if self.reason == Reason::RequestDirective {
            Fwd::Request
        } else {
            Fwd::Stale
        }
    }
}

/// Decides about one stored answer.
pub(crate) fn decide(hit: Hit, asked: &RequestDirectives, now: Now, advice_interval_ms: u64) -> Lookup {
    let whole = hit.is_whole();
    match decide_whole(hit, asked, now, advice_interval_ms) {
        Lookup::Fresh(hit) if !whole => Lookup::Partial { hit, fresh: true },
        Lookup::Stale(Stale { hit, .. }) if !whole => Lookup::Partial { hit, fresh: false },
        found => found,
    }
}

fn decide_whole(hit: Hit, asked: &RequestDirectives, now: Now, advice_interval_ms: u64) -> Lookup {
    let lifetime = &hit.entry.lifetime;
    let own = if hit.entry.is_invalidated() {
        Some(Reason::Invalidated)
    } else if hit.is_doubted() {
        Some(Reason::Unconfirmed)
    } else if lifetime.always_validate {
        Some(Reason::NoCache)
    } else if hit.entry.soft_since_ms().is_some() {
        Some(Reason::SoftPurged)
    } else if hit.ttl_ms() <= 0 {
        Some(Reason::Expired)
    } else {
        None
    };
    let reason = match own {
        Some(Reason::Expired) if accepts_stale(&hit, asked) => return Lookup::Fresh(hit),
        Some(reason) => reason,
        None if !wants_fresher(&hit, asked) => return Lookup::Fresh(hit),
        // The request only advises. Without this bound any client turns a cached object into load on the
        // origin.
        None if !asked.only_if_cached && !hit.entry.grant_advice(now, advice_interval_ms) => {
            return Lookup::Fresh(hit);
        }
        None => Reason::RequestDirective,
    };
    if asked.only_if_cached {
        return Lookup::OnlyIfCachedMiss;
    }
    let over = matches!(reason, Reason::Expired | Reason::SoftPurged);
    let serve_now = over && !asked.no_cache && hit.may_serve_while_revalidating();
    let serve_on_error = hit.may_serve_on_error() || accepts_on_error(&hit, asked);
    Lookup::Stale(Stale {
        hit,
        reason,
        serve_now,
        serve_on_error,
    })
}

fn accepts_stale(hit: &Hit, asked: &RequestDirectives) -> bool {
    let within = match asked.max_stale {
        None => false,
        Some(None) => true,
        Some(Some(secs)) => hit.staleness_ms() <= secs.saturating_mul(1_000),
    };
    within
        && hit.entry.lifetime.stale_allowed
        && !wants_fresher(
            hit,
            &RequestDirectives {
                min_fresh: None,
                ..*asked
            },
        )
}

/// The request's own `stale-if-error` (RFC 5861 §4), within what the origin allows.
fn accepts_on_error(hit: &Hit, asked: &RequestDirectives) -> bool {
    let within = asked
        .stale_if_error
        .is_some_and(|secs| hit.staleness_ms() <= secs.saturating_mul(1_000));
    within && hit.entry.lifetime.stale_allowed && !hit.entry.is_invalidated() && !hit.is_doubted()
}

fn wants_fresher(hit: &Hit, asked: &RequestDirectives) -> bool {
    // A reload sends `max-age=0`; what can't have changed isn't asked for again (RFC 8246 §2). `no-cache` means
    // what it says.
    let settled = hit.entry.lifetime.immutable && hit.ttl_ms() > 0;
    let too_old = !settled
        && asked
            .max_age
            .is_some_and(|secs| hit.age_ms() > secs.saturating_mul(1_000));
    let ttl_ms = u64::try_from(hit.ttl_ms()).unwrap_or(0);
    let too_short = asked
        .min_fresh
        .is_some_and(|secs| ttl_ms < secs.saturating_mul(1_000));
    asked.no_cache || too_old || too_short
}
