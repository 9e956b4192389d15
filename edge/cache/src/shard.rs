//! One shard of the index: entries by key and variant, and the queues of S3-FIFO that say who goes next.
//!
//! Small files and large ones have queues of their own ([`Shares`] says which give up an entry).
//!
//! New entries enter a small queue. Those hit more than once there move to the main queue; the others leave,
//! and a ghost remembers them: who comes back soon enters the main queue at once. The main queue gives every
//! entry that was hit another round for each of its hits, three at most. A hit changes no queue.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::budget::{Budget, Charge};
use crate::entry::Entry;
use crate::ghost::Ghost;
use crate::rules::StorageClass;
use crate::shares::{Shares, Victim};

/// Variants of one key; the oldest goes when one more comes.
const MAX_VARIANTS: usize = 32;
/// The small queue's part of a shard's bytes: one in so many.
const SMALL_PART: usize = 10;

type NodeId = u32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

struct Node {
    entry: Arc<Entry>,
    queue: Queue,
    newer: Option<NodeId>,
    older: Option<NodeId>,
    /// The next variant of the same key, stored before this one.
    next_variant: Option<NodeId>,
}

/// The queues of one class.
#[derive(Default)]
struct Queues {
    small: List,
    main: List,
}

#[derive(Default)]
struct List {
    newest: Option<NodeId>,
    oldest: Option<NodeId>,
    bytes: usize,
    len: usize,
}

/// Counts of one shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardStats {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) inserted: u64,
    pub(crate) evicted: u64,
}

/// An entry that was given up.
pub(crate) struct Evicted {
    pub(crate) entry: Arc<Entry>,
    /// It was hit while it was here.
    pub(crate) used: bool,
}

pub(crate) struct Shard {
    index: HashMap<u128, NodeId, BuildHasherDefault<Unhashed>>,
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    /// Each class gives up its own.
    queues: [Queues; 2],
    shares: Arc<Shares>,
    ghost: Ghost,
    inserted: u64,
    evicted: u64,
    /// For `index`, `nodes` and `free`, by what they have room for: small entries that made them grow may
    /// long have given way to large ones.
    tables: Charge,
}

impl Shard {
    /// `ghosts`: how many evicted keys are remembered at most.
    pub(crate) fn new(ghosts: usize, shares: &Arc<Shares>, budget: &Arc<Budget>) -> Self {
        Self {
            index: HashMap::default(),
            nodes: Vec::new(),
            free: Vec::new(),
            queues: Default::default(),
            shares: Arc::clone(shares),
            ghost: Ghost::new(ghosts),
            inserted: 0,
            evicted: 0,
            tables: Charge::new(budget, 0),
        }
    }

    /// Variants stored under the key, newest first.
    pub(crate) fn variants<'a>(&'a self, hash: u128, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Entry>> {
        let mut next = self.index.get(&hash).copied();
        std::iter::from_fn(move || {
            let node = self.node(next?)?;
            next = node.next_variant;
            Some(&node.entry)
        })
        .filter(move |entry| *entry.key == *key)
    }

    /// Stores an entry in place of one with the same selection. What had to go is put into `gone`, to be
    /// dropped without the lock.
    pub(crate) fn insert(&mut self, entry: Arc<Entry>, gone: &mut Vec<Arc<Entry>>) {
        let (mut frequency, mut count) = (0, 0);
        let mut next = self.index.get(&entry.hash).copied();
        while let Some((id, node)) = next.and_then(|id| Some((id, self.node(id)?))) {
            next = node.next_variant;
            count += 1;
            node.entry.supersede();
            let other_key = node.entry.key != entry.key;
            let same_variant = node.entry.vary == entry.vary;
            if same_variant && !other_key {
                // A validation or refetch does not make an entry a stranger again.
                frequency = node.entry.frequency().max(1);
            }
            // Another key with the same 128 bits never shares a chain; variants beyond the limit are the oldest.
            if other_key || same_variant || count >= MAX_VARIANTS {
                gone.extend(self.remove(id));
            }
        }
        entry.set_frequency(frequency);
        let known = self.ghost.take(entry.hash);
        let queue = if known || frequency > 0 {
            Queue::Main
        } else {
            Queue::Small
        };
        let hash = entry.hash;
        let next_variant = self.index.get(&hash).copied();
        let node = Node {
            entry,
            queue,
            newer: None,
            older: None,
            next_variant,
        };
        let Some(id) = self.allocate(node) else { return };
        self.push_newest(id, queue);
        self.index.insert(hash, id);
        self.inserted += 1;
        self.charge_tables();
    }

    /// Removes the entry that S3-FIFO gives up next, of those that `victim` names.
    pub(crate) fn evict(&mut self, victim: Victim) -> Option<Evicted> {
        // Every turn lowers a frequency, moves an entry to main for good, or evicts: it ends.
        loop {
            let [of_small, of_large] = &self.queues;
            let Queues { small, main } = match victim.class() {
                StorageClass::Small => of_small,
                StorageClass::Large => of_large,
            };
            let from_small = small.bytes * SMALL_PART >= small.bytes + main.bytes;
            let id = match (small.oldest, main.oldest) {
                (id, _) if victim == Victim::NewLarge => id?,
                (Some(id), _) if from_small => id,
                (_, Some(id)) | (Some(id), None) => id,
                (None, None) => return None,
            };
            let node = self.node(id)?;
            let (queue, frequency, hash) = (node.queue, node.entry.frequency(), node.entry.hash);
            let stays = match queue {
                Queue::Small => frequency > 1,
                Queue::Main => frequency > 0,
            };
            if !stays {
                if queue == Queue::Small {
                    self.ghost.put(hash);
                }
                self.evicted += 1;
                let entry = self.remove(id)?;
                self.shrink();
                let used = queue == Queue::Main || frequency > 0;
                return Some(Evicted { entry, used });
            }
            node.entry
                .set_frequency(if queue == Queue::Small { 0 } else { frequency - 1 });
            self.unlink(id);
            self.push_newest(id, Queue::Main);
        }
    }

    /// Removes what is purged, looking at `count` places from `from` on. Returns where to go on. What is moved
    /// to another place meanwhile may be missed; then it stays until it is evicted.
    pub(crate) fn sweep(&mut self, from: usize, count: usize, gone: &mut Vec<Arc<Entry>>) -> Option<usize> {
        let to = from.saturating_add(count).min(self.nodes.len());
        for id in from..to {
            let Ok(id) = NodeId::try_from(id) else { return None };
            let purged = |node: &Node| node.entry.is_purged(&node.entry.site);
            if self.node(id).is_some_and(purged) {
                gone.extend(self.remove(id));
            }
        }
        if to < self.nodes.len() {
            return Some(to);
        }
        self.shrink();
        None
    }

    /// Removes exactly this entry, if it is still stored.
    pub(crate) fn remove_entry(&mut self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let mut next = self.index.get(&entry.hash).copied();
        while let Some((id, node)) = next.and_then(|id| Some((id, self.node(id)?))) {
            if Arc::ptr_eq(&node.entry, entry) {
                let removed = self.remove(id);
                self.shrink();
                return removed;
            }
            next = node.next_variant;
        }
        None
    }

    pub(crate) fn stats(&self) -> ShardStats {
        ShardStats {
            entries: self.lists().map(|list| list.len).sum(),
            bytes: self.lists().map(|list| list.bytes).sum(),
            inserted: self.inserted,
            evicted: self.evicted,
        }
    }

    fn charge_tables(&mut self) {
        // A hash table has a power of two of buckets, seven of eight usable, with a byte of its own for each.
        let buckets = match self.index.capacity() {
            0 => 0,
            usable => (usable * 8 / 7).next_power_of_two(),
        };
        let index = buckets * (size_of::<(u128, NodeId)>() + 1);
        let nodes = self.nodes.capacity() * size_of::<Option<Node>>();
        self.tables
            .set(index + nodes + self.free.capacity() * size_of::<NodeId>());
    }

    /// Gives back tables that are nearly empty. Rare: they are left with as many places as entries, so that
    /// eight times as many must come and go before the next time.
    fn shrink(&mut self) {
        let sparse = self.free.len() > 64 && self.free.len() * 8 > self.nodes.len() * 7;
        if !(sparse || self.index.is_empty()) {
            return;
        }
        let mut taken = 0;
        let places: Vec<Option<NodeId>> = self
            .nodes
            .iter()
            .map(|node| {
                let place = node.as_ref().map(|_| taken);
                taken += NodeId::from(place.is_some());
                place
            })
            .collect();
        let moved = |id: &mut Option<NodeId>| {
            *id = id.and_then(|id| places.get(id as usize).copied().flatten());
        };
        self.nodes.retain(Option::is_some);
        for node in self.nodes.iter_mut().flatten() {
            moved(&mut node.newer);
            moved(&mut node.older);
            moved(&mut node.next_variant);
        }
        for Queues { small, main } in &mut self.queues {
            for list in [small, main] {
                moved(&mut list.newest);
                moved(&mut list.oldest);
            }
        }
        for id in self.index.values_mut() {
            let mut place = Some(*id);
            moved(&mut place);
            *id = place.unwrap_or(*id);
        }
        self.nodes.shrink_to_fit();
        self.index.shrink_to_fit();
        self.free = Vec::new();
        self.charge_tables();
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)?.as_ref()
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)?.as_mut()
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        self.queues
            .iter()
            .flat_map(|queues| [&queues.small, &queues.main])
    }

    fn list(&mut self, class: StorageClass, queue: Queue) -> &mut List {
        let [of_small, of_large] = &mut self.queues;
        let queues = match class {
            StorageClass::Small => of_small,
            StorageClass::Large => of_large,
        };
        match queue {
            Queue::Small => &mut queues.small,
            Queue::Main => &mut queues.main,
        }
    }

    /// `None` with four billion entries, which no memory holds.
    fn allocate(&mut self, node: Node) -> Option<NodeId> {
        if let Some(id) = self.free.pop() {
            *self.nodes.get_mut(id as usize)? = Some(node);
            return Some(id);
        }
        let id = NodeId::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Some(node));
        Some(id)
    }

    fn remove(&mut self, id: NodeId) -> Option<Arc<Entry>> {
        self.unlink(id);
        let node = self.nodes.get_mut(id as usize)?.take()?;
        self.free.push(id);
        node.entry.supersede();
        let hash = node.entry.hash;
        let first = self.index.get(&hash).copied();
        if first == Some(id) {
            match node.next_variant {
                Some(next) => self.index.insert(hash, next),
                None => self.index.remove(&hash),
            };
            return Some(node.entry);
        }
        let mut at = first;
        while let Some(before) = at.and_then(|at| self.node_mut(at)) {
            if before.next_variant == Some(id) {
                before.next_variant = node.next_variant;
                break;
            }
            at = before.next_variant;
        }
        Some(node.entry)
    }

    fn push_newest(&mut self, id: NodeId, queue: Queue) {
        let Some(node) = self.node(id) else { return };
        let (class, bytes) = (node.entry.class(), node.entry.bytes());
        self.shares.add(class, queue == Queue::Small, bytes);
        let list = self.list(class, queue);
        let older = list.newest.replace(id);
        if older.is_none() {
            list.oldest = Some(id);
        }
        list.len += 1;
        list.bytes += bytes;
        if let Some(node) = self.node_mut(id) {
            (node.queue, node.newer, node.older) = (queue, None, older);
        }
        if let Some(older) = older.and_then(|id| self.node_mut(id)) {
            older.newer = Some(id);
        }
    }

    fn unlink(&mut self, id: NodeId) {
        let Some(node) = self.node(id) else { return };
        let (queue, newer, older, bytes) = (node.queue, node.newer, node.older, node.entry.bytes());
        let class = node.entry.class();
        self.shares.remove(class, queue == Queue::Small, bytes);
        let list = self.list(class, queue);
        list.len -= 1;
        list.bytes -= bytes;
        if newer.is_none() {
            list.newest = older;
        }
        if older.is_none() {
            list.oldest = newer;
        }
        if let Some(node) = newer.and_then(|id| self.node_mut(id)) {
            node.older = older;
        }
        if let Some(node) = older.and_then(|id| self.node_mut(id)) {
            node.newer = newer;
        }
    }
}

/// Keys are keyed hashes already.
#[derive(Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "any 64 bits of a keyed hash will do"
    )]
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests;
