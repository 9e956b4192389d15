use std::io::Write as _;

use breakwater_edge_proxy::{Fields, Name, RequestHead, ResponseHead};

use crate::status::words;

/// How the end of an answer is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body and nothing said about one: 204, and what has no known length.
    Bare,
    /// No body follows, but the length that one would have is told: HEAD and 304.
    Told(u64),
    /// This many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
    /// What follows ends with the connection: an unknown length for HTTP/1.0.
    UntilClose,
}

impl Framing {
    /// True when bytes of a body may follow.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked | Self::UntilClose)
    }
}

/// Chooses the framing of an answer. `length`: what is known of the body's.
pub fn frame(method: &[u8], http10: bool, status: u16, length: Option<u64>) -> Framing {
    match (status, length) {
        (100..=199 | 204, _) => Framing::Bare,
        (304, length) => length.map_or(Framing::Bare, Framing::Told),
        (_, length) if method == b"HEAD" => length.map_or(Framing::Bare, Framing::Told),
        (_, Some(length)) => Framing::Length(length),
        (_, None) if http10 => Framing::UntilClose,
        (_, None) => Framing::Chunked,
    }
}

/// Whether the connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It does, as HTTP/1.1 does without saying so.
    Keep,
    /// It does, and an HTTP/1.0 client has to be told.
    KeepTold,
    /// It ends.
    Close,
}

/// What may end a connection after an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reasons {
    /// The phases want it, or the bytes that follow can't be trusted.
    pub refused: bool,
    /// The edge is stopping.
    pub draining: bool,
    /// A part of the request's body isn't going to be read.
    pub unread: bool,
}

/// What the client wants (RFC 9112 §9.3).
pub fn wants_persistence(head: &RequestHead<'_>) -> bool {
    let said = |token: &[u8]| {
        head.fields
            .all(Name::Connection)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(token))
    };
    if head.fields.has(Name::Connection) {
        !said(b"close") && (!head.http10 || said(b"keep-alive"))
    } else {
        !head.http10
    }
}

/// Decides it, from what the client wants and what stands in the way.
pub fn persistence(wanted: bool, http10: bool, framing: Framing, reasons: Reasons) -> Persistence {
    let Reasons {
        refused,
        draining,
        unread,
    } = reasons;
    if !wanted || refused || draining || unread || framing == Framing::UntilClose {
        Persistence::Close
    } else if http10 {
        Persistence::KeepTold
    } else {
        Persistence::Keep
    }
}

/// True when the client takes trailers (RFC 9110 §10.1.4); to others they aren't sent.
pub fn wants_trailers(fields: &Fields<'_>) -> bool {
    fields
        .all(Name::Te)
        .flat_map(|value| value.split(|b| *b == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Appends a final head, or a 101, whose `Connection` and `Upgrade` stand among its fields.
pub fn write_head(out: &mut Vec<u8>, head: &ResponseHead, framing: Framing, persistence: Persistence) {
    write_interim(out, head);
    // Over the empty line.
    out.truncate(out.len().saturating_sub(2));
    match framing {
        Framing::Bare | Framing::UntilClose => {}
        Framing::Told(length) | Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if head.status != 101 {
        match persistence {
            Persistence::Keep => {}
            Persistence::KeepTold => out.extend_from_slice(b"connection: keep-alive\r\n"),
            Persistence::Close => out.extend_from_slice(b"connection: close\r\n"),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim head (1xx), which says nothing of bodies and connections.
pub fn write_interim(out: &mut Vec<u8>, head: &ResponseHead) {
    if head.status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_number(out, u64::from(head.status));
        out.push(b' ');
        out.extend_from_slice(words(head.status).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    head.fields.write_lines(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands before a chunk of `bytes`, of which there must be at least one: a chunk of none would
/// end the body.
pub fn write_chunk_start(out: &mut Vec<u8>, bytes: usize) {
    debug_assert!(bytes > 0, "a chunk without bytes ends the body");
    // Writing to a Vec doesn't fail.
    let _ = write!(out, "{bytes:x}\r\n");
}

/// What stands after a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the end of a body in chunks, with trailers as `(name, value)`.
pub fn write_end<'t>(out: &mut Vec<u8>, trailers: impl Iterator<Item = (&'t [u8], &'t [u8])>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    // Writing to a Vec doesn't fail.
    let _ = write!(out, "{number}");
}
