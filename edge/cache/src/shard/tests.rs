//! The index and its queues, without the rest of the cache.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use super::*;
use crate::body::Body;
use crate::entry::EntryParts;
use crate::fields::Fields;
use crate::freshness::Lifetime;
use crate::site::Site;
use crate::vary::VaryKey;

const SMALL: Victim = Victim::Of(StorageClass::Small);

struct Rig {
    shard: Shard,
    budget: Arc<Budget>,
    site: Arc<Site>,
}

impl Rig {
    fn new() -> Self {
        let budget = Budget::new(1 << 20);
        Self {
            shard: Shard::new(64, &Arc::default(), &budget),
            budget,
            site: Arc::new(Site::detached(b"a")),
        }
    }

    fn insert(&mut self, hash: u128, key: &[u8]) -> Arc<Entry> {
        let parts = EntryParts {
            hash,
            key: key.into(),
            site: Arc::clone(&self.site),
            purge: self.site.purge_seq(),
            status: 200,
            fields: Fields::default(),
            vary: VaryKey::default(),
            lifetime: Lifetime::default(),
            body: Arc::new(Body::new(Vec::new(), &self.budget)),
            invalidated: false,
        };
        let entry = Arc::new(Entry::new(parts, &self.budget));
        self.shard.insert(Arc::clone(&entry), &mut Vec::new());
        entry
    }

    fn keys(&self, hash: u128, key: &[u8]) -> usize {
        self.shard.variants(hash, key).count()
    }
}

#[test]
fn the_whole_key_decides_where_hashes_collide() {
    let mut rig = Rig::new();
    rig.insert(7, b"one");
    assert_eq!((rig.keys(7, b"one"), rig.keys(7, b"two")), (1, 0));
    rig.insert(7, b"two");
    assert_eq!((rig.keys(7, b"one"), rig.keys(7, b"two")), (0, 1));
    assert_eq!(rig.shard.stats().entries, 1);
}

#[test]
fn who_comes_back_soon_after_eviction_enters_the_main_queue() {
    let mut rig = Rig::new();
    rig.insert(1 << 64, b"returns");
    rig.shard.evict(SMALL).unwrap();
    rig.insert(1 << 64, b"returns");
    assert_eq!(
        (rig.shard.queues[0].small.len, rig.shard.queues[0].main.len),
        (0, 1)
    );
    rig.insert(2 << 64, b"new");
    assert_eq!(
        (rig.shard.queues[0].small.len, rig.shard.queues[0].main.len),
        (1, 1)
    );
}

#[test]
fn an_entry_hit_once_leaves_the_small_queue_and_one_hit_twice_stays() {
    let mut rig = Rig::new();
    rig.insert(1, b"once").touch();
    let twice = rig.insert(2, b"twice");
    twice.touch();
    twice.touch();
    let gone = rig.shard.evict(SMALL).unwrap();
    assert_eq!(&*gone.entry.key, b"once");
    assert!(gone.used);
    assert_eq!(rig.keys(2, b"twice"), 1);
}

#[test]
fn removing_any_variant_keeps_the_others_findable() {
    let mut rig = Rig::new();
    let entries: Vec<_> = (0..5_u8)
        .map(|key| rig.insert(u128::from(key % 2), &[key % 2]))
        .collect();
    // Without `Vary` each replaces the one before.
    assert_eq!(rig.shard.stats().entries, 2);
    assert!(rig.shard.remove_entry(&entries[0]).is_none(), "replaced already");
    assert!(rig.shard.remove_entry(&entries[4]).is_some());
    assert_eq!((rig.keys(0, &[0]), rig.keys(1, &[1])), (0, 1));
    assert!(rig.shard.evict(SMALL).is_some() && rig.shard.evict(SMALL).is_none());
    assert_eq!(rig.shard.stats().bytes, 0);
}

#[test]
fn tables_that_many_small_entries_left_behind_are_given_back_and_all_is_still_found() {
    let mut rig = Rig::new();
    let entries: Vec<_> = (0..2_000_u32)
        .map(|at| rig.insert(u128::from(at) << 40, &at.to_le_bytes()))
        .collect();
    let grown = rig.budget.used_bytes() - rig.shard.stats().bytes;
    for (at, entry) in entries.iter().enumerate().filter(|(at, _)| at % 20 != 7) {
        assert!(rig.shard.remove_entry(entry).is_some(), "{at}");
    }
    let left = entries.iter().skip(7).step_by(20);
    for entry in left {
        assert_eq!(rig.keys(entry.hash, &entry.key), 1);
    }
    let gone: usize = entries
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 20 != 7)
        .map(|(_, entry)| entry.bytes())
        .sum();
    let tables = rig.budget.used_bytes() - rig.shard.stats().bytes - gone;
    assert!(tables * 4 < grown, "{tables} of {grown} bytes left");
    let mut order = Vec::new();
    while let Some(gone) = rig.shard.evict(SMALL) {
        assert!(!gone.used);
        order.push(gone.entry.hash);
    }
    assert_eq!(order.len(), 100);
    assert!(order.is_sorted(), "the queue keeps its order");
}
