//! A region's own objects, and what became of writes.

use std::time::Instant;

use breakwater_edge_config::incarnation::{CONFIG_MAP, Incarnation};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{Begin, State, StatusOf, Task};
use crate::controllers::sighting::IncarnationMap;
use crate::publish::{Lane, Outcome, PublishedSecret, Resource, Write};
use crate::regions::{DAEMON_SET, METRICS_SERVICE, build, labels, metrics_service};

impl State {
    /// A region's namespace, when it may be written to: it takes part and everything there is known.
    fn writable(&self, name: &str) -> Option<String> {
        let region = self.regions.get(name)?;
        let refused = self
            .updates
            .get(&StatusOf::Region(name.to_owned()))
            .is_none_or(breakwater_render::StatusUpdate::is_refused);
        let ready = self.started && !refused && self.is_region_listed(&region.namespace);
        ready.then(|| region.namespace.clone())
    }

    pub(super) fn begin_daemon_set(&mut self, name: &str) -> Begin {
        let Some(namespace) = self.writable(name) else {
            return Begin::Nothing;
        };
        let Some(region) = self.regions.get_mut(name) else {
            return Begin::Nothing;
        };
        let built = region
            .object
            .as_deref()
            .and_then(|object| build(object, &self.options.edge));
        let Some(body) = built.and_then(|set| typed(&set, "apps/v1", "DaemonSet")) else {
            return Begin::Nothing;
        };
        if region
            .applied
            .as_ref()
            .is_some_and(|(applied, _)| *applied == body)
        {
            return Begin::Nothing;
        }
        region.applied = Some((body.clone(), None));
        apply(Resource::DaemonSet, namespace, DAEMON_SET, body)
    }

    pub(super) fn begin_metrics_service(&mut self, name: &str) -> Begin {
        let Some(namespace) = self.writable(name) else {
            return Begin::Nothing;
        };
        let object = self.regions.get(name).and_then(|region| region.object.as_deref());
        match object
            .and_then(metrics_service)
            .and_then(|service| typed(&service, "v1", "Service"))
        {
            Some(body) => apply(Resource::Service, namespace, METRICS_SERVICE, body),
            None => Begin::Write(Box::new(Write::Delete {
                resource: Resource::Service,
                namespace,
                name: METRICS_SERVICE.to_owned(),
                uid: String::new(),
                version: String::new(),
                if_sites_are_defined: false,
            })),
        }
    }

    pub(super) fn begin_incarnation(&mut self, name: &str) -> Begin {
        let Some(namespace) = self.writable(name) else {
            return Begin::Nothing;
        };
        let Some(wanted) = self.wanted_incarnation(name) else {
            return Begin::Nothing;
        };
        let version = self
            .regions
            .get(name)
            .and_then(|region| region.incarnation.as_ref());
        let mut metadata = json!({"name": CONFIG_MAP, "namespace": namespace, "labels": labels(name)});
        if let (Some(map), Some(metadata)) = (version, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), map.version.clone().into());
        }
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": wanted.to_data(),
        });
        apply(Resource::ConfigMap, namespace, CONFIG_MAP, body)
    }

    pub(super) fn begin_region(&mut self, name: &str) -> Begin {
        if !self.started {
            return Begin::Nothing; // marked again when it is
        }
        let Some(spec) = self.options.regions.get(name) else {
            return Begin::Nothing;
        };
        let Ok(spec) = serde_json::to_value(spec) else {
            return Begin::Nothing;
        };
        let body = json!({
            "apiVersion": format!("{}/{}", breakwater_crds::GROUP, breakwater_crds::VERSION),
            "kind": "EdgeRegion",
            "metadata": {"name": name},
            "spec": spec,
        });
        apply(Resource::Region, String::new(), name, body)
    }

    /// Takes in what became of a write.
    pub fn written(&mut self, task: &Task, outcome: Outcome, now: Instant, random: f64) {
        let failed = match outcome {
            Outcome::Applied(object) => !self.applied_by_us(task, *object, now),
            Outcome::Deleted => {
                if let Task::Secret(position) = task {
                    self.secret_deleted(position);
                }
                false
            }
            Outcome::SitesUndefined => {
                if let Task::Secret(position) = task {
                    self.sites_undefined(position);
                }
                false
            }
            Outcome::Conflict => {
                debug!(?task, "another version is there");
                match task {
                    Task::Secret(position) => self.secret_conflict(position),
                    Task::DaemonSet(region) => self.forget_applied(region),
                    _ => {}
                }
                true
            }
            // A status whose object has gone needs no second try.
            Outcome::Missing(_) if matches!(task, Task::Status(_)) => false,
            Outcome::Missing(said) | Outcome::Failed(said) => {
                debug!(?task, said, "a write failed; it is tried again");
                self.forget_applied_of(task);
                true
            }
            Outcome::Refused(said) => {
                if matches!(task, Task::Status(_) | Task::Region(_)) {
                    warn!(?task, said, "the API server refuses a write; it is tried again");
                }
                self.forget_applied_of(task);
                self.refused(task, Some(said));
                true
            }
            Outcome::NotLeading => {
                self.forget_applied_of(task);
                true
            }
        };
        if !failed {
            self.refused(task, None);
        }
        self.queue.done(task, failed, now, random);
    }

    /// False when what is there isn't what was applied.
    fn applied_by_us(&mut self, task: &Task, object: DynamicObject, now: Instant) -> bool {
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        match task {
            Task::Secret(position) => {
                let Ok(secret) = object.try_parse::<Secret>() else {
                    self.secret_conflict(position);
                    return false;
                };
                let names = secret
                    .data
                    .iter()
                    .flatten()
                    .map(|(name, _)| name.clone())
                    .collect();
                return self.secret_written(position, (PublishedSecret::read(secret, false), names));
            }
            Task::Status(of) => self.status_written(of, version, now),
            Task::DaemonSet(region) => {
                if let Some((_, generation)) = self.regions.get_mut(region).and_then(|r| r.applied.as_mut()) {
                    *generation = object.metadata.generation;
                }
            }
            Task::Incarnation(name) => {
                let data = object.data.get("data").cloned().unwrap_or_default();
                let data = serde_json::from_value(data).unwrap_or_default();
                let annotations = object.metadata.annotations.clone().unwrap_or_default();
                let says = Incarnation::read(&data, &annotations);
                info!(region = name, id = ?says.as_ref().map(|s| &s.id), "the incarnation is written");
                if let Some(region) = self.regions.get_mut(name) {
                    region.renew = false;
                    region.incarnation = Some(IncarnationMap { version, says });
                }
                self.edges_changed(name);
            }
            Task::MetricsService(_) | Task::Region(_) => {}
        }
        true
    }

    /// What was to be a region's `DaemonSet` isn't it: it is applied anew.
    fn forget_applied(&mut self, region: &str) {
        if let Some(region) = self.regions.get_mut(region) {
            region.applied = None;
        }
    }

    fn forget_applied_of(&mut self, task: &Task) {
        match task {
            Task::DaemonSet(region) => self.forget_applied(region),
            Task::Status(of) => {
                self.under_way.remove(of);
            }
            _ => {}
        }
    }

    /// Notes what the API server says to a write that it refuses, or that it refuses it no more.
    pub(super) fn refused(&mut self, task: &Task, said: Option<String>) {
        let region = match task {
            Task::Secret(position) => &position.region,
            Task::DaemonSet(region) | Task::MetricsService(region) | Task::Incarnation(region) => region,
            Task::Status(_) | Task::Region(_) => return,
        };
        let Some(state) = self.regions.get_mut(region) else {
            return;
        };
        let before = state.refusal().map(str::to_owned);
        match said {
            Some(said) => state.refusals.insert(task.clone(), said),
            None => state.refusals.remove(task),
        };
        let after = state.refusal();
        if after == before.as_deref() {
            return;
        }
        // Once, though the same may happen to thousands.
        if let Some(said) = after {
            warn!(
                region,
                said, "the API server refuses writes; they are tried again"
            );
        } else {
            info!(region, "the API server refuses no write any more");
        }
        self.mark_status(StatusOf::Region(region.clone()));
    }

    /// Writing begins, or begins again: whatever could not be written before gets its turn.
    pub fn leads(&mut self) {
        for name in self.options.regions.keys() {
            self.queue.mark(Task::Region(name.clone()), Lane::Traffic);
        }
        let names: Vec<String> = self.regions.keys().cloned().collect();
        for name in names {
            self.mark_region(&name);
            self.mark_pending_of(&name);
        }
        let statuses: Vec<StatusOf> = self.updates.keys().cloned().collect();
        for of in statuses {
            self.mark_status(of);
        }
    }
}

fn apply(resource: Resource, namespace: String, name: &str, body: Value) -> Begin {
    Begin::Write(Box::new(Write::Apply {
        resource,
        namespace,
        name: name.to_owned(),
        body,
    }))
}

/// An object of a typed kind as an apply configuration.
fn typed<T: serde::Serialize>(object: &T, api_version: &str, kind: &str) -> Option<Value> {
    let mut body = serde_json::to_value(object).ok()?;
    let map = body.as_object_mut()?;
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    Some(body)
}
