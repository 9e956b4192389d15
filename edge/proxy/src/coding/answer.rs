//! What becomes of an origin's answer where the policy compresses: RFC 9110 §7.7 says what a proxy may not change,
//! §8.8.3 what becomes of its entity tag.

use breakwater_edge_cache::{ETag, FieldsView, Held, Transformed, list_members};

use super::media::is_compressible;
use super::{Coding, CodingRules, Encoder};
use crate::wire::{BodyHint, FieldBuf, Fields, Name, OriginHead};

/// An answer as it is stored and sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// In place of the origin's.
    pub(crate) fields: FieldBuf,
    /// What the body goes through.
    pub(crate) encoder: Option<Encoder>,
    pub(crate) transformed: Transformed,
}

impl Prepared {
    /// What an answer becomes for a class of visitors. Where there is no memory for an encoder, or none can be had,
    /// they get the body as it is.
    pub(crate) fn of(
        answer: &OriginHead<'_>,
        rules: &CodingRules,
        class: Option<Coding>,
        take_memory: impl FnOnce(usize) -> Option<Held>,
    ) -> Self {
        let mut prepared = Self {
            fields: copied(&answer.fields),
            encoder: None,
            transformed: Transformed::No,
        };
        let worth_it = is_worth_it(answer, rules);
        if worth_it || answer.fields.has(Name::ContentEncoding) {
            vary(&mut prepared.fields);
        }
        let class = class.filter(|_| worth_it && answer.status != 206);
        let encoder = class.and_then(|coding| {
            let held = take_memory(Encoder::memory_bytes(coding))?;
            Encoder::new(coding, Some(held)).ok()
        });
        if let (Some(coding), Some(encoder)) = (class, encoder) {
            prepared.encoder = Some(encoder);
            prepared.code(coding);
        }
        prepared
    }

    fn code(&mut self, coding: Coding) {
        let fields = &mut self.fields;
        self.transformed = if weaken(fields) {
            Transformed::BodyAndTag
        } else {
            Transformed::Body
        };
        fields.remove(Name::ContentLength);
        fields.remove(Name::ContentEncoding);
        fields.push(Name::ContentEncoding, coding.as_str().as_bytes());
    }
}

/// Says on an answer that passes to one visitor that others may be sent something else.
pub(crate) fn vary_passed(
    answer: &OriginHead<'_>,
    rules: &CodingRules,
    is_head: bool,
    fields: &mut FieldBuf,
) {
    // The answer to a HEAD is that to a GET, but for the body.
    let worth_it = if is_head {
        let as_get = OriginHead {
            body: BodyHint::Streamed,
            ..answer.clone()
        };
        is_worth_it(&as_get, rules)
    } else {
        is_worth_it(answer, rules)
    };
    if worth_it || answer.fields.has(Name::ContentEncoding) {
        vary(fields);
    }
}

/// The fields of a 304 as if it were about what is stored.
pub(crate) fn confirmed(answer: &Fields<'_>, transformed: Transformed, varies: bool) -> FieldBuf {
    let mut fields = copied(answer);
    if transformed == Transformed::BodyAndTag {
        weaken(&mut fields);
    }
    if varies && fields.has(Name::Vary) {
        vary(&mut fields);
    }
    fields
}

fn copied(fields: &Fields<'_>) -> FieldBuf {
    let mut copy = FieldBuf::default();
    for field in fields {
        copy.push_field(field.id, field.name, field.value);
    }
    copy
}

/// Says that the answer depends on `Accept-Encoding`.
fn vary(fields: &mut FieldBuf) {
    if !is_varied(fields) {
        fields.push(Name::Vary, b"Accept-Encoding");
    }
}

/// Whether it says so.
pub(crate) fn is_varied(fields: &dyn FieldsView) -> bool {
    let mut said = false;
    fields.visit(b"vary", &mut |line| {
        list_members(line, |name| {
            said |= name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
        });
    });
    said
}

/// A coded body has other bytes: its tag says no more than that it means the same.
fn weaken(fields: &mut FieldBuf) -> bool {
    let Some(strong) = fields.get(Name::Etag).map(<[u8]>::to_vec) else {
        return false;
    };
    if ETag::parse(&strong).is_none_or(|tag| tag.weak) {
        return false;
    }
    fields.remove(Name::Etag);
    fields.push_joined(Name::Etag, &[b"W/", &strong]);
    true
}

/// Whether a body is compressed for those who take it.
fn is_worth_it(answer: &OriginHead<'_>, rules: &CodingRules) -> bool {
    let fields = &answer.fields;
    let long_enough = match answer.body {
        // A part says nothing of the whole's length that matters.
        _ if answer.status == 206 => true,
        BodyHint::None => false,
        BodyHint::Length(length) => length >= rules.min_bytes.max(1),
        BodyHint::Streamed => true,
    };
    let whole = !matches!(answer.status, 204 | 205 | 304)
        && (answer.status == 206 || !fields.has(Name::ContentRange));
    let typed =
        !fields.is_repeated(Name::ContentType) && fields.get(Name::ContentType).is_some_and(is_compressible);
    long_enough && whole && typed && is_plain(fields) && may_be_changed(fields)
}

/// Without a coding of the origin's.
fn is_plain(fields: &Fields<'_>) -> bool {
    let mut plain = true;
    for line in fields.all(Name::ContentEncoding) {
        list_members(line, |coding| plain &= coding.eq_ignore_ascii_case(b"identity"));
    }
    plain
}

/// The origin doesn't forbid it, and hasn't told a digest of these bytes (RFC 9530).
pub(crate) fn may_be_changed(fields: &Fields<'_>) -> bool {
    let mut may = true;
    for line in fields.all(Name::CacheControl) {
        list_members(line, |directive| {
            may &= !directive.eq_ignore_ascii_case(b"no-transform");
        });
    }
    let digests = ["content-digest", "repr-digest", "digest", "content-md5"];
    may && !digests
        .iter()
        .any(|name| fields.named(name.as_bytes()).next().is_some())
}
