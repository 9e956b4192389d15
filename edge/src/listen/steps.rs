//! The way of a request from its first step to what is sent of it: the same for every protocol.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use breakwater_edge_cache::FillReader;
use breakwater_edge_proxy::{
    BodyRead, Event, FailureKind, FetchPlan, Fill, OriginFailure, OriginHead, Reason, RequestHead, Step,
};

use super::ahead::read_ahead;
use super::ask::{Answer, Asking, InterimSender, VisitorBody};
use super::client_body::Broken;
use super::fill;
use super::head::fields;
use super::payload::Payload;
use super::worker::Local;

/// A request as the adaptor of its protocol keeps it.
pub(crate) trait Visitor {
    /// The worker that it came to.
    fn local(&self) -> &Rc<Local>;

    /// Its head, the same at each call; `None`: it has more fields than a head may have.
    fn head(&self) -> Option<RequestHead<'_>>;

    /// Tells the phases what has happened; `None` as for [`Visitor::head`].
    fn on_event(&mut self, event: Event<'_, '_>) -> Option<Step>;

    /// Its body on the way to the origin. Whoever waits for 100 (Continue) may be sent it from now on.
    fn body(&mut self) -> VisitorBody;

    /// Why its body ended early.
    fn broken(&self) -> Option<Broken>;

    /// From now on silence is normal, of both sides.
    fn set_streaming(&mut self);

    /// What is to be recorded as having cut it short.
    fn set_aborted(&mut self, reason: Reason);

    /// Where interim answers of the origin go; `None`: they are left out.
    fn interim(&self) -> Option<InterimSender>;

    /// It can be answered by 101.
    fn can_switch(&self) -> bool;
}

/// What the phases have decided in the end.
pub(crate) enum Outcome {
    /// Send `scratch.response` and then this.
    Send {
        payload: Payload,
        /// HTTP/1.1: close the connection afterwards.
        close: bool,
    },
    /// Send `scratch.response` (101) and carry bytes both ways.
    Switch(Answer),
    /// Send nothing.
    Silence {
        reason: Reason,
        /// Close the connection; else HTTP/2 resets the stream.
        whole_connection: bool,
    },
    /// Send the standard answer of this reason: the phases can't go on.
    Refuse(Reason),
}

/// Does what the phases say until there is an answer.
pub(crate) async fn decide<V: Visitor>(visitor: &mut V, first: Step) -> Outcome {
    let mut step = first;
    // What the last step left for the next.
    let mut plan: Option<Box<FetchPlan>> = None;
    let mut asking = Asking::default();
    let mut answer: Option<Answer> = None;
    let mut reading: Option<FillReader> = None;
    let mut ahead: Option<VisitorBody> = None;
    loop {
        let next = match step {
            Step::Reply { body, close } => {
                let payload = Payload::whole(body);
                return Outcome::Send { payload, close };
            }
            Step::Serve { body, fill } => {
                start_fill(visitor, fill);
                return send(Payload::stored(body));
            }
            Step::Wait {
                reader,
                fill,
                timeout_ms,
            } => {
                start_fill(visitor, fill);
                let (next, reader) = wait(visitor, reader, timeout_ms).await;
                reading = reader;
                next
            }
            Step::Load(mut load) => {
                poll_fn(|cx| load.poll(cx)).await;
                visitor.on_event(Event::Loaded)
            }
            Step::Read => match reading.take() {
                Some(reader) => return send(Payload::Filling(reader)),
                None => None,
            },
            Step::Body { max_bytes } => {
                let (read, body) = read_ahead(visitor.body(), max_bytes).await;
                ahead = body;
                on_body(visitor, read)
            }
            Step::Fetch(wanted) => {
                answer = None;
                asking = Asking::default();
                let plan = plan.insert(wanted);
                let (next, got) = fetch(visitor, &mut asking, plan, &mut ahead).await;
                answer = got.or(answer);
                next
            }
            Step::Retry => match &plan {
                Some(plan) => {
                    let (next, got) = fetch(visitor, &mut asking, plan, &mut ahead).await;
                    answer = got;
                    next
                }
                None => None,
            },
            Step::Stream => match answer.take() {
                Some(answer) => {
                    if plan.is_some_and(|plan| plan.grpc) || answer.is_event_stream() {
                        visitor.set_streaming();
                    }
                    return send(Payload::Origin(answer.body));
                }
                None => None,
            },
            Step::Upgrade => match answer.take() {
                Some(answer) if visitor.can_switch() => return Outcome::Switch(answer),
                _ => None,
            },
            Step::Close(reason) => return silence(reason, true),
            Step::Reset(reason) => return silence(reason, false),
        };
        step = match next {
            Some(next) => next,
            // The phases asked for what only an earlier step could have brought.
            None => return Outcome::Refuse(Reason::OriginProtocol),
        };
    }
}

fn send(payload: Payload) -> Outcome {
    let close = false;
    Outcome::Send { payload, close }
}

fn silence(reason: Reason, whole_connection: bool) -> Outcome {
    Outcome::Silence {
        reason,
        whole_connection,
    }
}

pub(crate) fn start_fill<V: Visitor>(visitor: &V, fill: Option<Box<Fill>>) {
    if let Some(fill) = fill {
        fill::start(visitor.local(), fill, visitor.interim());
    }
}

/// Waits for the head of a fill.
async fn wait<V: Visitor>(
    visitor: &mut V,
    mut reader: FillReader,
    timeout_ms: Option<u64>,
) -> (Option<Step>, Option<FillReader>) {
    let waited = {
        let Some(asked) = visitor.head() else {
            return (None, None);
        };
        let local = visitor.local();
        let head = poll_fn(|cx| reader.poll_head(&asked.fields, local.now(), cx));
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
        (visitor.on_event(event), Some(reader))
    } else {
        drop(reader);
        (visitor.on_event(Event::WaitTimedOut), None)
    }
}

/// Sends a request to the origin for this visitor alone.
async fn fetch<V: Visitor>(
    visitor: &mut V,
    asking: &mut Asking,
    plan: &FetchPlan,
    ahead: &mut Option<VisitorBody>,
) -> (Option<Step>, Option<Answer>) {
    if plan.grpc {
        visitor.set_streaming();
    }
    let local = Rc::clone(visitor.local());
    let interim = visitor.interim();
    let body = || ahead.take().unwrap_or_else(|| visitor.body());
    let answer = match asking.ask(&local, plan, body, interim).await {
        Ok(answer) => answer,
        Err(failure) => return (on_failure(visitor, failure), None),
    };
    let step = match fields(&answer.head.headers) {
        Ok(fields) => {
            let head = OriginHead {
                status: answer.head.status.as_u16(),
                fields,
                body: answer.hint(),
            };
            visitor.on_event(Event::OriginHead(&head))
        }
        Err(_too_many) => on_failure(
            visitor,
            OriginFailure {
                kind: FailureKind::Protocol,
                answer_began: true,
                body_consumed: false,
                reused_connection: false,
            },
        ),
    };
    (step, Some(answer))
}

fn on_failure<V: Visitor>(visitor: &mut V, mut failure: OriginFailure) -> Option<Step> {
    if let Some(kind) = take_broken(visitor) {
        failure.kind = kind;
    }
    visitor.on_event(Event::OriginFailed(failure))
}

/// Whether the visitor's body is what failed; it is recorded as that.
fn take_broken<V: Visitor>(visitor: &mut V) -> Option<FailureKind> {
    let (kind, reason) = match visitor.broken()? {
        Broken::Gone => (FailureKind::ClientBody, Reason::ClientGone),
        Broken::Malformed => (FailureKind::ClientBody, Reason::MalformedMessage),
        Broken::TooSlow => (FailureKind::ClientTimeout, Reason::BodyTimeout),
    };
    visitor.set_aborted(reason);
    Some(kind)
}

fn on_body<V: Visitor>(visitor: &mut V, mut read: BodyRead) -> Option<Step> {
    if let BodyRead::Failed(kind) = &mut read
        && let Some(broken) = take_broken(visitor)
    {
        *kind = broken;
    }
    visitor.on_event(Event::Body(read))
}
