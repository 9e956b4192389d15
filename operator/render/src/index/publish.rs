//! What was published is an input like any other: it says who serves a host, and what is still good where an
//! object is broken.

use std::collections::BTreeSet;

use breakwater_edge_config::bundle::{Files, SITE_SECRET_PREFIX};
use breakwater_edge_config::envelope::ReadError;
use breakwater_edge_config::{Document, HostPattern, bundle};

use super::Index;
use super::apply::unlink;
use crate::changes::Withdraw;
use crate::key::{Name, SecretPosition};
use crate::object::Published;

impl Published {
    /// Reads a published Secret. Its files are kept for the region's settings, and with `keep_files`.
    pub fn from_files(
        position: SecretPosition,
        resource_version: String,
        files: Files,
        keep_files: bool,
    ) -> Result<Self, ReadError> {
        let hash = bundle::hash(&files);
        let (site, hosts, keep) = match Document::from_files(&files)? {
            Document::Site(site) => (Some(site.config.id), site.config.hosts, keep_files),
            Document::Region(_) => (None, Vec::new(), true),
            Document::Part(..) => (None, Vec::new(), keep_files),
        };
        Ok(Self {
            position,
            resource_version,
            hash,
            site,
            hosts,
            files: keep.then_some(files),
        })
    }
}

impl Index {
    pub(super) fn published_changed(
        &mut self,
        position: &SecretPosition,
        old: Option<&Published>,
        new: Option<&Published>,
    ) {
        if !position.secret.starts_with(SITE_SECRET_PREFIX) {
            self.dirty.settings = true;
            let keys: Vec<_> = self
                .platform_policies()
                .map(|policy| policy.key.clone())
                .collect();
            // A broken platform policy may have lost or regained what stays of it.
            if self.policies.values().any(|policy| policy.content.is_err()) {
                self.dirty.selection.every = true;
                self.dirty.policies.extend(keys);
            }
            return;
        }
        self.dirty.orphans.insert(position.clone());
        let name = |published: Option<&Published>| published.and_then(|published| self.own_site(published));
        let (old_name, new_name) = (name(old), name(new));
        self.hosts_served_changed((old_name.as_ref(), old), (new_name.as_ref(), new));
        if let Some(name) = old_name.as_ref().filter(|_| old_name != new_name) {
            unlink(&mut self.reverse.by_site, name, position);
        }
        let Some(name) = new_name.as_ref().or(old_name.as_ref()) else {
            return;
        };
        if new.is_some() {
            self.reverse
                .by_site
                .entry(name.clone())
                .or_default()
                .insert(position.clone());
        }
        let Some(state) = self.sites.get(name) else { return };
        // What render made itself comes back without news, unless its files were asked for.
        let as_rendered = new
            .is_some_and(|new| state.hashes.get(&position.region) == Some(&new.hash) && new.files.is_none());
        if !as_rendered {
            self.dirty.sites.insert(name.clone());
        }
    }

    /// The site of this home that a published Secret is of.
    fn own_site(&self, published: &Published) -> Option<Name> {
        let site = published.site.as_ref()?;
        (site.home == self.settings.home).then(|| Name::new(&site.namespace, &site.name))
    }

    fn hosts_served_changed(
        &mut self,
        (old_name, old): (Option<&Name>, Option<&Published>),
        (new_name, new): (Option<&Name>, Option<&Published>),
    ) {
        let hosts = |published: Option<&Published>| -> BTreeSet<HostPattern> {
            published
                .into_iter()
                .flat_map(|published| published.hosts.iter().cloned())
                .collect()
        };
        let (old_hosts, new_hosts) = (hosts(old), hosts(new));
        let same_site = old_name == new_name;
        let mut concerned = BTreeSet::new();
        if let Some(name) = old_name {
            for host in old_hosts
                .iter()
                .filter(|host| !same_site || !new_hosts.contains(host))
            {
                concerned.extend(self.claims.concerned(host));
                self.claims.let_go(host, name);
            }
        }
        if let Some(name) = new_name {
            for host in new_hosts
                .iter()
                .filter(|host| !same_site || !old_hosts.contains(host))
            {
                self.claims.serve(host, name);
                concerned.extend(self.claims.concerned(host));
            }
        }
        // A site that nobody rivals knew what it would serve. Where there are rivals, a host that it serves now
        // may shut them out from another that it asks for.
        if concerned.iter().any(|site| Some(site) != new_name) {
            self.dirty.sites.extend(concerned);
        }
    }

    /// A published Secret of a site that isn't served in its region any more.
    pub(super) fn orphan(&self, position: &SecretPosition) -> Option<Withdraw> {
        let published = self.published.get(position)?;
        if !position.secret.starts_with(SITE_SECRET_PREFIX) || self.is_held(&position.region) {
            return None;
        }
        let wanted = self.own_site(published).is_some_and(|name| {
            self.sites
                .get(&name)
                .is_some_and(|state| self.keeps(&name, state, position))
        });
        let foreign = published
            .site
            .as_ref()
            .is_some_and(|site| site.home != self.settings.home);
        (!wanted && !foreign).then(|| Withdraw {
            position: position.clone(),
            site: published.site.clone(),
            resource_version: published.resource_version.clone(),
        })
    }

    /// True for a region whose object can't be used as it is now: its edges go on with what they have, since
    /// a slip in one object must not take every site away.
    fn is_held(&self, region: &str) -> bool {
        self.region_objects.contains_key(region) && !self.regions.contains_key(region)
    }
}
