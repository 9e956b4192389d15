//! The leader's side of a fill: what came from the origin goes in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::budget::Held;
use crate::conditional::OriginCondition;
use crate::entry::Hit;
use crate::fields::{Fields, FieldsView};
use crate::fill::{Answer, AnswerHead, Fill, Joined, Phase, State, Storing};
use crate::freshness::{Lifetime, Verdict};
use crate::purge::Standing;
use crate::range::ContentRange;
use crate::stored::{end_to_end_fields, stored_fields};
use crate::tags::Tags;
use crate::vary::VaryKey;
use crate::{Now, Reason};

/// Writes the answer of an origin to everybody who waits for it, and to the cache if it may be stored.
///
/// Belongs to a task of its own, which outlives the visitor that caused it. Dropping it before
/// [`finish`](Self::finish) is an abort: readers are aborted, nothing is stored.
pub struct FillWriter {
    pub(crate) fill: Arc<Fill>,
    /// What is being validated, with its age then.
    pub(crate) stale: Option<Hit>,
    pub(crate) ended: bool,
}

impl FillWriter {
    /// What of the visitor's request selects the answer; a copy that outlives the visitor.
    pub fn request(&self) -> &Fields {
        &self.fill.request
    }

    /// What is being validated.
    pub fn stale(&self) -> Option<&Hit> {
        self.stale.as_ref()
    }

    /// What to ask the origin with, in place of the visitor's own conditions.
    pub fn condition(&self) -> Option<OriginCondition<'_>> {
        self.stale.as_ref().and_then(OriginCondition::of)
    }

    /// To be called when the request is about to be sent to the origin, each time that it is: a purge before
    /// this moment doesn't hold for the answer, a later one does.
    pub fn mark_sent(&self) {
        self.fill
            .purge
            .store(self.fill.site.purge_seq(), Ordering::Release);
    }

    /// Passes on the head of the answer. `fields` are those to send and store, after whatever the site
    /// prepares; `verdict` is that of [`judge`](crate::judge) on the origin's own.
    ///
    /// Says whether the answer is going to be stored. Does nothing after the first call.
    pub fn head(
        &mut self,
        status: u16,
        fields: &dyn FieldsView,
        content_length: Option<u64>,
        verdict: Verdict,
        now: Now,
    ) -> Result<(), Reason> {
        let part = ContentRange::of(fields).filter(|_| status == 206);
        let length = part.map(|part| part.complete).or(content_length);
        let plan = self.plan(fields, length, verdict);
        let stored = plan.as_ref().map(|_| ()).map_err(|reason| *reason);
        // Fresh for no time: each request must ask for itself (RFC 9111 §4), so nobody shares it.
        let shared = match &plan {
            Err(reason) => Err(*reason),
            Ok(_) if status == 206 => Err(Reason::Partial),
            Ok((lifetime, _)) if lifetime.always_validate || lifetime.ttl_ms(now) <= 0 => {
                Err(Reason::NotShared)
            }
            Ok(_) => Ok(()),
        };
        // What a lone request was answered says nothing about the others.
        if shared.is_err_and(|reason| reason != Reason::Purged) && self.fill.listed {
            self.fill.shared.mark(self.fill.hash, now);
        }
        let whole = Arc::new(end_to_end_fields(fields, now.wall_secs()));
        let leader = AnswerHead {
            status,
            fields: whole,
            age_secs: None,
            content_length,
            stored,
        };
        let (joined, storing) = match plan {
            Err(reason) => (Err(reason), None),
            Ok((lifetime, vary)) => {
                let kept = Arc::new(stored_fields(
                    status,
                    fields,
                    &lifetime.unstored_fields,
                    now.wall_secs(),
                ));
                let head = AnswerHead {
                    fields: Arc::clone(&kept),
                    ..leader.clone()
                };
                let joined = shared.map(|()| Joined {
                    head,
                    vary: vary.clone(),
                    initial_age_ms: lifetime.initial_age_ms,
                    received_mono_ms: lifetime.received_mono_ms,
                });
                (
                    joined,
                    Some(Storing {
                        vary,
                        lifetime,
                        fields: kept,
                        part,
                    }),
                )
            }
        };
        let passes_on = joined.is_ok();
        let taken = self.fill.update(|state| {
            let first = matches!(state.phase, Phase::Waiting);
            if first {
                state.phase = Phase::Streaming;
                state.answer = Some(Answer {
                    leader,
                    joined,
                    storing,
                });
            }
            first
        });
        if taken && !passes_on {
            self.fill.shared.unlist(&self.fill);
        }
        stored
    }

    fn plan(
        &self,
        fields: &dyn FieldsView,
        content_length: Option<u64>,
        verdict: Verdict,
    ) -> Result<(Lifetime, VaryKey), Reason> {
        let lifetime = match verdict {
            Verdict::Store(lifetime) => lifetime,
            Verdict::Refuse(reason) => return Err(reason),
        };
        if self.is_purged(&lifetime.tags) {
            return Err(Reason::Purged);
        }
        if content_length.is_some_and(|length| self.is_too_large(length, &lifetime)) {
            return Err(Reason::TooLarge);
        }
        let vary = VaryKey::new(fields, &self.fill.request, lifetime.unvaried_fields)
            .map_err(|_| Reason::VaryTooLarge)?;
        Ok((lifetime, vary))
    }

    /// Waits until there is room for more: while the fastest reader is a window behind, and, once no reader
    /// is left, not beyond a bound.
    ///
    /// `Err` says to give up: nobody wants the rest. The caller bounds the time without readers, see
    /// [`poll_orphaned`](Self::poll_orphaned).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let limits = self.fill.shared.limits;
        let mut state = self.fill.state.lock();
        let end = state.buffer.end();
        if state.readers.len() == 0 {
            let rest = state
                .answer
                .as_ref()
                .and_then(|answer| answer.leader.content_length);
            let rest = rest.map_or(0, |length| length.saturating_sub(state.orphaned_at));
            let beyond = rest.max(end.saturating_sub(state.orphaned_at)) > limits.orphan_bytes;
            let give_up = !state.is_storing() || beyond;
            return Poll::Ready(if give_up { Err(Reason::Abandoned) } else { Ok(()) });
        }
        if end.saturating_sub(state.fastest) >= limits.window_bytes as u64 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when there is no reader. For the clock that bounds a fill without any. The task that polls it
    /// is the one that polls [`poll_ready`](Self::poll_ready).
    pub fn poll_orphaned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.fill.state.lock();
        if state.readers.len() == 0 {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes memory for an encoder of the body, where there is some: all of them have an eighth of the cache's
    /// bytes.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        self.fill.shared.hold_for_coding(bytes)
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        self.fill.state.lock().readers.len()
    }

    /// Passes on a part of the body. `Err`: the body is longer than the origin said; the fill is aborted.
    pub fn write(&mut self, chunk: Bytes) -> Result<(), Reason> {
        let limits = self.fill.shared.limits;
        let mut stopped = false;
        let result = self.fill.update(|state| {
            if !matches!(state.phase, Phase::Streaming) {
                return Err(if let Phase::Aborted(reason) = state.phase {
                    reason
                } else {
                    Reason::Dropped
                });
            }
            let length = state
                .answer
                .as_ref()
                .and_then(|answer| answer.leader.content_length);
            if length.is_some_and(|length| state.buffer.end() + chunk.len() as u64 > length) {
                return Err(Reason::Truncated);
            }
            let was_storing = state.is_storing();
            self.account(state, chunk.len());
            state.buffer.push(chunk);
            if state.is_storing() {
                state.buffer.compact();
            }
            stopped = was_storing && !state.is_storing();
            state.trim(limits.lag_bytes);
            Ok(())
        });
        if stopped {
            self.fill.shared.unlist(&self.fill);
        }
        if let Err(reason) = result {
            self.end(reason);
        }
        result
    }

    /// A body that no entry can have is not even begun to be kept: other entries would have to go for it.
    fn is_too_large(&self, body_bytes: u64, lifetime: &Lifetime) -> bool {
        body_bytes > lifetime.max_object_bytes || body_bytes > self.fill.shared.max_entry_bytes() as u64
    }

    /// Takes memory for a chunk that is stored; stops storing where there is none.
    fn account(&self, state: &mut State, len: usize) {
        let Some(storing) = state.answer.as_ref().and_then(|answer| answer.storing.as_ref()) else {
            return;
        };
        if self.is_too_large(state.buffer.end() + len as u64, &storing.lifetime) {
            state.stop_storing(Reason::TooLarge);
            return;
        }
        state.charge_for(state.buffer.retained() + len);
        if !self.fill.shared.make_room() {
            state.stop_storing(Reason::NoMemory);
        }
    }

    /// A purge came since the origin was asked, and holds for an answer with these tags. After a soft one it is
    /// stored all the same, as stale.
    pub(crate) fn is_purged(&self, tags: &Tags) -> bool {
        self.fill.standing(Some(tags)) == Standing::Purged
    }
}

impl fmt::Debug for FillWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillWriter")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
