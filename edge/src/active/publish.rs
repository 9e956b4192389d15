use std::collections::HashSet;
use std::sync::Arc;

use breakwater_edge_config::{RegionSettings, SiteBundle, SiteConfig, SiteId};
use breakwater_edge_proxy::compile::{Directory, Shared, Site};

use crate::listen::{Certificates, Policies, SiteTls};
use crate::origin::{Origins, SiteOrigins};
use crate::purge::Purger;

/// Where compiled sites go: what requests, handshakes and origins read.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) directory: Arc<Directory>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) purger: Arc<Purger>,
}

/// A site, ready to be served.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) site: Arc<Site>,
    tls: Arc<SiteTls>,
    origins: SiteOrigins,
}

/// What changes at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    removed: Vec<SiteId>,
    sites: Vec<Arc<Site>>,
    certificates: Vec<(SiteId, Arc<SiteTls>)>,
    origins: Vec<SiteOrigins>,
    /// UIDs of sites that are gone, or were replaced by one of the same name.
    gone: Vec<String>,
}

impl Batch {
    pub(super) fn remove(&mut self, id: SiteId) {
        self.removed.push(id);
    }

    /// The origins of this UID serve nothing any more.
    pub(super) fn remove_origins(&mut self, uid: &str) {
        self.gone.push(uid.to_owned());
    }

    pub(super) fn set(&mut self, compiled: Compiled) {
        self.certificates.push((compiled.site.id().clone(), compiled.tls));
        self.origins.push(compiled.origins);
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
        let site = Site::compile(Arc::clone(&config), shared).map_err(|error| error.to_string())?;
        let tls = SiteTls::compile(bundle, &self.policies).map_err(|error| error.to_string())?;
        let origins = self.origins.compile(&config, bundle);
        let origins = origins.map_err(|error| error.to_string())?;
        Ok(Compiled {
            site: Arc::new(site),
            tls: Arc::new(tls),
            origins,
        })
    }

    /// Compiles a site under new settings; its keys and origins stay as they are.
    pub(super) fn recompile(
        config: Arc<SiteConfig>,
        (_settings, shared): (&RegionSettings, &Shared),
    ) -> Result<Arc<Site>, String> {
        Site::compile(config, shared)
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }

    /// Makes a batch visible; false when it is empty. Keys come before the sites that need them and go after
    /// them.
    pub(super) fn publish(&self, batch: Batch) -> bool {
        let Batch {
            mut removed,
            sites,
            certificates,
            origins,
            mut gone,
        } = batch;
        if removed.is_empty() && sites.is_empty() {
            return false;
        }
        let kept: HashSet<&SiteId> = sites.iter().map(|site| site.id()).collect();
        removed.retain(|id| !kept.contains(id));
        self.certificates.set(certificates);
        gone.retain(|uid| !sites.iter().any(|site| site.config().uid == *uid));
        for origins in origins {
            self.origins.set(origins);
        }
        self.directory.change(|change| {
            for id in &removed {
                change.remove(id);
            }
            for site in &sites {
                change.set(Arc::clone(site));
            }
        });
        // After: what is fetched under the configuration before is older than these.
        for site in &sites {
            self.purger.take_over(site);
        }
        self.certificates.remove(&removed);
        for uid in gone {
            self.origins.remove(&uid);
        }
        true
    }
}
