use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use breakwater_edge_config::OriginProtocol;

use super::guard::AddressClass;
use super::health::Health;
use super::origins::Common;
use super::pool::Pool;
use super::probe::Probe;
use super::tls::TlsKey;

/// What connections are shared by. By the address alone, one tenant's mutual-TLS connection would serve
/// another. The name asked for in TLS is kept with each connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EndpointKey {
    pub(super) site_uid: Arc<str>,
    pub(super) origin: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) class_is_service: bool,
    pub(super) tls: Option<TlsKey>,
    pub(super) is_http2: bool,
}

impl EndpointKey {
    pub(super) fn class(&self) -> AddressClass {
        if self.class_is_service {
            AddressClass::Service
        } else {
            AddressClass::Written
        }
    }

    pub(super) fn protocol(&self) -> OriginProtocol {
        if self.is_http2 {
            OriginProtocol::Http2
        } else {
            OriginProtocol::Http1
        }
    }
}

/// One server of an origin: its connections, its health, its counters. Lives on over changes of the
/// configuration as long as its key stays.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) key: EndpointKey,
    pub(super) identity: u64,
    pub(super) common: Arc<Common>,
    pub(super) in_flight: AtomicUsize,
    pub(super) opened: AtomicU64,
    pub(super) probe: Mutex<Option<Probe>>,
    health: Mutex<Health>,
    /// Whether the address may be connected to, after the generation of the rule that said so.
    verdict: AtomicU64,
    max_connections: AtomicU32,
    pool: Mutex<Pool>,
}

impl Endpoint {
    pub(super) fn new(key: EndpointKey, common: Arc<Common>) -> Arc<Self> {
        Arc::new(Self {
            identity: super::balance::identity(key.address),
            key,
            common,
            in_flight: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            probe: Mutex::default(),
            health: Mutex::default(),
            verdict: AtomicU64::new(0),
            max_connections: AtomicU32::new(1),
            pool: Mutex::default(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.key.address
    }

    pub(super) fn set_max_connections(&self, max: u32) {
        self.max_connections.store(max.max(1), Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn max_connections(&self) -> usize {
        self.max_connections.load(Ordering::Relaxed) as usize
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its address may be connected to.
    pub(super) fn is_permitted(&self) -> bool {
        let guard = &self.common.guard;
        let generation = guard.generation();
        let verdict = self.verdict.load(Ordering::Relaxed);
        if verdict >> 1 == generation {
            return verdict & 1 == 1;
        }
        let is_permitted = guard.permits(self.address().ip(), self.key.class());
        self.verdict
            .store((generation << 1) | u64::from(is_permitted), Ordering::Relaxed);
        is_permitted
    }

    pub(super) fn note_failed_connection(&self) {
        if self.health().on_connection_failed(self.common.now_ms()) {
            let (address, origin) = (self.address(), &self.key.origin);
            tracing::warn!(%address, %origin, site = %self.key.site_uid, "origin endpoint left out for a while");
        }
    }
}
