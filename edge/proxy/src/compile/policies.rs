use std::collections::BTreeMap;
use std::sync::Arc;

use breakwater_edge_cache::{StatusTtl, StorageClass, StoreRules, TagRules, TtlPolicy};
use breakwater_edge_config::{
    self as config, CachePolicy, ContentHash, Mode, Part, PolicyId, RateRule, RegionSettings, SiteConfig,
};

use super::{CompileError, Matcher};
use crate::coding::CodingRules;
use crate::phases::device;

/// What the region's sites share, with every part at hand.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    parts: BTreeMap<PolicyId, Part>,
    all_sites: Vec<PolicyId>,
}

impl Shared {
    /// Resolves the settings' references; an error where a part isn't there, since half of the platform's
    /// policies must not be taken for all of them.
    pub fn resolve(
        settings: &RegionSettings,
        parts: &BTreeMap<ContentHash, Part>,
    ) -> Result<Self, CompileError> {
        let mut resolved = BTreeMap::new();
        for (id, hash) in &settings.policies {
            let part = parts.get(hash).ok_or_else(|| CompileError::PartMissing {
                policy: id.clone(),
                hash: hash.short().to_owned(),
            })?;
            if part.id() != id {
                return Err(CompileError::PartMismatch {
                    policy: id.clone(),
                    found: part.id().clone(),
                });
            }
            resolved.insert(id.clone(), part.clone());
        }
        Ok(Self {
            parts: resolved,
            all_sites: settings.all_sites.clone(),
        })
    }

    /// The shared policies of a site, the more specific first: those that select it, then those for all sites.
    fn of<'a>(&'a self, site: &'a SiteConfig) -> Result<Vec<&'a Part>, CompileError> {
        let mut seen = Vec::new();
        for id in site.shared.iter().chain(&self.all_sites) {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        seen.into_iter()
            .map(|id| {
                self.parts
                    .get(id)
                    .ok_or_else(|| CompileError::PolicyUnknown { policy: id.clone() })
            })
            .collect()
    }

    /// Every shared rate rule of a site, enforced ones first.
    pub(super) fn rates<'a>(&'a self, site: &'a SiteConfig) -> Result<Vec<&'a RateRule>, CompileError> {
        let parts = self.of(site)?;
        let of_mode = |wanted: Mode| {
            parts.iter().filter_map(move |part| match part {
                Part::Rate { mode, rule } if *mode == wanted => Some(rule),
                _ => None,
            })
        };
        Ok(of_mode(Mode::Enforced).chain(of_mode(Mode::Default)).collect())
    }

    /// The platform's cache policies for a site: of each mode the most specific.
    pub(super) fn caches<'a>(&'a self, site: &'a SiteConfig) -> Result<SharedCaches<'a>, CompileError> {
        let parts = self.of(site)?;
        let first = |wanted: Mode| {
            parts.iter().find_map(|part| match part {
                Part::Cache { mode, policy } if *mode == wanted => Some(&**policy),
                _ => None,
            })
        };
        Ok(SharedCaches {
            enforced: first(Mode::Enforced),
            default: first(Mode::Default),
        })
    }
}

/// The platform's cache policies for one site.
pub(super) struct SharedCaches<'a> {
    enforced: Option<&'a CachePolicy>,
    default: Option<&'a CachePolicy>,
}

impl SharedCaches<'_> {
    /// The policy that holds, whole: an enforced one, else the route's, else the site's, else the platform's
    /// default, else RFC 9111 alone.
    pub(super) fn effective(&self, site: &SiteConfig, route: Option<&CachePolicy>) -> EffectiveCache {
        let policy = self.enforced.or(route).or(site.cache.as_ref()).or(self.default);
        EffectiveCache::compile(policy.cloned().unwrap_or_else(CachePolicy::rfc))
    }
}

fn ttl(ttl: &config::Ttl) -> TtlPolicy {
    let config::Ttl {
        default_ms,
        force_ms,
        min_ms,
        max_ms,
        statuses,
        stale_while_revalidate_ms,
        stale_if_error_ms,
    } = ttl;
    let status = |of: &config::StatusTtl| StatusTtl {
        from: of.from,
        to: of.to,
        ttl_ms: of.ttl_ms,
    };
    TtlPolicy {
        default_ms: *default_ms,
        force_ms: *force_ms,
        min_ms: *min_ms,
        max_ms: *max_ms,
        statuses: statuses.iter().map(status).collect(),
        stale_while_revalidate_ms: *stale_while_revalidate_ms,
        stale_if_error_ms: *stale_if_error_ms,
    }
}

fn tags(tags: Option<&config::Tags>) -> TagRules {
    tags.map_or_else(TagRules::default, |tags| TagRules::new(&tags.fields, tags.expose))
}

/// The cache policy of one route.
#[derive(Clone, Debug)]
pub(crate) struct EffectiveCache(pub(crate) Arc<CacheRules>);

/// A cache policy, compiled.
#[derive(Debug)]
pub(crate) struct CacheRules {
    pub(crate) policy: CachePolicy,
    pub(crate) bypass: Vec<Matcher>,
    pub(crate) store: StoreRules,
    pub(crate) coding: Option<CodingRules>,
}

impl EffectiveCache {
    fn compile(policy: CachePolicy) -> Self {
        Self(Arc::new(CacheRules {
            bypass: policy.bypass.iter().map(Matcher::compile).collect(),
            store: StoreRules {
                ttl: ttl(&policy.ttl),
                max_object_bytes: policy.max_object_bytes,
                class: policy.storage_class.map(|class| match class {
                    config::StorageClass::Small => StorageClass::Small,
                    config::StorageClass::Large => StorageClass::Large,
                }),
                store_set_cookie: false,
                unvaried_fields: if policy.key.device_class {
                    device::STANDS_FOR
                } else {
                    &[]
                },
                tags: tags(policy.tags.as_ref()),
            },
            coding: policy.compression.as_ref().map(CodingRules::compile),
            policy,
        }))
    }

    /// Names everything that decides what the origin is asked and what is in the key: entries made under
    /// another fingerprint are never used. Two routes that ask the same of an origin under one policy share
    /// theirs. Under two they don't, or whoever chooses the route, by a header say, would have stored for the
    /// one what only the other allows. A policy that changes its lifetimes keeps its entries.
    pub(super) fn fingerprint(
        &self,
        site: &SiteConfig,
        route: &config::Route,
    ) -> Result<Box<[u8]>, CompileError> {
        let error = |error: &dyn std::fmt::Display| CompileError::Fingerprint {
            policy: self.0.policy.id.clone(),
            error: error.to_string(),
        };
        let key = self.0.policy.fingerprint().map_err(|e| error(&e))?;
        let config::RouteAction::Forward { origin } = &route.action else {
            return Ok(Box::default());
        };
        let host = route.rewrite.as_ref().and_then(|rewrite| rewrite.host.as_deref());
        let path = route.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
        let header = site
            .origins
            .iter()
            .find(|of| of.name == *origin)
            .map(|of| &of.host_header);
        let asked = (
            origin,
            host,
            header,
            &site.request_headers,
            &route.request_headers,
            &self.0.policy.id,
            // Where all paths become one, which they are says what the entry stands for.
            path.map(|path| {
                (
                    path,
                    matches!(path, config::PathRewrite::Full(_)).then_some(&route.matches.path),
                )
            }),
        );
        let strict = [u8::from(self.0.policy.strict_headers)];
        let asked = format!("{asked:?}");
        let all = ContentHash::of_parts([key.as_str().as_bytes(), asked.as_bytes(), &strict]);
        Ok(all.as_str().as_bytes().into())
    }
}
