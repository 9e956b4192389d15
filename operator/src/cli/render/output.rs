use std::collections::BTreeMap;

use breakwater_crds::ConditionStatus;
use breakwater_edge_config::ContentHash;
use breakwater_edge_config::bundle::DOCUMENT_FILE;
use breakwater_render::{Changes, Condition, Key, Publish};
use serde::Serialize;
use serde_json::Value;

use crate::standalone::{Folder, Line, Note, status_notes};

/// What is printed.
#[derive(Serialize)]
pub(super) struct Output {
    /// What edges load, by region.
    configurations: Vec<Configuration>,
    /// The status of each object.
    statuses: Vec<Status>,
    /// What isn't taken, as it is said on standard error too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    #[serde(skip)]
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct Configuration {
    region: String,
    secret: String,
    hash: String,
    document: Value,
    /// Certificates and keys: fingerprints of the files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status {
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    conditions: Vec<ConditionOut>,
}

#[derive(Serialize)]
struct ConditionOut {
    r#type: &'static str,
    status: ConditionStatus,
    reason: String,
    message: String,
}

impl Output {
    pub(super) fn new(folder: &Folder, changes: &Changes) -> Self {
        let mut notes = folder.notes();
        notes.extend(status_notes(folder, &changes.statuses));
        notes.sort();
        notes.dedup();
        let refused = notes
            .iter()
            .filter(|note| is_refusal(note))
            .map(ToString::to_string)
            .collect();
        Self {
            configurations: changes.publish.iter().map(Configuration::of).collect(),
            statuses: changes
                .statuses
                .iter()
                .map(|status| Status::of(&status.key, &status.conditions, folder))
                .collect(),
            refused,
            notes,
        }
    }

    /// What people should know.
    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }
}

fn is_refusal(note: &Note) -> bool {
    matches!(note.line, Line::Refused(_) | Line::Unreadable(_))
}

impl Configuration {
    fn of(publish: &Publish) -> Self {
        let document = publish
            .files
            .get(DOCUMENT_FILE)
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        let others = publish.files.iter().filter(|(name, _)| *name != DOCUMENT_FILE);
        Self {
            region: publish.position.region.clone(),
            secret: publish.position.secret.clone(),
            hash: publish.hash.to_string(),
            document: document.unwrap_or_default(),
            files: others
                .map(|(name, bytes)| (name.clone(), ContentHash::of(bytes).to_string()))
                .collect(),
        }
    }
}

impl Status {
    fn of(key: &Key, conditions: &[Condition], folder: &Folder) -> Self {
        let (kind, namespace, name) = match key {
            Key::EdgeSite(name) => ("EdgeSite", name.namespace.clone(), name.name.clone()),
            Key::Policy(policy) => (
                policy.kind.as_str(),
                policy.name.namespace.clone(),
                policy.name.name.clone(),
            ),
            Key::EdgeRegion(name) => ("EdgeRegion", String::new(), name.clone()),
            other => ("", String::new(), other.to_string()),
        };
        Self {
            kind: kind.to_owned(),
            namespace,
            name,
            file: folder.place(key).map(|place| place.to_string()),
            conditions: conditions
                .iter()
                .map(|condition| ConditionOut {
                    r#type: condition.kind,
                    status: condition.status,
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                })
                .collect(),
        }
    }
}
