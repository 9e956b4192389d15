//! Which record holds what: 24 bytes a record, found by 64 bits of the key's hash. The record itself decides.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};

use crate::budget::{Budget, Charge};

/// Parts with a lock each.
const SHARDS: usize = 64;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    /// In units of [`ALIGN`](super::codec::ALIGN), as is `len`.
    pub(super) at: u32,
    pub(super) len: u32,
}

/// A record in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) fingerprint: u64,
    pub(super) variant: u32,
    pub(super) place: Place,
}

/// The highest bit of a length: it was read since it was written.
const READ: u32 = 1 << 31;

pub(super) struct Index {
    shards: Box<[RwLock<HashTable<Slot>>]>,
    charge: Mutex<Charge>,
}

/// What of a key's hash is in the index.
#[allow(clippy::cast_possible_truncation, reason = "a part of a keyed hash")]
pub(super) fn fingerprint(hash: u128) -> u64 {
    (hash >> 32) as u64
}

impl Index {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            shards: std::iter::repeat_with(RwLock::default).take(SHARDS).collect(),
            charge: Mutex::new(Charge::new(budget, 0)),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "reduced first")]
    fn shard(&self, fingerprint: u64) -> Option<&RwLock<HashTable<Slot>>> {
        self.shards.get((fingerprint >> 58) as usize % SHARDS)
    }

    pub(super) fn has(&self, fingerprint: u64) -> bool {
        self.shard(fingerprint).is_some_and(|shard| {
            shard
                .read()
                .iter_hash(fingerprint)
                .any(|slot| slot.fingerprint == fingerprint)
        })
    }

    /// The records of a key, the newest first.
    pub(super) fn find(&self, fingerprint: u64) -> Vec<Slot> {
        let Some(shard) = self.shard(fingerprint) else {
            return Vec::new();
        };
        let mut found: Vec<Slot> = shard
            .read()
            .iter_hash(fingerprint)
            .filter(|slot| slot.fingerprint == fingerprint)
            .map(|slot| slot.without_mark())
            .collect();
        found.sort_unstable_by_key(|slot| std::cmp::Reverse((slot.place.segment, slot.place.at)));
        found
    }

    /// Puts a record in the place of the one for the same variant.
    pub(super) fn insert(&self, slot: Slot) {
        let Some(shard) = self.shard(slot.fingerprint) else {
            return;
        };
        let mut table = shard.write();
        let same = |other: &Slot| other.fingerprint == slot.fingerprint && other.variant == slot.variant;
        if let Some(known) = table.find_mut(slot.fingerprint, same) {
            *known = slot;
        } else {
            table.insert_unique(slot.fingerprint, slot, |slot| slot.fingerprint);
        }
    }

    /// Takes all records of a key out.
    pub(super) fn remove_all(&self, fingerprint: u64) -> bool {
        let Some(shard) = self.shard(fingerprint) else {
            return false;
        };
        let mut table = shard.write();
        let mut any = false;
        while let Ok(found) = table.find_entry(fingerprint, |slot| slot.fingerprint == fingerprint) {
            found.remove();
            any = true;
        }
        any
    }

    /// Takes exactly this record out.
    pub(super) fn remove(&self, slot: &Slot) -> bool {
        let Some(shard) = self.shard(slot.fingerprint) else {
            return false;
        };
        let mut table = shard.write();
        let found = table.find_entry(slot.fingerprint, |other| other.without_mark() == *slot);
        found.map(hashbrown::hash_table::OccupiedEntry::remove).is_ok()
    }

    pub(super) fn is_current(&self, slot: &Slot) -> bool {
        self.shard(slot.fingerprint).is_some_and(|shard| {
            let table = shard.read();
            table
                .iter_hash(slot.fingerprint)
                .any(|other| other.without_mark() == *slot)
        })
    }

    /// Notes that a record was of use.
    pub(super) fn mark_read(&self, slot: &Slot) {
        if let Some(shard) = self.shard(slot.fingerprint)
            && let Some(found) = shard
                .write()
                .find_mut(slot.fingerprint, |other| other.without_mark() == *slot)
        {
            found.place.len |= READ;
        }
    }

    /// Notes that all records of a key were of use.
    pub(super) fn mark_all_read(&self, fingerprint: u64) {
        if let Some(shard) = self.shard(fingerprint) {
            for slot in shard.write().iter_hash_mut(fingerprint) {
                if slot.fingerprint == fingerprint {
                    slot.place.len |= READ;
                }
            }
        }
    }

    /// Takes all records of a segment out, and gives those that were of use.
    pub(super) fn remove_segment(&self, segment: u32) -> Vec<Slot> {
        let mut read = Vec::new();
        for shard in &self.shards {
            shard.write().retain(|slot| {
                let stays = slot.place.segment != segment;
                if !stays && slot.place.len & READ != 0 {
                    read.push(slot.without_mark());
                }
                stays
            });
        }
        read
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Bytes of the tables; charges for them.
    pub(super) fn account(&self) -> usize {
        let bytes = self
            .shards
            .iter()
            .map(|shard| shard.read().allocation_size())
            .sum();
        self.charge.lock().set(bytes);
        bytes
    }
}

impl Slot {
    fn without_mark(self) -> Self {
        let place = Place {
            len: self.place.len & !READ,
            ..self.place
        };
        Self { place, ..self }
    }
}
