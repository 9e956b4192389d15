use std::collections::BTreeMap;

use breakwater_edge_config::SiteConfig;

use super::Route;
use crate::phases::device::DeviceClass;

/// Most requests that warm one site; what would come after is left to its visitors.
pub const MAX_WARM: usize = 1_024;

/// A request that is made before the first visitor asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warm {
    /// The visitors' connection is over TLS.
    pub tls: bool,
    /// One of the site's hosts.
    pub host: Box<str>,
    /// The port that visitors come by, where the configuration knows it.
    pub port: Option<u16>,
    /// Path and query.
    pub target: Box<str>,
    /// What it says of its browser; one for each class of devices where answers are kept by class.
    pub user_agent: &'static str,
}

/// What warms a site: each path of its policies, at each of its hosts, over what its visitors come by. Hosts
/// that a wildcard covers aren't known.
pub(super) fn of(config: &SiteConfig, routes: &[Route]) -> Vec<Warm> {
    let policies = routes
        .iter()
        .map(|route| &route.cache.0.policy)
        .filter(|policy| policy.enabled && !policy.prewarm.is_empty());
    let mut targets: BTreeMap<&str, bool> = BTreeMap::new();
    for policy in policies {
        for target in &policy.prewarm {
            *targets.entry(target).or_default() |= policy.key.device_class;
        }
    }
    let over = [
        (!config.certificates.is_empty()).then_some(true),
        config.tls.redirect.is_none().then_some(false),
    ];
    let mut all = Vec::new();
    for (target, by_class) in targets {
        let agents = DeviceClass::ALL.iter().map(|class| class.user_agent());
        let wanted = if by_class { agents.len() } else { 1 };
        for user_agent in agents.take(wanted) {
            for host in config.hosts.iter().filter(|host| !host.is_wildcard()) {
                for tls in over.into_iter().flatten() {
                    all.push(Warm {
                        tls,
                        host: host.name().into(),
                        port: config.tls.redirect.map(|redirect| redirect.port).filter(|_| tls),
                        target: target.into(),
                        user_agent,
                    });
                }
            }
        }
    }
    all.truncate(MAX_WARM);
    all
}
