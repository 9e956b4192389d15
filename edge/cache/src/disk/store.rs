//! The tier as a whole: opened, asked, closed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};
use rustix::fs::{FlockOperation, flock};
use twox_hash::XxHash3_64;

use super::index::{Index, fingerprint};
use super::load::{self, Loads, ReadJob};
use super::queue::Queue;
use super::segment::{self, Row, Segment};
use super::voids::Voids;
use super::write::{self, WriteJob};
use super::{DiskConfig, DiskError, DiskStats, MIN_BYTES};
use crate::budget::Budget;
use crate::entry::Entry;
use crate::shard::Evicted;

/// Voids that wait to be written are few bytes each; entries are counted by what they hold in memory.
const VOID_BYTES: usize = 64;

/// See the module.
pub(crate) struct Disk {
    pub(super) config: DiskConfig,
    pub(super) index: Index,
    pub(super) segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    pub(super) loads: Loads,
    pub(super) writes: Queue<WriteJob>,
    pub(super) reads: Queue<ReadJob>,
    pub(super) counts: Counts,
    /// What is void though no segment says so.
    pub(super) voids: Voids,
    /// Fingerprints of keys that are void, though the thread that writes hasn't come to it.
    voiding: Mutex<HashMap<u64, usize>>,
    /// Names this process in what it writes.
    pub(super) run: u64,
    /// What this store's files have in common.
    pub(super) owner: u64,
    /// Most bytes of the index.
    pub(super) max_index_bytes: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the tier is closed.
    lock: Mutex<Option<File>>,
}

/// See [`DiskStats`].
#[derive(Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) loaded: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) read_errors: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) last_error: Mutex<Option<String>>,
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn failed(&self, counter: &AtomicU64, error: &io::Error) {
        *self.last_error.lock() = Some(error.to_string());
        add(counter);
    }
}

/// The secret of the key hash that belongs to a directory; made where there is none. The cache that opens the
/// directory must have it: an entry is found by its hash.
pub fn seed_in(dir: &Path, fresh: [u8; 16]) -> io::Result<[u8; 16]> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("seed");
    match std::fs::read(&path) {
        Ok(found) => {
            if let Ok(seed) = found.try_into() {
                return Ok(seed);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // It may be there all the same.
        Err(error) => return Err(error),
    }
    let unfinished = dir.join("seed.new");
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&fresh)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &path)?;
    Ok(fresh)
}

impl Disk {
    /// Opens the directory and reads where its records stand.
    pub(crate) fn open(
        config: DiskConfig,
        seed: [u8; 16],
        run: u64,
        budget: &Arc<Budget>,
    ) -> Result<Arc<Self>, DiskError> {
        if config.max_bytes < MIN_BYTES {
            return Err(DiskError::TooSmall(config.max_bytes));
        }
        std::fs::create_dir_all(&config.dir)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(config.dir.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(DiskError::Busy),
            Err(error) => return Err(DiskError::Io(error.into())),
        }
        let (voids, left) = Voids::open(&config.dir)?;
        let disk = Self {
            voids,
            index: Index::new(budget),
            segments: RwLock::default(),
            loads: Loads::default(),
            writes: Queue::new(config.queue_bytes),
            reads: Queue::new(config.queue_bytes),
            counts: Counts::default(),
            voiding: Mutex::default(),
            run,
            owner: XxHash3_64::oneshot(&seed),
            max_index_bytes: budget.max_bytes / 4,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            config,
        };
        let newest = disk.read_segments()?;
        // What they void may stand in the segments as if nothing had been.
        for hash in &left {
            disk.index.remove_all(fingerprint(*hash));
        }
        let disk = Arc::new(disk);
        disk.start_threads(newest)?;
        for hash in left {
            disk.write_void(hash);
        }
        Ok(disk)
    }

    /// Fills the index from the files, the oldest first, so that the newest record of a variant counts. Gives the
    /// number of the newest file.
    fn read_segments(&self) -> io::Result<u32> {
        let mut newest = 0;
        for id in segment::list(&self.config.dir)? {
            newest = id;
            let Some(found) = Segment::open(&self.config.dir, id, self.owner)? else {
                // Of another seed, or cut off before its first record.
                segment::discard(&self.config.dir, id)?;
                continue;
            };
            let rows = if let Some(rows) = found.table() {
                rows
            } else {
                let rows = found.scan();
                // Without a table the next start looks at each record again; nothing is lost.
                if let Err(error) = found.seal(&rows) {
                    self.counts.failed(&self.counts.write_errors, &error);
                }
                rows
            };
            for row in rows {
                match row {
                    Row::Entry(slot) => self.index.insert(slot),
                    Row::Void(fingerprint) => {
                        self.index.remove_all(fingerprint);
                    }
                }
            }
            self.segments.write().insert(id, Arc::new(found));
        }
        self.index.account();
        Ok(newest)
    }

    fn start_threads(self: &Arc<Self>, newest: u32) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let disk = Arc::clone(self);
        let writer = thread::Builder::new().name("cache-write".to_owned());
        threads.push(writer.spawn(move || write::run(&disk, newest))?);
        for _ in 0..self.config.readers.max(1) {
            let disk = Arc::clone(self);
            let reader = thread::Builder::new().name("cache-read".to_owned());
            threads.push(reader.spawn(move || load::run(&disk))?);
        }
        Ok(())
    }

    /// Takes an entry that was stored in memory; it is written when its turn comes. What can't be is forgotten: an
    /// older version of it must not come back.
    pub(crate) fn offer(&self, entry: &Arc<Entry>) {
        let job = WriteJob::Entry(Arc::clone(entry));
        if self.writes.push(job, entry.bytes()).is_err() {
            add(&self.counts.dropped);
            self.forget(entry.hash);
        }
    }

    /// Takes an entry that memory gives up, if the file that had it has gone; if it is there and was of use, it
    /// stays longer.
    pub(crate) fn take_evicted(&self, Evicted { entry, used }: &Evicted) {
        let lives = entry
            .body
            .place()
            .is_some_and(|(id, _)| self.segments.read().contains_key(&id));
        if !lives && !self.index.has(fingerprint(entry.hash)) {
            self.offer(entry);
        } else if *used {
            self.index.mark_all_read(fingerprint(entry.hash));
        }
    }

    /// Nothing of this key is found any more, now or after a restart.
    pub(crate) fn forget(&self, hash: u128) {
        self.loads.cancel(hash);
        let known = self.index.remove_all(fingerprint(hash));
        if !known && self.writes.is_idle() {
            return;
        }
        // A disk that can't take these few bytes takes no entries either.
        if let Err(error) = self.voids.add(hash) {
            self.counts.failed(&self.counts.write_errors, &error);
        }
        self.write_void(hash);
    }

    fn write_void(&self, hash: u128) {
        *self.voiding.lock().entry(fingerprint(hash)).or_default() += 1;
        if self.writes.push_urgent(WriteJob::Void(hash), VOID_BYTES).is_err() {
            // Nothing is being written; the index has forgotten it, and the next process will.
            self.voided(hash);
        }
    }

    /// A void was written, or never will be.
    pub(super) fn voided(&self, hash: u128) {
        self.index.remove_all(fingerprint(hash));
        let mut voiding = self.voiding.lock();
        if let Some(count) = voiding.get_mut(&fingerprint(hash)) {
            *count -= 1;
            if *count == 0 {
                voiding.remove(&fingerprint(hash));
            }
        }
    }

    pub(super) fn is_voiding(&self, hash: u128) -> bool {
        self.voiding.lock().contains_key(&fingerprint(hash))
    }

    /// Whether something of this key may be there.
    pub(crate) fn has(&self, hash: u128) -> bool {
        self.index.has(fingerprint(hash)) && !self.is_voiding(hash)
    }

    pub(super) fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.read().get(&id).cloned()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.segments.read().values().map(|segment| segment.len()).sum()
    }

    pub(crate) fn stats(&self) -> DiskStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts {
            written,
            dropped,
            kept,
            loaded,
            missed,
            corrupt,
            read_errors,
            write_errors,
            last_error,
        } = &self.counts;
        DiskStats {
            entries: self.index.len(),
            used_bytes: self.used_bytes(),
            max_bytes: self.config.max_bytes,
            index_bytes: self.index.account(),
            waiting: self.writes.len(),
            written: count(written),
            dropped: count(dropped),
            kept: count(kept),
            loaded: count(loaded),
            missed: count(missed),
            corrupt: count(corrupt),
            read_errors: count(read_errors),
            write_errors: count(write_errors),
            last_error: last_error.lock().clone(),
        }
    }

    /// Takes no more, and ends its threads when they have done what waits.
    pub(crate) fn stop(&self) {
        self.writes.close();
        self.reads.close();
    }

    /// As [`stop`](Self::stop), waits for it, and lets another process have the directory.
    pub(crate) fn close(&self) {
        self.stop();
        let own = thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != own {
                // A thread that panicked has said so.
                let _ = thread.join();
            }
        }
        *self.lock.lock() = None;
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
