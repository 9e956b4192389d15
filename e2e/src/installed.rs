//! A cluster with the chart installed, as a person would, and what scenarios ask of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use breakwater_crds::{Condition, EdgeNode, EdgeSite};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::cluster::{Assets, Cluster};
use crate::wait;

/// Namespace of the operator.
pub const SYSTEM: &str = "breakwater-system";

/// Namespace of the region's edges.
pub const EDGES: &str = "breakwater-edge-default";

/// Longest time until something that was applied is in effect. Scenarios measure nothing with it: it is
/// generous, since machines are slow at times.
pub const SOON: Duration = Duration::from_mins(1);

/// A cluster with operator and edges.
pub struct Installed {
    /// The cluster itself.
    pub cluster: Cluster,
}

impl Installed {
    /// Starts a cluster, installs the chart with Helm and waits until edges are live.
    pub async fn start(assets: &Assets, number: u8) -> Result<Self> {
        let cluster = Cluster::start(assets, number).await?;
        cluster.kubectl(&["label", "node", &cluster.node(), "edge=true"])?;
        let installed = Self { cluster };
        installed.helm("install", &["--create-namespace"])?;
        if let Err(error) = installed.region_ready().await {
            let report = installed.report();
            installed.keep().await;
            return Err(error.context(report));
        }
        Ok(installed)
    }

    /// `helm install` or `helm upgrade` with the values of the scenarios, or those of the release, and more.
    pub fn helm(&self, action: &str, more: &[&str]) -> Result<String> {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/breakwater");
        let values = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/values.yaml");
        let mut arguments = vec![action, "breakwater", chart, "--namespace", SYSTEM];
        // They would undo what an earlier scenario has set.
        if !more.contains(&"--reuse-values") {
            arguments.extend(["--values", values]);
        }
        arguments.extend(more);
        self.cluster.helm(&arguments)
    }

    /// Waits as a person would.
    pub async fn region_ready(&self) -> Result<()> {
        wait::until("the region is there", SOON, || async {
            self.cluster.kubectl(&["get", "edgeregion", "default"])
        })
        .await?;
        self.cluster
            .kubectl(&[
                "wait",
                "--for=condition=Ready",
                "edgeregion/default",
                "--timeout=90s",
            ])
            .map(drop)
    }

    /// Where edges serve plain HTTP.
    pub fn http(&self) -> Result<SocketAddr> {
        Ok(format!("{}:80", self.cluster.address()).parse()?)
    }

    /// Where edges serve HTTPS.
    pub fn https(&self) -> Result<SocketAddr> {
        Ok(format!("{}:443", self.cluster.address()).parse()?)
    }

    /// `kubectl wait --for=condition=Ready` of a site in the namespace `default`.
    pub fn site_ready(&self, name: &str) -> Result<()> {
        let name = format!("edgesite/{name}");
        let waited = self
            .cluster
            .kubectl(&["wait", "--for=condition=Ready", &name, "--timeout=60s"]);
        let status = || {
            self.cluster
                .kubectl(&["get", &name, "-o", "jsonpath={.status}"])
                .unwrap_or_default()
        };
        waited
            .map(drop)
            .with_context(|| format!("status of {name}: {}", status()))
    }

    /// A condition of a site in the namespace `default`.
    pub async fn condition(&self, site: &str, kind: &str) -> Result<Condition> {
        let api: Api<EdgeSite> = Api::default_namespaced(self.cluster.client());
        let status = api.get(site).await?.status.context("no status")?;
        let mut conditions = status.conditions.into_iter();
        conditions
            .find(|c| c.kind == kind)
            .with_context(|| format!("no condition {kind}"))
    }

    /// The Pods of the edges, or of the operator, that aren't going away.
    pub async fn pods(&self, namespace: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client(), namespace);
        let mut pods = api.list(&ListParams::default()).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// The one edge.
    pub async fn edge_pod(&self) -> Result<String> {
        match self.pods(EDGES).await?.as_slice() {
            [pod] => Ok(pod.name_any()),
            pods => bail!("{} Pods instead of one", pods.len()),
        }
    }

    /// What the edges say of themselves.
    pub async fn edge_nodes(&self) -> Result<Vec<EdgeNode>> {
        let api: Api<EdgeNode> = Api::namespaced(self.cluster.client(), EDGES);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// Ends the process of the first container of a Pod, at once, as the kernel would when memory is short.
    pub fn kill_container(&self, namespace: &str, pod: &str) -> Result<()> {
        self.kill(&self.container(namespace, pod)?)
    }

    /// The id of the first container of a Pod.
    pub fn container(&self, namespace: &str, pod: &str) -> Result<String> {
        let path = "jsonpath={.status.containerStatuses[0].containerID}";
        let id = self
            .cluster
            .kubectl(&["-n", namespace, "get", "pod", pod, "-o", path])?;
        let id = id.trim().trim_start_matches("containerd://").to_owned();
        ensure!(!id.is_empty(), "{pod} has no container");
        Ok(id)
    }

    /// Ends a container's process; needs no API server.
    pub fn kill(&self, container: &str) -> Result<()> {
        self.cluster
            .container_runtime(&["tasks", "kill", "--signal", "SIGKILL", container])
            .map(drop)
    }

    /// With `BREAKWATER_E2E_KEEP` set: says where the cluster is and leaves it running until Ctrl-C.
    pub async fn keep(&self) {
        if std::env::var_os("BREAKWATER_E2E_KEEP").is_some() {
            println!("kept until Ctrl-C: {}", self.cluster.how_to_look());
            let _ = tokio::signal::ctrl_c().await;
        }
    }

    /// What a person would look at when something is wrong.
    pub fn report(&self) -> String {
        let mut report = String::new();
        let edges = [
            "logs",
            "-n",
            EDGES,
            "-l",
            "app.kubernetes.io/name=breakwater-edge",
            "--tail=300",
            "--prefix",
        ];
        let operator = [
            "logs",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/component=operator",
            "--tail=300",
            "--prefix",
        ];
        let kinds = "edgesites,cachepolicies,raterules,edgeregions,edgenodes,pods";
        for arguments in [
            &["get", kinds, "-A", "-o", "wide"][..],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"][..],
            &operator[..],
            &edges[..],
        ] {
            let said = self
                .cluster
                .kubectl(arguments)
                .unwrap_or_else(|error| format!("{error:#}"));
            let _ = writeln!(report, "--- kubectl {}\n{said}", arguments.join(" "));
        }
        report
    }
}
