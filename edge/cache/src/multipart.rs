//! `multipart/byteranges` (RFC 9110 §14.6): what stands between the parts of an answer.

use bytes::Bytes;

use crate::range::ByteRange;

/// The parts of a multipart body that are still to be sent, each with the text before it.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// In reverse order. An empty range: only text.
    later: Vec<(Bytes, ByteRange)>,
    len: u64,
}

impl Parts {
    /// `boundary` must not occur in the body. `content_type` is that of the whole.
    pub(crate) fn new(
        ranges: &[ByteRange],
        complete: u64,
        content_type: Option<&[u8]>,
        boundary: &str,
    ) -> Self {
        let mut later: Vec<(Bytes, ByteRange)> = Vec::with_capacity(ranges.len() + 1);
        for (at, range) in ranges.iter().enumerate() {
            let mut text = Vec::with_capacity(160);
            if at > 0 {
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"--");
            text.extend_from_slice(boundary.as_bytes());
            if let Some(content_type) = content_type {
                text.extend_from_slice(b"\r\nContent-Type: ");
                text.extend_from_slice(content_type);
            }
            text.extend_from_slice(b"\r\nContent-Range: ");
            text.extend_from_slice(range.content_range(complete).as_bytes());
            text.extend_from_slice(b"\r\n\r\n");
            later.push((text.into(), *range));
        }
        let close = format!("\r\n--{boundary}--\r\n");
        later.push((close.into(), ByteRange { start: 0, end: 0 }));
        later.reverse();
        let len = later
            .iter()
            .map(|(text, range)| text.len() as u64 + range.len())
            .sum();
        Self { later, len }
    }

    /// Bytes of what is left, texts included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn next(&mut self) -> Option<(Bytes, ByteRange)> {
        let (text, range) = self.later.pop()?;
        self.len -= text.len() as u64 + range.len();
        Some((text, range))
    }
}
