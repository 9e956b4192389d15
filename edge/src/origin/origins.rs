use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{AddressPolicy, SiteConfig};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::dns::Dns;
use super::draft::Draft;
use super::guard::{AddressGuard, own_addresses};
use super::origin::Origin;
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

/// A site's origins, as one configuration of it says.
#[derive(Debug)]
struct Configured {
    /// By which it is known that they are meant. Not kept alive by this.
    config: Weak<SiteConfig>,
    origins: ByName,
}

impl Configured {
    fn is_of(&self, config: &Arc<SiteConfig>) -> bool {
        std::ptr::eq(self.config.as_ptr(), Arc::as_ptr(config))
    }
}

#[derive(Debug, Default)]
struct Sites {
    /// In force, by UID.
    current: HashMap<Arc<str>, Configured>,
    /// Replaced or removed, as long as requests may go by those configurations: a request that has begun ends
    /// with the origins that it began with.
    former: Vec<Configured>,
}

impl Sites {
    fn retire(&mut self, configured: Configured) {
        self.former.push(configured);
        self.former.retain(|former| former.config.strong_count() > 0);
    }
}

/// All origins of all sites.
///
/// A site's origins are compiled first ([`Origins::compile`]), which shows what can't be used, and put into
/// force together with the rest of its configuration ([`Origins::set`]). Connections, health and counters
/// live on over a change as long as what they depend on stays the same; those of other sites aren't touched.
#[derive(Debug)]
pub struct Origins {
    common: Arc<Common>,
    sites: RwLock<Sites>,
    _own_addresses: Option<Task>,
}

/// The origins of a site, ready to be put into force.
#[derive(Debug)]
pub struct SiteOrigins {
    config: Arc<SiteConfig>,
    drafts: Vec<Draft>,
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

    /// Reads certificates and keys; changes nothing. `config` is what requests will go by, equal to the
    /// bundle's.
    pub fn compile(
        &self,
        config: &Arc<SiteConfig>,
        bundle: &SiteBundle,
    ) -> Result<SiteOrigins, OriginConfigError> {
        let site_host = config
            .hosts
            .iter()
            .find(|host| !host.is_wildcard())
            .map(|host| host.name().to_owned());
        let drafts = config.origins.iter().map(|config| {
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
            config: Arc::clone(config),
            drafts: drafts.collect::<Result<_, _>>()?,
        })
    }

    /// Puts a site's origins into force, in place of those of the same UID.
    pub fn set(&self, site: SiteOrigins) {
        let SiteOrigins { config, drafts } = site;
        let uid: Arc<str> = config.uid.as_str().into();
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        let old = sites.current.remove(&uid);
        let mut new = ByName::new();
        for draft in drafts {
            let name: Arc<str> = draft.config.name.as_str().into();
            let replaced = old.as_ref().and_then(|old| old.origins.get(&name));
            if let Some(replaced) = replaced {
                replaced.stop();
            }
            let origin = Origin::start(draft, &uid, &self.common, replaced.map(Arc::as_ref));
            new.insert(name, origin);
        }
        let gone = old.iter().flat_map(|old| &old.origins);
        let gone: Vec<_> = gone
            .filter(|(name, _)| !new.contains_key(*name))
            .map(|(_, origin)| Arc::clone(origin))
            .collect();
        let configured = Configured {
            config: Arc::downgrade(&config),
            origins: new,
        };
        sites.current.insert(uid, configured);
        if let Some(old) = old {
            sites.retire(old);
        }
        drop(sites);
        for origin in gone {
            origin.retire();
        }
    }

    /// Takes a site's origins out of force: idle connections close now, the others after their answer.
    pub fn remove(&self, uid: &str) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        let Some(gone) = sites.current.remove(uid) else {
            return;
        };
        let origins: Vec<_> = gone.origins.values().map(Arc::clone).collect();
        sites.retire(gone);
        drop(sites);
        for origin in origins {
            origin.retire();
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

    /// An origin of a site, by its name: the one that this very configuration means, even when it isn't in
    /// force any more.
    pub fn get(&self, config: &Arc<SiteConfig>, name: &str) -> Option<Arc<Origin>> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        let current = sites.current.get(config.uid.as_str()).into_iter();
        let configured = current.chain(&sites.former).find(|c| c.is_of(config))?;
        configured.origins.get(name).map(Arc::clone)
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
        let origins = sites.current.values().flat_map(|c| c.origins.values());
        origins.map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(origin: &str) -> Arc<SiteConfig> {
        let json = serde_json::json!({
            "id": {"home": "test", "namespace": "shop", "name": "a"},
            "uid": "uid-a",
            "hosts": ["a.example"],
            "routes": [],
            "origins": [{
                "name": origin,
                "endpoints": {"type": "addresses", "list": [{"address": "192.0.2.1", "port": 80, "weight": 1}]},
                "protocol": "Http1",
                "hostHeader": "visitor",
                "timeouts": {"connectMs": 1, "firstByteMs": 1, "betweenBytesMs": 1},
                "retries": {"attempts": 0},
                "balancing": {"type": "roundRobin"},
                "maxConnections": 1,
                "maxRequests": 1,
            }],
        });
        Arc::new(serde_json::from_value(json).unwrap())
    }

    fn set(origins: &Origins, config: &Arc<SiteConfig>) {
        let bundle = SiteBundle::plain(SiteConfig::clone(config));
        origins.set(origins.compile(config, &bundle).unwrap());
    }

    #[tokio::test]
    async fn a_request_finds_the_origins_of_the_configuration_that_it_goes_by() {
        let origins = Origins::new(OriginsOptions::new(Handle::current()));
        let (old, new) = (config("old"), config("new"));
        set(&origins, &old);
        let begun = origins.get(&old, "old").unwrap();
        set(&origins, &new);
        assert!(Arc::ptr_eq(&origins.get(&old, "old").unwrap(), &begun));
        assert!(origins.get(&old, "new").is_none());
        assert!(origins.get(&new, "old").is_none());
        assert!(origins.get(&new, "new").is_some());
        origins.remove("uid-a");
        assert!(origins.get(&old, "old").is_some() && origins.get(&new, "new").is_some());
        assert!(
            origins.snapshot().is_empty(),
            "what is told of is what is in force"
        );
    }

    #[tokio::test]
    async fn origins_that_no_request_goes_by_any_more_are_forgotten() {
        let origins = Origins::new(OriginsOptions::new(Handle::current()));
        for _ in 0..10 {
            set(&origins, &config("main"));
        }
        let last = config("main");
        set(&origins, &last);
        let sites = origins.sites.read().unwrap();
        assert_eq!((sites.current.len(), sites.former.len()), (1, 0));
    }
}
