//! Purges that a site's configuration carries to its edges.
//!
//! Whoever publishes counts a site's purges: each has a revision, one higher than the last. The list holds
//! the newest; older ones go, and [`Purges::horizon`] says up to which. An edge takes over every revision that
//! it hasn't, in order, and remembers on its disk how far it has come:
//!
//! - it has come as far as the horizon, or further: it takes over the rest of the list;
//! - it hasn't: there were purges that it can't know, so it purges everything of the site;
//! - the count is another one ([`Purges::history`]), because the publisher's store was lost or restored from
//!   an older copy: the same;
//! - the list is older than what it has taken over, because a configuration was rolled back: nothing. A purge
//!   is never undone.

use serde::{Deserialize, Serialize};

/// A site's purges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purges {
    /// Names the count that revisions belong to, 1 to 64 bytes: a new one whenever revisions may repeat.
    pub history: String,
    /// Every purge up to this revision may be missing from the list.
    pub horizon: u64,
    /// By revision, ascending, all above the horizon and without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RecentPurge>,
}

impl Purges {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.recent.last().map_or(self.horizon, |last| last.revision)
    }
}

/// One of a site's purges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentPurge {
    /// Counts the site's purges.
    pub revision: u64,
    /// What is purged is stale from then on, not gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
    /// What is purged.
    pub targets: Vec<PurgeTarget>,
}

/// What is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PurgeTarget {
    /// Everything of the site.
    Everything,
    /// A URL as visitors ask for it, `https://host[:port]/path[?query]`. The scheme doesn't count.
    Url(String),
    /// `https://host[:port]/path`: whatever begins with it, whatever the query.
    Prefix(String),
    /// `https://host[:port]/path` where each `*` stands for any bytes, slashes included, whatever the query.
    Mask(String),
    /// What the origin gave this tag.
    Tag(String),
}
