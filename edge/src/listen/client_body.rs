use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::meter::Patience;
use crate::options::Limits;

/// What of a body is kept so that it can be sent to another endpoint.
const REPLAY_BYTES: usize = 64 << 10;

/// A visitor's body on its way to an origin: at the least rate that is allowed, and again from its start
/// while it is small enough to be kept.
///
/// The exchange keeps one handle, each attempt at the origin gets another; only the newest reads.
#[derive(Debug)]
pub(crate) struct ClientBody {
    source: Arc<Mutex<Source>>,
    attempt: u32,
    at: usize,
}

/// Why a visitor's body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The visitor went away, or its framing is wrong.
    Gone,
    /// Slower than allowed.
    TooSlow,
}

#[derive(Debug)]
struct Source {
    incoming: Option<Incoming>,
    length: Option<u64>,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// More came than is kept.
    overflown: bool,
    trailers: Option<HeaderMap>,
    read_bytes: u64,
    attempt: u32,
    patience: Patience,
    limits: Arc<Limits>,
    streaming: bool,
    broken: Option<Broken>,
}

impl ClientBody {
    pub(crate) fn new(incoming: Incoming, limits: &Arc<Limits>) -> Self {
        let source = Source {
            length: incoming.size_hint().exact(),
            incoming: (!incoming.is_end_stream()).then_some(incoming),
            kept: Vec::new(),
            kept_bytes: 0,
            overflown: false,
            trailers: None,
            read_bytes: 0,
            attempt: 0,
            patience: Patience::new(limits),
            limits: Arc::clone(limits),
            streaming: false,
            broken: None,
        };
        Self {
            source: Arc::new(Mutex::new(source)),
            attempt: 0,
            at: 0,
        }
    }

    /// The body from its start, for one more attempt; every other handle is void from now on.
    pub(crate) fn attempt(&self) -> Self {
        let mut source = self.lock();
        source.attempt += 1;
        Self {
            source: Arc::clone(&self.source),
            attempt: source.attempt,
            at: 0,
        }
    }

    /// Silence is normal from now on.
    pub(crate) fn set_streaming(&self) {
        self.lock().streaming = true;
    }

    /// True when the start of the body is lost for another attempt.
    pub(crate) fn is_consumed(&self) -> bool {
        self.lock().overflown
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.lock().broken
    }

    /// Bytes of it that were read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    /// Takes what is unread away from all handles.
    pub(crate) fn take_rest(&self) -> Option<Incoming> {
        let mut source = self.lock();
        source.attempt = u32::MAX;
        source.incoming.take()
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                let idle = self.streaming.then_some(self.limits.idle_stream);
                ready!(self.patience.poll_exhausted(cx, idle));
                return Poll::Ready(Some(Err(self.fail(Broken::TooSlow))));
            }
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(self.fail(Broken::Gone)))),
            Poll::Ready(None) => {
                self.incoming = None;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                self.keep(&data);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                self.incoming = None;
                let trailers = frame.into_trailers().unwrap_or_default();
                self.trailers = Some(trailers.clone());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn keep(&mut self, data: &Bytes) {
        self.read_bytes += data.len() as u64;
        self.patience.progress(data.len(), &self.limits);
        if self.overflown {
            return;
        }
        self.kept_bytes += data.len();
        if self.kept_bytes > REPLAY_BYTES {
            self.overflown = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(data.clone());
        }
    }

    fn fail(&mut self, broken: Broken) -> io::Error {
        self.broken = Some(broken);
        self.incoming = None;
        match broken {
            Broken::Gone => io::ErrorKind::ConnectionAborted.into(),
            Broken::TooSlow => io::ErrorKind::TimedOut.into(),
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let mut source = this.source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.attempt != this.attempt || (source.overflown && this.at == 0 && source.read_bytes > 0) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        if let Some(data) = source.kept.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if let Some(trailers) = source.trailers.as_ref().filter(|_| this.at != usize::MAX) {
            this.at = usize::MAX;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let frame = ready!(source.poll_incoming(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => this.at += 1,
            _ => this.at = usize::MAX,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.lock();
        source.incoming.is_none()
            && source.broken.is_none()
            && source.kept.len() <= self.at
            && (source.trailers.is_none() || self.at == usize::MAX)
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.lock();
        let sent: usize = source.kept.iter().take(self.at).map(Bytes::len).sum();
        let sent = if source.overflown {
            source.read_bytes
        } else {
            sent as u64
        };
        source.length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length.saturating_sub(sent))
        })
    }
}
