use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Duration, HeaderEdits, PathMatch, RequestMatch, SecretRef};

mod origin;
mod visitor;

pub use origin::*;
pub use visitor::*;

/// A site: its hosts, where its answers come from, and how requests are treated on the way.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "edge.breakwater.dev",
    version = "v1alpha1",
    kind = "EdgeSite",
    plural = "edgesites",
    shortname = "es",
    category = "breakwater",
    namespaced,
    status = "EdgeSiteStatus",
    printcolumn(name = "Hosts", type_ = "string", json_path = r#".spec.hosts"#),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("self.hosts.all(h, self.hosts.exists_one(x, x == h))", "hosts: each host may be listed once"),
        ("!has(self.origins) || self.origins.all(o, self.origins.exists_one(x, x.name == o.name))", "origins: each name may be used once"),
        ("!has(self.routes) || self.routes.all(r, self.routes.exists_one(x, x.name == r.name))", "routes: each name may be used once"),
        ("!has(self.routes) || self.routes.all(r, !has(r.origin) || (has(self.origins) && self.origins.exists(o, o.name == r.origin)))", "routes: origin must be the name of one of spec.origins"),
        ("(has(self.origins) && size(self.origins) > 0) || (has(self.routes) && size(self.routes) > 0)", "a site needs an origin, or routes that redirect or respond"),
        ("(has(self.origins) && size(self.origins) > 0) || !has(self.routes) || self.routes.all(r, has(r.redirect) || has(r.respond))", "a route that neither redirects nor responds needs an origin: add one to spec.origins"),
    ])))]
pub struct EdgeSiteSpec {
    /// Hosts that it serves: `shop.example.com`, or `*.example.com` for every name one level below.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
    /// `EdgeRegion`s that serve it; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub regions: Vec<String>,
    /// Where the answers come from. The first is the one that requests go to when no route says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub origins: Vec<Origin>,
    /// What happens with which requests. The most specific match wins, whatever the order: exact path, longest
    /// prefix, method, number of headers, then the order here. Requests that match none go to the first origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub routes: Vec<Route>,
    /// TLS towards visitors.
    #[serde(default)]
    pub tls: Tls,
    /// Changes of every request's fields on the way to the origin, before the route's.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Changes of every answer's fields on the way to the visitor, before the route's.
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// Fields that browsers heed; each replaces the origin's.
    #[serde(default)]
    pub security_headers: SecurityHeaders,
    /// Cross-origin requests from trusted origins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Protection of files against use on other sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotlink: Option<Hotlink>,
    /// How the visitor's address is found behind other proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<ClientAddress>,
    /// Answers carry `Breakwater-Reason`, which says why the edge answered by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug_headers: bool,
}

/// What happens with the requests that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.origin) ? 1 : 0) + (has(self.redirect) ? 1 : 0) + (has(self.respond) ? 1 : 0) <= 1", "give one of origin, redirect and respond (none of them: the site's first origin)"),
        ("!(has(self.redirect) || has(self.respond)) || !has(self.rewrite)", "rewrite belongs to routes that go to an origin"),
        ("!(has(self.redirect) || has(self.respond)) || !has(self.requestHeaders)", "requestHeaders belong to routes that go to an origin"),
        ("!has(self.rewrite) || !has(self.rewrite.path) || !has(self.rewrite.path.replacePrefix) || (has(self.match) && size(self.match) > 0 && self.match.all(m, has(m.path) && (!has(m.path.type) || m.path.type == 'Prefix')))", "rewrite.path.replacePrefix needs a path of type Prefix in every match"),
        ("!has(self.redirect) || !has(self.redirect.path) || !has(self.redirect.path.replacePrefix) || (has(self.match) && size(self.match) > 0 && self.match.all(m, has(m.path) && (!has(m.path.type) || m.path.type == 'Prefix')))", "redirect.path.replacePrefix needs a path of type Prefix in every match"),
    ])))]
pub struct Route {
    /// Unique within the site; policies refer to it by `sectionName`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Requests that it is for: any of these; every request when empty.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub matches: Vec<RequestMatch>,
    /// They go to this origin, by the cache where a policy allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub origin: Option<String>,
    /// They are sent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// They are answered by the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<FixedResponse>,
    /// Changes of the target before the cache and the origin see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Changes of the request's fields, after the site's own.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Changes of the answer's fields, after the site's own.
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// The origin takes encoded `/ ; # ?` and dot segments in a path as opaque, so that such answers may be
    /// stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque_paths: bool,
}

/// A redirect. What isn't given stays as the visitor asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.status) || self.status in [301, 302, 303, 307, 308]", "status must be 301, 302, 303, 307 or 308"),
        ("has(self.scheme) || has(self.host) || has(self.port) || has(self.path)", "a redirect needs a scheme, host, port or path: to the same address it would never end"),
    ])))]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308; 302 when it isn't given.
    #[serde(default = "found")]
    pub status: u16,
    /// Another scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// Another port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// Another path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// Drop the query.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_query: bool,
}

fn found() -> u16 {
    302
}

/// A URL scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheme {
    /// Plain.
    #[serde(rename = "http")]
    Http,
    /// TLS.
    #[serde(rename = "https")]
    Https,
}

/// An answer from the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixedResponse {
    /// 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Media type; `text/plain; charset=utf-8` when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub content_type: Option<String>,
    /// The body.
    #[serde(default)]
    #[schemars(length(max = 16_384))]
    pub body: String,
}

/// Changes of a request's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("has(self.path) || has(self.host)", "rewrite: give path, host or both"),
    ])))]
pub struct Rewrite {
    /// Another path; the query stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// Another Host for the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
}

/// Another path: one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("has(self.full) != has(self.replacePrefix)", "path: give one of full and replacePrefix"),
    ])))]
pub struct PathRewrite {
    /// This one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!-~]*$"))]
    pub full: Option<String>,
    /// The matched prefix becomes this; for routes whose every match has a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!-~]*$"))]
    pub replace_prefix: Option<String>,
}

/// How a site is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeSiteStatus {
    /// The generation that this status is about; -1 before the first look.
    #[serde(default)]
    pub observed_generation: i64,
    /// Hash of what is published: it changes with the site, its policies and its Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub config_hash: Option<String>,
    /// `Accepted`, `ResolvedRefs`, `CertificateReady`, `Programmed`, `Ready`.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl Route {
    /// The prefix paths of all its matches; `None` when one of them has no prefix.
    pub fn prefixes(&self) -> Option<Vec<&PathMatch>> {
        if self.matches.is_empty() {
            return None;
        }
        self.matches
            .iter()
            .map(|m| m.path.as_ref().filter(|p| p.kind == crate::PathMatchType::Prefix))
            .collect()
    }
}

impl EdgeSiteSpec {
    /// Durations and references are checked by the render crate; this only names the Secrets that the site
    /// refers to, each with what it is for.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let origins = self
            .origins
            .iter()
            .filter_map(|origin| origin.tls.as_ref())
            .flat_map(|tls| tls.ca_ref.iter().chain(&tls.client_certificate_ref));
        self.tls.certificate_refs.iter().chain(origins)
    }
}

/// A duration with a default for fields that leave it out.
pub fn millis_or(duration: Option<&Duration>, default_ms: u64) -> Result<u64, crate::DurationError> {
    duration.map_or(Ok(default_ms), Duration::as_millis)
}
