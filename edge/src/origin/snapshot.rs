use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::OriginErrorKind;
use super::origin::Origin;

/// An origin at one moment, for metrics and `EdgeNode`. Counters count since the edge started.
#[derive(Clone, Debug)]
pub struct OriginSnapshot {
    /// The site's UID.
    pub site_uid: Arc<str>,
    /// The origin's name.
    pub origin: Arc<str>,
    /// Requests that wait for the head of an answer.
    pub waiting: usize,
    /// Requests, repetitions not counted.
    pub requests: u64,
    /// Repetitions.
    pub retries: u64,
    /// Repetitions that the budget refused.
    pub refused_retries: u64,
    /// Kept-alive connections that turned out to be closed when they were used.
    pub stale_connections: u64,
    /// Failures, each attempt counted, by kind.
    pub errors: Vec<(OriginErrorKind, u64)>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// An endpoint at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSnapshot {
    /// Where it is.
    pub address: SocketAddr,
    /// What its checks say; true without checks.
    pub is_healthy: bool,
    /// Left out for a while because connections to it failed.
    pub is_ejected: bool,
    /// The address may be connected to.
    pub is_permitted: bool,
    /// Requests without a complete answer.
    pub in_flight: usize,
    /// Connections that are open or being opened.
    pub open: usize,
    /// Of those, the ones that nobody uses.
    pub idle: usize,
    /// Connections opened since the edge started.
    pub opened: u64,
}

impl Origin {
    pub(super) fn snapshot(&self, now_ms: u64) -> OriginSnapshot {
        let endpoints = self.endpoints().into_iter().map(|endpoint| {
            let health = *endpoint.health();
            let (open, idle) = endpoint.connections();
            EndpointSnapshot {
                address: endpoint.address(),
                is_healthy: health.is_checked_healthy(),
                is_ejected: health.is_ejected(now_ms),
                is_permitted: endpoint.is_permitted(),
                in_flight: endpoint.in_flight.load(Ordering::Relaxed),
                open,
                idle,
                opened: endpoint.opened.load(Ordering::Relaxed),
            }
        });
        OriginSnapshot {
            endpoints: endpoints.collect(),
            site_uid: Arc::clone(self.site_uid()),
            origin: self.name().into(),
            waiting: self.waiting(),
            requests: self.counters.requests.get(),
            retries: self.counters.retries.get(),
            refused_retries: self.counters.refused_retries.get(),
            stale_connections: self.counters.stale.get(),
            errors: self.counters.errors(),
        }
    }
}
