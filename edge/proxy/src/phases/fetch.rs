//! `fetch`: a request to the origin for this visitor alone, and what becomes of its outcome.

use std::hash::Hasher as _;

use breakwater_edge_cache::{CacheStatus, NotModified, Reason as CacheReason, RequestFacts};
use breakwater_edge_config::{Balancing, Endpoints, HashKey, HostHeader, Origin, OriginProtocol};
use siphasher::sip::SipHasher13;

use super::forwarding::{self, Purpose};
use super::lookup::Target;
use super::parse::is_well_formed;
use super::{Context, cookies, decorate, invalidate, key, prepare, serve};
use crate::boundary::Step;
use crate::coding;
use crate::compile::Route;
use crate::facts::Protocol;
use crate::fill::varies_by_what_we_write;
use crate::plan::{BodyMode, FetchPlan, OriginFailure};
use crate::reason::Reason;
use crate::reply::Exit;
use crate::retry::Retries;
use crate::scratch::Scratch;
use crate::wire::{BodyHint, FieldBuf, Name, OriginHead, RequestHead};

/// Asks the origin for this visitor alone.
pub(crate) fn pass(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    discard_body: bool,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    // What is to be learned of the stored answer is asked for as that was: a field that one visitor sends must not
    // change it for all.
    let purpose = match &scratch.state.questioned {
        Some(writer) => {
            writer.mark_sent();
            Purpose::Store(target.rules())
        }
        None => Purpose::Pass,
    };
    scratch.state.sent = cx.now;
    let mut plan = plan(cx, target, purpose, scratch)?;
    plan.body = match cx.head.body {
        _ if let Some(body) = &scratch.state.body => BodyMode::Whole(body.bytes.clone()),
        body if discard_body && body.may_have_bytes() => BodyMode::Discard,
        BodyHint::None => BodyMode::None,
        BodyHint::Length(length) => BodyMode::Stream { length: Some(length) },
        BodyHint::Streamed => BodyMode::Stream { length: None },
    };
    plan.upgrade = upgrade(cx, plan.protocol);
    scratch.state.upgrade = plan.upgrade.is_some();
    if plan.repeatable {
        let attempts = target.origin().map_or(0, |origin| origin.retries.attempts);
        scratch.state.retries = Retries::new(attempts);
    }
    scratch.state.attempts = 1;
    Ok(Step::Fetch(Box::new(plan)))
}

/// The request to an origin, without a body.
pub(crate) fn plan(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    purpose: Purpose<'_>,
    scratch: &mut Scratch,
) -> Result<FetchPlan, Reason> {
    let shared = scratch.state.site(cx.view).ok_or(Reason::OriginUnavailable)?;
    let Target { site, route, origin } = target;
    let config = target.origin().ok_or(Reason::OriginUnavailable)?;
    if matches!(config.endpoints, Endpoints::Unavailable { .. }) {
        return Err(Reason::OriginUnavailable);
    }
    let mut fields = FieldBuf::default();
    forwarding::write(cx, site, route, config.protocol, purpose, scratch, &mut fields);
    let target = self::target(cx.head, route, purpose, &mut scratch.query);
    Ok(FetchPlan {
        origin,
        protocol: config.protocol,
        tls: config.tls.is_some(),
        method: cx.head.method.to_vec(),
        authority: authority(cx, config, route, scratch),
        fields,
        body: BodyMode::None,
        repeatable: is_idempotent(cx.head.method) || scratch.state.is_query,
        timeouts: config.timeouts,
        hash: hash(cx, config, &target, scratch),
        target,
        upgrade: None,
        grpc: cx
            .head
            .fields
            .get(Name::ContentType)
            .is_some_and(|v| v.starts_with(b"application/grpc")),
        site: shared.clone(),
    })
}

/// Path and query after the route's rewrite. Where the answer may be stored, of the query what is in the key:
/// the rest could change, for everybody, what one visitor had stored.
fn target(head: &RequestHead<'_>, route: &Route, purpose: Purpose<'_>, buffer: &mut Vec<u8>) -> Vec<u8> {
    let mut target = Vec::with_capacity(head.target.len() + 32);
    match &route.path {
        None => target.extend_from_slice(head.path()),
        Some(path) => path.write(head.path(), &mut target),
    }
    match purpose {
        Purpose::Pass => target.extend_from_slice(head.query_with_mark()),
        Purpose::Store(rules) => {
            if let Some(query) = key::query(head, &rules.policy.key, buffer) {
                target.push(b'?');
                target.extend_from_slice(query);
            }
        }
    }
    target
}

fn authority(cx: &Context<'_, '_>, origin: &Origin, route: &Route, scratch: &Scratch) -> Vec<u8> {
    match (&route.host, &origin.host_header) {
        (Some(host), _) => host.to_vec(),
        (None, HostHeader::Fixed(host)) => host.clone().into_bytes(),
        (None, HostHeader::Visitor) => cx.authority(scratch).into_bytes(),
    }
}

/// What consistent hashing hashes. The hasher's keys are fixed, so every edge sends a key to the same place.
fn hash(cx: &Context<'_, '_>, origin: &Origin, target: &[u8], scratch: &Scratch) -> Option<u64> {
    let Balancing::ConsistentHash { key } = &origin.balancing else {
        return None;
    };
    let mut hasher = SipHasher13::new();
    match key {
        HashKey::ClientAddress => {
            hasher.write(scratch.state.client?.to_string().as_bytes());
        }
        HashKey::Path => hasher.write(target),
        HashKey::Header(name) => hasher.write(cx.head.fields.named(name.as_bytes()).next()?),
    }
    Some(hasher.finish())
}

/// A WebSocket handshake (RFC 6455 §4.1). No other protocol passes: an upgrade to `h2c` would let a client
/// speak to the origin around every phase.
pub(crate) fn upgrade(cx: &Context<'_, '_>, origin: OriginProtocol) -> Option<Vec<u8>> {
    let fields = &cx.head.fields;
    let asked = cx.conn.protocol == Protocol::Http1
        && !cx.head.http10
        && origin == OriginProtocol::Http1
        && cx.head.method == b"GET"
        && !cx.head.body.may_have_bytes()
        && fields
            .get(Name::Upgrade)
            .is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && super::parse::nominated(fields).any(|name| name.eq_ignore_ascii_case(b"upgrade"));
    asked.then(|| b"websocket".to_vec())
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"QUERY" | b"PUT" | b"DELETE"
    )
}

/// The head of the origin's answer.
pub(crate) fn answer(
    cx: &Context<'_, '_>,
    answer: &OriginHead<'_>,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    let upgraded = answer.status == 101 && scratch.state.upgrade;
    if !(upgraded || (200..=599).contains(&answer.status)) || !is_well_formed(&answer.fields) {
        return stand_in(cx, scratch).ok_or_else(|| Reason::OriginProtocol.into());
    }
    if is_failure(answer.status)
        && let Some(step) = stand_in(cx, scratch)
    {
        return Ok(step);
    }
    learn(cx, answer, scratch);
    invalidate::run(cx, answer, scratch);
    prepare::passed(cx.head, answer, cx.now, &mut scratch.response);
    let route = cx.site(scratch).and_then(|site| scratch.state.route(site));
    if let Some(rules) = route.and_then(|route| route.cache.0.coding.as_ref())
        && matches!(cx.head.method, b"GET" | b"HEAD")
        && !upgraded
    {
        let is_head = cx.head.method == b"HEAD";
        coding::vary_passed(answer, rules, is_head, &mut scratch.response.fields);
    }
    decorate::hide_tags(cx, scratch);
    scratch.state.answered = Some(cx.now);
    if upgraded {
        return Ok(Step::Upgrade);
    }
    decorate::run(cx, scratch);
    Ok(Step::Stream)
}

/// Tells the cache what the answer to a HEAD says of what is stored.
fn learn(cx: &Context<'_, '_>, answer: &OriginHead<'_>, scratch: &mut Scratch) {
    let Some(writer) = scratch.state.questioned.take().filter(|_| answer.status == 200) else {
        return;
    };
    let Some(route) = cx.site(scratch).and_then(|site| scratch.state.route(site)) else {
        return;
    };
    let rules = &route.cache.0;
    let keyed = cookies::all_keyed(&cx.head.fields, &rules.policy.key);
    let told = NotModified {
        fields: &answer.fields,
        sent: scratch.state.sent,
        received: cx.now,
    };
    let facts = RequestFacts::of(&cx.head.fields, true, keyed);
    if !varies_by_what_we_write(&answer.fields) {
        writer.learn_from_head(&told, facts, &rules.store);
    }
}

/// Statuses that a stale answer may stand in for (RFC 5861 §4).
pub(crate) fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502..=504)
}

/// What is stored, where it may be sent in place of an error of the origin.
pub(crate) fn stand_in(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Option<Step> {
    let hit = scratch.state.stand_in.take().filter(|hit| !hit.is_purged())?;
    let status = CacheStatus {
        detail: Some(CacheReason::OriginFailed),
        ..scratch.state.cache?
    };
    Some(serve::hit(cx, hit, status, None, scratch))
}

/// No head came: once more, what is stored, or an error.
pub(crate) fn failure(
    cx: &Context<'_, '_>,
    failure: OriginFailure,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    if scratch.state.retries.take(failure) {
        scratch.state.attempts += 1;
        scratch.state.sent = cx.now;
        return Ok(Step::Retry);
    }
    stand_in(cx, scratch).ok_or_else(|| failure.kind.reason().into())
}
