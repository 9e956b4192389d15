//! A visitor's body on its way from its connection to an origin: one piece at a time, only when it is asked for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use breakwater_edge_proxy::BodyHint;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::listen::client_body::Broken;

/// Both ends of it: the connection puts pieces in, the origin's connection takes them out. The latter wants what
/// could be sent between threads, hence the lock, which nobody ever waits for.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    piece: Option<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    broken: Option<Broken>,
    /// The reader waits for a piece.
    is_wanted: bool,
    reader: Option<Waker>,
    feeder: Option<Waker>,
    /// Bytes that were put in.
    read_bytes: u64,
    /// Of the whole body, where it was told.
    length: Option<u64>,
}

impl Pipe {
    pub(super) fn new(body: BodyHint) -> Arc<Self> {
        let state = State {
            length: match body {
                BodyHint::Length(length) => Some(length),
                BodyHint::None => Some(0),
                BodyHint::Streamed => None,
            },
            ended: !body.may_have_bytes(),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.lock().broken
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    /// Whether a piece is waited for; the task is woken when one is.
    pub(super) fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if !state.is_wanted || state.piece.is_some() {
            state.feeder = Some(cx.waker().clone());
            return false;
        }
        true
    }

    pub(super) fn put(&self, piece: Bytes) {
        let mut state = self.lock();
        state.read_bytes += piece.len() as u64;
        state.piece = Some(piece);
        state.is_wanted = false;
        wake(&mut state.reader);
    }

    /// Nothing follows but these.
    pub(super) fn end(&self, trailers: Option<HeaderMap>) {
        let mut state = self.lock();
        state.trailers = trailers;
        state.ended = true;
        wake(&mut state.reader);
    }

    /// It ended too early: whoever reads it gets an error.
    pub(super) fn fail(&self, broken: Broken) {
        let mut state = self.lock();
        state.broken = Some(broken);
        wake(&mut state.reader);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The end that is read.
#[derive(Debug)]
pub(super) struct PipeReader(pub(super) Arc<Pipe>);

impl Body for PipeReader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.piece.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(broken) = state.broken {
            let kind = match broken {
                Broken::Gone => io::ErrorKind::ConnectionAborted,
                Broken::Malformed => io::ErrorKind::InvalidData,
                Broken::TooSlow => io::ErrorKind::TimedOut,
            };
            return Poll::Ready(Some(Err(kind.into())));
        }
        if state.ended {
            let trailers = state.trailers.take();
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        state.is_wanted = true;
        state.reader = Some(cx.waker().clone());
        wake(&mut state.feeder);
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.ended && state.piece.is_none() && state.trailers.is_none() && state.broken.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.lock();
        let piece = state.piece.as_ref().map_or(0, |piece| piece.len() as u64);
        state.length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length.saturating_sub(state.read_bytes) + piece)
        })
    }
}
