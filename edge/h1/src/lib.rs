//! HTTP/1.1 as a server reads and writes it (RFC 9112), without sockets.
//!
//! In: bytes as they come, in pieces of any size. Out: a request's head that borrows them, pieces of its body,
//! its trailers; and for an answer the bytes of its head, its chunks and its trailers. What the bytes could
//! mean in two ways is refused: no leniency here is worth a request that another server would have split
//! elsewhere.
//!
//! This crate must never wait, read a clock, or keep more of a message than its index. It learns of no socket
//! and of no HTTP library.
//!
//! ```no_run
//! use breakwater_edge_h1::{HeadLimits, HeadParser};
//!
//! let mut parser = HeadParser::default();
//! let bytes = b"GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\nthe next request";
//! assert_eq!(parser.parse(&bytes[..20], &HeadLimits::default()), Ok(None));
//! let length = parser.parse(bytes, &HeadLimits::default()).unwrap().unwrap();
//! let head = parser.head(&bytes[..length]);
//! assert_eq!((head.method, head.target, length), (&b"GET"[..], &b"/a?b"[..], 38));
//! ```

mod answer;
mod body;
mod class;
mod field;
mod head;
mod line;
mod status;

pub use answer::{CHUNK_END, write_chunk_start, write_end, write_head, write_interim};
pub use answer::{Framing, Persistence, Reasons, frame, persistence, wants_persistence, wants_trailers};
pub use body::{BodyDecoder, Decoded, MAX_CHUNK_LINE_BYTES, MAX_TRAILER_BYTES};
pub use head::{HeadLimits, HeadParser, Refusal};
