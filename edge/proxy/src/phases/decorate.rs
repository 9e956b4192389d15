//! `decorate`: the site's own fields, joined to every answer when it is sent and taken from the current
//! configuration, so that a change changes stored answers at once and no visitor gets what was made for
//! another.

use super::Context;
use crate::compile::{Cors, Edit, Site};
use crate::scratch::Scratch;
use crate::wire::{FieldBuf, Name};

/// Name of this cache in `Cache-Status`.
pub(crate) const CACHE_NAME: &str = "breakwater";

/// Adds what belongs to the site to `scratch.response`.
pub(crate) fn run(cx: &Context<'_, '_>, scratch: &mut Scratch) {
    if let Some(status) = &scratch.state.cache {
        scratch.bytes.clear();
        status.write(CACHE_NAME, &mut scratch.bytes);
        scratch.response.fields.push(Name::CacheStatus, &scratch.bytes);
    }
    let Some(site) = cx.site(scratch) else { return };
    let out = &mut scratch.response.fields;
    if let Some(cors) = &site.cors {
        cross_origin(cors, cx.head.fields.get(Name::Origin), out);
    }
    for Edit { id, name, value } in &site.security {
        match id {
            Name::Other => out.remove_named(name),
            id => out.remove(*id),
        }
        out.push_field(*id, name, value);
    }
    transport_security(cx, site, out);
    site.response_headers.apply(out);
    if let Some(route) = scratch.state.route(site) {
        route.response_headers.apply(out);
    }
    if let Some(reason) = scratch.state.reason.filter(|_| site.debug) {
        out.push_named(b"breakwater-reason", reason.as_str().as_bytes());
    }
}

/// Leaves out the origin's fields that carry tags, where the policy doesn't show them.
pub(super) fn hide_tags(cx: &Context<'_, '_>, scratch: &mut Scratch) {
    let Some(route) = cx.site(scratch).and_then(|site| scratch.state.route(site)) else {
        return;
    };
    for name in route.cache.0.store.tags.hidden() {
        scratch.response.fields.remove_named(name);
    }
}

/// The Fetch standard's fields, never the origin's: what an origin said to one visitor may come from the
/// cache and be given to another.
fn cross_origin(cors: &Cors, origin: Option<&[u8]>, out: &mut FieldBuf) {
    out.remove(Name::AccessControlAllowOrigin);
    out.remove(Name::AccessControlAllowCredentials);
    out.remove(Name::AccessControlExposeHeaders);
    out.push(Name::Vary, b"Origin");
    let Some(allowed) = origin.and_then(|origin| cors.allow(origin)) else {
        return;
    };
    out.push(Name::AccessControlAllowOrigin, allowed);
    if cors.credentials {
        out.push(Name::AccessControlAllowCredentials, b"true");
    }
    if !cors.expose.is_empty() {
        out.push(Name::AccessControlExposeHeaders, &cors.expose);
    }
}

/// RFC 6797 §7.2: over TLS only.
fn transport_security(cx: &Context<'_, '_>, site: &Site, out: &mut FieldBuf) {
    let over_tls = cx.conn.tls.is_some();
    if site.hsts.is_some() || !over_tls {
        out.remove(Name::StrictTransportSecurity);
    }
    if let Some(hsts) = site.hsts.as_deref().filter(|_| over_tls) {
        out.push(Name::StrictTransportSecurity, hsts);
    }
}
