use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use breakwater_edge_config::SiteId;

use super::tls::SiteTls;

/// The certificates in force, by site. Read once a handshake, whose own cost is ten thousand times that of
/// the lock; which site a name belongs to is the directory's to say.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    sites: RwLock<HashMap<SiteId, Arc<SiteTls>>>,
}

impl Certificates {
    pub(crate) fn get(&self, site: &SiteId) -> Option<Arc<SiteTls>> {
        self.sites
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(site)
            .map(Arc::clone)
    }

    /// Replaces the certificates of these sites at once.
    pub(crate) fn set(&self, changes: impl IntoIterator<Item = (SiteId, Arc<SiteTls>)>) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        for (site, tls) in changes {
            if tls.is_empty() {
                sites.remove(&site);
            } else {
                sites.insert(site, tls);
            }
        }
    }

    pub(crate) fn remove<'a>(&self, gone: impl IntoIterator<Item = &'a SiteId>) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        for site in gone {
            sites.remove(site);
        }
    }
}
