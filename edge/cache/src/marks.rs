//! Hit-for-miss: keys whose last answer could not be shared, so that requests for them don't queue up behind
//! each other. In fixed memory, apart from the entries, so a mark never takes the place of one.

use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 4;
/// Low bits of a word: the second at which the mark ends, by a clock that wraps after half a year. A mark
/// made within its few seconds of the wrap is lost, or is believed too long until another takes its place:
/// either costs collapsing for one key.
const SECOND_BITS: u32 = 24;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// See the module. A mark is 40 bits of the key's keyed hash. Two keys that share them, and their set, share
/// a mark, which costs nothing but a request that could have been collapsed.
pub(crate) struct Marks {
    sets: Box<[[AtomicU64; WAYS]]>,
}

impl Marks {
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = std::iter::repeat_with(Default::default)
            .take((capacity / WAYS).max(1))
            .collect();
        Self { sets }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.sets.len() * size_of::<[AtomicU64; WAYS]>()
    }

    #[allow(clippy::cast_possible_truncation, reason = "parts of a keyed hash")]
    fn place(&self, hash: u128) -> Option<(&[AtomicU64; WAYS], u64)> {
        let at = (hash >> 64) as u64 % self.sets.len() as u64;
        let set = self.sets.get(usize::try_from(at).ok()?)?;
        Some((set, (hash as u64) & !SECOND_MASK))
    }

    /// Marks a key until `until_secs` of the monotonic clock. In a full set the mark that ends first goes.
    pub(crate) fn put(&self, hash: u128, until_secs: u64) {
        let Some((set, fingerprint)) = self.place(hash) else {
            return;
        };
        let load = |slot: &AtomicU64| slot.load(Ordering::Relaxed);
        let same = set.iter().find(|slot| load(slot) & !SECOND_MASK == fingerprint);
        let slot = same.or_else(|| set.iter().min_by_key(|slot| load(slot) & SECOND_MASK));
        if let Some(slot) = slot {
            slot.store(fingerprint | (until_secs & SECOND_MASK), Ordering::Relaxed);
        }
    }

    pub(crate) fn has(&self, hash: u128, now_secs: u64) -> bool {
        let Some((set, fingerprint)) = self.place(hash) else {
            return false;
        };
        set.iter().map(|slot| slot.load(Ordering::Relaxed)).any(|word| {
            let until = word & SECOND_MASK;
            until != 0 && word & !SECOND_MASK == fingerprint && until > now_secs & SECOND_MASK
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_ends_by_itself() {
        let marks = Marks::new(64);
        marks.put(0xabcd << 24, 5);
        assert!(marks.has(0xabcd << 24, 4));
        assert!(!marks.has(0xabcd << 24, 5));
        assert!(!marks.has(0xabce << 24, 4));
    }

    #[test]
    fn more_marks_than_room_leave_the_memory_as_it_was() {
        let marks = Marks::new(64);
        let before = marks.bytes();
        for key in 0..10_000_u128 {
            marks.put((key << 24) | (key << 64), 100);
        }
        assert_eq!(marks.bytes(), before);
    }
}
