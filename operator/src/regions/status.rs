use breakwater_crds::{ConditionStatus, condition};
use breakwater_render::Condition;

use super::Shortage;

/// Whether a region's edges can be replaced one beside the other.
pub const SURGE: &str = "SurgeSchedulable";

/// Whether more sites went at once than is believed.
pub const HELD: &str = "WithdrawalsHeld";

/// What a region's status is made from, besides what render says.
#[derive(Clone, Debug, Default)]
pub struct RegionFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The namespace is there.
    pub namespace_exists: bool,
    /// What the API server says where the operator may not read the namespace.
    pub forbidden: Option<&'a str>,
    /// What the API server said to a write that it refused.
    pub refusal: Option<&'a str>,
    /// Nodes that are to run an edge, as the `DaemonSet`'s controller says.
    pub desired: Option<i64>,
    /// Live edges.
    pub live: usize,
    /// Nodes where an edge doesn't fit twice.
    pub shortage: Option<Shortage>,
    /// What the scheduler says about an edge that it finds no room for.
    pub unschedulable: Option<&'a str>,
    /// Withdrawals that are held back, and the token to agree to them.
    pub held: Option<(usize, String)>,
}

/// The conditions of a local region: what render says of it, whether an update finds room, what is held
/// back, and `Ready`. One lost node doesn't make it unready; no live edge does.
pub fn region_conditions(mut conditions: Vec<Condition>, facts: &RegionFacts<'_>) -> Vec<Condition> {
    conditions.retain(|c| c.kind != condition::READY);
    if let Some(problem) = place(facts) {
        // Nothing can be published there, whatever render thinks of the object.
        conditions.retain(|c| c.kind != condition::ACCEPTED && c.kind != condition::PROGRAMMED);
        conditions.insert(0, problem);
    }
    let refused = |c: &Condition| c.kind == condition::ACCEPTED && c.status == ConditionStatus::False;
    let accepted = !conditions.iter().any(refused);
    if accepted {
        conditions.push(surge(facts));
    }
    if let Some((count, token)) = &facts.held {
        conditions.push(held(facts.name, *count, token));
    }
    conditions.push(ready(&conditions, facts));
    conditions
}

fn place(facts: &RegionFacts<'_>) -> Option<Condition> {
    let namespace = facts.namespace;
    if !facts.namespace_exists {
        return Some(Condition::bad(
            condition::ACCEPTED,
            "NamespaceNotFound",
            format!(
                "Namespace {namespace} doesn't exist: add the region to the chart's value regions, which makes \
                 it with its rights, or create it and give the operator and the edges the chart's Roles there"
            ),
        ));
    }
    facts.forbidden.map(|said| {
        Condition::bad(
            condition::ACCEPTED,
            "NamespaceForbidden",
            format!(
                "The operator may not read namespace {namespace}: add the region to the chart's value regions. \
                 {said}"
            ),
        )
    })
}

fn surge(facts: &RegionFacts<'_>) -> Condition {
    let bad = |message: String| Condition::bad(SURGE, "SurgeUnschedulable", message);
    match (&facts.shortage, facts.unschedulable) {
        (Some(shortage), _) => bad(format!(
            "On {} nodes an edge fits once but not twice, so an update can't start the new one beside the old: \
             {}. Lower the requests",
            shortage.nodes, shortage.example
        )),
        (None, Some(said)) => bad(format!("The scheduler finds no room for an edge: {said}")),
        (None, None) => Condition::good(SURGE, "Schedulable", "An edge fits twice on each of its nodes"),
    }
}

fn held(region: &str, count: usize, token: &str) -> Condition {
    Condition::good(
        HELD,
        "SitesVanished",
        format!(
            "{count} sites were deleted or vanished at once; they go on being served until they come back. If they \
             are to go: kubectl annotate --overwrite edgeregion {region} \
             edge.breakwater.dev/accept-withdrawals={token}"
        ),
    )
}

fn ready(conditions: &[Condition], facts: &RegionFacts<'_>) -> Condition {
    let bad = |reason: &str, message: String| Condition::bad(condition::READY, reason, message);
    let blocking = conditions
        .iter()
        .find(|c| c.kind == condition::ACCEPTED && c.status != ConditionStatus::True);
    if let Some(blocking) = blocking {
        return Condition::new(
            condition::READY,
            blocking.status,
            &blocking.reason,
            blocking.message.clone(),
        );
    }
    if let Some(refusal) = facts.refusal {
        return bad(
            "WriteRefused",
            format!("The API server refuses what is to be written: {refusal}"),
        );
    }
    match (facts.desired, facts.live) {
        (_, live) if live > 0 => {
            let desired = facts.desired.unwrap_or(0);
            Condition::good(
                condition::READY,
                "Ready",
                format!("{live} of {desired} edges are live"),
            )
        }
        (Some(0), _) => bad(
            "NoNodes",
            "No node matches nodeSelector and tolerations".to_owned(),
        ),
        _ => bad("NoEdges", "No edge is live yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(facts: &RegionFacts<'_>) -> Vec<(&'static str, ConditionStatus, String)> {
        let rendered = vec![
            Condition::good(condition::ACCEPTED, "Accepted", ""),
            Condition::good(condition::PROGRAMMED, "Programmed", ""),
            Condition::good(condition::READY, "Ready", ""),
        ];
        let conditions = region_conditions(rendered, facts);
        conditions
            .into_iter()
            .map(|c| (c.kind, c.status, c.reason))
            .collect()
    }

    #[test]
    fn a_region_is_ready_with_a_live_edge_and_says_what_keeps_it_from_being() {
        use ConditionStatus::{False, True};
        let good = RegionFacts {
            namespace: "edges",
            namespace_exists: true,
            desired: Some(3),
            live: 2,
            ..RegionFacts::default()
        };
        let last = |facts: &RegionFacts<'_>| told(facts).pop();
        let table = [
            (good.clone(), True, "Ready"),
            (
                RegionFacts {
                    live: 0,
                    ..good.clone()
                },
                False,
                "NoEdges",
            ),
            (
                RegionFacts {
                    live: 0,
                    desired: Some(0),
                    ..good.clone()
                },
                False,
                "NoNodes",
            ),
            (
                RegionFacts {
                    namespace_exists: false,
                    ..good.clone()
                },
                False,
                "NamespaceNotFound",
            ),
            (
                RegionFacts {
                    forbidden: Some("no"),
                    ..good.clone()
                },
                False,
                "NamespaceForbidden",
            ),
            (
                RegionFacts {
                    refusal: Some("quota"),
                    ..good.clone()
                },
                False,
                "WriteRefused",
            ),
            (
                RegionFacts {
                    unschedulable: Some("0/1 nodes"),
                    ..good.clone()
                },
                True,
                "Ready",
            ),
        ];
        for (facts, status, reason) in table {
            assert_eq!(
                last(&facts),
                Some((condition::READY, status, reason.to_owned())),
                "{facts:?}"
            );
        }
        let cramped = told(&RegionFacts {
            unschedulable: Some("0/1 nodes"),
            ..good.clone()
        });
        assert!(cramped.contains(&(SURGE, False, "SurgeUnschedulable".to_owned())));
        let held = told(&RegionFacts {
            held: Some((40, "abc".to_owned())),
            ..good
        });
        assert!(held.contains(&(HELD, True, "SitesVanished".to_owned())));
    }
}
