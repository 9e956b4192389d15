use std::collections::HashSet;
use std::sync::Arc;

use breakwater_edge_config::{RegionSettings, SiteBundle, SiteConfig, SiteId};
use breakwater_edge_proxy::compile::{Directory, Shared, Site};

use crate::listen::{Certificates, Policies, SiteTls};

/// Where compiled sites go: what requests, handshakes and origins read.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) directory: Arc<Directory>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) policies: Arc<Policies>,
}

/// A site, ready to be served.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) site: Arc<Site>,
    tls: Arc<SiteTls>,
}

/// What changes at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    removed: Vec<SiteId>,
    sites: Vec<Arc<Site>>,
    certificates: Vec<(SiteId, Arc<SiteTls>)>,
}

impl Batch {
    pub(super) fn remove(&mut self, id: SiteId) {
        self.removed.push(id);
    }

    pub(super) fn set(&mut self, compiled: Compiled) {
        self.certificates.push((compiled.site.id().clone(), compiled.tls));
        self.set_site(compiled.site);
    }

    pub(super) fn set_site(&mut self, site: Arc<Site>) {
        self.sites.push(site);
    }
}

impl Target {
    /// Compiles everything of a site, or says what is wrong with it.
    pub(super) fn compile(
        &self,
        bundle: &SiteBundle,
        (_settings, shared): (&RegionSettings, &Shared),
    ) -> Result<Compiled, String> {
        let config = Arc::new(bundle.config.clone());
        let site = Site::compile(config, shared).map_err(|error| error.to_string())?;
        let tls = SiteTls::compile(bundle, &self.policies).map_err(|error| error.to_string())?;
        Ok(Compiled { site: Arc::new(site), tls: Arc::new(tls) })
    }

    /// Compiles a site under new settings; its keys and origins stay as they are.
    pub(super) fn recompile(
        &self,
        config: Arc<SiteConfig>,
        (_settings, shared): (&RegionSettings, &Shared),
    ) -> Result<Arc<Site>, String> {
        Site::compile(config, shared).map(Arc::new).map_err(|error| error.to_string())
    }

    /// Makes a batch visible; false when it is empty. Keys come before the sites that need them and go after
    /// them.
    pub(super) fn publish(&self, batch: Batch) -> bool {
        let Batch { mut removed, sites, certificates } = batch;
        if removed.is_empty() && sites.is_empty() {
            return false;
        }
        let kept: HashSet<&SiteId> = sites.iter().map(|site| site.id()).collect();
        removed.retain(|id| !kept.contains(id));
        self.certificates.set(certificates);
        self.directory.change(|change| {
            for id in &removed {
                change.remove(id);
            }
            for site in sites {
                change.set(site);
            }
        });
        self.certificates.remove(&removed);
        true
    }
}
