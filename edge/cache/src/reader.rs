//! A reader's side of a fill.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::entry::Hit;
use crate::fields::{Fields, FieldsView, Replaced};
use crate::fill::{AnswerHead, Fill, Phase};
use crate::{Now, Reason};

/// Reads the answer that a fill brings. Dropping it leaves the fill, which may go on without.
///
/// Polled from one task at a time; whoever polled last is woken.
pub struct FillReader {
    fill: Arc<Fill>,
    id: usize,
    leader: bool,
    offset: u64,
    /// See [`FillReader::select_by`].
    replaced: Option<(&'static [u8], &'static [u8])>,
}

/// What came of waiting for a head.
#[derive(Clone, Debug)]
pub enum HeadEvent {
    /// The head of the answer; the body follows by [`FillReader::poll_chunk`].
    Head(AnswerHead),
    /// The origin confirmed what is stored: serve this. There is no body to poll.
    Validated(Hit),
    /// The origin failed, and this may be served in place of the error. There is no body to poll.
    Stale(Hit, Reason),
    /// This answer is not for this request: fetch alone ([`BeginMode::Alone`](crate::BeginMode)). Never for
    /// the leader.
    Leave(Reason),
    /// There will be no answer. [`Reason::Dropped`] says nothing about the origin: begin again. Otherwise
    /// the origin failed for everybody who waits, and nobody asks it again on their behalf; the number is
    /// what [`FillWriter::abort_noting`](crate::FillWriter::abort_noting) was given, else 0.
    Abort(Reason, u8),
}

/// What came of waiting for a part of a body.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// More of the body.
    Data(Bytes),
    /// The body was whole.
    End(Option<Arc<Fields>>),
    /// It was not, or this reader can't have it: abort the answer, never end it cleanly.
    Abort(Reason),
}

impl FillReader {
    /// The fill must not be locked.
    pub(crate) fn new(fill: Arc<Fill>, leader: bool) -> Self {
        let id = fill.state.lock().readers.add();
        Self {
            fill,
            id,
            leader,
            offset: 0,
            replaced: None,
        }
    }

    /// Whether this reader joined another's fetch, for `Cache-Status`.
    pub fn is_collapsed(&self) -> bool {
        !self.leader
    }

    /// Its request began with this field [replaced](Replaced), and is matched so.
    pub fn select_by(&mut self, name: &'static [u8], value: &'static [u8]) {
        self.replaced = Some((name, value));
    }

    /// Waits for the head. `request` is the same that the reader began with: the answer's `Vary` decides
    /// whether it is for it.
    pub fn poll_head(&mut self, request: &dyn FieldsView, now: Now, cx: &mut Context<'_>) -> Poll<HeadEvent> {
        let replaced = self.replaced.map(|(name, value)| Replaced {
            fields: request,
            name,
            value,
        });
        let request = match &replaced {
            Some(replaced) => replaced,
            None => request,
        };
        let mut state = self.fill.state.lock();
        let variant = |entry_vary: &crate::VaryKey| self.leader || entry_vary.matches(request);
        Poll::Ready(match &state.phase {
            Phase::Waiting => {
                state.readers.wait(self.id, cx.waker());
                return Poll::Pending;
            }
            Phase::Aborted(reason) if state.answer.is_none() => HeadEvent::Abort(*reason, state.note),
            Phase::Validated {
                shared: Err(reason), ..
            } if !self.leader => HeadEvent::Leave(*reason),
            Phase::Validated { entry, .. } | Phase::Stale { entry, .. } if !variant(&entry.vary) => {
                HeadEvent::Leave(Reason::OtherVariant)
            }
            // A purge that came meanwhile holds for whoever hasn't been answered yet.
            Phase::Validated { entry, .. } | Phase::Stale { entry, .. }
                if entry.is_purged(&self.fill.site) && !self.leader =>
            {
                HeadEvent::Leave(Reason::Purged)
            }
            Phase::Validated { entry, .. } => HeadEvent::Validated(Hit::new(Arc::clone(entry), now)),
            Phase::Stale { entry, reason } => HeadEvent::Stale(Hit::new(Arc::clone(entry), now), *reason),
            Phase::Streaming | Phase::Done | Phase::Aborted(_) => {
                let Some(answer) = &state.answer else {
                    return Poll::Ready(HeadEvent::Abort(Reason::Dropped, 0));
                };
                if self.leader {
                    HeadEvent::Head(answer.leader.clone())
                } else {
                    match &answer.joined {
                        Err(reason) => HeadEvent::Leave(*reason),
                        Ok(joined) if !joined.vary.matches(request) => HeadEvent::Leave(Reason::OtherVariant),
                        Ok(_) if state.buffer.start() > 0 => HeadEvent::Leave(Reason::Lagged),
                        Ok(joined) => HeadEvent::Head(joined.head_at(now)),
                    }
                }
            }
        })
    }

    /// Waits for the next part of the body, after the head came.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        let (event, writer) = {
            let mut state = self.fill.state.lock();
            if let Phase::Aborted(reason) = state.phase {
                return Poll::Ready(Chunk::Abort(reason));
            }
            if self.offset < state.buffer.start() {
                return Poll::Ready(Chunk::Abort(Reason::Lagged));
            }
            match state.buffer.read(self.offset) {
                Some(chunk) => {
                    self.offset += chunk.len() as u64;
                    if let Some(reader) = state.readers.get_mut(self.id) {
                        reader.offset = self.offset;
                    }
                    let moved = self.offset > state.fastest;
                    state.fastest = state.fastest.max(self.offset);
                    (Chunk::Data(chunk), if moved { state.writer.take() } else { None })
                }
                None if matches!(state.phase, Phase::Waiting | Phase::Streaming) => {
                    state.readers.wait(self.id, cx.waker());
                    return Poll::Pending;
                }
                None => (Chunk::End(state.trailers.clone()), None),
            }
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(event)
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        let writer = {
            let mut state = self.fill.state.lock();
            state.readers.remove(self.id);
            if state.readers.len() == 0 {
                state.orphaned_at = state.buffer.end();
            }
            state.writer.take()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl fmt::Debug for FillReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillReader")
            .field("leader", &self.leader)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
