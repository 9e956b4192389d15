//! Purges that come with a site's configuration.

use std::sync::Arc;

use breakwater_edge_cache::{Purge, PurgeProgress};
use breakwater_edge_config::{Purges, RecentPurge};
use breakwater_edge_proxy::compile::Site;

use super::{Order, Purger, request};

/// What of a configuration's purges this edge hasn't taken over.
#[derive(Debug, PartialEq, Eq)]
enum Missing<'p> {
    /// None.
    Nothing,
    /// These.
    These(&'p [RecentPurge]),
    /// Some that can't be known.
    Unknown,
}

fn missing<'p>(progress: Option<&PurgeProgress>, purges: &'p Purges) -> Missing<'p> {
    let Some(progress) = progress else {
        // Nothing was taken over yet: fine where the list goes back to the first.
        return if purges.horizon == 0 {
            Missing::These(&purges.recent)
        } else {
            Missing::Unknown
        };
    };
    if progress.history != purges.history {
        return Missing::Unknown;
    }
    if progress.revision >= purges.revision() {
        return Missing::Nothing;
    }
    if progress.revision < purges.horizon {
        return Missing::Unknown;
    }
    let known = purges
        .recent
        .partition_point(|purge| purge.revision <= progress.revision);
    Missing::These(purges.recent.get(known..).unwrap_or_default())
}

impl Purger {
    /// Takes over what a configuration that is in force now has purged. Waits for the disk; where that fails
    /// the purges hold all the same, and are taken over again when the edge starts.
    pub(crate) fn take_over(&self, site: &Site) {
        let Some(purges) = &site.config().purges else {
            return;
        };
        let progress = site.cache_site(self.cache()).purge_progress();
        match missing(progress.as_ref(), purges) {
            Missing::Nothing => {}
            Missing::These(recent) => {
                for purge in recent {
                    self.take_over_one(site, &purges.history, purge);
                }
            }
            Missing::Unknown => {
                tracing::warn!(
                    site = %site.id(),
                    "this edge can't know what was purged while it was away: everything of the site is purged"
                );
                let purge = everything();
                self.order(site, purge, &purges.history, purges.revision());
            }
        }
    }

    fn take_over_one(&self, site: &Site, history: &str, recent: &RecentPurge) {
        request::note(self, &recent.targets);
        let purge = site.purge(&recent.targets, recent.soft).unwrap_or_else(|error| {
            // A host that the site has lost meanwhile, say. What was meant can't be told any more.
            tracing::warn!(site = %site.id(), %error, "a purge can't be carried out as it is written: everything of the site is purged");
            everything()
        });
        self.order(site, purge, history, recent.revision);
    }

    fn order(&self, site: &Site, purge: Purge, history: &str, revision: u64) {
        let order = Order {
            site: Arc::clone(site.cache_site(self.cache())),
            purge,
            progress: Some(PurgeProgress {
                history: history.to_owned(),
                revision,
            }),
            relayed: false,
        };
        if let Err(error) = self.purge(order) {
            tracing::error!(site = %site.id(), %error, "a purge can't be written to the node's disk");
        }
    }
}

fn everything() -> Purge {
    let mut purge = Purge::new(false);
    purge.everything();
    purge
}

#[cfg(test)]
mod tests {
    use breakwater_edge_config::PurgeTarget;

    use super::*;

    #[test]
    fn what_is_missing_follows_from_how_far_the_edge_had_come() {
        let recent = |revision| RecentPurge {
            revision,
            soft: false,
            targets: vec![PurgeTarget::Everything],
        };
        let purges = |history: &str, horizon, revisions: &[u64]| Purges {
            history: history.to_owned(),
            horizon,
            recent: revisions.iter().map(|revision| recent(*revision)).collect(),
        };
        let at = |history: &str, revision| {
            Some(PurgeProgress {
                history: history.to_owned(),
                revision,
            })
        };
        for (progress, list, expected) in [
            (None, purges("a", 0, &[]), "these 0"),
            (None, purges("a", 0, &[1, 2]), "these 2"),
            (None, purges("a", 1, &[2]), "unknown"),
            (None, purges("a", 5, &[]), "unknown"),
            (at("a", 2), purges("a", 0, &[1, 2]), "nothing"),
            (at("a", 2), purges("a", 0, &[1]), "nothing"),
            (at("a", 2), purges("a", 0, &[1, 2, 3, 4]), "these 2"),
            (at("a", 2), purges("a", 2, &[3]), "these 1"),
            (at("a", 2), purges("a", 3, &[4]), "unknown"),
            (at("a", 2), purges("a", 3, &[]), "unknown"),
            (at("a", 2), purges("a", 2, &[]), "nothing"),
            (at("a", 9), purges("b", 0, &[1]), "unknown"),
        ] {
            let found = match missing(progress.as_ref(), &list) {
                Missing::Nothing => "nothing".to_owned(),
                Missing::These(recent) => format!("these {}", recent.len()),
                Missing::Unknown => "unknown".to_owned(),
            };
            assert_eq!(found, expected, "{progress:?} {list:?}");
        }
    }
}
