//! A fill: one fetch from an origin whose answer several readers share, while it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::budget::Charge;
use crate::buffer::Buffer;
use crate::entry::Entry;
use crate::fields::{Fields, FieldsView};
use crate::freshness::Lifetime;
use crate::purge::{Standing, Subject};
use crate::range::ContentRange;
use crate::shared::Shared;
use crate::site::Site;
use crate::tags::Tags;
use crate::vary::VaryKey;
use crate::{Now, Reason};

/// What a fill is about, and where it stands.
pub(crate) struct Fill {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hash: u128,
    pub(crate) key: Box<[u8]>,
    pub(crate) site: Arc<Site>,
    /// The leader's request: it selects the variant.
    pub(crate) request: Fields,
    /// What `Vary` said the last time, with this request's values; a guess until the head comes.
    pub(crate) hint: Option<VaryKey>,
    /// Others can find it.
    pub(crate) listed: bool,
    /// The site's purge sequence when the origin was asked.
    pub(crate) purge: AtomicU64,
    /// An unsafe method succeeded meanwhile: nobody joins any more, and what comes must be validated.
    pub(crate) invalidated: AtomicBool,
    pub(crate) state: Mutex<State>,
}

/// Where a fill stands. All of it changes under one lock.
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// What whoever aborted it lets the readers know.
    pub(crate) note: u8,
    /// Set with the head of an answer that is passed on.
    pub(crate) answer: Option<Answer>,
    pub(crate) buffer: Buffer,
    pub(crate) readers: Readers,
    pub(crate) trailers: Option<Arc<Fields>>,
    /// The writer's task, waiting for readers.
    pub(crate) writer: Option<Waker>,
    /// The offset that some reader has got to.
    pub(crate) fastest: u64,
    /// Where the body was when the last reader left.
    pub(crate) orphaned_at: u64,
    /// What the fill takes besides its buffer.
    own_bytes: usize,
    charge: Charge,
}

#[derive(Clone)]
pub(crate) enum Phase {
    /// No head yet.
    Waiting,
    /// The head is there and the body comes.
    Streaming,
    /// The whole body is there.
    Done,
    /// The origin confirmed what is stored. `shared`: for those who wait, too.
    Validated {
        entry: Arc<Entry>,
        shared: Result<(), Reason>,
    },
    /// The origin failed and what is stored stands in.
    Stale { entry: Arc<Entry>, reason: Reason },
    /// It ended before it was whole.
    Aborted(Reason),
}

/// The head of an answer as readers get it.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// A final status.
    pub status: u16,
    /// For the leader the origin's end-to-end fields, for those who joined what is stored.
    pub fields: Arc<Fields>,
    /// For `Age`, where others than the one who asked get the answer (RFC 9111 §4); the leader's fields have
    /// the origin's own.
    pub age_secs: Option<u64>,
    /// Length of the body where the origin said it.
    pub content_length: Option<u64>,
    /// Being stored, or why not.
    pub stored: Result<(), Reason>,
}

pub(crate) struct Answer {
    pub(crate) leader: AnswerHead,
    /// `Err`: those who joined leave.
    pub(crate) joined: Result<Joined, Reason>,
    /// Set while the body is kept whole, to be stored.
    pub(crate) storing: Option<Storing>,
}

/// What those get who joined, and who of them.
pub(crate) struct Joined {
    pub(crate) head: AnswerHead,
    pub(crate) vary: VaryKey,
    /// Its age when it came, and the monotonic clock then.
    pub(crate) initial_age_ms: u64,
    pub(crate) received_mono_ms: u64,
}

impl Joined {
    pub(crate) fn head_at(&self, now: Now) -> AnswerHead {
        let resident_ms = now.mono_ms().saturating_sub(self.received_mono_ms);
        AnswerHead {
            age_secs: Some(self.initial_age_ms.saturating_add(resident_ms) / 1_000),
            ..self.head.clone()
        }
    }
}

/// What an entry will be made from.
pub(crate) struct Storing {
    pub(crate) vary: VaryKey,
    pub(crate) lifetime: Lifetime,
    pub(crate) fields: Arc<Fields>,
    /// The body is only this part of it.
    pub(crate) part: Option<ContentRange>,
}

impl Fill {
    /// Whether a new request may wait for this fill or read from it.
    pub(crate) fn accepts(&self, key: &[u8], request: &dyn FieldsView) -> bool {
        if *self.key != *key || self.invalidated.load(Ordering::Acquire) {
            return false;
        }
        let state = self.state.lock();
        match (&state.phase, &state.answer) {
            (Phase::Waiting, _) => {
                // Which tags will come isn't known: any purge of one may hold.
                self.standing(None) == Standing::Current
                    && self.hint.as_ref().is_none_or(|hint| hint.matches(request))
            }
            (
                Phase::Streaming,
                Some(Answer {
                    joined: Ok(_),
                    storing: Some(storing),
                    ..
                }),
            ) => {
                self.standing(Some(&storing.lifetime.tags)) == Standing::Current
                    && storing.vary.matches(request)
            }
            _ => false,
        }
    }

    /// Where an answer with these tags stands after the purges since the origin was asked; `None`: they aren't
    /// known yet.
    pub(crate) fn standing(&self, tags: Option<&Tags>) -> Standing {
        let sequence = self.purge.load(Ordering::Acquire);
        if sequence >= self.site.purge_seq() {
            return Standing::Current;
        }
        self.site.standing(&Subject {
            key: &self.key,
            tags,
            sequence,
        })
    }

    /// Changes the state, then wakes all readers, without the lock.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut wake = Vec::new();
        let result = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            state.readers.take_wakers(&mut wake);
            result
        };
        wake.into_iter().for_each(Waker::wake);
        result
    }
}

impl State {
    pub(crate) fn new(charge: Charge) -> Self {
        Self {
            phase: Phase::Waiting,
            note: 0,
            answer: None,
            buffer: Buffer::default(),
            readers: Readers::default(),
            trailers: None,
            writer: None,
            fastest: 0,
            orphaned_at: 0,
            own_bytes: charge.bytes(),
            charge,
        }
    }

    pub(crate) fn is_storing(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| answer.storing.is_some())
    }

    /// From now on the body only passes through.
    pub(crate) fn stop_storing(&mut self, reason: Reason) {
        if let Some(answer) = &mut self.answer
            && answer.storing.take().is_some()
        {
            answer.leader.stored = Err(reason);
            if let Ok(joined) = &mut answer.joined {
                joined.head.stored = Err(reason);
            }
        }
    }

    /// Forgets what no reader needs, or what only those need who are further behind than `lag_bytes`.
    pub(crate) fn trim(&mut self, lag_bytes: usize) {
        if self.is_storing() {
            return;
        }
        let needed = self.readers.slowest().unwrap_or(self.buffer.end());
        let kept = self.buffer.end().saturating_sub(lag_bytes as u64);
        self.buffer.forget_before(needed.max(kept));
        self.charge_for(self.buffer.retained());
    }

    /// Charges for this many bytes of the buffer.
    pub(crate) fn charge_for(&mut self, buffered: usize) {
        self.charge.set(self.own_bytes + buffered);
    }
}

/// What a fill takes besides what it buffers.
pub(crate) const FILL_BYTES: usize = size_of::<Fill>() + 512;

/// Readers of a fill, by a number that is used again when one leaves.
#[derive(Default)]
pub(crate) struct Readers {
    slots: Vec<Option<Reader>>,
    free: Vec<usize>,
}

#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) offset: u64,
    waker: Option<Waker>,
}

impl Readers {
    pub(crate) fn add(&mut self) -> usize {
        if let Some(id) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(id)
        {
            *slot = Some(Reader::default());
            return id;
        }
        self.slots.push(Some(Reader::default()));
        self.slots.len() - 1
    }

    pub(crate) fn remove(&mut self, id: usize) {
        if self.slots.get_mut(id).and_then(Option::take).is_some() {
            self.free.push(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn get_mut(&mut self, id: usize) -> Option<&mut Reader> {
        self.slots.get_mut(id)?.as_mut()
    }

    pub(crate) fn wait(&mut self, id: usize, waker: &Waker) {
        if let Some(reader) = self.get_mut(id) {
            match &mut reader.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    fn slowest(&self) -> Option<u64> {
        self.slots.iter().flatten().map(|reader| reader.offset).min()
    }

    fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(
            self.slots
                .iter_mut()
                .flatten()
                .filter_map(|reader| reader.waker.take()),
        );
    }
}
