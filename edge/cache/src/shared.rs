//! What every handle to a cache and every fill share: the shards of the index, the fills under way, the
//! budget.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::budget::{Budget, Charge, Held};
use crate::cache::{Begin, BeginRequest};
use crate::cache_status::Fwd;
use crate::config::{CacheConfig, FillLimits, UnusableConfig};
use crate::disk::Disk;
use crate::entry::{Entry, Hit};
use crate::fields::{Fields, FieldsView};
use crate::fill::{FILL_BYTES, Fill, State};
use crate::key::{KeyHasher, KeyRef};
use crate::marks::Marks;
use crate::reader::FillReader;
use crate::shard::Shard;
use crate::shares::Shares;
use crate::site::{Site, Sites};
use crate::writer::FillWriter;
use crate::{Now, Reason};

pub(crate) struct Shared {
    pub(crate) shards: Box<[Line<RwLock<Shard>>]>,
    pub(crate) fills: Box<[Line<Mutex<Fills>>]>,
    marks: Marks,
    pub(crate) sites: Sites,
    pub(crate) hasher: KeyHasher,
    pub(crate) budget: Arc<Budget>,
    /// The part of it that requests hold, see [`Held`].
    held: Arc<Budget>,
    /// The part of it that fills hold for what their bodies go through.
    coding: Arc<Budget>,
    pub(crate) limits: FillLimits,
    hit_for_miss_secs: u64,
    pub(crate) advice_interval_ms: u64,
    /// The second tier, once it is open.
    pub(crate) disk: OnceLock<Arc<Disk>>,
    /// Which class gives up an entry next.
    classes: Arc<Shares>,
    /// The shard that gives up an entry next.
    hand: AtomicUsize,
    /// The tables of fixed size.
    _fixed: Charge,
}

/// The part of a cache's bytes that requests may hold: one in so many.
const HELD_PART: usize = 32;

/// The part that encoders of fills may have.
const CODING_PART: usize = 8;

/// Fills that others can join, by the hash of their key.
pub(crate) type Fills = HashMap<u128, Vec<Arc<Fill>>>;

/// A part with a pair of cache lines of its own.
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

impl Shared {
    /// `config` was checked, save for its memory.
    pub(crate) fn new(config: &CacheConfig) -> Result<Self, UnusableConfig> {
        // One ghost and one mark for every 32 KiB: as many as entries of a usual site.
        let remembered = (config.max_bytes / (32 << 10)).clamp(64, 1 << 20);
        let ghosts = (remembered / config.shards).max(16);
        let marks = Marks::new(remembered);
        let shard_bytes =
            size_of::<Line<RwLock<Shard>>>() + ghosts * 8 + size_of::<Line<Mutex<HashMap<u8, u8>>>>();
        let fixed_bytes = marks.bytes() + config.shards * shard_bytes;
        if fixed_bytes * 2 > config.max_bytes {
            let (given_bytes, needed_bytes) = (config.max_bytes, fixed_bytes * 2);
            return Err(UnusableConfig::TooSmall {
                given_bytes,
                needed_bytes,
            });
        }
        let budget = Budget::new(config.max_bytes);
        let classes = Arc::new(Shares::default());
        let shards = std::iter::repeat_with(|| Line(RwLock::new(Shard::new(ghosts, &classes, &budget))));
        let fills = std::iter::repeat_with(|| Line(Mutex::new(HashMap::new())));
        Ok(Self {
            shards: shards.take(config.shards).collect(),
            fills: fills.take(config.shards).collect(),
            marks,
            sites: Sites::new(&budget),
            hasher: KeyHasher(config.seed),
            _fixed: Charge::new(&budget, fixed_bytes),
            held: Budget::new(budget.max_bytes / HELD_PART),
            coding: Budget::new(budget.max_bytes / CODING_PART),
            budget,
            limits: config.fill,
            hit_for_miss_secs: config.hit_for_miss_secs,
            advice_interval_ms: config.advice_interval_ms,
            disk: OnceLock::new(),
            classes,
            hand: AtomicUsize::new(0),
        })
    }

    fn place(&self, hash: u128) -> usize {
        // The index's tables use the low half of the hash.
        (hash >> 96) as usize % self.shards.len()
    }

    pub(crate) fn shard(&self, hash: u128) -> Option<&RwLock<Shard>> {
        self.shards.get(self.place(hash)).map(|line| &line.0)
    }

    pub(crate) fn fills(&self, hash: u128) -> Option<&Mutex<Fills>> {
        self.fills.get(self.place(hash)).map(|line| &line.0)
    }

    /// The stored answer that a request selects, with its version: of several that match, the newest by date
    /// (RFC 9111 §4.1).
    pub(crate) fn find(
        &self,
        site: &Site,
        key: KeyRef<'_>,
        request: &dyn FieldsView,
    ) -> Result<(Arc<Entry>, u32), Fwd> {
        let shard = self.shard(key.hash).ok_or(Fwd::UriMiss)?.read();
        let (mut found, mut any): (Option<&Arc<Entry>>, bool) = (None, false);
        for entry in shard
            .variants(key.hash, key.bytes)
            .filter(|entry| !entry.is_purged(site))
        {
            any = true;
            let newer = found.is_none_or(|found| entry.lifetime.date_secs > found.lifetime.date_secs);
            if newer && entry.vary.matches(request) {
                found = Some(entry);
            }
        }
        found
            .map(|entry| (Arc::clone(entry), entry.version()))
            .ok_or(if any { Fwd::VaryMiss } else { Fwd::UriMiss })
    }

    /// What another's fill stored since the request's look-up, if it is fresh.
    pub(crate) fn settled_since(&self, request: &BeginRequest<'_>) -> Option<Hit> {
        let (entry, _) = self.find(request.site, request.key, request.fields).ok()?;
        let known = request
            .stale
            .is_some_and(|hit| Arc::ptr_eq(hit.entry.entry(), &entry));
        let usable = !known && entry.is_whole() && !entry.is_invalidated() && !entry.lifetime.always_validate;
        let hit = Hit::new(entry, request.now);
        (usable && hit.ttl_ms() > 0 && !hit.is_doubted()).then_some(hit)
    }

    pub(crate) fn lead(self: &Arc<Self>, request: &BeginRequest<'_>, listed: bool) -> Begin {
        let copied = Fields::copy_of(request.fields);
        let hint = if listed { self.hint(request) } else { None };
        let bytes = FILL_BYTES + copied.heap_bytes() + request.key.bytes.len();
        let fill = Arc::new(Fill {
            shared: Arc::clone(self),
            hash: request.key.hash,
            key: request.key.bytes.into(),
            site: Arc::clone(request.site),
            request: copied,
            hint,
            listed,
            purge: AtomicU64::new(request.site.purge_seq()),
            invalidated: AtomicBool::new(false),
            state: Mutex::new(State::new(Charge::new(&self.budget, bytes))),
        });
        let reader = FillReader::new(Arc::clone(&fill), true);
        Begin::Lead(
            FillWriter {
                fill,
                stale: request.stale.cloned(),
                ended: false,
            },
            reader,
        )
    }

    /// What the key's newest answer varied by, with the values of this request.
    fn hint(&self, request: &BeginRequest<'_>) -> Option<crate::VaryKey> {
        let shard = self.shard(request.key.hash)?.read();
        let newest = shard.variants(request.key.hash, request.key.bytes).next()?;
        newest.vary.rekeyed(request.fields).ok()
    }

    /// Takes a fill out of what others can join.
    pub(crate) fn unlist(&self, fill: &Arc<Fill>) {
        if !fill.listed {
            return;
        }
        let Some(fills) = self.fills(fill.hash) else {
            return;
        };
        let mut fills = fills.lock();
        if let Some(of_key) = fills.get_mut(&fill.hash) {
            of_key.retain(|other| !Arc::ptr_eq(other, fill));
            if of_key.is_empty() {
                fills.remove(&fill.hash);
            }
        }
    }

    pub(crate) fn mark(&self, hash: u128, now: Now) {
        self.marks
            .put(hash, now.mono_ms() / 1_000 + self.hit_for_miss_secs);
    }

    pub(crate) fn is_marked(&self, hash: u128, now: Now) -> bool {
        self.marks.has(hash, now.mono_ms() / 1_000)
    }

    pub(crate) fn insert(&self, entry: &Arc<Entry>) -> Result<(), Reason> {
        if entry.bytes() > self.max_entry_bytes() {
            return Err(Reason::TooLarge);
        }
        let Some(shard) = self.shard(entry.hash) else {
            return Err(Reason::NoMemory);
        };
        let mut gone = Vec::new();
        shard.write().insert(Arc::clone(entry), &mut gone);
        drop(gone);
        if let Some(disk) = self.disk.get() {
            disk.offer(entry);
        }
        self.make_room();
        Ok(())
    }

    /// Takes memory for a request, where there is some.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        self.hold_of(&self.held, bytes)
    }

    /// Takes memory for an encoder, where there is some.
    pub(crate) fn hold_for_coding(&self, bytes: usize) -> Option<Held> {
        self.hold_of(&self.coding, bytes)
    }

    fn hold_of(&self, part: &Arc<Budget>, bytes: usize) -> Option<Held> {
        let of_held = Charge::new(part, bytes);
        if part.is_exceeded() {
            return None;
        }
        let of_all = Charge::new(&self.budget, bytes);
        self.make_room().then_some(Held {
            _of_all: of_all,
            _of_held: of_held,
        })
    }

    /// Takes what was read from the disk, unless memory has something for the same requests: that is newer.
    pub(crate) fn insert_loaded(&self, entry: Arc<Entry>) {
        let Some(shard) = self.shard(entry.hash) else {
            return;
        };
        let mut gone = Vec::new();
        {
            let mut shard = shard.write();
            let known = shard
                .variants(entry.hash, &entry.key)
                .any(|other| other.vary == entry.vary);
            if !known {
                shard.insert(entry, &mut gone);
            }
        }
        drop(gone);
        self.make_room();
    }

    /// One entry takes no more than half the memory.
    pub(crate) fn max_entry_bytes(&self) -> usize {
        self.budget.max_bytes / 2
    }

    pub(crate) fn remove(&self, entry: &Arc<Entry>) {
        let removed = self
            .shard(entry.hash)
            .and_then(|shard| shard.write().remove_entry(entry));
        drop(removed);
        self.forget_on_disk(entry.hash);
    }

    /// What is on the disk under a key isn't used any more.
    pub(crate) fn forget_on_disk(&self, hash: u128) {
        if let Some(disk) = self.disk.get() {
            disk.forget(hash);
        }
    }

    /// Evicts until the bound holds. False: there is nothing left to evict, and it doesn't.
    pub(crate) fn make_room(&self) -> bool {
        let mut empty = 0;
        while self.budget.is_exceeded() {
            let mut victim = self.classes.victim(self.budget.max_bytes);
            if empty >= self.shards.len() {
                victim = victim.otherwise();
            }
            if empty == 2 * self.shards.len() {
                return false;
            }
            let at = self.hand.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            let evicted = self
                .shards
                .get(at)
                .and_then(|shard| shard.0.write().evict(victim));
            if let (Some(evicted), Some(disk)) = (&evicted, self.disk.get()) {
                disk.take_evicted(evicted);
            }
            empty = if evicted.is_some() { 0 } else { empty + 1 };
        }
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(disk) = self.disk.get() {
            disk.stop();
        }
    }
}
