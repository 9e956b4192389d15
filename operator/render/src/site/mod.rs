//! One site: from its object, its policies and what it refers to, to its bundle and its conditions.

mod certificates;
mod headers;
mod hosts;
mod last_good;
pub(crate) mod matches;
mod origins;
mod routes;
mod secrets;
mod service;
mod visitor;

use breakwater_crds as crds;
use breakwater_edge_config::{
    AddressPolicy, ContentHash, Endpoints, HostPattern, PolicyId, SiteBundle, SiteConfig, SiteId,
};
use jiff::Timestamp;

pub(crate) use hosts::served as served_host;
pub(crate) use last_good::{LastGood, without_hosts};
pub(crate) use secrets::Fetched;

use crate::changes::Condition;
use crate::index::NamespaceObjects;
use crate::object::Meta;
use crate::policy::Content;
use crate::problem::{Problem, reason};
use crate::settings::Settings;

/// Everything that a site is rendered from.
pub(crate) struct SiteInput<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) meta: &'a Meta,
    pub(crate) spec: &'a crds::EdgeSiteSpec,
    /// Those of its hosts that it may serve, and why not the others.
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) host_problems: Vec<Problem>,
    /// By name, in the site's namespace.
    pub(crate) secret: &'a dyn Fn(&str) -> Fetched<'a>,
    pub(crate) objects: Option<&'a NamespaceObjects>,
    pub(crate) addresses: &'a AddressPolicy,
    /// Its own policies that have an effect, sorted by section and id.
    pub(crate) policies: Vec<Attached<'a>>,
    /// Platform policies with a selector that select it.
    pub(crate) shared: Vec<PolicyId>,
    /// What is published of it, if its files are at hand.
    pub(crate) last_good: Option<&'a LastGood>,
    pub(crate) now: Timestamp,
}

/// A policy attached to a site, or to one of its routes.
pub(crate) struct Attached<'a> {
    /// The route's name; empty for the site.
    pub(crate) section: &'a str,
    pub(crate) id: PolicyId,
    /// `None`: it is broken; what was published of it stays.
    pub(crate) content: Option<&'a Content>,
}

/// What came of a site.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// `None`: it is refused, and its last good configuration stays.
    pub(crate) bundle: Option<SiteBundle>,
    /// For `Accepted`.
    pub(crate) problems: Vec<Problem>,
    /// For `ResolvedRefs`.
    pub(crate) unresolved: Vec<Problem>,
    /// `CertificateReady`.
    pub(crate) certificate: Option<Condition>,
    /// A Secret that isn't fetched yet: nothing is decided.
    pub(crate) waits: bool,
    /// What is published would be used, if its files were at hand.
    pub(crate) wants_last_good: bool,
    /// When a certificate's state changes by itself.
    pub(crate) next: Option<Timestamp>,
}

pub(crate) fn render(input: &SiteInput<'_>) -> Rendered {
    let mut out = Rendered::default();
    let mut config = config(input, &mut out);
    let material = secrets::gather(input, &mut out);
    attach(&mut config, input, &mut out);
    out.certificate = Some(secrets::condition(input, &material, &mut out.next));
    if !out.problems.is_empty() || input.hosts.is_empty() {
        out.problems.extend(input.host_problems.iter().cloned());
        return out;
    }
    out.problems.extend(input.host_problems.iter().cloned());
    secrets::drop_missing(&mut config, &material);
    out.bundle = Some(material.into_bundle(config));
    out
}

fn config(input: &SiteInput<'_>, out: &mut Rendered) -> SiteConfig {
    // Every field is named, so that a new one can't be forgotten here.
    let crds::EdgeSiteSpec {
        hosts: _,
        regions: _,
        origins,
        routes: _,
        tls,
        request_headers,
        response_headers,
        security_headers,
        cors,
        hotlink,
        client_address,
        debug_headers,
    } = input.spec;
    let problems = &mut out.problems;
    let mut hosts = input.hosts.clone();
    hosts.sort();
    let id = site_id(input.settings, input.meta);
    let context = origins::OriginContext {
        namespace: &input.meta.namespace,
        standalone: input.settings.standalone,
        addresses: input.addresses,
        objects: input.objects,
    };
    let mut compiled_origins = Vec::new();
    for origin in origins {
        let compiled = origins::origin(origin, &context, problems);
        compiled_origins.push(compiled.origin);
        out.unresolved.extend(compiled.unresolved);
    }
    SiteConfig {
        uid: uid(input.meta, &id),
        id,
        hosts,
        certificates: Vec::new(),
        tls: visitor::tls(tls, problems),
        origins: compiled_origins,
        routes: routes::routes(input.spec, problems),
        request_headers: headers::edits(request_headers, "requestHeaders", problems),
        response_headers: headers::edits(response_headers, "responseHeaders", problems),
        security_headers: visitor::security_headers(security_headers),
        cors: cors.as_ref().map(|cors| visitor::cors(cors, problems)),
        hotlink: hotlink
            .as_ref()
            .map(|hotlink| visitor::hotlink(hotlink, problems)),
        client_address: visitor::client_address(client_address.as_ref(), problems),
        rates: Vec::new(),
        cache: None,
        shared: input.shared.clone(),
        // Filled when purges are objects too.
        purges: None,
        debug_headers: *debug_headers,
    }
}

pub(crate) fn site_id(settings: &Settings, meta: &Meta) -> SiteId {
    SiteId {
        home: settings.home.clone(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
    }
}

/// Files have no UID; the name stands for it there.
fn uid(meta: &Meta, id: &SiteId) -> String {
    if meta.uid.is_empty() {
        format!("file-{}", ContentHash::of(id.to_string().as_bytes()).short())
    } else {
        meta.uid.clone()
    }
}

/// Brings the policies to the site and its routes. A broken one stays as it was published.
fn attach(config: &mut SiteConfig, input: &SiteInput<'_>, out: &mut Rendered) {
    for attached in &input.policies {
        let content = if let Some(content) = attached.content {
            Some(content.clone())
        } else if let Some(other) = in_its_place(attached, &input.policies) {
            out.unresolved.push(Problem::new(
                reason::POLICY_NOT_ACCEPTED,
                format!(
                    "{}: it is refused, see its status; {other} is in effect in its place",
                    attached.id
                ),
            ));
            None
        } else {
            let published = input
                .last_good
                .and_then(|last| last.policy(attached.section, &attached.id));
            let then = if published.is_some() {
                "; what it said before stays"
            } else {
                ""
            };
            out.unresolved.push(Problem::new(
                reason::POLICY_NOT_ACCEPTED,
                format!("{}: it is refused, see its status{then}", attached.id),
            ));
            out.wants_last_good = true;
            published
        };
        let Some(content) = content else { continue };
        if attached.section.is_empty() {
            put(&content, &mut config.rates, &mut config.cache);
        }
        let routes = config
            .routes
            .iter_mut()
            .filter(|route| route.name == attached.section);
        for route in routes {
            put(&content, &mut route.rates, &mut route.cache);
        }
    }
}

/// A target has one `CachePolicy`: the next one in order takes the place of one that is refused.
fn in_its_place<'a>(refused: &Attached<'_>, all: &'a [Attached<'_>]) -> Option<&'a PolicyId> {
    let is_cache = refused.id.0.starts_with("CachePolicy/");
    let mut others = all.iter().filter(|other| other.section == refused.section);
    others
        .find(|other| is_cache && matches!(other.content, Some(Content::Cache(_))))
        .map(|other| &other.id)
}

fn put(
    content: &Content,
    rates: &mut Vec<breakwater_edge_config::RateRule>,
    cache: &mut Option<breakwater_edge_config::CachePolicy>,
) {
    match content {
        Content::Rate(rule) => rates.push(rule.as_ref().clone()),
        Content::Cache(policy) => *cache = Some(policy.as_ref().clone()),
    }
}

/// Name of a Secret's files in a bundle: the Secret's own, where it fits a key of a Secret.
pub(crate) fn file_name(secret: &str) -> String {
    if secret.len() <= 200 {
        secret.to_owned()
    } else {
        format!(
            "{}-{}",
            secret.get(..180).unwrap_or_default(),
            ContentHash::of(secret.as_bytes()).short()
        )
    }
}

/// A site as one region serves it.
pub(crate) fn for_region(
    bundle: &SiteBundle,
    spec: &crds::EdgeSiteSpec,
    https_port: u16,
    sameness: bool,
) -> SiteBundle {
    let mut bundle = bundle.clone();
    if let Some(redirect) = &mut bundle.config.tls.redirect {
        redirect.port = https_port;
    }
    if !sameness {
        for (origin, written) in bundle.config.origins.iter_mut().zip(&spec.origins) {
            if written.service.is_some() {
                origin.endpoints = Endpoints::Unavailable {
                    reason: reason::SERVICE_NOT_IN_REGION.to_owned(),
                };
            }
        }
    }
    bundle
}
