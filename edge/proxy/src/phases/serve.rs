//! Answers from the cache, and those that a fill is bringing.

use breakwater_edge_cache::{
    AnswerHead, CacheStatus, Condition, Hit, NOT_MODIFIED_FIELDS, StoredBody, evaluate,
};

use super::{Context, decorate};
use crate::boundary::Step;
use crate::fill::Fill;
use crate::scratch::Scratch;
use crate::wire::Name;

/// Serves a stored answer: whole, its head, or as 304.
pub(crate) fn hit(
    cx: &Context<'_, '_>,
    hit: Hit,
    mut status: CacheStatus,
    fill: Option<Box<Fill>>,
    scratch: &mut Scratch,
) -> Step {
    let out = &mut scratch.response;
    let not_modified = evaluate(&hit, &cx.head.fields) == Condition::NotModified;
    if not_modified {
        out.reset(304);
        let etag = hit.etag().is_some();
        for (name, value) in hit.fields() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if NOT_MODIFIED_FIELDS.iter().any(|known| is(known)) || (!etag && is("last-modified")) {
                out.fields.push_named(name, value);
            }
        }
    } else {
        out.reset(hit.status());
        for (name, value) in hit.fields() {
            out.fields.push_named(name, value);
        }
        out.length = (hit.status() != 204).then(|| hit.body_len());
    }
    out.fields.push_number(Name::Age, hit.age_secs());
    status.ttl_secs = Some(hit.ttl_secs());
    scratch.state.cache = Some(status);
    scratch.state.answered = Some(cx.now);
    decorate::run(cx, scratch);
    let body = if not_modified || cx.head.method == b"HEAD" {
        StoredBody::none(hit)
    } else {
        StoredBody::whole(hit)
    };
    Step::Serve { body, fill }
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
