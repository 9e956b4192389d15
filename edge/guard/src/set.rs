//! One set of the table: seven slots that share a 128-byte pair of cache lines.
//!
//! A slot is two words: `tag`, the keyed hash of whom it counts, and `word`, a version with the moment
//! until which that key's requests are paid for (the theoretical arrival time, TAT, of GCRA).
//!
//! Charging a key that has a slot is one compare-and-swap of `word`. Giving a slot to another key is done
//! by whoever holds the set's `lock`, in this order: `word` becomes [`BUSY`] with the next version, `tag` is
//! written, `word` gets its new value. A thread reads `word` before `tag` and swaps against the `word` that
//! it read, so a slot that changed hands in between fails the swap: the version differs even where the time
//! happens to be the same.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::Nanos;

/// Bits of `word` that hold a time.
const TIME_BITS: u32 = 58;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// The time of a slot that is changing hands. No real TAT gets there.
const BUSY: u64 = TIME_MASK;
/// The latest TAT that can be held.
pub(crate) const MAX_TAT: Nanos = TIME_MASK - 1;

const WAYS: usize = 7;

#[derive(Default)]
struct Slot {
    tag: AtomicU64,
    word: AtomicU64,
}

/// See the module.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Set {
    lock: AtomicBool,
    slots: [Slot; WAYS],
}

/// What a key is charged: the pace and how far ahead of it the key may run.
#[derive(Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) interval: Nanos,
    pub(crate) tolerance: Nanos,
    pub(crate) now: Nanos,
}

/// What came of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    /// Allowed, and a key that was not idle lost its count for it.
    AllowedByEviction,
    Denied {
        retry_after: Nanos,
    },
}

impl Charge {
    /// The TAT after one more request, or how long to wait for it.
    fn apply(self, tat: Nanos) -> Result<Nanos, Nanos> {
        let from = tat.max(self.now);
        let ahead = from - self.now;
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        Ok(from.saturating_add(self.interval).min(MAX_TAT))
    }
}

enum Found {
    Outcome(Outcome),
    Absent,
}

impl Set {
    /// Charges the key with this tag.
    pub(crate) fn charge(&self, tag: u64, charge: Charge) -> Outcome {
        if let Found::Outcome(outcome) = self.charge_present(tag, charge) {
            return outcome;
        }
        // Two threads that bring the same new key must end in one slot, so inserting is serial in a set.
        let _guard = self.lock();
        if let Found::Outcome(outcome) = self.charge_present(tag, charge) {
            return outcome;
        }
        self.insert(tag, charge)
    }

    fn charge_present(&self, tag: u64, charge: Charge) -> Found {
        for slot in &self.slots {
            loop {
                let word = slot.word.load(Ordering::Acquire);
                if word & TIME_MASK == BUSY || slot.tag.load(Ordering::Acquire) != tag {
                    break;
                }
                let tat = match charge.apply(word & TIME_MASK) {
                    Ok(tat) => tat,
                    Err(retry_after) => return Found::Outcome(Outcome::Denied { retry_after }),
                };
                let next = (word & !TIME_MASK) | tat;
                if slot
                    .word
                    .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
                {
                    return Found::Outcome(Outcome::Allowed);
                }
            }
        }
        Found::Absent
    }

    /// Takes the slot nearest to idle. Called with the lock held.
    fn insert(&self, tag: u64, charge: Charge) -> Outcome {
        loop {
            let words = self
                .slots
                .iter()
                .map(|slot| (slot, slot.word.load(Ordering::Acquire)));
            let Some((slot, word)) = words.min_by_key(|(_, word)| word & TIME_MASK) else {
                return Outcome::Allowed;
            };
            let version = (word & !TIME_MASK).wrapping_add(1 << TIME_BITS);
            if slot
                .word
                .compare_exchange(word, version | BUSY, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                // Its key was just charged; another slot may be nearer to idle now.
                continue;
            }
            slot.tag.store(tag, Ordering::Release);
            let tat = charge.now.saturating_add(charge.interval).min(MAX_TAT);
            slot.word.store(version | tat, Ordering::Release);
            let was_idle = word & TIME_MASK <= charge.now;
            return if was_idle {
                Outcome::Allowed
            } else {
                Outcome::AllowedByEviction
            };
        }
    }

    fn lock(&self) -> Guard<'_> {
        let mut spins = 0_u32;
        while self
            .lock
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            // Held for some tens of nanoseconds, unless its thread was descheduled.
            spins += 1;
            if spins.is_multiple_of(64) {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
        Guard(&self.lock)
    }
}

struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_one_pair_of_cache_lines() {
        assert_eq!(size_of::<Set>(), 128);
        assert_eq!(align_of::<Set>(), 128);
    }

    #[test]
    fn a_full_set_forgets_the_key_that_is_nearest_to_idle() {
        let set = Set::default();
        let slow = Charge {
            interval: 1_000,
            tolerance: 0,
            now: 0,
        };
        for tag in 1..=7 {
            let charge = Charge {
                interval: 1_000 * tag,
                ..slow
            };
            assert_eq!(set.charge(tag, charge), Outcome::Allowed);
        }
        assert_eq!(set.charge(8, slow), Outcome::AllowedByEviction);
        // Tag 1 had the smallest TAT and lost it; tag 2 is still held to its pace.
        assert_eq!(set.charge(2, slow), Outcome::Denied { retry_after: 2_000 });
    }

    #[test]
    fn forgetting_an_idle_key_is_not_an_eviction() {
        let set = Set::default();
        for tag in 1..=7 {
            set.charge(
                tag,
                Charge {
                    interval: 10,
                    tolerance: 0,
                    now: 0,
                },
            );
        }
        assert_eq!(
            set.charge(
                8,
                Charge {
                    interval: 10,
                    tolerance: 0,
                    now: 10
                }
            ),
            Outcome::Allowed
        );
    }
}
