//! Manifests as the API server takes them: whatever kind they are of.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, Status};
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Api, Client, discovery};
use serde_json::Value;

use crate::wait;

/// Who applies, in `managedFields`.
const MANAGER: &str = "e2e";

/// The documents of a YAML text.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    for part in split(text) {
        let value: Value = serde_saphyr::from_str(&part).with_context(|| format!("in:\n{part}"))?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.retain(|part| part.lines().any(|l| !l.trim().is_empty() && !l.starts_with('#')));
    parts
}

/// `KIND NAMESPACE/NAME` of a manifest.
pub fn title(manifest: &Value) -> String {
    let text = |pointer: &str| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

/// What the API server made of a manifest.
#[derive(Debug)]
pub enum Verdict {
    /// As it would be stored.
    Accepted(Box<DynamicObject>),
    /// With its words and, for each field, what is wrong with it.
    Refused(Box<Status>),
}

impl Verdict {
    /// The whole message of a refusal; nothing otherwise.
    pub fn message(&self) -> &str {
        match self {
            Self::Accepted(_) => "",
            Self::Refused(status) => &status.message,
        }
    }
}

/// How a manifest is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Created as `kubectl create --validate=strict --dry-run=server` does.
    DryCreate,
    /// Applied as `kubectl apply --server-side --validate=strict --dry-run=server` does.
    DryApply,
    /// The same for real.
    Apply,
}

/// Sends manifests; keeps what it has learnt about kinds.
pub struct Sender {
    client: Client,
    kinds: BTreeMap<(String, String), Option<(ApiResource, ApiCapabilities)>>,
}

impl Sender {
    /// With a client of any rights.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: BTreeMap::new(),
        }
    }

    /// Sends one. `None` when the server has no such kind.
    pub async fn send(&mut self, manifest: &Value, how: Send) -> Result<Option<Verdict>> {
        let Some((resource, capabilities)) = self.kind(manifest).await? else {
            return Ok(None);
        };
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
            (Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            (Scope::Namespaced, None) => Api::default_namespaced_with(self.client.clone(), &resource),
        };
        let answer = match how {
            Send::DryCreate => {
                // kube's PostParams can't ask for strict validation.
                let path = format!("{}?dryRun=All&fieldValidation=Strict", api.resource_url());
                let request = hyper::Request::post(path)
                    .header("content-type", "application/json")
                    .body(serde_json::to_vec(manifest)?)?;
                self.client.request(request).await
            }
            Send::DryApply | Send::Apply => {
                let mut params = PatchParams::apply(MANAGER).force().validation_strict();
                params.dry_run = how == Send::DryApply;
                let name = object
                    .metadata
                    .name
                    .as_deref()
                    .context("a manifest without name")?;
                api.patch(name, &params, &Patch::Apply(manifest)).await
            }
        };
        match answer {
            Ok(object) => Ok(Some(Verdict::Accepted(Box::new(object)))),
            Err(kube::Error::Api(status)) => Ok(Some(Verdict::Refused(status))),
            Err(error) => Err(error).with_context(|| title(manifest)),
        }
    }

    /// Applies it for real; an error when it is refused.
    pub async fn apply(&mut self, manifest: &Value) -> Result<DynamicObject> {
        match self.send(manifest, Send::Apply).await? {
            Some(Verdict::Accepted(object)) => Ok(*object),
            Some(Verdict::Refused(status)) => bail!("{}: {}", title(manifest), status.message),
            None => bail!("{}: no such kind", title(manifest)),
        }
    }

    /// Applies these definitions and waits until objects of their kinds are served.
    pub async fn define(&mut self, definitions: &[CustomResourceDefinition]) -> Result<()> {
        for definition in definitions {
            self.apply(&serde_json::to_value(definition)?).await?;
        }
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in definitions {
            let name = definition.metadata.name.clone().unwrap_or_default();
            wait::until(&format!("{name} is served"), Duration::from_secs(20), || async {
                let status = api.get(&name).await?.status.unwrap_or_default();
                let conditions = status.conditions.unwrap_or_default();
                let is = |kind: &str| conditions.iter().any(|c| c.type_ == kind && c.status == "True");
                anyhow::ensure!(is("Established") && !is("NonStructuralSchema"), "{conditions:?}");
                Ok(())
            })
            .await?;
        }
        self.kinds.clear();
        Ok(())
    }

    async fn kind(&mut self, manifest: &Value) -> Result<Option<(ApiResource, ApiCapabilities)>> {
        let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        if let Some(known) = self.kinds.get(&(version.clone(), kind.clone())) {
            return Ok(known.clone());
        }
        let (group, number) = version.split_once('/').unwrap_or(("", &version));
        let wanted = GroupVersionKind::gvk(group, number, &kind);
        let found = match discovery::pinned_kind(&self.client, &wanted).await {
            Ok(found) => Some(found),
            Err(kube::Error::Discovery(_)) => None,
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(error.into()),
        };
        self.kinds.insert((version, kind), found.clone());
        Ok(found)
    }
}
