//! The last good configuration on the node's disk, from which an edge starts when the API is away.
//!
//! In: changes of objects and marks (how far they go). Out: the same after a restart, as far as it can be
//! read. Damage is found by checksums, told, and costs the object that it hit; it also voids the mark, so
//! that the next list finds what is missing or old. It must never fail a start, and never hold up traffic:
//! writing has its own thread.
//!
//! The region's private keys lie here. With a key (32 bytes, from a file that is mounted from a Secret) the
//! objects are encrypted with AES-256-GCM; their names, sizes and number are not. Without one they lie in
//! plain, in a directory with mode 0700 and files with mode 0600, for everyone who is root on the node or
//! reads its disk. Neither form keeps somebody who can write to the disk from putting an older state back.

mod entries;
mod frame;
mod log;
mod pending;
mod scan;
mod seal;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use entries::Kept;
pub use log::{Loaded, MAX_DAMAGE};
pub use pending::Op;
pub use writer::Writer;

use super::Gauges;
use seal::Seal;

/// The state directory's part for configuration.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    seal: Arc<Seal>,
}

impl Disk {
    /// Makes `state_dir/config` where it is missing and reads the key. The errors are what a person has to
    /// set right: a directory that can't be made, a key that can't be read or has another length.
    pub fn open(state_dir: &Path, key_file: Option<&Path>) -> io::Result<Self> {
        let named = |what: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", what.display()))
        };
        let dir = state_dir.join("config");
        log::prepare(&dir).map_err(|error| named(&dir, error))?;
        let seal = match key_file {
            Some(file) => Seal::from_file(file).map_err(|error| named(file, error))?,
            None => Seal::plain(),
        };
        Ok(Self {
            dir,
            seal: Arc::new(seal),
        })
    }

    /// Reads what is there.
    pub fn load(&self) -> io::Result<Loaded> {
        log::load(&self.dir, &self.seal)
    }

    /// Starts the thread that writes. Another process that still has the log is waited for.
    pub fn writer(&self, gauges: Arc<Gauges>) -> io::Result<Writer> {
        Writer::start(self.dir.clone(), Arc::clone(&self.seal), gauges)
    }
}

#[cfg(test)]
mod tests;
