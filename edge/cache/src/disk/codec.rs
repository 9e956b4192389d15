//! How an entry stands in a segment: a prefix of fixed size, its head, its body.
//!
//! The prefix and the head are covered by one checksum, each block of the body by one of its own; all of them
//! depend on where the record stands or whose it is, so that bytes of another record are never taken for it.

use bytes::Bytes;
use twox_hash::XxHash3_64;

use crate::Now;
use crate::body::BLOCK_BYTES;
use crate::disk::index::Place;
use crate::entry::Entry;
use crate::fields::Fields;
use crate::freshness::{Lifetime, Transformed};
use crate::rules::StorageClass;
use crate::tags::Tags;
use crate::vary::VaryKey;

/// Bytes of a record's prefix.
pub(super) const PREFIX_BYTES: usize = 64;
/// Records begin at multiples of this.
pub(super) const ALIGN: u64 = 64;
/// A head with more is no head that was written here.
const MAX_HEAD_BYTES: u32 = 1 << 20;

const MAGIC: [u8; 4] = *b"bwr1";

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An entry with its body.
    Entry,
    /// An entry whose body stands in an earlier record.
    Head,
    /// Everything under the key that stands before this is void.
    Void,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) kind: Kind,
    pub(super) head_len: u32,
    pub(super) variant: u32,
    pub(super) hash: u128,
    pub(super) body_len: u64,
    /// Where the body stands, bytes from the start of its segment.
    pub(super) body_segment: u32,
    pub(super) body_at: u64,
    sum: u64,
}

impl Prefix {
    /// Bytes of the whole record, with what fills it up.
    pub(super) fn record_len(&self) -> u64 {
        let body = if self.kind == Kind::Entry {
            self.body_len
        } else {
            0
        };
        (PREFIX_BYTES as u64 + u64::from(self.head_len) + body).next_multiple_of(ALIGN)
    }

    pub(super) fn read(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.array()? != MAGIC {
            return None;
        }
        let kind = match reader.u32()? {
            1 => Kind::Entry,
            2 => Kind::Head,
            3 => Kind::Void,
            _ => return None,
        };
        let prefix = Self {
            kind,
            head_len: reader.u32()?,
            variant: reader.u32()?,
            hash: u128::from_le_bytes(reader.array()?),
            body_len: reader.u64()?,
            body_segment: reader.u32()?,
            body_at: reader.u64()?,
            sum: {
                reader.u32()?;
                reader.u64()?
            },
        };
        (prefix.head_len <= MAX_HEAD_BYTES).then_some(prefix)
    }

    fn write(&self, segment: u32, head: &[u8]) -> [u8; PREFIX_BYTES] {
        let mut out = Vec::with_capacity(PREFIX_BYTES);
        out.extend_from_slice(&MAGIC);
        let kind: u32 = match self.kind {
            Kind::Entry => 1,
            Kind::Head => 2,
            Kind::Void => 3,
        };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&self.head_len.to_le_bytes());
        out.extend_from_slice(&self.variant.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.body_segment.to_le_bytes());
        out.extend_from_slice(&self.body_at.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let sum = sum_of(segment, &out, head);
        out.extend_from_slice(&sum.to_le_bytes());
        // Four bytes each but for the hash and three longer numbers: exactly the prefix.
        out.try_into().unwrap_or([0; PREFIX_BYTES])
    }

    /// Whether this prefix and this head were written together, into this segment.
    pub(super) fn covers(&self, segment: u32, prefix: &[u8; PREFIX_BYTES], head: &[u8]) -> bool {
        let summed = prefix.get(..PREFIX_BYTES - 8).unwrap_or_default();
        self.sum == sum_of(segment, summed, head)
    }
}

fn sum_of(segment: u32, prefix: &[u8], head: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot_with_seed(u64::from(segment), prefix), head)
}

/// The checksum of a block of a body.
pub(super) fn block_sum(hash: u128, block: usize, bytes: &[u8]) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "any bits of a keyed hash will do")]
    XxHash3_64::oneshot_with_seed((hash as u64).wrapping_add(block as u64), bytes)
}

/// Bytes of block `at` of a body of `body_len`.
pub(super) fn block_len(at: usize, body_len: u64) -> usize {
    let before = (at * BLOCK_BYTES) as u64;
    usize::try_from(body_len.saturating_sub(before)).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES))
}

/// What tells variants of a key apart in the index.
pub(super) fn variant_of(vary: &VaryKey) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    {
        XxHash3_64::oneshot(vary.block()) as u32
    }
}

/// Where a record is going to stand.
pub(super) struct Target {
    pub(super) segment: u32,
    pub(super) at: u64,
}

/// The record that voids everything stored under a key before it.
pub(super) fn encode_void(hash: u128, segment: u32) -> [u8; PREFIX_BYTES] {
    let prefix = Prefix {
        kind: Kind::Void,
        head_len: 0,
        variant: 0,
        hash,
        body_len: 0,
        body_segment: 0,
        body_at: 0,
        sum: 0,
    };
    prefix.write(segment, &[])
}

/// An entry's head. `run` names this process, whose monotonic clock holds for nobody else.
pub(super) fn head(entry: &Entry, blocks: &[Bytes], run: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(512 + entry.fields.heap_bytes());
    write_head(entry, blocks, run, &mut head);
    head
}

/// An entry's record up to its body. `body`: where that stands already, if it does.
pub(super) fn record(
    entry: &Entry,
    head: &[u8],
    target: &Target,
    body: Option<(u32, u64)>,
) -> (Prefix, Vec<u8>) {
    let head_len = u32::try_from(head.len()).unwrap_or(u32::MAX);
    let own = target.at + PREFIX_BYTES as u64 + u64::from(head_len);
    let (body_segment, body_at) = body.unwrap_or((target.segment, own));
    let prefix = Prefix {
        kind: if body.is_some() { Kind::Head } else { Kind::Entry },
        head_len,
        variant: variant_of(&entry.vary),
        hash: entry.hash,
        body_len: entry.body_len(),
        body_segment,
        body_at,
        sum: 0,
    };
    let mut record = prefix.write(target.segment, head).to_vec();
    record.extend_from_slice(head);
    (prefix, record)
}

/// A whole record of the segment `from` as it stands elsewhere. `None`: it isn't as it was written, or its body
/// stands in a third place.
pub(super) fn moved(record: &[u8], from: u32, target: &Target) -> Option<(Prefix, Vec<u8>)> {
    let bytes = record.first_chunk::<PREFIX_BYTES>()?;
    let prefix = Prefix::read(bytes)?;
    let body_at = PREFIX_BYTES + prefix.head_len as usize;
    let head = record.get(PREFIX_BYTES..body_at)?;
    let body = record.get(body_at..body_at + usize::try_from(prefix.body_len).ok()?)?;
    if prefix.kind != Kind::Entry || !prefix.covers(from, bytes, head) {
        return None;
    }
    let prefix = Prefix {
        body_segment: target.segment,
        body_at: target.at + body_at as u64,
        ..prefix
    };
    let mut moved = prefix.write(target.segment, head).to_vec();
    moved.extend_from_slice(head);
    moved.extend_from_slice(body);
    Some((prefix, moved))
}

fn write_head(entry: &Entry, blocks: &[Bytes], run: u64, out: &mut Vec<u8>) {
    let Lifetime {
        fresh_ms,
        initial_age_ms,
        received_mono_ms,
        received_wall_ms,
        date_secs,
        always_validate,
        stale_allowed,
        immutable,
        stale_while_revalidate_ms,
        stale_if_error_ms,
        unstored_fields,
        max_object_bytes,
        // Told by the entry, whoever has decided it.
        class: _,
        // About answers that are being stored.
        unvaried_fields: _,
        tags,
        transformed,
    } = &entry.lifetime;
    for number in [
        entry.purge,
        run,
        *fresh_ms,
        *initial_age_ms,
        *received_mono_ms,
        *received_wall_ms,
        *date_secs,
        *stale_while_revalidate_ms,
        *stale_if_error_ms,
        *max_object_bytes,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&entry.status.to_le_bytes());
    let flags = [
        *always_validate,
        *stale_allowed,
        *immutable,
        tags.any,
        tags.exposed,
        entry.class() == StorageClass::Large,
    ];
    out.extend(flags.map(u8::from));
    out.push(match transformed {
        Transformed::No => 0,
        Transformed::Body => 1,
        Transformed::BodyAndTag => 2,
    });
    part(out, &entry.key);
    part(out, entry.vary.block());
    part(out, entry.fields.block());
    count(out, tags.stored().len());
    for hash in tags.stored() {
        out.extend_from_slice(&hash.to_le_bytes());
    }
    count(out, unstored_fields.len());
    for name in unstored_fields {
        part(out, name);
    }
    count(out, blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        out.extend_from_slice(&block_sum(entry.hash, at, block).to_le_bytes());
    }
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// An entry as its head tells it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) key: Box<[u8]>,
    pub(super) purge: u64,
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) vary: VaryKey,
    pub(super) lifetime: Lifetime,
    /// The process that wrote it.
    run: u64,
    /// Checksums of the body's blocks.
    pub(super) sums: Vec<u64>,
}

impl Head {
    /// `None`: not written here, or by something newer.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (purge, run) = (reader.u64()?, reader.u64()?);
        let mut lifetime = Lifetime {
            fresh_ms: reader.u64()?,
            initial_age_ms: reader.u64()?,
            received_mono_ms: reader.u64()?,
            received_wall_ms: reader.u64()?,
            date_secs: reader.u64()?,
            stale_while_revalidate_ms: reader.u64()?,
            stale_if_error_ms: reader.u64()?,
            max_object_bytes: reader.u64()?,
            ..Lifetime::default()
        };
        let status = u16::from_le_bytes(reader.array()?);
        let flags: [u8; 6] = reader.array()?;
        let [always_validate, stale_allowed, immutable, any, exposed, large] = flags.map(|flag| flag == 1);
        lifetime.always_validate = always_validate;
        lifetime.stale_allowed = stale_allowed;
        lifetime.immutable = immutable;
        lifetime.class = Some(if large {
            StorageClass::Large
        } else {
            StorageClass::Small
        });
        lifetime.transformed = match reader.array()? {
            [0] => Transformed::No,
            [1] => Transformed::Body,
            [2] => Transformed::BodyAndTag,
            _ => return None,
        };
        let key = reader.part()?.into();
        let vary = VaryKey::from_block(reader.part()?);
        let fields = Fields::from_block(reader.part()?);
        let hashes = reader.list(Reader::u32)?;
        lifetime.tags = Tags::from_stored(hashes, any, exposed);
        lifetime.unstored_fields = reader.list(|reader| reader.part().map(Into::into))?;
        let sums = reader.list(Reader::u64)?;
        reader.0.is_empty().then_some(Self {
            key,
            purge,
            status,
            fields,
            vary,
            lifetime,
            run,
            sums,
        })
    }

    /// The lifetime by this process's clocks. What another process wrote has aged by the wall clock; where that has
    /// stepped back, nobody knows by how much, and the entry is as old as it may be.
    pub(super) fn lifetime_now(&self, run: u64, now: Now) -> Lifetime {
        let mut lifetime = self.lifetime.clone();
        if self.run == run {
            return lifetime;
        }
        let elapsed_ms = now.wall_ms.checked_sub(lifetime.received_wall_ms);
        lifetime.initial_age_ms = match elapsed_ms {
            Some(elapsed_ms) => lifetime.initial_age_ms.saturating_add(elapsed_ms),
            None => lifetime.initial_age_ms.max(lifetime.fresh_ms),
        };
        lifetime.received_mono_ms = now.mono_ms();
        lifetime.received_wall_ms = now.wall_ms;
        lifetime
    }

    /// Whether it has a checksum for each block of a body of that length.
    pub(super) fn fits(&self, body_len: u64) -> bool {
        self.sums.len() as u64 == body_len.div_ceil(BLOCK_BYTES as u64)
    }
}

/// Takes numbers and parts from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        // Each takes four bytes at least.
        if count > self.0.len() / 4 {
            return None;
        }
        (0..count).map(|_| each(self)).collect()
    }
}

impl Place {
    pub(super) fn at_bytes(self) -> u64 {
        u64::from(self.at) * ALIGN
    }

    pub(super) fn len_bytes(self) -> u64 {
        u64::from(self.len) * ALIGN
    }
}
