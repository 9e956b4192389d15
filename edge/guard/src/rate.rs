//! Rates by GCRA, the generic cell rate algorithm: a token bucket that needs one time for each key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::Nanos;
use crate::set::{Charge, MAX_TAT, Outcome, Set};

/// Secret that places keys in a [`RateTable`], from the system's random source. Whoever knows it can choose
/// keys that fall into one set and push each other out.
#[derive(Clone)]
pub struct Seed(pub [u8; 16]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// One rate, as the configuration states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSpec {
    /// Tells rules apart that count the same key. Different rules of one process need different ids; a rule
    /// that keeps its id over a change of configuration keeps its counts.
    pub id: u64,
    /// Requests a period; 0 counts as 1.
    pub requests: u32,
    /// The period. The even pace between two requests is `period / requests`, in whole nanoseconds, rounded
    /// down (so never stricter than stated) and at least 1.
    pub period: Duration,
    /// Requests above the even pace that pass at once: an idle key may send `burst + 1` together.
    pub burst: u32,
}

impl RateSpec {
    fn charge(&self, now: Nanos) -> Charge {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
        let interval = (period / u64::from(self.requests.max(1))).clamp(1, MAX_TAT);
        let tolerance = interval.saturating_mul(u64::from(self.burst)).min(MAX_TAT);
        Charge {
            interval,
            tolerance,
            now: now.min(MAX_TAT),
        }
    }
}

/// What a request that counts may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It conforms and was counted.
    Allow,
    /// It exceeds the rate. It was not counted and nothing was written: a flood that is refused costs the
    /// other cores nothing.
    Deny {
        /// The same key conforms again after this long, if it sends nothing else.
        retry_after: Duration,
    },
}

impl Decision {
    /// Seconds for a `Retry-After` field (RFC 9110 §10.2.3), rounded up, at least 1; `None` when allowed.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Allow => None,
            Self::Deny { retry_after } => {
                Some((retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).max(1))
            }
        }
    }
}

/// The memory given does not hold one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate table needs at least {} bytes, {given_bytes} given",
    RateTable::MIN_BYTES
)]
pub struct TableTooSmall {
    /// What was asked for.
    pub given_bytes: usize,
}

/// The counts of all rate rules of the process, in fixed memory.
///
/// Set-associative: a keyed 128-bit hash of rule and key gives a set of seven slots and a 64-bit tag in it.
/// Keys never share a slot except where 64 tag bits and the set collide, which nobody without the seed can
/// bring about.
///
/// A new key in a full set takes the slot of the key nearest to idle. If that one is idle already, forgetting
/// it changes no decision. If it is not, it starts again with a whole burst: **a table that is too small
/// allows too much, never too little**, and [`RateTable::evicted_active`] counts how often. Size it for the
/// keys that are active within `burst × period / requests`, times two: at 16 bytes a slot, 16 MiB hold about
/// half a million active keys.
#[derive(Debug)]
pub struct RateTable {
    sets: Box<[Set]>,
    seed: Seed,
    evicted_active: AtomicU64,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Set")
    }
}

impl RateTable {
    /// The smallest table: one set.
    pub const MIN_BYTES: usize = size_of::<Set>();

    /// A table that uses at most `bytes` (its slots; rounded down to whole sets of 128), allocated now.
    pub fn new(bytes: usize, seed: Seed) -> Result<Self, TableTooSmall> {
        let count = bytes / size_of::<Set>();
        if count == 0 {
            return Err(TableTooSmall { given_bytes: bytes });
        }
        let sets = std::iter::repeat_with(Set::default).take(count).collect();
        Ok(Self {
            sets,
            seed,
            evicted_active: AtomicU64::new(0),
        })
    }

    /// Counts one request of `key` under `rule` and says whether it conforms.
    ///
    /// Exact under any number of threads, as long as the key isn't evicted: together they never allow more
    /// than `burst + 1 + t / (period / requests)` in any `t`. `now` may differ between threads and step back;
    /// time that seems to have gone back only makes the decision stricter by as much.
    pub fn check(&self, rule: &RateSpec, key: &[u8], now: Nanos) -> Decision {
        let (set, tag) = self.place(rule.id, key);
        let Some(set) = self.sets.get(set) else {
            return Decision::Allow;
        };
        match set.charge(tag, rule.charge(now)) {
            Outcome::Allowed => Decision::Allow,
            Outcome::AllowedByEviction => {
                self.evicted_active.fetch_add(1, Ordering::Relaxed);
                Decision::Allow
            }
            Outcome::Denied { retry_after } => Decision::Deny {
                retry_after: Duration::from_nanos(retry_after),
            },
        }
    }

    /// Bytes that the table holds, for the process's memory budget.
    pub fn bytes(&self) -> usize {
        self.sets.len() * size_of::<Set>()
    }

    /// How many keys lost their count while it still mattered. Anything but a few means that the table is
    /// too small for the traffic.
    pub fn evicted_active(&self) -> u64 {
        self.evicted_active.load(Ordering::Relaxed)
    }

    fn place(&self, rule: u64, key: &[u8]) -> (usize, u64) {
        use std::hash::Hasher as _;
        let mut hasher = SipHasher13::new_with_key(&self.seed.0);
        hasher.write(&rule.to_le_bytes());
        hasher.write(key);
        let hash = hasher.finish128();
        // Multiply and shift: an even spread over any number of sets, without a division.
        let set = (u128::from(hash.h1) * self.sets.len() as u128) >> 64;
        // Tag 0 is what an empty slot has.
        (usize::try_from(set).unwrap_or(0), hash.h2.max(1))
    }
}
