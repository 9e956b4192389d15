//! The connections of an endpoint between two requests: who gets one, and when it closes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::acquire::Want;
use super::connection::{Core, Http1, Http2};
use super::endpoint::Endpoint;
use super::lease::Http2Lease;

/// The connections of an endpoint, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Connections open, being opened, or promised to a waiter.
    pub(super) open: usize,
    /// HTTP/2 connections being opened.
    pub(super) opening: usize,
    pub(super) idle: Vec<Idle>,
    pub(super) shared: Vec<(Arc<Http2>, Instant)>,
    pub(super) waiters: VecDeque<Waiter>,
    is_retired: bool,
}

/// A connection that nobody uses.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Http1,
    since: Instant,
}

/// A request that waits for a connection.
#[derive(Debug)]
pub(super) struct Waiter {
    name: Option<Arc<str>>,
    grant: oneshot::Sender<Grant>,
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Grant {
    Http1(Http1),
    Http2(Http2Lease),
    /// It may open a connection itself.
    Open(Permit),
}

/// The right to one connection. When it is dropped, the next in the queue gets it.
#[derive(Debug)]
pub(super) struct Permit {
    endpoint: Arc<Endpoint>,
    is_spent: bool,
}

impl Permit {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Self {
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

impl Pool {
    /// Queues up.
    pub(super) fn wait(&mut self, want: &Want) -> oneshot::Receiver<Grant> {
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

impl Endpoint {
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

    /// A new HTTP/2 connection serves everyone who waits for one.
    pub(super) fn share(self: &Arc<Self>, connection: &Arc<Http2>) {
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
}
