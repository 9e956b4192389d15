use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Most bytes of the heads of one answer, informational ones included, that are looked at.
const MAX_HEADS_BYTES: usize = 64 << 10;

/// Most fields of a head.
pub(super) const MAX_FIELDS: usize = 100;

// Of a head; 0: none is awaited.
const AWAITED: u8 = 1;
const SOUND: u8 = 2;
const UNSOUND: u8 = 3;

/// What passes over one connection, seen from under the HTTP library: how much, whether it has gone quiet,
/// and what the library would hide of a head.
#[derive(Debug, Default)]
pub(super) struct Wire {
    read: AtomicU64,
    written: AtomicU64,
    quiet: AtomicBool,
    fell_quiet: Notify,
    head: AtomicU8,
}

impl Wire {
    /// Bytes that came so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// A request is about to be sent: the bytes that come next are the head of its answer.
    pub(super) fn await_head(&self) {
        self.head.store(AWAITED, Ordering::Release);
    }

    /// The head of the last answer was seen whole and framed the body in exactly one way.
    pub(super) fn head_was_sound(&self) -> bool {
        self.head.load(Ordering::Acquire) == SOUND
    }

    /// The library has asked for more bytes after it had used up all that came, and there were none. After
    /// the end of an answer that proves that nothing followed it.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    /// Resolves when [`Wire::is_quiet`].
    pub(super) async fn quiet(&self) {
        loop {
            let notified = self.fell_quiet.notified();
            if self.is_quiet() {
                return;
            }
            notified.await;
        }
    }
}

/// A connection with its [`Wire`].
#[derive(Debug)]
pub(super) struct Tap<S> {
    io: S,
    wire: Arc<Wire>,
    /// The heads as they come; `None` where heads aren't text (HTTP/2).
    heads: Option<Vec<u8>>,
}

impl<S> Tap<S> {
    pub(super) fn http1(io: S, wire: Arc<Wire>) -> Self {
        Self {
            io,
            wire,
            heads: Some(Vec::new()),
        }
    }

    pub(super) fn http2(io: S, wire: Arc<Wire>) -> Self {
        Self {
            io,
            wire,
            heads: None,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        self.wire.quiet.store(false, Ordering::Release);
        self.wire.read.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        let Some(heads) = &mut self.heads else { return };
        if self.wire.head.load(Ordering::Acquire) != AWAITED {
            return;
        }
        heads.extend_from_slice(bytes);
        let verdict = judge(heads);
        if verdict != AWAITED {
            self.wire.head.store(verdict, Ordering::Release);
            *heads = Vec::new();
        }
    }
}

/// Drops informational heads from the front; AWAITED until the final one is whole.
fn judge(heads: &mut Vec<u8>) -> u8 {
    loop {
        let Some(end) = heads.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if heads.len() > MAX_HEADS_BYTES {
                UNSOUND
            } else {
                AWAITED
            };
        };
        let head = heads.get(..end + 4).unwrap_or_default();
        match judge_one(head) {
            Some(verdict) => return verdict,
            None => drop(heads.drain(..end + 4)),
        }
    }
}

/// `None` for an informational head.
fn judge_one(head: &[u8]) -> Option<u8> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    if !matches!(answer.parse(head), Ok(httparse::Status::Complete(_))) {
        return Some(UNSOUND);
    }
    if answer
        .code
        .is_some_and(|code| (100..200).contains(&code) && code != 101)
    {
        return None;
    }
    let values = |name: &str| {
        let name = name.to_owned();
        answer
            .headers
            .iter()
            .filter(move |f| f.name.eq_ignore_ascii_case(&name))
            .map(|f| f.value)
    };
    let mut codings = values("transfer-encoding");
    let coding = codings.next();
    let lengths = values("content-length").count();
    let sound = match coding {
        Some(coding) => {
            coding.trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() && lengths == 0
        }
        None => lengths <= 1,
    };
    // A line feed without a carriage return: two readers may see two different heads.
    let bare = head
        .iter()
        .zip(std::iter::once(&0).chain(head))
        .any(|(c, before)| *c == b'\n' && *before != b'\r');
    Some(if sound && !bare { SOUND } else { UNSOUND })
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_pending() && !self.wire.quiet.swap(true, Ordering::AcqRel) {
            self.wire.fell_quiet.notify_waiters();
        }
        ready!(polled)?;
        self.note_read(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.wire.written.fetch_add(written as u64, Ordering::AcqRel);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.wire.written.fetch_add(written as u64, Ordering::AcqRel);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_sound_only_if_it_frames_the_body_in_one_way() {
        for (fields, verdict) in [
            ("content-length: 5\r\n", SOUND),
            ("transfer-encoding: chunked\r\n", SOUND),
            ("Transfer-Encoding:  Chunked \r\n", SOUND),
            ("x: y\r\n", SOUND),
            ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", UNSOUND),
            ("content-length: 5\r\ncontent-length: 6\r\n", UNSOUND),
            ("content-length: 5\r\ncontent-length: 5\r\n", UNSOUND),
            ("transfer-encoding: gzip, chunked\r\n", UNSOUND),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                UNSOUND,
            ),
            ("x: y\ncontent-length: 5\r\n", UNSOUND),
            ("x : y\r\n", UNSOUND),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(judge(&mut text.clone().into_bytes()), verdict, "{fields:?}");
            // The same in any two pieces.
            for cut in 0..text.len() {
                let mut heads = text.as_bytes()[..cut].to_vec();
                assert_eq!(judge(&mut heads), AWAITED, "{fields:?} cut at {cut}");
                heads.extend_from_slice(&text.as_bytes()[cut..]);
                assert_eq!(judge(&mut heads), verdict);
            }
            let informed = format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{text}");
            assert_eq!(
                judge(&mut informed.into_bytes()),
                verdict,
                "after a 103: {fields:?}"
            );
        }
    }

    #[test]
    fn heads_without_end_are_given_up() {
        let mut heads = vec![b'a'; MAX_HEADS_BYTES];
        assert_eq!(judge(&mut heads), AWAITED);
        heads.push(b'a');
        assert_eq!(judge(&mut heads), UNSOUND);
    }
}
