use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connect::Stream;
use super::outgoing::AttemptBody;
use super::pool::Permit;
use super::wire::{MAX_FIELDS, Tap, Wire};

/// Most bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// Most requests at a time on one HTTP/2 connection, whatever the origin allows.
const MAX_STREAMS: usize = 100;

/// How much an origin may send ahead, for one answer and for all of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// HTTP/2: how long a connection with open streams may be silent until it is asked, and may take to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The thread that a connection is driven by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId(u32);

impl WorkerId {
    pub(super) fn current() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        thread_local! {
            static ID: WorkerId = WorkerId(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        ID.with(|id| *id)
    }
}

/// What all handles of a connection, and its driver, know of it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) worker: WorkerId,
    /// Name asked for in TLS; connections for another name are others.
    pub(super) name: Option<Arc<str>>,
    pub(super) wire: Arc<Wire>,
    /// Requests that were sent on it.
    pub(super) served: AtomicU64,
    driver: OnceLock<AbortHandle>,
}

impl Core {
    fn new(name: Option<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            worker: WorkerId::current(),
            name,
            wire: Arc::default(),
            served: AtomicU64::new(0),
            driver: OnceLock::new(),
        })
    }

    /// Closes the connection at once.
    pub(super) fn close(&self) {
        if let Some(driver) = self.driver.get() {
            driver.abort();
        }
    }
}

/// An HTTP/1.1 connection, free to be asked.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<AttemptBody>,
    pub(super) core: Arc<Core>,
    pub(super) permit: Arc<Permit>,
}

impl Http1 {
    /// Starts to speak on a new connection, which this worker drives from now on.
    pub(super) async fn start(
        stream: Stream,
        name: Option<Arc<str>>,
        permit: Permit,
        idle_timeout: Duration,
    ) -> hyper::Result<Self> {
        let core = Core::new(name);
        let io = TokioIo::new(Tap::http1(stream, Arc::clone(&core.wire)));
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(2 * MAX_HEAD_BYTES)
            .handshake(io)
            .await?;
        let permit = Arc::new(permit);
        let driving = {
            let seat = Seat {
                core: Arc::clone(&core),
                permit: Arc::clone(&permit),
            };
            async move {
                tokio::select! {
                    // How it ended is told to whoever has a request on it.
                    _ = connection.with_upgrades() => {}
                    () = seat.expire(idle_timeout) => {}
                }
            }
        };
        let _ = core.driver.set(tokio::spawn(driving).abort_handle());
        Ok(Self { sender, core, permit })
    }

    /// Nothing followed the last answer, and the next request can be sent.
    pub(super) fn is_clean(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed() && self.core.wire.is_quiet()
    }

    /// Resolves when it [is clean](Http1::is_clean); false when it won't be.
    pub(super) async fn settle(&mut self) -> bool {
        self.sender.ready().await.is_ok() && {
            self.core.wire.quiet().await;
            self.is_clean()
        }
    }
}

/// An HTTP/2 connection, shared by many requests.
#[derive(Debug)]
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<AttemptBody>,
    pub(super) core: Arc<Core>,
    pub(super) streams: AtomicUsize,
    max_streams: Arc<AtomicUsize>,
    /// Takes no new requests.
    pub(super) is_leaving: AtomicBool,
}

impl Http2 {
    /// Starts to speak on a new connection, which this worker drives from now on.
    pub(super) async fn start(
        stream: Stream,
        name: Option<Arc<str>>,
        permit: Permit,
        idle_timeout: Duration,
    ) -> hyper::Result<Arc<Self>> {
        let core = Core::new(name);
        let io = TokioIo::new(Tap::http2(stream, Arc::clone(&core.wire)));
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(64 << 10)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .max_concurrent_reset_streams(16)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(io)
            .await?;
        let max_streams = Arc::new(AtomicUsize::new(MAX_STREAMS));
        let driving = {
            let seat = Seat {
                core: Arc::clone(&core),
                permit: Arc::new(permit),
            };
            let max_streams = Arc::clone(&max_streams);
            async move {
                let connection = poll_fn(|cx| {
                    let polled = std::pin::Pin::new(&mut connection).poll(cx);
                    if polled.is_pending() {
                        let allowed = connection.current_max_send_streams().min(MAX_STREAMS);
                        max_streams.store(allowed, Ordering::Relaxed);
                    }
                    match polled {
                        Poll::Ready(_) => Poll::Ready(()),
                        Poll::Pending => Poll::Pending,
                    }
                });
                tokio::select! {
                    () = connection => {}
                    () = seat.expire(idle_timeout) => {}
                }
            }
        };
        let _ = core.driver.set(tokio::spawn(driving).abort_handle());
        Ok(Arc::new(Self {
            sender,
            core,
            streams: AtomicUsize::new(0),
            max_streams,
            is_leaving: AtomicBool::new(false),
        }))
    }

    /// Streams that may be opened besides those that are.
    pub(super) fn room(&self) -> usize {
        if self.is_leaving.load(Ordering::Acquire) || self.sender.is_closed() {
            return 0;
        }
        // One at least: an origin that allows none has it queued, and the timeouts decide.
        let max = self.max_streams.load(Ordering::Relaxed).max(1);
        max.saturating_sub(self.streams.load(Ordering::Acquire))
    }
}

/// A driver's place in the pool, which it leaves however it ends.
struct Seat {
    core: Arc<Core>,
    permit: Arc<Permit>,
}

impl Seat {
    /// Resolves when the connection has been idle for too long and was taken out of use.
    async fn expire(&self, idle_timeout: Duration) {
        let mut at = Instant::now() + idle_timeout;
        loop {
            tokio::time::sleep_until(at).await;
            match self
                .permit
                .endpoint()
                .expire(&self.core, Instant::now(), idle_timeout)
            {
                None => return,
                Some(next) => at = next,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.permit.endpoint().forget(&self.core);
    }
}
