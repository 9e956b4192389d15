use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use breakwater_edge_config::SiteId;

use super::Site;
use super::hosts::{HostMap, SiteIndex};

/// A change copies one chunk of sites' pointers.
const CHUNK: usize = 128;

/// All sites at one moment. Immutable once published; the next one shares what didn't change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    hosts: HostMap,
    sites: Vec<Arc<Vec<Option<Arc<Site>>>>>,
}

impl Snapshot {
    fn empty() -> Self {
        Self {
            generation: 0,
            hosts: HostMap::new(),
            sites: Vec::new(),
        }
    }

    /// Counts published changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The site that serves `host` (lower case, without port).
    pub fn find(&self, host: &str) -> Option<&Arc<Site>> {
        self.site(self.find_index(host)?)
    }

    /// Every site, in no order.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.iter().flat_map(|chunk| chunk.iter()).flatten()
    }

    pub(crate) fn find_index(&self, host: &str) -> Option<SiteIndex> {
        self.hosts.find(host)
    }

    pub(crate) fn site(&self, index: SiteIndex) -> Option<&Arc<Site>> {
        let index = index as usize;
        self.sites.get(index / CHUNK)?.get(index % CHUNK)?.as_ref()
    }

    fn put(&mut self, index: SiteIndex, site: Option<Arc<Site>>) -> Option<Arc<Site>> {
        let index = index as usize;
        while self.sites.len() <= index / CHUNK {
            self.sites.push(Arc::new(vec![None; CHUNK]));
        }
        let slot = Arc::make_mut(self.sites.get_mut(index / CHUNK)?).get_mut(index % CHUNK)?;
        std::mem::replace(slot, site)
    }
}

/// The sites of a process: written by whatever brings the configuration, read by every worker.
///
/// Replacing one site of 10,000 copies pointers only: the two lists of host shards, the list of chunks and
/// one chunk of sites, some hundred reference counts; see `tests/directory_cost.rs` for the figure.
#[derive(Debug)]
pub struct Directory {
    writer: Mutex<Writer>,
    current: Mutex<Arc<Snapshot>>,
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct Writer {
    by_id: HashMap<SiteId, SiteIndex>,
    free: Vec<SiteIndex>,
    next: SiteIndex,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            writer: Mutex::default(),
            current: Mutex::new(Arc::new(Snapshot::empty())),
            generation: AtomicU64::new(0),
        }
    }
}

impl Directory {
    /// The snapshot that holds now.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its generation, at the cost of one load: workers compare it with the one they hold.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes changes and publishes them as one.
    pub fn change<T>(&self, make: impl FnOnce(&mut Change<'_>) -> T) -> T {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current());
        snapshot.generation += 1;
        let generation = snapshot.generation;
        let result = make(&mut Change {
            writer: &mut writer,
            snapshot: &mut snapshot,
        });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.generation.store(generation, Ordering::Release);
        result
    }
}

/// Changes on their way into the next snapshot.
#[derive(Debug)]
pub struct Change<'a> {
    writer: &'a mut Writer,
    snapshot: &'a mut Snapshot,
}

impl Change<'_> {
    /// Adds a site, or replaces the one of the same [`SiteId`].
    pub fn set(&mut self, site: Arc<Site>) {
        let index = match self.writer.by_id.get(site.id()) {
            Some(index) => *index,
            None => self.allot(site.id()),
        };
        let hosts = &mut self.snapshot.hosts;
        let old = self
            .snapshot
            .sites
            .get(index as usize / CHUNK)
            .and_then(|c| c.get(index as usize % CHUNK));
        let old = old.and_then(Option::as_ref).map(|old| Arc::clone(old.config()));
        let old_hosts = old.as_ref().map(|old| old.hosts.as_slice()).unwrap_or_default();
        let new_hosts = &site.config().hosts;
        for gone in old_hosts.iter().filter(|host| !new_hosts.contains(host)) {
            hosts.remove(gone, index);
        }
        for new in new_hosts.iter().filter(|host| !old_hosts.contains(host)) {
            hosts.add(new, index);
        }
        self.snapshot.put(index, Some(site));
    }

    /// Removes a site; false when there is none of this name.
    pub fn remove(&mut self, id: &SiteId) -> bool {
        let Some(index) = self.writer.by_id.remove(id) else {
            return false;
        };
        self.writer.free.push(index);
        if let Some(old) = self.snapshot.put(index, None) {
            for host in &old.config().hosts {
                self.snapshot.hosts.remove(host, index);
            }
        }
        true
    }

    fn allot(&mut self, id: &SiteId) -> SiteIndex {
        let index = self.writer.free.pop().unwrap_or_else(|| {
            let next = self.writer.next;
            self.writer.next += 1;
            next
        });
        self.writer.by_id.insert(id.clone(), index);
        index
    }
}
