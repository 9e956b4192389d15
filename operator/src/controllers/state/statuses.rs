//! What people are told in statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use breakwater_crds::{
    Condition, ConditionStatus, EdgeRegionStatus, EdgeSiteStatus, PolicyStatus, TargetStatus, condition,
};
use breakwater_render::acknowledge::Carrier;
use breakwater_render::conditions::{Previous, overall};
use breakwater_render::{PolicyKind, StatusUpdate};
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::json;

use super::notes::{Announcement, Status, UnderWay};
use super::region::RegionState;
use super::{Begin, State, StatusOf, Task};
use crate::publish::{Lane, Resource, Write, notices, with_times};
use crate::regions::{NodeRoom, RegionFacts, region_conditions, shortage};

impl State {
    /// Render has said something new about an object.
    pub(super) fn status_rendered(&mut self, update: StatusUpdate) {
        let Some(of) = StatusOf::of(&update.key) else {
            return;
        };
        for wanted in &update.carriers {
            self.carried
                .entry(wanted.position.clone())
                .or_default()
                .insert(of.clone());
        }
        if let Some(old) = self.updates.insert(of.clone(), update) {
            self.drop_carriers(&of, &old);
        }
        self.mark_status(of);
    }

    /// What `old` was carried by and its successor isn't.
    fn drop_carriers(&mut self, of: &StatusOf, old: &StatusUpdate) {
        let kept: BTreeSet<_> = self
            .updates
            .get(of)
            .map(|update| {
                update
                    .carriers
                    .iter()
                    .map(|wanted| wanted.position.clone())
                    .collect()
            })
            .unwrap_or_default();
        for wanted in old
            .carriers
            .iter()
            .filter(|wanted| !kept.contains(&wanted.position))
        {
            if let Some(set) = self.carried.get_mut(&wanted.position) {
                set.remove(of);
                if set.is_empty() {
                    self.carried.remove(&wanted.position);
                }
            }
        }
    }

    /// An object is gone, and its status with it.
    pub(super) fn forget_status(&mut self, of: &StatusOf) {
        if let Some(old) = self.updates.remove(of) {
            self.drop_carriers(of, &old);
        }
        self.patience.remove(of);
        for set in self.unsettled.values_mut() {
            set.remove(of);
        }
    }

    pub(super) fn mark_status(&mut self, of: StatusOf) {
        if self.updates.contains_key(&of) {
            self.queue.mark(Task::Status(of), Lane::Status);
        }
    }

    pub(super) fn begin_status(&mut self, of: &StatusOf, now: Instant, wall: &str) -> Begin {
        if !self.started {
            return Begin::Nothing;
        }
        let (Some(update), Some(seen)) = (self.updates.get(of), self.objects.get(of)) else {
            return Begin::Nothing;
        };
        if update.generation != seen.meta.generation || seen.version.is_empty() {
            return Begin::Nothing; // a newer one is coming
        }
        let conditions = self.conditions(of, update);
        let is = |kind: &str| conditions.iter().find(|c| c.kind == kind).map(|c| c.status);
        let settled = is(condition::PROGRAMMED) == Some(ConditionStatus::True);
        let waits = is(condition::PROGRAMMED) == Some(ConditionStatus::Unknown);
        let before = seen.status.as_ref().map(Status::conditions).unwrap_or_default();
        let generation = update.generation;
        let conditions: Vec<Condition> = conditions
            .into_iter()
            .map(|c| Condition {
                kind: c.kind.to_owned(),
                status: c.status,
                observed_generation: Some(generation),
                last_transition_time: String::new(),
                reason: c.reason,
                message: c.message,
            })
            .collect();
        let status = self.status(of, update, with_times(conditions, before, wall));
        // Against what is known now: the watch may tell of the new status before the write has ended.
        let notices = notices(before, status.conditions());
        let same = seen.status.as_ref() == Some(&status);
        let regions: Vec<String> = update
            .carriers
            .iter()
            .map(|w| w.position.region.clone())
            .collect();
        let written = !update
            .carriers
            .iter()
            .any(|wanted| self.secrets.publishes.contains_key(&wanted.position));
        self.settle(of, &regions, settled);
        if same {
            self.patience.remove(of);
            return Begin::Nothing;
        }
        if let Some(at) = self.not_before(of, waits.then_some(written), &status, now) {
            return Begin::Later(at);
        }
        let write = self.status_write(of, &status);
        self.under_way.insert(of.clone(), UnderWay { status, notices });
        write.map_or(Begin::Nothing, |write| Begin::Write(Box::new(write)))
    }

    fn conditions(&self, of: &StatusOf, update: &StatusUpdate) -> Vec<breakwater_render::Condition> {
        let seen = self.objects.get(of).and_then(|seen| seen.status.as_ref());
        let previous = seen.map(|status| Previous {
            generation: status.generation(),
            config_hash: status.config_hash().map(str::to_owned),
            programmed: status
                .conditions()
                .iter()
                .any(|c| c.kind == condition::PROGRAMMED && c.status == ConditionStatus::True),
        });
        let carriers: Vec<Carrier> = update
            .carriers
            .iter()
            .map(|wanted| match self.regions.get(&wanted.position.region) {
                Some(region) => region.carrier(wanted),
                None => Carrier {
                    position: wanted.position.clone(),
                    written: None,
                    wanted: wanted.hash.clone(),
                },
            })
            .collect();
        let conditions = overall(update, previous.as_ref(), &carriers, &self.edges);
        match of {
            StatusOf::Region(name) => match self.regions.get(name) {
                Some(region) => region_conditions(conditions, &self.facts(name, region)),
                None => conditions,
            },
            StatusOf::Site(_) | StatusOf::Policy(_) => conditions,
        }
    }

    /// What a region's status is made from.
    fn facts<'a>(&'a self, name: &'a str, region: &'a RegionState) -> RegionFacts<'a> {
        let edges = self.edges.get(name);
        let rooms: BTreeMap<&str, &NodeRoom> = region
            .pods
            .values()
            .filter_map(|pod| Some((pod.node.as_str(), &self.machines.get(&pod.node)?.room)))
            .collect();
        let unschedulable = region.pods.values().find_map(|pod| pod.unschedulable.as_deref());
        RegionFacts {
            name,
            namespace: &region.namespace,
            namespace_exists: self.namespaces.contains(&region.namespace),
            forbidden: self.forbidden(&region.namespace),
            refusal: region.refusal(),
            desired: region.daemon_set.and_then(|set| set.desired),
            live: edges.map_or(0, |edges| edges.edges.iter().filter(|edge| edge.live).count()),
            shortage: region
                .object
                .as_deref()
                .and_then(|object| shortage(object, rooms.into_values())),
            unschedulable,
            held: region.guard.held(),
        }
    }

    fn status(&self, of: &StatusOf, update: &StatusUpdate, conditions: Vec<Condition>) -> Status {
        match of {
            StatusOf::Site(_) => Status::Site(EdgeSiteStatus {
                observed_generation: update.generation,
                config_hash: update.config_hash.as_ref().map(ToString::to_string),
                conditions,
            }),
            StatusOf::Policy(_) => Status::Policy(PolicyStatus {
                observed_generation: update.generation,
                targets: self.targets(of, update, &conditions),
                conditions,
                target_count: update.target_count,
            }),
            StatusOf::Region(name) => {
                let region = self.regions.get(name);
                let edges = self.edges.get(name);
                let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                let live = edges.map_or(0, |edges| edges.edges.iter().filter(|edge| edge.live).count());
                let current = region
                    .zip(edges)
                    .map_or(0, |(region, edges)| region.current(edges));
                Status::Region(EdgeRegionStatus {
                    observed_generation: update.generation,
                    conditions,
                    desired: region.and_then(|r| r.daemon_set?.desired).unwrap_or(0),
                    live: count(live),
                    current: count(current),
                    sites: count(region.map_or(0, RegionState::sites)),
                })
            }
        }
    }

    fn targets(&self, of: &StatusOf, update: &StatusUpdate, conditions: &[Condition]) -> Vec<TargetStatus> {
        let before = match self.objects.get(of).and_then(|seen| seen.status.as_ref()) {
            Some(Status::Policy(status)) => status.targets.as_slice(),
            _ => &[],
        };
        // The time that `with_times` put into what has just changed.
        let now = conditions
            .iter()
            .map(|c| c.last_transition_time.as_str())
            .max()
            .unwrap_or_default();
        update
            .targets
            .iter()
            .map(|target| {
                let old = before
                    .iter()
                    .find(|old| old.name == target.name && old.section_name == target.section_name);
                let condition = Condition {
                    kind: target.condition.kind.to_owned(),
                    status: target.condition.status,
                    observed_generation: Some(update.generation),
                    last_transition_time: String::new(),
                    reason: target.condition.reason.clone(),
                    message: target.condition.message.clone(),
                };
                let old = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
                TargetStatus {
                    kind: "EdgeSite".to_owned(),
                    name: target.name.clone(),
                    section_name: target.section_name.clone(),
                    conditions: with_times(vec![condition], old, now),
                }
            })
            .collect()
    }

    fn status_write(&self, of: &StatusOf, status: &Status) -> Option<Write> {
        let seen = self.objects.get(of)?;
        let (resource, kind) = resource(of);
        let mut metadata = json!({
            "name": seen.meta.name,
            "uid": seen.meta.uid,
            "resourceVersion": seen.version,
        });
        if !seen.meta.namespace.is_empty()
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("namespace".to_owned(), seen.meta.namespace.clone().into());
        }
        Some(Write::Apply {
            resource,
            namespace: seen.meta.namespace.clone(),
            name: seen.meta.name.clone(),
            body: json!({
                "apiVersion": api_version(),
                "kind": kind,
                "metadata": metadata,
                "status": status.to_json().ok()?,
            }),
        })
    }

    /// A status was written; the object has this version now.
    pub(super) fn status_written(&mut self, of: &StatusOf, version: String, now: Instant) {
        let Some(UnderWay { status, notices }) = self.under_way.remove(of) else {
            return;
        };
        self.patience.remove(of);
        if let StatusOf::Region(name) = of
            && let Some(region) = self.regions.get_mut(name)
        {
            region.told = Some(now);
        }
        let Some(seen) = self.objects.get_mut(of) else {
            return;
        };
        if !notices.is_empty() {
            let (_, kind) = resource(of);
            self.announcements.push(Announcement {
                about: ObjectReference {
                    api_version: Some(api_version()),
                    kind: Some(kind.to_owned()),
                    name: Some(seen.meta.name.clone()),
                    namespace: Some(seen.meta.namespace.clone()).filter(|n| !n.is_empty()),
                    uid: Some(seen.meta.uid.clone()),
                    ..ObjectReference::default()
                },
                notices,
            });
        }
        seen.version = version;
        seen.status = Some(status);
    }

    /// What people are to be told since the last time.
    pub fn announcements(&mut self) -> Vec<Announcement> {
        std::mem::take(&mut self.announcements)
    }
}

fn api_version() -> String {
    format!("{}/{}", breakwater_crds::GROUP, breakwater_crds::VERSION)
}

fn resource(of: &StatusOf) -> (Resource, &'static str) {
    match of {
        StatusOf::Site(_) => (Resource::SiteStatus, "EdgeSite"),
        StatusOf::Region(_) => (Resource::RegionStatus, "EdgeRegion"),
        StatusOf::Policy(policy) => match policy.kind {
            PolicyKind::CachePolicy => (Resource::CachePolicyStatus, "CachePolicy"),
            PolicyKind::RateRule => (Resource::RateRuleStatus, "RateRule"),
        },
    }
}
