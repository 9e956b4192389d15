use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breakwater_edge_config::OriginProtocol;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{self, TlsParams};
use super::connection::{Core, Http1, Http2, WorkerId};
use super::error::{OriginError, OriginErrorKind};
use super::guard::AddressClass;
use super::health::Health;
use super::lease::{Http1Lease, Http2Lease, Lease};
use super::origins::Common;
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

#[derive(Debug, Default)]
struct Pool {
    /// Connections open, being opened, or promised to a waiter.
    open: usize,
    /// HTTP/2 connections being opened.
    opening: usize,
    idle: Vec<Idle>,
    shared: Vec<(Arc<Http2>, Instant)>,
    waiters: VecDeque<Waiter>,
    is_retired: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Http1,
    since: Instant,
}

#[derive(Debug)]
struct Waiter {
    name: Option<Arc<str>>,
    grant: oneshot::Sender<Grant>,
}

#[derive(Debug)]
enum Grant {
    Http1(Http1),
    Http2(Http2Lease),
    Open(Permit),
}

/// The right to one connection. When it is dropped, the next in the queue gets it.
#[derive(Debug)]
pub(super) struct Permit {
    endpoint: Arc<Endpoint>,
    is_spent: bool,
}

impl Permit {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            is_spent: false,
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_spent {
            return;
        }
        loop {
            let waiter = {
                let mut pool = self.endpoint.pool();
                if let Some(waiter) = pool.waiters.pop_front() {
                    waiter
                } else {
                    pool.open = pool.open.saturating_sub(1);
                    return;
                }
            };
            match waiter.grant.send(Grant::Open(Self::new(&self.endpoint))) {
                Ok(()) => return,
                // It has given up: its right goes to the next.
                Err(Grant::Open(mut permit)) => permit.is_spent = true,
                Err(_) => {}
            }
        }
    }
}

/// What a request wants of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) tls: Option<TlsParams>,
    pub(super) name: Option<Arc<str>>,
    /// A new connection, no used one.
    pub(super) fresh: bool,
}

enum Next {
    Use(Lease),
    Open(Permit),
    Wait(oneshot::Receiver<Grant>),
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

    fn pool(&self) -> MutexGuard<'_, Pool> {
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

    /// Connections that are open, and of those the idle ones.
    pub(super) fn connections(&self) -> (usize, usize) {
        let pool = self.pool();
        let unused = pool
            .shared
            .iter()
            .filter(|(c, _)| c.streams.load(Ordering::Relaxed) == 0)
            .count();
        (pool.open, pool.idle.len() + unused)
    }

    /// A connection to send one request on: an idle one of this worker, an idle one of another, a new one, or
    /// the first that becomes free. Bounded by the connect timeout.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        want: &Want,
        timeout: Duration,
    ) -> Result<Lease, OriginError> {
        let is_waiting = AtomicBool::new(false);
        match tokio::time::timeout(timeout, self.acquire_in_time(want, &is_waiting)).await {
            Ok(result) => result,
            Err(_) if is_waiting.load(Ordering::Relaxed) => {
                let detail = "no connection became free in time";
                Err(OriginError::new(OriginErrorKind::Overloaded, detail).at(self.address()))
            }
            Err(_) => {
                self.note_failed_connection();
                let detail = "TCP and TLS took too long";
                Err(OriginError::new(OriginErrorKind::ConnectTimeout, detail).at(self.address()))
            }
        }
    }

    async fn acquire_in_time(
        self: &Arc<Self>,
        want: &Want,
        is_waiting: &AtomicBool,
    ) -> Result<Lease, OriginError> {
        loop {
            let permit = match self.next(want) {
                Next::Use(lease) => return Ok(lease),
                Next::Open(permit) => permit,
                Next::Wait(granted) => {
                    is_waiting.store(true, Ordering::Relaxed);
                    let grant = granted.await;
                    is_waiting.store(false, Ordering::Relaxed);
                    match grant {
                        Ok(Grant::Http1(mut connection)) => {
                            if connection.settle().await {
                                return Ok(Lease::Http1(Http1Lease::new(connection)));
                            }
                            connection.core.close();
                            continue;
                        }
                        Ok(Grant::Http2(lease)) => return Ok(Lease::Http2(lease)),
                        Ok(Grant::Open(permit)) => permit,
                        // The pool was retired under us; what we open now isn't kept.
                        Err(_) => continue,
                    }
                }
            };
            return self.open(want, permit).await;
        }
    }

    fn next(self: &Arc<Self>, want: &Want) -> Next {
        let mut closing = Vec::new();
        let next = {
            let mut pool = self.pool();
            if self.key.is_http2 {
                self.next_http2(&mut pool, want)
            } else {
                self.next_http1(&mut pool, want, &mut closing)
            }
        };
        // Their permits take the lock.
        for connection in closing {
            let connection: Http1 = connection;
            connection.core.close();
        }
        next
    }

    fn next_http1(self: &Arc<Self>, pool: &mut Pool, want: &Want, closing: &mut Vec<Http1>) -> Next {
        let max = self.max_connections.load(Ordering::Relaxed) as usize;
        let here = WorkerId::current();
        while !want.fresh && pool.waiters.is_empty() {
            let fits = |idle: &&Idle| idle.connection.core.name == want.name;
            // The newest is the least likely to be closed by the origin at this moment.
            let found = pool
                .idle
                .iter()
                .rposition(|idle| fits(&idle) && idle.connection.core.worker == here)
                .or_else(|| pool.idle.iter().rposition(|idle| fits(&idle)));
            let Some(found) = found else { break };
            let connection = pool.idle.remove(found).connection;
            if connection.is_clean() {
                return Next::Use(Lease::Http1(Http1Lease::new(connection)));
            }
            closing.push(connection);
        }
        if pool.open < max {
            pool.open += 1;
            return Next::Open(Permit::new(self));
        }
        // An idle connection that doesn't fit makes room when it closes.
        if closing.is_empty() && !pool.idle.is_empty() {
            closing.push(pool.idle.remove(0).connection);
        }
        Next::Wait(pool.wait(want))
    }

    fn next_http2(self: &Arc<Self>, pool: &mut Pool, want: &Want) -> Next {
        let max = self.max_connections.load(Ordering::Relaxed) as usize;
        let here = WorkerId::current();
        if !want.fresh && pool.waiters.is_empty() {
            let usable = |(c, _): &&(Arc<Http2>, Instant)| c.core.name == want.name && c.room() > 0;
            let found = pool
                .shared
                .iter()
                .filter(usable)
                .find(|(c, _)| c.core.worker == here)
                .or_else(|| pool.shared.iter().find(usable));
            if let Some((connection, _)) = found {
                return Next::Use(Lease::Http2(Http2Lease::new(self, connection)));
            }
        }
        // A connection on its way will carry the next hundred requests too.
        let is_coming = pool.opening > 0 && pool.waiters.len() < 100 * pool.opening;
        if pool.open < max && (want.fresh || !is_coming) {
            pool.open += 1;
            return Next::Open(Permit::new(self));
        }
        if !is_coming
            && let Some((unused, _)) = pool
                .shared
                .iter()
                .find(|(c, _)| c.core.name != want.name && c.streams.load(Ordering::Acquire) == 0)
        {
            unused.is_leaving.store(true, Ordering::Release);
            unused.core.close();
        }
        Next::Wait(pool.wait(want))
    }

    async fn open(self: &Arc<Self>, want: &Want, permit: Permit) -> Result<Lease, OriginError> {
        let _opening = self.key.is_http2.then(|| Opening::new(self));
        let protocol = self.key.protocol();
        let target = (self.address(), self.key.class());
        let connected = connect::connect(&self.common.guard, target, want.tls.as_ref(), protocol).await;
        let stream = connected.inspect_err(|error| {
            if error.kind != OriginErrorKind::Forbidden {
                self.note_failed_connection();
            }
        })?;
        self.health().on_connected();
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (name, idle_timeout) = (want.name.clone(), self.common.idle_timeout);
        let failed = |error: hyper::Error| OriginError::new(OriginErrorKind::Reset, error).at(self.address());
        match protocol {
            OriginProtocol::Http1 => {
                let connection = Http1::start(stream, name, permit, idle_timeout)
                    .await
                    .map_err(failed)?;
                Ok(Lease::Http1(Http1Lease::new(connection)))
            }
            OriginProtocol::Http2 => {
                let connection = Http2::start(stream, name, permit, idle_timeout)
                    .await
                    .map_err(failed)?;
                let lease = Http2Lease::new(self, &connection);
                self.share(&connection);
                Ok(Lease::Http2(lease))
            }
        }
    }

    /// A new HTTP/2 connection serves everyone who waits for one.
    fn share(self: &Arc<Self>, connection: &Arc<Http2>) {
        let mut granted = Vec::new();
        {
            let mut pool = self.pool();
            if pool.is_retired {
                connection.is_leaving.store(true, Ordering::Release);
                return;
            }
            pool.shared.push((Arc::clone(connection), Instant::now()));
            while connection.room() > 0 {
                let fits = |w: &Waiter| w.name == connection.core.name && !w.grant.is_closed();
                let Some(waiter) = pool.waiters.iter().position(fits) else {
                    break;
                };
                let Some(waiter) = pool.waiters.remove(waiter) else {
                    break;
                };
                granted.push((waiter, Http2Lease::new(self, connection)));
            }
        }
        for (waiter, lease) in granted {
            // One that has given up gives the stream back by dropping it.
            let _ = waiter.grant.send(Grant::Http2(lease));
        }
    }

    /// A stream has ended: the next in the queue gets it.
    pub(super) fn stream_ended(self: &Arc<Self>, connection: &Arc<Http2>) {
        let (waiter, lease) = {
            let mut pool = self.pool();
            if let Some((_, since)) = pool.shared.iter_mut().find(|(c, _)| Arc::ptr_eq(c, connection)) {
                *since = Instant::now();
            }
            if pool.is_retired || connection.is_leaving.load(Ordering::Acquire) {
                drop(pool);
                if connection.streams.load(Ordering::Acquire) == 0 {
                    connection.core.close();
                }
                return;
            }
            let fits = |w: &Waiter| w.name == connection.core.name && !w.grant.is_closed();
            let Some(waiter) = pool
                .waiters
                .iter()
                .position(fits)
                .filter(|_| connection.room() > 0)
            else {
                return;
            };
            let Some(waiter) = pool.waiters.remove(waiter) else {
                return;
            };
            (waiter, Http2Lease::new(self, connection))
        };
        let _ = waiter.grant.send(Grant::Http2(lease));
    }

    /// Takes back an HTTP/1.1 connection that [is clean](Http1::is_clean).
    pub(super) fn put_idle(&self, mut connection: Http1) {
        loop {
            let waiter = {
                let mut pool = self.pool();
                match pool.waiters.pop_front() {
                    _ if pool.is_retired => break,
                    None => {
                        pool.idle.push(Idle {
                            connection,
                            since: Instant::now(),
                        });
                        return;
                    }
                    // It wants another name: this connection makes room for its own.
                    Some(waiter) if waiter.name != connection.core.name => {
                        pool.waiters.push_front(waiter);
                        break;
                    }
                    Some(waiter) => waiter,
                }
            };
            match waiter.grant.send(Grant::Http1(connection)) {
                Err(Grant::Http1(back)) => connection = back,
                _ => return,
            }
        }
        connection.core.close();
    }

    /// Its driver has ended.
    pub(super) fn forget(&self, core: &Arc<Core>) {
        let (idle, shared) = {
            let mut pool = self.pool();
            let idle = pool
                .idle
                .iter()
                .position(|i| Arc::ptr_eq(&i.connection.core, core));
            let shared = pool.shared.iter().position(|(c, _)| Arc::ptr_eq(&c.core, core));
            (
                idle.map(|at| pool.idle.remove(at)),
                shared.map(|at| pool.shared.remove(at)),
            )
        };
        // Dropped without the lock, which their permits take.
        drop((idle, shared));
    }

    /// `None` when the connection has been idle for `timeout` and is out of use now, else when to ask again.
    pub(super) fn expire(&self, core: &Arc<Core>, now: Instant, timeout: Duration) -> Option<Instant> {
        let expired = {
            let mut pool = self.pool();
            if let Some(at) = pool
                .idle
                .iter()
                .position(|i| Arc::ptr_eq(&i.connection.core, core))
            {
                let until = pool.idle.get(at)?.since + timeout;
                if now < until {
                    return Some(until);
                }
                Some(pool.idle.remove(at))
            } else if let Some(at) = pool.shared.iter().position(|(c, _)| Arc::ptr_eq(&c.core, core)) {
                let (connection, since) = pool.shared.get(at)?;
                if connection.streams.load(Ordering::Acquire) > 0 || now < *since + timeout {
                    return Some((*since + timeout).max(now + timeout / 4));
                }
                connection.is_leaving.store(true, Ordering::Release);
                pool.shared.remove(at);
                None
            } else {
                return Some(now + timeout);
            }
        };
        drop(expired);
        None
    }

    /// It isn't part of the configuration any more: idle connections close now, the others after their
    /// answer.
    pub(super) fn retire(&self) {
        let waiters = {
            let mut pool = self.pool();
            pool.is_retired = true;
            std::mem::take(&mut pool.waiters)
        };
        self.close_idle();
        // They ask again, and open connections of their own that nobody else gets.
        drop(waiters);
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Closes the connections that nobody uses; shared ones take no new requests.
    pub(super) fn close_idle(&self) {
        let (idle, shared) = {
            let mut pool = self.pool();
            (std::mem::take(&mut pool.idle), std::mem::take(&mut pool.shared))
        };
        for idle in idle {
            idle.connection.core.close();
        }
        for (connection, _) in shared {
            connection.is_leaving.store(true, Ordering::Release);
            if connection.streams.load(Ordering::Acquire) == 0 {
                connection.core.close();
            }
        }
    }

    fn note_failed_connection(&self) {
        if self.health().on_connection_failed(self.common.now_ms()) {
            let (address, origin) = (self.address(), &self.key.origin);
            tracing::warn!(%address, %origin, site = %self.key.site_uid, "origin endpoint left out for a while");
        }
    }
}

impl Pool {
    fn wait(&mut self, want: &Want) -> oneshot::Receiver<Grant> {
        let (grant, granted) = oneshot::channel();
        // Those that have given up needn't be looked at any more.
        self.waiters.retain(|waiter| !waiter.grant.is_closed());
        self.waiters.push_back(Waiter {
            name: want.name.clone(),
            grant,
        });
        granted
    }
}

/// An HTTP/2 connection being opened.
struct Opening<'a>(&'a Endpoint);

impl<'a> Opening<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        endpoint.pool().opening += 1;
        Self(endpoint)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut pool = self.0.pool();
        pool.opening = pool.opening.saturating_sub(1);
    }
}
