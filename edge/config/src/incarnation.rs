//! The incarnation of a region's configuration: one `ConfigMap` in the region's namespace, written by the
//! operator, read by edges before they resume a watch and every few seconds while they watch.
//!
//! An edge's position is (incarnation, version). Versions count within one history of the store; when that
//! is restored from an older copy they repeat, and then the same version names another state. Whoever sees
//! an acknowledgement from its own future (the operator) writes a new id, and every edge lists anew.
//!
//! **When a list shrank.** An edge that lists anew and misses more than 30 % of the sites that it has (or
//! all objects, or the region's settings) keeps what is missing and says `ListShrank` in its `EdgeNode`.
//! Deletions that it sees one by one, by its watch, are not held. A hold ends when
//! - the objects come back;
//! - the operator stands behind the smaller list: [`SITES_KEY`] is the number of sites that the list has,
//!   and the list continues the history that the edge knew (same incarnation, version not lower). After a
//!   restore the operator knows no more than the restored store does, so its word isn't enough;
//! - a person says so: [`ACCEPT_SITES_ANNOTATION`] on the `ConfigMap` names the incarnation and that number,
//!   as `ID/NUMBER`. The edge's log and metrics say which.
//!
//! So the operator writes [`SITES_KEY`] whenever the number of site objects that it wants in this namespace
//! has changed, after it has written or deleted them; never before every kind is completely listed.

use std::collections::BTreeMap;

/// Name of the `ConfigMap`.
pub const CONFIG_MAP: &str = "breakwater-incarnation";

/// Key of the id: any text of at most 64 bytes without `/`.
pub const ID_KEY: &str = "id";

/// Key of the number of site objects that the operator publishes, in decimal.
pub const SITES_KEY: &str = "sites";

/// Annotation by which a person accepts a list that shrank: `ID/NUMBER`.
pub const ACCEPT_SITES_ANNOTATION: &str = "edge.breakwater.dev/accept-sites";

/// What the `ConfigMap` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incarnation {
    /// The id.
    pub id: String,
    /// How many site objects the operator publishes.
    pub sites: Option<u64>,
    /// How many a person has said are right in this incarnation.
    pub accepted_sites: Option<u64>,
}

impl Incarnation {
    /// Reads data and annotations. `None` without an id of 1 to 64 bytes: then there is no incarnation yet. A
    /// number that isn't one, or an acceptance for another incarnation, counts as not given.
    pub fn read(data: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Option<Self> {
        let id = data.get(ID_KEY).filter(|id| (1..=64).contains(&id.len()))?;
        let accepted = annotations
            .get(ACCEPT_SITES_ANNOTATION)
            .and_then(|text| text.rsplit_once('/'))
            .filter(|(of, _)| of == id)
            .and_then(|(_, number)| number.parse().ok());
        Some(Self {
            id: id.clone(),
            sites: data.get(SITES_KEY).and_then(|number| number.parse().ok()),
            accepted_sites: accepted,
        })
    }

    /// The data to write; an acceptance is a person's and isn't written.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let mut data = BTreeMap::from([(ID_KEY.to_owned(), self.id.clone())]);
        if let Some(sites) = self.sites {
            data.insert(SITES_KEY.to_owned(), sites.to_string());
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn what_was_written_is_read_and_an_acceptance_counts_for_its_incarnation_only() {
        let written = Incarnation {
            id: "a-1".into(),
            sites: Some(7),
            accepted_sites: None,
        };
        assert_eq!(
            Incarnation::read(&written.to_data(), &map(&[])),
            Some(written.clone())
        );
        for (annotation, accepted) in [("a-1/5", Some(5)), ("a-2/5", None), ("5", None), ("a-1/x", None)] {
            let read = Incarnation::read(&written.to_data(), &map(&[(ACCEPT_SITES_ANNOTATION, annotation)]));
            assert_eq!(read.unwrap().accepted_sites, accepted, "{annotation}");
        }
        assert_eq!(Incarnation::read(&map(&[("id", "")]), &map(&[])), None);
        assert_eq!(Incarnation::read(&map(&[("sites", "1")]), &map(&[])), None);
    }
}
