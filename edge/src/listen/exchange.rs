use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use breakwater_edge_cache::FillReader;
use breakwater_edge_proxy::{
    BodyHint, BodyMode, End, Event, FailureKind, FetchPlan, Fill, OriginFailure, OriginHead, Reason,
    RequestHead, Scratch, Step, early,
};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::ask::{Answer, Asking};
use super::client_body::{Broken, ClientBody};
use super::connection::Connection;
use super::head::{body_hint, fields, request_head, response};
use super::meter::InFlight;
use super::outgoing::{Outgoing, Payload};
use super::unread::{self, Unread};
use super::{fill, upgrade};

/// No answer: hyper closes the connection (HTTP/1.1) or resets the stream.
#[derive(Debug)]
pub(crate) struct Refused {
    reason: Reason,
    reset: h2::Error,
}

impl Refused {
    fn new(reason: Reason) -> Self {
        Self {
            reason,
            reset: h2::Reason::REFUSED_STREAM.into(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not answered: {}", self.reason)
    }
}

impl std::error::Error for Refused {
    /// hyper looks here for the code of the reset.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reset)
    }
}

/// A request and everything that is kept of it until its answer has ended. Dropping it records it, so that
/// each is recorded once, however it ends.
pub(crate) struct Exchange {
    pub(crate) connection: Rc<Connection>,
    parts: Parts,
    hint: BodyHint,
    /// Taken only when this is dropped.
    scratch: Option<Box<Scratch>>,
    pub(crate) in_flight: InFlight,
    pub(crate) client: ClientBody,
    pub(crate) end: End,
    /// The answer was sent to its end, or there was none to send.
    pub(crate) complete: bool,
}

/// Takes one request of hyper's to its answer.
pub(crate) async fn run(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Refused> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let local = &connection.local;
    let mut exchange = Exchange {
        hint: body_hint(&body),
        client: ClientBody::new(body, &local.common.limits),
        scratch: Some(local.scratch()),
        in_flight: connection.meter.request(),
        parts,
        end: End::default(),
        complete: false,
        connection,
    };
    let Some(step) = exchange.on_head() else {
        return exchange.refuse(Reason::TooManyFields);
    };
    exchange.take_steps(step, upgrade).await
}

impl Exchange {
    fn head(&self) -> Option<RequestHead<'_>> {
        request_head(&self.parts, self.hint).ok()
    }

    fn on_head(&mut self) -> Option<Step> {
        let local = &self.connection.local;
        let head = request_head(&self.parts, self.hint).ok()?;
        let scratch = self.scratch.as_mut()?;
        Some(
            local
                .phases
                .on_head(&self.connection.facts, &head, local.now(), scratch),
        )
    }

    fn on_event(&mut self, event: Event<'_, '_>) -> Option<Step> {
        let local = &self.connection.local;
        let head = request_head(&self.parts, self.hint).ok()?;
        let scratch = self.scratch.as_mut()?;
        Some(
            local
                .phases
                .on_event(&self.connection.facts, &head, event, local.now(), scratch),
        )
    }

    /// Does what the phases say until there is an answer.
    async fn take_steps(
        mut self,
        first: Step,
        upgrade: Option<OnUpgrade>,
    ) -> Result<Response<Outgoing>, Refused> {
        let mut step = first;
        // What the last step left for the next.
        let mut plan: Option<Box<FetchPlan>> = None;
        let mut asking = Asking::default();
        let mut answer: Option<Answer> = None;
        let mut reading: Option<FillReader> = None;
        loop {
            let next = match step {
                Step::Reply { body, close } => return self.send(Payload::whole(body), close),
                Step::Serve { body, fill } => {
                    self.start_fill(fill);
                    return self.send(Payload::stored(body), false);
                }
                Step::Wait {
                    reader,
                    fill,
                    timeout_ms,
                } => {
                    self.start_fill(fill);
                    let (next, reader) = self.wait(reader, timeout_ms).await;
                    reading = reader;
                    next
                }
                Step::Read => match reading.take() {
                    Some(reader) => return self.send(Payload::Filling(reader), false),
                    None => None,
                },
                Step::Fetch(wanted) => {
                    answer = None;
                    asking = Asking::default();
                    let (next, got) = self.fetch(&mut asking, plan.insert(wanted)).await;
                    answer = got.or(answer);
                    next
                }
                Step::Retry => match &plan {
                    Some(plan) => {
                        let (next, got) = self.fetch(&mut asking, plan).await;
                        answer = got;
                        next
                    }
                    None => None,
                },
                Step::Stream => match answer.take() {
                    Some(answer) => {
                        let streaming = plan.is_some_and(|plan| plan.grpc) || answer.is_event_stream();
                        if streaming {
                            self.set_streaming();
                        }
                        return self.send(Payload::Origin(answer.body), false);
                    }
                    None => None,
                },
                Step::Upgrade => match (answer.take(), upgrade) {
                    (Some(answer), Some(client)) => return self.switch(answer, client),
                    _ => return self.refuse(Reason::OriginProtocol),
                },
                Step::Close(reason) => return Err(self.silence(reason, true)),
                Step::Reset(reason) => return Err(self.silence(reason, false)),
            };
            step = match next {
                Some(next) => next,
                // The phases asked for what only an earlier step could have brought.
                None => return self.refuse(Reason::OriginProtocol),
            };
        }
    }

    /// Waits for the head of a fill.
    async fn wait(
        &mut self,
        mut reader: FillReader,
        timeout_ms: Option<u64>,
    ) -> (Option<Step>, Option<FillReader>) {
        let waited = {
            let local = &self.connection.local;
            let Ok(fields) = fields(&self.parts.headers) else {
                return (None, None);
            };
            let head = poll_fn(|cx| reader.poll_head(&fields, local.now(), cx));
            match timeout_ms {
                None => Some(head.await),
                Some(ms) => tokio::time::timeout(Duration::from_millis(ms), head).await.ok(),
            }
        };
        if let Some(head) = waited {
            let event = Event::FillHead {
                head,
                collapsed: reader.is_collapsed(),
            };
            (self.on_event(event), Some(reader))
        } else {
            drop(reader);
            (self.on_event(Event::WaitTimedOut), None)
        }
    }

    /// Sends a request to the origin for this visitor alone.
    async fn fetch(&mut self, asking: &mut Asking, plan: &FetchPlan) -> (Option<Step>, Option<Answer>) {
        if plan.grpc {
            self.set_streaming();
        }
        let body = match plan.body {
            BodyMode::Stream { .. } => Some(self.client.clone()),
            BodyMode::None | BodyMode::Discard => None,
        };
        let answer = match asking.ask(&self.connection.local, plan, body).await {
            Ok(answer) => answer,
            Err(failure) => return (self.on_failure(failure), None),
        };
        let step = match fields(&answer.head.headers) {
            Ok(fields) => {
                let head = OriginHead {
                    status: answer.head.status.as_u16(),
                    fields,
                    body: answer.hint(),
                };
                self.on_event(Event::OriginHead(&head))
            }
            Err(_too_many) => self.on_failure(OriginFailure {
                kind: FailureKind::Protocol,
                answer_began: true,
                body_consumed: false,
                reused_connection: false,
            }),
        };
        (step, Some(answer))
    }

    fn on_failure(&mut self, mut failure: OriginFailure) -> Option<Step> {
        if let Some(broken) = self.client.broken() {
            let (kind, reason) = match broken {
                Broken::Gone => (FailureKind::ClientBody, Reason::ClientGone),
                Broken::Malformed => (FailureKind::ClientBody, Reason::MalformedMessage),
                Broken::TooSlow => (FailureKind::ClientTimeout, Reason::BodyTimeout),
            };
            failure.kind = kind;
            self.end.aborted = Some(reason);
        }
        self.on_event(Event::OriginFailed(failure))
    }

    fn start_fill(&self, fill: Option<Box<Fill>>) {
        if let Some(fill) = fill {
            fill::start(&self.connection.local, fill);
        }
    }

    fn set_streaming(&mut self) {
        self.in_flight.set_streaming();
        self.client.set_streaming();
    }

    /// Hands the answer over to hyper; what the visitor still sends is dealt with beside it.
    fn send(self, payload: Payload, close: bool) -> Result<Response<Outgoing>, Refused> {
        let unread = match &payload {
            // The origin may still be reading it.
            Payload::Origin(_) => Unread::Nothing,
            _ => unread::settle(&self),
        };
        let h2 = self.connection.is_h2();
        let close = !h2 && (close || unread.must_close() || self.connection.is_draining());
        let Some(scratch) = &self.scratch else {
            return Err(Refused::new(Reason::OriginProtocol));
        };
        match response(&scratch.response, close, ()) {
            Some(head) => Ok(head.map(|()| Outgoing::new(payload, self))),
            None => Err(self.silence(Reason::OriginProtocol, false)),
        }
    }

    /// Answers with a standard answer that no phase has seen.
    fn refuse(mut self, reason: Reason) -> Result<Response<Outgoing>, Refused> {
        let now = self.connection.local.now();
        self.end.aborted = Some(reason);
        // A state of its own: what stands in the old one is half decided.
        let scratch = self.scratch.insert(Box::default());
        let body = early(reason, now, &mut scratch.response);
        self.send(Payload::whole(body), true)
    }

    fn silence(mut self, reason: Reason, whole_connection: bool) -> Refused {
        self.end.aborted = Some(reason);
        self.complete = true;
        if whole_connection && self.connection.is_h2() {
            self.connection.shut(reason);
        }
        Refused::new(reason)
    }

    /// Turns both connections into plain byte streams.
    fn switch(mut self, answer: Answer, client: OnUpgrade) -> Result<Response<Outgoing>, Refused> {
        self.in_flight.set_streaming();
        let Some(head) = self
            .scratch
            .as_ref()
            .and_then(|scratch| response(&scratch.response, false, ()))
        else {
            return Err(self.silence(Reason::OriginProtocol, false));
        };
        let mut response = head.map(|()| Outgoing::nothing());
        for name in [http::header::UPGRADE, http::header::CONNECTION] {
            if let Some(value) = answer.head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        upgrade::start(self, answer, client);
        Ok(response)
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.head().is_some_and(|head| head.expects_continue())
    }

    fn request_body_bytes(&self) -> u64 {
        self.client.read_bytes()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(scratch) = self.scratch.take() else {
            return;
        };
        if !self.complete && self.end.aborted.is_none() {
            self.end.aborted = Some(Reason::ClientGone);
            if self.connection.is_h2() {
                self.connection.note_reset();
            }
        }
        self.end.request_body_bytes = self.request_body_bytes();
        let local = &self.connection.local;
        // A head of too many fields is recorded without them.
        let head = self.head().unwrap_or_default();
        let facts = &self.connection.facts;
        let record = local
            .phases
            .record(facts, &head, &self.end, local.now(), &scratch);
        local.recorder.record(&record, facts.id);
        local.give_back(scratch);
    }
}
