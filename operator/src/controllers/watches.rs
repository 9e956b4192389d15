use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::{CachePolicy, EdgeNode, EdgeRegion, EdgeSite, RateRule};
use breakwater_edge_config::bundle::SECRET_TYPE;
use breakwater_edge_config::incarnation::CONFIG_MAP;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::{NamespaceResourceScope, Resource};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::follow::{Teller, follow};
use super::read;
use super::sighting::{Kind, Sighting, Source};
use crate::regions::DAEMON_SET;

/// Label of Secrets that sites may refer to besides those of type `kubernetes.io/tls`.
const USE_LABEL: &str = "edge.breakwater.dev/use=true";

/// The running watches.
pub(super) struct Watches {
    client: Client,
    out: mpsc::Sender<Sighting>,
    running: BTreeMap<Source, (u64, AbortHandle)>,
    epoch: u64,
}

impl Watches {
    /// No watch yet; they tell `out`.
    pub(super) fn new(client: Client, out: mpsc::Sender<Sighting>) -> Self {
        Self {
            client,
            out,
            running: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// Starts what is wanted and doesn't run, stops what isn't wanted any more, and returns that.
    pub(super) fn want(&mut self, wanted: &BTreeSet<Source>) -> Vec<Source> {
        let stopped: Vec<Source> = self
            .running
            .keys()
            .filter(|source| !wanted.contains(source))
            .cloned()
            .collect();
        for source in &stopped {
            self.stop(source);
        }
        for source in wanted {
            if !self.running.contains_key(source) {
                self.start(source.clone());
            }
        }
        stopped
    }

    /// Starts every watch anew, with a list: the versions that they would resume from mean nothing any more.
    pub(super) fn restart(&mut self) {
        let sources: Vec<Source> = self.running.keys().cloned().collect();
        for source in sources {
            self.stop(&source);
            self.start(source);
        }
    }

    /// True when the watch that told this still runs.
    pub(super) fn is_current(&self, sighting: &Sighting) -> bool {
        self.running
            .get(&sighting.source)
            .is_some_and(|(epoch, _)| *epoch == sighting.epoch)
    }

    fn stop(&mut self, source: &Source) {
        if let Some((_, task)) = self.running.remove(source) {
            task.abort();
        }
    }

    fn start(&mut self, source: Source) {
        self.epoch += 1;
        let teller = Teller::new(source.clone(), self.epoch, self.out.clone());
        let task = spawn(&self.client, &source, teller);
        self.running.insert(source, (self.epoch, task));
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in self.running.values() {
            task.abort();
        }
    }
}

/// In one namespace or in all.
fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Objects of one of our kinds as they come, so that one that this build can't read is still seen.
fn ours<K: Resource<DynamicType = ()>>(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    }
}

fn spawn(client: &Client, source: &Source, teller: Teller) -> AbortHandle {
    let namespace = source.namespace.as_deref();
    let all = Config::default();
    macro_rules! watch {
        ($kind:ty, $config:expr, $read:path) => {
            tokio::spawn(follow(
                api::<$kind>(client, namespace),
                $config,
                teller,
                $read,
            ))
        };
        (ours $kind:ty, $read:path) => {
            tokio::spawn(follow(ours::<$kind>(client, namespace), all, teller, $read))
        };
        (cluster $kind:ty, $read:path) => {
            tokio::spawn(follow(
                Api::<$kind>::all(client.clone()),
                all,
                teller,
                $read,
            ))
        };
    }
    let task = match source.kind {
        Kind::Site => watch!(ours EdgeSite, read::site),
        Kind::CachePolicy => watch!(ours CachePolicy, read::cache_policy),
        Kind::RateRule => watch!(ours RateRule, read::rate_rule),
        Kind::Region => watch!(ours EdgeRegion, read::region),
        Kind::TlsSecret => {
            watch!(
                PartialObjectMeta<Secret>,
                all.fields("type=kubernetes.io/tls"),
                read::secret_meta
            )
        }
        Kind::LabelledSecret => {
            watch!(
                PartialObjectMeta<Secret>,
                all.labels(USE_LABEL),
                read::secret_meta
            )
        }
        Kind::Namespace => watch!(cluster PartialObjectMeta<Namespace>, read::namespace),
        Kind::Machine => watch!(cluster Node, read::machine),
        Kind::ServiceCidr => {
            let api = Api::<ServiceCIDR>::all(client.clone());
            tokio::spawn(follow(api, all, teller.optional(), read::service_cidr))
        }
        Kind::ApiServer => watch!(
            EndpointSlice,
            all.labels("kubernetes.io/service-name=kubernetes"),
            read::api_server
        ),
        Kind::Service => watch!(Service, all, read::service),
        Kind::EndpointSlice => watch!(EndpointSlice, all, read::endpoint_slice),
        Kind::Pod => watch!(Pod, all, read::pod),
        Kind::Published => watch!(
            Secret,
            all.fields(&format!("type={SECRET_TYPE}")),
            read::published
        ),
        Kind::EdgeNode => watch!(ours EdgeNode, read::edge_node),
        Kind::EdgePod => watch!(
            Pod,
            all.labels("app.kubernetes.io/name=breakwater-edge"),
            read::edge_pod
        ),
        Kind::DaemonSet => {
            watch!(
                DaemonSet,
                all.fields(&format!("metadata.name={DAEMON_SET}")),
                read::daemon_set
            )
        }
        Kind::Incarnation => {
            watch!(
                ConfigMap,
                all.fields(&format!("metadata.name={CONFIG_MAP}")),
                read::incarnation
            )
        }
    };
    task.abort_handle()
}
