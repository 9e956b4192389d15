//! What is known of a local region.

use std::collections::BTreeMap;
use std::time::Instant;

use breakwater_crds::{EdgeNodeStatus, EdgeRegion};
use breakwater_edge_config::bundle::{REGION_SECRET, SITE_SECRET_PREFIX};
use breakwater_render::Retire;
use breakwater_render::acknowledge::{self, Carrier, Edge, Progress, RegionEdges};

use super::Task;
use crate::controllers::sighting::{DaemonSetCounts, EdgePod, IncarnationMap};
use crate::publish::{Guard, PublishedSecret};

/// A local region.
#[derive(Clone, Debug, Default)]
pub struct RegionState {
    /// Where its edges and Secrets are.
    pub namespace: String,
    /// The object, without its status.
    pub object: Option<Box<EdgeRegion>>,
    /// What is published there, by name.
    pub published: BTreeMap<String, PublishedSecret>,
    /// Pods of its edges.
    pub pods: BTreeMap<String, EdgePod>,
    /// What the edges say, by Pod.
    pub nodes: BTreeMap<String, EdgeSays>,
    /// Its `DaemonSet`; `None`: there is none.
    pub daemon_set: Option<DaemonSetCounts>,
    /// What was applied as its `DaemonSet`, and which generation that made.
    pub applied: Option<(serde_json::Value, Option<i64>)>,
    /// Its incarnation's `ConfigMap`.
    pub incarnation: Option<IncarnationMap>,
    /// When its status was last written.
    pub told: Option<Instant>,
    /// A new incarnation is due.
    pub renew: bool,
    /// Parts that may go once every live edge has the current settings.
    pub retire: BTreeMap<String, Retire>,
    /// What the API server said to writes that it refuses.
    pub refusals: BTreeMap<Task, String>,
    /// Holds withdrawals back that can't have been meant.
    pub guard: Guard,
    /// The token that a person has agreed to.
    pub accepted: Option<String>,
}

/// What an edge says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeSays {
    pub(super) status: EdgeNodeStatus,
    /// Version of the object that says it.
    pub(super) version: u64,
}

impl RegionState {
    /// Versions of Secrets mean nothing any more; the next list says them anew.
    pub(super) fn forget_versions(&mut self) {
        for secret in self.published.values_mut() {
            secret.object.resource_version.clear();
        }
        for says in self.nodes.values_mut() {
            says.version = 0;
        }
        self.renew = true;
    }

    /// What the API server said to one of the writes that it refuses, the same one as long as it does.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusals.first_key_value().map(|(_, said)| said.as_str())
    }

    /// How many sites are published.
    pub fn sites(&self) -> usize {
        self.published
            .keys()
            .filter(|name| name.starts_with(SITE_SECRET_PREFIX))
            .count()
    }

    /// How many live edges have loaded everything that is published.
    pub(super) fn current(&self, edges: &RegionEdges) -> usize {
        let newest = self.published.values().map(version_of).max().unwrap_or(0);
        let has_all = |edge: &&Edge| {
            edge.live
                && edge.incarnation == edges.incarnation
                && edge.version >= newest
                && edge.failed_count == 0
        };
        edges.edges.iter().filter(has_all).count()
    }

    /// The Secret as acknowledgements are judged by it.
    pub(super) fn carrier(&self, wanted: &breakwater_render::Wanted) -> Carrier {
        let secret = self.published.get(&wanted.position.secret);
        Carrier {
            position: wanted.position.clone(),
            written: secret.map(|secret| (secret.object.hash.clone(), version_of(secret))),
            wanted: wanted.hash.clone(),
        }
    }

    /// Pods and what they say, together. A live Pod that hasn't said anything yet has loaded nothing.
    pub(super) fn edges(&self) -> RegionEdges {
        let incarnation = self.incarnation.as_ref().and_then(|map| map.says.as_ref());
        let says = self
            .nodes
            .iter()
            .map(|(name, says)| edge(name, says, self.pods.get(name)));
        let silent = self
            .pods
            .iter()
            .filter(|(name, _)| !self.nodes.contains_key(*name));
        let silent = silent.map(|(name, pod)| edge(name, &EdgeSays::default(), Some(pod)));
        RegionEdges {
            incarnation: incarnation.map(|says| says.id.clone()).unwrap_or_default(),
            edges: says.chain(silent).collect(),
        }
    }

    /// True when an edge acknowledges what can't have been when its `EdgeNode` was written: the store was
    /// restored from an older copy, and versions repeat.
    pub(super) fn sees_the_future(&self, edges: &RegionEdges) -> bool {
        edges.edges.iter().any(|edge| {
            let newest = self.nodes.get(&edge.name).map_or(0, |says| says.version);
            newest > 0 && acknowledge::is_from_the_future(edge, &edges.incarnation, newest)
        })
    }

    /// True when every live edge has loaded the region's settings as they are published now.
    pub(super) fn all_have_the_settings(&self, edges: &RegionEdges) -> bool {
        let Some(settings) = self.published.get(REGION_SECRET) else {
            return false;
        };
        let carrier = Carrier {
            position: settings.object.position.clone(),
            written: Some((settings.object.hash.clone(), version_of(settings))),
            wanted: settings.object.hash.clone(),
        };
        let mut live = edges.edges.iter().filter(|edge| edge.live);
        live.all(|edge| acknowledge::progress(&carrier, edge, &edges.incarnation) == Progress::Loaded)
    }
}

fn version_of(secret: &PublishedSecret) -> u64 {
    acknowledge::version(&secret.object.resource_version).unwrap_or(u64::MAX)
}

fn edge(name: &str, says: &EdgeSays, pod: Option<&EdgePod>) -> Edge {
    let acknowledged = says.status.acknowledged.clone().unwrap_or_default();
    Edge {
        name: name.to_owned(),
        live: pod.is_some_and(|pod| pod.live),
        version: acknowledge::version(&acknowledged.resource_version).unwrap_or(0),
        incarnation: acknowledged.incarnation,
        failed: says
            .status
            .failed
            .iter()
            .map(|failed| (failed.object.clone(), failed.reason.clone()))
            .collect(),
        failed_count: u64::try_from(says.status.failed_count).unwrap_or(0),
    }
}
