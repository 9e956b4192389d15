//! How much of the memory each class of answers has, and which gives way.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rules::StorageClass;

/// Large files have this part of the memory at most where small ones want it: one in so many.
const LARGE_PART: usize = 2;
/// New large files, hit once at most, have this part of that: one in so many.
const NEW_PART: usize = 10;

/// Where the next entry to give up is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// Whatever a class gives up next.
    Of(StorageClass),
    /// Large files that haven't proved themselves; none of those that have.
    NewLarge,
}

impl Victim {
    pub(crate) fn class(self) -> StorageClass {
        match self {
            Self::Of(class) => class,
            Self::NewLarge => StorageClass::Large,
        }
    }

    /// Where to look when there is nothing left of this.
    pub(crate) fn otherwise(self) -> Self {
        match self.class() {
            StorageClass::Small => Self::Of(StorageClass::Large),
            StorageClass::Large => Self::Of(StorageClass::Small),
        }
    }
}

/// What large files take in all shards together. Changed when one is stored or goes, never by a hit.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    large_bytes: AtomicUsize,
    new_large_bytes: AtomicUsize,
}

impl Shares {
    pub(crate) fn add(&self, class: StorageClass, is_new: bool, bytes: usize) {
        if class == StorageClass::Large {
            self.large_bytes.fetch_add(bytes, Ordering::Relaxed);
            if is_new {
                self.new_large_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn remove(&self, class: StorageClass, is_new: bool, bytes: usize) {
        if class == StorageClass::Large {
            self.large_bytes.fetch_sub(bytes, Ordering::Relaxed);
            if is_new {
                self.new_large_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Who gives way when the memory is full. Small files may take all that large ones leave; large ones beyond their
    /// part give way first, and before that those of them that nobody has asked for again.
    pub(crate) fn victim(&self, max_bytes: usize) -> Victim {
        let part = max_bytes / LARGE_PART;
        if self.large_bytes.load(Ordering::Relaxed) > part {
            Victim::Of(StorageClass::Large)
        } else if self.new_large_bytes.load(Ordering::Relaxed) > part / NEW_PART {
            Victim::NewLarge
        } else {
            Victim::Of(StorageClass::Small)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_give_way_beyond_their_part_and_new_ones_before() {
        let (small, large) = (StorageClass::Small, StorageClass::Large);
        let shares = Shares::default();
        shares.add(small, true, 900);
        assert_eq!(shares.victim(1_000), Victim::Of(small));
        shares.add(large, true, 50);
        assert_eq!(shares.victim(1_000), Victim::Of(small));
        shares.add(large, true, 1);
        assert_eq!(shares.victim(1_000), Victim::NewLarge);
        shares.remove(large, true, 51);
        shares.add(large, false, 500);
        assert_eq!(shares.victim(1_000), Victim::Of(small));
        shares.add(large, false, 1);
        assert_eq!(shares.victim(1_000), Victim::Of(large));
        assert_eq!(shares.victim(1_000).otherwise(), Victim::Of(small));
    }
}
