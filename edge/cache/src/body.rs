//! The bytes of a stored answer: all of them, or parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;

use crate::budget::{Budget, Charge};
use crate::range::ByteRange;

/// Bodies are kept in blocks of this many bytes; only the last is shorter.
pub(crate) const BLOCK_BYTES: usize = 128 * 1024;
/// Most parts of one body that are kept beside each other.
const MAX_PARTS: usize = 64;

/// A body, or what is known of it. Shared by the versions of an entry that validations make.
pub(crate) struct Body {
    content: Content,
    /// Length of the whole.
    len: u64,
    /// Where it stands on the disk: the segment's number plus one, and the offset; 0: nowhere.
    segment: AtomicU32,
    segment_at: AtomicU64,
    charge: Charge,
}

enum Content {
    /// All of it.
    Blocks(Box<[Bytes]>),
    /// Some of it, or all of it as it came: in order, disjoint.
    Parts(Box<[Part]>),
}

/// Bytes of a body from `start`. Parts share their bytes with the bodies that they were taken from.
#[derive(Clone)]
pub(crate) struct Part {
    start: u64,
    body: Arc<Body>,
}

impl Part {
    fn range(&self) -> ByteRange {
        ByteRange {
            start: self.start,
            end: self.start.saturating_add(self.body.len),
        }
    }
}

impl Body {
    /// `blocks` all have [`BLOCK_BYTES`], except the last.
    pub(crate) fn new(blocks: Vec<Bytes>, budget: &Arc<Budget>) -> Self {
        let len: usize = blocks.iter().map(Bytes::len).sum();
        let charge = Charge::new(
            budget,
            len + blocks.len() * size_of::<Bytes>() + size_of::<Self>(),
        );
        Self {
            content: Content::Blocks(blocks.into_boxed_slice()),
            len: len as u64,
            segment: AtomicU32::new(0),
            segment_at: AtomicU64::new(0),
            charge,
        }
    }

    /// Its blocks, where it is one of blocks, and so whole.
    pub(crate) fn blocks(&self) -> Option<&[Bytes]> {
        match &self.content {
            Content::Blocks(blocks) => Some(blocks),
            Content::Parts(_) => None,
        }
    }

    /// Segment and offset, where it stands on the disk.
    pub(crate) fn place(&self) -> Option<(u32, u64)> {
        let segment = self.segment.load(Ordering::Acquire).checked_sub(1)?;
        Some((segment, self.segment_at.load(Ordering::Relaxed)))
    }

    /// It stands there now. Only the thread that writes to the disk says so, or who has just read it.
    pub(crate) fn set_place(&self, segment: u32, at: u64) {
        self.segment_at.store(at, Ordering::Relaxed);
        self.segment.store(segment.saturating_add(1), Ordering::Release);
    }

    /// A body of `len` bytes of which only `known` is there, from `start`.
    pub(crate) fn of_part(start: u64, known: Arc<Self>, len: u64, budget: &Arc<Budget>) -> Self {
        Self::of_parts(vec![Part { start, body: known }], len, budget)
    }

    fn of_parts(parts: Vec<Part>, len: u64, budget: &Arc<Budget>) -> Self {
        let charge = Charge::new(budget, parts.len() * size_of::<Part>() + size_of::<Self>());
        Self {
            content: Content::Parts(parts.into_boxed_slice()),
            len,
            segment: AtomicU32::new(0),
            segment_at: AtomicU64::new(0),
            charge,
        }
    }

    /// What both know together; they must be of the same representation. Where they overlap, the part that is
    /// there already goes, unless it holds the new one whole. `None`: there is nothing new.
    pub(crate) fn joined(&self, new: &Self, budget: &Arc<Budget>) -> Option<Self> {
        let (Content::Parts(known), Content::Parts(added)) = (&self.content, &new.content) else {
            return None;
        };
        let mut parts = known.to_vec();
        for part in added {
            let range = part.range();
            if parts.iter().any(|known| known.range().holds(range)) {
                continue;
            }
            parts.retain(|known| !known.range().overlaps(range));
            parts.push(part.clone());
        }
        parts.sort_unstable_by_key(|part| part.start);
        if parts.len() > MAX_PARTS {
            parts = added.to_vec();
        }
        Some(Self::of_parts(parts, self.len, budget))
    }

    /// Length of the whole, whether all of it is here or not.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Memory that goes with it.
    pub(crate) fn memory_bytes(&self) -> usize {
        let parts = match &self.content {
            Content::Blocks(_) => 0,
            Content::Parts(parts) => parts.iter().map(|part| part.body.memory_bytes()).sum(),
        };
        self.charge.bytes() + parts
    }

    /// Whether every byte is here.
    pub(crate) fn is_whole(&self) -> bool {
        match self.content {
            Content::Blocks(_) => true,
            Content::Parts(_) => self.holds(ByteRange {
                start: 0,
                end: self.len,
            }),
        }
    }

    /// Whether these bytes are here.
    pub(crate) fn holds(&self, wanted: ByteRange) -> bool {
        match &self.content {
            Content::Blocks(_) => wanted.end <= self.len,
            Content::Parts(parts) => {
                let mut at = wanted.start;
                for range in parts.iter().map(Part::range) {
                    if range.start <= at && at < range.end {
                        at = range.end;
                    }
                }
                at >= wanted.end
            }
        }
    }

    /// The block that holds the byte at `offset`, and where in it.
    pub(crate) fn block_at(&self, offset: u64) -> Option<(&Bytes, usize)> {
        match &self.content {
            Content::Blocks(blocks) => {
                let offset = usize::try_from(offset).ok()?;
                let block = blocks.get(offset / BLOCK_BYTES)?;
                let within = offset % BLOCK_BYTES;
                (within < block.len()).then_some((block, within))
            }
            Content::Parts(parts) => {
                let after = parts.partition_point(|part| part.start <= offset);
                let part = parts.get(after.checked_sub(1)?)?;
                part.body.block_at(offset - part.start)
            }
        }
    }
}
