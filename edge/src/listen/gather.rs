//! What an HTTP/2 connection writes in one turn, written as one.
//!
//! hyper writes frame by frame and flushes after each that carries a body: over TLS that is a record and a system call
//! for each. Here frames are collected while hyper has its turn, and go out together when it ends.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most that is collected before hyper has to wait: what stands here has left its streams' accounts.
const MOST_BYTES: usize = 64 << 10;

/// Room for the answers of a usual turn.
const USUAL_BYTES: usize = 16 << 10;

/// The connection as hyper sees it.
pub(super) struct Gather<T>(Rc<RefCell<Gathered<T>>>);

/// The end of each turn.
pub(super) struct Turns<T>(Rc<RefCell<Gathered<T>>>);

struct Gathered<T> {
    io: T,
    /// Without memory while there is nothing to write.
    out: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// Whether `io` may still hold something back.
    unflushed: bool,
}

/// Divides a connection into what hyper writes to and what ends its turns.
pub(super) fn gather<T>(io: T) -> (Gather<T>, Turns<T>) {
    let gathered = Rc::new(RefCell::new(Gathered {
        io,
        out: Vec::new(),
        written: 0,
        unflushed: false,
    }));
    (Gather(Rc::clone(&gathered)), Turns(gathered))
}

impl<T: AsyncWrite + Unpin> Turns<T> {
    /// Writes what was collected; pending while the peer doesn't take it.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_out(cx)
    }
}

impl<T: AsyncWrite + Unpin> Gathered<T> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.unflushed = true;
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        if self.unflushed {
            (self.out, self.written) = (Vec::new(), 0);
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes that may be collected now, at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.out.len() >= MOST_BYTES {
            ready!(self.poll_out(cx))?;
        }
        if self.out.capacity() == 0 {
            self.out.reserve(USUAL_BYTES);
        }
        Poll::Ready(Ok(MOST_BYTES - self.out.len()))
    }

    fn collect(&mut self, bytes: &[u8], room: usize) -> usize {
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.out.extend_from_slice(taken);
        taken.len()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut gathered = self.0.borrow_mut();
        let room = ready!(gathered.poll_room(cx))?;
        Poll::Ready(Ok(gathered.collect(buf, room)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = self.0.borrow_mut();
        let room = ready!(gathered.poll_room(cx))?;
        let mut taken = 0;
        for buf in bufs {
            taken += gathered.collect(buf, room - taken);
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back for longer than the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        ready!(gathered.poll_out(cx))?;
        Pin::new(&mut gathered.io).poll_shutdown(cx)
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes, then nothing until told; counts the calls.
    #[derive(Default)]
    struct Peer {
        room: usize,
        took: Vec<u8>,
        writes: usize,
        flushes: usize,
        is_shut: bool,
    }

    impl AsyncWrite for Peer {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            if self.room == 0 {
                return Poll::Pending;
            }
            let taken = &buf[..buf.len().min(self.room)];
            self.room -= taken.len();
            self.took.extend_from_slice(taken);
            self.writes += 1;
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn peer(room: usize) -> (Gather<Peer>, Turns<Peer>) {
        gather(Peer {
            room,
            ..Peer::default()
        })
    }

    fn write(gather: &mut Gather<Peer>, bytes: &[u8]) -> Poll<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(gather).poll_write(&mut cx, bytes).map(Result::unwrap)
    }

    #[test]
    fn frames_of_one_turn_are_one_write() {
        let (mut gather, turns) = peer(usize::MAX);
        let mut cx = Context::from_waker(Waker::noop());
        for frame in ["head ", "body ", "head ", "body"] {
            assert_eq!(write(&mut gather, frame.as_bytes()), Poll::Ready(frame.len()));
            assert!(Pin::new(&mut gather).poll_flush(&mut cx).is_ready());
        }
        let slices = [IoSlice::new(b", "), IoSlice::new(b"tail")];
        let taken = Pin::new(&mut gather).poll_write_vectored(&mut cx, &slices);
        assert!(matches!(taken, Poll::Ready(Ok(6))));
        assert_eq!(turns.0.borrow().io.writes, 0);
        assert!(turns.poll_end(&mut cx).is_ready());
        // A turn in which nothing was written costs nothing.
        assert!(turns.poll_end(&mut cx).is_ready());
        let gathered = turns.0.borrow();
        assert_eq!(gathered.io.took, b"head body head body, tail");
        assert_eq!((gathered.io.writes, gathered.io.flushes), (1, 1));
        assert_eq!(gathered.out.capacity(), 0, "an idle connection holds no buffer");
    }

    #[test]
    fn a_peer_that_takes_nothing_makes_writers_wait() {
        let (mut gather, turns) = peer(10);
        let mut cx = Context::from_waker(Waker::noop());
        let body = vec![7; MOST_BYTES + 1];
        assert_eq!(write(&mut gather, &body), Poll::Ready(MOST_BYTES));
        assert_eq!(write(&mut gather, &body), Poll::Pending);
        assert!(turns.poll_end(&mut cx).is_pending());
        assert_eq!(turns.0.borrow().io.took.len(), 10);
        turns.0.borrow_mut().io.room = usize::MAX;
        assert!(turns.poll_end(&mut cx).is_ready());
        assert_eq!(write(&mut gather, b"next"), Poll::Ready(4));
        assert_eq!(turns.0.borrow().io.took.len(), MOST_BYTES);
    }

    #[test]
    fn the_end_comes_after_what_was_collected() {
        let (mut gather, turns) = peer(2);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(write(&mut gather, b"goaway"), Poll::Ready(6));
        assert!(Pin::new(&mut gather).poll_shutdown(&mut cx).is_pending());
        assert!(!turns.0.borrow().io.is_shut);
        turns.0.borrow_mut().io.room = 100;
        assert!(Pin::new(&mut gather).poll_shutdown(&mut cx).is_ready());
        let gathered = turns.0.borrow();
        assert_eq!(gathered.io.took, b"goaway");
        assert!(gathered.io.is_shut);
    }
}
