//! Our own server of HTTP/1.1: the adaptor between `breakwater-edge-h1`, which reads and writes bytes, and the
//! phases.
//!
//! One future a connection. What can be answered at once is, without a task, a channel or an allocation, several
//! requests of one read in one write; what has to wait is a future of its own, made for that request. A
//! connection without a request holds no buffer.

mod buffers;
mod pipe;
mod request;
mod rest;
mod side;
mod stream;
mod turn;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use breakwater_edge_cache::StoredBody;
use breakwater_edge_h1::{Decoded, HeadLimits};
use breakwater_edge_proxy::{ConnFacts, End, Reason};
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

pub(crate) use buffers::Desk;

use self::rest::Rest;
use self::turn::Turn;
use super::bell;
use super::connection::IDLE_DRAIN;
use super::deadline::Deadline;
use super::meter::{Meter, Socket};
use super::worker::Local;
use crate::observe::ConnectionEnd;
use crate::transport::Transport;

/// A visitor's connection, plain or secured.
pub(crate) type Io = Transport<Socket, TlsStream<Socket>>;

/// Most bytes of a stored body that are written at a time.
const PART_BYTES: usize = 256 << 10;

/// Most bytes of a body or of trailers that have to be at hand at a time, whatever heads are limited to.
const BODY_BYTES: usize = 32 << 10;

/// What the requests of a connection know of it.
pub(super) struct Place {
    pub(super) local: Rc<Local>,
    pub(super) facts: ConnFacts,
    pub(super) meter: Arc<Meter>,
}

/// A connection.
struct Connection {
    place: Rc<Place>,
    io: Io,
    /// There while it has a request.
    desk: Option<Box<Desk>>,
    /// A request that was read and has not been recorded.
    open: Option<Open>,
    clock: Deadline,
    bell: bell::Place,
    /// When the last request ended.
    idle_since: Instant,
    /// When the first byte came of a head that isn't complete.
    head_since: Option<Instant>,
}

/// A request whose head lies at the start of what is pending.
#[derive(Debug)]
struct Open {
    head_bytes: usize,
    end: End,
    rest: Rest,
    /// The connection goes on after the answer.
    persists: bool,
}

/// Why a connection leaves its loop.
struct Leave {
    end: ConnectionEnd,
    /// What was written is sent, and the end is told.
    orderly: bool,
    /// The visitor may still be sending.
    unread: bool,
}

impl Leave {
    fn orderly(end: ConnectionEnd) -> Self {
        Self {
            end,
            orderly: true,
            unread: false,
        }
    }

    fn unread(end: ConnectionEnd) -> Self {
        Self {
            end,
            orderly: true,
            unread: true,
        }
    }

    fn at_once(end: ConnectionEnd) -> Self {
        Self {
            end,
            orderly: false,
            unread: false,
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(local: &Rc<Local>, facts: ConnFacts, meter: &Arc<Meter>, io: Io) -> ConnectionEnd {
    meter.hold();
    let mut connection = Connection {
        bell: bell::Place::new(&local.bell),
        place: Rc::new(Place {
            local: Rc::clone(local),
            facts,
            meter: Arc::clone(meter),
        }),
        io,
        desk: None,
        open: None,
        clock: Deadline::default(),
        idle_since: Instant::now(),
        head_since: None,
    };
    let leave = connection.run().await;
    connection.leave(leave).await
}

impl Connection {
    async fn run(&mut self) -> Leave {
        loop {
            if let Err(leave) = self.first_bytes().await {
                return leave;
            }
            if let Err(leave) = self.requests().await {
                return leave;
            }
            self.rise();
            self.idle_since = Instant::now();
        }
    }

    /// Gives the buffers back.
    fn rise(&mut self) {
        if let Some(desk) = self.desk.take() {
            self.place.local.give_back_desk(desk);
        }
    }

    /// Waits for the first bytes of a request without holding a buffer.
    async fn first_bytes(&mut self) -> Result<(), Leave> {
        let Self {
            place,
            io,
            desk,
            clock,
            bell,
            idle_since,
            ..
        } = self;
        let local = &place.local;
        poll_fn(|cx| {
            let mut empty = local.desk();
            match empty.input.poll_fill(io, cx, BODY_BYTES) {
                Poll::Ready(read) => {
                    // Given back where nothing was read.
                    *desk = Some(empty);
                    Poll::Ready(match read {
                        Ok(1..) => Ok(()),
                        Ok(0) => Err(Leave::orderly(ConnectionEnd::Closed)),
                        Err(_) => Err(Leave::at_once(ConnectionEnd::Error)),
                    })
                }
                Poll::Pending => {
                    local.put_desk_back(empty);
                    let idle = *idle_since + local.common.limits.idle_h1;
                    let rung = bell.listen(cx);
                    // A request that is on its way must not find the door shut.
                    let last_call = rung.map(|rung| rung.max(*idle_since) + IDLE_DRAIN);
                    let wanted = last_call.map_or(idle, |last| last.min(idle));
                    clock.poll(cx, Some(wanted)).map(|()| {
                        Err(Leave::orderly(match rung {
                            Some(_) => ConnectionEnd::Drained,
                            None => ConnectionEnd::Idle,
                        }))
                    })
                }
            }
        })
        .await
    }

    /// Answers requests until no byte is left.
    async fn requests(&mut self) -> Result<(), Leave> {
        loop {
            match self.turn() {
                Turn::More { begun } => {
                    self.flush().await?;
                    if !begun {
                        self.head_since = None;
                        return Ok(());
                    }
                    self.more().await?;
                }
                Turn::Full => self.flush().await?,
                Turn::Stored(body) => {
                    self.head_since = None;
                    self.send_stored(body).await?;
                    self.close_request();
                    self.go_on().await?;
                }
                Turn::Rest => {
                    self.head_since = None;
                    self.go_on().await?;
                }
                Turn::Wait(step) => {
                    self.head_since = None;
                    self.open = Some(Box::pin(request::run(self, step)).await?);
                    self.go_on().await?;
                }
                Turn::Leave(leave) => return Err(leave),
            }
        }
    }

    /// Reads more of a head.
    async fn more(&mut self) -> Result<(), Leave> {
        let Self {
            place,
            io,
            desk,
            clock,
            head_since,
            ..
        } = self;
        let limits = &place.local.common.limits;
        let until = *head_since.get_or_insert_with(Instant::now) + limits.head;
        let most = limits.head_bytes.max(BODY_BYTES);
        let input = &mut desk.get_or_insert_with(Box::default).input;
        let read = poll_fn(|cx| match input.poll_fill(io, cx, most) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => clock.poll(cx, Some(until)).map(|()| None),
        });
        match read.await {
            Some(Ok(1..)) => Ok(()),
            Some(_) => Err(Leave::at_once(ConnectionEnd::Error)),
            None => {
                self.place.refused(Reason::HeadTimeout, 0, input.pending());
                Err(Leave::orderly(ConnectionEnd::HeadTimeout))
            }
        }
    }

    /// Writes what there is.
    async fn flush(&mut self) -> Result<(), Leave> {
        let Self { io, desk, place, .. } = self;
        let Some(desk) = desk else { return Ok(()) };
        let flushed = poll_fn(|cx| desk.out.poll_flush(io, cx)).await;
        flushed.map_err(|_| place.broken())
    }

    /// Writes the head that lies ready and then the body, straight from the cache's memory.
    async fn send_stored(&mut self, mut body: StoredBody) -> Result<(), Leave> {
        let Self {
            io,
            desk,
            place,
            open,
            ..
        } = self;
        let (Some(desk), Some(open)) = (desk, open) else {
            return Ok(());
        };
        let sent = poll_fn(|cx| {
            while body.remaining() > 0 {
                let part = body.peek(PART_BYTES);
                let written = ready!(poll_write_slices(io, cx, [desk.out.pending(), part]))?;
                let of_head = written.min(desk.out.len());
                desk.out.advance(of_head);
                body.advance(written - of_head);
                open.end.body_bytes += (written - of_head) as u64;
            }
            desk.out.poll_flush(io, cx)
        });
        sent.await.map_err(|_| place.broken())
    }

    /// The open request has its answer: it is recorded.
    fn close_request(&mut self) {
        if let (Some(desk), Some(open)) = (&mut self.desk, &self.open) {
            self.place.record(desk, open);
        }
    }

    /// Deals with the rest of the request that was answered and recorded last.
    async fn go_on(&mut self) -> Result<(), Leave> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let Some(desk) = &mut self.desk else { return Ok(()) };
        desk.parser.reset();
        match open.rest {
            Rest::Here(bytes) => {
                desk.input.consume(open.head_bytes + bytes);
                if open.persists {
                    return Ok(());
                }
                let unread = !desk.input.is_empty();
                self.flush().await?;
                Err(Leave {
                    unread,
                    ..Leave::orderly(ConnectionEnd::Closed)
                })
            }
            Rest::Left => Err(Leave::unread(ConnectionEnd::Closed)),
            Rest::Away => {
                desk.input.consume(open.head_bytes);
                self.flush().await?;
                self.read_away().await?;
                if open.persists {
                    Ok(())
                } else {
                    Err(Leave::orderly(ConnectionEnd::Closed))
                }
            }
        }
    }

    /// Reads the rest of a body and drops it, within the limits.
    async fn read_away(&mut self) -> Result<(), Leave> {
        let Self { io, desk, place, .. } = self;
        let Some(desk) = desk else { return Ok(()) };
        let limits = &place.local.common.limits;
        let mut left = limits.unread_body_bytes;
        let reading = poll_fn(|cx| {
            loop {
                match desk.body.decode(desk.input.pending()) {
                    Ok(Decoded::Data { from, to }) => {
                        desk.input.consume(to);
                        match left.checked_sub((to - from) as u64) {
                            Some(less) => left = less,
                            None => return Poll::Ready(false),
                        }
                    }
                    Ok(Decoded::End { to, .. }) => {
                        desk.input.consume(to);
                        return Poll::Ready(true);
                    }
                    Ok(Decoded::More { used }) => {
                        desk.input.consume(used);
                        match ready!(desk.input.poll_fill(io, cx, BODY_BYTES)) {
                            Ok(1..) => {}
                            Ok(0) | Err(_) => return Poll::Ready(false),
                        }
                    }
                    Err(_) => return Poll::Ready(false),
                }
            }
        });
        match tokio::time::timeout(limits.rate_grace, reading).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Leave::unread(ConnectionEnd::Closed)),
        }
    }

    /// Ends the connection.
    async fn leave(&mut self, leave: Leave) -> ConnectionEnd {
        if leave.orderly && self.flush().await.is_ok() {
            self.rise();
            if leave.unread {
                self.place.meter.set_unread();
            }
            // It may be gone already.
            let _ = poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
        }
        if self.place.meter.has_stalled() {
            return ConnectionEnd::Stalled;
        }
        leave.end
    }

    fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            head_bytes: self.place.local.common.limits.head_bytes,
            ..HeadLimits::default()
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(desk), Some(open)) = (&mut self.desk, &mut self.open) {
            open.end.aborted = Some(Reason::ClientGone);
            self.place.record(desk, open);
        }
        self.rise();
    }
}

impl Place {
    /// A write has failed.
    fn broken(&self) -> Leave {
        Leave::at_once(if self.meter.has_stalled() {
            ConnectionEnd::Stalled
        } else {
            ConnectionEnd::Error
        })
    }

    /// Records a request that no phase has seen; `bytes` are what came of it.
    fn refused(&self, reason: Reason, status: u16, bytes: &[u8]) {
        let local = &self.local;
        let mut words = bytes
            .strip_prefix(b"\r\n")
            .unwrap_or(bytes)
            .split(|b| matches!(b, b' ' | b'\r' | b'\n'));
        let line = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        local
            .recorder
            .refused(&self.facts, (reason, status), line, local.now());
    }

    fn record(&self, desk: &Desk, open: &Open) {
        let local = &self.local;
        let head = desk.input.pending().get(..open.head_bytes).unwrap_or_default();
        let head = desk.parser.head(head);
        let record = local
            .phases
            .record(&self.facts, &head, &open.end, local.now(), &desk.scratch);
        local.recorder.record(&record, self.facts.id);
    }
}

/// Writes of several stretches at once; there is at least a byte.
fn poll_write_slices<const N: usize>(
    io: &mut Io,
    cx: &mut Context<'_>,
    slices: [&[u8]; N],
) -> Poll<io::Result<usize>> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let written = match (filled.next(), filled.next()) {
        (Some(only), None) => ready!(Pin::new(io).poll_write(cx, only))?,
        _ => ready!(Pin::new(io).poll_write_vectored(cx, &slices.map(io::IoSlice::new)))?,
    };
    Poll::Ready(if written == 0 {
        Err(io::ErrorKind::WriteZero.into())
    } else {
        Ok(written)
    })
}

impl Io {
    /// What it was sent broke off, and only a reset says so.
    fn reset_when_closed(&self) {
        match self {
            Self::Plain(socket) => socket.reset_when_closed(),
            Self::Tls(stream) => stream.get_ref().0.reset_when_closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, F: Future>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// It is kept for each idle connection; what a request needs beyond it is made for the request.
    #[test]
    fn a_connection_without_a_request_is_small() {
        let bytes = size(serve);
        assert!(bytes <= 1024, "{bytes} bytes");
    }
}
