//! Whether a list that lacks objects is believed: absence in a list is weaker than a deletion that was seen.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::bundle::{REGION_SECRET, SITE_SECRET_PREFIX};
use breakwater_edge_config::incarnation::Incarnation;

/// Objects that a list lacked and that stay in use until somebody stands behind their absence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// Their names.
    pub(super) names: BTreeSet<String>,
    /// A list that lacked them didn't continue the history that was known: only a person's word counts.
    pub(super) broken_history: bool,
}

/// True for the object of a site.
pub(super) fn is_site(name: &str) -> bool {
    name.starts_with(SITE_SECRET_PREFIX)
}

/// True when a list of `listed` lacks so much of what was there that it isn't believed: everything, the
/// region's settings, or more than 30 % of the sites. `missing` is what `before` has and `listed` lacks.
pub(super) fn shrank(before: &BTreeSet<&str>, listed: &BTreeSet<String>, missing: &BTreeSet<String>) -> bool {
    if missing.is_empty() {
        return false;
    }
    let sites_before = before.iter().filter(|name| is_site(name)).count();
    let sites_missing = missing.iter().filter(|name| is_site(name)).count();
    listed.is_empty() || missing.contains(REGION_SECRET) || sites_missing * 10 > sites_before * 3
}

impl Hold {
    /// What may go now that the operator, or a person, says that `sites` is the number of sites. The region's
    /// settings go by a person's word only: the operator always publishes them, so its word would be a
    /// contradiction.
    pub(super) fn released(&self, said: &Incarnation, sites: u64) -> BTreeSet<String> {
        if said.accepted_sites == Some(sites) {
            self.names.clone()
        } else if said.sites == Some(sites) && !self.broken_history {
            let names = self.names.iter().filter(|name| *name != REGION_SECRET);
            names.cloned().collect()
        } else {
            BTreeSet::new()
        }
    }
}

/// How many of `objects` are sites that aren't held back by `hold`.
pub(super) fn believed_sites<V>(objects: &BTreeMap<String, V>, hold: &Hold) -> u64 {
    let believed = objects
        .keys()
        .filter(|name| is_site(name) && !hold.names.contains(*name));
    u64::try_from(believed.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<u32>) -> BTreeSet<String> {
        range.map(|i| format!("site-{i}")).collect()
    }

    #[test]
    fn a_list_is_believed_until_more_than_30_percent_of_the_sites_are_missing() {
        // (sites before, sites listed of them, shrank)
        for (before, listed, expected) in [
            (0, 0, false),
            (1, 1, false),
            (1, 0, true),
            (3, 2, true),
            (4, 3, false),
            (10, 7, false),
            (10, 6, true),
            (1000, 700, false),
            (1000, 699, true),
        ] {
            let (all, listed) = (names(0..before), names(0..listed));
            let missing = all.difference(&listed).cloned().collect();
            let before_refs = all.iter().map(String::as_str).collect();
            assert_eq!(
                shrank(&before_refs, &listed, &missing),
                expected,
                "{before} {listed:?}"
            );
        }
    }

    #[test]
    fn a_list_without_the_regions_settings_or_of_other_sites_of_equal_number_is_not_believed() {
        let mut before = names(0..10);
        before.insert(REGION_SECRET.to_owned());
        let refs: BTreeSet<&str> = before.iter().map(String::as_str).collect();
        assert!(shrank(&refs, &names(0..10), &[REGION_SECRET.to_owned()].into()));
        assert!(shrank(&refs, &names(10..20), &names(0..10)));
    }

    #[test]
    fn the_operators_word_frees_only_a_hold_of_its_own_history_and_a_persons_word_every_hold() {
        let all: BTreeSet<String> = ["site-1".to_owned(), REGION_SECRET.to_owned()].into();
        let site: BTreeSet<String> = ["site-1".to_owned()].into();
        let said = |sites, accepted_sites| Incarnation {
            id: "a".into(),
            sites,
            accepted_sites,
        };
        // (broken history, said, released)
        for (broken_history, said, expected) in [
            (false, said(None, None), BTreeSet::new()),
            (false, said(Some(5), None), BTreeSet::new()),
            (false, said(Some(6), None), site),
            (true, said(Some(6), None), BTreeSet::new()),
            (true, said(Some(6), Some(5)), BTreeSet::new()),
            (true, said(None, Some(6)), all.clone()),
            (false, said(Some(9), Some(6)), all.clone()),
        ] {
            let hold = Hold {
                names: all.clone(),
                broken_history,
            };
            assert_eq!(hold.released(&said, 6), expected, "{said:?}");
        }
    }
}
