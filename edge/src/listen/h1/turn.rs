//! What can be answered at once.

use breakwater_edge_cache::StoredBody;
use breakwater_edge_h1::{
    Framing, HeadLimits, Persistence, Reasons, Refusal, frame, persistence, wants_persistence, write_head,
};
use breakwater_edge_proxy::{End, Reason, RequestHead, ResponseHead, Scratch, Step, early};
use bytes::Bytes;

use super::buffers::Desk;
use super::rest::{Rest, rest};
use super::{Connection, Leave, Open, Place};
use crate::listen::fill;
use crate::observe::ConnectionEnd;

/// A body up to this size is copied behind its head; larger ones are written from where they are.
const SMALL_BYTES: u64 = 16 << 10;

/// With so much to write, that is done before the next request is looked at.
const FULL_BYTES: usize = 64 << 10;

/// What there is to do before the next request can be looked at.
pub(super) enum Turn {
    /// More bytes are needed; `begun`: a head has begun.
    More { begun: bool },
    /// There is much to be written.
    Full,
    /// The head of the open request's answer lies ready, and this follows.
    Stored(StoredBody),
    /// The open request is answered and recorded; the rest of it is to be dealt with.
    Rest,
    /// The open request has to wait for something.
    Wait(Step),
    /// The connection ends.
    Leave(Leave),
}

impl Connection {
    /// Answers what can be answered of what has come.
    pub(super) fn turn(&mut self) -> Turn {
        let limits = self.head_limits();
        let Some(desk) = &mut self.desk else {
            return Turn::More { begun: false };
        };
        loop {
            if desk.out.len() >= FULL_BYTES {
                return Turn::Full;
            }
            if desk.input.is_empty() {
                return Turn::More { begun: false };
            }
            match one(&self.place, desk, &mut self.open, &limits) {
                One::Answered => self.head_since = None,
                One::Turn(turn) => return turn,
            }
        }
    }
}

/// What came of one request.
enum One {
    /// It is answered, recorded and used up.
    Answered,
    Turn(Turn),
}

fn one(place: &Place, desk: &mut Desk, open: &mut Option<Open>, limits: &HeadLimits) -> One {
    let head_bytes = match desk.parser.parse(desk.input.pending(), limits) {
        Ok(Some(head_bytes)) => head_bytes,
        Ok(None) => return One::Turn(Turn::More { begun: true }),
        Err(refusal) => return One::Turn(Turn::Leave(refuse(place, desk, refusal))),
    };
    let Desk {
        input,
        out,
        parser,
        body: decoder,
        scratch,
    } = desk;
    let (bytes, after) = input.pending().split_at_checked(head_bytes).unwrap_or_default();
    let head = parser.head(bytes);
    let local = &place.local;
    let now = local.now();
    let step = match parser.body() {
        Ok(_) => local.phases.on_head(&place.facts, &head, now, scratch),
        Err(reason) => misframed(reason, now, scratch),
    };
    let (payload, close) = match step {
        Step::Reply { body, close } => (Ready::Whole(body), close),
        Step::Serve { body, fill } => {
            if let Some(fill) = fill {
                fill::start(local, fill, None);
            }
            (Ready::Stored(body), false)
        }
        Step::Close(reason) | Step::Reset(reason) => {
            record(place, &head, &aborted(reason), scratch);
            return One::Turn(Turn::Leave(Leave::orderly(ConnectionEnd::Shut)));
        }
        step => {
            *open = Some(Open::new(head_bytes, Rest::Left, Persistence::Close));
            return One::Turn(Turn::Wait(step));
        }
    };
    let rest = match parser.body() {
        Ok(_) => rest(&head, after, decoder, local.common.limits.unread_body_bytes),
        Err(_) => Rest::Left,
    };
    if rest == Rest::Away {
        decoder.reset(head.body);
    }
    let length = payload.length();
    tell_length(&head, &mut scratch.response, Some(length));
    let (framing, persistence) = place.answer(&head, &scratch.response, close, rest);
    write_head(&mut out.bytes, &scratch.response, framing, persistence);
    let mut answered = Open::new(head_bytes, rest, persistence);
    if framing.has_body() && framing != Framing::Length(length) {
        // Were that ever so, the next answer would be read as a part of this one.
        answered.persists = false;
    }
    if framing.has_body() {
        match payload {
            Ready::Stored(body) if body.remaining() > SMALL_BYTES => {
                *open = Some(answered);
                return One::Turn(Turn::Stored(body));
            }
            payload => answered.end.body_bytes = payload.copy(&mut out.bytes),
        }
    }
    record(place, &head, &answered.end, scratch);
    drop(head);
    match rest {
        Rest::Here(bytes) if answered.persists => {
            parser.reset();
            input.consume(head_bytes + bytes);
            One::Answered
        }
        _ => {
            *open = Some(answered);
            One::Turn(Turn::Rest)
        }
    }
}

/// The body of an answer that is at hand.
enum Ready {
    Whole(Bytes),
    Stored(StoredBody),
}

impl Ready {
    fn length(&self) -> u64 {
        match self {
            Self::Whole(body) => body.len() as u64,
            Self::Stored(body) => body.remaining(),
        }
    }

    /// Appends it; returns its length.
    fn copy(self, out: &mut Vec<u8>) -> u64 {
        let before = out.len();
        match self {
            Self::Whole(body) => out.extend_from_slice(&body),
            Self::Stored(mut body) => {
                while body.remaining() > 0 {
                    let part = body.peek(usize::MAX);
                    let bytes = part.len();
                    out.extend_from_slice(part);
                    body.advance(bytes);
                }
            }
        }
        (out.len() - before) as u64
    }
}

/// What is at hand has a length, whether or not the phases told it.
pub(super) fn tell_length(head: &RequestHead<'_>, response: &mut ResponseHead, length: Option<u64>) {
    let has_body = head.method != b"HEAD" && !matches!(response.status, 100..=199 | 204 | 304);
    if has_body && response.length.is_none() {
        response.length = length;
    }
}

fn aborted(reason: Reason) -> End {
    End {
        aborted: Some(reason),
        ..End::default()
    }
}

fn record(place: &Place, head: &RequestHead<'_>, end: &End, scratch: &Scratch) {
    let local = &place.local;
    let record = local.phases.record(&place.facts, head, end, local.now(), scratch);
    local.recorder.record(&record, place.facts.id);
}

/// The standard answer to a complete head whose body can't be found; no phase sees it.
fn misframed(reason: Reason, now: breakwater_edge_proxy::Now, scratch: &mut Scratch) -> Step {
    scratch.release();
    let body = early(reason, now, &mut scratch.response);
    Step::Reply { body, close: true }
}

/// Answers bytes that are no head, as far as they deserve it.
fn refuse(place: &Place, desk: &mut Desk, refusal: Refusal) -> Leave {
    let Refusal::Answered(reason) = refusal else {
        place.refused(refusal.reason(), 0, desk.input.pending());
        return Leave::orderly(ConnectionEnd::Error);
    };
    let response = &mut desk.scratch.response;
    let body = early(reason, place.local.now(), response);
    place.refused(reason, response.status, desk.input.pending());
    let framing = Framing::Length(body.len() as u64);
    write_head(&mut desk.out.bytes, response, framing, Persistence::Close);
    desk.out.bytes.extend_from_slice(&body);
    Leave::unread(ConnectionEnd::Error)
}

impl Open {
    pub(super) fn new(head_bytes: usize, rest: Rest, persistence: Persistence) -> Self {
        Self {
            head_bytes,
            end: End::default(),
            rest,
            persists: persistence != Persistence::Close,
        }
    }
}

impl Place {
    /// Framing and persistence of an answer.
    pub(super) fn answer(
        &self,
        head: &RequestHead<'_>,
        response: &ResponseHead,
        close: bool,
        rest: Rest,
    ) -> (Framing, Persistence) {
        let framing = frame(head.method, head.http10, response.status, response.length);
        let reasons = Reasons {
            refused: close,
            draining: self.local.bell.rung().is_some(),
            unread: rest == Rest::Left,
        };
        let wanted = wants_persistence(head);
        (framing, persistence(wanted, head.http10, framing, reasons))
    }
}
