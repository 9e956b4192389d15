use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breakwater_edge_cache::{Chunk, FillReader, StoredBody};
use breakwater_edge_proxy::{FieldBuf, Reason, trailers};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::ask::AnswerBody;
use super::exchange::Exchange;
use super::head::{fields, header_map};
use super::stalls::Taking;

/// Most bytes that are handed to hyper at a time.
const PART_BYTES: usize = 64 << 10;

/// Where the body of an answer comes from.
pub(crate) enum Payload {
    /// There is none.
    Nothing,
    /// All of it at once.
    Whole(Bytes),
    /// The cache.
    Stored(StoredBody),
    /// A fill that is under way.
    Filling(FillReader),
    /// The origin.
    Origin(AnswerBody),
}

impl Payload {
    pub(crate) fn whole(body: Bytes) -> Self {
        if body.is_empty() {
            Self::Nothing
        } else {
            Self::Whole(body)
        }
    }

    pub(crate) fn stored(body: StoredBody) -> Self {
        if body.remaining() == 0 {
            Self::Nothing
        } else {
            Self::Stored(body)
        }
    }
}

/// The body broke off: hyper closes the connection without the last chunk, or resets the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truncated;

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer broke off")
    }
}

impl std::error::Error for Truncated {}

/// The body of an answer on its way to hyper, with its request: when hyper drops it, the request is recorded.
pub(crate) struct Outgoing {
    payload: Payload,
    exchange: Option<Box<Exchange>>,
    /// Over HTTP/2: how its visitor takes it.
    taking: Option<Taking>,
}

impl Outgoing {
    pub(crate) fn new(payload: Payload, mut exchange: Exchange) -> Self {
        exchange.complete = match &payload {
            Payload::Nothing => true,
            Payload::Origin(body) => body.is_end_stream(),
            _ => false,
        };
        Self {
            payload,
            taking: Taking::new(&exchange.connection),
            exchange: Some(Box::new(exchange)),
        }
    }

    /// Belongs to a request that is recorded elsewhere.
    pub(crate) fn nothing() -> Self {
        Self {
            payload: Payload::Nothing,
            exchange: None,
            taking: None,
        }
    }

    fn end(&mut self) {
        self.payload = Payload::Nothing;
        if let Some(exchange) = &mut self.exchange {
            exchange.complete = true;
        }
    }

    fn abort(&mut self, reason: Reason) -> Truncated {
        self.payload = Payload::Nothing;
        if let Some(exchange) = &mut self.exchange {
            exchange.end.aborted = Some(reason);
        }
        Truncated
    }

    fn count(&mut self, data: &Bytes) {
        if let Some(exchange) = &mut self.exchange {
            exchange.end.body_bytes += data.len() as u64;
            if let Some(taking) = &mut self.taking {
                taking.handed(data.len(), exchange.in_flight.is_streaming());
            }
        }
    }

    /// The next frame, not yet counted.
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let frame = match &mut self.payload {
            Payload::Nothing => None,
            Payload::Whole(body) => {
                let part = body.split_to(body.len().min(PART_BYTES));
                if body.is_empty() {
                    self.end();
                }
                Some(Frame::data(part))
            }
            Payload::Stored(body) => {
                let part = body.chunk(PART_BYTES);
                if body.remaining() == 0 {
                    self.end();
                }
                Some(Frame::data(part))
            }
            Payload::Filling(reader) => match ready!(reader.poll_chunk(cx)) {
                Chunk::Data(data) => Some(Frame::data(data)),
                Chunk::End(trailers) => {
                    self.end();
                    trailers.map(|trailers| Frame::trailers(header_map(trailers.iter())))
                }
                Chunk::Abort(_) => return Poll::Ready(Some(Err(self.abort(Reason::BodyTruncated)))),
            },
            Payload::Origin(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                None => {
                    self.end();
                    None
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(self.abort(Reason::BodyTruncated)))),
                Some(Ok(frame)) => match frame.into_trailers() {
                    Err(frame) => Some(frame),
                    Ok(map) => {
                        let mut passed = FieldBuf::default();
                        if !fields(&map).is_ok_and(|lines| trailers::filter(&lines, &mut passed)) {
                            return Poll::Ready(Some(Err(self.abort(Reason::BodyTruncated))));
                        }
                        self.end();
                        Some(Frame::trailers(header_map(passed.iter())))
                    }
                },
            },
        };
        Poll::Ready(frame.map(Ok))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let this = self.get_mut();
        if let Some(taking) = &mut this.taking {
            taking.ready();
        }
        let frame = ready!(this.poll_payload(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.count(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Nothing => true,
            Payload::Origin(body) => body.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Nothing => SizeHint::with_exact(0),
            Payload::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Payload::Stored(body) => SizeHint::with_exact(body.remaining()),
            Payload::Filling(_) | Payload::Origin(_) => SizeHint::default(),
        }
    }
}
