//! An API server without kubelets, operators as processes beside it, and what must be true in the end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ConditionStatus, EdgeSite};
use breakwater_e2e::api_server::ApiServer;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::fake_edge::FakeEdge;
use breakwater_e2e::manifests::Sender;
use breakwater_e2e::operator::Operator;
use breakwater_e2e::wait;
use breakwater_edge_config::bundle::{self, Files, SITE_SECRET_PREFIX};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// Namespace of the operator.
pub(crate) const SYSTEM: &str = "breakwater-system";

/// Namespace of the region's edges.
pub(crate) const EDGES: &str = "breakwater-edge-e2e";

/// Longest time until something is in effect, however slow the machine is.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Stages so far.
static STAGES: AtomicUsize = AtomicUsize::new(1);

/// Requests of the scenarios that are under way at a time.
const REQUESTS: usize = 16;

/// What every scenario on an API server alone works with.
pub(crate) struct Stage {
    pub(crate) server: ApiServer,
    pub(crate) sender: Sender,
    /// Kubernetes' own programs.
    pub(crate) programs: PathBuf,
    binaries: PathBuf,
    directory: PathBuf,
    /// Operators so far: each has a log of its own.
    operators: usize,
}

impl Stage {
    /// An API server with the kinds, the namespaces and one local region.
    pub(crate) async fn start(assets: &Assets) -> Result<Self> {
        // Each has a directory of its own, so that the logs of one that failed stay.
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let directory = assets.directory.join(format!("operator-{number}"));
        let server = ApiServer::start(&assets.programs, &directory).await?;
        let mut sender = Sender::new(server.client());
        sender.define(&breakwater_crds::all()).await?;
        for namespace in [SYSTEM, EDGES] {
            let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            sender.apply(&manifest).await?;
            // Nobody else makes it: there is no controller-manager.
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": namespace}});
            sender.apply(&account).await?;
        }
        let mut stage = Self {
            server,
            sender,
            programs: assets.programs.clone(),
            binaries: assets.binaries.clone(),
            directory,
            operators: 0,
        };
        stage.region().await?;
        Ok(stage)
    }

    /// Applies the region.
    pub(crate) async fn region(&mut self) -> Result<()> {
        let region = json!({
            "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeRegion", "metadata": {"name": "e2e"},
            "spec": {"local": {"namespace": EDGES}},
        });
        self.sender.apply(&region).await.map(drop)
    }

    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    /// Starts an operator in a Pod that wasn't there before.
    pub(crate) fn operator(&mut self) -> Result<Operator> {
        self.operators += 1;
        self.same_operator()
    }

    /// Starts an operator with the rights of a kubeconfig.
    pub(crate) fn operator_as(&mut self, kubeconfig: &Path) -> Result<Operator> {
        self.operators += 1;
        self.spawn(kubeconfig)
    }

    /// Starts an operator in the newest Pod, whose container has ended.
    pub(crate) fn same_operator(&self) -> Result<Operator> {
        self.spawn(&self.server.kubeconfig())
    }

    fn spawn(&self, kubeconfig: &Path) -> Result<Operator> {
        let name = format!("operator-{}", self.operators);
        Operator::start(&self.binaries, &self.directory, kubeconfig, &name)
    }

    /// An edge that acknowledges everything.
    pub(crate) async fn edge(&self) -> Result<FakeEdge> {
        FakeEdge::start(&self.client(), EDGES, "e2e", "edge-1").await
    }

    /// Applies sites, many at a time. Their only origin has port `port`, by which they can be told apart.
    pub(crate) async fn apply_sites(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        port: u16,
    ) -> Result<()> {
        let api = self.sites();
        stream::iter(numbers)
            .map(|number| apply(&api, site(number, port)))
            .buffer_unordered(REQUESTS)
            .try_collect::<Vec<_>>()
            .await
            .map(drop)
    }

    pub(crate) fn sites(&self) -> Api<EdgeSite> {
        Api::default_namespaced(self.client())
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client(), EDGES)
    }

    /// Published Secrets of sites, by site.
    pub(crate) async fn published(&self) -> Result<BTreeMap<String, Secret>> {
        let mut published = BTreeMap::new();
        for secret in self.secrets().list(&ListParams::default()).await? {
            let Some(site) = secret.annotations().get("edge.breakwater.dev/site") else {
                continue;
            };
            let name = site.rsplit('/').next().unwrap_or_default().to_owned();
            ensure!(
                published.insert(name.clone(), secret).is_none(),
                "{name} is published twice"
            );
        }
        Ok(published)
    }

    /// An error until these sites are published with this port.
    pub(crate) async fn are_published(&self, mut numbers: Range<usize>, port: u16) -> Result<()> {
        let published = self.published().await?;
        let wrong = numbers.find(|number| {
            let secret = published.get(&format!("site{number}"));
            !secret.is_some_and(|secret| document(secret).contains(&port.to_string()))
        });
        ensure!(wrong.is_none(), "site{} isn't", wrong.unwrap_or_default());
        Ok(())
    }

    /// Waits until every site is published and its status says so, and nothing else is published.
    pub(crate) async fn all_true(&self, edges: bool) -> Result<()> {
        wait::until("what is published and every status is true", SOON, || {
            self.truth(edges)
        })
        .await
    }

    /// Every site has exactly one Secret, made from its present state, and a status about exactly that.
    pub(crate) async fn truth(&self, edges: bool) -> Result<()> {
        let sites = self.sites().list(&ListParams::default()).await?;
        let published = self.published().await?;
        ensure!(
            sites.items.len() == published.len(),
            "{} sites, {} published",
            sites.items.len(),
            published.len()
        );
        for site in &sites {
            let name = site.name_any();
            let secret = published
                .get(&name)
                .with_context(|| format!("{name} isn't published"))?;
            is_true(site, secret, edges).with_context(|| name)?;
        }
        Ok(())
    }

    /// Removes what a scenario has made; no operator runs meanwhile.
    pub(crate) async fn clean(&mut self) -> Result<()> {
        let delete = DeleteParams::default();
        let all = ListParams::default();
        self.sites().delete_collection(&delete, &all).await?;
        self.secrets().delete_collection(&delete, &all).await?;
        let leases: Api<Lease> = Api::namespaced(self.client(), SYSTEM);
        leases.delete_collection(&delete, &all).await?;
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), EDGES);
        maps.delete_collection(&delete, &all).await?;
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(self.client(), EDGES);
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete_collection(&at_once, &all).await?;
        let nodes: Api<breakwater_crds::EdgeNode> = Api::namespaced(self.client(), EDGES);
        nodes.delete_collection(&delete, &all).await?;
        Ok(())
    }
}

async fn apply(api: &Api<EdgeSite>, site: Value) -> Result<()> {
    let name = site
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let params = PatchParams::apply("e2e").force();
    api.patch(name, &params, &Patch::Apply(&site))
        .await
        .with_context(|| name.to_owned())?;
    Ok(())
}

/// A site of the namespace `default`.
pub(crate) fn site(number: usize, port: u16) -> Value {
    json!({
        "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeSite",
        "metadata": {"name": format!("site{number}"), "namespace": "default"},
        "spec": {
            "hosts": [format!("site{number}.example.com")],
            "origins": [{"name": "app", "addresses": [{"address": "192.0.3.1", "port": port}]}],
        },
    })
}

/// The files of a published Secret.
pub(crate) fn files(secret: &Secret) -> Files {
    let data = secret.data.clone().unwrap_or_default();
    data.into_iter().map(|(name, bytes)| (name, bytes.0)).collect()
}

fn document(secret: &Secret) -> String {
    let files = files(secret);
    let document = files.get(bundle::DOCUMENT_FILE).map_or(&[][..], |bytes| bytes);
    String::from_utf8_lossy(document).into_owned()
}

fn is_true(site: &EdgeSite, secret: &Secret, edges: bool) -> Result<()> {
    ensure!(
        secret.name_any().starts_with(SITE_SECRET_PREFIX),
        "{}",
        secret.name_any()
    );
    let hash = bundle::hash(&files(secret)).to_string();
    let annotation = |name: &str| {
        let key = format!("edge.breakwater.dev/{name}");
        secret.annotations().get(&key).cloned().unwrap_or_default()
    };
    let generation = site.metadata.generation.unwrap_or_default();
    ensure!(
        annotation("hash") == hash,
        "the hash of its bytes is {hash}, not {}",
        annotation("hash")
    );
    ensure!(
        annotation("site-generation") == generation.to_string(),
        "made from an older generation"
    );
    ensure!(
        Some(annotation("site-uid")) == site.uid(),
        "made from another object"
    );
    let port = site
        .spec
        .origins
        .first()
        .and_then(|o| o.addresses.first())
        .map(|a| a.port);
    let document = document(secret);
    let port = port.context("no port")?;
    ensure!(
        document.contains(&port.to_string()),
        "not to port {port}: {document}"
    );
    let status = site.status.clone().context("no status")?;
    ensure!(
        status.observed_generation == generation,
        "its status is about {}",
        status.observed_generation
    );
    ensure!(
        status.config_hash.as_deref() == Some(hash.as_str()),
        "its status is about {:?}",
        status.config_hash
    );
    let ready = status
        .conditions
        .iter()
        .find(|c| c.kind == "Ready")
        .context("no condition Ready")?;
    let expected = if edges {
        (ConditionStatus::True, "Ready")
    } else {
        (ConditionStatus::False, "NoEdges")
    };
    ensure!((ready.status, ready.reason.as_str()) == expected, "{ready:?}");
    Ok(())
}
