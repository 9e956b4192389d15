//! The cache's second tier: its directory is opened as soon as no other process has it, and given up when this one
//! begins to stop.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use breakwater_edge_cache::{Cache, DiskConfig, DiskError};

use crate::options::CacheDisk;

/// How often a directory that another process has is tried.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// How often one that can't be used is.
const FAILED_RETRY: Duration = Duration::from_secs(10);
/// The tier takes no more than this part of what is free where its directory is: one in so many.
const FREE_PART: u64 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tier {
    cache: Cache,
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Stop {
    wanted: Mutex<bool>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stop {
    /// Waits; true when it is time to stop.
    fn wait(&self, time: Duration) -> bool {
        let stops = lock(&self.wanted);
        let result = self.changed.wait_timeout_while(stops, time, |stops| !*stops);
        *result.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Tier {
    /// Opens the directory, in a thread of its own. `run` differs between processes.
    pub(crate) fn start(cache: &Cache, disk: &CacheDisk, run: u64) -> std::io::Result<Self> {
        let stop = Arc::<Stop>::default();
        let thread = {
            let (cache, stop, disk) = (cache.clone(), Arc::clone(&stop), disk.clone());
            thread::Builder::new()
                .name("cache-open".to_owned())
                .spawn(move || open(&cache, &disk, run, &stop))?
        };
        Ok(Self {
            cache: cache.clone(),
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Begins to give the directory up, so that another process can have it. What is in memory stays.
    pub(crate) fn release(&self) {
        *lock(&self.stop.wanted) = true;
        self.stop.changed.notify_all();
        let mut thread = lock(&self.thread);
        let opening = thread.take();
        let cache = self.cache.clone();
        let closing = thread::Builder::new()
            .name("cache-close".to_owned())
            .spawn(move || {
                if let Some(opening) = opening {
                    // A thread that panicked has said so.
                    let _ = opening.join();
                }
                cache.close_disk();
            });
        match closing {
            Ok(closing) => *thread = Some(closing),
            Err(error) => {
                tracing::warn!(%error, "the cache's directory can't be given up before this process ends");
            }
        }
    }

    /// Gives the directory up and waits until that is done.
    pub(crate) fn finish(&self) {
        self.release();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn open(cache: &Cache, disk: &CacheDisk, run: u64, stop: &Stop) {
    let dir = disk.dir.display();
    let mut told = false;
    loop {
        let max_bytes = bound(disk);
        let pause = match cache.open_disk(DiskConfig::new(disk.dir.clone(), max_bytes), run) {
            Ok(()) => {
                let entries = cache.disk_stats().map_or(0, |stats| stats.entries);
                tracing::info!(%dir, entries, max_bytes, "the cache has its directory");
                return;
            }
            Err(DiskError::Busy) => BUSY_RETRY,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        %dir, %error,
                        "the cache is in memory only until its directory can be used: check that it can be written \
                         to and has room"
                    );
                }
                FAILED_RETRY
            }
        };
        if stop.wait(pause) {
            return;
        }
    }
}

/// What it may take, with what it has already: no more than a part of what would be free without it.
fn bound(disk: &CacheDisk) -> u64 {
    let free = rustix::fs::statvfs(&disk.dir)
        .ok()
        .map(|at| at.f_bavail.saturating_mul(at.f_frsize));
    let own: u64 = std::fs::read_dir(&disk.dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum();
    free.map_or(disk.max_bytes, |free| {
        disk.max_bytes.min((free + own) / FREE_PART)
    })
}
