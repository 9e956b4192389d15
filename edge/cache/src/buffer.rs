//! The bytes of a fill that readers may still need.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::body::BLOCK_BYTES;

/// Chunks are copied together up to this many bytes. An origin that sends a byte at a time would otherwise cost
/// some hundred bytes for each.
const JOINED_BYTES: usize = 4 * 1024;

/// Consecutive chunks of a body, found by offset. While everything is kept, chunks are copied together into
/// blocks of [`BLOCK_BYTES`], so that an entry holds no more than its bytes: a chunk from a socket is a part
/// of a read buffer that it would keep alive whole.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Offset of each chunk and the chunk.
    chunks: VecDeque<(u64, Bytes)>,
    end: u64,
    /// How many chunks at the front are whole blocks.
    blocks: usize,
}

impl Buffer {
    /// Bytes written since the beginning.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Offset of the first byte that is still there.
    pub(crate) fn start(&self) -> u64 {
        self.chunks.front().map_or(self.end, |(offset, _)| *offset)
    }

    /// Bytes still there.
    pub(crate) fn retained(&self) -> usize {
        usize::try_from(self.end - self.start()).unwrap_or(usize::MAX)
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let offset = self.end;
        self.end += chunk.len() as u64;
        match self.chunks.back_mut() {
            // A reader may have read a part of the last chunk: it finds the rest by its offset as before.
            Some((_, last)) if last.len() + chunk.len() <= JOINED_BYTES => {
                *last = [&**last, &*chunk].concat().into();
            }
            _ => self.chunks.push_back((offset, chunk)),
        }
    }

    /// From `offset` to the end of its chunk; `None` at the end and for what is gone.
    pub(crate) fn read(&self, offset: u64) -> Option<Bytes> {
        let after = self.chunks.partition_point(|(start, _)| *start <= offset);
        let (start, chunk) = self.chunks.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(offset - start).ok()?;
        (skip < chunk.len()).then(|| chunk.slice(skip..))
    }

    /// Forgets whole chunks before `offset`, of joined ones the part before it. From then on the body only
    /// passes through.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        while let Some((start, chunk)) = self.chunks.front_mut() {
            if *start + chunk.len() as u64 > offset {
                let read = usize::try_from(offset.saturating_sub(*start)).unwrap_or(0);
                if chunk.len() <= JOINED_BYTES && read > 0 {
                    *chunk = chunk.slice(read..);
                    *start = offset;
                }
                return;
            }
            self.chunks.pop_front();
        }
    }

    /// Makes whole blocks of what was pushed since the last call. Only while nothing was forgotten.
    pub(crate) fn compact(&mut self) {
        loop {
            let loose_start = (self.blocks * BLOCK_BYTES) as u64;
            if self.end - loose_start < BLOCK_BYTES as u64 {
                return;
            }
            let loose: Vec<Bytes> = self.chunks.drain(self.blocks..).map(|(_, chunk)| chunk).collect();
            let mut block = BytesMut::with_capacity(BLOCK_BYTES);
            self.end = loose_start;
            let mut rest = loose.into_iter();
            for mut chunk in rest.by_ref() {
                let fits = chunk.len().min(BLOCK_BYTES - block.len());
                block.extend_from_slice(&chunk.split_to(fits));
                if block.len() == BLOCK_BYTES {
                    self.push(block.split().freeze());
                    self.blocks += 1;
                    self.push(chunk);
                    break;
                }
            }
            rest.for_each(|chunk| self.push(chunk));
        }
    }

    /// The whole body as blocks; what is here stays. Only while nothing was forgotten.
    pub(crate) fn seal(&mut self) -> Vec<Bytes> {
        self.compact();
        let loose: usize = self
            .chunks
            .iter()
            .skip(self.blocks)
            .map(|(_, chunk)| chunk.len())
            .sum();
        if loose > 0 {
            let mut tail = Vec::with_capacity(loose);
            for (_, chunk) in self.chunks.drain(self.blocks..) {
                tail.extend_from_slice(&chunk);
            }
            self.end -= loose as u64;
            self.push(tail.into_boxed_slice().into());
        }
        self.chunks.iter().map(|(_, chunk)| chunk.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(buffer: &Buffer, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = buffer.read(offset) {
            offset += chunk.len() as u64;
            all.extend_from_slice(&chunk);
        }
        all
    }

    #[test]
    fn a_body_that_comes_byte_by_byte_takes_few_chunks() {
        let mut buffer = Buffer::default();
        for byte in 0..100_000_u32 {
            buffer.push(vec![u8::try_from(byte % 251).unwrap()].into());
            if byte == 10_000 {
                assert_eq!(
                    read_all(&buffer, 9_999),
                    [
                        u8::try_from(9_999 % 251).unwrap(),
                        u8::try_from(10_000 % 251).unwrap()
                    ]
                );
            }
        }
        assert_eq!(buffer.chunks.len(), 100_000_usize.div_ceil(JOINED_BYTES));
        assert_eq!(read_all(&buffer, 0).len(), 100_000);
        buffer.forget_before(99_000);
        assert_eq!(read_all(&buffer, 99_000).len(), 1_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bytes_read_are_those_written_whatever_happens_between(
            sizes in prop::collection::vec((prop_oneof![0_usize..90_000, 0_usize..3_000], any::<bool>()), 1..20),
            from in 0_usize..101,
        ) {
            let mut buffer = Buffer::default();
            let mut written = Vec::new();
            for (size, compact) in sizes {
                let chunk: Vec<u8> = (0..size).map(|at| u8::try_from((written.len() + at) * 31 % 251).unwrap()).collect();
                written.extend_from_slice(&chunk);
                buffer.push(chunk.into());
                if compact {
                    buffer.compact();
                }
            }
            let offset = (written.len() * from / 100) as u64;
            prop_assert_eq!(&read_all(&buffer, offset), &written[usize::try_from(offset).unwrap()..]);
            let blocks = buffer.seal();
            prop_assert_eq!(blocks.concat(), written.clone());
            let whole = blocks.len().saturating_sub(1);
            prop_assert!(blocks[..whole].iter().all(|block| block.len() == BLOCK_BYTES));
            prop_assert_eq!(&read_all(&buffer, offset), &written[usize::try_from(offset).unwrap()..]);
            buffer.forget_before(offset);
            prop_assert!(buffer.start() <= offset);
            prop_assert_eq!(&read_all(&buffer, offset), &written[usize::try_from(offset).unwrap()..]);
        }
    }
}
