//! The Secrets that a site names: key pairs and CAs, and what `CertificateReady` says of them.

use std::collections::BTreeMap;

use breakwater_crds::{SecretRef, condition};
use breakwater_edge_config::bundle::KeyPair;
use breakwater_edge_config::{CertificateRef, Endpoints, HostPattern, SiteBundle, SiteConfig};
use jiff::{SignedDuration, Timestamp};

use super::certificates::{self, Pair};
use super::{Rendered, SiteInput, file_name};
use crate::changes::Condition;
use crate::object::Secret;
use crate::problem::{Problem, join, reason};

/// How long before its end a certificate is told to expire.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A Secret as far as it is known.
#[derive(Clone, Copy)]
pub(crate) enum Fetched<'a> {
    There(&'a Secret),
    Absent,
    /// Not looked for yet.
    Unknown,
}

/// Keys and CAs of a site.
#[derive(Debug, Default)]
pub(crate) struct Material {
    /// Towards visitors, by file name.
    server: BTreeMap<String, Pair>,
    /// From what was published, where the Secret is broken: with the names that it covers.
    kept: BTreeMap<String, (KeyPair, Vec<String>)>,
    /// Towards origins.
    client: BTreeMap<String, KeyPair>,
    cas: BTreeMap<String, Vec<u8>>,
    /// Of the certificates towards visitors.
    problems: Vec<Problem>,
}

pub(super) fn gather(input: &SiteInput<'_>, out: &mut Rendered) -> Material {
    let mut material = Material::default();
    for secret in &input.spec.tls.certificate_refs {
        server(secret, input, out, &mut material);
    }
    for origin in &input.spec.origins {
        let Some(tls) = &origin.tls else { continue };
        let place = format!("origin {}", origin.name);
        if let Some(secret) = &tls.client_certificate_ref {
            let kept = |name: &str| input.last_good.and_then(|last| last.pair(name)).cloned();
            let read = |secret: &Secret| certificates::client_pair(secret).map(|pair| pair.pem);
            let found = towards_origin(secret, &place, input, out, read, kept);
            material.client.extend(found);
        }
        if let Some(secret) = &tls.ca_ref {
            let kept = |name: &str| input.last_good.and_then(|last| last.ca_file(name)).cloned();
            let found = towards_origin(secret, &place, input, out, certificates::ca_file, kept);
            material.cas.extend(found);
        }
    }
    material
}

fn fetch<'a>(
    secret: &SecretRef,
    input: &SiteInput<'a>,
    out: &mut Rendered,
) -> Result<Option<&'a Secret>, Problem> {
    match (input.secret)(&secret.name) {
        Fetched::There(secret) => Ok(Some(secret)),
        Fetched::Unknown => {
            out.waits = true;
            Ok(None)
        }
        Fetched::Absent => Err(Problem::new(
            reason::SECRET_NOT_FOUND,
            format!(
                "there is no Secret {} in namespace {}",
                secret.name, input.meta.namespace
            ),
        )),
    }
}

fn server(secret: &SecretRef, input: &SiteInput<'_>, out: &mut Rendered, material: &mut Material) {
    let name = file_name(&secret.name);
    let fetched = fetch(secret, input, out);
    let absent = fetched.is_err();
    let problem = match fetched.and_then(|secret| secret.map(certificates::server_pair).transpose()) {
        Ok(Some(pair)) => {
            material.server.insert(name, pair);
            return;
        }
        Ok(None) => return,
        Err(problem) => problem,
    };
    out.wants_last_good = true;
    let kept = input
        .last_good
        .and_then(|last| Some((last.pair(&name)?.clone(), last.names(&name)?.clone())));
    let message = match &kept {
        Some(_) => format!(
            "{}; the certificate that was published before stays",
            problem.message
        ),
        None => problem.message.clone(),
    };
    material.kept.extend(kept.map(|kept| (name, kept)));
    if absent {
        out.unresolved.push(problem.clone());
    }
    material.problems.push(Problem::new(problem.reason, message));
}

fn towards_origin<T>(
    secret: &SecretRef,
    place: &str,
    input: &SiteInput<'_>,
    out: &mut Rendered,
    read: impl Fn(&Secret) -> Result<T, Problem>,
    kept: impl Fn(&str) -> Option<T>,
) -> Option<(String, T)> {
    let name = file_name(&secret.name);
    match fetch(secret, input, out).and_then(|secret| secret.map(read).transpose()) {
        Ok(value) => value.map(|value| (name, value)),
        Err(problem) => {
            out.wants_last_good = true;
            let value = kept(&name);
            let then = if value.is_some() {
                "what was published before stays"
            } else {
                "the origin is not used"
            };
            out.unresolved.push(Problem::new(
                problem.reason,
                format!("{place}: {}; {then}", problem.message),
            ));
            value.map(|value| (name, value))
        }
    }
}

/// An origin without the CA or the certificate that it needs is not used at all: never with the public CAs
/// instead, never without saying who asks.
pub(super) fn drop_missing(config: &mut SiteConfig, material: &Material) {
    for origin in &mut config.origins {
        let Some(tls) = &mut origin.tls else { continue };
        let no_ca = tls
            .ca_file
            .as_ref()
            .is_some_and(|name| !material.cas.contains_key(name));
        let no_pair = tls
            .client_key_pair
            .as_ref()
            .is_some_and(|name| !material.client.contains_key(name));
        if no_ca || no_pair {
            tls.ca_file.take_if(|_| no_ca);
            tls.client_key_pair.take_if(|_| no_pair);
            origin.endpoints = Endpoints::Unavailable {
                reason: reason::SECRET_NOT_FOUND.to_owned(),
            };
        }
    }
}

impl Material {
    pub(super) fn into_bundle(self, mut config: SiteConfig) -> SiteBundle {
        let current = certificates::by_preference(&self.server)
            .into_iter()
            .map(|(name, pair)| (name, &pair.names));
        let kept = self.kept.iter().map(|(name, (_, names))| (name, names));
        config.certificates = current
            .chain(kept)
            .map(|(name, names)| CertificateRef {
                names: names.clone(),
                key_pair: name.clone(),
            })
            .collect();
        let mut bundle = SiteBundle::plain(config);
        bundle.key_pairs = self.client;
        bundle
            .key_pairs
            .extend(self.kept.into_iter().map(|(name, (pair, _))| (name, pair)));
        bundle
            .key_pairs
            .extend(self.server.into_iter().map(|(name, pair)| (name, pair.pem)));
        bundle.ca_files = self.cas;
        bundle
    }

    /// Hosts that no certificate covers.
    fn uncovered<'a>(&self, hosts: &'a [HostPattern]) -> Vec<&'a HostPattern> {
        let names: Vec<&String> = self
            .server
            .values()
            .flat_map(|pair| &pair.names)
            .chain(self.kept.values().flat_map(|(_, names)| names))
            .collect();
        hosts
            .iter()
            .filter(|host| {
                let text = host.to_string();
                !names.iter().any(|name| {
                    **name == text
                        || (!host.is_wildcard()
                            && HostPattern::parse(name).is_ok_and(|name| name.covers(&text)))
                })
            })
            .collect()
    }
}

/// `CertificateReady`, and when it may change by itself.
pub(super) fn condition(
    input: &SiteInput<'_>,
    material: &Material,
    next: &mut Option<Timestamp>,
) -> Condition {
    let kind = condition::CERTIFICATE_READY;
    if input.spec.tls.certificate_refs.is_empty() {
        return Condition::good(
            kind,
            reason::NO_CERTIFICATES,
            "tls.certificateRefs is empty: the site is served over plain HTTP only",
        );
    }
    let mut problems = material.problems.clone();
    let mut soon = Vec::new();
    for (name, pair) in &material.server {
        let (not_before, not_after) = (pair.not_before, pair.not_after);
        let warn_at = not_after.saturating_sub(EXPIRES_SOON).unwrap_or(not_after);
        if not_after <= input.now {
            let message = format!("Secret {name}: the certificate expired at {not_after}: renew it");
            problems.push(Problem::new(reason::CERTIFICATE_EXPIRED, message));
        } else if not_before > input.now {
            let message = format!("Secret {name}: the certificate is not valid before {not_before}");
            problems.push(Problem::new(reason::INVALID_CERTIFICATE, message));
        } else if warn_at <= input.now {
            soon.push(format!(
                "Secret {name}: the certificate expires at {not_after}: renew it"
            ));
        }
        let change = [not_before, warn_at, not_after]
            .into_iter()
            .filter(|at| *at > input.now)
            .min();
        *next = next.iter().copied().chain(change).min();
    }
    if problems.is_empty() {
        for host in material.uncovered(&input.hosts) {
            let message = format!("host {host}: no certificate of tls.certificateRefs names it");
            problems.push(Problem::new(reason::HOST_NOT_COVERED, message));
        }
    }
    match join(&problems) {
        Some((reason, message)) => Condition::bad(kind, reason, message),
        None if !soon.is_empty() => Condition::good(kind, reason::CERTIFICATE_EXPIRES, soon.join("; ")),
        None => Condition::good(kind, reason::CERTIFICATES, "Every host has a valid certificate"),
    }
}
