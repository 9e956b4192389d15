//! What was published of a site: where an object is broken, what it said before stays.

use breakwater_edge_config::bundle::{Files, KeyPair};
use breakwater_edge_config::{Document, HostPattern, PolicyId, SiteBundle};

use crate::policy::Content;

/// A site as it was published.
#[derive(Debug)]
pub(crate) struct LastGood(SiteBundle);

impl LastGood {
    /// `None` when this build can't read it, which leaves it in place but useless as a source.
    pub(crate) fn read(files: &Files) -> Option<Self> {
        match Document::from_files(files) {
            Ok(Document::Site(bundle)) => Some(Self(*bundle)),
            _ => None,
        }
    }

    pub(crate) fn policy(&self, section: &str, id: &PolicyId) -> Option<Content> {
        let config = &self.0.config;
        let (rates, cache) = if section.is_empty() {
            (&config.rates, &config.cache)
        } else {
            let route = config.routes.iter().find(|route| route.name == section)?;
            (&route.rates, &route.cache)
        };
        let rate = rates.iter().find(|rule| rule.id == *id);
        let cache = cache.as_ref().filter(|policy| policy.id == *id);
        rate.map(|rule| Content::Rate(rule.clone().into()))
            .or_else(|| cache.map(|policy| Content::Cache(policy.clone().into())))
    }

    pub(crate) fn pair(&self, name: &str) -> Option<&KeyPair> {
        self.0.key_pairs.get(name)
    }

    pub(crate) fn names(&self, pair: &str) -> Option<&Vec<String>> {
        let certificate = self
            .0
            .config
            .certificates
            .iter()
            .find(|certificate| certificate.key_pair == pair)?;
        Some(&certificate.names)
    }

    pub(crate) fn ca_file(&self, name: &str) -> Option<&Vec<u8>> {
        self.0.ca_files.get(name)
    }
}

/// What was published, without these hosts. `None` when no host is left, or it can't be read.
pub(crate) fn without_hosts(files: &Files, lost: &[HostPattern]) -> Option<Files> {
    let LastGood(mut bundle) = LastGood::read(files)?;
    bundle.config.hosts.retain(|host| !lost.contains(host));
    if bundle.config.hosts.is_empty() {
        return None;
    }
    bundle.to_files().ok()
}
