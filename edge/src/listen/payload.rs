use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breakwater_edge_cache::{Chunk, FillReader, StoredBody};
use breakwater_edge_proxy::{FieldBuf, trailers};
use bytes::Bytes;
use http_body::Body as _;

use super::ask::AnswerBody;
use super::head::fields;

/// Most bytes that are handed on at a time.
const PART_BYTES: usize = 64 << 10;

/// Where the body of an answer comes from.
pub(crate) enum Payload {
    /// There is none.
    Nothing,
    /// All of it at once.
    Whole(Bytes),
    /// The cache.
    Stored(StoredBody),
    /// A fill that is under way.
    Filling(FillReader),
    /// The origin.
    Origin(AnswerBody),
}

/// What comes next of a payload.
pub(crate) enum Part {
    Data(Bytes),
    /// The end, with trailers that may be passed on.
    End(Option<FieldBuf>),
    /// It broke off.
    Broken,
}

impl Payload {
    pub(crate) fn whole(body: Bytes) -> Self {
        if body.is_empty() {
            Self::Nothing
        } else {
            Self::Whole(body)
        }
    }

    pub(crate) fn stored(body: StoredBody) -> Self {
        if body.remaining() == 0 {
            Self::Nothing
        } else {
            Self::Stored(body)
        }
    }

    /// Nothing of it is still to come.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Origin(body) => body.is_end_stream(),
            _ => false,
        }
    }

    /// The bytes that are still to come, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Whole(body) => Some(body.len() as u64),
            Self::Stored(body) => Some(body.remaining()),
            Self::Filling(_) | Self::Origin(_) => None,
        }
    }

    /// The next part; after its end, and after it broke off, there is none.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let part = match self {
            Self::Nothing => Part::End(None),
            Self::Whole(body) => {
                let part = body.split_to(body.len().min(PART_BYTES));
                if body.is_empty() {
                    *self = Self::Nothing;
                }
                return Poll::Ready(Part::Data(part));
            }
            Self::Stored(body) => {
                let part = body.chunk(PART_BYTES);
                if body.remaining() == 0 {
                    *self = Self::Nothing;
                }
                return Poll::Ready(Part::Data(part));
            }
            Self::Filling(reader) => match ready!(reader.poll_chunk(cx)) {
                Chunk::Data(data) => return Poll::Ready(Part::Data(data)),
                Chunk::End(trailers) => Part::End(trailers.map(|trailers| {
                    let mut passed = FieldBuf::default();
                    for (name, value) in trailers.iter() {
                        passed.push_named(name, value);
                    }
                    passed
                })),
                Chunk::Abort(_) => Part::Broken,
            },
            Self::Origin(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                None => Part::End(None),
                Some(Err(_)) => Part::Broken,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Part::Data(data)),
                    Err(frame) => {
                        let mut passed = FieldBuf::default();
                        let map = frame.into_trailers().unwrap_or_default();
                        if fields(&map).is_ok_and(|lines| trailers::filter(&lines, &mut passed)) {
                            Part::End(Some(passed))
                        } else {
                            Part::Broken
                        }
                    }
                },
            },
        };
        *self = Self::Nothing;
        Poll::Ready(part)
    }
}
