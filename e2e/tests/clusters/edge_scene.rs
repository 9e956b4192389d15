//! An API server, an operator and an edge, each a process of this machine, with some sites that the edge serves.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ConditionStatus, EdgeNode, EdgeNodeStatus};
use breakwater_e2e::client;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::edge::Edge;
use breakwater_e2e::fake_edge::live_pod;
use breakwater_e2e::operator::Operator;
use breakwater_e2e::wait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::operator_stage::{EDGES, SOON, Stage};

/// Sites of each scenario.
pub(crate) const SITES: usize = 20;

/// What a scenario works with.
pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) operator: Operator,
    pub(crate) edge: Edge,
    pub(crate) pod: Pod,
}

/// The host of a site.
pub(crate) fn host(number: usize) -> String {
    format!("site{number}.example.com")
}

impl<'a> Scene<'a> {
    /// An operator and an edge that serves [`SITES`] sites, version `one` of each. `name` tells the scenario's
    /// files from others.
    pub(crate) async fn start(stage: &'a mut Stage, assets: &Assets, name: &str) -> Result<Self> {
        let directory = empty_directory(assets, name)?;
        let mut operator = stage.operator()?;
        operator.ready().await?;
        let pod = live_pod(&stage.client(), EDGES, "e2e", "edge-real").await?;
        let kubeconfig = stage.server.kubeconfig();
        let mut edge = Edge::new(&assets.binaries, &directory, &kubeconfig, &pod, "e2e")?;
        edge.start()?;
        let scene = Self {
            stage,
            operator,
            edge,
            pod,
        };
        scene.apply(0..SITES, "one").await?;
        for number in 0..SITES {
            scene.serves(number, "one").await?;
        }
        Ok(scene)
    }

    /// Applies a version of sites.
    pub(crate) async fn apply(&self, numbers: impl IntoIterator<Item = usize>, version: &str) -> Result<()> {
        let params = PatchParams::apply("e2e").force();
        for number in numbers {
            let site = site(number, version);
            let name = format!("site{number}");
            self.stage
                .sites()
                .patch(&name, &params, &Patch::Apply(&site))
                .await?;
        }
        Ok(())
    }

    /// Waits until the edge answers with this version of a site.
    pub(crate) async fn serves(&self, number: usize, version: &str) -> Result<()> {
        let host = host(number);
        wait::until(&format!("{host} is served"), SOON, || async {
            let body = self.edge.body(&host).await?;
            ensure!(body == format!("{number} {version}"), "{body}");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until the edge closes connections that ask for a site which isn't any more.
    pub(crate) async fn refuses(&self, number: usize) -> Result<()> {
        let host = host(number);
        wait::until(&format!("{host} isn't served"), SOON, || async {
            match client::get(self.edge.http(), &host, "/").await {
                Ok(answer) => Err(answer.status()),
                Err(_) => Ok(()),
            }
        })
        .await
    }

    /// The edge's `EdgeNode`.
    pub(crate) async fn node(&self) -> Result<EdgeNode> {
        let nodes: Api<EdgeNode> = Api::namespaced(self.stage.client(), EDGES);
        Ok(nodes.get(&self.pod.name_any()).await?)
    }

    /// Waits until the status of the `EdgeNode` is right.
    pub(crate) async fn node_until(
        &self,
        what: &str,
        is_right: impl Fn(&EdgeNodeStatus) -> Result<()>,
    ) -> Result<EdgeNodeStatus> {
        wait::until(what, SOON, || async {
            let status = self.node().await?.status.context("no status")?;
            is_right(&status)?;
            anyhow::Ok(status)
        })
        .await
    }

    /// The version of the newest Secret that is published.
    pub(crate) async fn newest_published(&self) -> Result<u64> {
        let published = self.stage.published().await?;
        let versions = published.values().filter_map(ResourceExt::resource_version);
        let versions = versions.filter_map(|version| version.parse().ok());
        versions.max().context("nothing is published")
    }

    /// Waits until the condition Ready of every site is true.
    pub(crate) async fn all_ready(&self) -> Result<()> {
        wait::until("every site is ready", SOON, || async {
            for site in &self.stage.sites().list(&ListParams::default()).await? {
                let conditions = site.status.as_ref().map(|status| &status.conditions);
                let ready = conditions.and_then(|all| all.iter().find(|condition| condition.kind == "Ready"));
                let ready = ready.context("no condition Ready")?;
                ensure!(ready.status == ConditionStatus::True, "{ready:?}");
            }
            Ok(())
        })
        .await
    }
}

/// What a run before left must not be taken for this one's.
fn empty_directory(assets: &Assets, name: &str) -> Result<PathBuf> {
    let directory = assets.directory.join("edge").join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn site(number: usize, version: &str) -> Value {
    json!({
        "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeSite",
        "metadata": {"name": format!("site{number}"), "namespace": "default"},
        "spec": {
            "hosts": [host(number)],
            "routes": [{"name": "all", "respond": {"status": 200, "body": format!("{number} {version}")}}],
        },
    })
}
