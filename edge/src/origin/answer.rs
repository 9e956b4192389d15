use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::counters::Counters;
use super::endpoint::Endpoint;
use super::error::{OriginError, OriginErrorKind};
use super::fault;
use super::lease::Lease;
use super::outgoing::Outgoing;
use super::pool::Permit;

/// Most bytes of the trailers of an answer.
const MAX_TRAILER_BYTES: usize = 8 << 10;

/// An answer.
#[derive(Debug)]
pub struct OriginResponse {
    /// Status and fields as they came.
    pub head: http::response::Parts,
    /// Its body; empty after a 101.
    pub body: OriginBody,
    /// After a 101 that answers our own `Upgrade`: the connection's raw bytes.
    pub upgraded: Option<OriginStream>,
    /// Who answered.
    pub endpoint: SocketAddr,
    /// The connection had served before.
    pub reused_connection: bool,
    /// How many times the request was sent, this one included; a stale connection isn't counted.
    pub attempts: u32,
}

/// Counts a request among those without a complete answer.
#[derive(Debug)]
pub(super) struct InFlight(pub(super) Arc<Endpoint>);

impl InFlight {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, as it comes: data, then trailers. Each wait for the next piece is bounded; the
/// time that the reader takes isn't counted. Dropped before its end, it closes the connection (HTTP/1.1) or
/// resets the stream (HTTP/2).
#[derive(Debug)]
pub struct OriginBody {
    incoming: Incoming,
    between: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    bytes: u64,
    request: Arc<Outgoing>,
    /// The connection may serve again after the end.
    is_sound: bool,
    lease: Option<Lease>,
    in_flight: InFlight,
    counters: Arc<Counters>,
    is_over: bool,
}

impl OriginBody {
    pub(super) fn new(
        incoming: Incoming,
        between: Duration,
        request: Arc<Outgoing>,
        lease: Option<Lease>,
        in_flight: InFlight,
        counters: Arc<Counters>,
    ) -> Self {
        // A final answer before our body was sent: what is still to be sent and what comes next don't
        // belong together.
        let is_sound = lease.as_ref().is_none_or(Lease::is_http2) || request.is_sent();
        let mut body = Self {
            incoming,
            between,
            waiting: None,
            bytes: 0,
            request,
            is_sound,
            lease,
            in_flight,
            counters,
            is_over: false,
        };
        body.end_if_complete();
        body
    }

    /// Bytes of the body that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn end_if_complete(&mut self) {
        if self.incoming.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.waiting = None;
        if self.is_sound
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
        self.lease = None;
    }

    fn fail(&mut self, mut error: OriginError) -> OriginError {
        self.is_over = true;
        self.lease = None;
        error.bytes_seen = self.bytes;
        error.request_sent = true;
        self.counters.note_error(error.kind);
        error.at(self.in_flight.0.address())
    }

    fn accept(&mut self, frame: &Frame<Bytes>) -> Result<(), OriginError> {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len() as u64;
        }
        let trailers = frame.trailers_ref().into_iter().flatten();
        let trailer_bytes: usize = trailers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if trailer_bytes > MAX_TRAILER_BYTES {
            return Err(OriginError::new(OriginErrorKind::Protocol, "trailers over 8 KiB"));
        }
        Ok(())
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<OriginError> {
        let between = self.between;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + between)));
        ready!(waiting.as_mut().poll(cx));
        let detail = format!("no further byte within {} ms", between.as_millis());
        Poll::Ready(OriginError::new(OriginErrorKind::BetweenBytesTimeout, detail))
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let Poll::Ready(polled) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            let error = ready!(this.poll_waiting(cx));
            return Poll::Ready(Some(Err(this.fail(error))));
        };
        this.waiting = None;
        Poll::Ready(match polled {
            None => {
                this.end();
                None
            }
            Some(Err(error)) => {
                let client_failed = this.request.has_failed();
                Some(Err(this.fail(fault::of_exchange(&error, client_failed))))
            }
            Some(Ok(frame)) => {
                if let Err(error) = this.accept(&frame) {
                    Some(Err(this.fail(error)))
                } else {
                    this.end_if_complete();
                    Some(Ok(frame))
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_over {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        }
    }
}

/// The raw bytes of a connection after a 101. Counts among the endpoint's connections until it is dropped.
#[derive(Debug)]
pub struct OriginStream {
    io: TokioIo<Upgraded>,
    _permit: Option<Arc<Permit>>,
    _in_flight: InFlight,
}

impl OriginStream {
    pub(super) fn new(io: Upgraded, permit: Option<Arc<Permit>>, in_flight: InFlight) -> Self {
        Self {
            io: TokioIo::new(io),
            _permit: permit,
            _in_flight: in_flight,
        }
    }
}

impl AsyncRead for OriginStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for OriginStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
