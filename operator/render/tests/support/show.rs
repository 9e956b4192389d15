//! What became of a step, for people to review.

use std::collections::BTreeMap;

use breakwater_edge_config::bundle::{DOCUMENT_FILE, REGION_SECRET};
use breakwater_edge_config::{ContentHash, Document};
use breakwater_render::{Changes, Condition, Publish, SecretPosition, StatusUpdate};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
pub(crate) struct StepOut {
    #[serde(skip_serializing_if = "String::is_empty")]
    step: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    said: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<PublishOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withdraw: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retire: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct PublishOut {
    secret: String,
    /// The version that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    document: Value,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusOut {
    object: String,
    generation: i64,
    conditions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<TargetOut>,
    #[serde(skip_serializing_if = "is_zero")]
    target_count: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    carriers: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_good: bool,
}

#[derive(Serialize)]
struct TargetOut {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    section: String,
    condition: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

pub(crate) fn step(title: &str, said: &[String], changes: &Changes) -> StepOut {
    let needs = &changes.needs;
    let line = |verb: &str, what: String| format!("{verb} {what}");
    StepOut {
        step: title.to_owned(),
        said: said.to_vec(),
        publish: changes
            .publish
            .iter()
            .filter(|p| !is_plain(p))
            .map(publish)
            .collect(),
        withdraw: changes.withdraw.iter().map(|w| place(&w.position)).collect(),
        retire: changes.retire.iter().map(|r| place(&r.position)).collect(),
        statuses: sorted(&changes.statuses),
        needs: (needs
            .secrets_added
            .iter()
            .map(|n| line("get Secret", n.to_string())))
        .chain(
            needs
                .secrets_removed
                .iter()
                .map(|n| line("forget Secret", n.to_string())),
        )
        .chain(
            needs
                .namespaces_added
                .iter()
                .map(|n| line("watch namespace", n.clone())),
        )
        .chain(
            needs
                .namespaces_removed
                .iter()
                .map(|n| line("forget namespace", n.clone())),
        )
        .chain(needs.files.iter().map(|p| line("read again", place(p))))
        .collect(),
        next: changes.next.map(|at| at.to_string()),
    }
}

/// A region's settings that say nothing but what every case says.
fn is_plain(publish: &Publish) -> bool {
    if publish.position.secret != REGION_SECRET || publish.resource_version.is_some() {
        return false;
    }
    let Document::Region(settings) = Document::from_files(&publish.files).unwrap() else {
        panic!()
    };
    let addresses = settings.origin_addresses;
    settings.policies.is_empty() && addresses.deny.is_empty() && addresses.allow.len() == 2
}

fn place(position: &SecretPosition) -> String {
    format!("{}/{}", position.region, position.secret)
}

fn publish(publish: &Publish) -> PublishOut {
    let mut files = publish.files.clone();
    let document = files.remove(DOCUMENT_FILE).unwrap();
    PublishOut {
        secret: place(&publish.position),
        replaces: publish.resource_version.clone(),
        document: serde_json::from_slice(&document).unwrap(),
        files: files
            .into_iter()
            .map(|(name, bytes)| (name, ContentHash::of(&bytes).short().to_owned()))
            .collect(),
    }
}

fn sorted(statuses: &[StatusUpdate]) -> Vec<StatusOut> {
    let mut sorted: Vec<&StatusUpdate> = statuses.iter().collect();
    sorted.sort_by_key(|status| &status.key);
    sorted.into_iter().map(status).collect()
}

fn status(status: &StatusUpdate) -> StatusOut {
    StatusOut {
        object: status.key.to_string(),
        generation: status.generation,
        conditions: status.conditions.iter().map(condition).collect(),
        targets: status
            .targets
            .iter()
            .map(|target| TargetOut {
                name: target.name.clone(),
                section: target.section_name.clone(),
                condition: condition(&target.condition),
            })
            .collect(),
        target_count: status.target_count,
        carriers: status
            .carriers
            .iter()
            .map(|wanted| place(&wanted.position))
            .collect(),
        last_good: status.last_good,
    }
}

/// On one line each, so that many can be reviewed.
fn condition(condition: &Condition) -> String {
    let Condition {
        kind,
        status,
        reason,
        message,
    } = condition;
    format!("{kind} {status:?} {reason}: {message}")
}
