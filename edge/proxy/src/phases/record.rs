//! `record`: what is told of a request that has ended.

use std::time::Duration;

use crate::Now;
use crate::boundary::End;
use crate::compile::Action;
use crate::facts::ConnFacts;
use crate::record::Record;
use crate::scratch::Scratch;
use crate::wire::{Name, RequestHead};

pub(crate) fn run<'a>(
    conn: &'a ConnFacts,
    head: &'a RequestHead<'_>,
    end: &End,
    now: Now,
    scratch: &'a Scratch,
) -> Record<'a> {
    let state = &scratch.state;
    let site = state.view.as_ref().and_then(|view| state.site(view));
    let route = site.and_then(|site| state.route(site));
    let origin = route.and_then(|route| match route.action {
        Action::Forward(origin) => site?.config().origins.get(origin),
        _ => None,
    });
    let since_start = |then: Now| Duration::from_nanos(then.mono_ns.saturating_sub(state.started.mono_ns));
    let peer = conn.peer.ip().to_canonical();
    Record {
        site: site.map(|site| site.id()),
        route: route.map(|route| &*route.name),
        origin: origin.map(|origin| origin.name.as_str()),
        status: scratch.response.status,
        reason: end.aborted.or(state.reason),
        cache: state.cache,
        origin_attempts: state
            .attempts
            .saturating_add(state.report.as_ref().map_or(0, |report| report.attempts())),
        client: state.client.unwrap_or(peer),
        peer,
        protocol: conn.protocol,
        tls: conn.tls.is_some(),
        method: head.method,
        host: &scratch.host,
        target: head.target,
        user_agent: head.fields.get(Name::UserAgent),
        referer: head.fields.get(Name::Referer),
        body_bytes: end.body_bytes,
        request_body_bytes: end.request_body_bytes,
        duration: since_start(now),
        time_to_answer: state.answered.map(since_start),
        started_wall_ms: state.started.wall_ms,
        generation: state.view.as_ref().map_or(0, |view| view.snapshot().generation()),
    }
}
