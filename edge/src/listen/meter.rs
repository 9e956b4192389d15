use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::options::Limits;

/// What is going on on one connection, for the limits on time. Written by its socket, its requests and its
/// driver, all on one thread; atomic only because hyper wants sockets that could be sent.
#[derive(Debug)]
pub(crate) struct Meter {
    start: Instant,
    /// Requests (streams) without a complete answer.
    busy: AtomicU32,
    /// Of these, those that may be long-lived and silent.
    streaming: AtomicU32,
    /// Milliseconds since `start`, plus one, of the first byte of a head; 0: none begun.
    head_since: AtomicU64,
    /// Milliseconds since `start` when the last request ended.
    idle_since: AtomicU64,
    /// A write has failed for being too slow.
    stalled: AtomicBool,
    /// There is something on its way that nobody is going to read.
    unread: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Meter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            busy: AtomicU32::new(0),
            streaming: AtomicU32::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        })
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A head is complete. The guard's end is the request's.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.busy.store(self.busy.load(Relaxed) + 1, Relaxed);
        self.head_since.store(0, Relaxed);
        InFlight {
            meter: Arc::clone(self),
            streaming: false,
        }
    }

    /// Everything so far was no request; the clock starts anew.
    pub(crate) fn restart(&self) {
        self.head_since.store(0, Relaxed);
        self.idle_since.store(self.millis(), Relaxed);
    }

    /// From now on its connection keeps the clock of heads and of idleness itself.
    pub(crate) fn hold(&self) {
        self.busy.store(self.busy.load(Relaxed) + 1, Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.busy.load(Relaxed) == 0
    }

    /// The visitor may still be sending: read on for a moment when the connection closes.
    pub(crate) fn set_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// Bytes read and written, on the wire.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Relaxed), self.bytes_out.load(Relaxed))
    }

    /// When the connection has to go unless something happens, and why; `None` while a request is on.
    pub(crate) fn deadline(&self, limits: &Limits, h2: bool) -> Option<(Instant, Expired)> {
        if !self.is_idle() {
            return None;
        }
        let idle = if h2 { limits.idle_h2 } else { limits.idle_h1 };
        let idle = self.start + Duration::from_millis(self.idle_since.load(Relaxed)) + idle;
        Some(match self.head_since.load(Relaxed) {
            // An HTTP/2 connection reads other frames too: only silence without streams counts.
            0 => (idle, Expired::Idle),
            _ if h2 => (idle, Expired::Idle),
            since => (
                self.start + Duration::from_millis(since - 1) + limits.head,
                Expired::Head,
            ),
        })
    }

    fn on_read(&self, bytes: usize) {
        add(&self.bytes_in, bytes as u64);
        if self.is_idle() && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.millis() + 1, Relaxed);
        }
    }
}

/// Adds to a counter that only this thread writes: no locked instruction.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// Why a connection was closed by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A head began and didn't end.
    Head,
    /// Nothing was asked for.
    Idle,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    meter: Arc<Meter>,
    streaming: bool,
}

impl InFlight {
    /// Silence is normal.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// From now on silence is normal.
    pub(crate) fn set_streaming(&mut self) {
        if !std::mem::replace(&mut self.streaming, true) {
            self.meter.streaming.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.streaming {
            self.meter.streaming.fetch_sub(1, Relaxed);
        }
        if self.meter.busy.fetch_sub(1, Relaxed) == 1 {
            self.meter.idle_since.store(self.meter.millis(), Relaxed);
        }
    }
}

/// A leaky bucket of patience: waiting costs time, bytes give it back, at the least rate that is allowed.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            left: limits.rate_grace,
            waiting_since: None,
            sleep: None,
        }
    }

    /// `bytes` have come or gone.
    pub(crate) fn progress(&mut self, bytes: usize, limits: &Limits) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        if self.left < limits.rate_grace {
            let earned = (bytes as u64).saturating_mul(1_000_000) / limits.min_rate_bytes.max(1);
            self.left = (self.left + Duration::from_micros(earned)).min(limits.rate_grace);
        }
    }

    /// Nothing comes or goes; ready when that has been so for too long.
    pub(crate) fn poll_exhausted(&mut self, cx: &mut Context<'_>, idle: Option<Duration>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + idle.unwrap_or(self.left);
        let sleep = match &mut self.sleep {
            Some(sleep) => sleep,
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// A visitor's socket that counts bytes and fails when it takes ours too slowly.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: TcpStream,
    meter: Arc<Meter>,
    limits: Arc<Limits>,
    patience: Patience,
    lingering: Option<Lingering>,
}

/// A closed socket with unread bytes resets its peer, which may lose the answer before it has read it. So
/// the last bytes are read away for a moment after ours were sent (RFC 9112 §9.6).
#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    left_bytes: usize,
}

const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

impl Socket {
    pub(crate) fn new(inner: TcpStream, meter: Arc<Meter>, limits: Arc<Limits>) -> Self {
        let patience = Patience::new(&limits);
        Self {
            inner,
            meter,
            limits,
            patience,
            lingering: None,
        }
    }

    /// Its end is to be no clean one: what it was sent broke off, and there is no other way of saying so.
    pub(crate) fn reset_when_closed(&self) {
        // Where that fails it has ended already.
        let _ = socket2::SockRef::from(&self.inner).set_linger(Some(Duration::ZERO));
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { inner, lingering, .. } = self;
        let lingering = lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(tokio::time::sleep(LINGER)),
            left_bytes: LINGER_BYTES,
        });
        if lingering.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut bytes = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match std::task::ready!(Pin::new(&mut *inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() && lingering.left_bytes > 0 => {
                    lingering.left_bytes = lingering.left_bytes.saturating_sub(buf.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    fn written(&mut self, result: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                add(&self.meter.bytes_out, bytes as u64);
                self.patience.progress(bytes, &self.limits);
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => {
                let streaming = self.meter.streaming.load(Relaxed) > 0;
                let idle = streaming.then_some(self.limits.idle_stream);
                std::task::ready!(self.patience.poll_exhausted(cx, idle));
                self.meter.stalled.store(true, Relaxed);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            error @ Poll::Ready(Err(_)) => error,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.meter.on_read(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        if self.meter.unread.load(Relaxed) {
            return self.poll_linger(cx).map(Ok);
        }
        Poll::Ready(Ok(()))
    }
}
