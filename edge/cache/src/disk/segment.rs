//! Files of records. A segment is written from front to back, once; when it is full, a table of its records follows,
//! so that a start needn't look at them one by one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, fadvise};
use twox_hash::XxHash3_64;

use super::codec::{ALIGN, Kind, PREFIX_BYTES, Prefix, Reader};
use super::index::{Place, Slot, fingerprint};

const MAGIC: [u8; 8] = *b"bwseg001";
const TABLE_MAGIC: [u8; 8] = *b"bwtab001";
/// Before the first record.
pub(super) const HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 64;
/// A row of the table, and what stands at its end.
const ROW_BYTES: usize = 24;
const TAIL_BYTES: usize = 32;
/// How much is written before it is pushed to the disk and dropped from memory.
const DROP_BYTES: u64 = 8 << 20;

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u32,
    pub(super) file: File,
    path: PathBuf,
    /// Bytes of records and header.
    len: AtomicU64,
    /// Up to here it is on the disk and not in the page cache.
    dropped: AtomicU64,
}

/// A record as the table lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// It holds an entry.
    Entry(Slot),
    /// It voids a key.
    Void(u64),
}

impl Segment {
    /// A new file. `owner` is what all segments of a store have in common.
    pub(super) fn create(dir: &Path, id: u32, owner: u64) -> io::Result<Self> {
        let path = path_of(dir, id);
        let file = options().create_new(true).open(&path)?;
        let mut header = [0_u8; HEADER_LEN];
        write_header(&mut header, id, owner);
        file.write_all_at(&header, 0)?;
        Ok(Self {
            id,
            file,
            path,
            len: AtomicU64::new(HEADER_BYTES),
            dropped: AtomicU64::new(0),
        })
    }

    /// A file of before. `None`: it isn't one of this store's.
    pub(super) fn open(dir: &Path, id: u32, owner: u64) -> io::Result<Option<Self>> {
        let path = path_of(dir, id);
        let file = options().open(&path)?;
        let len = file.metadata()?.len();
        let (mut found, mut expected) = ([0_u8; HEADER_LEN], [0_u8; HEADER_LEN]);
        write_header(&mut expected, id, owner);
        if len < HEADER_BYTES || file.read_exact_at(&mut found, 0).is_err() || found != expected {
            return Ok(None);
        }
        Ok(Some(Self {
            id,
            file,
            path,
            len: AtomicU64::new(len),
            dropped: AtomicU64::new(len),
        }))
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Appends a record in parts; the next begins at a multiple of [`ALIGN`]. Only one thread appends.
    pub(super) fn append<'b>(&self, parts: impl Iterator<Item = &'b [u8]>) -> io::Result<()> {
        let mut at = self.len();
        for part in parts {
            self.file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        self.len.store(at.next_multiple_of(ALIGN), Ordering::Relaxed);
        if at.saturating_sub(self.dropped.load(Ordering::Relaxed)) >= DROP_BYTES {
            self.drop_behind(at)?;
        }
        Ok(())
    }

    /// What is written once and read seldom isn't worth memory that entries could have.
    fn drop_behind(&self, to: u64) -> io::Result<()> {
        self.file.sync_data()?;
        let from = self.dropped.swap(to, Ordering::Relaxed);
        self.forget_pages(from, to.saturating_sub(from));
        Ok(())
    }

    /// Drops a part of the file from the page cache; advice, that may fail.
    pub(super) fn forget_pages(&self, at: u64, len: u64) {
        if let Some(len) = std::num::NonZeroU64::new(len) {
            let _ = fadvise(&self.file, at, Some(len), Advice::DontNeed);
        }
    }

    /// Writes the table: the segment is complete.
    pub(super) fn seal(&self, rows: &[Row]) -> io::Result<()> {
        let at = self.len();
        let mut table = Vec::with_capacity(rows.len() * ROW_BYTES + TAIL_BYTES);
        for row in rows {
            write_row(*row, &mut table);
        }
        let sum = XxHash3_64::oneshot_with_seed(u64::from(self.id), &table);
        table.extend_from_slice(&TABLE_MAGIC);
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&(rows.len() as u64).to_le_bytes());
        table.extend_from_slice(&sum.to_le_bytes());
        // What a torn write may have left behind the records goes.
        self.file.set_len(at)?;
        self.file.write_all_at(&table, at)?;
        let end = at + table.len() as u64;
        self.len.store(end, Ordering::Relaxed);
        self.drop_behind(end)
    }

    /// The records of a complete segment; `None` where the table isn't whole.
    pub(super) fn table(&self) -> Option<Vec<Row>> {
        let len = self.len();
        let tail_at = len
            .checked_sub(TAIL_BYTES as u64)
            .filter(|at| *at >= HEADER_BYTES)?;
        let mut tail = [0; TAIL_BYTES];
        self.file.read_exact_at(&mut tail, tail_at).ok()?;
        let mut reader = Reader(&tail);
        if reader.array()? != TABLE_MAGIC {
            return None;
        }
        let (at, count, sum) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let bytes = tail_at.checked_sub(at)?;
        if count.checked_mul(ROW_BYTES as u64)? != bytes {
            return None;
        }
        let mut table = vec![0; usize::try_from(bytes).ok()?];
        self.file.read_exact_at(&mut table, at).ok()?;
        if XxHash3_64::oneshot_with_seed(u64::from(self.id), &table) != sum {
            return None;
        }
        table
            .chunks_exact(ROW_BYTES)
            .map(|row| read_row(self.id, row))
            .collect()
    }

    /// The records of a segment without a table, one by one, up to the first that isn't whole. What follows that is
    /// no part of the segment any more.
    pub(super) fn scan(&self) -> Vec<Row> {
        let (mut rows, mut at, end) = (Vec::new(), HEADER_BYTES, self.len());
        while let Some((prefix, _)) = self.record_at(at) {
            let next = at + prefix.record_len();
            if next > end.next_multiple_of(ALIGN) {
                break;
            }
            if let Some(row) = row_of(self.id, &prefix, at) {
                rows.push(row);
            }
            at = next;
        }
        self.len.store(at, Ordering::Relaxed);
        rows
    }

    /// Prefix and head of the record at `at`, if both are as they were written.
    fn record_at(&self, at: u64) -> Option<(Prefix, Vec<u8>)> {
        let mut bytes = [0; PREFIX_BYTES];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let prefix = Prefix::read(&bytes)?;
        let mut head = vec![0; prefix.head_len as usize];
        self.file
            .read_exact_at(&mut head, at + PREFIX_BYTES as u64)
            .ok()?;
        prefix.covers(self.id, &bytes, &head).then_some((prefix, head))
    }

    /// Deletes the file. Who reads it at the moment reads on.
    pub(super) fn delete(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// A record as the index has it; `None` where it is too far out for the index.
pub(super) fn row_of(segment: u32, prefix: &Prefix, at: u64) -> Option<Row> {
    if prefix.kind == Kind::Void {
        return Some(Row::Void(fingerprint(prefix.hash)));
    }
    let place = Place {
        segment,
        at: u32::try_from(at / ALIGN).ok()?,
        len: u32::try_from(prefix.record_len() / ALIGN).ok()?,
    };
    Some(Row::Entry(Slot {
        fingerprint: fingerprint(prefix.hash),
        variant: prefix.variant,
        place,
    }))
}

fn write_row(row: Row, out: &mut Vec<u8>) {
    let (fingerprint, variant, at, len, kind) = match row {
        Row::Entry(slot) => (
            slot.fingerprint,
            slot.variant,
            slot.place.at,
            slot.place.len,
            0_u32,
        ),
        Row::Void(fingerprint) => (fingerprint, 0, 0, 0, 1),
    };
    out.extend_from_slice(&fingerprint.to_le_bytes());
    for number in [variant, at, len, kind] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn read_row(segment: u32, row: &[u8]) -> Option<Row> {
    let mut reader = Reader(row);
    let (fingerprint, variant) = (reader.u64()?, reader.u32()?);
    let (at, len) = (reader.u32()?, reader.u32()?);
    match reader.u32()? {
        0 => Some(Row::Entry(Slot {
            fingerprint,
            variant,
            place: Place { segment, at, len },
        })),
        1 => Some(Row::Void(fingerprint)),
        _ => None,
    }
}

fn write_header(header: &mut [u8], id: u32, owner: u64) {
    let parts = MAGIC
        .into_iter()
        .chain(u64::from(id).to_le_bytes())
        .chain(owner.to_le_bytes());
    for (byte, value) in header.iter_mut().zip(parts) {
        *byte = value;
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Answers may be anybody's business, the files are not.
    options.read(true).write(true).mode(0o600);
    options
}

fn path_of(dir: &Path, id: u32) -> PathBuf {
    dir.join(format!("{id:08x}.seg"))
}

/// The segments in a directory, in the order in which they were made.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .filter(|id| id.len() == 8)
            .and_then(|id| u32::from_str_radix(id, 16).ok());
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Deletes a file that isn't a segment of this store.
pub(super) fn discard(dir: &Path, id: u32) -> io::Result<()> {
    std::fs::remove_file(path_of(dir, id))
}
