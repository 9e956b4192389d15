//! Local regions: their namespaces and edges.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::{EdgeNodeStatus, EdgeRegion, EdgeRegionSpec};
use breakwater_render::acknowledge;
use breakwater_render::{Retire, SecretPosition};
use kube::api::ObjectMeta;
use tracing::warn;

use super::region::{EdgeSays, RegionState};
use super::{State, StatusOf, Task};
use crate::controllers::sighting::{DaemonSetCounts, EdgePod, Source, Whole};
use crate::publish::Lane;
use crate::regions;

/// Annotation of an `EdgeRegion` by which a person agrees to withdrawals that are held back.
pub(super) const ACCEPT_WITHDRAWALS: &str = "edge.breakwater.dev/accept-withdrawals";

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
        let before = self.regions.get(&name).map(|region| &region.namespace);
        if before.is_some_and(|before| *before != namespace) {
            self.forget_published(&name);
        }
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
        self.forget_published(name);
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

    pub(super) fn region_at(&self, source: &Source) -> Option<String> {
        self.region_of(source.namespace.as_deref()?)
    }
}
