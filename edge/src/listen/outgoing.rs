use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breakwater_edge_proxy::Reason;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::Exchange;
use super::head::header_map;
use super::payload::{Part, Payload};
use super::stalls::Taking;

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
        exchange.complete = payload.is_end();
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
        let frame = match ready!(self.payload.poll_part(cx)) {
            Part::Data(data) => Some(Frame::data(data)),
            Part::End(trailers) => trailers.map(|trailers| Frame::trailers(header_map(trailers.iter()))),
            Part::Broken => return Poll::Ready(Some(Err(self.abort(Reason::BodyTruncated)))),
        };
        if matches!(self.payload, Payload::Nothing)
            && let Some(exchange) = &mut self.exchange
        {
            exchange.complete = true;
        }
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
        self.payload.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload
            .length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
