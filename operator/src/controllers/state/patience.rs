//! Statuses that aren't written yet, because one write is soon enough for all that changes.

use std::time::{Duration, Instant};

use super::notes::Status;
use super::{State, StatusOf};

/// How long a status that only waits for edges isn't written: most are there sooner, and one write is enough.
const EDGES_MAY_TAKE: Duration = Duration::from_millis(800);

/// How long a status isn't written whose Secret hasn't been yet: it would say nothing but that.
const WRITES_MAY_TAKE: Duration = Duration::from_secs(10);

/// How often the counts of a region's status are written at most.
const COUNTS_EVERY: Duration = Duration::from_secs(3);

/// How long a status has waited for what will change it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    since: Instant,
    /// What edges are to load was written at the last look.
    written: bool,
    /// When that was first so.
    written_at: Instant,
}

impl State {
    /// Keeps in mind which statuses wait for edges.
    pub(super) fn settle(&mut self, of: &StatusOf, regions: &[String], settled: bool) {
        for region in regions {
            let set = self.unsettled.entry(region.clone()).or_default();
            if settled {
                set.remove(of);
            } else if !set.contains(of) {
                set.insert(of.clone());
            }
        }
    }

    /// Until when a status had better not be written. `waits`: for edges, and whether what they are to load is
    /// written.
    pub(super) fn not_before(
        &mut self,
        of: &StatusOf,
        waits: Option<bool>,
        status: &Status,
        now: Instant,
    ) -> Option<Instant> {
        if let (StatusOf::Region(name), Status::Region(status)) = (of, status)
            && let Some(told) = self.regions.get(name).and_then(|region| region.told)
        {
            let before = self.objects.get(of).and_then(|seen| seen.status.as_ref());
            let only_counts = before.is_some_and(|before| before.conditions() == status.conditions);
            let at = told + COUNTS_EVERY;
            return (only_counts && at > now).then_some(at);
        }
        let Some(written) = waits else {
            self.patience.remove(of);
            return None;
        };
        let patience = self.patience.entry(of.clone()).or_insert(Patience {
            since: now,
            written,
            written_at: now,
        });
        if written && !patience.written {
            // The clock for edges starts when they have something to load.
            patience.written_at = now;
        }
        patience.written = written;
        let longest = patience.since + WRITES_MAY_TAKE;
        let at = if written {
            longest.min(patience.written_at + EDGES_MAY_TAKE)
        } else {
            longest
        };
        (at > now).then_some(at)
    }
}
