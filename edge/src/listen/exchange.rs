use std::fmt;
use std::rc::Rc;

use breakwater_edge_proxy::{BodyHint, End, Event, Reason, RequestHead, Scratch, Step, early};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::ask::{Answer, InterimSender, VisitorBody};
use super::client_body::{Broken, ClientBody};
use super::connection::Connection;
use super::head::{body_hint, request_head, response};
use super::meter::InFlight;
use super::outgoing::Outgoing;
use super::payload::Payload;
use super::steps::{Outcome, Visitor, decide};
use super::unread::{self, Unread};
use super::upgrade;
use super::worker::Local;

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
    is_upgradable: bool,
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
        is_upgradable: upgrade.is_some(),
        connection,
    };
    let Some(step) = exchange.on_head() else {
        return exchange.refuse(Reason::TooManyFields);
    };
    let outcome = decide(&mut exchange, step).await;
    exchange.finish(outcome, upgrade)
}

impl Exchange {
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

    /// Makes of what the phases decided what hyper sends.
    fn finish(self, outcome: Outcome, upgrade: Option<OnUpgrade>) -> Result<Response<Outgoing>, Refused> {
        match (outcome, upgrade) {
            (Outcome::Send { payload, close }, _) => self.send(payload, close),
            (Outcome::Switch(answer), Some(client)) => self.switch(answer, client),
            (Outcome::Switch(_), None) => self.refuse(Reason::OriginProtocol),
            (
                Outcome::Silence {
                    reason,
                    whole_connection,
                },
                _,
            ) => Err(self.silence(reason, whole_connection)),
            (Outcome::Refuse(reason), _) => self.refuse(reason),
        }
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

impl Visitor for Exchange {
    fn local(&self) -> &Rc<Local> {
        &self.connection.local
    }

    fn head(&self) -> Option<RequestHead<'_>> {
        request_head(&self.parts, self.hint).ok()
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

    fn body(&mut self) -> VisitorBody {
        self.client.clone().map_err(Into::into).boxed_unsync()
    }

    fn broken(&self) -> Option<Broken> {
        self.client.broken()
    }

    fn set_streaming(&mut self) {
        self.in_flight.set_streaming();
        self.client.set_streaming();
    }

    fn set_aborted(&mut self, reason: Reason) {
        self.end.aborted = Some(reason);
    }

    /// hyper's server can't send them.
    fn interim(&self) -> Option<InterimSender> {
        None
    }

    fn can_switch(&self) -> bool {
        self.is_upgradable
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
