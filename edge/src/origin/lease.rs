use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::connection::{Core, Http1, Http2};
use super::endpoint::Endpoint;
use super::outgoing::AttemptBody;
use super::pool::Permit;

/// How long a connection may take to show that nothing follows an answer, until it is closed.
const SETTLE: Duration = Duration::from_secs(1);

/// A connection, for one request.
#[derive(Debug)]
pub(super) enum Lease {
    /// Of this request alone.
    Http1(Http1Lease),
    /// A stream of a shared connection.
    Http2(Http2Lease),
}

impl Lease {
    /// A request was sent on it before this one.
    pub(super) fn is_reused(&self) -> bool {
        self.core().served.load(Ordering::Acquire) > 0
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        match self {
            Self::Http1(lease) => &lease.core,
            Self::Http2(lease) => &lease.connection.core,
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Sends the request. The connection isn't used again, unless [`Lease::give_back`] is called.
    pub(super) async fn send(
        &mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<AttemptBody>>> {
        self.core().wire.await_head();
        self.core().served.fetch_add(1, Ordering::AcqRel);
        match self {
            Self::Http1(lease) => {
                lease.is_busy = true;
                match &mut lease.connection {
                    Some(connection) => connection.sender.try_send_request(request).await,
                    // Only `give_back` takes it, and the lease with it.
                    None => std::future::pending().await,
                }
            }
            Self::Http2(lease) => lease.connection.sender.clone().try_send_request(request).await,
        }
    }

    /// The exchange is complete: the request was sent and the answer read to its end.
    pub(super) fn give_back(self) {
        match self {
            Self::Http1(lease) => lease.give_back(),
            // Dropping it ends the stream, and the connection goes on.
            Self::Http2(_) => {}
        }
    }

    /// The connection takes no new requests.
    pub(super) fn set_leaving(&self) {
        if let Self::Http2(lease) = self {
            lease.connection.is_leaving.store(true, Ordering::Release);
        }
    }

    /// The right to the connection, for as long as its raw bytes are used after a 101.
    pub(super) fn into_permit(mut self) -> Option<Arc<Permit>> {
        match &mut self {
            Self::Http1(lease) => lease.connection.take().map(|connection| connection.permit),
            Self::Http2(_) => None,
        }
    }
}

/// An HTTP/1.1 connection. Dropped unused, it goes back to the pool; dropped in use, it is closed: what is
/// still to come on it would be taken for the answer to the next request.
#[derive(Debug)]
pub(super) struct Http1Lease {
    connection: Option<Http1>,
    core: Arc<Core>,
    is_busy: bool,
}

impl Http1Lease {
    pub(super) fn new(connection: Http1) -> Self {
        Self {
            core: Arc::clone(&connection.core),
            connection: Some(connection),
            is_busy: false,
        }
    }

    fn give_back(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if !self.core.wire.head_was_sound() {
            self.core.close();
            return;
        }
        if connection.is_clean() {
            let endpoint = Arc::clone(connection.permit.endpoint());
            endpoint.put_idle(connection);
            return;
        }
        // The driver hasn't come round yet.
        let settle = async move {
            let settled = tokio::time::timeout(SETTLE, connection.settle()).await;
            if matches!(settled, Ok(true)) {
                let endpoint = Arc::clone(connection.permit.endpoint());
                endpoint.put_idle(connection);
            } else {
                connection.core.close();
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(settle)),
            Err(_) => self.core.close(),
        }
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if !self.is_busy && (connection.is_clean() || connection.core.served.load(Ordering::Acquire) == 0) {
            let endpoint = Arc::clone(connection.permit.endpoint());
            endpoint.put_idle(connection);
        } else {
            self.core.close();
        }
    }
}

/// A stream of an HTTP/2 connection. Dropping the answer before its end resets the stream alone.
#[derive(Debug)]
pub(super) struct Http2Lease {
    endpoint: Arc<Endpoint>,
    connection: Arc<Http2>,
}

impl Http2Lease {
    pub(super) fn new(endpoint: &Arc<Endpoint>, connection: &Arc<Http2>) -> Self {
        connection.streams.fetch_add(1, Ordering::AcqRel);
        Self {
            endpoint: Arc::clone(endpoint),
            connection: Arc::clone(connection),
        }
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        self.connection.streams.fetch_sub(1, Ordering::AcqRel);
        self.endpoint.stream_ended(&self.connection);
    }
}
