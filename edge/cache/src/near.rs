//! What one thread was lately served, so that a hit on it writes no memory that another thread uses.
//!
//! Finding an entry in the shared index takes its shard's lock and counts a pin: two writes to cache lines that
//! all cores want. A [`Near`] holds one pin for each of a thread's hottest entries; a hit counts on that pin,
//! whose line no other core touches, and compares the entry's version, which changes only with the index.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::budget::{Budget, Charge};
use crate::entry::Entry;

/// Slots of a set: who comes takes the place of one of them.
const WAYS: usize = 4;
/// A table has a slot for every so many bytes that it may hold, between these two.
const SLOT_PER_BYTES: usize = 1024;
const MIN_SLOTS: usize = 64;
const MAX_SLOTS: usize = 8192;
/// An entry takes no more than one in so many of a table's bytes, or one body would push out all the rest.
const LARGEST_PART: usize = 8;

/// A count on an entry: on the entry itself, or on the pin that a thread holds.
#[derive(Clone)]
pub(crate) enum Pin {
    /// Counted where every core counts.
    Shared(Arc<Entry>),
    /// Counted where only the cores that one thread's hits have got to count: in the steady state one.
    Near(Arc<Held>),
}

/// One thread's count on an entry.
pub(crate) struct Held(Arc<Entry>);

impl Pin {
    /// The entry, to be counted anew.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Shared(entry) => entry,
            Self::Near(held) => &held.0,
        }
    }
}

impl Deref for Pin {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.entry()
    }
}

impl From<Arc<Entry>> for Pin {
    fn from(entry: Arc<Entry>) -> Self {
        Self::Shared(entry)
    }
}

struct Slot {
    hash: u128,
    /// The entry's version when it was found.
    version: u32,
    held: Arc<Held>,
}

impl Slot {
    fn is_current(&self) -> bool {
        self.held.0.version() == self.version
    }
}

/// The entries that one thread was served most lately and often, in fixed memory. What the index has given up
/// stays in memory until [`sweep`](Self::sweep) has come by, so the bytes that a table may hold are bounded.
pub struct Near {
    slots: Box<[Option<Slot>]>,
    bytes: usize,
    max_bytes: usize,
    hand: usize,
    /// For the table.
    _table: Charge,
}

impl Near {
    /// An empty table that holds entries of at most `max_bytes` together.
    pub(crate) fn new(max_bytes: usize, budget: &Arc<Budget>) -> Self {
        // Each slot, and the pin that it points to.
        let slot_bytes = size_of::<Option<Slot>>() + size_of::<Held>() + 2 * size_of::<usize>();
        let count = (max_bytes / SLOT_PER_BYTES)
            .clamp(MIN_SLOTS, MAX_SLOTS)
            .next_power_of_two();
        Self {
            slots: std::iter::repeat_with(|| None).take(count).collect(),
            _table: Charge::new(budget, count * slot_bytes),
            bytes: 0,
            max_bytes,
            hand: 0,
        }
    }

    /// Lets go of what the index has given up or replaced, in an eighth of the table. To be called some ten
    /// times a second: nothing stays longer than about a second after it was evicted or purged.
    pub fn sweep(&mut self) {
        for _ in 0..self.slots.len() / 8 {
            self.drop_next(|slot| !slot.is_current());
        }
    }

    /// Bytes of the entries held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry under the key that `accepts` accepts, if it is the one that the index would find.
    pub(crate) fn find(&mut self, hash: u128, accepts: impl Fn(&Entry) -> bool) -> Option<Pin> {
        let first = self.set(hash);
        let set = self.slots.get_mut(first..first + WAYS)?;
        for place in set {
            let Some(slot) = place.as_ref().filter(|slot| slot.hash == hash) else {
                continue;
            };
            if !slot.is_current() {
                self.bytes -= slot.held.0.bytes();
                *place = None;
            } else if accepts(&slot.held.0) {
                return Some(Pin::Near(Arc::clone(&slot.held)));
            }
        }
        None
    }

    /// Keeps an entry that the index gave out at that version.
    pub(crate) fn keep(&mut self, entry: &Arc<Entry>, version: u32) {
        let bytes = entry.bytes();
        if bytes > self.max_bytes / LARGEST_PART {
            return;
        }
        self.hand = self.hand.wrapping_add(1);
        let first = self.set(entry.hash);
        let Some(set) = self.slots.get(first..first + WAYS) else {
            return;
        };
        let vacant = set.iter().position(Option::is_none);
        let at = first + vacant.unwrap_or(self.hand % WAYS);
        let slot = Slot {
            hash: entry.hash,
            version,
            held: Arc::new(Held(Arc::clone(entry))),
        };
        if let Some(gone) = self.slots.get_mut(at).and_then(|place| place.replace(slot)) {
            self.bytes -= gone.held.0.bytes();
        }
        self.bytes += bytes;
        let mut turns = self.slots.len();
        while self.bytes > self.max_bytes && turns > 0 {
            self.drop_next(|_| true);
            turns -= 1;
        }
    }

    /// Looks at the next slot and empties it if it is to go.
    fn drop_next(&mut self, goes: impl Fn(&Slot) -> bool) {
        self.hand = self.hand.wrapping_add(1) % self.slots.len();
        if let Some(place) = self.slots.get_mut(self.hand)
            && let Some(slot) = place.take_if(|slot| goes(slot))
        {
            self.bytes -= slot.held.0.bytes();
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits of a keyed hash will do")]
    fn set(&self, hash: u128) -> usize {
        (hash as usize) % (self.slots.len() / WAYS) * WAYS
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("bytes", &self.bytes)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
