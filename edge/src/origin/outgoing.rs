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
    /// As it comes.
    Stream {
        /// Its pieces. An error ends the exchange with [`ClientBody`](super::OriginErrorKind::ClientBody).
        body: UnsyncBoxBody<Bytes, BodyError>,
        /// Its length, if known: `content-length`. `None`: chunked.
        length: Option<u64>,
    },
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
    /// Bytes that came of it.
    read_bytes: u64,
    /// Those bytes, until they are too many. Copied: a small piece would hold on to the whole buffer that it
    /// was read into.
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// More came than is kept.
    lost: bool,
    failed: bool,
    attempt: u32,
}

impl Outgoing {
    pub(super) fn new(body: RequestBody) -> Arc<Self> {
        let (stream, length) = match body {
            RequestBody::Empty | RequestBody::Stream { length: Some(0), .. } => (None, Some(0)),
            RequestBody::Stream { body, length } => (Some(body), length),
        };
        let empty = stream.is_none();
        Arc::new(Self {
            source: Mutex::new(Source {
                stream,
                read_bytes: 0,
                kept: Vec::new(),
                trailers: None,
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
            bytes: 0,
            is_over: false,
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
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = ready!(Pin::new(stream).poll_frame(cx));
        match &polled {
            None => self.stream = None,
            Some(Err(_)) => self.failed = true,
            Some(Ok(frame)) => self.keep(frame),
        }
        Poll::Ready(polled)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        self.read_bytes += data.len() as u64;
        let trailers = frame.trailers_ref();
        let fields = trailers.into_iter().flatten();
        let trailer_bytes: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if self.lost || self.kept.len() + data.len() + trailer_bytes > MAX_KEPT_BYTES {
            self.lost = true;
            self.kept = Vec::new();
            return;
        }
        self.kept.extend_from_slice(data);
        self.trailers = trailers.cloned();
    }

    fn has_ended(&self) -> bool {
        self.stream.as_ref().is_none_or(Body::is_end_stream)
    }
}

/// The body of one attempt: what is kept of earlier ones first, then what the client goes on to send.
#[derive(Debug)]
pub(super) struct AttemptBody {
    outgoing: Arc<Outgoing>,
    attempt: u32,
    bytes: u64,
    /// The trailers were sent, or there are none.
    is_over: bool,
}

/// A frame, and whether it is known to be the last.
type Next = (Frame<Bytes>, bool);

impl AttemptBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Next, BodyError>>> {
        let mut source = self.outgoing.source();
        if source.attempt != self.attempt {
            return Poll::Ready(Some(Err("a later attempt sends this body".into())));
        }
        let frame = if self.bytes < source.read_bytes {
            if source.lost {
                return Poll::Ready(Some(Err("the beginning of the body isn't kept".into())));
            }
            let from = usize::try_from(self.bytes).unwrap_or(usize::MAX);
            let rest = source.kept.get(from..).unwrap_or_default();
            Frame::data(Bytes::copy_from_slice(rest))
        } else if let Some(trailers) = source.trailers.clone().filter(|_| !self.is_over) {
            Frame::trailers(trailers)
        } else {
            let polled = source.poll_stream(cx);
            self.outgoing
                .starved
                .store(polled.is_pending(), Ordering::Relaxed);
            match ready!(polled) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => frame,
            }
        };
        match frame.data_ref() {
            Some(data) => self.bytes += data.len() as u64,
            None => self.is_over = true,
        }
        let is_kept_out = self.bytes >= source.read_bytes && (self.is_over || source.trailers.is_none());
        // A connection that knows the length doesn't ask for the end.
        let is_last = self.outgoing.length.is_some_and(|length| self.bytes >= length)
            || (is_kept_out && source.has_ended());
        Poll::Ready(Some(Ok((frame, is_last))))
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        Poll::Ready(match next {
            None => {
                self.outgoing.note_sent();
                None
            }
            Some(Err(error)) => Some(Err(error)),
            Some(Ok((frame, is_last))) => {
                self.outgoing.taken.fetch_add(1, Ordering::Relaxed);
                if is_last {
                    self.outgoing.note_sent();
                }
                Some(Ok(frame))
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
        let mut second = outgoing.attempt();
        assert!(
            second.frame().now_or_never().unwrap().unwrap().is_err(),
            "the rest alone is not the body"
        );
    }

    #[test]
    fn trailers_are_sent_again_after_the_body() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        let frames: [Result<_, BodyError>; 2] = [
            Ok(Frame::data(Bytes::from_static(b"abc"))),
            Ok(Frame::trailers(trailers.clone())),
        ];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let outgoing = Outgoing::new(RequestBody::Stream { body, length: None });
        for _ in 0..3 {
            let whole = outgoing.attempt().collect().now_or_never().unwrap().unwrap();
            assert_eq!(whole.trailers(), Some(&trailers));
            assert_eq!(whole.to_bytes(), "abc");
            assert!(outgoing.is_sent());
        }
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
