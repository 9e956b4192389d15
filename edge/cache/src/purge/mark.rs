//! When something was last purged, and a table of that by hash.

/// The last purges of one thing: the sequence of the last hard one, and sequence and time of the last soft one.
/// 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) hard: u64,
    pub(super) soft: u64,
    /// Wall clock, milliseconds.
    pub(super) soft_at_ms: u64,
}

impl Mark {
    /// A purge; soft ones come with their time.
    pub(super) fn raise(&mut self, sequence: u64, soft_at_ms: Option<u64>) {
        match soft_at_ms {
            None => self.hard = self.hard.max(sequence),
            Some(at_ms) if sequence > self.soft => (self.soft, self.soft_at_ms) = (sequence, at_ms),
            Some(_) => {}
        }
    }

    /// The later of both, of each kind.
    pub(super) fn merge(&mut self, other: Self) {
        self.raise(other.hard, None);
        self.raise(other.soft, Some(other.soft_at_ms));
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

const MIN_SLOTS: usize = 256;
/// Most slots of one site's table.
pub(super) const MAX_SLOTS: usize = 8192;

/// Marks of tags and URLs, by hash, in fixed memory: what shares a slot is purged together. Grows to its bound
/// as it fills; nothing is forgotten then, a slot's two halves begin with its mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    hard: Vec<u64>,
    /// Sequence and time. Made when the first soft purge comes.
    soft: Vec<(u64, u64)>,
    used: usize,
}

impl Marks {
    pub(super) fn raise(&mut self, hash: u32, sequence: u64, soft_at_ms: Option<u64>, may_grow: bool) {
        if self.hard.is_empty() {
            self.hard = vec![0; MIN_SLOTS];
        }
        if soft_at_ms.is_some() && self.soft.is_empty() {
            self.soft = vec![(0, 0); self.hard.len()];
        }
        let mut mark = self.get(hash);
        if mark.is_none() {
            self.used += 1;
        }
        mark.raise(sequence, soft_at_ms);
        self.put(self.slot(hash), mark);
        if may_grow && self.used * 2 > self.hard.len() && self.hard.len() < MAX_SLOTS {
            self.hard.extend_from_within(..);
            self.soft.extend_from_within(..);
            self.used *= 2;
        }
    }

    pub(super) fn get(&self, hash: u32) -> Mark {
        self.at(self.slot(hash))
    }

    fn slot(&self, hash: u32) -> usize {
        // The length is a power of two, or nothing.
        hash as usize & self.hard.len().saturating_sub(1)
    }

    fn at(&self, slot: usize) -> Mark {
        let hard = self.hard.get(slot).copied().unwrap_or(0);
        let (soft, soft_at_ms) = self.soft.get(slot).copied().unwrap_or((0, 0));
        Mark {
            hard,
            soft,
            soft_at_ms,
        }
    }

    fn put(&mut self, slot: usize, mark: Mark) {
        if let Some(hard) = self.hard.get_mut(slot) {
            *hard = mark.hard;
        }
        if let Some(soft) = self.soft.get_mut(slot) {
            *soft = (mark.soft, mark.soft_at_ms);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.hard.capacity() * size_of::<u64>() + self.soft.capacity() * size_of::<(u64, u64)>()
    }

    /// Takes over another table. The smaller one's slots stand for several of the larger.
    pub(super) fn merge(&mut self, other: &Self) {
        while self.hard.len() < other.hard.len() {
            if self.hard.is_empty() {
                self.hard = vec![0; MIN_SLOTS];
            } else {
                self.hard.extend_from_within(..);
                self.soft.extend_from_within(..);
            }
        }
        if !other.soft.is_empty() && self.soft.is_empty() {
            self.soft = vec![(0, 0); self.hard.len()];
        }
        for slot in 0..self.hard.len() {
            let mut mark = self.at(slot);
            mark.merge(other.at(slot & other.hard.len().saturating_sub(1)));
            self.put(slot, mark);
        }
        self.used = (0..self.hard.len())
            .filter(|slot| !self.at(*slot).is_none())
            .count();
    }

    /// How many slots there are, and those that are in use.
    pub(super) fn dump(&self) -> (usize, impl Iterator<Item = (usize, Mark)> + '_) {
        let slots = (0..self.hard.len()).map(|slot| (slot, self.at(slot)));
        (self.hard.len(), slots.filter(|(_, mark)| !mark.is_none()))
    }

    /// An empty table of that many slots, to be filled with [`restore`](Self::restore). `None`: no table has
    /// that many.
    pub(super) fn with_slots(slots: usize) -> Option<Self> {
        let known = slots == 0 || (slots.is_power_of_two() && (MIN_SLOTS..=MAX_SLOTS).contains(&slots));
        known.then(|| Self {
            hard: vec![0; slots],
            ..Self::default()
        })
    }

    pub(super) fn restore(&mut self, slot: usize, mark: Mark) {
        if slot >= self.hard.len() {
            return;
        }
        if mark.soft > 0 && self.soft.is_empty() {
            self.soft = vec![(0, 0); self.hard.len()];
        }
        self.used += usize::from(self.at(slot).is_none());
        self.put(slot, mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_forgets_nothing() {
        let mut marks = Marks::default();
        for n in 0..20_000_u32 {
            let hash = n.wrapping_mul(0x9e37_79b9);
            marks.raise(hash, u64::from(n) + 1, (n % 3 == 0).then_some(5), true);
            let mark = marks.get(hash);
            let found = if n % 3 == 0 { mark.soft } else { mark.hard };
            assert_eq!(found, u64::from(n) + 1);
        }
        assert_eq!(marks.hard.len(), MAX_SLOTS);
        for n in 0..20_000_u32 {
            let mark = marks.get(n.wrapping_mul(0x9e37_79b9));
            let found = if n % 3 == 0 { mark.soft } else { mark.hard };
            assert!(found > u64::from(n));
        }
    }

    #[test]
    fn what_was_not_purged_stays_clear_while_there_is_room() {
        let mut marks = Marks::default();
        for n in 0..100_u32 {
            marks.raise(n, 7, None, true);
        }
        let false_ones = (100..100_000_u32).filter(|n| marks.get(*n).hard > 0).count();
        assert!(false_ones < 99_900 / 2, "{false_ones}");
        assert!(marks.get(3000).is_none());
    }
}
