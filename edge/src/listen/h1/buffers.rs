//! What a connection holds while it has a request, and gives back when it has none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breakwater_edge_h1::{BodyDecoder, HeadParser};
use breakwater_edge_proxy::Scratch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a buffer for reading has to begin with, and what is kept of one that has grown.
const USUAL_BYTES: usize = 8 << 10;

/// What is kept of a buffer for writing.
const KEPT_OUT_BYTES: usize = 32 << 10;

/// Below this, what was used up makes room before more is read.
const LITTLE_BYTES: usize = 1 << 10;

/// The buffers and states that one request after the other uses.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(super) input: Input,
    pub(super) out: Output,
    pub(super) parser: HeadParser,
    pub(super) body: BodyDecoder,
    pub(super) scratch: Box<Scratch>,
}

impl Desk {
    /// Lets go of what the last connection left and of memory beyond the usual.
    pub(crate) fn release(&mut self) {
        self.input.release();
        self.out.release();
        self.parser.reset();
        self.scratch.release();
    }
}

/// Bytes that came and weren't used up.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = self.end.min(self.start + bytes);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads more, up to `most` pending bytes, of which there must be fewer; 0 at the end.
    pub(super) fn poll_fill<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(most);
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        debug_assert!(!room.is_empty(), "no room would look like the end");
        let mut buf = ReadBuf::new(room);
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        self.end += read;
        Poll::Ready(Ok(read))
    }

    fn make_room(&mut self, most: usize) {
        if self.bytes.is_empty() {
            self.bytes.resize(USUAL_BYTES, 0);
        }
        if self.start > 0 && self.bytes.len() - self.end < LITTLE_BYTES {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.end == self.bytes.len() {
            let wanted = (2 * self.bytes.len()).min(most.max(self.end + 1));
            self.bytes.resize(wanted, 0);
        }
    }

    /// Makes it as large as bodies deserve.
    pub(super) fn enlarge(&mut self, bytes: usize) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > USUAL_BYTES {
            self.bytes.truncate(USUAL_BYTES);
            self.bytes.shrink_to_fit();
        }
    }
}

/// Bytes to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    at: usize,
}

impl Output {
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// So many were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at = self.bytes.len().min(self.at + bytes);
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
    }

    /// Writes everything, through whatever is under `io`.
    pub(super) fn poll_flush<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.pending().is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, self.pending()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(io).poll_flush(cx)
    }

    fn release(&mut self) {
        self.bytes.clear();
        self.at = 0;
        self.bytes.shrink_to(KEPT_OUT_BYTES);
    }
}
