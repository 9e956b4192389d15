//! Local regions: their namespaces, edges and incarnations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use breakwater_crds::{EdgeNodeStatus, EdgeRegion, EdgeRegionSpec};
use breakwater_edge_config::bundle::{REGION_SECRET, SITE_SECRET_PREFIX};
use breakwater_edge_config::incarnation::Incarnation;
use breakwater_render::acknowledge::{self, Carrier, Edge, Progress, RegionEdges};
use breakwater_render::{Retire, SecretPosition};
use kube::api::ObjectMeta;
use tracing::warn;

use super::{State, StatusOf, Task};
use crate::controllers::rewind::Highest;
use crate::controllers::sighting::{DaemonSetCounts, EdgePod, IncarnationMap, Source, Whole};
use crate::publish::{Lane, PublishedSecret};
use crate::regions;

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
    /// What the API server said to the last write that it refused.
    pub refusal: Option<String>,
    /// Withdrawals that are held back: how many, and the token to agree to them.
    pub held: Option<(usize, String)>,
    /// The token that a person has agreed to.
    pub accepted: Option<String>,
}

/// What an edge says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeSays {
    status: EdgeNodeStatus,
    /// Version of the object that says it.
    version: u64,
}

/// Annotation of an `EdgeRegion` by which a person agrees to withdrawals that are held back.
pub(super) const ACCEPT_WITHDRAWALS: &str = "edge.breakwater.dev/accept-withdrawals";

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
    fn edges(&self) -> RegionEdges {
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
    fn sees_the_future(&self, edges: &RegionEdges) -> bool {
        edges.edges.iter().any(|edge| {
            let newest = self.nodes.get(&edge.name).map_or(0, |says| says.version);
            newest > 0 && acknowledge::is_from_the_future(edge, &edges.incarnation, newest)
        })
    }

    /// True when every live edge has loaded the region's settings as they are published now.
    fn all_have_the_settings(&self, edges: &RegionEdges) -> bool {
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

impl State {
    /// Every local region, by name.
    pub fn regions(&self) -> &BTreeMap<String, RegionState> {
        &self.regions
    }

    pub(super) fn region_seen(&mut self, meta: &ObjectMeta, spec: &EdgeRegionSpec) {
        let name = meta.name.clone().unwrap_or_default();
        let object = EdgeRegion {
            metadata: ObjectMeta {
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                ..ObjectMeta::default()
            },
            spec: spec.clone(),
            status: None,
        };
        let Some(namespace) = regions::namespace(&object) else {
            self.region_gone(&name);
            return;
        };
        let region = self.regions.entry(name.clone()).or_default();
        if region.namespace != namespace {
            *region = RegionState {
                namespace,
                ..RegionState::default()
            };
        }
        let accepted = meta.annotations.as_ref().and_then(|a| a.get(ACCEPT_WITHDRAWALS));
        region.accepted = accepted.cloned();
        if region.object.as_deref() != Some(&object) {
            region.object = Some(Box::new(object));
            self.mark_region(&name);
        }
        self.judge_withdrawals(&name);
    }

    /// What a region needs is applied (again).
    pub(super) fn mark_region(&mut self, name: &str) {
        self.queue.mark(Task::DaemonSet(name.to_owned()), Lane::Traffic);
        self.queue
            .mark(Task::MetricsService(name.to_owned()), Lane::Traffic);
        self.queue.mark(Task::Incarnation(name.to_owned()), Lane::Traffic);
        self.mark_status(StatusOf::Region(name.to_owned()));
    }

    pub(super) fn region_gone(&mut self, name: &str) {
        self.regions.remove(name);
        self.edges.remove(name);
        self.unsettled.remove(name);
        if self.options.regions.contains_key(name) {
            self.queue.mark(Task::Region(name.to_owned()), Lane::Traffic);
        }
    }

    /// The region whose namespace this is.
    pub(super) fn region_of(&self, namespace: &str) -> Option<String> {
        let found = self
            .regions
            .iter()
            .find(|(_, region)| region.namespace == namespace);
        found.map(|(name, _)| name.clone())
    }

    /// Something that many regions' statuses depend on has changed.
    pub(super) fn regions_changed(&mut self) {
        let names: Vec<String> = self.regions.keys().cloned().collect();
        for name in names {
            self.mark_status(StatusOf::Region(name));
        }
    }

    /// A watch of a region's namespace has listed.
    pub(super) fn region_listed(&mut self, namespace: &str) {
        if let Some(name) = self.region_of(namespace)
            && self.is_region_listed(namespace)
        {
            self.mark_region(&name);
            self.edges_changed(&name);
            self.mark_pending_of(&name);
        }
    }

    pub(super) fn edge_node(
        &mut self,
        source: &Source,
        name: &str,
        node: Option<&Whole<breakwater_crds::EdgeNodeSpec, EdgeNodeStatus>>,
    ) {
        let Some(region) = self.region_at(source) else {
            return;
        };
        let Some(state) = self.regions.get_mut(&region) else {
            return;
        };
        match node {
            Some(node) => {
                let version = node.meta.resource_version.as_deref();
                let says = EdgeSays {
                    status: node.status.clone().unwrap_or_default(),
                    version: version.and_then(acknowledge::version).unwrap_or(0),
                };
                state.nodes.insert(name.to_owned(), says);
            }
            None => {
                state.nodes.remove(name);
            }
        }
        self.edges_changed(&region);
    }

    pub(super) fn edge_pod(&mut self, source: &Source, name: &str, pod: Option<EdgePod>) {
        let Some(region) = self.region_at(source) else {
            return;
        };
        let Some(state) = self.regions.get_mut(&region) else {
            return;
        };
        match pod {
            Some(pod) => {
                // A Pod of the same name, but another one, has said nothing yet.
                if state
                    .pods
                    .insert(name.to_owned(), pod.clone())
                    .is_some_and(|old| old.uid != pod.uid)
                {
                    state.nodes.remove(name);
                }
            }
            None => {
                state.pods.remove(name);
            }
        }
        self.edges_changed(&region);
    }

    pub(super) fn daemon_set(&mut self, source: &Source, counts: Option<DaemonSetCounts>) {
        let Some(region) = self.region_at(source) else {
            return;
        };
        let Some(state) = self.regions.get_mut(&region) else {
            return;
        };
        let generation = counts.and_then(|counts| counts.generation);
        let foreign = state
            .applied
            .as_ref()
            .is_some_and(|(_, applied)| *applied < generation);
        state.daemon_set = counts;
        if counts.is_none() || foreign {
            state.applied = None;
            self.queue.mark(Task::DaemonSet(region.clone()), Lane::Traffic);
        }
        self.mark_status(StatusOf::Region(region));
    }

    pub(super) fn incarnation(&mut self, source: &Source, map: Option<IncarnationMap>) {
        let Some(region) = self.region_at(source) else {
            return;
        };
        let Some(state) = self.regions.get_mut(&region) else {
            return;
        };
        let id = |map: &Option<IncarnationMap>| Some(map.as_ref()?.says.as_ref()?.id.clone());
        let (before, after) = (id(&state.incarnation), id(&map));
        if before.is_some() && after.is_some() && before != after {
            self.told_of_a_rewind = true;
        }
        state.incarnation = map;
        self.queue.mark(Task::Incarnation(region.clone()), Lane::Traffic);
        self.edges_changed(&region);
    }

    /// Edges have come, gone or acknowledged something.
    pub(super) fn edges_changed(&mut self, name: &str) {
        let Some(region) = self.regions.get_mut(name) else {
            return;
        };
        let edges = region.edges();
        if self.edges.get(name) == Some(&edges) {
            return;
        }
        if region.sees_the_future(&edges) && !region.renew {
            warn!(
                region = name,
                "an edge acknowledges a version that is still to come: a new incarnation"
            );
            region.renew = true;
            self.queue.mark(Task::Incarnation(name.to_owned()), Lane::Traffic);
        }
        self.edges.insert(name.to_owned(), edges);
        self.mark_status(StatusOf::Region(name.to_owned()));
        for of in self.unsettled.get(name).cloned().unwrap_or_default() {
            self.mark_status(of);
        }
        self.retire_parts(name);
    }

    /// Parts that no edge needs any more may go.
    pub(super) fn retire_parts(&mut self, name: &str) {
        let Some(region) = self.regions.get(name) else {
            return;
        };
        let edges = self.edges.get(name).cloned().unwrap_or_default();
        if region.retire.is_empty() || !region.all_have_the_settings(&edges) {
            return;
        }
        let positions: BTreeSet<SecretPosition> = region
            .retire
            .values()
            .map(|retire| retire.position.clone())
            .collect();
        for position in positions {
            self.queue.mark(Task::Secret(position), Lane::Traffic);
        }
    }

    /// True when a part that nothing refers to may be deleted now.
    pub(super) fn may_retire(&self, position: &SecretPosition) -> Option<Retire> {
        let region = self.regions.get(&position.region)?;
        let retire = region.retire.get(&position.secret)?;
        let edges = self.edges.get(&position.region).cloned().unwrap_or_default();
        region.all_have_the_settings(&edges).then(|| retire.clone())
    }

    /// The store's version; a lower one than before means that it was restored from an older copy. True:
    /// every watch must be started anew.
    pub fn store_version(&mut self, version: u64) -> bool {
        let back = self.highest.went_back(version);
        if back {
            self.store_rewound();
        }
        back
    }

    /// The store was restored from an older copy.
    pub fn store_rewound(&mut self) {
        warn!("the store went back to an older copy; everything is listed anew");
        self.highest = Highest::default();
        for name in self.regions.keys() {
            self.queue.mark(Task::Incarnation(name.clone()), Lane::Traffic);
        }
    }

    /// True once after another replica has renewed an incarnation: it has seen a restore that this one may
    /// have missed.
    pub fn told_of_a_rewind(&mut self) -> bool {
        std::mem::take(&mut self.told_of_a_rewind)
    }

    fn region_at(&self, source: &Source) -> Option<String> {
        self.region_of(source.namespace.as_deref()?)
    }

    /// What the incarnation's object is to say; `None`: it says it.
    pub(super) fn wanted_incarnation(&self, name: &str) -> Option<Incarnation> {
        let region = self.regions.get(name)?;
        let says = region.incarnation.as_ref().and_then(|map| map.says.clone());
        // The number is written after the Secrets that it counts.
        let settled = !self.secrets.any_of(name);
        let sites = settled.then_some(u64::try_from(region.sites()).unwrap_or(u64::MAX));
        match says {
            Some(says) if !region.renew => {
                let sites = sites.or(says.sites);
                (says.sites != sites).then_some(Incarnation { sites, ..says })
            }
            _ => Some(Incarnation {
                id: new_id(),
                sites,
                accepted_sites: None,
            }),
        }
    }
}

/// An id that was never used before, and that sorts by time for people.
fn new_id() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    format!("{seconds:x}-{:016x}", fastrand::u64(..))
}
