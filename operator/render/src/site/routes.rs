//! Routes: each match of a route becomes an entry of its own, in order of precedence.

use breakwater_crds as crds;
use breakwater_edge_config::{
    FixedResponse, HeaderEdits, PathRewrite, Redirect, RequestMatch, Rewrite, Route, RouteAction,
};

use super::matches::{by_precedence, matches_everything, request_match};
use super::{headers, hosts};
use crate::problem::Problem;

/// Name of the route that takes what no other matches. No route of a site can have it.
pub(crate) const DEFAULT_ROUTE: &str = "(default)";

const TEXT: &str = "text/plain; charset=utf-8";

/// Every route, without its policies.
pub(crate) fn routes(spec: &crds::EdgeSiteSpec, problems: &mut Vec<Problem>) -> Vec<Route> {
    let mut compiled = Vec::new();
    for (i, route) in spec.routes.iter().enumerate() {
        compiled.extend(entries(route, i, spec, problems));
    }
    let takes_all = compiled
        .iter()
        .any(|route: &Route| matches_everything(&route.matches));
    if let (Some(origin), false) = (spec.origins.first(), takes_all) {
        compiled.push(Route {
            name: DEFAULT_ROUTE.to_owned(),
            matches: RequestMatch::default(),
            action: RouteAction::Forward {
                origin: origin.name.clone(),
            },
            rewrite: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            cache: None,
            rates: Vec::new(),
            opaque_paths: false,
        });
    }
    by_precedence(&mut compiled, |route| &route.matches);
    compiled
}

/// Entries of one name share their policies' counts.
fn entries(
    route: &crds::Route,
    i: usize,
    spec: &crds::EdgeSiteSpec,
    problems: &mut Vec<Problem>,
) -> Vec<Route> {
    let crds::Route {
        name,
        matches,
        origin: _,
        redirect: _,
        respond: _,
        rewrite,
        request_headers,
        response_headers,
        opaque_paths,
    } = route;
    let place = format!("routes[{i}]");
    let Some(action) = action(route, &place, spec, problems) else {
        return Vec::new();
    };
    let entry = Route {
        name: name.clone(),
        matches: RequestMatch::default(),
        action,
        rewrite: rewrite
            .as_ref()
            .map(|rewrite| self::rewrite(rewrite, &place, problems)),
        request_headers: headers::edits(request_headers, &format!("{place}.requestHeaders"), problems),
        response_headers: headers::edits(response_headers, &format!("{place}.responseHeaders"), problems),
        cache: None,
        rates: Vec::new(),
        opaque_paths: *opaque_paths,
    };
    if matches.is_empty() {
        return vec![entry];
    }
    matches
        .iter()
        .map(|matched| Route {
            matches: request_match(matched),
            ..entry.clone()
        })
        .collect()
}

fn action(
    route: &crds::Route,
    place: &str,
    spec: &crds::EdgeSiteSpec,
    problems: &mut Vec<Problem>,
) -> Option<RouteAction> {
    if let Some(redirect) = &route.redirect {
        return Some(RouteAction::Redirect(self::redirect(redirect, place, problems)));
    }
    if let Some(crds::FixedResponse {
        status,
        content_type,
        body,
    }) = &route.respond
    {
        return Some(RouteAction::Respond(FixedResponse {
            status: *status,
            content_type: content_type.clone().unwrap_or_else(|| TEXT.to_owned()),
            body: body.clone(),
        }));
    }
    let origin = match &route.origin {
        Some(name) => spec.origins.iter().find(|origin| origin.name == *name),
        None => spec.origins.first(),
    };
    if origin.is_none() {
        let message = match &route.origin {
            Some(name) => format!("{place}.origin: there is no origin {name:?} in spec.origins"),
            None => format!("{place}: it needs an origin, and spec.origins is empty"),
        };
        problems.push(Problem::invalid(message));
    }
    origin.map(|origin| RouteAction::Forward {
        origin: origin.name.clone(),
    })
}

fn redirect(redirect: &crds::Redirect, place: &str, problems: &mut Vec<Problem>) -> Redirect {
    let crds::Redirect {
        status,
        scheme,
        host,
        port,
        path,
        strip_query,
    } = redirect;
    if let Some(host) = host {
        hosts::check_target(host, &format!("{place}.redirect.host"), problems);
    }
    Redirect {
        status: *status,
        scheme: scheme.map(|scheme| {
            match scheme {
                crds::Scheme::Http => "http",
                crds::Scheme::Https => "https",
            }
            .to_owned()
        }),
        host: host.clone(),
        port: *port,
        path: path.as_ref().and_then(path_rewrite),
        strip_query: *strip_query,
    }
}

fn rewrite(rewrite: &crds::Rewrite, place: &str, problems: &mut Vec<Problem>) -> Rewrite {
    let crds::Rewrite { path, host } = rewrite;
    if let Some(host) = host {
        hosts::check_target(host, &format!("{place}.rewrite.host"), problems);
    }
    Rewrite {
        path: path.as_ref().and_then(path_rewrite),
        host: host.clone(),
    }
}

fn path_rewrite(path: &crds::PathRewrite) -> Option<PathRewrite> {
    let full = path.full.clone().map(PathRewrite::Full);
    full.or_else(|| path.replace_prefix.clone().map(PathRewrite::ReplacePrefix))
}
