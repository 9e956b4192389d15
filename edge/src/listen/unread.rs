use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::exchange::Exchange;

/// What becomes of the part of a visitor's body that nobody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// There is none, or HTTP/2 resets the stream for it.
    Nothing,
    /// It is read away beside the answer.
    Drained,
    /// Too much, or not yet sent: the connection ends after the answer.
    Close,
}

impl Unread {
    pub(crate) fn must_close(self) -> bool {
        self == Self::Close
    }
}

/// Deals with what is left of the body of a request that is answered without it.
pub(crate) fn settle(exchange: &Exchange) -> Unread {
    let limits = &exchange.connection.local.common.limits;
    let Some(rest) = exchange.client.take_rest() else {
        return Unread::Nothing;
    };
    if exchange.connection.is_h2() {
        return Unread::Nothing;
    }
    let length = http_body::Body::size_hint(&rest).lower();
    // A client that waits for 100 (Continue) hasn't sent the body and, without the 100, may never.
    if exchange.expects_continue() || length > limits.unread_body_bytes {
        exchange.connection.meter.set_unread();
        return Unread::Close;
    }
    let (most, time) = (limits.unread_body_bytes, limits.rate_grace);
    let meter = std::sync::Arc::clone(&exchange.connection.meter);
    tokio::task::spawn_local(async move {
        if !drain(rest, most, time).await {
            // Dropping the rest makes hyper close the connection.
            meter.set_unread();
        }
    });
    Unread::Drained
}

/// True when the end came within the limits.
async fn drain(mut body: Incoming, most: u64, time: Duration) -> bool {
    let all = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > most {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(time, all).await.unwrap_or(false)
}
