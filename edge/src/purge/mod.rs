//! Purges: written to the node's disk, in force, acknowledged, in this order; and the memory of what they took
//! away, freed in steps by a thread of its own.

mod journal;
mod published;
mod request;
mod sweeper;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use breakwater_edge_cache::{Cache, Purge, PurgeProgress, PurgeRecord, Site};

use crate::observe::PurgeMetrics;
use journal::Journal;
pub(crate) use request::{Done, Refusal, carry_out};
pub(crate) use sweeper::Sweeper;

/// What is asked of a site.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) site: Arc<Site>,
    pub(crate) purge: Purge,
    pub(crate) progress: Option<PurgeProgress>,
    /// Another process had it first.
    pub(crate) relayed: bool,
}

/// A purge that holds now but may not after a restart: it isn't on the disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "it holds for what this process has in memory, but can't be written to the node's disk: {0}. Purge again \
     when the disk is in order"
)]
pub(crate) struct NotDurable(String);

type Outcome = Result<u64, NotDurable>;

/// Where whoever carries an order out leaves what came of it.
type Slot = Arc<Mutex<Option<Outcome>>>;

/// Takes purges, of all kinds and from everywhere.
pub(crate) struct Purger {
    cache: Cache,
    /// Orders that wait for the log, in order.
    waiting: Mutex<Vec<(Order, Slot)>>,
    log: Mutex<Log>,
    /// There is something to sweep.
    due: AtomicBool,
    counts: Counts,
}

struct Log {
    /// `None`: nothing outlives this process, so purges needn't either.
    journal: Option<Journal>,
    /// Where sequences of this process begin.
    base: u64,
    /// What is in the file can't be told; it has to be begun anew.
    broken: bool,
}

/// For metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By [`KINDS`].
    pub(crate) targets: [AtomicU64; KINDS.len()],
    pub(crate) purges: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) entries_dropped: AtomicU64,
    pub(crate) latency_us: AtomicU64,
    pub(crate) latencies: [AtomicU64; LATENCY_US.len() + 1],
}

/// What can be purged, as the metric and the API call it.
pub(crate) const KINDS: [&str; 5] = ["everything", "url", "prefix", "mask", "tag"];
/// Upper bounds of the buckets of the time that an acknowledgement takes, microseconds.
pub(crate) const LATENCY_US: [u64; 9] = [
    100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000,
];

impl Purger {
    /// With a log in `dir`. `doubt`: whoever brings the configuration may have purges that this edge has missed.
    ///
    /// Where the log can't be used, everything stored before is purged, and purges fail until it can be.
    pub(crate) fn new(cache: Cache, dir: Option<&Path>, doubt: bool) -> Self {
        let log = dir.map_or_else(Log::none, |dir| Log::open(&cache, dir, doubt));
        Self {
            cache,
            waiting: Mutex::default(),
            log: Mutex::new(log),
            due: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// Purges. When it returns `Ok`, no new request gets what the purge holds for, nor will one after a crash.
    /// Waits for the disk; several that wait at once wait for the same.
    pub(crate) fn purge(&self, order: Order) -> Outcome {
        let began = Instant::now();
        let slot = Arc::new(Mutex::new(None));
        lock(&self.waiting).push((order, Arc::clone(&slot)));
        let mut log = lock(&self.log);
        if lock(&slot).is_none() {
            let orders = std::mem::take(&mut *lock(&self.waiting));
            self.carry_out(&mut log, orders);
        }
        drop(log);
        let outcome = lock(&slot).take();
        let outcome = outcome.unwrap_or_else(|| Err(NotDurable("the purge was lost".to_owned())));
        self.counts.note(began.elapsed(), outcome.is_ok());
        outcome
    }

    fn carry_out(&self, log: &mut Log, orders: Vec<(Order, Slot)>) {
        let at_ms = wall_ms();
        let mut frames = Vec::new();
        let orders: Vec<_> = orders
            .into_iter()
            .map(|(order, slot)| {
                let sequence = self.cache.next_purge_sequence();
                let record = PurgeRecord::Purge {
                    sequence,
                    at_ms,
                    site: order.site.uid().into(),
                    purge: order.purge,
                    progress: order.progress,
                    relayed: order.relayed,
                };
                record.write(&mut frames);
                (order.site, record, slot)
            })
            .collect();
        let mut written = log.append(&frames);
        // In force even if it isn't written: better too much than too little.
        for (site, record, _) in &orders {
            if let PurgeRecord::Purge {
                sequence,
                purge,
                progress,
                ..
            } = record
            {
                self.cache
                    .apply_purge(site, *sequence, purge, at_ms, progress.clone());
            }
        }
        if log.wants_anew() {
            let anew = log.begin(&self.cache);
            if written.is_err() {
                // What is remembered is all on the disk now, these purges too.
                written = anew;
            } else if let Err(error) = anew {
                tracing::warn!(%error, "the log of purges can't be shortened");
            }
        }
        for (_, record, slot) in orders {
            let PurgeRecord::Purge { sequence, .. } = record else {
                continue;
            };
            let outcome = written.as_ref().map(|()| sequence);
            *lock(&slot) = Some(outcome.map_err(|error| NotDurable(error.to_string())));
        }
        self.due.store(true, Ordering::Release);
    }

    /// Takes over what the process before this one purges while both run.
    fn follow(&self) {
        let news = match &mut lock(&self.log).journal {
            Some(journal) => journal.news(),
            None => return,
        };
        let records = news.unwrap_or_else(|error| {
            tracing::error!(%error, "what another process purges can't be read");
            Vec::new()
        });
        let mut durable = true;
        for record in records {
            if let PurgeRecord::Purge {
                site,
                purge,
                progress,
                ..
            } = record
            {
                let site = self.cache.site(&site);
                let order = Order {
                    site,
                    purge,
                    progress,
                    relayed: true,
                };
                durable &= self.purge(order).is_ok();
            }
        }
        if durable
            && let Some(journal) = &mut lock(&self.log).journal
            && let Err(error) = journal.forget_dead()
        {
            tracing::warn!(%error, "a log of purges that nobody writes can't be removed");
        }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn measure(&self) -> PurgeMetrics {
        let counts = &self.counts;
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bounds = LATENCY_US.iter().copied().map(Some).chain([None]);
        PurgeMetrics {
            targets: KINDS.into_iter().zip(counts.targets.iter().map(value)).collect(),
            failed: value(&counts.failed),
            entries_dropped: value(&counts.entries_dropped),
            count: value(&counts.purges),
            sum_us: value(&counts.latency_us),
            latencies: bounds.zip(counts.latencies.iter().map(value)).collect(),
        }
    }
}

impl fmt::Debug for Purger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purger")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Log {
    fn none() -> Self {
        Self {
            journal: None,
            base: 0,
            broken: false,
        }
    }

    fn open(cache: &Cache, dir: &Path, doubt: bool) -> Self {
        let (journal, found) = match Journal::open(dir, wall_ms()) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, dir = %dir.display(), "the log of purges can't be read; everything stored is purged");
                let base = wall_ms() << 20;
                let log = breakwater_edge_cache::PurgeLog::purged_before(base);
                cache.restore_purges(log, base, doubt);
                return Self {
                    journal: None,
                    base,
                    broken: true,
                };
            }
        };
        if let Some(damage) = found.damage {
            tracing::error!(%damage, "the log of purges can't be read; everything stored is purged");
        }
        cache.restore_purges(found.log, found.base, doubt);
        let mut log = Self {
            journal: Some(journal),
            base: found.base,
            broken: true,
        };
        if let Err(error) = log.begin(cache) {
            tracing::error!(%error, "the log of purges can't be written; purges fail until it can be");
        }
        log
    }

    fn append(&mut self, frames: &[u8]) -> std::io::Result<()> {
        match &mut self.journal {
            None if self.broken => Err(std::io::Error::other(
                "the log couldn't be opened when the edge began",
            )),
            None => Ok(()),
            Some(_) if self.broken => Err(std::io::Error::other("the log has to be begun anew")),
            Some(journal) => journal.append(frames).inspect_err(|_| self.broken = true),
        }
    }

    fn wants_anew(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| self.broken || journal.is_long())
    }

    fn begin(&mut self, cache: &Cache) -> std::io::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        journal.begin(&cache.purge_records(self.base))?;
        self.broken = false;
        Ok(())
    }
}

impl Counts {
    fn note(&self, took: std::time::Duration, done: bool) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_US
            .iter()
            .position(|bound| us <= *bound)
            .unwrap_or(LATENCY_US.len());
        if let Some(count) = self.latencies.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.latency_us.fetch_add(us, Ordering::Relaxed);
        self.purges.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(!done), Ordering::Relaxed);
    }

    pub(crate) fn note_target(&self, kind: usize) {
        if let Some(count) = self.targets.get(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A thread that panicked left no half-made change: all of them are of one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
