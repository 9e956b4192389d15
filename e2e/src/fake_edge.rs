//! An edge as the operator sees it: a live Pod and an `EdgeNode` that acknowledges what is published. It serves
//! nothing; where no kubelet is, no real one can run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use breakwater_crds::EdgeNode;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use breakwater_edge_config::bundle::SECRET_TYPE;
use breakwater_edge_config::incarnation::{CONFIG_MAP, ID_KEY};

/// Between two acknowledgements, at least.
const PAUSE: Duration = Duration::from_millis(100);

/// An edge that only acknowledges, until it is dropped.
pub struct FakeEdge {
    task: JoinHandle<()>,
}

impl Drop for FakeEdge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes the Pod of an edge, as it is when its container is ready.
pub async fn live_pod(client: &Client, namespace: &str, region: &str, name: &str) -> Result<Pod> {
    let apply = PatchParams::apply("fake-edge").force();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {
            "app.kubernetes.io/name": "breakwater-edge", "edge.breakwater.dev/region": region,
        }},
        "spec": {"nodeName": "node", "automountServiceAccountToken": false, "containers": [
            {"name": "edge", "image": "breakwater:e2e"},
        ]},
    });
    pods.patch(name, &apply, &Patch::Apply(pod)).await?;
    let ready = json!({
        "apiVersion": "v1", "kind": "Pod",
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    Ok(pods.patch_status(name, &apply, &Patch::Apply(ready)).await?)
}

impl FakeEdge {
    /// Makes its Pod and begins to acknowledge what is published in `namespace`.
    pub async fn start(client: &Client, namespace: &str, region: &str, name: &str) -> Result<Self> {
        let apply = PatchParams::apply("fake-edge").force();
        live_pod(client, namespace, region, name).await?;
        let nodes: Api<EdgeNode> = Api::namespaced(client.clone(), namespace);
        let node = json!({
            "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeNode",
            "metadata": {"name": name}, "spec": {"region": region, "node": "node"},
        });
        nodes.patch(name, &apply, &Patch::Apply(node)).await?;
        let edge = Acknowledger {
            secrets: Api::namespaced(client.clone(), namespace),
            incarnations: Api::namespaced(client.clone(), namespace),
            nodes,
            name: name.to_owned(),
        };
        Ok(Self {
            task: tokio::spawn(edge.run()),
        })
    }
}

struct Acknowledger {
    secrets: Api<PartialObjectMeta<Secret>>,
    incarnations: Api<ConfigMap>,
    nodes: Api<EdgeNode>,
    name: String,
}

impl Acknowledger {
    async fn run(self) {
        let config = Config::default().fields(&format!("type={SECRET_TYPE}"));
        let mut events = std::pin::pin!(watcher(self.secrets.clone(), config));
        let mut seen = BTreeMap::new();
        let mut newest = 0;
        let mut told = (String::new(), 0);
        let mut tick = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => newest = newest.max(version(&event, &mut seen)),
                    Some(Err(_)) => tokio::time::sleep(PAUSE).await,
                    None => return,
                },
                _ = tick.tick() => {
                    let Some(incarnation) = self.incarnation().await else { continue };
                    let now = (incarnation, newest);
                    if now != told && self.acknowledge(&now).await.is_ok() {
                        told = now;
                    }
                }
            }
        }
    }

    async fn incarnation(&self) -> Option<String> {
        let map = self.incarnations.get_opt(CONFIG_MAP).await.ok()??;
        map.data?.get(ID_KEY).cloned()
    }

    async fn acknowledge(&self, (incarnation, version): &(String, u64)) -> Result<(), kube::Error> {
        let status = json!({
            "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeNode",
            "status": {"version": "e2e", "ready": true, "acknowledged": {
                "incarnation": incarnation, "resourceVersion": version.to_string(),
            }},
        });
        let apply = PatchParams::apply("fake-edge").force();
        self.nodes
            .patch_status(&self.name, &apply, &Patch::Apply(status))
            .await
            .map(drop)
    }
}

/// The newest version that is known after an event.
fn version(event: &Event<PartialObjectMeta<Secret>>, seen: &mut BTreeMap<String, u64>) -> u64 {
    if let Event::Init = event {
        seen.clear();
    }
    if let Event::InitApply(secret) | Event::Apply(secret) | Event::Delete(secret) = event {
        let version = secret
            .resource_version()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        seen.insert(secret.name_any(), version);
    }
    // Until a list is complete, nothing of it counts.
    match event {
        Event::Init | Event::InitApply(_) => 0,
        _ => seen.values().copied().max().unwrap_or(0),
    }
}
