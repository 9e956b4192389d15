//! A stored body on its way out.

use bytes::Bytes;

use crate::entry::Hit;

/// What of a stored answer's body is sent, and how far that has got. Pins the answer until it is dropped.
#[derive(Clone, Debug)]
pub struct StoredBody {
    hit: Hit,
    at: u64,
    end: u64,
}

impl StoredBody {
    /// All of it.
    pub fn whole(hit: Hit) -> Self {
        let end = hit.body_len();
        Self { hit, at: 0, end }
    }

    /// Nothing of it: for HEAD and 304.
    pub fn none(hit: Hit) -> Self {
        Self { hit, at: 0, end: 0 }
    }

    /// Bytes that are still to be sent.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// The next bytes, `max` at most; fewer at the end of a block of memory, none only at the end.
    pub fn peek(&self, max: usize) -> &[u8] {
        self.hit.slice(self.at, self.up_to(max))
    }

    /// These bytes of what [`peek`](Self::peek) gave are sent.
    pub fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes as u64).min(self.end);
    }

    /// The next bytes as [`peek`](Self::peek) gives them, counted, for transports that own what they send.
    pub fn chunk(&mut self, max: usize) -> Bytes {
        let chunk = self.hit.chunk(self.at, self.up_to(max));
        self.advance(chunk.len());
        chunk
    }

    fn up_to(&self, max: usize) -> usize {
        usize::try_from(self.remaining()).map_or(max, |remaining| remaining.min(max))
    }
}
