//! Sending an answer that comes in parts.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breakwater_edge_h1::{CHUNK_END, Framing, write_chunk_start, write_end};
use breakwater_edge_proxy::{End, FieldBuf};
use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use super::poll_write_slices;
use super::side::Side;
use crate::listen::payload::{Part, Payload};

/// Why an answer wasn't sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The visitor is gone, or takes it too slowly.
    Gone,
    /// The body broke off, or isn't as long as was told. What came of it is sent.
    Truncated,
}

/// An answer's body on its way, behind the head that lies ready.
pub(super) struct Sending {
    payload: Payload,
    framing: Framing,
    /// Trailers are sent too.
    with_trailers: bool,
    part: Bytes,
    /// What stands behind it.
    tail: &'static [u8],
    /// With [`Framing::Length`]: bytes that are still to come.
    left: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Parts,
    /// Nothing but what is being written.
    Over,
    Broken,
}

impl Sending {
    pub(super) fn new(payload: Payload, framing: Framing, with_trailers: bool) -> Self {
        Self {
            state: if framing.has_body() {
                State::Parts
            } else {
                State::Over
            },
            payload,
            framing,
            with_trailers,
            part: Bytes::new(),
            tail: b"",
            left: match framing {
                Framing::Length(length) => length,
                _ => 0,
            },
        }
    }

    /// Sends it to its end.
    pub(super) async fn run(mut self, side: &mut Side<'_>, end: &mut End) -> Result<(), Cut> {
        poll_fn(|cx| {
            loop {
                let waits = !self.poll_take(side, cx);
                match self.poll_write(side, end, cx) {
                    Poll::Ready(Ok(())) if waits => {
                        // Whatever is under the connection sends what it has; this is woken by what comes.
                        if let Poll::Ready(Err(_)) = Pin::new(&mut *side.io).poll_flush(cx) {
                            return Poll::Ready(Err(Cut::Gone));
                        }
                    }
                    Poll::Ready(Ok(())) => match self.state {
                        State::Parts => continue,
                        State::Over => return poll_over(side, cx),
                        State::Broken => return Poll::Ready(Err(Cut::Truncated)),
                    },
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut::Gone)),
                    Poll::Pending => {}
                }
                ready!(side.poll_incoming(cx));
                return Poll::Ready(Err(Cut::Gone));
            }
        })
        .await
    }

    /// Takes the next part where the last is written; false when there is none yet.
    fn poll_take(&mut self, side: &mut Side<'_>, cx: &mut Context<'_>) -> bool {
        if self.state == State::Parts && self.part.is_empty() && self.tail.is_empty() {
            let Poll::Ready(part) = self.payload.poll_part(cx) else {
                return false;
            };
            self.take(part, &mut side.desk.out.bytes);
        }
        true
    }

    /// Writes what there is.
    fn poll_write(
        &mut self,
        side: &mut Side<'_>,
        end: &mut End,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let out = &mut side.desk.out;
        while out.len() + self.part.len() + self.tail.len() > 0 {
            let slices = [out.pending(), &self.part, self.tail];
            let mut written = ready!(poll_write_slices(side.io, cx, slices))?;
            let of_out = written.min(out.len());
            out.advance(of_out);
            written -= of_out;
            let of_part = written.min(self.part.len());
            self.part.advance(of_part);
            end.body_bytes += of_part as u64;
            written -= of_part;
            self.tail = self.tail.get(written..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, part: Part, out: &mut Vec<u8>) {
        match part {
            Part::Data(data) if data.is_empty() => {}
            Part::Data(data) => match self.framing {
                Framing::Chunked => {
                    write_chunk_start(out, data.len());
                    self.part = data;
                    self.tail = CHUNK_END;
                }
                Framing::Length(_) => match self.left.checked_sub(data.len() as u64) {
                    Some(left) => {
                        self.left = left;
                        self.part = data;
                    }
                    None => self.state = State::Broken,
                },
                _ => self.part = data,
            },
            Part::End(trailers) if self.left == 0 => {
                self.state = State::Over;
                if self.framing == Framing::Chunked {
                    let trailers = trailers.filter(|_| self.with_trailers);
                    write_end(out, trailers.iter().flat_map(FieldBuf::iter));
                }
            }
            Part::End(_) | Part::Broken => self.state = State::Broken,
        }
        if let State::Parts = self.state
            && matches!(self.framing, Framing::Length(_))
            && self.left == 0
            && self.payload.is_end()
        {
            self.state = State::Over;
        }
    }
}

/// Waits until everything is on its way.
fn poll_over(side: &mut Side<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
    let flushed = ready!(Pin::new(&mut *side.io).poll_flush(cx));
    Poll::Ready(flushed.map_err(|_| Cut::Gone))
}
