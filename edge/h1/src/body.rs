use breakwater_edge_proxy::{BodyHint, Fields, Reason};

use crate::class::{is_token, value_prefix};
use crate::field::{Lines, Next};

/// Most bytes of the line that begins a chunk, its end included.
pub const MAX_CHUNK_LINE_BYTES: usize = 256;

/// Most bytes of a trailer section, the empty line at its end included.
pub const MAX_TRAILER_BYTES: usize = 8 << 10;

/// Most digits of a chunk's size: those of 2^64 - 1.
const MAX_SIZE_DIGITS: usize = 16;

/// Finds a body in the bytes after its head.
#[derive(Clone, Debug, Default)]
pub struct BodyDecoder {
    stage: Stage,
    trailers: Lines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Bytes that are still to come, without chunks.
    Length(u64),
    ChunkLine,
    Chunk(u64),
    /// The CRLF after a chunk.
    ChunkEnd,
    /// After the last chunk.
    Trailers {
        /// Where the line begins that isn't complete.
        at: usize,
    },
    #[default]
    Done,
}

/// What the next bytes are. Places count from the start of the bytes that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// `from..to` are bytes of the body; `to` are used up.
    Data {
        /// Where they begin.
        from: usize,
        /// Where they end.
        to: usize,
    },
    /// More bytes are needed; `used` are used up.
    More {
        /// Bytes that need not be given again.
        used: usize,
    },
    /// The body is complete. `from..to` is the section of its trailers, `to` are used up.
    End {
        /// Where trailers begin.
        from: usize,
        /// Where what follows the body begins.
        to: usize,
    },
}

impl BodyDecoder {
    /// Begins a body; memory is kept.
    pub fn reset(&mut self, body: BodyHint) {
        self.trailers.clear();
        self.stage = match body {
            BodyHint::None | BodyHint::Length(0) => Stage::Done,
            BodyHint::Length(length) => Stage::Length(length),
            BodyHint::Streamed => Stage::ChunkLine,
        };
    }

    /// True when the body is complete, or there is none.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Bytes that are certainly still to come.
    pub fn remaining(&self) -> u64 {
        match self.stage {
            Stage::Length(left) | Stage::Chunk(left) => left,
            _ => 0,
        }
    }

    /// Looks at the bytes that follow what has been used up. At most 8 KiB have to be at hand at once.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, Reason> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.stage {
                Stage::Done => return Ok(Decoded::End { from: used, to: used }),
                Stage::Length(left) | Stage::Chunk(left) => {
                    if rest.is_empty() {
                        return Ok(Decoded::More { used });
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.take(left - taken as u64);
                    return Ok(Decoded::Data {
                        from: used,
                        to: used + taken,
                    });
                }
                Stage::ChunkEnd => match rest {
                    [] | [b'\r'] => return Ok(Decoded::More { used }),
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.stage = Stage::ChunkLine;
                    }
                    _ => return Err(Reason::MalformedMessage),
                },
                Stage::ChunkLine => match chunk_line(rest)? {
                    None => return Ok(Decoded::More { used }),
                    Some((size, length)) => {
                        used += length;
                        self.stage = match size {
                            0 => Stage::Trailers { at: 0 },
                            size => Stage::Chunk(size),
                        };
                    }
                },
                Stage::Trailers { at } => return self.trailer_section(rest, at, used),
            }
        }
    }

    fn take(&mut self, left: u64) {
        self.stage = match (self.stage, left) {
            (Stage::Length(_), 0) => Stage::Done,
            (Stage::Length(_), left) => Stage::Length(left),
            (_, 0) => Stage::ChunkEnd,
            (_, left) => Stage::Chunk(left),
        };
    }

    fn trailer_section(&mut self, rest: &[u8], at: usize, used: usize) -> Result<Decoded, Reason> {
        let within = rest.get(..MAX_TRAILER_BYTES).unwrap_or(rest);
        let mut at = at;
        loop {
            match self
                .trailers
                .read(within, at)
                .map_err(|_| Reason::MalformedMessage)?
            {
                Next::Line(next) => at = next,
                Next::End(next) => {
                    self.stage = Stage::Done;
                    return Ok(Decoded::End {
                        from: used,
                        to: used + next,
                    });
                }
                Next::Partial if rest.len() >= MAX_TRAILER_BYTES => return Err(Reason::MalformedMessage),
                Next::Partial => {
                    self.stage = Stage::Trailers { at };
                    return Ok(Decoded::More { used });
                }
            }
        }
    }

    /// The trailers of a complete body; `section` is what [`Decoded::End`] spans.
    pub fn trailers<'b>(&self, section: &'b [u8]) -> Fields<'b> {
        self.trailers.fields(section)
    }
}

/// Size of the chunk and length of its line (RFC 9112 §7.1); `None` while the line's end hasn't come.
/// Extensions are left out, and bounded by the line; one that isn't well formed is refused, as others might find
/// the end of its line elsewhere.
fn chunk_line(bytes: &[u8]) -> Result<Option<(u64, usize)>, Reason> {
    let within = bytes.get(..MAX_CHUNK_LINE_BYTES).unwrap_or(bytes);
    let partial = || {
        if within.len() < MAX_CHUNK_LINE_BYTES {
            Ok(None)
        } else {
            Err(Reason::MalformedMessage)
        }
    };
    let digits = within
        .iter()
        .position(|b| !b.is_ascii_hexdigit())
        .unwrap_or(within.len());
    if digits > MAX_SIZE_DIGITS {
        return Err(Reason::MalformedMessage);
    }
    let rest = within.get(digits..).unwrap_or_default();
    let extension = match rest {
        [] => return partial(),
        [b';', ..] => value_prefix(rest),
        _ => 0,
    };
    match rest.get(extension..).unwrap_or_default() {
        [] | [b'\r'] if digits > 0 => partial(),
        [b'\r', b'\n', ..] if digits > 0 && are_extensions(rest.get(..extension).unwrap_or_default()) => {
            let size = within
                .get(..digits)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .ok_or(Reason::MalformedMessage)?;
            Ok(Some((size, digits + extension + 2)))
        }
        _ => Err(Reason::MalformedMessage),
    }
}

/// `*( ";" name [ "=" value ] )` with blanks where RFC 9112 §7.1.1 lets them be after the first `;`.
fn are_extensions(mut bytes: &[u8]) -> bool {
    while let Some(extension) = bytes.strip_prefix(b";") {
        let (name, rest) = token(trim_blanks(extension));
        if name.is_empty() {
            return false;
        }
        let rest = match trim_blanks(rest).strip_prefix(b"=").map(trim_blanks) {
            None => rest,
            Some([b'"', quoted @ ..]) => match after_quote(quoted) {
                Some(rest) => rest,
                None => return false,
            },
            Some(value) => match token(value) {
                ([], _) => return false,
                (_, rest) => rest,
            },
        };
        // Blanks belong to what follows them.
        let next = trim_blanks(rest);
        bytes = if next.starts_with(b";") { next } else { rest };
    }
    bytes.is_empty()
}

fn token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes.iter().position(|b| !is_token(*b)).unwrap_or(bytes.len());
    bytes.split_at_checked(length).unwrap_or((bytes, b""))
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    bytes.get(blanks..).unwrap_or_default()
}

/// What follows the end of a quoted string (RFC 9110 §5.6.4), whose beginning has been read.
fn after_quote(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [] | [b'\\'] => return None,
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
        };
    }
}
