//! `Programmed` and `Ready`, by what edges acknowledge and what the status said before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use breakwater_crds::ConditionStatus::{self, False, True, Unknown};
use breakwater_crds::condition;
use breakwater_edge_config::ContentHash;
use breakwater_render::acknowledge::{Carrier, Edge, RegionEdges};
use breakwater_render::conditions::{Previous, overall};
use breakwater_render::{Condition, Key, Name, SecretPosition, StatusUpdate};

const INCARNATION: &str = "first";

fn hash(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

/// A site of generation 3 whose other conditions hold.
fn update(conditions: Vec<Condition>, last_good: bool) -> StatusUpdate {
    StatusUpdate {
        key: Key::EdgeSite(Name::new("default", "shop")),
        generation: 3,
        conditions,
        config_hash: Some(hash("new")),
        targets: Vec::new(),
        target_count: 0,
        carriers: Vec::new(),
        last_good,
    }
}

fn accepted() -> Vec<Condition> {
    vec![
        Condition::good(condition::ACCEPTED, "Accepted", ""),
        Condition::good(condition::RESOLVED_REFS, "ResolvedRefs", ""),
    ]
}

fn refused() -> Vec<Condition> {
    vec![
        Condition::bad(condition::ACCEPTED, "HostConflict", "another has it"),
        Condition::good(condition::RESOLVED_REFS, "ResolvedRefs", ""),
    ]
}

fn unresolved() -> Vec<Condition> {
    vec![
        Condition::good(condition::ACCEPTED, "Accepted", ""),
        Condition::bad(condition::RESOLVED_REFS, "SecretNotFound", "no Secret"),
    ]
}

/// A Secret of a region, written with this content at version 5.
fn carrier(region: &str, content: Option<&str>) -> Carrier {
    Carrier {
        position: SecretPosition {
            region: region.to_owned(),
            secret: "site-shop".to_owned(),
        },
        written: content.map(|content| (hash(content), 5)),
        wanted: hash("new"),
    }
}

/// An edge that has loaded everything up to `version`.
fn edge(name: &str, version: u64) -> Edge {
    Edge {
        name: name.to_owned(),
        live: true,
        incarnation: INCARNATION.to_owned(),
        version,
        ..Edge::default()
    }
}

fn dead(name: &str) -> Edge {
    Edge {
        live: false,
        ..edge(name, 0)
    }
}

fn failing(name: &str) -> Edge {
    let failed = BTreeMap::from([("site-shop".to_owned(), "part missing".to_owned())]);
    Edge {
        failed,
        failed_count: 1,
        ..edge(name, 9)
    }
}

fn before(generation: i64, content: &str, programmed: bool) -> Previous {
    Previous {
        generation,
        config_hash: Some(hash(content).as_str().to_owned()),
        programmed,
    }
}

struct Row {
    what: &'static str,
    update: StatusUpdate,
    before: Option<Previous>,
    carriers: Vec<Carrier>,
    edges: Vec<(&'static str, Vec<Edge>)>,
    programmed: (ConditionStatus, &'static str),
    ready: (ConditionStatus, &'static str),
}

/// A site in order, written to `fra`, with these edges there.
fn plain(
    what: &'static str,
    before: Option<Previous>,
    edges: Vec<Edge>,
    expected: (ConditionStatus, &'static str),
) -> Row {
    let ready = if expected.0 == True {
        (True, "Ready")
    } else {
        expected
    };
    Row {
        what,
        update: update(accepted(), false),
        before,
        carriers: vec![carrier("fra", Some("new"))],
        edges: vec![("fra", edges)],
        programmed: expected,
        ready,
    }
}

fn by_edges() -> Vec<Row> {
    vec![
        plain(
            "every edge has it",
            None,
            vec![edge("a", 5), edge("b", 7)],
            (True, "Programmed"),
        ),
        plain(
            "one waits",
            None,
            vec![edge("a", 5), edge("b", 4)],
            (Unknown, "Pending"),
        ),
        plain("none is there", None, vec![], (False, "NoEdges")),
        plain("none is live", None, vec![dead("a")], (False, "NoEdges")),
        plain(
            "who isn't live doesn't count",
            None,
            vec![edge("a", 5), dead("b")],
            (True, "Programmed"),
        ),
        plain(
            "one can't use it",
            None,
            vec![edge("a", 5), failing("b")],
            (False, "EdgeFailed"),
        ),
        plain(
            "a failure is told before those that wait",
            None,
            vec![edge("a", 1), failing("b")],
            (False, "EdgeFailed"),
        ),
        plain(
            "an edge of another incarnation waits",
            None,
            vec![Edge {
                incarnation: "other".to_owned(),
                ..edge("a", 9)
            }],
            (Unknown, "Pending"),
        ),
    ]
}

fn latched() -> Vec<Row> {
    let slow = || vec![edge("a", 5), edge("b", 1)];
    vec![
        plain(
            "an edge that comes late doesn't take it back",
            Some(before(3, "new", true)),
            slow(),
            (True, "Programmed"),
        ),
        plain(
            "nor do edges that go",
            Some(before(3, "new", true)),
            vec![],
            (True, "Programmed"),
        ),
        plain(
            "another generation counts anew",
            Some(before(2, "new", true)),
            slow(),
            (Unknown, "Pending"),
        ),
        plain(
            "so does another content",
            Some(before(3, "old", true)),
            slow(),
            (Unknown, "Pending"),
        ),
        plain(
            "what wasn't programmed isn't latched",
            Some(before(3, "new", false)),
            slow(),
            (Unknown, "Pending"),
        ),
    ]
}

fn by_state() -> Vec<Row> {
    let loaded = || plain("", None, vec![edge("a", 5)], (True, "Programmed"));
    vec![
        Row {
            what: "not written yet",
            carriers: vec![carrier("fra", None)],
            programmed: (Unknown, "Pending"),
            ready: (Unknown, "Pending"),
            ..loaded()
        },
        Row {
            what: "older content is written",
            carriers: vec![carrier("fra", Some("old"))],
            programmed: (Unknown, "Pending"),
            ready: (Unknown, "Pending"),
            ..loaded()
        },
        Row {
            what: "no region serves it",
            carriers: vec![],
            programmed: (False, "NotPublished"),
            ready: (False, "NotPublished"),
            ..loaded()
        },
        Row {
            what: "every region counts",
            carriers: vec![carrier("fra", Some("new")), carrier("ams", Some("new"))],
            edges: vec![("fra", vec![edge("a", 5)]), ("ams", vec![edge("b", 2)])],
            programmed: (Unknown, "Pending"),
            ready: (Unknown, "Pending"),
            ..loaded()
        },
        Row {
            what: "refused, and nothing of it is served",
            update: update(refused(), false),
            carriers: vec![],
            programmed: (False, "NotAccepted"),
            ready: (False, "HostConflict"),
            ..loaded()
        },
        Row {
            what: "refused in part: its other hosts are served",
            update: update(refused(), false),
            ready: (False, "HostConflict"),
            ..loaded()
        },
        Row {
            what: "the last good one is served, whatever was latched",
            update: update(refused(), true),
            before: Some(before(3, "new", true)),
            programmed: (False, "LastGood"),
            ready: (False, "HostConflict"),
            ..loaded()
        },
        Row {
            what: "something that it refers to is missing",
            update: update(unresolved(), false),
            ready: (False, "SecretNotFound"),
            ..loaded()
        },
        Row {
            what: "what is false comes before what isn't known",
            update: update(unresolved(), false),
            carriers: vec![carrier("fra", None)],
            programmed: (Unknown, "Pending"),
            ready: (False, "SecretNotFound"),
            ..loaded()
        },
    ]
}

#[test]
fn programmed_counts_live_edges_and_latches_and_ready_sums_up() {
    for row in by_edges().into_iter().chain(latched()).chain(by_state()) {
        let regions = row.edges.into_iter().map(|(name, edges)| {
            let incarnation = INCARNATION.to_owned();
            (name.to_owned(), RegionEdges { incarnation, edges })
        });
        let regions: BTreeMap<_, _> = regions.collect();
        let conditions = overall(&row.update, row.before.as_ref(), &row.carriers, &regions);
        let of = |kind: &str| {
            let found = conditions
                .iter()
                .find(|condition| condition.kind == kind)
                .unwrap();
            (found.status, found.reason.as_str())
        };
        assert_eq!(of(condition::PROGRAMMED), row.programmed, "{}", row.what);
        assert_eq!(of(condition::READY), row.ready, "{}", row.what);
        assert_eq!(conditions[..2], row.update.conditions, "{}", row.what);
        assert_eq!(conditions.len(), 4, "{}", row.what);
    }
}
