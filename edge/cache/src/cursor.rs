//! A stored body on its way out.

use bytes::Bytes;

use crate::entry::Hit;
use crate::multipart::Parts;
use crate::range::ByteRange;

/// What of a stored answer's body is sent, and how far that has got. Pins the answer until it is dropped.
#[derive(Clone, Debug)]
pub struct StoredBody {
    hit: Hit,
    at: u64,
    end: u64,
    /// Only of several parts.
    parts: Option<Box<Multipart>>,
}

/// What comes before the bytes from `at`, and after those to `end`.
#[derive(Clone, Debug)]
struct Multipart {
    text: Bytes,
    parts: Parts,
}

impl StoredBody {
    /// All of it.
    pub fn whole(hit: Hit) -> Self {
        let end = hit.body_len();
        Self::between(hit, 0, end)
    }

    /// Nothing of it: for HEAD and 304.
    pub fn none(hit: Hit) -> Self {
        Self::between(hit, 0, 0)
    }

    /// One part of it, within its length.
    pub fn part(hit: Hit, range: ByteRange) -> Self {
        let end = range.end.min(hit.body_len());
        Self::between(hit, range.start.min(end), end)
    }

    /// Several parts of it, within its length, as `multipart/byteranges`. `boundary` must not occur in the body.
    pub fn parts(hit: Hit, ranges: &[ByteRange], boundary: &str) -> Self {
        let content_type = hit.fields().get(b"content-type");
        let parts = Parts::new(ranges, hit.body_len(), content_type, boundary);
        let mut body = Self::between(hit, 0, 0);
        body.parts = Some(Box::new(Multipart {
            text: Bytes::new(),
            parts,
        }));
        body.turn();
        body
    }

    fn between(hit: Hit, at: u64, end: u64) -> Self {
        Self {
            hit,
            at,
            end,
            parts: None,
        }
    }

    /// Bytes that are still to be sent.
    pub fn remaining(&self) -> u64 {
        let more = match &self.parts {
            None => 0,
            Some(multi) => multi.text.len() as u64 + multi.parts.len(),
        };
        self.end - self.at + more
    }

    /// The next bytes, `max` at most; fewer at the end of a block of memory, none only at the end.
    pub fn peek(&self, max: usize) -> &[u8] {
        match self.text() {
            Some(text) => text.get(..max).unwrap_or(text),
            None => self.hit.slice(self.at, self.up_to(max)),
        }
    }

    /// These bytes of what [`peek`](Self::peek) gave are sent.
    pub fn advance(&mut self, bytes: usize) {
        match &mut self.parts {
            Some(multi) if !multi.text.is_empty() => {
                let sent = bytes.min(multi.text.len());
                drop(multi.text.split_to(sent));
            }
            _ => self.at = self.at.saturating_add(bytes as u64).min(self.end),
        }
        self.turn();
    }

    /// The next bytes as [`peek`](Self::peek) gives them, counted, for transports that own what they send.
    pub fn chunk(&mut self, max: usize) -> Bytes {
        let chunk = match self.text() {
            Some(text) => text.slice(..max.min(text.len())),
            None => self.hit.chunk(self.at, self.up_to(max)),
        };
        self.advance(chunk.len());
        chunk
    }

    fn text(&self) -> Option<&Bytes> {
        let multi = self.parts.as_ref()?;
        (!multi.text.is_empty()).then_some(&multi.text)
    }

    /// Goes on to the next part once one is sent.
    fn turn(&mut self) {
        let Some(multi) = &mut self.parts else { return };
        if multi.text.is_empty()
            && self.at == self.end
            && let Some((text, range)) = multi.parts.next()
        {
            multi.text = text;
            (self.at, self.end) = (range.start, range.end);
        }
    }

    fn up_to(&self, max: usize) -> usize {
        usize::try_from(self.end - self.at).map_or(max, |remaining| remaining.min(max))
    }
}
