use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use breakwater_edge_config::AddressPolicy;
use breakwater_edge_config::bundle::SiteBundle;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::dns::Dns;
use super::guard::{AddressGuard, own_addresses};
use super::origin::{Draft, Origin};
use super::snapshot::OriginSnapshot;
use super::task::Task;
use super::tls::{OriginConfigError, TlsTarget};

/// How often the addresses of this machine's interfaces are read again.
const OWN_ADDRESSES: Duration = Duration::from_secs(30);

/// How origins are used on this machine.
#[derive(Clone, Debug)]
pub struct OriginsOptions {
    /// Allow loopback and everything else that isn't globally reachable (without a cluster only).
    pub allow_local: bool,
    /// How long a connection may be idle. Less than what servers usually allow, so that it is the edge that
    /// closes.
    pub idle_timeout: Duration,
    /// Name servers; `None`: those of `/etc/resolv.conf`.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// Where health checks and DNS run: not on a worker, which they would delay.
    pub control: Handle,
}

impl OriginsOptions {
    /// The defaults.
    pub fn new(control: Handle) -> Self {
        Self {
            allow_local: false,
            idle_timeout: Duration::from_secs(55),
            name_servers: None,
            control,
        }
    }
}

/// What every endpoint needs.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) guard: AddressGuard,
    pub(super) dns: Dns,
    pub(super) control: Handle,
    pub(super) idle_timeout: Duration,
    start: Instant,
}

impl Common {
    /// Milliseconds since the edge started.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The origins of one site.
type ByName = HashMap<Arc<str>, Arc<Origin>>;

/// All origins of all sites.
///
/// A site's origins are compiled first ([`Origins::compile`]), which shows what can't be used, and put into
/// force together with the rest of its configuration ([`Origins::set`]). Connections, health and counters
/// live on over a change as long as what they depend on stays the same; those of other sites aren't touched.
#[derive(Debug)]
pub struct Origins {
    common: Arc<Common>,
    sites: RwLock<HashMap<Arc<str>, ByName>>,
    _own_addresses: Option<Task>,
}

/// The origins of a site, ready to be put into force.
#[derive(Debug)]
pub struct SiteOrigins {
    uid: Arc<str>,
    drafts: Vec<Draft>,
}

impl SiteOrigins {
    /// The site's UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

impl Origins {
    /// Reads this machine's addresses and name servers. A machine whose interfaces can't be read serves all
    /// the same: the policy lists the nodes too.
    pub fn new(options: OriginsOptions) -> Arc<Self> {
        let own = own_addresses().unwrap_or_else(|error| {
            tracing::warn!(%error, "the addresses of this machine can't be read");
            HashSet::<IpAddr>::new()
        });
        let common = Arc::new(Common {
            guard: AddressGuard::new(options.allow_local, own),
            dns: Dns::new(options.name_servers.as_deref()),
            control: options.control,
            idle_timeout: options.idle_timeout,
            start: Instant::now(),
        });
        let refresh = (!options.allow_local).then(|| {
            let refreshed = Arc::downgrade(&common);
            Task::spawn(&common.control, async move {
                loop {
                    tokio::time::sleep(OWN_ADDRESSES).await;
                    let Some(common) = refreshed.upgrade() else { return };
                    match own_addresses() {
                        Ok(own) => drop(common.guard.set_own(&own)),
                        Err(error) => tracing::warn!(%error, "the addresses of this machine can't be read"),
                    }
                }
            })
        });
        Arc::new(Self {
            common,
            sites: RwLock::default(),
            _own_addresses: refresh,
        })
    }

    /// Reads certificates and keys; changes nothing.
    pub fn compile(&self, bundle: &SiteBundle) -> Result<SiteOrigins, OriginConfigError> {
        let site_host = bundle
            .config
            .hosts
            .iter()
            .find(|host| !host.is_wildcard())
            .map(|host| host.name().to_owned());
        let drafts = bundle.config.origins.iter().map(|config| {
            let tls = config.tls.as_ref();
            let tls = tls
                .map(|tls| TlsTarget::compile(&config.name, tls, config.protocol, bundle))
                .transpose()?;
            Ok(Draft {
                config: config.clone(),
                tls,
                site_host: site_host.clone(),
            })
        });
        Ok(SiteOrigins {
            uid: bundle.config.uid.as_str().into(),
            drafts: drafts.collect::<Result<_, _>>()?,
        })
    }

    /// Puts a site's origins into force, in place of those of the same UID.
    pub fn set(&self, site: SiteOrigins) {
        let SiteOrigins { uid, drafts } = site;
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = sites.remove(&uid).unwrap_or_default();
        let new = drafts.into_iter().map(|draft| {
            let name: Arc<str> = draft.config.name.as_str().into();
            let replaced = old.remove(&name);
            let origin = Origin::start(draft, &uid, &self.common, replaced.as_deref());
            if let Some(replaced) = replaced {
                replaced.stop(false);
            }
            (name, origin)
        });
        let new: HashMap<_, _> = new.collect();
        sites.insert(uid, new);
        drop(sites);
        for gone in old.into_values() {
            gone.stop(true);
        }
    }

    /// Takes a site's origins out of force: idle connections close now, the others after their answer.
    pub fn remove(&self, uid: &str) {
        let gone = self
            .sites
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
        for origin in gone.into_iter().flat_map(HashMap::into_values) {
            origin.stop(true);
        }
    }

    /// Replaces the region's rule on addresses. Idle connections to those that it refuses close.
    pub fn set_policy(&self, policy: &AddressPolicy) {
        if !self.common.guard.set_policy(policy) {
            return;
        }
        for endpoint in self.all().iter().flat_map(|origin| origin.endpoints()) {
            if !endpoint.is_permitted() {
                endpoint.close_idle();
            }
        }
    }

    /// An origin, by the site's UID and its name.
    pub fn get(&self, uid: &str, name: &str) -> Option<Arc<Origin>> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.get(uid)?.get(name).map(Arc::clone)
    }

    /// What there is to tell of every origin, by site UID and name.
    pub fn snapshot(&self) -> Vec<OriginSnapshot> {
        let now_ms = self.common.now_ms();
        let mut all: Vec<_> = self.all().iter().map(|origin| origin.snapshot(now_ms)).collect();
        all.sort_by(|a, b| (&a.site_uid, &a.origin).cmp(&(&b.site_uid, &b.origin)));
        all
    }

    fn all(&self) -> Vec<Arc<Origin>> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.values().flat_map(HashMap::values).map(Arc::clone).collect()
    }
}
