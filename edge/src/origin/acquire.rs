//! A connection for one request: one that is there, a new one, or the first that becomes free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater_edge_config::OriginProtocol;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{self, TlsParams};
use super::connection::{Http1, Http2, WorkerId};
use super::endpoint::Endpoint;
use super::error::{OriginError, OriginErrorKind};
use super::lease::{Http1Lease, Http2Lease, Lease};
use super::pool::{Grant, Idle, Permit, Pool};

/// What a request wants of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) tls: Option<TlsParams>,
    pub(super) name: Option<Arc<str>>,
    /// A new connection, no used one.
    pub(super) fresh: bool,
}

/// How a request comes by a connection.
enum Next {
    Use(Lease),
    Open(Permit),
    Wait(oneshot::Receiver<Grant>),
}

impl Endpoint {
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
        let max = self.max_connections();
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
        let max = self.max_connections();
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
