//! A request that can't be answered at once.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use breakwater_edge_h1::{Framing, HeadParser, Persistence, wants_trailers, write_head};
use breakwater_edge_proxy::{End, Event, Name, Reason, RequestHead, Scratch, Step, early};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::pipe::{Pipe, PipeReader};
use super::rest::Rest;
use super::side::Side;
use super::stream::{Cut, Sending};
use super::turn::tell_length;
use super::{Connection, Io, Leave, Open, Place};
use crate::listen::ask::{Answer, InterimSender, VisitorBody};
use crate::listen::client_body::Broken;
use crate::listen::meter::{InFlight, Patience};
use crate::listen::payload::Payload;
use crate::listen::steps::{Outcome, Visitor, decide};
use crate::listen::upgrade;
use crate::listen::worker::Local;
use crate::observe::ConnectionEnd;

/// Interim answers that may wait to be written.
const INTERIMS: usize = 8;

/// A head that has left the buffer that it was read into.
pub(super) struct Asked {
    bytes: Vec<u8>,
    parser: HeadParser,
}

impl Asked {
    pub(super) fn head(&self) -> RequestHead<'_> {
        self.parser.head(&self.bytes)
    }
}

/// A request and everything that is kept of it until its answer has ended. Dropping it records it, so that
/// each is recorded once, however it ends.
struct Exchange {
    place: Rc<Place>,
    asked: Rc<Asked>,
    /// Taken only when this is dropped.
    scratch: Option<Box<Scratch>>,
    pipe: Option<Arc<Pipe>>,
    interim: Option<InterimSender>,
    in_flight: InFlight,
    is_streaming: Rc<Cell<bool>>,
    end: End,
    /// The answer was sent to its end, or there was none to send.
    complete: bool,
}

/// Takes the open request to its end; an error when the connection ends with it.
/// Else the request as it was answered and recorded, of whose body something may still have to be read.
pub(super) async fn run(connection: &mut Connection, step: Step) -> Result<Open, Leave> {
    let Connection {
        place,
        io,
        desk,
        open,
        ..
    } = connection;
    let (Some(desk), Some(open)) = (desk, open.take()) else {
        return Err(Leave::at_once(ConnectionEnd::Error));
    };
    let asked = Rc::new(Asked {
        bytes: desk
            .input
            .pending()
            .get(..open.head_bytes)
            .unwrap_or_default()
            .to_vec(),
        parser: std::mem::take(&mut desk.parser),
    });
    desk.input.consume(open.head_bytes);
    let (http10, body, holds_back) = {
        let head = asked.head();
        (head.http10, head.body, head.expects_continue())
    };
    desk.body.reset(body);
    let pipe = body.may_have_bytes().then(|| Pipe::new(body));
    let (sender, receiver) = mpsc::channel(INTERIMS);
    let is_streaming = Rc::new(Cell::new(false));
    let mut exchange = Exchange {
        place: Rc::clone(place),
        asked: Rc::clone(&asked),
        scratch: Some(std::mem::replace(&mut desk.scratch, place.local.scratch())),
        pipe: pipe.clone(),
        // Interim answers are unknown to HTTP/1.0 (RFC 9110 §15.2).
        interim: (!http10).then_some(sender),
        in_flight: place.meter.request(),
        is_streaming: Rc::clone(&is_streaming),
        end: End::default(),
        complete: false,
    };
    let mut side = Side {
        place,
        io,
        desk,
        asked,
        pipe,
        interim: Some(receiver),
        holds_back,
        is_answering: false,
        patience: Patience::new(&place.local.common.limits),
        shut: None,
        is_streaming,
    };
    let outcome = {
        let mut deciding = pin!(decide(&mut exchange, step));
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = deciding.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            side.poll(cx).map(|()| None)
        })
        .await
    };
    exchange.interim = None;
    side.begin_answer();
    match outcome {
        // The visitor is gone: the request is recorded as such.
        None => Err(Leave::at_once(ConnectionEnd::Error)),
        Some(Outcome::Send { payload, close }) => send(exchange, side, payload, close).await,
        Some(Outcome::Refuse(reason)) => {
            let payload = exchange.refuse(reason);
            send(exchange, side, payload, true).await
        }
        Some(Outcome::Silence { reason, .. }) => {
            exchange.end.aborted = Some(reason);
            exchange.complete = true;
            Err(Leave::orderly(ConnectionEnd::Shut))
        }
        Some(Outcome::Switch(answer)) => {
            let written = exchange.write_switch(&answer, &mut side.desk.out.bytes);
            let came = Bytes::copy_from_slice(side.desk.input.pending());
            if !written {
                return Err(Leave::at_once(ConnectionEnd::Error));
            }
            connection.flush().await?;
            connection.rise();
            Err(switched(exchange, &mut connection.io, came, answer).await)
        }
    }
}

/// Sends the answer that the phases have decided on, and finds where the next request begins.
async fn send(
    mut exchange: Exchange,
    mut side: Side<'_>,
    payload: Payload,
    close: bool,
) -> Result<Open, Leave> {
    let rest = rest(&exchange, &side, &payload);
    let (framing, persistence) = exchange
        .write_head(&mut side, &payload, close, rest)
        .ok_or_else(|| Leave::at_once(ConnectionEnd::Error))?;
    let with_trailers = wants_trailers(&exchange.asked.head().fields);
    let sending = Sending::new(payload, framing, with_trailers);
    match sending.run(&mut side, &mut exchange.end).await {
        Ok(()) => exchange.complete = true,
        Err(Cut::Gone) => return Err(side.place.broken()),
        Err(Cut::Truncated) => {
            exchange.end.aborted = Some(Reason::BodyTruncated);
            if framing == Framing::UntilClose {
                // The end of the connection would be the end of the body.
                side.io.reset_when_closed();
                return Err(Leave::at_once(ConnectionEnd::Error));
            }
            return Err(Leave::orderly(ConnectionEnd::Error));
        }
    }
    // The head's bytes have left the buffer.
    let head_bytes = 0;
    let rest = match rest {
        Rest::Away if side.has_body() => Rest::Here(0),
        Rest::Away if exchange.broken().is_some() => Rest::Left,
        rest => rest,
    };
    Ok(Open::new(head_bytes, rest, persistence))
}

/// What is to become of what is left of the request's body.
fn rest(exchange: &Exchange, side: &Side<'_>, payload: &Payload) -> Rest {
    let most = side.place.local.common.limits.unread_body_bytes;
    let is_too_much = side.desk.body.remaining() > most;
    // The origin may still be reading it.
    let is_read = matches!(payload, Payload::Origin(_));
    if side.has_body() {
        Rest::Here(0)
    } else if side.holds_back || exchange.broken().is_some() || (is_too_much && !is_read) {
        Rest::Left
    } else {
        Rest::Away
    }
}

/// Carries bytes both ways to the end of both connections.
async fn switched(mut exchange: Exchange, io: &mut Io, came: Bytes, mut answer: Answer) -> Leave {
    exchange.in_flight.set_streaming();
    let place = Rc::clone(&exchange.place);
    if let Some(origin) = &mut answer.upgraded {
        let mut client = Prefixed { came, io };
        exchange.end.body_bytes = upgrade::carry(&place.local, &place.meter, &mut client, origin).await;
    }
    exchange.complete = true;
    Leave::at_once(ConnectionEnd::Closed)
}

/// A connection of which some bytes were read too early.
struct Prefixed<'c> {
    came: Bytes,
    io: &'c mut Io,
}

impl AsyncRead for Prefixed<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            return Pin::new(&mut *self.io).poll_read(cx, buf);
        }
        let bytes = self.came.len().min(buf.remaining());
        buf.put_slice(&self.came.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

impl Exchange {
    /// Writes the answer's head; `None`: there is none.
    fn write_head(
        &mut self,
        side: &mut Side<'_>,
        payload: &Payload,
        close: bool,
        rest: Rest,
    ) -> Option<(Framing, Persistence)> {
        let response = &mut self.scratch.as_mut()?.response;
        let head = self.asked.head();
        tell_length(&head, response, payload.length());
        let (framing, persistence) = side.place.answer(&head, response, close, rest);
        write_head(&mut side.desk.out.bytes, response, framing, persistence);
        Some((framing, persistence))
    }

    /// Writes a 101; false: there is none.
    fn write_switch(&mut self, answer: &Answer, out: &mut Vec<u8>) -> bool {
        let Some(scratch) = &mut self.scratch else {
            return false;
        };
        let response = &mut scratch.response;
        for name in [Name::Upgrade, Name::Connection] {
            if let Some(value) = answer.head.headers.get(name.as_str()) {
                response.fields.push(name, value.as_bytes());
            }
        }
        write_head(out, response, Framing::Bare, Persistence::Keep);
        true
    }

    /// Makes a standard answer that no phase has seen.
    fn refuse(&mut self, reason: Reason) -> Payload {
        self.end.aborted = Some(reason);
        // A state of its own: what stands in the old one is half decided.
        let scratch = self.scratch.insert(Box::default());
        let body = early(reason, self.place.local.now(), &mut scratch.response);
        Payload::whole(body)
    }
}

impl Visitor for Exchange {
    fn local(&self) -> &Rc<Local> {
        &self.place.local
    }

    fn head(&self) -> Option<RequestHead<'_>> {
        Some(self.asked.head())
    }

    fn on_event(&mut self, event: Event<'_, '_>) -> Option<Step> {
        let local = &self.place.local;
        let (head, scratch) = (self.asked.head(), self.scratch.as_mut()?);
        Some(
            local
                .phases
                .on_event(&self.place.facts, &head, event, local.now(), scratch),
        )
    }

    fn body(&mut self) -> VisitorBody {
        match &self.pipe {
            Some(pipe) => PipeReader(Arc::clone(pipe)).map_err(Into::into).boxed_unsync(),
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        }
    }

    fn broken(&self) -> Option<Broken> {
        self.pipe.as_ref()?.broken()
    }

    fn set_streaming(&mut self) {
        self.in_flight.set_streaming();
        self.is_streaming.set(true);
    }

    fn set_aborted(&mut self, reason: Reason) {
        self.end.aborted = Some(reason);
    }

    fn interim(&self) -> Option<InterimSender> {
        self.interim.clone()
    }

    fn can_switch(&self) -> bool {
        true
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(scratch) = self.scratch.take() else {
            return;
        };
        if !self.complete && self.end.aborted.is_none() {
            self.end.aborted = Some(Reason::ClientGone);
        }
        self.end.request_body_bytes = self.pipe.as_ref().map_or(0, |pipe| pipe.read_bytes());
        let Place { local, facts, .. } = &*self.place;
        let head = self.asked.head();
        let record = local
            .phases
            .record(facts, &head, &self.end, local.now(), &scratch);
        local.recorder.record(&record, facts.id);
        local.give_back(scratch);
    }
}
