//! `prepare`: an origin's answer freed from what belonged to its connection.

use breakwater_edge_cache::DateWriter;

use super::forwarding::is_hop_by_hop;
use super::parse::decimal;
use crate::Now;
use crate::wire::{BodyHint, Name, OriginHead, RequestHead, ResponseHead};

/// Writes the head of an answer that passes through to one visitor.
pub(crate) fn passed(request: &RequestHead<'_>, answer: &OriginHead<'_>, now: Now, out: &mut ResponseHead) {
    out.reset(answer.status);
    // RFC 9110 §6.6.1: who forwards an answer without a date adds it.
    if answer.status != 101 && !answer.fields.has(Name::Date) {
        out.fields
            .push(Name::Date, DateWriter::default().write(now.wall_secs()));
    }
    for field in &answer.fields {
        if !is_hop_by_hop(&answer.fields, field) {
            out.fields.push_field(field.id, field.name, field.value);
        }
    }
    out.length = match answer.body {
        _ if request.method == b"HEAD" => told_length(answer),
        _ if matches!(answer.status, 101 | 204 | 304) => None,
        BodyHint::None => Some(0),
        BodyHint::Length(length) => Some(length),
        BodyHint::Streamed => None,
    };
}

/// Of a HEAD's answer; an origin that contradicts itself has told none.
fn told_length(answer: &OriginHead<'_>) -> Option<u64> {
    let mut told = answer.fields.all(Name::ContentLength).map(decimal);
    let first = told.next()??;
    told.all(|other| other == Some(first)).then_some(first)
}
