//! What passes between the phases and a protocol adaptor.
//!
//! One request, one [`Scratch`](crate::Scratch), and these calls of a [`Worker`](crate::Worker):
//!
//! ```text
//! on_head(conn, head, now, scratch)            -> Step      the head is parsed
//! on_event(conn, head, event, now, scratch)    -> Step      what the last step asked for has happened
//! on_interim(head, scratch)                    -> bool      a 1xx of the origin: pass scratch.response on?
//! record(conn, head, end, scratch)             -> Record    exactly once, whatever happened
//! ```
//!
//! Each is synchronous and returns at once. The adaptor passes the same `conn` and `head` every time. Where a
//! step sends an answer, its head stands in `scratch.response`.
//!
//! Where no step took the client's body ([`Step::Body`], or [`Step::Fetch`] with
//! [`BodyMode::Stream`](crate::BodyMode)), the adaptor reads and drops up to 64 KiB of it, or else closes the
//! connection after the answer. 100 (Continue) is sent only with one of those two.
//!
//! A fill (an origin's answer on its way into the cache) is a task of its own, never the client's: the
//! adaptor starts it when a step carries one, drives it by the calls of [`Fill`](crate::Fill), and lets it run
//! on when the client goes away.

use breakwater_edge_cache::{FillReader, HeadEvent, Load, StoredBody};
use bytes::Bytes;

use crate::fill::Fill;
use crate::plan::{FailureKind, FetchPlan, OriginFailure};
use crate::reason::Reason;
use crate::wire::OriginHead;

/// What an adaptor does next.
#[derive(Debug)]
pub enum Step {
    /// Send `scratch.response`, then what `body` holds, which stays pinned until it is dropped.
    Serve {
        /// What to send of the stored answer's body; nothing for HEAD and 304.
        body: StoredBody,
        /// A fill to start now and drive beside this request: what is stored is being validated.
        fill: Option<Box<Fill>>,
    },
    /// Wait for the head of a fill: poll `reader.poll_head` with the fields of the request's head, report
    /// [`Event::FillHead`], and keep the reader for [`Step::Read`].
    Wait {
        /// This request's side of the fill.
        reader: FillReader,
        /// The fill to start now, where this request leads it.
        fill: Option<Box<Fill>>,
        /// When to report [`Event::WaitTimedOut`] and drop the reader; `None`: the fill's own timeouts hold.
        timeout_ms: Option<u64>,
    },
    /// Wait until [`Load::poll`] is ready, then report [`Event::Loaded`]: what the disk may have is being read.
    Load(Load),
    /// Send `scratch.response`, then what `reader.poll_chunk` of the last [`Step::Wait`] gives: its trailers
    /// are filtered already. `Chunk::Abort` aborts the client's answer, as in [`Step::Stream`].
    Read,
    /// Send `scratch.response` with this body and be done.
    Reply {
        /// Empty for HEAD, 204, 304.
        body: Bytes,
        /// HTTP/1.1: close the connection afterwards. HTTP/2: nothing.
        close: bool,
    },
    /// Read the client's body, up to this many bytes, and report [`Event::Body`]. 100 (Continue) is sent now. What
    /// was read of a body that is larger stays with the adaptor: a plan that streams the body sends it first.
    Body {
        /// At most 1 MiB. The memory is charged already.
        max_bytes: u64,
    },
    /// Send this request to the origin with the client's body; report
    /// [`Event::OriginHead`] or [`Event::OriginFailed`].
    Fetch(Box<FetchPlan>),
    /// Send the plan of the last [`Step::Fetch`] once more, to another endpoint where there is one.
    Retry,
    /// Send `scratch.response`, then the origin's body as it comes, then its trailers, filtered by
    /// [`trailers`](crate::trailers). Every piece is passed on at once. If the body breaks off, the
    /// client's is aborted (HTTP/1.1: close without the last chunk; HTTP/2: reset), never ended cleanly.
    Stream,
    /// Send `scratch.response` (101), then bytes both ways until either side ends.
    Upgrade,
    /// Close the connection without an answer.
    Close(Reason),
    /// Reset this stream only (HTTP/2: `REFUSED_STREAM`).
    Reset(Reason),
}

/// What a step was waiting for.
#[derive(Debug)]
pub enum Event<'e, 'a> {
    /// The final head of the origin's answer, or a 101.
    OriginHead(&'e OriginHead<'a>),
    /// No head came.
    OriginFailed(OriginFailure),
    /// The reader of [`Step::Wait`] has a head, or will have none.
    FillHead {
        /// What `poll_head` gave.
        head: HeadEvent,
        /// What [`FillReader::is_collapsed`] says.
        collapsed: bool,
    },
    /// What came of [`Step::Body`].
    Body(BodyRead),
    /// The reading of [`Step::Load`] has ended, whatever came of it.
    Loaded,
    /// Nothing came within the time that the step gave.
    WaitTimedOut,
}

/// What came of reading a client's body.
#[derive(Clone, Debug)]
pub enum BodyRead {
    /// All of it, without trailers.
    Whole(Bytes),
    /// It is larger than asked for, or has trailers.
    TooLarge,
    /// It broke off: [`ClientBody`](FailureKind::ClientBody) or [`ClientTimeout`](FailureKind::ClientTimeout).
    Failed(FailureKind),
}

/// How the sending of an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Bytes of the body that were handed to the transport.
    pub body_bytes: u64,
    /// Bytes of the client's body that were read.
    pub request_body_bytes: u64,
    /// What cut it short.
    pub aborted: Option<Reason>,
}
