//! Answers from the cache, and those that a fill is bringing.

use breakwater_edge_cache::{
    AnswerHead, ByteRange, CacheStatus, Hit, NOT_MODIFIED_FIELDS, Selection, StoredBody, select,
};

use super::{Context, decorate};
use crate::boundary::Step;
use crate::fill::Fill;
use crate::reply;
use crate::scratch::Scratch;
use crate::wire::{Name, ResponseHead};

/// Serves a stored answer: whole, its head, parts of it, or as 304.
pub(crate) fn hit(
    cx: &Context<'_, '_>,
    hit: Hit,
    mut status: CacheStatus,
    fill: Option<Box<Fill>>,
    scratch: &mut Scratch,
) -> Step {
    let out = &mut scratch.response;
    let shows_tags = hit.shows_tags();
    status.ttl_secs = Some(hit.ttl_secs());
    let is_get = cx.head.method == b"GET";
    let body = match select(&hit, is_get, &cx.head.fields) {
        Selection::NotModified => not_modified(hit, out),
        Selection::Whole => whole(hit, cx.head.method == b"HEAD", out),
        Selection::Part(range) => part(hit, range, out),
        Selection::Parts(ranges) => {
            let boundary = cx.shared.cache.boundary(&hit, cx.now);
            parts(hit, &ranges, &boundary, out)
        }
        Selection::Unsatisfiable => unsatisfiable(cx, hit, out),
    };
    if shows_tags {
        decorate::hide_tags(cx, scratch);
    }
    scratch.state.cache = Some(status);
    scratch.state.answered = Some(cx.now);
    decorate::run(cx, scratch);
    Step::Serve { body, fill }
}

/// Whether what the request is to get is here, of an answer that has only parts.
pub(crate) fn is_held(cx: &Context<'_, '_>, hit: &Hit) -> bool {
    match select(hit, cx.head.method == b"GET", &cx.head.fields) {
        Selection::Whole => hit.is_whole(),
        Selection::NotModified | Selection::Unsatisfiable => true,
        Selection::Part(range) => hit.holds(range),
        Selection::Parts(ranges) => ranges.iter().all(|range| hit.holds(*range)),
    }
}

fn whole(hit: Hit, only_head: bool, out: &mut ResponseHead) -> StoredBody {
    out.reset(hit.status());
    for (name, value) in hit.fields() {
        out.fields.push_named(name, value);
    }
    out.fields.push_number(Name::Age, hit.age_secs());
    out.length = (hit.status() != 204).then(|| hit.body_len());
    if only_head {
        StoredBody::none(hit)
    } else {
        StoredBody::whole(hit)
    }
}

fn not_modified(hit: Hit, out: &mut ResponseHead) -> StoredBody {
    out.reset(304);
    let etag = hit.etag().is_some();
    for (name, value) in hit.fields() {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if NOT_MODIFIED_FIELDS.iter().any(|known| is(known)) || (!etag && is("last-modified")) {
            out.fields.push_named(name, value);
        }
    }
    out.fields.push_number(Name::Age, hit.age_secs());
    StoredBody::none(hit)
}

/// The fields of a 206: all that are stored but those that say which part this is.
fn partial(hit: &Hit, left_out: &[&str], out: &mut ResponseHead) {
    out.reset(206);
    for (name, value) in hit.fields() {
        if !left_out
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            out.fields.push_named(name, value);
        }
    }
    out.fields.push_number(Name::Age, hit.age_secs());
}

fn part(hit: Hit, range: ByteRange, out: &mut ResponseHead) -> StoredBody {
    partial(&hit, &["content-range"], out);
    let content_range = range.content_range(hit.body_len());
    out.fields.push(Name::ContentRange, content_range.as_bytes());
    out.length = Some(range.len());
    StoredBody::part(hit, range)
}

/// Each part has the range and the type of its own (RFC 9110 §15.3.7.2).
fn parts(hit: Hit, ranges: &[ByteRange], boundary: &str, out: &mut ResponseHead) -> StoredBody {
    partial(&hit, &["content-range", "content-type"], out);
    let content_type = [b"multipart/byteranges; boundary=", boundary.as_bytes()];
    out.fields.push_joined(Name::ContentType, &content_type);
    let body = StoredBody::parts(hit, ranges, boundary);
    out.length = Some(body.remaining());
    body
}

fn unsatisfiable(cx: &Context<'_, '_>, hit: Hit, out: &mut ResponseHead) -> StoredBody {
    reply::begin(out, 416, cx.now);
    let complete = format!("bytes */{}", hit.body_len());
    out.fields.push(Name::ContentRange, complete.as_bytes());
    out.length = Some(0);
    StoredBody::none(hit)
}

/// Serves what a fill is bringing.
pub(crate) fn filled(
    cx: &Context<'_, '_>,
    answer: &AnswerHead,
    mut status: CacheStatus,
    collapsed: bool,
    scratch: &mut Scratch,
) -> Step {
    let out = &mut scratch.response;
    out.reset(answer.status);
    for (name, value) in &*answer.fields {
        out.fields.push_named(name, value);
    }
    if let Some(age) = answer.age_secs {
        out.fields.push_number(Name::Age, age);
    }
    out.length = answer.content_length.filter(|_| answer.status != 204);
    decorate::hide_tags(cx, scratch);
    let report = scratch.state.report.as_ref();
    status.fwd_status = report
        .and_then(|report| report.status())
        .filter(|told| *told != answer.status);
    status.stored = answer.stored.is_ok();
    status.detail = answer.stored.err().or(status.detail.filter(|_| !status.stored));
    status.collapsed = collapsed;
    scratch.state.cache = Some(status);
    scratch.state.answered = Some(cx.now);
    decorate::run(cx, scratch);
    Step::Read
}
