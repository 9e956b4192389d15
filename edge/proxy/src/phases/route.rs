//! `route`: the first route that matches says what happens.

use bytes::Bytes;

use super::Context;
use crate::compile::{Action, RedirectPlan, RespondPlan, Route, Scheme, Site};
use crate::reason::Reason;
use crate::reply::{self, Exit};
use crate::scratch::Scratch;
use crate::wire::{Name, RequestHead};

/// Position of the first route that matches.
pub(crate) fn find(head: &RequestHead<'_>, site: &Site) -> Option<usize> {
    let path = head.path();
    site.routes
        .iter()
        .position(|route| route.matcher.matches(path, head))
}

/// The route with the position of its origin; a redirect or a fixed answer ends the request here.
pub(crate) fn run<'r>(
    cx: &Context<'_, '_>,
    site: &'r Site,
    scratch: &mut Scratch,
) -> Result<(&'r Route, usize), Exit> {
    let route = scratch.state.route(site).ok_or(Reason::NoRoute)?;
    match &route.action {
        Action::Forward(origin) => Ok((route, *origin)),
        Action::Redirect(redirect) => Err(redirected(cx, redirect, scratch)),
        Action::Respond(respond) => Err(responded(cx, respond, scratch)),
    }
}

fn redirected(cx: &Context<'_, '_>, redirect: &RedirectPlan, scratch: &mut Scratch) -> Exit {
    let own = if cx.conn.tls.is_some() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let scheme = redirect.scheme.unwrap_or(own);
    // A port belongs to a scheme and a host: where one of them changes, the old port says nothing.
    let kept = scratch.port.filter(|_| scheme == own && redirect.host.is_none());
    let port = redirect
        .port
        .or(kept)
        .filter(|port| *port != scheme.default_port());
    let mut location = Vec::with_capacity(256);
    location.extend_from_slice(scheme.as_str().as_bytes());
    location.extend_from_slice(b"://");
    location.extend_from_slice(redirect.host.as_deref().unwrap_or(scratch.host.as_bytes()));
    if let Some(port) = port {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    match &redirect.path {
        Some(path) => path.write(cx.head.path(), &mut location),
        None if cx.head.path() == b"*" => location.push(b'/'),
        None => location.extend_from_slice(cx.head.path()),
    }
    if !redirect.strip_query {
        location.extend_from_slice(cx.head.query_with_mark());
    }
    reply::begin(&mut scratch.response, redirect.status, cx.now);
    scratch.response.fields.push(Name::Location, &location);
    scratch.response.length = Some(0);
    Exit::Written(Reason::RouteRedirect, Bytes::new())
}

fn responded(cx: &Context<'_, '_>, respond: &RespondPlan, scratch: &mut Scratch) -> Exit {
    reply::begin(&mut scratch.response, respond.status, cx.now);
    // RFC 9110 §15.3.5, §15.3.6, §15.4.5: these have no content.
    if matches!(respond.status, 204 | 205 | 304) {
        scratch.response.length = (respond.status == 205).then_some(0);
        return Exit::Written(Reason::RouteRespond, Bytes::new());
    }
    scratch
        .response
        .fields
        .push(Name::ContentType, &respond.content_type);
    scratch.response.length = Some(respond.body.len() as u64);
    Exit::Written(Reason::RouteRespond, respond.body.clone())
}
