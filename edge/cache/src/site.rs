//! A site as the cache sees it: whose an entry is, and the purges that its entries must have outlived.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::budget::{Budget, Charge};
use crate::purge::{Purge, PurgeLog, PurgeProgress, Standing, State, Subject};
use crate::tags::Tags;

/// A site, by its UID. Got from [`Cache::site`](crate::Cache::site) once when a configuration is compiled,
/// and kept with it.
///
/// Every holder of the same UID has the same object, as long as anything of the site is alive: a
/// configuration, an entry, a fill. So a purge is never forgotten while something older than it exists.
pub struct Site {
    uid: Box<[u8]>,
    /// The sequence of the last purge. A hit compares with it, and looks at the purges only when it moved.
    last: AtomicU64,
    /// What was stored at a lower sequence must be validated: purges of it may not have come here.
    doubted_before: AtomicU64,
    purges: RwLock<Purges>,
    memory: Arc<PurgeMemory>,
}

struct Purges {
    state: State,
    charge: Charge,
}

/// What all sites' purges take together.
#[derive(Debug)]
struct PurgeMemory {
    used_bytes: AtomicUsize,
    /// Beyond it no table grows any more; more then share a slot.
    grow_to_bytes: usize,
}

/// Tables of purges grow up to this part of the cache's bytes: one in so many.
const PURGE_PART: usize = 64;

impl Site {
    fn new(uid: &[u8], state: State, last: u64, memory: &Arc<PurgeMemory>, budget: &Arc<Budget>) -> Self {
        let bytes = state.heap_bytes();
        memory.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self {
            uid: uid.into(),
            last: AtomicU64::new(last),
            doubted_before: AtomicU64::new(0),
            purges: RwLock::new(Purges {
                state,
                charge: Charge::new(budget, bytes),
            }),
            memory: Arc::clone(memory),
        }
    }

    /// The UID of the object that the site was made from.
    pub fn uid(&self) -> &[u8] {
        &self.uid
    }

    /// The site's last purge. What was asked of an origin when it was lower may be one that it holds for.
    pub fn purge_seq(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// How far it has come with the purges of its configuration.
    pub fn purge_progress(&self) -> Option<PurgeProgress> {
        self.purges.read().state.progress().cloned()
    }

    /// Where something stands after the purges. At least those up to [`purge_seq`](Self::purge_seq), read
    /// before, are looked at.
    pub(crate) fn standing(&self, subject: &Subject<'_>) -> Standing {
        self.purges.read().state.standing(subject)
    }

    /// A purge holds from when this returns: for whatever was asked of an origin before.
    pub(crate) fn apply(&self, sequence: u64, purge: &Purge, at_ms: u64, progress: Option<PurgeProgress>) {
        let mut purges = self.purges.write();
        let memory = &self.memory;
        let may_grow = memory.used_bytes.load(Ordering::Relaxed) < memory.grow_to_bytes;
        purges.state.apply(sequence, purge, at_ms, may_grow);
        purges.state.advance(progress);
        let (before, after) = (purges.charge.bytes(), purges.state.heap_bytes());
        purges.charge.set(after);
        memory.used_bytes.fetch_add(after, Ordering::Relaxed);
        memory.used_bytes.fetch_sub(before, Ordering::Relaxed);
        if !purge.is_empty() {
            // After the change: who sees the sequence sees the purge.
            self.last.fetch_max(sequence, Ordering::AcqRel);
        }
    }

    /// Whether a hard purge holds for something that was stored at that sequence, under that key and with those
    /// tags: for those who keep it elsewhere than in memory.
    pub fn has_purged(&self, key: &[u8], tags: &Tags, sequence: u64) -> bool {
        let subject = Subject {
            key,
            tags: Some(tags),
            sequence,
        };
        sequence < self.purge_seq() && self.standing(&subject) == Standing::Purged
    }

    /// Whether what was stored at this sequence must be validated because purges may have been missed.
    pub(crate) fn is_doubted(&self, sequence: u64) -> bool {
        sequence < self.doubted_before.load(Ordering::Acquire)
    }

    /// Every purge that was acknowledged has come here: what was stored before this process began may be used
    /// by the rules again.
    fn trust(&self) {
        self.doubted_before.store(0, Ordering::Release);
    }

    fn doubt(&self, before: u64) {
        self.doubted_before.store(before, Ordering::Release);
        self.last.fetch_max(before, Ordering::AcqRel);
    }

    pub(crate) fn state(&self) -> State {
        self.purges.read().state.clone()
    }

    /// Purges everything.
    #[cfg(test)]
    pub(crate) fn next_purge(&self) -> u64 {
        let mut purge = Purge::new(false);
        purge.everything();
        let sequence = self.purge_seq() + 1;
        self.apply(sequence, &purge, 0, None);
        sequence
    }

    #[cfg(test)]
    pub(crate) fn detached(uid: &[u8]) -> Self {
        let memory = Arc::new(PurgeMemory {
            used_bytes: AtomicUsize::new(0),
            grow_to_bytes: usize::MAX,
        });
        Self::new(uid, State::default(), 0, &memory, &Budget::new(0))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let bytes = self.purges.get_mut().charge.bytes();
        self.memory.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", String::from_utf8_lossy(&self.uid))
    }
}

/// Most sites whose purges are remembered although nothing of them is in memory. Beyond it the longest
/// unpurged are forgotten, and everything of theirs is taken for purged.
const MAX_KEPT: usize = 1 << 16;

/// Sites by UID. Holds none alive, unless what they remember must outlive them: when there are entries of
/// theirs that this process doesn't know, on disk.
pub(crate) struct Sites {
    known: Mutex<Known>,
    sequence: AtomicU64,
    memory: Arc<PurgeMemory>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct Known {
    by_uid: HashMap<Box<[u8]>, Weak<Site>>,
    /// The dead are cleared when there are this many, so that clearing costs a constant for each new site.
    clear_at: usize,
    /// Sites with purges; `None`: nothing outlives the process.
    kept: Option<HashMap<Box<[u8]>, Arc<Site>>>,
    /// What is stored up to here is purged, of sites that nothing is known of.
    floor: u64,
    /// What new sites begin with.
    doubted_before: u64,
}

impl Sites {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            known: Mutex::default(),
            sequence: AtomicU64::new(0),
            memory: Arc::new(PurgeMemory {
                used_bytes: AtomicUsize::new(0),
                grow_to_bytes: budget.max_bytes / PURGE_PART,
            }),
            budget: Arc::clone(budget),
        }
    }

    pub(crate) fn get(&self, uid: &[u8]) -> Arc<Site> {
        let mut known = self.known.lock();
        if let Some(site) = known.by_uid.get(uid).and_then(Weak::upgrade) {
            return site;
        }
        if known.by_uid.len() >= known.clear_at {
            known.by_uid.retain(|_, site| site.strong_count() > 0);
            known.clear_at = known.by_uid.len() * 2;
        }
        let state = State::purged_before(known.floor);
        let site = Arc::new(Site::new(uid, state, known.floor, &self.memory, &self.budget));
        if known.doubted_before > 0 {
            site.doubt(known.doubted_before);
        }
        known.by_uid.insert(uid.into(), Arc::downgrade(&site));
        site
    }

    /// The next purge's sequence.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// No purge has had this sequence yet.
    pub(crate) fn is_ahead(&self, sequence: u64) -> bool {
        sequence > self.sequence.load(Ordering::Acquire)
    }

    /// A site has been purged: it is remembered.
    pub(crate) fn keep(&self, site: &Arc<Site>) {
        let mut known = self.known.lock();
        let Known {
            kept: Some(kept),
            floor,
            by_uid,
            ..
        } = &mut *known
        else {
            return;
        };
        kept.entry(site.uid.clone()).or_insert_with(|| Arc::clone(site));
        if kept.len() <= MAX_KEPT {
            return;
        }
        let mut idle: Vec<(u64, Box<[u8]>)> = kept
            .iter()
            .filter(|(_, site)| Arc::strong_count(site) == 1)
            .map(|(uid, site)| (site.purge_seq(), uid.clone()))
            .collect();
        idle.sort_unstable();
        idle.truncate(kept.len() - MAX_KEPT / 2);
        for (sequence, uid) in idle {
            kept.remove(&uid);
            *floor = sequence.max(*floor);
            by_uid.remove(&uid);
        }
    }

    /// Takes over what a log says; sequences go on from `base`. Only before any site was asked for.
    pub(crate) fn restore(&self, log: PurgeLog, base: u64, doubt: bool) {
        self.sequence.fetch_max(base, Ordering::AcqRel);
        let mut known = self.known.lock();
        known.floor = log.floor;
        known.doubted_before = if doubt { base } else { 0 };
        let mut kept = HashMap::new();
        for (uid, (last, mut state)) in log.sites {
            state.raise_floor(log.floor);
            let last = last.max(log.floor);
            let site = Arc::new(Site::new(&uid, state, last, &self.memory, &self.budget));
            if doubt {
                site.doubt(base);
            }
            known.by_uid.insert(uid.clone(), Arc::downgrade(&site));
            kept.insert(uid, site);
        }
        known.kept = Some(kept);
    }

    /// Every purge has come here, of all sites.
    pub(crate) fn trust(&self) {
        let mut known = self.known.lock();
        known.doubted_before = 0;
        known
            .by_uid
            .values()
            .filter_map(Weak::upgrade)
            .for_each(|site| site.trust());
    }

    /// The sites that are remembered, and up to where everything of the others is purged.
    pub(crate) fn kept(&self) -> (Vec<Arc<Site>>, u64) {
        let known = self.known.lock();
        let sites = known.kept.iter().flat_map(HashMap::values).cloned().collect();
        (sites, known.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_remembered_while_anything_of_the_site_lives() {
        let sites = Sites::new(&Budget::new(1 << 20));
        let configured = sites.get(b"a");
        configured.next_purge();
        let of_an_entry = Arc::clone(&configured);
        drop(configured);
        assert_eq!(sites.get(b"a").purge_seq(), 1);
        drop(of_an_entry);
        assert_eq!(sites.get(b"b").purge_seq(), 0);
        assert_eq!(sites.known.lock().by_uid.len(), 1);
    }

    #[test]
    fn with_a_log_purges_outlive_their_sites_and_unknown_sites_begin_at_its_floor() {
        let sites = Sites::new(&Budget::new(1 << 20));
        sites.restore(PurgeLog::purged_before(7), 100, true);
        let site = sites.get(b"a");
        assert_eq!((site.purge_seq(), sites.next_sequence()), (100, 101));
        assert!(site.is_doubted(99) && !site.is_doubted(100));
        let subject = |sequence| Subject {
            key: b"",
            tags: None,
            sequence,
        };
        assert_eq!(site.standing(&subject(6)), Standing::Purged);
        assert_eq!(site.standing(&subject(7)), Standing::Current);
        let sequence = site.next_purge();
        sites.keep(&site);
        drop(site);
        assert_eq!(sites.get(b"a").purge_seq(), sequence);
    }
}
