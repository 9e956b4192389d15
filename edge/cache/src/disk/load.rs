//! Reading: an entry comes back into memory, on a thread of its own, and whoever waits looks it up again.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::codec::{Head, Kind, PREFIX_BYTES, Prefix, block_len, block_sum};
use super::index::{Slot, fingerprint};
use super::segment::Segment;
use super::store::{Disk, add};
use crate::Now;
use crate::body::{BLOCK_BYTES, Body};
use crate::budget::Charge;
use crate::entry::{Entry, EntryParts};
use crate::fields::{Fields, FieldsView};
use crate::key::KeyRef;
use crate::shared::Shared;
use crate::site::Site;

/// Read at once: prefix and head of nearly every record, and the whole of a small one.
const FIRST_BYTES: usize = 16 << 10;
/// Readings under way at a time, most of which wait; a request beyond them is a miss.
const MAX_LOADS: usize = 4_096;

/// A reading under way. When it is ready, look up again: what was found is in memory then. Dropping it leaves the
/// reading to others.
pub struct Load {
    state: Arc<LoadState>,
}

impl Load {
    /// Ready when the reading has ended, whatever came of it.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.state.waiting.lock();
        match &mut *waiting {
            None => Poll::Ready(()),
            Some(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// What a request wants read.
pub(crate) struct LoadRequest<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) site: &'a Arc<Site>,
    pub(crate) key: KeyRef<'a>,
    pub(crate) fields: &'a dyn FieldsView,
    pub(crate) now: Now,
}

struct LoadState {
    /// `None`: it has ended.
    waiting: Mutex<Option<Vec<Waker>>>,
    /// The key was voided meanwhile: what is being read must not be used.
    cancelled: AtomicBool,
}

/// Readings by the hash of their key: one at a time for each.
#[derive(Default)]
pub(super) struct Loads {
    under_way: Mutex<HashMap<u128, Arc<LoadState>>>,
}

impl Loads {
    /// What is being read under this key is void.
    pub(super) fn cancel(&self, hash: u128) {
        if let Some(state) = self.under_way.lock().get(&hash) {
            state.cancelled.store(true, Ordering::Release);
        }
    }

    /// Ends a reading; `commit` runs only if it wasn't cancelled, and is over before it can be.
    fn end(&self, hash: u128, state: &LoadState, commit: impl FnOnce()) {
        {
            let mut under_way = self.under_way.lock();
            if !state.cancelled.load(Ordering::Acquire) {
                commit();
            }
            under_way.remove(&hash);
        }
        let wakers = state.waiting.lock().take().unwrap_or_default();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A reading for a thread.
pub(super) struct ReadJob {
    shared: Arc<Shared>,
    site: Arc<Site>,
    hash: u128,
    key: Box<[u8]>,
    request: Fields,
    now: Now,
    state: Arc<LoadState>,
    /// For the copies that it holds.
    _charge: Charge,
}

impl Drop for ReadJob {
    /// One that is never done must not be waited for.
    fn drop(&mut self) {
        if let Some(wakers) = self.state.waiting.lock().take() {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Disk {
    /// Begins a reading, or joins one of the same key. `None`: there is nothing to read, or too much is being read.
    pub(crate) fn load(&self, request: &LoadRequest<'_>) -> Option<Load> {
        let hash = request.key.hash;
        if !self.has(hash) {
            return None;
        }
        let mut under_way = self.loads.under_way.lock();
        if let Some(state) = under_way.get(&hash) {
            let state = Arc::clone(state);
            return Some(Load { state });
        }
        if under_way.len() >= MAX_LOADS {
            return None;
        }
        let state = Arc::new(LoadState {
            waiting: Mutex::new(Some(Vec::new())),
            cancelled: AtomicBool::new(false),
        });
        let copied = Fields::copy_of(request.fields);
        let bytes =
            size_of::<ReadJob>() + size_of::<LoadState>() + request.key.bytes.len() + copied.heap_bytes();
        let job = ReadJob {
            shared: Arc::clone(request.shared),
            site: Arc::clone(request.site),
            hash,
            key: request.key.bytes.into(),
            request: copied,
            now: request.now,
            state: Arc::clone(&state),
            _charge: Charge::new(&request.shared.budget, bytes),
        };
        if self.reads.push(job, bytes).is_err() {
            return None;
        }
        under_way.insert(hash, Arc::clone(&state));
        Some(Load { state })
    }
}

/// Reads until the queue is closed and empty.
pub(super) fn run(disk: &Disk) {
    while let Some(job) = disk.reads.pop() {
        let found = find(disk, &job);
        disk.loads.end(job.hash, &job.state, || match found {
            // Newer than what was read, or voided, is only what is no longer in the index.
            // What is of a later sequence than any purge was written under a log of purges that is lost.
            Some((slot, entry)) if entry.is_purged(&job.site) || job.shared.sites.is_ahead(entry.purge) => {
                disk.index.remove(&slot);
                add(&disk.counts.missed);
            }
            Some((slot, entry)) if disk.index.is_current(&slot) && !disk.is_voiding(job.hash) => {
                disk.index.mark_read(&slot);
                job.shared.insert_loaded(Arc::new(entry));
                add(&disk.counts.loaded);
            }
            _ => add(&disk.counts.missed),
        });
    }
}

/// The entry that the request selects, the newest by date as in memory (RFC 9111 §4.1).
fn find(disk: &Disk, job: &ReadJob) -> Option<(Slot, Entry)> {
    let mut best: Option<(Slot, Opened)> = None;
    for slot in disk.index.find(fingerprint(job.hash)) {
        let opened = match open(disk, &slot) {
            Ok(opened) => opened,
            Err(failure) => {
                disk.give_up(&slot, failure);
                continue;
            }
        };
        // Another key with the same bits, or one whose segment went while it was opened.
        let selected = opened.prefix.hash == job.hash
            && opened.head.key == job.key
            && opened.head.vary.matches(&job.request);
        let newer = best
            .as_ref()
            .is_none_or(|(_, best)| opened.head.lifetime.date_secs > best.head.lifetime.date_secs);
        if selected && newer {
            best = Some((slot, opened));
        }
    }
    let (slot, opened) = best?;
    match body(disk, job, &opened) {
        Ok(body) => Some((slot, entry(disk, job, opened, body))),
        Err(failure) => {
            disk.give_up(&slot, failure);
            None
        }
    }
}

/// Why a record gave nothing.
enum Failure {
    Io(std::io::Error),
    Corrupt,
    /// Its segment has gone.
    Gone,
    /// No memory for it.
    NoRoom,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Past the end of the file: not what was written there.
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Corrupt
        } else {
            Self::Io(error)
        }
    }
}

impl Disk {
    fn give_up(&self, slot: &Slot, failure: Failure) {
        match failure {
            Failure::NoRoom => return,
            Failure::Gone => {}
            Failure::Corrupt => add(&self.counts.corrupt),
            Failure::Io(error) => self.counts.failed(&self.counts.read_errors, &error),
        }
        self.index.remove(slot);
    }
}

struct Opened {
    prefix: Prefix,
    head: Head,
    /// The first bytes of the record.
    first: Vec<u8>,
    segment: Arc<Segment>,
}

fn open(disk: &Disk, slot: &Slot) -> Result<Opened, Failure> {
    let segment = disk.segment(slot.place.segment).ok_or(Failure::Gone)?;
    let at = slot.place.at_bytes();
    let most = usize::try_from(slot.place.len_bytes())
        .unwrap_or(FIRST_BYTES)
        .min(FIRST_BYTES);
    let mut first = vec![0; most];
    let mut filled = 0;
    while filled < first.len() {
        match segment
            .file
            .read_at(first.get_mut(filled..).unwrap_or_default(), at + filled as u64)?
        {
            0 => break,
            bytes => filled += bytes,
        }
    }
    first.truncate(filled);
    let bytes = first.first_chunk::<PREFIX_BYTES>().ok_or(Failure::Corrupt)?;
    let prefix = Prefix::read(bytes).ok_or(Failure::Corrupt)?;
    let head_end = PREFIX_BYTES + prefix.head_len as usize;
    if prefix.kind == Kind::Void || prefix.record_len() != slot.place.len_bytes() {
        return Err(Failure::Corrupt);
    }
    let bytes = *bytes;
    if first.len() < head_end {
        let missing = first.len();
        first.resize(head_end, 0);
        let rest = first.get_mut(missing..).unwrap_or_default();
        segment.file.read_exact_at(rest, at + missing as u64)?;
    }
    let head = first.get(PREFIX_BYTES..head_end).ok_or(Failure::Corrupt)?;
    if !prefix.covers(segment.id, &bytes, head) {
        return Err(Failure::Corrupt);
    }
    let head = Head::read(head)
        .filter(|head| head.fits(prefix.body_len))
        .ok_or(Failure::Corrupt)?;
    Ok(Opened {
        prefix,
        head,
        first,
        segment,
    })
}

fn body(disk: &Disk, job: &ReadJob, opened: &Opened) -> Result<Body, Failure> {
    let Opened {
        prefix,
        head,
        first,
        segment,
    } = opened;
    let budget = &job.shared.budget;
    let whole = usize::try_from(prefix.body_len).map_err(|_| Failure::NoRoom)?;
    if whole > job.shared.max_entry_bytes() {
        return Err(Failure::NoRoom);
    }
    // Others make room before it is read, so that the bound holds meanwhile.
    let reserved = Charge::new(budget, whole);
    if !job.shared.make_room() {
        return Err(Failure::NoRoom);
    }
    let elsewhere = (prefix.kind == Kind::Head).then_some(prefix.body_segment);
    let holder = match elsewhere {
        Some(id) => disk.segment(id).ok_or(Failure::Gone)?,
        None => Arc::clone(segment),
    };
    let at_hand = match elsewhere {
        None => first
            .get(PREFIX_BYTES + prefix.head_len as usize..)
            .unwrap_or_default(),
        Some(_) => &[],
    };
    let mut blocks = Vec::with_capacity(head.sums.len());
    for (index, sum) in head.sums.iter().enumerate() {
        let length = block_len(index, prefix.body_len);
        let offset = index * BLOCK_BYTES;
        let block = if let Some(bytes) = at_hand.get(offset..offset + length) {
            Bytes::copy_from_slice(bytes)
        } else {
            let mut block = BytesMut::zeroed(length);
            holder
                .file
                .read_exact_at(&mut block, prefix.body_at + offset as u64)?;
            block.freeze()
        };
        if block_sum(prefix.hash, index, &block) != *sum {
            return Err(Failure::Corrupt);
        }
        blocks.push(block);
    }
    holder.forget_pages(prefix.body_at, prefix.body_len);
    drop(reserved);
    let body = Body::new(blocks, budget);
    body.set_place(prefix.body_segment, prefix.body_at);
    Ok(body)
}

fn entry(disk: &Disk, job: &ReadJob, opened: Opened, body: Body) -> Entry {
    let lifetime = opened.head.lifetime_now(disk.run, job.now);
    let Head {
        key,
        purge,
        status,
        fields,
        vary,
        ..
    } = opened.head;
    let parts = EntryParts {
        hash: job.hash,
        key,
        site: Arc::clone(&job.site),
        purge,
        status,
        fields,
        vary,
        lifetime,
        body: Arc::new(body),
        invalidated: false,
    };
    Entry::new(parts, &job.shared.budget)
}
