//! What an edge has loaded, from what it acknowledges.
//!
//! An edge says (incarnation, resource version, what failed). A Secret is loaded there when the incarnation is
//! the current one, the version is at least the Secret's, and it isn't among what failed. An edge lists at
//! most 64 failures and counts the rest; when there are more than it lists, nobody can tell which, so nothing
//! new counts as loaded until it lists them all again.

use std::collections::BTreeMap;

use breakwater_edge_config::ContentHash;

use crate::key::SecretPosition;

/// What an edge says about itself, and what its Pod says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Name of the Pod.
    pub name: String,
    /// Its Pod exists, is Ready and isn't terminating.
    pub live: bool,
    /// The incarnation that it follows; empty before the first list.
    pub incarnation: String,
    /// Everything up to here is loaded, but for what failed.
    pub version: u64,
    /// What it can't use: Secret, and why.
    pub failed: BTreeMap<String, String>,
    /// How many it can't use in all.
    pub failed_count: u64,
}

/// A Secret as the cluster has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Where it lies.
    pub position: SecretPosition,
    /// Its content and version, `None` when it isn't written yet.
    pub written: Option<(ContentHash, u64)>,
    /// The content that it is to have.
    pub wanted: ContentHash,
}

/// The edges of one region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionEdges {
    /// The current incarnation of its configuration.
    pub incarnation: String,
    /// Every edge that is known.
    pub edges: Vec<Edge>,
}

/// How far a Secret has come on one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Loaded.
    Loaded,
    /// Not yet there, or not known.
    Waiting,
    /// The edge can't use it.
    Failed(String),
}

/// How far one Secret has come on one edge.
pub fn progress(carrier: &Carrier, edge: &Edge, incarnation: &str) -> Progress {
    let Some((written, version)) = &carrier.written else {
        return Progress::Waiting;
    };
    if *written != carrier.wanted || edge.incarnation != incarnation || edge.version < *version {
        return Progress::Waiting;
    }
    if let Some(why) = edge.failed.get(&carrier.position.secret) {
        return Progress::Failed(why.clone());
    }
    if edge.failed_count > edge.failed.len() as u64 {
        return Progress::Waiting;
    }
    Progress::Loaded
}

/// Reads a resource version; they grow within one history of the store. `None` for what isn't a number.
pub fn version(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// True when an edge acknowledges what this history of the store hasn't come to: the store was restored from
/// an older copy, and a new incarnation is due. `newest` is the highest version that the operator has seen.
pub fn is_from_the_future(edge: &Edge, incarnation: &str, newest: u64) -> bool {
    edge.live && edge.incarnation == incarnation && edge.version > newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(written: Option<(&str, u64)>) -> Carrier {
        Carrier {
            position: SecretPosition {
                region: "fra".into(),
                secret: "site-a".into(),
            },
            written: written.map(|(content, version)| (ContentHash::of(content.as_bytes()), version)),
            wanted: ContentHash::of(b"new"),
        }
    }

    fn edge(incarnation: &str, version: u64, failed: &[&str], failed_count: u64) -> Edge {
        Edge {
            name: "edge-1".into(),
            live: true,
            incarnation: incarnation.into(),
            version,
            failed: failed
                .iter()
                .map(|s| ((*s).to_owned(), "broken".to_owned()))
                .collect(),
            failed_count,
        }
    }

    #[test]
    fn a_secret_is_loaded_by_incarnation_version_and_what_failed() {
        let failed = || Progress::Failed("broken".into());
        let table = [
            ("not written", None, edge("i", 9, &[], 0), Progress::Waiting),
            (
                "older content",
                Some(("old", 5)),
                edge("i", 9, &[], 0),
                Progress::Waiting,
            ),
            (
                "exactly",
                Some(("new", 5)),
                edge("i", 5, &[], 0),
                Progress::Loaded,
            ),
            ("newer", Some(("new", 5)), edge("i", 9, &[], 0), Progress::Loaded),
            (
                "older version",
                Some(("new", 5)),
                edge("i", 4, &[], 0),
                Progress::Waiting,
            ),
            (
                "another incarnation",
                Some(("new", 5)),
                edge("j", 9, &[], 0),
                Progress::Waiting,
            ),
            (
                "no incarnation",
                Some(("new", 5)),
                edge("", 9, &[], 0),
                Progress::Waiting,
            ),
            ("failed", Some(("new", 5)), edge("i", 9, &["site-a"], 1), failed()),
            (
                "another failed",
                Some(("new", 5)),
                edge("i", 9, &["site-b"], 1),
                Progress::Loaded,
            ),
            (
                "overflow",
                Some(("new", 5)),
                edge("i", 9, &["site-b"], 70),
                Progress::Waiting,
            ),
            (
                "failed in overflow",
                Some(("new", 5)),
                edge("i", 9, &["site-a"], 70),
                failed(),
            ),
        ];
        for (name, written, edge, expected) in table {
            assert_eq!(progress(&carrier(written), &edge, "i"), expected, "{name}");
        }
    }

    #[test]
    fn an_acknowledgement_from_the_future_tells_of_a_restored_store() {
        assert!(is_from_the_future(&edge("i", 10, &[], 0), "i", 9));
        assert!(!is_from_the_future(&edge("i", 9, &[], 0), "i", 9));
        assert!(!is_from_the_future(&edge("j", 10, &[], 0), "i", 9));
        let dead = Edge {
            live: false,
            ..edge("i", 10, &[], 0)
        };
        assert!(!is_from_the_future(&dead, "i", 9));
    }
}
