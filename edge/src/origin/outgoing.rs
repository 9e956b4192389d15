use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Notify;

/// Most bytes of a streamed body that are kept so that it can be sent again.
pub const MAX_KEPT_BYTES: usize = 64 << 10;

/// What a body fails with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The client's body, as the caller has it.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// As it comes.
    Stream {
        /// Its pieces. An error ends the exchange with [`ClientBody`](super::OriginErrorKind::ClientBody).
        body: UnsyncBoxBody<Bytes, BodyError>,
        /// Its length, if known: `content-length`. `None`: chunked.
        length: Option<u64>,
    },
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(fields) => fields.iter().map(|(n, v)| n.as_str().len() + v.len()).sum(),
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(fields) => Frame::trailers(fields),
        }
    }
}

/// The body of an exchange, over all of its attempts.
#[derive(Debug)]
pub(super) struct Outgoing {
    source: Mutex<Source>,
    length: Option<u64>,
    empty: bool,
    /// Pieces that the connection took in this attempt.
    taken: AtomicU64,
    /// The connection asked for a piece and there was none yet: what is slow is the client.
    starved: AtomicBool,
    /// The connection has taken everything.
    sent: AtomicBool,
    all_sent: Notify,
}

#[derive(Debug)]
struct Source {
    stream: Option<UnsyncBoxBody<Bytes, BodyError>>,
    kept: Vec<Piece>,
    kept_bytes: usize,
    /// More came than is kept.
    lost: bool,
    failed: bool,
    attempt: u32,
}

impl Outgoing {
    pub(super) fn new(body: RequestBody) -> Arc<Self> {
        let (stream, kept, length) = match body {
            RequestBody::Bytes(bytes) if bytes.is_empty() => (None, vec![], Some(0)),
            RequestBody::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (None, vec![Piece::Data(bytes)], Some(length))
            }
            RequestBody::Empty | RequestBody::Stream { length: Some(0), .. } => (None, vec![], Some(0)),
            RequestBody::Stream { body, length } => (Some(body), vec![], length),
        };
        let empty = stream.is_none() && kept.is_empty();
        Arc::new(Self {
            source: Mutex::new(Source {
                stream,
                kept,
                kept_bytes: 0,
                lost: false,
                failed: false,
                attempt: 0,
            }),
            length,
            empty,
            taken: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            sent: AtomicBool::new(empty),
            all_sent: Notify::new(),
        })
    }

    /// The body for the next attempt; those of earlier ones end with an error.
    pub(super) fn attempt(self: &Arc<Self>) -> AttemptBody {
        let mut source = self.source();
        source.attempt += 1;
        self.taken.store(0, Ordering::Relaxed);
        self.starved.store(false, Ordering::Relaxed);
        self.sent.store(self.empty, Ordering::Release);
        AttemptBody {
            outgoing: Arc::clone(self),
            attempt: source.attempt,
            next: 0,
            bytes: 0,
        }
    }

    /// True while the whole body can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        let source = self.source();
        !source.lost && !source.failed
    }

    /// The client's side broke.
    pub(super) fn has_failed(&self) -> bool {
        self.source().failed
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The connection has taken everything.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Resolves when [`Outgoing::is_sent`].
    pub(super) async fn sent(&self) {
        loop {
            let notified = self.all_sent.notified();
            if self.is_sent() {
                return;
            }
            notified.await;
        }
    }

    /// Pieces taken so far, or `None` while the client is what is waited for.
    pub(super) fn progress(&self) -> Option<u64> {
        (!self.starved.load(Ordering::Relaxed)).then(|| self.taken.load(Ordering::Relaxed))
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_sent(&self) {
        if !self.sent.swap(true, Ordering::AcqRel) {
            self.all_sent.notify_waiters();
        }
    }
}

impl Source {
    fn keep(&mut self, piece: &Piece) {
        if self.lost {
            return;
        }
        self.kept_bytes += piece.len();
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.lost = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(piece.clone());
        }
    }

    fn is_at_end(&self, next: usize) -> bool {
        (self.lost || next >= self.kept.len()) && self.stream.as_ref().is_none_or(Body::is_end_stream)
    }
}

/// The body of one attempt: what is kept of earlier ones first, then what the client goes on to send.
#[derive(Debug)]
pub(super) struct AttemptBody {
    outgoing: Arc<Outgoing>,
    attempt: u32,
    next: usize,
    bytes: u64,
}

impl AttemptBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let mut source = self.outgoing.source();
        if source.attempt != self.attempt {
            return Poll::Ready(Some(Err("a later attempt sends this body".into())));
        }
        if let Some(piece) = source.kept.get(self.next).filter(|_| !source.lost) {
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let Some(stream) = source.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(stream).poll_frame(cx);
        self.outgoing
            .starved
            .store(polled.is_pending(), Ordering::Relaxed);
        Poll::Ready(match ready!(polled) {
            None => {
                source.stream = None;
                None
            }
            Some(Err(error)) => {
                source.failed = true;
                Some(Err(error))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(Ok(Piece::Data(data))),
                Err(frame) => frame
                    .into_trailers()
                    .ok()
                    .map(|fields| Ok(Piece::Trailers(fields))),
            }
            .inspect(|piece| {
                if let Ok(piece) = piece {
                    source.keep(piece);
                }
            }),
        })
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(self.poll_piece(cx));
        let outgoing = Arc::clone(&self.outgoing);
        Poll::Ready(match piece {
            None => {
                outgoing.note_sent();
                None
            }
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(piece)) => {
                self.next += 1;
                self.bytes += piece.len() as u64;
                outgoing.taken.fetch_add(1, Ordering::Relaxed);
                // A connection that knows the length doesn't ask for the end.
                let complete = outgoing.length.is_some_and(|length| self.bytes >= length);
                if complete || outgoing.source().is_at_end(self.next) {
                    outgoing.note_sent();
                }
                Some(Ok(piece.into_frame()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.outgoing.empty
    }

    fn size_hint(&self) -> SizeHint {
        self.outgoing
            .length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn stream(pieces: Vec<Result<&'static [u8], &'static str>>, length: Option<u64>) -> Arc<Outgoing> {
        let frames = pieces.into_iter().map(|piece| {
            piece
                .map(|data| Frame::data(Bytes::from_static(data)))
                .map_err(BodyError::from)
        });
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        Outgoing::new(RequestBody::Stream { body, length })
    }

    fn read(body: &mut AttemptBody, pieces: usize) -> Vec<u8> {
        let mut all = vec![];
        for _ in 0..pieces {
            match body.frame().now_or_never().unwrap() {
                Some(frame) => all.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => break,
            }
        }
        all
    }

    #[test]
    fn a_second_attempt_sends_what_the_first_took_and_then_the_rest() {
        let outgoing = stream(vec![Ok(b"ab"), Ok(b"cd"), Ok(b"ef")], None);
        let mut first = outgoing.attempt();
        assert_eq!(read(&mut first, 2), b"abcd");
        assert!(outgoing.is_replayable() && !outgoing.is_sent());
        let mut second = outgoing.attempt();
        assert_eq!(read(&mut second, 9), b"abcdef");
        assert!(outgoing.is_sent());
        assert!(
            first.frame().now_or_never().unwrap().unwrap().is_err(),
            "the first is over"
        );
    }

    #[test]
    fn more_than_64_kib_cannot_be_sent_again() {
        static CHUNK: [u8; 32 << 10] = [7; 32 << 10];
        let outgoing = stream(vec![Ok(&CHUNK), Ok(&CHUNK), Ok(b"x"), Ok(b"y")], None);
        let mut body = outgoing.attempt();
        read(&mut body, 2);
        assert!(outgoing.is_replayable(), "exactly 64 KiB");
        assert_eq!(read(&mut body, 9), b"xy");
        assert!(!outgoing.is_replayable());
        assert!(outgoing.is_sent());
    }

    #[test]
    fn a_body_of_known_length_is_sent_with_its_last_byte() {
        let outgoing = stream(vec![Ok(b"abc"), Ok(b"d")], Some(4));
        let mut body = outgoing.attempt();
        assert_eq!(body.size_hint().exact(), Some(4));
        read(&mut body, 1);
        assert!(!outgoing.is_sent());
        read(&mut body, 1);
        assert!(outgoing.is_sent());
    }

    #[test]
    fn a_failure_of_the_client_is_remembered() {
        let outgoing = stream(vec![Ok(b"ab"), Err("gone")], None);
        let mut body = outgoing.attempt();
        read(&mut body, 1);
        assert!(body.frame().now_or_never().unwrap().unwrap().is_err());
        assert!(outgoing.has_failed() && !outgoing.is_replayable() && !outgoing.is_sent());
    }

    #[test]
    fn while_the_client_is_slow_no_progress_is_asked_of_the_origin() {
        let body =
            StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, BodyError>>()).boxed_unsync();
        let outgoing = Outgoing::new(RequestBody::Stream { body, length: None });
        let mut body = outgoing.attempt();
        assert_eq!(outgoing.progress(), Some(0));
        assert!(body.frame().now_or_never().is_none());
        assert_eq!(outgoing.progress(), None);
    }
}
