use std::collections::BTreeMap;
use std::sync::Arc;

use breakwater_edge_config::{
    CachePolicy, ContentHash, Mode, Part, PolicyId, RateRule, RegionSettings, SiteConfig,
};

use super::{CompileError, Matcher};

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
                return Err(CompileError::PartMismatch { policy: id.clone(), found: part.id().clone() });
            }
            resolved.insert(id.clone(), part.clone());
        }
        Ok(Self { parts: resolved, all_sites: settings.all_sites.clone() })
    }

    /// The shared policies of a site, those for all sites first.
    fn of<'a>(&'a self, site: &'a SiteConfig) -> Result<Vec<&'a Part>, CompileError> {
        let mut seen = Vec::new();
        for id in self.all_sites.iter().chain(&site.shared) {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        seen.into_iter()
            .map(|id| {
                self.parts.get(id).ok_or_else(|| CompileError::PolicyUnknown { policy: id.clone() })
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

    /// The platform's cache policies for a site: the first enforced one and the first default one.
    pub(super) fn caches<'a>(&'a self, site: &'a SiteConfig) -> Result<SharedCaches<'a>, CompileError> {
        let parts = self.of(site)?;
        let first = |wanted: Mode| {
            parts.iter().find_map(|part| match part {
                Part::Cache { mode, policy } if *mode == wanted => Some(policy),
                _ => None,
            })
        };
        Ok(SharedCaches { enforced: first(Mode::Enforced), default: first(Mode::Default) })
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
    pub(super) fn effective(
        &self,
        site: &SiteConfig,
        route: Option<&CachePolicy>,
    ) -> Result<EffectiveCache, CompileError> {
        let policy = self.enforced.or(route).or(site.cache.as_ref()).or(self.default);
        EffectiveCache::compile(policy.cloned().unwrap_or_else(CachePolicy::rfc))
    }
}

/// The cache policy of one route.
#[derive(Clone, Debug)]
pub(crate) struct EffectiveCache(pub(crate) Arc<CacheRules>);

/// A cache policy, compiled.
#[derive(Debug)]
pub(crate) struct CacheRules {
    pub(crate) policy: CachePolicy,
    pub(crate) bypass: Vec<Matcher>,
    /// Of what changes the key.
    pub(crate) fingerprint: Box<[u8]>,
}

impl EffectiveCache {
    fn compile(policy: CachePolicy) -> Result<Self, CompileError> {
        let fingerprint = policy
            .fingerprint()
            .map_err(|error| CompileError::Fingerprint { policy: policy.id.clone(), error: error.to_string() })?;
        Ok(Self(Arc::new(CacheRules {
            bypass: policy.bypass.iter().map(Matcher::compile).collect(),
            fingerprint: fingerprint.as_str().as_bytes().into(),
            policy,
        })))
    }
}
