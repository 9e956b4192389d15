//! How a fill ends: with a whole body, with what is stored, or broken off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::body::Body;
use crate::entry::{Entry, EntryParts, Hit};
use crate::fields::Fields;
use crate::fill::{Phase, State, Storing};
use crate::writer::FillWriter;
use crate::{Now, Reason};

/// How a fill that came to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The answer is stored, or why not.
    pub stored: Result<(), Reason>,
    /// Bytes of the body.
    pub body_bytes: u64,
}

impl FillWriter {
    /// The body is whole. Stores it, if it is to be stored and no purge came since the request was sent.
    pub fn finish(mut self, trailers: Option<Fields>) -> Result<Finished, Reason> {
        let commit = {
            let mut state = self.fill.state.lock();
            let length = state
                .answer
                .as_ref()
                .and_then(|answer| answer.leader.content_length);
            let whole = length.is_none_or(|length| length == state.buffer.end());
            match (&state.phase, whole) {
                (Phase::Streaming, true) => Ok(state.storing_with_body()),
                (Phase::Aborted(reason), _) => Err(*reason),
                _ => Err(Reason::Truncated),
            }
        };
        let commit = match commit {
            Ok(commit) => commit,
            Err(reason) => {
                self.end(reason);
                return Err(reason);
            }
        };
        let stored = commit.and_then(|(storing, status, blocks)| self.commit(storing, status, blocks));
        let body_bytes = self.fill.update(|state| {
            state.phase = Phase::Done;
            state.trailers = trailers.map(Arc::new);
            // What is stored is charged to the entry now.
            state.charge_for(if stored.is_ok() {
                0
            } else {
                state.buffer.retained()
            });
            state.buffer.end()
        });
        self.ended = true;
        self.fill.shared.unlist(&self.fill);
        Ok(Finished { stored, body_bytes })
    }

    fn commit(&self, storing: Storing, status: u16, blocks: Vec<Bytes>) -> Result<(), Reason> {
        if self.is_purged(&storing.lifetime.tags) {
            return Err(Reason::Purged);
        }
        let (fill, shared) = (&self.fill, &self.fill.shared);
        let body = Body::new(blocks, &shared.budget);
        let part = match storing.part {
            Some(part) if body.len() != part.range.len() => return Err(Reason::Partial),
            part => part,
        };
        let parts = EntryParts {
            hash: fill.hash,
            key: fill.key.clone(),
            site: Arc::clone(&fill.site),
            purge: fill.purge.load(Ordering::Acquire),
            status,
            fields: Arc::unwrap_or_clone(storing.fields),
            vary: storing.vary,
            lifetime: storing.lifetime,
            body: Arc::new(body),
            invalidated: fill.invalidated.load(Ordering::Acquire),
        };
        let parts = match part {
            None => parts,
            Some(part) => shared.with_other_parts(parts, part)?,
        };
        shared.insert(&Arc::new(Entry::new(parts, &shared.budget)))
    }

    /// The origin failed before its head: what is stored stands in, where the rules allow it
    /// (`stale-if-error`). False: it isn't allowed; abort, or pass the origin's error on.
    pub fn serve_stale(&mut self, reason: Reason, now: Now) -> bool {
        let Some(entry) = self.stale.as_ref().map(|hit| Arc::clone(hit.entry.entry())) else {
            return false;
        };
        if !entry.is_whole()
            || entry.is_purged(&self.fill.site)
            || !Hit::new(Arc::clone(&entry), now).may_serve_on_error()
        {
            return false;
        }
        self.settle(Phase::Stale { entry, reason })
    }

    /// Ends the fill without a whole answer. Readers are aborted, nothing is stored.
    pub fn abort(mut self, reason: Reason) {
        self.end(reason);
    }

    /// As [`abort`](Self::abort), with a number that means something to the caller: everybody who waits for
    /// the head gets it.
    pub fn abort_noting(mut self, reason: Reason, note: u8) {
        self.fill.state.lock().note = note;
        self.end(reason);
    }

    /// Ends a fill that has no body of its own.
    pub(crate) fn settle(&mut self, phase: Phase) -> bool {
        let settled = self.fill.update(|state| {
            let waiting = matches!(state.phase, Phase::Waiting);
            if waiting {
                state.phase = phase;
            }
            waiting
        });
        if settled {
            self.ended = true;
            self.fill.shared.unlist(&self.fill);
        }
        settled
    }

    pub(crate) fn end(&mut self, reason: Reason) {
        if self.ended {
            return;
        }
        self.ended = true;
        // First nobody can join any more, then those who did are told.
        self.fill.shared.unlist(&self.fill);
        self.fill.update(|state| {
            state.phase = Phase::Aborted(reason);
            state.buffer = crate::buffer::Buffer::default();
            state.charge_for(0);
        });
    }
}

impl State {
    /// What is to be stored, with its body; or why nothing is.
    fn storing_with_body(&mut self) -> Result<(Storing, u16, Vec<Bytes>), Reason> {
        let Some(answer) = &mut self.answer else {
            return Err(Reason::Dropped);
        };
        let status = answer.leader.status;
        match answer.storing.take() {
            Some(storing) => Ok((storing, status, self.buffer.seal())),
            None => Err(answer.leader.stored.err().unwrap_or(Reason::Dropped)),
        }
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.end(Reason::Dropped);
    }
}
