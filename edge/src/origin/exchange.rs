use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_config::{OriginProtocol, OriginTimeouts};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::acquire::Want;
use super::answer::{InFlight, OriginBody, OriginResponse, OriginStream};
use super::endpoint::Endpoint;
use super::error::{OriginError, OriginErrorKind};
use super::fault;
use super::lease::Lease;
use super::origin::{Choice, Origin, Slot};
use super::outgoing::{AttemptBody, Outgoing, RequestBody};
use super::request::{Facts, OriginRequest};

/// How long an address of a name has until the next one is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses of a name that one attempt tries.
const MAX_RACERS: usize = 6;

/// Silence that is allowed in event streams and gRPC.
const LONG_LIVED_IDLE: Duration = Duration::from_mins(10);

/// One request to an origin, over all of its attempts.
///
/// Each [`send`](Exchange::send) is one attempt, each to another endpoint where there is one. A kept-alive
/// connection that turns out to be stale is replaced once, without it counting as an attempt.
#[derive(Debug)]
pub struct Exchange {
    origin: Arc<Origin>,
    request: OriginRequest,
    body: Arc<Outgoing>,
    facts: Facts,
    timeouts: OriginTimeouts,
    slot: Option<Slot>,
    tried: Vec<SocketAddr>,
    attempts: u32,
    had_stale: bool,
    last: Option<OriginError>,
}

/// An attempt that failed on a connection.
struct Failed {
    error: OriginError,
    /// The connection had been closed before the request reached anybody.
    is_stale: bool,
}

impl From<OriginError> for Failed {
    fn from(error: OriginError) -> Self {
        Self {
            error,
            is_stale: false,
        }
    }
}

impl Exchange {
    pub(super) fn new(
        origin: &Arc<Origin>,
        slot: Slot,
        request: OriginRequest,
        body: RequestBody,
        facts: Facts,
    ) -> Self {
        Self {
            timeouts: facts.timeouts.unwrap_or(origin.config.timeouts),
            origin: Arc::clone(origin),
            request,
            body: Outgoing::new(body),
            facts,
            slot: Some(slot),
            tried: Vec::new(),
            attempts: 0,
            had_stale: false,
            last: None,
        }
    }

    /// Sends the request, once more if it was sent before. It sends nothing and gives the last error again,
    /// with `retryable` false, where the request must not be repeated or the origin's retry budget is spent.
    pub async fn send(&mut self) -> Result<OriginResponse, OriginError> {
        if let Some(last) = self.last.take() {
            if !last.retryable || !self.origin.may_retry() {
                let refused = OriginError {
                    retryable: false,
                    ..last
                };
                self.last = Some(refused.clone());
                return Err(refused);
            }
        } else {
            self.origin.note_request();
        }
        self.attempts += 1;
        let mut result = self.attempt(false).await;
        if matches!(&result, Err(failed) if failed.is_stale) && !self.had_stale {
            self.had_stale = true;
            self.origin.counters.stale.add(1);
            result = self.attempt(true).await;
        }
        result.map_err(|Failed { error, .. }| {
            self.origin.counters.note_error(error.kind);
            self.tried.extend(error.endpoint);
            self.last = Some(error.clone());
            error
        })
    }

    async fn attempt(&mut self, fresh: bool) -> Result<OriginResponse, Failed> {
        let connect_timeout = Duration::from_millis(self.timeouts.connect_ms);
        let choice = self.origin.choice(connect_timeout).await?;
        let want = self.want(fresh)?;
        let connected = if choice.is_raced() {
            self.connect_first(&choice, &want, connect_timeout).await
        } else {
            self.connect(&choice, &want, connect_timeout).await
        };
        // Nothing of the request was sent; only a body that has been lost before stands in the way.
        let (endpoint, lease) = connected.map_err(|error| OriginError {
            retryable: self.may_repeat(error.kind),
            body_consumed: !self.body.is_replayable(),
            ..error
        })?;
        self.exchange(&endpoint, lease).await
    }

    fn want(&self, fresh: bool) -> Result<Want, OriginError> {
        let (tls, name) = self.origin.tls_for(&self.request.authority)?;
        // Raw bytes are read by whoever asked, so the connection is made where they are.
        Ok(Want {
            tls,
            name,
            fresh: fresh || self.request.upgrade.is_some(),
        })
    }

    fn is_repeatable(&self) -> bool {
        self.facts.is_repeatable || self.request.is_idempotent()
    }

    fn may_repeat(&self, kind: OriginErrorKind) -> bool {
        kind.is_transient() && self.is_repeatable() && self.body.is_replayable()
    }

    async fn connect(
        &self,
        choice: &Choice,
        want: &Want,
        timeout: Duration,
    ) -> Result<(Arc<Endpoint>, Lease), OriginError> {
        let endpoint = self.origin.pick(choice, &self.tried, self.facts.hash)?;
        let lease = endpoint.acquire(want, timeout).await?;
        Ok((endpoint, lease))
    }

    /// Tries the addresses of a name: the next one when the last fails, or is slow.
    async fn connect_first(
        &self,
        choice: &Choice,
        want: &Want,
        timeout: Duration,
    ) -> Result<(Arc<Endpoint>, Lease), OriginError> {
        let deadline = Instant::now() + timeout;
        let mut tried = self.tried.clone();
        let mut started: Vec<SocketAddr> = Vec::new();
        let mut racing = FuturesUnordered::new();
        let mut failure = None;
        loop {
            let next = self.origin.pick(choice, &tried, self.facts.hash)?;
            let has_next = started.len() < MAX_RACERS && !started.contains(&next.address());
            if has_next {
                started.push(next.address());
                tried.push(next.address());
                let left = deadline.saturating_duration_since(Instant::now());
                racing.push(async move { (next.acquire(want, left).await, next) });
            }
            tokio::select! {
                biased;
                finished = racing.next() => match finished {
                    Some((Ok(lease), endpoint)) => return Ok((endpoint, lease)),
                    Some((Err(error), _)) if racing.is_empty() && !has_next => return Err(error),
                    Some((Err(error), _)) => failure = Some(error),
                    None => {
                        let none = || OriginError::new(OriginErrorKind::Connect, "no address is left");
                        return Err(failure.unwrap_or_else(none));
                    }
                },
                () = tokio::time::sleep(STAGGER), if has_next => {}
            }
        }
    }

    async fn exchange(
        &mut self,
        endpoint: &Arc<Endpoint>,
        mut lease: Lease,
    ) -> Result<OriginResponse, Failed> {
        let address = endpoint.address();
        let reused_connection = lease.is_reused();
        let wire = Arc::clone(&lease.core().wire);
        let (read, written) = (wire.read(), wire.written());
        let protocol = endpoint.key.protocol();
        let body = self.body.attempt();
        let mut request = self
            .request
            .build(protocol, self.origin.config.tls.is_some(), &self.body, body)?;
        self.listen_for_informational(&mut request);
        let in_flight = InFlight::new(endpoint);
        let sent = {
            let sending = pin!(lease.send(request));
            self.await_head(sending).await
        };
        let (error, was_unsent) = match sent {
            Ok(response) => return self.accept(response, lease, in_flight, reused_connection).await,
            Err(NoHead::TimedOut(error)) => (error, false),
            Err(NoHead::Failed(failed)) => {
                let hyper = failed.error();
                if fault::is_of_connection(hyper) {
                    lease.set_leaving();
                }
                let was_unsent = failed.message().is_some() || fault::was_unprocessed(hyper);
                (fault::of_exchange(hyper, self.body.has_failed()), was_unsent)
            }
        };
        // Frames of other streams come on the same HTTP/2 connection; there the head alone counts.
        let bytes_seen = if lease.is_http2() { 0 } else { wire.read() - read };
        let was_unsent = was_unsent || (!lease.is_http2() && wire.written() == written);
        let is_replayable = self.body.is_replayable();
        let is_stale = reused_connection
            && bytes_seen == 0
            && error.kind == OriginErrorKind::Reset
            && is_replayable
            && (was_unsent || self.is_repeatable());
        let error = OriginError {
            bytes_seen,
            request_sent: !was_unsent,
            retryable: bytes_seen == 0 && self.may_repeat(error.kind),
            reused_connection,
            body_consumed: !is_replayable,
            ..error.at(address)
        };
        Err(Failed { error, is_stale })
    }

    fn listen_for_informational(&self, request: &mut Request<AttemptBody>) {
        let Some(listener) = self.facts.informational.clone() else {
            return;
        };
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() != StatusCode::CONTINUE {
                let mut copy = Response::new(());
                *copy.status_mut() = answer.status();
                *copy.headers_mut() = answer.headers().clone();
                // They are hints: one that nobody has room for is left out.
                let _ = listener.try_send(copy);
            }
        });
    }

    /// Waits for the head: from the request's end on, for the time to the first byte. Until then the origin
    /// must go on reading.
    async fn await_head(
        &self,
        mut sending: std::pin::Pin<&mut impl Future<Output = Sent>>,
    ) -> Result<Response<Incoming>, NoHead> {
        let first_byte = Duration::from_millis(self.timeouts.first_byte_ms);
        let stall = Duration::from_millis(self.timeouts.between_bytes_ms);
        let mut is_sent = self.body.is_sent();
        let mut progress = self.body.progress();
        let mut alarm = pin!(tokio::time::sleep(if is_sent { first_byte } else { stall }));
        loop {
            tokio::select! {
                biased;
                answer = &mut sending => return answer.map_err(NoHead::Failed),
                () = self.body.sent(), if !is_sent => {
                    is_sent = true;
                    alarm.as_mut().reset(Instant::now() + first_byte);
                }
                () = &mut alarm => {
                    if is_sent {
                        let detail = format!("no answer within {} ms", first_byte.as_millis());
                        return Err(NoHead::TimedOut(OriginError::new(OriginErrorKind::FirstByteTimeout, detail)));
                    }
                    let now = self.body.progress();
                    if now.is_some() && now == progress {
                        let detail = format!("it read nothing of the body for {} ms", stall.as_millis());
                        return Err(NoHead::TimedOut(OriginError::new(OriginErrorKind::SendTimeout, detail)));
                    }
                    progress = now;
                    alarm.as_mut().reset(Instant::now() + stall);
                }
            }
        }
    }

    async fn accept(
        &mut self,
        mut response: Response<Incoming>,
        lease: Lease,
        in_flight: InFlight,
        reused_connection: bool,
    ) -> Result<OriginResponse, Failed> {
        let endpoint = in_flight.0.address();
        let attempts = self.attempts;
        // It waits for an answer no longer.
        self.slot = None;
        if response.status().is_informational() {
            let protocol_error = |detail: &str| {
                let error = OriginError::new(OriginErrorKind::Protocol, detail).at(endpoint);
                OriginError {
                    bytes_seen: 1,
                    request_sent: true,
                    reused_connection,
                    ..error
                }
            };
            if !self.asked_for(response.headers()) || response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(protocol_error("a 101 that answers no upgrade of ours").into());
            }
            let upgrading = hyper::upgrade::on(&mut response);
            let (head, incoming) = response.into_parts();
            let permit = lease.into_permit();
            let io = upgrading
                .await
                .map_err(|error| protocol_error(&error.to_string()))?;
            let body = OriginBody::new(
                incoming,
                Duration::ZERO,
                Arc::clone(&self.body),
                None,
                InFlight::new(&in_flight.0),
                Arc::clone(&self.origin.counters),
            );
            let upgraded = Some(OriginStream::new(io, permit, in_flight));
            return Ok(OriginResponse {
                head,
                body,
                upgraded,
                endpoint,
                reused_connection,
                attempts,
            });
        }
        let (head, incoming) = response.into_parts();
        let between = self.between_bytes(&head.headers);
        let (body, lease) = (Arc::clone(&self.body), Some(lease));
        let counters = Arc::clone(&self.origin.counters);
        let body = OriginBody::new(incoming, between, body, lease, in_flight, counters);
        Ok(OriginResponse {
            head,
            body,
            upgraded: None,
            endpoint,
            reused_connection,
            attempts,
        })
    }

    fn asked_for(&self, headers: &HeaderMap) -> bool {
        let (Some(asked), Some(got)) = (&self.request.upgrade, headers.get(UPGRADE)) else {
            return false;
        };
        self.origin.config.protocol == OriginProtocol::Http1
            && asked.as_bytes().eq_ignore_ascii_case(got.as_bytes())
    }

    fn between_bytes(&self, headers: &HeaderMap) -> Duration {
        let between = Duration::from_millis(self.timeouts.between_bytes_ms);
        let is_event_stream = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.as_bytes().get(..17))
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"));
        if self.facts.is_long_lived || is_event_stream {
            between.max(LONG_LIVED_IDLE)
        } else {
            between
        }
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<AttemptBody>>>;

enum NoHead {
    TimedOut(OriginError),
    Failed(TrySendError<Request<AttemptBody>>),
}
