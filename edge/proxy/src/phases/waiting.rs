//! What comes of waiting for a fill.

use breakwater_edge_cache::{BeginMode, CacheStatus, Fwd, HeadEvent, Reason as CacheReason, Served};

use super::lookup::{self, Target, begin, is_taken};
use super::{Context, fetch, serve};
use crate::boundary::Step;
use crate::compile::Action;
use crate::fill::noted;
use crate::reason::Reason;
use crate::reply::Exit;
use crate::scratch::Scratch;

/// How often a request begins anew when the fill that it waited for was dropped.
const MAX_BEGINS: u8 = 3;

/// What came of waiting for a fill.
pub(crate) fn waited(
    cx: &Context<'_, '_>,
    event: HeadEvent,
    collapsed: bool,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    let status = scratch
        .state
        .cache
        .unwrap_or(CacheStatus::new(Served::Forwarded(Fwd::Miss)));
    let fields = match &event {
        HeadEvent::Head(answer) => Some(&*answer.fields),
        HeadEvent::Validated(hit) | HeadEvent::Stale(hit, _) => Some(hit.fields()),
        _ => None,
    };
    let route = cx.site(scratch).and_then(|site| scratch.state.route(site));
    if let Some((fields, route)) = fields.zip(route).filter(|_| collapsed)
        && !is_taken(cx, route, fields)
    {
        return again(cx, BeginMode::Alone, Some(CacheReason::OtherVariant), scratch);
    }
    match event {
        HeadEvent::Head(answer) => {
            if fetch::is_failure(answer.status)
                && let Some(step) = fetch::stand_in(cx, scratch)
            {
                return Ok(step);
            }
            // Nothing but what is sent now stays pinned.
            scratch.state.stand_in = None;
            Ok(serve::filled(cx, &answer, status, collapsed, scratch))
        }
        HeadEvent::Validated(hit) => {
            let status = CacheStatus {
                fwd_status: Some(304),
                collapsed,
                detail: None,
                ..status
            };
            Ok(serve::hit(cx, hit, status, None, scratch))
        }
        HeadEvent::Stale(hit, reason) => {
            let status = CacheStatus {
                detail: Some(reason),
                collapsed,
                ..status
            };
            Ok(serve::hit(cx, hit, status, None, scratch))
        }
        // What comes now is the same for all who waited.
        HeadEvent::Leave(reason @ CacheReason::Purged) if scratch.state.begins < MAX_BEGINS => {
            again(cx, BeginMode::Shared, Some(reason), scratch)
        }
        HeadEvent::Leave(reason) => again(cx, BeginMode::Alone, Some(reason), scratch),
        HeadEvent::Abort(CacheReason::Dropped, _) if scratch.state.begins < MAX_BEGINS => {
            again(cx, BeginMode::Shared, None, scratch)
        }
        HeadEvent::Abort(reason, note) => {
            scratch.state.cache = Some(CacheStatus {
                detail: Some(reason),
                ..status
            });
            if reason == CacheReason::OriginFailed
                && let Some(step) = fetch::stand_in(cx, scratch)
            {
                return Ok(step);
            }
            Err(noted(note).unwrap_or(Reason::FillAborted).into())
        }
    }
}

/// What the disk had is in memory.
pub(crate) fn loaded(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    lookup::find(cx, target(cx, scratch)?, scratch)
}

/// The wait for another's fill took too long: ask alone.
pub(crate) fn timed_out(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    again(cx, BeginMode::Alone, None, scratch)
}

fn again(
    cx: &Context<'_, '_>,
    mode: BeginMode,
    detail: Option<CacheReason>,
    scratch: &mut Scratch,
) -> Result<Step, Exit> {
    if let Some(status) = &mut scratch.state.cache {
        status.collapsed = false;
        status.detail = detail.or(status.detail);
    }
    Ok(begin(cx, target(cx, scratch)?, None, mode, scratch))
}

/// Where the request had got to.
fn target<'r>(cx: &Context<'r, '_>, scratch: &Scratch) -> Result<Target<'r>, Exit> {
    let site = cx.site(scratch).ok_or(Reason::FillAborted)?;
    let route = scratch.state.route(site).ok_or(Reason::FillAborted)?;
    let Action::Forward(origin) = route.action else {
        return Err(Reason::FillAborted.into());
    };
    Ok(Target { site, route, origin })
}
