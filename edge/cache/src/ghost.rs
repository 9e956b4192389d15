//! What S3-FIFO remembers of those that left.

/// Remembers the keys evicted last, in fixed memory: a table where each key has one place.
pub(crate) struct Ghost {
    /// Fingerprint, and the count of evictions when it was put.
    places: Box<[(u32, u32)]>,
    puts: u32,
}

impl Ghost {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            places: vec![(0, 0); capacity.max(1)].into_boxed_slice(),
            puts: 0,
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "parts of a keyed hash")]
    fn place(&mut self, hash: u128) -> Option<(&mut (u32, u32), u32)> {
        let at = (hash >> 64) as u64 % self.places.len() as u64;
        let place = self.places.get_mut(usize::try_from(at).ok()?)?;
        Some((place, (hash as u32).max(1)))
    }

    pub(crate) fn put(&mut self, hash: u128) {
        self.puts = self.puts.wrapping_add(1);
        let puts = self.puts;
        if let Some((place, fingerprint)) = self.place(hash) {
            *place = (fingerprint, puts);
        }
    }

    /// Whether the key was evicted not too long ago; forgets it.
    pub(crate) fn take(&mut self, hash: u128) -> bool {
        let (puts, capacity) = (self.puts, self.places.len());
        let Some((place, fingerprint)) = self.place(hash) else {
            return false;
        };
        let known = place.0 == fingerprint && puts.wrapping_sub(place.1) as usize <= capacity;
        if known {
            *place = (0, 0);
        }
        known
    }
}
