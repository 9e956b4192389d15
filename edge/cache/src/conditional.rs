//! Conditions: a visitor's, answered from what is stored (RFC 9111 §4.3.2), and those that we ask the origin
//! with (§4.3.1).

use crate::date::parse_http_date;
use crate::entry::Hit;
use crate::etag::ETag;
use crate::fields::{FieldsView, list_members};
use crate::freshness::Transformed;
use crate::range::{ByteRange, RangeRequest, Resolved};

/// What of a stored answer is sent for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    Whole,
    /// The visitor has it: send 304 with [`NOT_MODIFIED_FIELDS`].
    NotModified,
    /// One part: 206 with `Content-Range`.
    Part(ByteRange),
    /// Several parts: 206 as `multipart/byteranges`.
    Parts(Vec<ByteRange>),
    /// No byte is where the request asks for one: 416.
    Unsatisfiable,
}

/// Fields of a stored answer that go with a 304 (RFC 9110 §15.4.5). `Last-Modified` only where there is no
/// `ETag`. The site's own fields are added as on every answer.
pub const NOT_MODIFIED_FIELDS: [&str; 7] = [
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "vary",
    "cdn-cache-control",
];

/// Evaluates the conditions of a GET or HEAD, then the `Range` of a GET, in the order of RFC 9110 §13.2.2.
/// `If-Match` and `If-Unmodified-Since` are the origin's to evaluate and don't count here (RFC 9111 §4.3.2).
pub fn select(hit: &Hit, is_get: bool, request: &dyn FieldsView) -> Selection {
    // Conditions don't count where the answer without them is no success (RFC 9110 §13.2.1).
    if !(200..300).contains(&hit.status()) {
        return Selection::Whole;
    }
    let matched = if request.has(b"if-none-match") {
        none_match_fails(hit.etag(), request)
    } else {
        unmodified_since(hit, request)
    };
    if matched {
        return Selection::NotModified;
    }
    if !is_get || hit.status() != 200 {
        return Selection::Whole;
    }
    let Some(asked) = RangeRequest::of(request).filter(|_| if_range_holds(hit, request)) else {
        return Selection::Whole;
    };
    match asked.resolve(hit.body_len()) {
        Resolved::Whole => Selection::Whole,
        Resolved::Unsatisfiable => Selection::Unsatisfiable,
        Resolved::Parts(parts) => match parts.as_slice() {
            [part] => Selection::Part(*part),
            // It is said with each part: an answer must not become many times what is stored.
            _ if content_type_len(hit) > MAX_PART_TYPE_BYTES => Selection::Whole,
            _ => Selection::Parts(parts),
        },
    }
}

/// Longest `Content-Type` that is said with each of several parts.
const MAX_PART_TYPE_BYTES: usize = 256;

fn content_type_len(hit: &Hit) -> usize {
    hit.fields().get(b"content-type").map_or(0, <[u8]>::len)
}

/// A date names a version only if nothing else can have been made within the same second by a clock that is
/// not quite ours (RFC 9110 §8.8.2.2).
const STRONG_DATE_SECS: u64 = 60;

/// Whether a part of this answer continues what the visitor has: `If-Range` names it by a strong validator, or
/// isn't there (RFC 9110 §13.1.5).
fn if_range_holds(hit: &Hit, request: &dyn FieldsView) -> bool {
    let (mut lines, mut value) = (0, None);
    request.visit(b"if-range", &mut |line| {
        lines += 1;
        value = Some(line);
    });
    let Some(value) = value else { return true };
    if lines > 1 {
        return false;
    }
    if let Some(tag) = ETag::parse(value) {
        let stored = hit.etag().and_then(ETag::parse);
        return stored.is_some_and(|stored| stored.strong_eq(&tag));
    }
    let date = parse_http_date(value);
    let modified = hit.last_modified().and_then(parse_http_date);
    date.is_some()
        && date == modified
        && modified.is_some_and(|modified| hit.entry.lifetime.date_secs >= modified + STRONG_DATE_SECS)
}

fn none_match_fails(etag: Option<&[u8]>, request: &dyn FieldsView) -> bool {
    let stored = etag.and_then(ETag::parse);
    let mut matched = false;
    request.visit(b"if-none-match", &mut |line| {
        list_members(line, |member| {
            let same = stored
                .zip(ETag::parse(member))
                .is_some_and(|(one, other)| one.weak_eq(&other));
            matched |= member == b"*" || same;
        });
    });
    matched
}

fn unmodified_since(hit: &Hit, request: &dyn FieldsView) -> bool {
    let mut lines = 0;
    request.visit(b"if-modified-since", &mut |_| lines += 1);
    // More than one is no date, and then the condition is ignored (RFC 9110 §13.1.3).
    let Some(since) = request
        .first(b"if-modified-since")
        .filter(|_| lines == 1)
        .and_then(parse_http_date)
    else {
        return false;
    };
    let modified = hit.last_modified().and_then(parse_http_date);
    modified.unwrap_or(hit.entry.lifetime.date_secs) <= since
}

/// What to ask the origin with, to validate a stored answer. The visitor's own conditions are not forwarded
/// beside these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginCondition<'a> {
    /// Value for `If-None-Match`.
    pub if_none_match: Option<&'a [u8]>,
    /// Value for `If-Modified-Since`.
    pub if_modified_since: Option<&'a [u8]>,
}

impl<'a> OriginCondition<'a> {
    /// `None` where nothing stored can be validated.
    pub(crate) fn of(hit: &'a Hit) -> Option<Self> {
        let if_none_match = hit.etag().filter(|etag| ETag::parse(etag).is_some());
        // Some origins compare octets.
        let if_none_match = match hit.transformed() {
            Transformed::BodyAndTag => if_none_match.map(|etag| etag.strip_prefix(b"W/").unwrap_or(etag)),
            Transformed::No | Transformed::Body => if_none_match,
        };
        let if_modified_since = hit.last_modified().filter(|date| parse_http_date(date).is_some());
        let any = if_none_match.is_some() || if_modified_since.is_some();
        any.then_some(Self {
            if_none_match,
            if_modified_since,
        })
    }
}
