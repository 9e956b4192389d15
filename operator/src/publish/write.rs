use std::time::{Duration, Instant};

use breakwater_crds::{CachePolicy, EdgeRegion, EdgeSite, RateRule};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Client, CustomResourceExt};
use serde_json::{Map, Value, json};
use tracing::debug;

use crate::leader::Leadership;
use crate::regions::MANAGER;

/// How long a write may take. It is begun only when the lease lasts longer than that.
const WRITE: Duration = Duration::from_secs(4);

/// Who owns the fields of statuses.
const STATUS_MANAGER: &str = "breakwater-operator-status";

/// What is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A published Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
    /// A Service.
    Service,
    /// A `DaemonSet`.
    DaemonSet,
    /// An `EdgeRegion` that the platform's settings name.
    Region,
    /// Status of an `EdgeSite`.
    SiteStatus,
    /// Status of a `CachePolicy`.
    CachePolicyStatus,
    /// Status of a `RateRule`.
    RateRuleStatus,
    /// Status of an `EdgeRegion`.
    RegionStatus,
}

impl Resource {
    fn api_resource(self) -> ApiResource {
        match self {
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
            Self::Region | Self::RegionStatus => ApiResource::erase::<EdgeRegion>(&()),
            Self::SiteStatus => ApiResource::erase::<EdgeSite>(&()),
            Self::CachePolicyStatus => ApiResource::erase::<CachePolicy>(&()),
            Self::RateRuleStatus => ApiResource::erase::<RateRule>(&()),
        }
    }

    fn is_status(self) -> bool {
        matches!(
            self,
            Self::SiteStatus | Self::CachePolicyStatus | Self::RateRuleStatus | Self::RegionStatus
        )
    }
}

/// A write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Server-side apply. Where the body names a version, another one in the cluster is a conflict.
    Apply {
        /// Of what.
        resource: Resource,
        /// Where; empty for cluster-scoped kinds.
        namespace: String,
        /// Name.
        name: String,
        /// The apply configuration.
        body: Value,
    },
    /// Takes files out of a Secret that an apply leaves in, because somebody else has put them there.
    Remove {
        /// Where.
        namespace: String,
        /// Name.
        name: String,
        /// Its version; another one is a conflict.
        version: String,
        /// Names of the files.
        keys: Vec<String>,
    },
    /// Deletion of exactly this object.
    Delete {
        /// Of what.
        resource: Resource,
        /// Where.
        namespace: String,
        /// Name.
        name: String,
        /// Its UID; empty: whichever.
        uid: String,
        /// Its version; empty: whichever.
        version: String,
        /// It goes because a site is gone: not when all sites go with their definition.
        if_sites_are_defined: bool,
    },
}

/// What became of a write.
#[derive(Debug)]
pub enum Outcome {
    /// Applied; the object as it is now.
    Applied(Box<DynamicObject>),
    /// Deleted, or it wasn't there.
    Deleted,
    /// Not deleted: the definition of sites is going or gone, and every site with it.
    SitesUndefined,
    /// Another version is there: look again.
    Conflict,
    /// The object that the status belongs to, or the namespace, isn't there.
    Missing(String),
    /// The API server refuses it; it would refuse it again.
    Refused(String),
    /// It may work later.
    Failed(String),
    /// This replica doesn't lead (any more).
    NotLeading,
}

/// Writes, while this replica leads.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    leadership: Leadership,
}

impl Writer {
    /// How long a write may take at the longest.
    pub const LONGEST: Duration = WRITE;

    /// A writer that asks `leadership` before each write.
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self { client, leadership }
    }

    /// Writes.
    pub async fn write(&self, write: Write) -> Outcome {
        if !self.leadership.may_write(Instant::now(), WRITE) {
            return Outcome::NotLeading;
        }
        let deletes = matches!(write, Write::Delete { .. });
        let answer = tokio::time::timeout(WRITE, self.send(write)).await;
        match answer {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => match outcome_of(error) {
                Outcome::Missing(_) if deletes => Outcome::Deleted,
                outcome => outcome,
            },
            Err(_) => Outcome::Failed(format!("no answer within {} s", WRITE.as_secs())),
        }
    }

    fn api(&self, resource: Resource, namespace: &str) -> Api<DynamicObject> {
        let kind = resource.api_resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &kind)
        }
    }

    /// Whether sites go one by one. A definition is marked before the first object of its kind is deleted, so
    /// whoever has seen that object go sees the mark. Without the right to look, a site is believed to be gone.
    async fn are_sites_defined(&self) -> Result<bool, kube::Error> {
        let api = Api::<CustomResourceDefinition>::all(self.client.clone());
        match api.get_metadata_opt(EdgeSite::crd_name()).await {
            Ok(definition) => Ok(definition.is_some_and(|d| d.metadata.deletion_timestamp.is_none())),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                debug!(status.message, "the definition of sites can't be looked at");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, write: Write) -> Result<Outcome, kube::Error> {
        match write {
            Write::Apply {
                resource,
                namespace,
                name,
                body,
            } => {
                let api = self.api(resource, &namespace);
                let patch = Patch::Apply(body);
                let object = if resource.is_status() {
                    api.patch_status(&name, &PatchParams::apply(STATUS_MANAGER).force(), &patch)
                        .await?
                } else {
                    api.patch(&name, &PatchParams::apply(MANAGER).force(), &patch)
                        .await?
                };
                Ok(Outcome::Applied(Box::new(object)))
            }
            Write::Remove {
                namespace,
                name,
                version,
                keys,
            } => {
                let data: Map<String, Value> = keys.into_iter().map(|key| (key, Value::Null)).collect();
                let body = json!({"metadata": {"resourceVersion": version}, "data": data});
                let params = PatchParams {
                    field_manager: Some(MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                let api = self.api(Resource::Secret, &namespace);
                let object = api.patch(&name, &params, &Patch::Merge(body)).await?;
                Ok(Outcome::Applied(Box::new(object)))
            }
            Write::Delete {
                resource,
                namespace,
                name,
                uid,
                version,
                if_sites_are_defined,
            } => {
                if if_sites_are_defined && !self.are_sites_defined().await? {
                    return Ok(Outcome::SitesUndefined);
                }
                let given = |text: String| (!text.is_empty()).then_some(text);
                let params = DeleteParams {
                    preconditions: Some(Preconditions {
                        uid: given(uid),
                        resource_version: given(version),
                    }),
                    ..DeleteParams::background()
                };
                self.api(resource, &namespace).delete(&name, &params).await?;
                Ok(Outcome::Deleted)
            }
        }
    }
}

fn outcome_of(error: kube::Error) -> Outcome {
    let kube::Error::Api(status) = error else {
        return Outcome::Failed(error.to_string());
    };
    match status.code {
        404 => Outcome::Missing(status.message),
        409 => Outcome::Conflict,
        400 | 403 | 405 | 413 | 422 => Outcome::Refused(status.message),
        _ => Outcome::Failed(status.message),
    }
}
