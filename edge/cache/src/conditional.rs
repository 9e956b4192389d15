//! Conditions: a visitor's, answered from what is stored (RFC 9111 §4.3.2), and those that we ask the origin
//! with (§4.3.1).

use crate::date::parse_http_date;
use crate::entry::Hit;
use crate::etag::ETag;
use crate::fields::{FieldsView, list_members};

/// What a stored answer makes of a request's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Send the whole answer.
    Full,
    /// The visitor has it: send 304 with [`NOT_MODIFIED_FIELDS`].
    NotModified,
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

/// Evaluates `If-None-Match`, or without it `If-Modified-Since`, of a GET or HEAD. `If-Match` and
/// `If-Unmodified-Since` are the origin's to evaluate and don't count here (RFC 9111 §4.3.2).
pub fn evaluate(hit: &Hit, request: &dyn FieldsView) -> Condition {
    // Conditions don't count where the answer without them is no success (RFC 9110 §13.2.1).
    if !(200..300).contains(&hit.status()) {
        return Condition::Full;
    }
    let matched = if request.has(b"if-none-match") {
        none_match_fails(hit.etag(), request)
    } else {
        unmodified_since(hit, request)
    };
    if matched {
        Condition::NotModified
    } else {
        Condition::Full
    }
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
        let if_modified_since = hit.last_modified().filter(|date| parse_http_date(date).is_some());
        let any = if_none_match.is_some() || if_modified_since.is_some();
        any.then_some(Self {
            if_none_match,
            if_modified_since,
        })
    }
}
