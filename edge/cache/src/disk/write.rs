//! The thread that writes: entries as they come, the table of a full segment, and what is kept of the one that goes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::codec::{self, PREFIX_BYTES, Prefix, Target};
use super::index::{Slot, fingerprint};
use super::segment::{HEADER_BYTES, Row, Segment, row_of};
use super::store::{Disk, add};
use crate::entry::Entry;

/// How long nothing is written after a failure; doubled each time up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// Of a segment that goes, one in so many bytes may be kept.
const KEPT_PART: u64 = 2;

/// Something to be written.
pub(super) enum WriteJob {
    Entry(Arc<Entry>),
    /// Everything under this hash is void.
    Void(u128),
}

struct Writer<'d> {
    disk: &'d Disk,
    current: Option<(Arc<Segment>, Vec<Row>)>,
    next_id: u32,
    pause: Duration,
}

/// Writes until the queue is closed and empty.
pub(super) fn run(disk: &Disk, newest: u32) {
    let mut writer = Writer {
        disk,
        current: None,
        next_id: newest,
        pause: FIRST_PAUSE,
    };
    while let Some(job) = disk.writes.pop() {
        match writer.write(&job) {
            Ok(()) => writer.pause = FIRST_PAUSE,
            Err(error) => {
                writer.give_up(job);
                writer.fail(&error);
            }
        }
    }
    if let Err(error) = writer.seal() {
        disk.counts.failed(&disk.counts.write_errors, &error);
    }
}

impl Writer<'_> {
    fn write(&mut self, job: &WriteJob) -> io::Result<()> {
        match job {
            WriteJob::Entry(entry) => self.entry(entry),
            WriteJob::Void(hash) => self.void(*hash),
        }
    }

    /// What isn't written must not leave what it was to replace.
    fn give_up(&self, job: WriteJob) {
        match job {
            WriteJob::Entry(entry) => {
                add(&self.disk.counts.dropped);
                self.disk.index.remove_all(fingerprint(entry.hash));
            }
            WriteJob::Void(hash) => self.disk.voided(hash),
        }
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        // What was questioned meanwhile would come back as if nothing had been.
        if entry.is_invalidated() || entry.is_purged(&entry.site) {
            return Ok(());
        }
        // Parts are put together in memory only; an older version on the disk is no longer one.
        let Some(blocks) = entry.body.blocks() else {
            add(&self.disk.counts.dropped);
            self.disk.index.remove_all(fingerprint(entry.hash));
            return Ok(());
        };
        let head = codec::head(entry, blocks, self.disk.run);
        let whole_bytes = (PREFIX_BYTES + head.len()) as u64 + entry.body_len();
        if HEADER_BYTES + whole_bytes > self.disk.config.segment_bytes() {
            add(&self.disk.counts.dropped);
            self.disk.index.remove_all(fingerprint(entry.hash));
            return Ok(());
        }
        let segment = self.segment_for(whole_bytes)?;
        let body = entry.body.place().filter(|(id, _)| self.is_safe(*id));
        let target = Target {
            segment: segment.id,
            at: segment.len(),
        };
        let (prefix, head) = codec::record(entry, &head, &target, body);
        let blocks = if body.is_some() { &[] } else { blocks };
        let parts = std::iter::once(&*head).chain(blocks.iter().map(|block| &**block));
        segment.append(parts)?;
        if body.is_none() {
            entry.body.set_place(segment.id, prefix.body_at);
        }
        add(&self.disk.counts.written);
        self.list(&segment, &prefix, target.at);
        Ok(())
    }

    /// A body in a segment that goes soon would go before the head that points to it.
    fn is_safe(&self, id: u32) -> bool {
        let segments = self.disk.segments.read();
        segments.contains_key(&id)
            && segments
                .keys()
                .take(2 + segments.len() / 4)
                .all(|oldest| *oldest != id)
    }

    fn void(&mut self, hash: u128) -> io::Result<()> {
        let segment = self.segment_for(PREFIX_BYTES as u64)?;
        let record = codec::encode_void(hash, segment.id);
        segment.append(std::iter::once(&record[..]))?;
        // Whatever was written between the call that voided it and now is void, too.
        self.disk.voided(hash);
        if let Some((_, rows)) = &mut self.current {
            rows.push(Row::Void(fingerprint(hash)));
        }
        self.disk.voids.done()
    }

    /// Makes a record findable.
    fn list(&mut self, segment: &Segment, prefix: &Prefix, at: u64) {
        let Some(row) = row_of(segment.id, prefix, at) else {
            return;
        };
        if let Row::Entry(slot) = row {
            self.disk.index.insert(slot);
        }
        if let Some((_, rows)) = &mut self.current {
            rows.push(row);
        }
    }

    /// The segment that the next record of so many bytes goes to.
    fn segment_for(&mut self, bytes: u64) -> io::Result<Arc<Segment>> {
        let bound = self.disk.config.segment_bytes();
        if let Some((segment, _)) = &self.current
            && segment.len() + bytes <= bound
        {
            return Ok(Arc::clone(segment));
        }
        self.seal()?;
        let kept = self.make_room(bound)?;
        let segment = self.begin()?;
        for (slot, record) in kept {
            self.keep(&segment, slot, &record)?;
        }
        Ok(segment)
    }

    fn seal(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some((segment, rows)) => segment.seal(&rows),
            None => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<Arc<Segment>> {
        let id = self.next_id.checked_add(1).ok_or(io::ErrorKind::StorageFull)?;
        // A name that can't be used isn't tried again.
        self.next_id = id;
        let segment = Arc::new(Segment::create(&self.disk.config.dir, id, self.disk.owner)?);
        self.disk.segments.write().insert(id, Arc::clone(&segment));
        self.current = Some((Arc::clone(&segment), Vec::new()));
        Ok(segment)
    }

    /// Deletes the oldest segments until another fits, on the disk and in the index. What was of use in them comes
    /// back, as records.
    fn make_room(&self, bytes: u64) -> io::Result<Vec<(Slot, Vec<u8>)>> {
        let disk = self.disk;
        let mut kept = Vec::new();
        let mut room = self.disk.config.segment_bytes() / KEPT_PART;
        while disk.used_bytes() + bytes > disk.config.max_bytes || disk.index.account() > disk.max_index_bytes
        {
            let Some((_, oldest)) = disk.segments.write().pop_first() else {
                break;
            };
            for slot in disk.index.remove_segment(oldest.id) {
                if slot.place.len_bytes() <= room
                    && let Some(record) = whole_record(&oldest, &slot)
                {
                    room -= slot.place.len_bytes();
                    kept.push((slot, record));
                }
            }
            oldest.delete()?;
        }
        Ok(kept)
    }

    /// Writes a record again. Its prefix says where it stands, so that is made anew; the checksums of the body
    /// aren't, and go on to cover what they covered.
    fn keep(&mut self, segment: &Arc<Segment>, slot: Slot, record: &[u8]) -> io::Result<()> {
        // Something newer came, or it was voided, while it was in nobody's index.
        if self.disk.index.has(slot.fingerprint) {
            return Ok(());
        }
        let at = segment.len();
        let target = Target {
            segment: segment.id,
            at,
        };
        let Some((prefix, moved)) = codec::moved(record, slot.place.segment, &target) else {
            return Ok(());
        };
        segment.append(std::iter::once(&*moved))?;
        add(&self.disk.counts.kept);
        self.list(segment, &prefix, at);
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        self.disk.counts.failed(&self.disk.counts.write_errors, error);
        // What was appended to it last may be torn: the next goes into another.
        if let Some((segment, rows)) = self.current.take() {
            let _ = segment.seal(&rows);
        }
        for job in self.disk.writes.pause(self.pause) {
            self.give_up(job);
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

fn whole_record(segment: &Segment, slot: &Slot) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut record = vec![0; usize::try_from(slot.place.len_bytes()).ok()?];
    // The last record's filling may not be in the file.
    let mut read = 0;
    while read < record.len() {
        match segment
            .file
            .read_at(record.get_mut(read..)?, slot.place.at_bytes() + read as u64)
        {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    record.truncate(read);
    Some(record)
}
