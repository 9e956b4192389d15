//! What goes on on a connection while a request waits: its body comes, interim answers go, its visitor leaves.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use breakwater_edge_h1::{Decoded, write_interim};
use breakwater_edge_proxy::{BodyHint, FieldBuf, OriginHead, trailers};
use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep};

use super::buffers::{Desk, Output};
use super::pipe::Pipe;
use super::request::Asked;
use super::{BODY_BYTES, Io, Place};
use crate::listen::client_body::Broken;
use crate::listen::head::{fields, header_map};
use crate::listen::meter::Patience;

/// Interim answers are hints: with more than this to be written they are left out.
const MAX_INTERIM_BYTES: usize = 16 << 10;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection as one request uses it.
pub(super) struct Side<'c> {
    pub(super) place: &'c Place,
    pub(super) io: &'c mut Io,
    pub(super) desk: &'c mut Desk,
    pub(super) asked: Rc<Asked>,
    /// Where the body goes; `None`: there is none.
    pub(super) pipe: Option<Arc<Pipe>>,
    pub(super) interim: Option<Receiver<Response<()>>>,
    /// The visitor waits for 100 (Continue).
    pub(super) holds_back: bool,
    /// The answer has begun: nothing comes before it any more.
    pub(super) is_answering: bool,
    pub(super) patience: Patience,
    /// The visitor has shut its side.
    pub(super) shut: Option<Shut>,
    pub(super) is_streaming: Rc<Cell<bool>>,
}

impl Side<'_> {
    /// Does what can be done; ready when the visitor is gone.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.take_interims(cx);
        // A write that can't go on doesn't keep the body from coming.
        if let Poll::Ready(Err(_)) = self.desk.out.poll_flush(self.io, cx) {
            return Poll::Ready(());
        }
        self.poll_incoming(cx)
    }

    /// The same once the answer has begun: what is written is the answer's.
    pub(super) fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.pipe.clone() {
            Some(pipe) if pipe.broken().is_some() => Poll::Pending,
            Some(pipe) if !self.desk.body.is_done() => self.feed(&pipe, cx),
            _ => self.watch(cx),
        }
    }

    /// The answer begins: what would have come before it can't come any more.
    pub(super) fn begin_answer(&mut self) {
        if let Some(interim) = &mut self.interim {
            while let Ok(answer) = interim.try_recv() {
                pass_on(self.place, &self.asked, &answer, &mut self.desk.out);
            }
        }
        self.interim = None;
        self.is_answering = true;
    }

    /// The visitor has sent all of its body.
    pub(super) fn has_body(&self) -> bool {
        self.desk.body.is_done()
    }

    fn take_interims(&mut self, cx: &mut Context<'_>) {
        let Some(interim) = &mut self.interim else { return };
        while let Poll::Ready(Some(answer)) = interim.poll_recv(cx) {
            pass_on(self.place, &self.asked, &answer, &mut self.desk.out);
        }
    }

    /// Reads the body as fast as it is taken.
    fn feed(&mut self, pipe: &Pipe, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !pipe.is_wanted(cx) {
                return Poll::Pending;
            }
            if self.holds_back && self.is_answering {
                return Poll::Pending;
            }
            if std::mem::take(&mut self.holds_back) && self.desk.input.is_empty() {
                self.desk.out.bytes.extend_from_slice(CONTINUE);
                if let Poll::Ready(Err(_)) = self.desk.out.poll_flush(self.io, cx) {
                    return Poll::Ready(());
                }
            }
            match self.desk.body.decode(self.desk.input.pending()) {
                Err(_) => pipe.fail(Broken::Malformed),
                Ok(Decoded::Data { from, to }) => {
                    let piece = self.desk.input.pending().get(from..to).unwrap_or_default();
                    let piece = Bytes::copy_from_slice(piece);
                    self.desk.input.consume(to);
                    self.patience
                        .progress(piece.len(), &self.place.local.common.limits);
                    pipe.put(piece);
                    if self.desk.body.is_done() {
                        pipe.end(None);
                    }
                }
                Ok(Decoded::End { from, to }) => {
                    match self.trailers(from, to) {
                        Ok(trailers) => pipe.end(trailers),
                        Err(broken) => pipe.fail(broken),
                    }
                    self.desk.input.consume(to);
                }
                Ok(Decoded::More { used }) => {
                    self.desk.input.consume(used);
                    match self.poll_more(cx) {
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(broken)) => {
                            pipe.fail(broken);
                            if broken == Broken::Gone {
                                return Poll::Ready(());
                            }
                        }
                        Poll::Pending => {}
                    }
                    return Poll::Pending;
                }
            }
            if self.desk.body.is_done() {
                return self.watch(cx);
            }
            if pipe.broken().is_some() {
                return Poll::Pending;
            }
        }
    }

    /// Reads more of the body; an error when that took too long or there is no more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let limits = &self.place.local.common.limits;
        self.desk.input.enlarge(BODY_BYTES);
        match self.desk.input.poll_fill(self.io, cx, BODY_BYTES) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(Broken::Gone)),
            Poll::Pending => {
                let idle = self.is_streaming.get().then_some(limits.idle_stream);
                ready!(self.patience.poll_exhausted(cx, idle));
                Poll::Ready(Err(Broken::TooSlow))
            }
        }
    }

    /// What of the trailers may be passed on. An origin that merged the others into the head would be told
    /// something that no phase has seen.
    fn trailers(&self, from: usize, to: usize) -> Result<Option<HeaderMap>, Broken> {
        let section = self.desk.input.pending().get(from..to).unwrap_or_default();
        let lines = self.desk.body.trailers(section);
        let mut passed = FieldBuf::default();
        if trailers::filter(&lines, &mut passed) {
            Ok((!passed.is_empty()).then(|| header_map(passed.iter())))
        } else {
            Err(Broken::Malformed)
        }
    }

    /// Reads what comes next, as far as there is room: an end is seen only by who reads.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.shut.is_none() && self.desk.input.len() < BODY_BYTES / 4 {
            match ready!(self.desk.input.poll_fill(self.io, cx, BODY_BYTES)) {
                Ok(1..) => {}
                Ok(0) => self.shut = Some(Shut::new(self.place)),
                Err(_) => return Poll::Ready(()),
            }
        }
        match &mut self.shut {
            Some(shut) => shut.poll_gone(self.place, cx),
            None => Poll::Pending,
        }
    }
}

/// A visitor that sends no more. Whether it still reads is seen when something is written: until then it has some
/// time, and more whenever something was taken.
pub(super) struct Shut {
    written: u64,
    patience: Pin<Box<Sleep>>,
}

impl Shut {
    fn new(place: &Place) -> Self {
        Self {
            written: place.meter.bytes().1,
            patience: Box::pin(sleep(place.local.common.limits.half_closed)),
        }
    }

    fn poll_gone(&mut self, place: &Place, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.patience.as_mut().poll(cx));
            let written = place.meter.bytes().1;
            if written == self.written {
                return Poll::Ready(());
            }
            self.written = written;
            let until = Instant::now() + place.local.common.limits.half_closed;
            self.patience.as_mut().reset(until);
        }
    }
}

fn pass_on(place: &Place, asked: &Asked, answer: &Response<()>, out: &mut Output) {
    let Ok(fields) = fields(answer.headers()) else {
        return;
    };
    let interim = OriginHead {
        status: answer.status().as_u16(),
        fields,
        body: BodyHint::None,
    };
    let local = &place.local;
    let mut scratch = local.scratch();
    let passes = local.phases.on_interim(&asked.head(), &interim, &mut scratch);
    if passes && out.len() < MAX_INTERIM_BYTES {
        write_interim(&mut out.bytes, &scratch.response);
    }
    local.give_back(scratch);
}
