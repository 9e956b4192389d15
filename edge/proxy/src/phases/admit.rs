//! `admit`: who may go on: no loops, nobody above a rate, no foreign use of files. CORS preflights end here.

use std::io::Write as _;

use breakwater_edge_guard::Decision;
use bytes::Bytes;

use super::Context;
use crate::compile::{Cors, Rate, RateKeyKind, Site};
use crate::reason::Reason;
use crate::reply::{self, Exit};
use crate::scratch::Scratch;
use crate::wire::{Name, RequestHead};

pub(crate) fn run(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) -> Result<(), Exit> {
    no_loop(cx)?;
    rates(cx, site, scratch)?;
    preflight(cx, site, scratch)?;
    hotlink(cx, site, scratch)
}

/// RFC 8586: a request that names this edge has been here.
fn no_loop(cx: &Context<'_, '_>) -> Result<(), Reason> {
    let own = cx.shared.loop_id.as_bytes();
    let mut names = cx
        .head
        .fields
        .all(Name::CdnLoop)
        .flat_map(|value| value.split(|b| matches!(b, b',' | b';')));
    if names.any(|name| name.trim_ascii().eq_ignore_ascii_case(own)) {
        return Err(Reason::Loop);
    }
    Ok(())
}

fn rates(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) -> Result<(), Exit> {
    let route = scratch
        .state
        .route(site)
        .map(|route| route.rates.as_slice())
        .unwrap_or_default();
    for rate in site.rates.iter().chain(route) {
        let decision = count(cx, rate, scratch);
        let Some(seconds) = decision.retry_after_secs() else {
            continue;
        };
        let body = reply::body_of(rate.status);
        reply::begin(&mut scratch.response, rate.status, cx.now);
        scratch.bytes.clear();
        // Writing to a Vec doesn't fail.
        let _ = write!(scratch.bytes, "{seconds}");
        let fields = &mut scratch.response.fields;
        fields.push_named(b"retry-after", &scratch.bytes);
        fields.push(Name::ContentType, b"text/plain; charset=utf-8");
        fields.push(Name::CacheControl, b"no-store");
        scratch.response.length = Some(body.len() as u64);
        return Err(Exit::Written(Reason::RateLimited, body));
    }
    Ok(())
}

fn count(cx: &Context<'_, '_>, rate: &Rate, scratch: &mut Scratch) -> Decision {
    let by_address = matches!(rate.key, RateKeyKind::Subnet { .. });
    // A proxy's own address stands for all visitors behind it.
    if (by_address && scratch.state.client_is_proxy) || !rate.counts(cx.head.path(), cx.head) {
        return Decision::Allow;
    }
    let client = scratch.state.client.unwrap_or_else(|| cx.conn.peer.ip());
    rate.key.write(client, cx.head, &mut scratch.bytes);
    cx.shared.rates.check(&rate.spec, &scratch.bytes, cx.now.mono_ns)
}

/// The Fetch standard's preflight, answered for the origin.
fn preflight(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) -> Result<(), Exit> {
    let fields = &cx.head.fields;
    let (Some(cors), b"OPTIONS", Some(origin), true) = (
        &site.cors,
        cx.head.method,
        fields.get(Name::Origin),
        fields.has(Name::AccessControlRequestMethod),
    ) else {
        return Ok(());
    };
    reply::begin(&mut scratch.response, 204, cx.now);
    if cors.allow(origin).is_some() {
        allow(cors, cx.head, scratch);
    }
    let out = &mut scratch.response.fields;
    out.push(
        Name::Vary,
        b"Access-Control-Request-Method, Access-Control-Request-Headers",
    );
    // The rest of the CORS fields are the same for every answer: `decorate` adds them.
    Err(Exit::Written(Reason::Preflight, Bytes::new()))
}

fn allow(cors: &Cors, head: &RequestHead<'_>, scratch: &mut Scratch) {
    let out = &mut scratch.response.fields;
    if !cors.methods.is_empty() {
        out.push(Name::AccessControlAllowMethods, &cors.methods);
    }
    out.push(Name::AccessControlMaxAge, &cors.max_age);
    let asked = head
        .fields
        .get(Name::AccessControlRequestHeaders)
        .unwrap_or_default();
    if !cors.headers.is_empty() {
        out.push(Name::AccessControlAllowHeaders, &cors.headers);
    } else if !asked.is_empty() {
        out.push(Name::AccessControlAllowHeaders, asked);
    }
}

fn hotlink(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) -> Result<(), Exit> {
    let Some(hotlink) = &site.hotlink else {
        return Ok(());
    };
    if !hotlink.refuses(cx.head.path(), cx.head.fields.get(Name::Referer)) {
        return Ok(());
    }
    let Some(to) = &hotlink.redirect else {
        return Err(Reason::Hotlink.into());
    };
    reply::begin(&mut scratch.response, 302, cx.now);
    let fields = &mut scratch.response.fields;
    fields.push(Name::Location, to);
    fields.push(Name::CacheControl, b"no-store");
    fields.push(Name::Vary, b"Referer");
    scratch.response.length = Some(0);
    Err(Exit::Written(Reason::Hotlink, Bytes::new()))
}
