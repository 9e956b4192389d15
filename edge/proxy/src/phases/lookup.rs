//! `lookup`: what the cache has for a request, and who asks the origin where it has nothing.

use std::sync::Arc;

use breakwater_edge_cache::{
    Begin, BeginMode, BeginRequest, CacheStatus, Fields as StoredFields, FillReader, FillWriter, Fwd, Hit,
    Lookup, RangeRequest, Reason as CacheReason, RequestDirectives, RequestFacts, Served, Stale,
};
use breakwater_edge_config::{BodyMethods, Origin};

use super::forwarding::Purpose;
use super::key::KeyOf;
use super::{Context, body, cookies, fetch, forwarding, graphql, key, serve};
use crate::boundary::Step;
use crate::coding::{self, Accepted, Classed};
use crate::compile::{CacheRules, Route, Site};
use crate::fill::{Fill, Report};
use crate::plan::BodyMode;
use crate::reason::Reason;
use crate::reply::Exit;
use crate::scratch::Scratch;
use crate::wire::Name;

/// How long a request waits for the head of a fill that another began.
const MAX_WAIT_MS: u64 = 10_000;

/// How often a request waits for the disk: what it joins may be read for another variant, and the next reading is
/// its own.
const MAX_LOADS: u8 = 2;

/// A request that has come as far as the cache.
#[derive(Clone, Copy)]
pub(crate) struct Target<'r> {
    pub(crate) site: &'r Site,
    pub(crate) route: &'r Route,
    /// Position in the site's origins.
    pub(crate) origin: usize,
}

impl<'r> Target<'r> {
    pub(crate) fn rules(&self) -> &'r Arc<CacheRules> {
        &self.route.cache.0
    }

    pub(crate) fn origin(&self) -> Option<&'r Origin> {
        self.site.config().origins.get(self.origin)
    }
}

pub(crate) fn run(cx: &Context<'_, '_>, target: Target<'_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    if let Err((fwd, detail)) = may_use(cx, target) {
        let cacheable = matches!(cx.head.method, b"GET" | b"HEAD") && detail != Some(CacheReason::Bypass);
        if cacheable && RequestDirectives::of(&cx.head.fields).only_if_cached {
            return Err(Reason::OnlyIfCached.into());
        }
        scratch.state.cache = Some(CacheStatus {
            detail,
            ..CacheStatus::new(Served::Forwarded(fwd))
        });
        return fetch::pass(cx, target, cacheable, scratch);
    }
    match (body::class(cx.head, body_methods(target)), body_methods(target)) {
        (Some(_), Some(methods)) => body::need(cx, target, methods, scratch),
        _ => find(cx, target, scratch),
    }
}

fn body_methods(target: Target<'_>) -> Option<&BodyMethods> {
    target.route.cache.0.policy.body_methods.as_ref()
}

/// Looks for what is stored: all that is in the key is there.
pub(crate) fn find(cx: &Context<'_, '_>, target: Target<'_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    key::write(cx, target.site, target.route, KeyOf::Request, scratch);
    if let Some(rules) = &target.rules().coding {
        match coding::choose(&cx.head.fields, rules) {
            Accepted::Class(class) => scratch.state.coding = class,
            Accepted::Nothing => return untaken(cx, target, scratch),
        }
    }
    let cache = &cx.shared.cache;
    let key = cache.key(&scratch.key);
    let site = target.site.cache_site(cache);
    let classed = Classed::new(&cx.head.fields, target.rules(), scratch.state.coding);
    let request = classed.view();
    let found = cache.lookup(&mut cx.near.borrow_mut(), site, key, request, cx.now);
    if matches!(found, Lookup::Miss(_) | Lookup::OnlyIfCachedMiss)
        && scratch.state.loads < MAX_LOADS
        && let Some(load) = cache.load(site, key, request, cx.now)
    {
        scratch.state.loads += 1;
        return Ok(Step::Load(load));
    }
    if let Lookup::Fresh(hit) | Lookup::Stale(Stale { hit, .. }) | Lookup::Partial { hit, .. } = &found
        && !is_taken(cx, target.route, hit.fields())
    {
        return untaken(cx, target, scratch);
    }
    match found {
        Lookup::Fresh(hit) => Ok(serve::hit(cx, hit, CacheStatus::new(Served::Hit), None, scratch)),
        Lookup::Stale(stale) => Ok(self::stale(cx, target, stale, scratch)?),
        Lookup::Partial { hit, fresh: true } if serve::is_held(cx, &hit) => {
            Ok(serve::hit(cx, hit, CacheStatus::new(Served::Hit), None, scratch))
        }
        Lookup::Partial { .. } if RequestDirectives::of(&cx.head.fields).only_if_cached => {
            Err(Reason::OnlyIfCached.into())
        }
        Lookup::Partial { .. } => miss(cx, target, Fwd::Partial, None, scratch),
        Lookup::Miss(fwd) => miss(cx, target, fwd, None, scratch),
        Lookup::HitForMiss => miss(cx, target, Fwd::Miss, Some(CacheReason::HitForMiss), scratch),
        // Neither a hit nor forwarded: nothing for `Cache-Status` to say (RFC 9211 §2).
        Lookup::OnlyIfCachedMiss => Err(Reason::OnlyIfCached.into()),
    }
}

/// What is stored, or could be made, has no coding that this visitor takes: the origin may know better.
fn untaken(cx: &Context<'_, '_>, target: Target<'_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    if RequestDirectives::of(&cx.head.fields).only_if_cached {
        return Err(Reason::OnlyIfCached.into());
    }
    scratch.state.cache = Some(CacheStatus {
        detail: Some(CacheReason::OtherVariant),
        ..CacheStatus::new(Served::Forwarded(Fwd::VaryMiss))
    });
    fetch::pass(cx, target, true, scratch)
}

/// Whether the visitor takes the coding of an answer that wasn't made for it alone: origins send others than they
/// were asked for.
pub(super) fn is_taken(cx: &Context<'_, '_>, route: &Route, answer: &StoredFields) -> bool {
    route.cache.0.coding.is_none()
        || answer
            .get(b"content-encoding")
            .is_none_or(|coding| coding::accepts(&cx.head.fields, coding))
}

/// Whether the cache may look at this request at all; else what to say of it.
fn may_use(cx: &Context<'_, '_>, target: Target<'_>) -> Result<(), (Fwd, Option<CacheReason>)> {
    let (head, rules) = (cx.head, target.rules());
    let bypassed = || {
        rules
            .bypass
            .iter()
            .any(|matcher| matcher.matches(head.path(), head))
    };
    if !rules.policy.enabled || bypassed() {
        return Err((Fwd::Bypass, Some(CacheReason::Bypass)));
    }
    let by_body = body::class(head, body_methods(target)).is_some();
    if !by_body && !matches!(head.method, b"GET" | b"HEAD") {
        return Err((Fwd::Method, None));
    }
    if !by_body && does_something(cx, target) {
        return Err((Fwd::Bypass, Some(CacheReason::NotAQuery)));
    }
    // A handshake is no request for a representation.
    if target
        .origin()
        .is_some_and(|origin| fetch::upgrade(cx, origin.protocol).is_some())
    {
        return Err((Fwd::Bypass, Some(CacheReason::Bypass)));
    }
    if !target.route.opaque_paths && key::is_ambiguous(head.path()) {
        return Err((Fwd::Bypass, Some(CacheReason::AmbiguousPath)));
    }
    // The origin won't see what Connection nominates, but keys and variants would: an answer made without
    // the field would be stored as if made with it.
    if forwarding::hides_fields(&head.fields) {
        return Err((Fwd::Bypass, Some(CacheReason::Bypass)));
    }
    // Preconditions on the state of the origin are the origin's to evaluate (RFC 9111 §4.3.2).
    if head.fields.has(Name::IfMatch) || head.fields.has(Name::IfUnmodifiedSince) {
        return Err((Fwd::Request, None));
    }
    // So are all of them where the request isn't for a representation of its target (RFC 9110 §13.1.2), and what a
    // range of such an answer is only the origin knows.
    if by_body && (is_conditional(cx) || head.fields.has(Name::Range)) {
        return Err((Fwd::Request, None));
    }
    Ok(())
}

/// True for a GET that carries a GraphQL document other than a query.
fn does_something(cx: &Context<'_, '_>, target: Target<'_>) -> bool {
    let query = cx.head.query_with_mark().get(1..).unwrap_or_default();
    body_methods(target).is_some_and(|methods| methods.graphql)
        && graphql::in_url(query) == graphql::InUrl::Other
}

fn stale(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    stale: Stale,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    let (fwd, reason) = (stale.fwd(), stale.reason);
    if !stale.serve_now {
        let status = CacheStatus {
            detail: Some(reason),
            ..CacheStatus::new(Served::Forwarded(fwd))
        };
        scratch.state.cache = Some(status);
        // Each request stands by its own rules: what whoever leads the fill accepts says nothing of this one.
        scratch.state.stand_in = stale.serve_on_error.then(|| stale.hit.clone());
        return if is_one_range(cx) {
            Ok(begin_part(cx, target, scratch))
        } else if passes_alone(cx) {
            question(cx, target, &stale.hit, scratch);
            fetch::pass(cx, target, true, scratch)
        } else {
            Ok(begin(cx, target, Some(&stale.hit), BeginMode::Shared, scratch))
        };
    }
    // One validates in the background, everybody is served at once. What a request that forbids storing brings
    // would be of no use.
    let mut fill = None;
    if !RequestDirectives::of(&cx.head.fields).no_store {
        let mode = BeginMode::Background;
        match start(cx, target, Some(&stale.hit), mode, Wanted::Whole, scratch) {
            Started::Lead { fill: begun, .. } => fill = begun,
            Started::Join(_) => {}
            Started::Found(hit) => {
                return Ok(serve::hit(cx, hit, CacheStatus::new(Served::Hit), None, scratch));
            }
        }
    }
    let status = CacheStatus {
        detail: Some(reason),
        ..CacheStatus::new(Served::Hit)
    };
    Ok(serve::hit(cx, stale.hit, status, fill, scratch))
}

/// What a HEAD is answered tells something of what is stored (RFC 9111 §4.3.5).
fn question(cx: &Context<'_, '_>, target: Target<'_>, hit: &Hit, scratch: &mut Scratch) {
    // Where variants differ by coding, what this visitor is told may be of another.
    if cx.head.method != b"HEAD" || is_conditional(cx) || target.rules().coding.is_some() {
        return;
    }
    let cache = &cx.shared.cache;
    let begun = cache.begin(&BeginRequest {
        site: target.site.cache_site(cache),
        key: cache.key(&scratch.key),
        fields: &cx.head.fields,
        stale: Some(hit),
        mode: BeginMode::Alone,
        now: cx.now,
    });
    if let Begin::Lead(writer, _nobody_reads) = begun {
        scratch.state.questioned = Some(Box::new(writer));
    }
}

fn miss(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    fwd: Fwd,
    detail: Option<CacheReason>,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    scratch.state.cache = Some(CacheStatus {
        detail,
        ..CacheStatus::new(Served::Forwarded(fwd))
    });
    let alone = cx.head.fields.has(Name::Authorization);
    // Most likely the answer is for this visitor only. The origin may say that the visitor has it already, which
    // it couldn't to a fill.
    let own = alone || detail == Some(CacheReason::HitForMiss);
    if !own && is_one_range(cx) {
        return Ok(begin_part(cx, target, scratch));
    }
    if passes_alone(cx) || (own && is_conditional(cx)) {
        return fetch::pass(cx, target, true, scratch);
    }
    let mode = if alone {
        BeginMode::Alone
    } else {
        BeginMode::Shared
    };
    Ok(begin(cx, target, None, mode, scratch))
}

/// A request for one part, which may be kept. What else it asks for is the origin's to say.
fn is_one_range(cx: &Context<'_, '_>) -> bool {
    cx.head.method == b"GET"
        && cx.head.fields.has(Name::Range)
        && !is_conditional(cx)
        && RangeRequest::of(&cx.head.fields).is_some_and(|range| range.is_single())
}

/// Fetches the part that this visitor asks for. Nobody joins: others ask for other parts.
fn begin_part(cx: &Context<'_, '_>, target: Target<'_>, scratch: &mut Scratch) -> Step {
    let started = start(cx, target, None, BeginMode::Alone, Wanted::Part, scratch);
    waiting(cx, started, scratch)
}

/// What brings no whole representation isn't fetched for the cache.
fn passes_alone(cx: &Context<'_, '_>) -> bool {
    cx.head.method == b"HEAD" || cx.head.fields.has(Name::Range)
}

fn is_conditional(cx: &Context<'_, '_>) -> bool {
    cx.head.fields.has(Name::IfNoneMatch) || cx.head.fields.has(Name::IfModifiedSince)
}

/// Waits for a fill, its own or another's.
pub(super) fn begin(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    stale: Option<&Hit>,
    mode: BeginMode,
    scratch: &mut Scratch,
) -> Step {
    scratch.state.begins += 1;
    let started = start(cx, target, stale, mode, Wanted::Whole, scratch);
    waiting(cx, started, scratch)
}

fn waiting(cx: &Context<'_, '_>, started: Started, scratch: &mut Scratch) -> Step {
    match started {
        Started::Lead { reader, fill } => Step::Wait {
            reader,
            fill,
            timeout_ms: None,
        },
        Started::Join(reader) => Step::Wait {
            reader,
            fill: None,
            timeout_ms: Some(MAX_WAIT_MS),
        },
        Started::Found(hit) => serve::hit(cx, hit, CacheStatus::new(Served::Hit), None, scratch),
    }
}

/// What the origin is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// What the visitor's `Range` says.
    Part,
}

enum Started {
    Lead {
        reader: FillReader,
        fill: Option<Box<Fill>>,
    },
    Join(FillReader),
    Found(Hit),
}

fn start(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    stale: Option<&Hit>,
    mode: BeginMode,
    wanted: Wanted,
    scratch: &mut Scratch,
) -> Started {
    let cache = &cx.shared.cache;
    let classed = Classed::new(&cx.head.fields, target.rules(), scratch.state.coding);
    let begun = cache.begin(&BeginRequest {
        site: target.site.cache_site(cache),
        key: cache.key(&scratch.key),
        fields: classed.view(),
        stale,
        mode,
        now: cx.now,
    });
    match begun {
        Begin::Found(hit) if !is_taken(cx, target.route, hit.fields()) => {
            start(cx, target, None, BeginMode::Alone, wanted, scratch)
        }
        Begin::Lead(writer, reader) => Started::Lead {
            fill: lead(cx, target, writer, wanted, scratch),
            reader,
        },
        Begin::Join(mut reader) => {
            if target.rules().coding.is_some() {
                reader.select_by(coding::FIELD, coding::asked_for(scratch.state.coding));
            }
            Started::Join(reader)
        }
        Begin::Found(hit) => Started::Found(hit),
    }
}

/// The fill that this request leads; none where the origin can't be asked, which its reader learns.
fn lead(
    cx: &Context<'_, '_>,
    target: Target<'_>,
    writer: FillWriter,
    wanted: Wanted,
    scratch: &mut Scratch,
) -> Option<Box<Fill>> {
    let rules = target.rules();
    let report = Arc::new(Report::default());
    scratch.state.report = Some(Arc::clone(&report));
    match fetch::plan(cx, target, Purpose::Store(rules), scratch) {
        Ok(mut plan) => {
            let keyed = cookies::all_keyed(&cx.head.fields, &rules.policy.key);
            let mut facts = RequestFacts::of(&cx.head.fields, true, keyed);
            if let Some(body) = &scratch.state.body {
                plan.body = BodyMode::Whole(body.bytes.clone());
                facts.explicit_only = true;
            } else {
                plan.method = b"GET".to_vec();
            }
            if wanted == Wanted::Part {
                for name in [Name::Range, Name::IfRange] {
                    if let Some(value) = cx.head.fields.get(name) {
                        plan.fields.push(name, value);
                    }
                }
            }
            plan.repeatable = true;
            Some(Box::new(Fill::new(
                plan,
                writer,
                Arc::clone(rules),
                facts,
                scratch.state.coding,
                report,
            )))
        }
        Err(reason) => {
            Fill::never_sent(writer, reason, cx.now);
            None
        }
    }
}
