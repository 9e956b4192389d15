//! Purges and what sites remember of them as bytes, for the log. Numbers are little-endian.

use super::mark::{Mark, Marks};
use super::pattern::{Kind, Pattern};
use super::state::{Placed, State};
use super::{Item, Purge, PurgeProgress};

/// Writes parts one after the other.
#[derive(Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count; what is counted here is far below four billion.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn mark(&mut self, mark: Mark) {
        self.u64(mark.hard);
        self.u64(mark.soft);
        self.u64(mark.soft_at_ms);
    }

    fn pattern(&mut self, pattern: &Pattern) {
        self.u8(match pattern.kind {
            Kind::Prefix => 0,
            Kind::Mask => 1,
        });
        self.bytes(&pattern.text);
    }

    pub(super) fn purge(&mut self, purge: &Purge) {
        self.u8(u8::from(purge.soft));
        self.count(purge.items.len());
        for item in &purge.items {
            match item {
                Item::Everything => self.u8(0),
                Item::Tag(hash) => {
                    self.u8(1);
                    self.u32(*hash);
                }
                Item::Url(hash) => {
                    self.u8(2);
                    self.u32(*hash);
                }
                Item::Pattern(pattern) => {
                    self.u8(3);
                    self.pattern(pattern);
                }
            }
        }
        self.count(purge.policies.len());
        purge.policies.iter().for_each(|policy| self.u64(*policy));
    }

    pub(super) fn progress(&mut self, progress: Option<&PurgeProgress>) {
        self.u8(u8::from(progress.is_some()));
        if let Some(PurgeProgress { history, revision }) = progress {
            self.bytes(history.as_bytes());
            self.u64(*revision);
        }
    }

    pub(super) fn state(&mut self, state: &State) {
        // Every field is named, so that a new one can't be forgotten here.
        let State {
            everything,
            tags,
            urls,
            known,
            slots,
            patterns,
            progress,
        } = state;
        self.mark(*everything);
        self.mark(*tags);
        self.mark(*urls);
        self.count(known.len());
        for (policy, mark) in known {
            self.u64(*policy);
            self.mark(*mark);
        }
        let (count, _) = slots.dump();
        self.count(count);
        self.count(slots.dump().1.count());
        for (slot, mark) in slots.dump().1 {
            self.count(slot);
            self.mark(mark);
        }
        self.count(patterns.len());
        for placed in patterns {
            self.pattern(&placed.pattern);
            self.u64(placed.sequence);
            self.u8(u8::from(placed.soft_at_ms.is_some()));
            self.u64(placed.soft_at_ms.unwrap_or(0));
        }
        self.progress(progress.as_ref());
    }
}

/// Reads parts one after the other; `None` where there is no such part.
pub(super) struct In<'a>(pub(super) &'a [u8]);

impl<'a> In<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// As many as are counted, each of at least a byte: no count makes this take more memory than there is
    /// to read.
    fn many<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| each(self)).collect()
    }

    fn mark(&mut self) -> Option<Mark> {
        Some(Mark {
            hard: self.u64()?,
            soft: self.u64()?,
            soft_at_ms: self.u64()?,
        })
    }

    fn pattern(&mut self) -> Option<Pattern> {
        let kind = match self.u8()? {
            0 => Kind::Prefix,
            1 => Kind::Mask,
            _ => return None,
        };
        Pattern::of_text(kind, self.bytes()?.to_vec())
    }

    pub(super) fn purge(&mut self) -> Option<Purge> {
        Some(Purge {
            soft: self.u8()? == 1,
            items: self.many(|from| {
                Some(match from.u8()? {
                    0 => Item::Everything,
                    1 => Item::Tag(from.u32()?),
                    2 => Item::Url(from.u32()?),
                    3 => Item::Pattern(from.pattern()?),
                    _ => return None,
                })
            })?,
            policies: self.many(Self::u64)?,
        })
    }

    /// The outer `None`: there is no such part.
    #[allow(clippy::option_option, reason = "the part may say that there is none")]
    pub(super) fn progress(&mut self) -> Option<Option<PurgeProgress>> {
        if self.u8()? == 0 {
            return Some(None);
        }
        Some(Some(PurgeProgress {
            history: String::from_utf8(self.bytes()?.to_vec()).ok()?,
            revision: self.u64()?,
        }))
    }

    pub(super) fn state(&mut self) -> Option<State> {
        let (everything, tags, urls) = (self.mark()?, self.mark()?, self.mark()?);
        let known = self.many(|from| Some((from.u64()?, from.mark()?)))?;
        let mut slots = Marks::with_slots(self.count()?)?;
        for (slot, mark) in self.many(|from| Some((from.count()?, from.mark()?)))? {
            slots.restore(slot, mark);
        }
        let patterns = self.many(|from| {
            let (pattern, sequence) = (from.pattern()?, from.u64()?);
            let (soft, at_ms) = (from.u8()? == 1, from.u64()?);
            Some(Placed {
                pattern,
                sequence,
                soft_at_ms: soft.then_some(at_ms),
            })
        })?;
        Some(State {
            everything,
            tags,
            urls,
            known,
            slots,
            patterns: patterns.into(),
            progress: self.progress()?,
        })
    }
}
