//! The `EdgeNode`: what this edge says about itself, written when it changed, at most once a second.
//!
//! It must never delay traffic or configuration: whatever the API answers, it is tried again later.

mod status;

use std::sync::Arc;
use std::time::Duration;

use breakwater_crds::{EdgeNode, EdgeNodeSpec, EdgeNodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Gauges;
use super::kubernetes::{Options, client};
use crate::Edge;
pub(super) use status::Report;

const MANAGER: &str = "breakwater-edge";
/// Between two writes.
const PACE: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// After so many failures in a row a new client is made.
const MANY_FAILURES: u32 = 5;

/// Keeps the `EdgeNode` current, for as long as it is polled.
pub(super) async fn keep(
    edge: Edge,
    options: Options,
    mut reports: watch::Receiver<Report>,
    gauges: Arc<Gauges>,
) {
    let mut edge_changes = edge.watch();
    let mut writer = NodeWriter {
        options,
        client: None,
        exists: false,
    };
    let mut written: Option<(u64, EdgeNodeStatus)> = None;
    let mut failures: u32 = 0;
    loop {
        let report = reports.borrow_and_update().clone();
        edge_changes.borrow_and_update();
        let now = (report.lists, status::of(&edge.status(), &report));
        if written.as_ref() == Some(&now) {
            let ended = tokio::select! {
                told = reports.changed() => told.is_err(),
                told = edge_changes.changed() => told.is_err(),
            };
            if ended {
                return;
            }
            continue;
        }
        let next = Instant::now() + PACE;
        // After a list the store may be another: then the object may be old or gone.
        writer.exists &= written.as_ref().is_some_and(|(lists, _)| *lists == now.0);
        match writer.write(&now.1).await {
            Ok(()) => {
                gauges.node_writes.count();
                failures = 0;
                written = Some(now);
                sleep_until(next).await;
            }
            Err(error) => {
                gauges.node_failures.count();
                failures = failures.saturating_add(1);
                tracing::warn!(error, "the EdgeNode can't be written");
                written = None;
                if failures.is_multiple_of(MANY_FAILURES) {
                    writer.client = None;
                }
                sleep(backoff(failures)).await;
            }
        }
    }
}

/// Between half and all of a time that doubles with each failure.
fn backoff(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let max = PACE.saturating_mul(factor).min(MAX_BACKOFF);
    max.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

struct NodeWriter {
    options: Options,
    client: Option<Client>,
    exists: bool,
}

impl NodeWriter {
    async fn write(&mut self, status: &EdgeNodeStatus) -> Result<(), String> {
        match timeout(REQUEST_TIMEOUT, self.try_write(status)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
        }
    }

    async fn try_write(&mut self, status: &EdgeNodeStatus) -> Result<(), String> {
        let client = if let Some(client) = &self.client {
            client.clone()
        } else {
            let made = client(self.options.kubeconfig.as_deref()).await;
            self.client
                .insert(made.map_err(|error| error.to_string())?)
                .clone()
        };
        let api: Api<EdgeNode> = Api::namespaced(client, &self.options.namespace);
        let params = PatchParams::apply(MANAGER).force();
        let mut node = self.node();
        if !self.exists {
            let created = api.patch(&self.options.pod, &params, &Patch::Apply(&node)).await;
            created.map_err(|error| error.to_string())?;
        }
        self.exists = true;
        node.status = Some(status.clone());
        // The owner was told above; a status is applied on its own.
        node.metadata.owner_references = None;
        let applied = api
            .patch_status(&self.options.pod, &params, &Patch::Apply(&node))
            .await;
        applied.map(|_| ()).map_err(|error| {
            // Gone, perhaps: it is made anew the next time.
            self.exists = false;
            error.to_string()
        })
    }

    fn node(&self) -> EdgeNode {
        let Options {
            region,
            node,
            pod,
            pod_uid,
            ..
        } = &self.options;
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.clone(),
            uid: pod_uid.clone(),
            ..OwnerReference::default()
        };
        EdgeNode {
            metadata: ObjectMeta {
                name: Some(pod.clone()),
                owner_references: (!pod_uid.is_empty()).then(|| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: EdgeNodeSpec {
                region: region.clone(),
                node: node.clone(),
            },
            status: None,
        }
    }
}
