use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use breakwater_edge_proxy::{FieldBuf, trailers};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::head::{fields, header_map};
use super::meter::Patience;
use crate::options::Limits;

/// A visitor's body on its way to an origin, at the least rate that is allowed. Clones are handles to the
/// same one: one is read for the origin, one is kept by the exchange.
#[derive(Clone, Debug)]
pub(crate) struct ClientBody {
    source: Arc<Mutex<Source>>,
}

/// Why a visitor's body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The visitor went away.
    Gone,
    /// Its framing is wrong, or its trailers are.
    Malformed,
    /// Slower than allowed.
    TooSlow,
}

#[derive(Debug)]
struct Source {
    incoming: Option<Incoming>,
    read_bytes: u64,
    patience: Patience,
    limits: Arc<Limits>,
    streaming: bool,
    broken: Option<Broken>,
    /// The rest was taken away: what was read isn't the whole.
    taken: bool,
}

impl ClientBody {
    pub(crate) fn new(incoming: Incoming, limits: &Arc<Limits>) -> Self {
        let source = Source {
            incoming: (!incoming.is_end_stream()).then_some(incoming),
            read_bytes: 0,
            patience: Patience::new(limits),
            limits: Arc::clone(limits),
            streaming: false,
            broken: None,
            taken: false,
        };
        Self {
            source: Arc::new(Mutex::new(source)),
        }
    }

    /// Silence is normal from now on.
    pub(crate) fn set_streaming(&self) {
        self.lock().streaming = true;
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.lock().broken
    }

    /// Bytes of it that were read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    /// Takes away what is unread; whoever reads on gets an error.
    pub(crate) fn take_rest(&self) -> Option<Incoming> {
        let mut source = self.lock();
        let rest = source.incoming.take();
        source.taken |= rest.is_some();
        rest
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(incoming) = &mut self.incoming else {
            let cut_short = self.taken || self.broken.is_some();
            return Poll::Ready(cut_short.then(|| Err(io::ErrorKind::ConnectionAborted.into())));
        };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                let idle = self.streaming.then_some(self.limits.idle_stream);
                ready!(self.patience.poll_exhausted(cx, idle));
                return Poll::Ready(Some(Err(self.fail(Broken::TooSlow))));
            }
            Poll::Ready(Some(Err(error))) => {
                let broken = if is_malformed(&error) {
                    Broken::Malformed
                } else {
                    Broken::Gone
                };
                return Poll::Ready(Some(Err(self.fail(broken))));
            }
            Poll::Ready(None) => {
                self.incoming = None;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let map = match frame.into_trailers() {
            Ok(map) => map,
            Err(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.read_bytes += bytes as u64;
                self.patience.progress(bytes, &self.limits);
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        // Nothing follows trailers. What of them could pass for a field of the head stays here: an origin that
        // merged it would be told something that no phase has seen.
        self.incoming = None;
        let mut passed = FieldBuf::default();
        if !fields(&map).is_ok_and(|lines| trailers::filter(&lines, &mut passed)) {
            return Poll::Ready(Some(Err(self.fail(Broken::Malformed))));
        }
        Poll::Ready((!passed.is_empty()).then(|| Ok(Frame::trailers(header_map(passed.iter())))))
    }

    fn fail(&mut self, broken: Broken) -> io::Error {
        self.broken = Some(broken);
        self.incoming = None;
        match broken {
            Broken::Gone => io::ErrorKind::ConnectionAborted.into(),
            Broken::Malformed => io::ErrorKind::InvalidData.into(),
            Broken::TooSlow => io::ErrorKind::TimedOut.into(),
        }
    }
}

/// Whether the bytes that came are wrong, rather than missing.
fn is_malformed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let kind = source
        .and_then(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    error.is_parse()
        || matches!(
            kind,
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        )
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.lock().poll_incoming(cx)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.lock();
        match &source.incoming {
            Some(incoming) => incoming.is_end_stream(),
            None => source.broken.is_none() && !source.taken,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.lock();
        let incoming = source.incoming.as_ref();
        incoming.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
