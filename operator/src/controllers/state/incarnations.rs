//! The incarnation of each region's configuration, and a store that went back to an older copy.

use breakwater_edge_config::incarnation::Incarnation;
use tracing::warn;

use super::{State, Task};
use crate::controllers::rewind::Highest;
use crate::controllers::sighting::{IncarnationMap, Source};
use crate::publish::Lane;

impl State {
    pub(super) fn incarnation(&mut self, source: &Source, map: Option<IncarnationMap>) {
        let Some(region) = self.region_at(source) else {
            return;
        };
        let Some(state) = self.regions.get_mut(&region) else {
            return;
        };
        let id = |map: &Option<IncarnationMap>| Some(map.as_ref()?.says.as_ref()?.id.clone());
        let (before, after) = (id(&state.incarnation), id(&map));
        if before.is_some() && after.is_some() && before != after {
            self.told_of_a_rewind = true;
        }
        state.incarnation = map;
        self.queue.mark(Task::Incarnation(region.clone()), Lane::Traffic);
        self.edges_changed(&region);
    }

    /// The store's version; a lower one than before means that it was restored from an older copy. True:
    /// every watch must be started anew.
    pub fn store_version(&mut self, version: u64) -> bool {
        let back = self.highest.went_back(version);
        if back {
            self.store_rewound();
        }
        back
    }

    /// The store was restored from an older copy.
    pub fn store_rewound(&mut self) {
        warn!("the store went back to an older copy; everything is listed anew");
        self.highest = Highest::default();
        for name in self.regions.keys() {
            self.queue.mark(Task::Incarnation(name.clone()), Lane::Traffic);
        }
    }

    /// True once after another replica has renewed an incarnation: it has seen a restore that this one may
    /// have missed.
    pub fn told_of_a_rewind(&mut self) -> bool {
        std::mem::take(&mut self.told_of_a_rewind)
    }

    /// What the incarnation's object is to say; `None`: it says it.
    pub(super) fn wanted_incarnation(&self, name: &str) -> Option<Incarnation> {
        let region = self.regions.get(name)?;
        let says = region.incarnation.as_ref().and_then(|map| map.says.clone());
        // The number is written after the Secrets that it counts.
        let settled = !self.secrets.any_of(name);
        let sites = settled.then_some(u64::try_from(region.sites()).unwrap_or(u64::MAX));
        match says {
            Some(says) if !region.renew => {
                let sites = sites.or(says.sites);
                (says.sites != sites).then_some(Incarnation { sites, ..says })
            }
            _ => Some(Incarnation {
                id: new_id(),
                sites,
                accepted_sites: None,
            }),
        }
    }
}

/// An id that was never used before, and that sorts by time for people.
fn new_id() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    format!("{seconds:x}-{:016x}", fastrand::u64(..))
}
