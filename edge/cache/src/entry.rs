//! A stored answer, and the pin through which it is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;

use crate::Now;
use crate::body::Body;
use crate::budget::{Budget, Charge};
use crate::fields::Fields;
use crate::freshness::{Lifetime, Transformed};
use crate::near::Pin;
use crate::purge::{Standing, Subject};
use crate::range::ByteRange;
use crate::rules::StorageClass;
use crate::site::Site;
use crate::vary::VaryKey;

/// What every entry takes besides its own bytes: the allocator's headers and rounding of its eight parts.
/// (Its place in the index is charged to the index.)
const ALLOCATOR_BYTES: usize = 208;
/// Bodies above this are large files where no policy says otherwise, bytes.
const LARGE_BYTES: u64 = 1 << 20;
/// [`Entry::frequency`] counts no higher.
const MAX_FREQUENCY: u8 = 3;

pub(crate) struct Entry {
    pub(crate) hash: u128,
    pub(crate) key: Box<[u8]>,
    pub(crate) site: Arc<Site>,
    /// The site's purge sequence when the origin was asked.
    pub(crate) purge: u64,
    /// Up to this sequence no purge but soft ones holds for it.
    checked: AtomicU64,
    /// The wall clock of the first soft purge that holds for it, milliseconds; 0: none.
    soft_since_ms: AtomicU64,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) vary: VaryKey,
    pub(crate) lifetime: Lifetime,
    pub(crate) body: Arc<Body>,
    /// See [`Body::is_whole`].
    whole: bool,
    invalidated: AtomicBool,
    /// Counts what the index did that changes who is found under the key: whoever has found this entry before
    /// looks again.
    version: AtomicU32,
    /// Hits since it was last considered for eviction. A hit writes it only while it is below its maximum,
    /// so a hot entry's line stays shared between cores.
    frequency: AtomicU8,
    /// Monotonic milliseconds of the last validation that a request's directives were granted, plus one.
    advised_at: AtomicU64,
    charge: Charge,
}

/// What an entry is made from.
pub(crate) struct EntryParts {
    pub(crate) hash: u128,
    pub(crate) key: Box<[u8]>,
    pub(crate) site: Arc<Site>,
    pub(crate) purge: u64,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) vary: VaryKey,
    pub(crate) lifetime: Lifetime,
    pub(crate) body: Arc<Body>,
    pub(crate) invalidated: bool,
}

impl Entry {
    pub(crate) fn new(parts: EntryParts, budget: &Arc<Budget>) -> Self {
        let EntryParts {
            hash,
            key,
            site,
            purge,
            status,
            fields,
            vary,
            lifetime,
            body,
            invalidated,
        } = parts;
        let unstored: usize = lifetime.unstored_fields.iter().map(|name| name.len() + 16).sum();
        let bytes = size_of::<Self>()
            + ALLOCATOR_BYTES
            + key.len()
            + fields.heap_bytes()
            + vary.heap_bytes()
            + lifetime.tags.heap_bytes()
            + unstored;
        Self {
            hash,
            key,
            site,
            purge,
            checked: AtomicU64::new(purge),
            soft_since_ms: AtomicU64::new(0),
            status,
            fields,
            vary,
            lifetime,
            whole: body.is_whole(),
            body,
            invalidated: AtomicBool::new(invalidated),
            version: AtomicU32::new(0),
            frequency: AtomicU8::new(0),
            advised_at: AtomicU64::new(0),
            charge: Charge::new(budget, bytes),
        }
    }

    /// Everything that goes when this entry goes, body included.
    pub(crate) fn bytes(&self) -> usize {
        self.charge.bytes() + self.body.memory_bytes()
    }

    /// Which share of the memory it belongs to.
    pub(crate) fn class(&self) -> StorageClass {
        let by_size = || {
            if self.body_len() > LARGE_BYTES {
                StorageClass::Large
            } else {
                StorageClass::Small
            }
        };
        self.lifetime.class.unwrap_or_else(by_size)
    }

    pub(crate) fn body_len(&self) -> u64 {
        self.body.len()
    }

    /// All of its body is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// A purge holds for it, and it must not be used. One compare unless the site was purged since this was
    /// asked last.
    pub(crate) fn is_purged(&self, site: &Site) -> bool {
        let last = site.purge_seq();
        self.checked.load(Ordering::Acquire) < last && self.look_again(site, last)
    }

    #[cold]
    fn look_again(&self, site: &Site, last: u64) -> bool {
        let subject = Subject {
            key: &self.key,
            tags: Some(&self.lifetime.tags),
            sequence: self.purge,
        };
        match site.standing(&subject) {
            Standing::Purged => return true,
            Standing::Soft { since_ms } => {
                // The first one counts. 0 says that there was none.
                let since_ms = since_ms.max(1);
                let _ = self
                    .soft_since_ms
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
                        (known == 0 || since_ms < known).then_some(since_ms)
                    });
            }
            Standing::Current => {}
        }
        if !site.is_doubted(self.purge) {
            self.checked.fetch_max(last, Ordering::Release);
        }
        false
    }

    /// Purges of it may have been missed while no process ran: it must be validated.
    pub(crate) fn is_doubted(&self) -> bool {
        self.checked.load(Ordering::Acquire) < self.site.purge_seq() && self.site.is_doubted(self.purge)
    }

    /// The wall clock of the soft purge that made it stale, milliseconds.
    pub(crate) fn soft_since_ms(&self) -> Option<u64> {
        Some(self.soft_since_ms.load(Ordering::Relaxed)).filter(|since_ms| *since_ms > 0)
    }

    pub(crate) fn is_invalidated(&self) -> bool {
        self.invalidated.load(Ordering::Acquire)
    }

    pub(crate) fn invalidate(&self) {
        self.invalidated.store(true, Ordering::Release);
    }

    pub(crate) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// The index gives this entry up, or has another for the key. Only under the lock of its shard.
    pub(crate) fn supersede(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Hit so often lately that it is worth keeping at hand.
    pub(crate) fn is_hot(&self) -> bool {
        self.frequency() >= MAX_FREQUENCY
    }

    pub(crate) fn touch(&self) {
        let seen = self.frequency.load(Ordering::Relaxed);
        if seen < MAX_FREQUENCY {
            self.frequency.store(seen + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn frequency(&self) -> u8 {
        self.frequency.load(Ordering::Relaxed)
    }

    pub(crate) fn set_frequency(&self, frequency: u8) {
        self.frequency.store(frequency, Ordering::Relaxed);
    }

    /// Whether a request may make this entry be validated although it is fresh: no more often than every
    /// `interval_ms`, counted from when it came or was last validated.
    pub(crate) fn grant_advice(&self, now: Now, interval_ms: u64) -> bool {
        let now_ms = now.mono_ms();
        if now_ms.saturating_sub(self.lifetime.received_mono_ms) < interval_ms {
            return false;
        }
        let last = self.advised_at.load(Ordering::Relaxed);
        if last != 0 && now_ms.saturating_sub(last - 1) < interval_ms {
            return false;
        }
        self.advised_at
            .compare_exchange(last, now_ms + 1, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// A stored answer, pinned: its fields and body stay readable for as long as this lives, whatever happens to
/// the entry meanwhile.
///
/// The pin of a hot entry is counted by its thread alone, see [`Near`](crate::Near).
#[derive(Clone)]
pub struct Hit {
    pub(crate) entry: Pin,
    age_ms: u64,
    ttl_ms: i64,
    /// See [`Entry::is_doubted`].
    doubted: bool,
}

impl Hit {
    pub(crate) fn new(entry: impl Into<Pin>, now: Now) -> Self {
        let entry = entry.into();
        let (age_ms, mut ttl_ms) = (entry.lifetime.age_ms(now), entry.lifetime.ttl_ms(now));
        if let Some(since_ms) = entry.soft_since_ms() {
            let stale_ms = i64::try_from(now.wall_ms.saturating_sub(since_ms)).unwrap_or(i64::MAX);
            ttl_ms = ttl_ms.min(-stale_ms);
        }
        Self {
            doubted: entry.is_doubted(),
            entry,
            age_ms,
            ttl_ms,
        }
    }

    /// The answer's status.
    pub fn status(&self) -> u16 {
        self.entry.status
    }

    /// The origin's fields without those that aren't stored: hop-by-hop ones, `Age`, `Content-Length`, and
    /// those that the origin excluded. There is always a `Date`.
    pub fn fields(&self) -> &Fields {
        &self.entry.fields
    }

    /// Whether every byte of the body is here. If not, only [parts](Self::holds) of it may be served.
    pub fn is_whole(&self) -> bool {
        self.entry.is_whole()
    }

    /// Whether these bytes of the body are here.
    pub fn holds(&self, range: ByteRange) -> bool {
        self.entry.body.holds(range)
    }

    /// Length of the whole body, bytes, of which only parts may be here.
    pub fn body_len(&self) -> u64 {
        self.entry.body.len()
    }

    /// At most `max` bytes of the body from `offset`; fewer at the end of a block, none only at the end of
    /// the body.
    pub fn slice(&self, offset: u64, max: usize) -> &[u8] {
        self.entry.body.block_at(offset).map_or(&[], |(block, from)| {
            let to = from.saturating_add(max).min(block.len());
            block.get(from..to).unwrap_or_default()
        })
    }

    /// As [`slice`](Self::slice), counted: for transports that own what they send. The bytes stay charged to
    /// the cache only while a `Hit` or the entry lives, so keep the `Hit` beside them.
    pub fn chunk(&self, offset: u64, max: usize) -> Bytes {
        self.entry
            .body
            .block_at(offset)
            .map_or_else(Bytes::new, |(block, from)| {
                block.slice(from..from.saturating_add(max).min(block.len()))
            })
    }

    /// For `Age`, whole seconds (RFC 9111 §5.1).
    pub fn age_secs(&self) -> u64 {
        self.age_ms / 1_000
    }

    /// Whole seconds of freshness left, negative when stale (RFC 9211 §2.4).
    pub fn ttl_secs(&self) -> i64 {
        self.ttl_ms.div_euclid(1_000)
    }

    pub(crate) fn age_ms(&self) -> u64 {
        self.age_ms
    }

    pub(crate) fn ttl_ms(&self) -> i64 {
        self.ttl_ms
    }

    /// Milliseconds past its freshness.
    pub(crate) fn staleness_ms(&self) -> u64 {
        self.ttl_ms.min(0).unsigned_abs()
    }

    /// May be served in place of an error of the origin: it is stale within the window for that (RFC 5861 §4),
    /// or fresh, and only a request wanted it validated.
    pub fn may_serve_on_error(&self) -> bool {
        let lifetime = &self.entry.lifetime;
        let window_ms = lifetime.stale_if_error_ms;
        let stale = window_ms > 0 && self.staleness_ms() <= window_ms;
        let fresh = self.ttl_ms > 0 && !lifetime.always_validate && !self.doubted;
        (stale || fresh) && !self.entry.is_invalidated()
    }

    /// A purge came since it was found: it answers no request any more.
    pub fn is_purged(&self) -> bool {
        self.entry.is_purged(&self.entry.site)
    }

    /// May be served, stale, while it is being revalidated (RFC 5861 §3).
    pub fn may_serve_while_revalidating(&self) -> bool {
        let window_ms = self.entry.lifetime.stale_while_revalidate_ms;
        window_ms > 0 && self.staleness_ms() <= window_ms && !self.entry.is_invalidated() && !self.doubted
    }

    /// Whether it is what its origin would say, as far as this cache can know without asking.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// The validator to ask the origin with, and to answer visitors' conditions with.
    pub fn etag(&self) -> Option<&[u8]> {
        self.entry.fields.get(b"etag")
    }

    /// What was changed before it was stored.
    pub fn transformed(&self) -> Transformed {
        self.entry.lifetime.transformed
    }

    /// Fields that carry tags are among its fields.
    pub fn shows_tags(&self) -> bool {
        self.entry.lifetime.tags.exposed
    }

    /// `Last-Modified`.
    pub fn last_modified(&self) -> Option<&[u8]> {
        self.entry.fields.get(b"last-modified")
    }
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("status", &self.status())
            .field("body_len", &self.body_len())
            .field("age_ms", &self.age_ms)
            .field("ttl_ms", &self.ttl_ms)
            .finish_non_exhaustive()
    }
}
