//! The second tier: entries in files, for what doesn't fit into memory and for a restart that comes back warm.
//!
//! Records are appended to segments ([`segment`]) by one thread, and the oldest segment goes when there is no room.
//! What was read since it was written is written again then. The index in memory ([`index`]) says where the record
//! of a key stands; the record itself, with its whole key and checksums over every byte, decides ([`codec`]).
//! Reading brings an entry back into memory ([`load`]), where it is looked up as any other.
//!
//! Nothing here may ever give out a wrong byte, or make a request wait for the disk on its own thread: what can't be
//! read is a miss, what can't be written is left out, and both are counted.

mod codec;
mod index;
mod load;
mod queue;
mod segment;
mod store;
mod voids;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

pub use load::Load;
pub(crate) use store::Disk;
pub use store::seed_in;

use load::LoadRequest;

use crate::Now;
use crate::cache::Cache;
use crate::fields::FieldsView;
use crate::key::KeyRef;
use crate::site::Site;

/// How the disk tier is set up.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Its directory, made where it isn't there. Nothing else may be in it.
    pub dir: PathBuf,
    /// Most bytes of all files together; at least 16 MiB.
    pub max_bytes: u64,
    /// Bytes of a file; no entry takes more. `None`: a sixteenth of `max_bytes`, 128 MiB at most.
    pub segment_bytes: Option<u64>,
    /// Most bytes of entries that wait to be written; what comes beyond isn't written.
    pub queue_bytes: usize,
    /// Threads that read.
    pub readers: usize,
}

impl DiskConfig {
    /// Defaults: 32 MiB may wait to be written, two threads read.
    pub fn new(dir: PathBuf, max_bytes: u64) -> Self {
        Self {
            dir,
            max_bytes,
            segment_bytes: None,
            queue_bytes: 32 << 20,
            readers: 2,
        }
    }

    fn segment_bytes(&self) -> u64 {
        let default = (self.max_bytes / 16).min(128 << 20);
        self.segment_bytes.unwrap_or(default).max(256 << 10)
    }
}

/// Why there is no disk tier.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has it; try again when that has ended.
    #[error("another process uses the cache directory")]
    Busy,
    /// It has been opened already.
    #[error("the cache has a disk tier already")]
    Open,
    /// Less than can be used.
    #[error("a disk tier needs at least {MIN_BYTES} bytes, {0} given")]
    TooSmall(u64),
    /// The directory or a thread can't be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

const MIN_BYTES: u64 = 16 << 20;

/// Counts of the disk tier, since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Records that can be found; each variant is one.
    pub entries: usize,
    /// Bytes of all files.
    pub used_bytes: u64,
    /// The bound.
    pub max_bytes: u64,
    /// Bytes of the index in memory; part of the cache's.
    pub index_bytes: usize,
    /// What waits to be written, or is being.
    pub waiting: usize,
    /// Entries written.
    pub written: u64,
    /// Entries not written: too many waited, or none may be written after a failure.
    pub dropped: u64,
    /// Entries written again because they had been of use.
    pub kept: u64,
    /// Entries brought back into memory.
    pub loaded: u64,
    /// Readings that brought nothing: another variant, or gone meanwhile.
    pub missed: u64,
    /// Records whose bytes weren't those that were written.
    pub corrupt: u64,
    /// Failed reads.
    pub read_errors: u64,
    /// Failed writes. After one, nothing is written for a while.
    pub write_errors: u64,
    /// What the last failure was.
    pub last_error: Option<String>,
}

impl Cache {
    /// Gives the cache a second tier. Its seed must be that of the directory, see [`seed_in`]. `run` is a number
    /// that no other process that uses the directory has.
    ///
    /// May take some seconds: call it from a thread that nobody waits for. Until it returns the cache is one of
    /// memory alone.
    pub fn open_disk(&self, config: DiskConfig, run: u64) -> Result<(), DiskError> {
        if self.shared.disk.get().is_some() {
            return Err(DiskError::Open);
        }
        let disk = Disk::open(config, self.shared.hasher.0, run, &self.shared.budget)?;
        self.shared.disk.set(disk).map_err(|_| DiskError::Open)
    }

    /// Writes what waits, completes the files and lets another process have the directory. The cache goes on
    /// without it. Blocks until that is done.
    pub fn close_disk(&self) {
        if let Some(disk) = self.shared.disk.get() {
            disk.close();
        }
    }

    /// Begins to read what the disk may have for a request that memory had nothing for. `None`: it has nothing.
    /// When the [`Load`] is ready, look up again.
    pub fn load(
        &self,
        site: &Arc<Site>,
        key: KeyRef<'_>,
        request: &dyn FieldsView,
        now: Now,
    ) -> Option<Load> {
        let disk = self.shared.disk.get()?;
        disk.load(&LoadRequest {
            shared: &self.shared,
            site,
            key,
            fields: request,
            now,
        })
    }

    /// Counts of the disk tier, where there is one.
    pub fn disk_stats(&self) -> Option<DiskStats> {
        self.shared.disk.get().map(|disk| disk.stats())
    }
}
