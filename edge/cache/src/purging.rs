//! What purges do to a cache.

use std::sync::Arc;

use crate::cache::Cache;
use crate::purge::{Purge, PurgeLog, PurgeProgress, PurgeRecord};
use crate::site::Site;

/// How far a sweep has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    shard: usize,
    place: usize,
}

impl Cache {
    /// Purges: when it returns, no request gets what it holds for and an origin was asked for before, and none
    /// joins such a fetch. The memory is freed by [`sweep`](Self::sweep). `at_ms`: wall clock.
    ///
    /// For a cache whose purges need not outlive it; otherwise
    /// [`next_purge_sequence`](Self::next_purge_sequence), the log, [`apply_purge`](Self::apply_purge).
    pub fn purge(&self, site: &Arc<Site>, purge: &Purge, at_ms: u64) -> u64 {
        let sequence = self.next_purge_sequence();
        self.apply_purge(site, sequence, purge, at_ms, None);
        sequence
    }

    /// The sequence for the next purge. Purges must be applied in the order of their sequences: what is
    /// fetched after one is taken for newer than all before it.
    pub fn next_purge_sequence(&self) -> u64 {
        self.shared.sites.next_sequence()
    }

    /// As [`purge`](Self::purge), at a sequence that the log has, with the progress that the site's
    /// configuration makes by it.
    pub fn apply_purge(
        &self,
        site: &Arc<Site>,
        sequence: u64,
        purge: &Purge,
        at_ms: u64,
        progress: Option<PurgeProgress>,
    ) {
        // First it is remembered, or a site that is let go of just now would lose it.
        self.shared.sites.keep(site);
        site.apply(sequence, purge, at_ms, progress);
    }

    /// Purges everything of a site and frees its memory at once.
    pub fn purge_site(&self, site: &Arc<Site>) -> u64 {
        let mut purge = Purge::new(false);
        purge.everything();
        let sequence = self.purge(site, &purge, 0);
        let mut sweep = Sweep::default();
        while self.sweep(&mut sweep, usize::MAX).is_some() {}
        sequence
    }

    /// Drops what is purged, in steps: looks at `count` places of the index, at most, while it holds a lock
    /// that requests need. Returns how many entries went; `None` when all has been looked at.
    pub fn sweep(&self, sweep: &mut Sweep, count: usize) -> Option<usize> {
        let shard = self.shared.shards.get(sweep.shard)?;
        let mut gone = Vec::new();
        let next = shard.0.write().sweep(sweep.place, count, &mut gone);
        (sweep.shard, sweep.place) = match next {
            Some(place) => (sweep.shard, place),
            None => (sweep.shard + 1, 0),
        };
        Some(gone.len())
    }

    /// Takes over what processes before this one have purged. Sequences go on from `base`, which must be
    /// higher than any that they used. `doubt`: purges may have been missed while no process ran, so what is
    /// stored from before must be validated until [`trust_stored`](Self::trust_stored). To be called first of all.
    ///
    /// From now on a site's purges are remembered although nothing of it is in memory.
    pub fn restore_purges(&self, log: PurgeLog, base: u64, doubt: bool) {
        self.shared.sites.restore(log, base, doubt);
    }

    /// Every purge that was acknowledged before has come here: what is stored may be used by the rules again.
    pub fn trust_stored(&self) {
        self.shared.sites.trust();
    }

    /// All that is remembered, for a log that begins anew; `base` as in
    /// [`restore_purges`](Self::restore_purges). No purge may be between its sequence and its application.
    pub fn purge_records(&self, base: u64) -> Vec<PurgeRecord> {
        let (sites, floor) = self.shared.sites.kept();
        let opened = PurgeRecord::Opened {
            sequence: base,
            floor,
        };
        let sites = sites
            .iter()
            .map(|site| PurgeRecord::of_site(site.purge_seq(), site.uid(), &site.state()));
        std::iter::once(opened).chain(sites).collect()
    }
}
