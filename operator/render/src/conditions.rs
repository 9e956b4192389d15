//! The conditions that depend on the edges: `Programmed`, and `Ready` above all of them.
//!
//! `Programmed` latches for a generation and a configuration hash: once every edge that was live had loaded
//! it, a node that goes away doesn't take it back (one lost node would make every site unready at once, and
//! write every status). `Ready` is all the others together.

use std::collections::BTreeMap;

use breakwater_crds::{ConditionStatus, condition};
use breakwater_edge_config::ContentHash;

use crate::acknowledge::{Carrier, Progress, RegionEdges, progress};
use crate::changes::{Condition, StatusUpdate};

/// What the object's status said before, where it is about the same object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// `status.observedGeneration`.
    pub generation: i64,
    /// `status.configHash`; `None` for kinds that have none.
    pub config_hash: Option<String>,
    /// `Programmed` was True.
    pub programmed: bool,
}

/// All conditions of an object: those of `update`, then `Programmed`, then `Ready`.
///
/// `carriers` are the Secrets of [`StatusUpdate::carriers`] as the cluster has them now, `regions` the edges
/// of every region that they lie in.
pub fn overall(
    update: &StatusUpdate,
    previous: Option<&Previous>,
    carriers: &[Carrier],
    regions: &BTreeMap<String, RegionEdges>,
) -> Vec<Condition> {
    let mut conditions = update.conditions.clone();
    let programmed = programmed(update, previous, carriers, regions);
    conditions.push(programmed);
    let ready = ready(&conditions);
    conditions.push(ready);
    conditions
}

fn programmed(
    update: &StatusUpdate,
    previous: Option<&Previous>,
    carriers: &[Carrier],
    regions: &BTreeMap<String, RegionEdges>,
) -> Condition {
    let bad = |reason, message: String| Condition::bad(condition::PROGRAMMED, reason, message);
    if update.last_good {
        return bad(
            "LastGood",
            "The last good configuration is served; this one is refused, see the other conditions".to_owned(),
        );
    }
    if update.is_refused() && carriers.is_empty() {
        return bad(
            "NotAccepted",
            "Nothing of it is in force: see condition Accepted".to_owned(),
        );
    }
    if carriers.is_empty() {
        return bad("NotPublished", "No region serves it".to_owned());
    }
    if previous.is_some_and(|previous| is_latched(previous, update)) {
        return loaded();
    }
    match count(carriers, regions) {
        Count { edges: 0, .. } => bad("NoEdges", "No edge is live: nothing serves it yet".to_owned()),
        Count {
            failed: Some((edge, why)),
            ..
        } => bad("EdgeFailed", format!("Edge {edge} can't use it: {why}")),
        Count { waiting: 0, .. } => loaded(),
        Count { waiting, edges, .. } => Condition::new(
            condition::PROGRAMMED,
            ConditionStatus::Unknown,
            "Pending",
            format!("Waiting for {waiting} of {edges} edges"),
        ),
    }
}

fn loaded() -> Condition {
    Condition::good(
        condition::PROGRAMMED,
        "Programmed",
        "Every edge that was live has loaded it",
    )
}

fn is_latched(previous: &Previous, update: &StatusUpdate) -> bool {
    previous.programmed
        && previous.generation == update.generation
        && previous.config_hash.as_deref() == update.config_hash.as_ref().map(ContentHash::as_str)
}

#[derive(Default)]
struct Count {
    /// Live edges of the regions.
    edges: usize,
    /// Those that haven't loaded everything.
    waiting: usize,
    /// The first that can't.
    failed: Option<(String, String)>,
}

fn count(carriers: &[Carrier], regions: &BTreeMap<String, RegionEdges>) -> Count {
    let mut by_region: BTreeMap<&str, Vec<&Carrier>> = BTreeMap::new();
    for carrier in carriers {
        by_region
            .entry(&carrier.position.region)
            .or_default()
            .push(carrier);
    }
    let mut count = Count::default();
    for (region, carriers) in by_region {
        let Some(region) = regions.get(region) else {
            continue;
        };
        for edge in region.edges.iter().filter(|edge| edge.live) {
            count.edges += 1;
            let mut waits = false;
            for carrier in &carriers {
                match progress(carrier, edge, &region.incarnation) {
                    Progress::Loaded => {}
                    Progress::Waiting => waits = true,
                    Progress::Failed(why) => {
                        waits = true;
                        count.failed.get_or_insert_with(|| (edge.name.clone(), why));
                    }
                }
            }
            count.waiting += usize::from(waits);
        }
    }
    count
}

/// `Ready`: the first condition that doesn't hold, else the first that isn't known, else True.
fn ready(conditions: &[Condition]) -> Condition {
    let first = |status| conditions.iter().find(|c| c.status == status);
    let blocking = first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown));
    match blocking {
        Some(blocking) => Condition::new(
            condition::READY,
            blocking.status,
            &blocking.reason,
            blocking.message.clone(),
        ),
        None => Condition::good(condition::READY, "Ready", "It serves"),
    }
}
