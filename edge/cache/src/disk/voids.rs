//! Keys that are void though no segment says so yet. The thread that writes segments may have much to do before it
//! comes to a void; a process that is killed meanwhile must not find again what it had questioned. So each is noted
//! here first, by whoever voids it: 24 bytes into the page cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use parking_lot::Mutex;
use twox_hash::XxHash3_64;

use super::codec::Reader;

const ROW_BYTES: usize = 24;

pub(super) struct Voids {
    state: Mutex<State>,
}

struct State {
    file: File,
    len: u64,
    /// Those that no segment holds.
    pending: usize,
}

impl Voids {
    /// Opens the list, and gives what a process before has left in it.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<u128>)> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(dir.join("voids"))?;
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let left: Vec<u128> = bytes.chunks_exact(ROW_BYTES).filter_map(read_row).collect();
        let state = State {
            len: (bytes.len() - bytes.len() % ROW_BYTES) as u64,
            pending: left.len(),
            file,
        };
        let state = Mutex::new(state);
        Ok((Self { state }, left))
    }

    /// Notes one, before anything else is done about it.
    pub(super) fn add(&self, hash: u128) -> io::Result<()> {
        let mut state = self.state.lock();
        state.file.write_all_at(&row(hash), state.len)?;
        state.len += ROW_BYTES as u64;
        state.pending += 1;
        Ok(())
    }

    /// A segment holds one of them. The list is emptied when that is true of all.
    pub(super) fn done(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.pending = state.pending.saturating_sub(1);
        if state.pending > 0 {
            return Ok(());
        }
        state.len = 0;
        state.file.set_len(0)
    }
}

fn row(hash: u128) -> [u8; ROW_BYTES] {
    let hash = hash.to_le_bytes();
    let mut row = [0; ROW_BYTES];
    let bytes = hash.into_iter().chain(XxHash3_64::oneshot(&hash).to_le_bytes());
    for (place, byte) in row.iter_mut().zip(bytes) {
        *place = byte;
    }
    row
}

/// `None`: not as it was written.
fn read_row(row: &[u8]) -> Option<u128> {
    let mut reader = Reader(row);
    let hash: [u8; 16] = reader.array()?;
    (reader.u64()? == XxHash3_64::oneshot(&hash)).then(|| u128::from_le_bytes(hash))
}
