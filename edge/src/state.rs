use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use breakwater_edge_cache::{Cache, DiskStats};
use breakwater_edge_config::SiteId;
use breakwater_edge_guard::RateTable;
use breakwater_edge_proxy::compile::{Directory, Snapshot};

use crate::active::{Active, Failure};
use crate::observe::{Health, Measured, OriginMetrics};
use crate::origin::Origins;
use crate::purge::{Purger, Sweeper};
use crate::source::Gauges;
use crate::tier::Tier;

/// What an edge has loaded and does.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its source has told everything that it had at the start.
    pub complete: bool,
    /// It accepts connections.
    pub listening: bool,
    /// It has begun to stop.
    pub draining: bool,
    /// The region that its settings name.
    pub region: Option<String>,
    /// Sites that it serves.
    pub sites: usize,
    /// What it can't use, sorted by object name.
    pub failures: Vec<Failure>,
    /// Counts changes of what it serves.
    pub generation: u64,
    /// Bytes that its cache holds in memory.
    pub cache_bytes: u64,
    /// Most bytes that its cache may hold in memory.
    pub cache_max_bytes: u64,
    /// Answers in the files of its cache; `None` without files, and until it has them.
    pub cache_disk_entries: Option<usize>,
    /// When it started.
    pub started_at: SystemTime,
}

impl Status {
    /// It has its configuration and listens.
    pub fn ready(&self) -> bool {
        self.complete && self.listening && !self.draining
    }
}

/// What the admin server's thread reads too.
pub(crate) struct State {
    pub(crate) cache: Cache,
    pub(crate) tier: Option<Tier>,
    pub(crate) purger: Arc<Purger>,
    /// Ends with the edge.
    #[allow(dead_code, reason = "it is held for its end")]
    pub(crate) sweeper: Sweeper,
    pub(crate) rates: Arc<RateTable>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) active: Mutex<Active>,
    pub(crate) complete: AtomicBool,
    pub(crate) listening: AtomicBool,
    pub(crate) draining: AtomicBool,
    pub(crate) started_at: SystemTime,
    pub(crate) cache_max_bytes: u64,
    /// What the source of configuration tells.
    pub(crate) source: Arc<Gauges>,
}

impl State {
    pub(crate) fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        let active = self.active();
        Status {
            complete: self.complete.load(Ordering::Acquire),
            listening: self.listening.load(Ordering::Acquire),
            draining: self.draining.load(Ordering::Acquire),
            region: active.region().map(str::to_owned),
            sites: active.sites(),
            failures: active.failures(),
            generation: active.generation(),
            cache_bytes: self.cache.stats().used_bytes as u64,
            cache_max_bytes: self.cache_max_bytes,
            cache_disk_entries: self.cache.disk_stats().map(|disk| disk.entries),
            started_at: self.started_at,
        }
    }

    pub(crate) fn health(&self) -> Health {
        let status = self.status();
        let state = match &status {
            status if status.draining => "draining",
            status if !status.complete => "waiting for its configuration",
            status if !status.listening => "not listening yet",
            _ => "ready",
        };
        Health {
            ready: status.ready(),
            state,
            sites: status.sites,
            failed: status.failures.len(),
        }
    }

    pub(crate) fn measure(&self) -> Measured {
        let mut measured = self.measure_edge();
        measured.gauges.extend(self.source.levels());
        measured.counters.extend(self.source.totals());
        if let Some(disk) = self.cache.disk_stats() {
            measured.gauges.extend(disk_levels(&disk));
            measured.counters.extend(disk_totals(&disk));
        }
        measured
    }

    fn measure_edge(&self) -> Measured {
        let status = self.status();
        let cache = self.cache.stats();
        let directory = self.directory.current();
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Measured {
            gauges: vec![
                (
                    "breakwater_cache_used_bytes",
                    "Bytes that the cache holds",
                    signed(cache.used_bytes),
                ),
                (
                    "breakwater_cache_max_bytes",
                    "Most bytes that the cache may hold",
                    signed(cache.max_bytes),
                ),
                (
                    "breakwater_cache_entries",
                    "Stored answers, each variant one",
                    signed(cache.entries),
                ),
                (
                    "breakwater_cache_fills",
                    "Answers on their way into the cache",
                    signed(cache.fills),
                ),
                ("breakwater_sites", "Sites in force", signed(status.sites)),
                (
                    "breakwater_config_failures",
                    "Objects that can't be used",
                    signed(status.failures.len()),
                ),
                (
                    "breakwater_config_generation",
                    "Counts changes of what is served",
                    i64::try_from(status.generation).unwrap_or(i64::MAX),
                ),
            ],
            counters: vec![
                ("breakwater_cache_inserted", "Answers stored", cache.inserted),
                (
                    "breakwater_cache_evicted",
                    "Stored answers given up for others",
                    cache.evicted,
                ),
                (
                    "breakwater_rate_keys_evicted",
                    "Keys of rate rules that lost their count while it mattered",
                    self.rates.evicted_active(),
                ),
            ],
            purges: self.purger.measure(),
            origins: self.origins(&directory),
            sites: directory.sites().map(|site| site.id().clone()).collect(),
            ready: status.ready(),
        }
    }
}

impl State {
    pub(crate) fn origins(&self, directory: &Snapshot) -> Vec<OriginMetrics> {
        let by_uid: HashMap<&str, &SiteId> = directory
            .sites()
            .map(|site| (site.config().uid.as_str(), site.id()))
            .collect();
        let snapshots = self.origins.snapshot().into_iter();
        snapshots
            .filter_map(|snapshot| {
                let site = (*by_uid.get(&*snapshot.site_uid)?).clone();
                Some(OriginMetrics { site, snapshot })
            })
            .collect()
    }
}

fn disk_levels(disk: &DiskStats) -> [(&'static str, &'static str, i64); 5] {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    [
        (
            "breakwater_cache_disk_used_bytes",
            "Bytes of the cache's files",
            signed(disk.used_bytes),
        ),
        (
            "breakwater_cache_disk_max_bytes",
            "Most bytes of the cache's files",
            signed(disk.max_bytes),
        ),
        (
            "breakwater_cache_disk_entries",
            "Answers in the cache's files, each variant one",
            signed(disk.entries as u64),
        ),
        (
            "breakwater_cache_disk_index_bytes",
            "Memory of the index of the cache's files, part of what the cache holds",
            signed(disk.index_bytes as u64),
        ),
        (
            "breakwater_cache_disk_waiting",
            "Answers that wait to be written to the cache's files",
            signed(disk.waiting as u64),
        ),
    ]
}

fn disk_totals(disk: &DiskStats) -> [(&'static str, &'static str, u64); 8] {
    [
        (
            "breakwater_cache_disk_written",
            "Answers written to the cache's files",
            disk.written,
        ),
        (
            "breakwater_cache_disk_dropped",
            "Answers not written: too large, too many at a time, or after a failure",
            disk.dropped,
        ),
        (
            "breakwater_cache_disk_kept",
            "Answers written again, for having been of use, when their file went",
            disk.kept,
        ),
        (
            "breakwater_cache_disk_loaded",
            "Answers read from the cache's files into memory",
            disk.loaded,
        ),
        (
            "breakwater_cache_disk_missed",
            "Readings of the cache's files that gave nothing usable",
            disk.missed,
        ),
        (
            "breakwater_cache_disk_corrupt",
            "Answers in the cache's files that weren't as they were written, none of them served",
            disk.corrupt,
        ),
        (
            "breakwater_cache_disk_read_errors",
            "Failed readings of the cache's files",
            disk.read_errors,
        ),
        (
            "breakwater_cache_disk_write_errors",
            "Failed writings of the cache's files; nothing is written for a while after one",
            disk.write_errors,
        ),
    ]
}
