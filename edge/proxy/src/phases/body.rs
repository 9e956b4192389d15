//! Requests that are told apart by their bodies: a policy calls their answers cacheable.

use breakwater_edge_cache::{CacheStatus, Fwd, Held, KeyBuilder, MethodClass, Reason as CacheReason, Served};
use breakwater_edge_config::BodyMethods;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::lookup::{self, Target};
use super::{Context, fetch, graphql};
use crate::boundary::{BodyRead, Step};
use crate::compile::Action;
use crate::reason::Reason;
use crate::reply::Exit;
use crate::scratch::Scratch;
use crate::wire::{BodyHint, Name, RequestHead};

/// Fields that say what a body means. They are in its key, and reach the origin with it.
const DESCRIBE: [&str; 3] = ["content-type", "content-encoding", "content-language"];

/// True for a field that says what a body means.
pub(crate) fn describes(name: &[u8]) -> bool {
    DESCRIBE
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The body of a request, whole.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// Charged to the cache's memory until the last clone is gone.
    pub(crate) bytes: Bytes,
    digest: [u8; 32],
    class: MethodClass,
}

impl RequestBody {
    pub(crate) fn class(&self) -> MethodClass {
        self.class
    }

    /// Writes what of a request with this body is in its key.
    pub(crate) fn write(&self, head: &RequestHead<'_>, builder: &mut KeyBuilder) {
        for name in DESCRIBE {
            // An origin may take the last of several: all of them count.
            for value in head.fields.named(name.as_bytes()) {
                builder.keyed(name.as_bytes(), Some(value));
            }
        }
        builder.keyed(b"body", Some(&self.digest));
    }
}

/// Bytes with the memory that they were charged.
struct Charged {
    bytes: Bytes,
    _held: Option<Held>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the policy says of a request's method; `None`: its answers aren't cached by their bodies.
pub(crate) fn class(head: &RequestHead<'_>, methods: Option<&BodyMethods>) -> Option<MethodClass> {
    let class = match head.method {
        b"POST" => MethodClass::Post,
        b"QUERY" => MethodClass::Query,
        _ => return None,
    };
    let cached = |name: &String| name.as_bytes() == head.method;
    methods?.methods.iter().any(cached).then_some(class)
}

/// Asks for the body, or passes a request whose body is too large from the start.
pub(crate) fn need(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    methods: &BodyMethods,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    let most = methods.max_body_bytes;
    let expected = match cx.head.body {
        BodyHint::None | BodyHint::Length(0) => return whole(cx, target, methods, Bytes::new(), scratch),
        BodyHint::Length(length) if length > most => return too_large(cx, target, scratch),
        BodyHint::Length(length) => length,
        BodyHint::Streamed => most,
    };
    let held = usize::try_from(expected)
        .ok()
        .and_then(|bytes| cx.shared.cache.hold(bytes));
    if held.is_none() {
        return too_large(cx, target, scratch);
    }
    scratch.state.held = held;
    Ok(Step::Body { max_bytes: most })
}

/// Goes on when the body was read.
pub(crate) fn read(cx: &Context<'_, '_>, body: BodyRead, scratch: &mut Scratch) -> Result<Step, Exit> {
    let site = cx.site(scratch).ok_or(Reason::OriginUnavailable)?;
    let route = scratch.state.route(site).ok_or(Reason::OriginUnavailable)?;
    let (Action::Forward(origin), Some(methods)) = (&route.action, &route.cache.0.policy.body_methods) else {
        return Err(Reason::OriginUnavailable.into());
    };
    let target = Target {
        site,
        route,
        origin: *origin,
    };
    match body {
        BodyRead::Whole(bytes) => whole(cx, target, methods, bytes, scratch),
        BodyRead::TooLarge => {
            scratch.state.held = None;
            too_large(cx, target, scratch)
        }
        BodyRead::Failed(kind) => Err(kind.reason().into()),
    }
}

fn whole(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    methods: &BodyMethods,
    bytes: Bytes,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    let Some(class) = class(cx.head, Some(methods)) else {
        return Err(Reason::OriginUnavailable.into());
    };
    let is_query = !methods.graphql || asks_graphql(cx.head, &bytes);
    let charged = Charged {
        _held: scratch.state.held.take(),
        bytes,
    };
    let bytes = Bytes::from_owner(charged);
    let digest = Sha256::digest(&bytes).into();
    scratch.state.body = Some(RequestBody { bytes, digest, class });
    if is_query {
        scratch.state.is_query = true;
        return lookup::find(cx, target, scratch);
    }
    pass(cx, target, Fwd::Method, CacheReason::NotAQuery, scratch)
}

/// A GraphQL request in JSON, by POST: nothing in its URL stands in for what the body says, nothing hides the body.
fn asks_graphql(head: &RequestHead<'_>, body: &[u8]) -> bool {
    let query = head.query_with_mark().get(1..).unwrap_or_default();
    let plain = head
        .fields
        .named(b"content-encoding")
        .all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    plain && is_json(head) && graphql::in_url(query) == graphql::InUrl::Nothing && graphql::is_query(body)
}

/// `application/json`, in UTF-8 as JSON is (RFC 8259 §8.1).
fn is_json(head: &RequestHead<'_>) -> bool {
    let fields = &head.fields;
    let Some(told) = fields
        .get(Name::ContentType)
        .filter(|_| !fields.is_repeated(Name::ContentType))
    else {
        return false;
    };
    let mut parts = told.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().unwrap_or_default();
    media.eq_ignore_ascii_case(b"application/json")
        && parts.all(|parameter| {
            [&b"charset=utf-8"[..], b"charset=\"utf-8\"", b""]
                .iter()
                .any(|known| parameter.eq_ignore_ascii_case(known))
        })
}

fn too_large(cx: &Context<'_, '_>, target: Target<'_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    pass(cx, target, Fwd::Bypass, CacheReason::BodyTooLarge, scratch)
}

fn pass(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    fwd: Fwd,
    reason: CacheReason,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    scratch.state.cache = Some(CacheStatus {
        detail: Some(reason),
        ..CacheStatus::new(Served::Forwarded(fwd))
    });
    fetch::pass(cx, target, false, scratch)
}
