use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use breakwater_edge_proxy::{ConnFacts, Protocol, Reason};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deadline::Deadline;
use super::drain::begun;
use super::exchange;
use super::gather::gather;
use super::h1;
use super::handshake;
use super::meter::{Expired, Meter, Socket};
use super::sockets::Role;
use super::stalls::Stalls;
use super::worker::Local;
use crate::observe::ConnectionEnd;
use crate::options::Http1;
use crate::transport::Transport;

/// How long an idle HTTP/1.1 connection may still bring a request when draining has begun: one that is on
/// its way must not find the door shut.
pub(super) const IDLE_DRAIN: Duration = Duration::from_secs(1);

/// In this time [`Limits::h2_resets`](crate::Limits::h2_resets) are counted.
const RESETS_WITHIN: Duration = Duration::from_secs(10);

/// One visitor's connection, as its requests see it.
pub(crate) struct Connection {
    pub(crate) local: Rc<Local>,
    pub(crate) facts: ConnFacts,
    pub(crate) meter: Arc<Meter>,
    /// No further request is wanted on it.
    draining: Cell<bool>,
    /// It has to be closed now, without a word.
    shut: Cell<Option<Reason>>,
    shut_told: Notify,
    /// When streams were reset by the visitor, the last ones.
    resets: RefCell<VecDeque<Instant>>,
    /// Streams that are being sent to.
    pub(crate) stalls: Stalls,
}

impl Connection {
    pub(crate) fn is_h2(&self) -> bool {
        self.facts.protocol == Protocol::Http2
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Records a request that no phase has seen.
    fn refused(&self, reason: Reason, status: u16) {
        let local = &self.local;
        local
            .recorder
            .refused(&self.facts, (reason, status), (b"", b""), local.now());
    }

    /// A visitor gave up a request before its answer was complete. Whoever does nothing else makes origins work
    /// for nobody, and more of them than there may be streams at a time.
    pub(crate) fn note_reset(&self) {
        let most = self.local.common.limits.h2_resets;
        let now = Instant::now();
        let mut resets = self.resets.borrow_mut();
        resets.push_back(now);
        while resets.front().is_some_and(|at| now - *at >= RESETS_WITHIN) {
            resets.pop_front();
        }
        if resets.len() > most {
            self.shut(Reason::TooManyResets);
        }
    }

    /// Closes the whole connection as soon as the current call returns.
    pub(crate) fn shut(&self, reason: Reason) {
        self.shut.set(Some(reason));
        self.shut_told.notify_one();
    }
}

/// Serves a connection from its first byte to its last.
pub(crate) async fn serve(local: Rc<Local>, socket: TcpStream, peer: SocketAddr, role: Role) {
    let meter = Meter::new();
    let end = match prepare(&socket) {
        Ok(here) => {
            let socket = Socket::new(socket, Arc::clone(&meter), Arc::clone(&local.common.limits));
            speak(&local, socket, &meter, peer, here, role).await
        }
        // It is gone already.
        Err(_) => ConnectionEnd::Error,
    };
    local.recorder.counters().ended(end, meter.bytes());
}

fn prepare(socket: &TcpStream) -> io::Result<SocketAddr> {
    socket.set_nodelay(true)?;
    socket.local_addr()
}

async fn speak(
    local: &Rc<Local>,
    socket: Socket,
    meter: &Arc<Meter>,
    peer: SocketAddr,
    here: SocketAddr,
    role: Role,
) -> ConnectionEnd {
    let mut facts = ConnFacts {
        id: local.connection_id(),
        peer,
        local: here,
        protocol: Protocol::Http1,
        tls: None,
    };
    let transport = match role {
        Role::Http => Transport::Plain(socket),
        Role::Https => {
            // In memory of its own: what a handshake needs isn't kept for the connection's life.
            let Some(secured) = Box::pin(handshake::run(local, socket)).await else {
                return ConnectionEnd::Closed;
            };
            facts.tls = Some(secured.facts);
            if secured.h2 {
                facts.protocol = Protocol::Http2;
            }
            Transport::Tls(secured.stream)
        }
    };
    if facts.protocol == Protocol::Http1 && local.common.http1 == Http1::Own {
        return h1::serve(local, facts, meter, transport).await;
    }
    Box::pin(speak_by_library(local, facts, meter, transport)).await
}

/// Serves a connection by hyper.
async fn speak_by_library(
    local: &Rc<Local>,
    facts: ConnFacts,
    meter: &Arc<Meter>,
    transport: h1::Io,
) -> ConnectionEnd {
    // The handshake's bytes were no head.
    meter.restart();
    let connection = Rc::new(Connection {
        local: Rc::clone(local),
        facts,
        meter: Arc::clone(meter),
        draining: Cell::new(false),
        shut: Cell::new(None),
        shut_told: Notify::new(),
        resets: RefCell::default(),
        stalls: Stalls::default(),
    });
    let service = {
        let connection = Rc::clone(&connection);
        service_fn(move |request: http::Request<Incoming>| exchange::run(Rc::clone(&connection), request))
    };
    if connection.is_h2() {
        let (io, turns) = gather(transport);
        let served = local.http2.serve_connection(TokioIo::new(io), service);
        drive(pin!(served), &connection, |cx| turns.poll_end(cx)).await
    } else {
        let served = local.http1.serve_connection(TokioIo::new(transport), service);
        drive(pin!(served.with_upgrades()), &connection, |_| Poll::Ready(Ok(()))).await
    }
}

/// A connection of hyper's, of either protocol.
trait Served: Future<Output = hyper::Result<()>> {
    /// Answers what has begun and takes nothing new.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Served for hyper::server::conn::http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Served for hyper::server::conn::http2::Connection<I, S, super::worker::LocalExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection under its clock, until either side ends it. `end_turn` is called after each turn of hyper's.
async fn drive<C: Served>(
    mut served: Pin<&mut C>,
    connection: &Connection,
    end_turn: impl Fn(&mut Context<'_>) -> Poll<io::Result<()>>,
) -> ConnectionEnd {
    let local = &connection.local;
    let mut drain = local.common.drain.clone();
    let mut draining = pin!(begun(&mut drain));
    let mut shut = pin!(connection.shut_told.notified());
    let mut clock = Deadline::default();
    let mut last_call = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = served.as_mut().poll(cx) {
            return Poll::Ready(
                result.map_or_else(|error| told(&error, connection), |()| ConnectionEnd::Closed),
            );
        }
        if let Poll::Ready(Err(_)) = end_turn(cx) {
            return Poll::Ready(if connection.meter.has_stalled() {
                ConnectionEnd::Stalled
            } else {
                ConnectionEnd::Error
            });
        }
        if connection.shut.get().is_some() || shut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(ConnectionEnd::Shut);
        }
        if !connection.is_draining() && draining.as_mut().poll(cx).is_ready() {
            connection.draining.set(true);
            if connection.is_h2() || !connection.meter.is_idle() {
                served.as_mut().finish();
                cx.waker().wake_by_ref();
            } else {
                last_call = Some(Instant::now() + IDLE_DRAIN);
            }
        }
        let limits = &local.common.limits;
        let expiry = connection.meter.deadline(limits, connection.is_h2());
        let stalled = connection.stalls.first();
        let wanted = [expiry.map(|(deadline, _)| deadline), last_call, stalled]
            .into_iter()
            .flatten()
            .min();
        if clock.poll(cx, wanted).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        if let Some((deadline, why)) = expiry
            && deadline <= now
        {
            return Poll::Ready(expire(why, connection));
        }
        if stalled.is_some_and(|deadline| deadline <= now) {
            return Poll::Ready(ConnectionEnd::Stalled);
        }
        // The last call has passed.
        last_call = None;
        served.as_mut().finish();
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn expire(why: Expired, connection: &Connection) -> ConnectionEnd {
    match why {
        Expired::Head => {
            connection.refused(Reason::HeadTimeout, 0);
            ConnectionEnd::HeadTimeout
        }
        Expired::Idle if connection.is_draining() => ConnectionEnd::Drained,
        Expired::Idle => ConnectionEnd::Idle,
    }
}

/// What an error of hyper's says about the connection's end. Heads that hyper itself refuses are counted
/// here; no phase sees them.
fn told(error: &hyper::Error, connection: &Connection) -> ConnectionEnd {
    if connection.meter.has_stalled() {
        return ConnectionEnd::Stalled;
    }
    if error.is_parse_too_large() {
        connection.refused(Reason::HeadTooLarge, 431);
    } else if error.is_parse() {
        connection.refused(Reason::MalformedMessage, 400);
    }
    if error.is_user() {
        ConnectionEnd::Shut
    } else {
        ConnectionEnd::Error
    }
}
