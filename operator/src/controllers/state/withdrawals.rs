//! Which published Secrets go with their objects.

use std::collections::BTreeSet;

use breakwater_render::{Name, SecretPosition, Withdraw};
use tracing::{info, warn};

use super::{State, StatusOf, Task};
use crate::publish::Lane;

impl State {
    /// Decides which withdrawals of a region are believed, and marks them.
    pub(super) fn judge_withdrawals(&mut self, region: &str) {
        let (gone, plain): (Vec<_>, Vec<_>) = self
            .secrets
            .withdrawals_of(region)
            .cloned()
            .partition(|withdraw| self.has_lost_its_object(withdraw));
        for withdraw in plain {
            self.queue.mark(Task::Secret(withdraw.position), Lane::Traffic);
        }
        let Some(state) = self.regions.get_mut(region) else {
            return;
        };
        if gone.is_empty() && state.guard.is_idle() {
            return;
        }
        let before = state.guard.held();
        let names: BTreeSet<String> = gone.iter().map(|w| w.position.secret.clone()).collect();
        let sites = state.sites();
        state.guard.judge(
            self.options.may_go,
            &names,
            |name| state.published.contains_key(name),
            sites,
            state.accepted.as_deref(),
            self.now,
        );
        let held = state.guard.held();
        if held != before {
            match (&before, &held) {
                (None, Some((count, _))) => {
                    warn!(
                        region,
                        count, "too many sites go at once; their withdrawal is held"
                    );
                }
                // The status tells the number as it grows.
                (Some((count, _)), None) => info!(region, count, "no withdrawal is held any more"),
                _ => {}
            }
            self.mark_status(StatusOf::Region(region.to_owned()));
        }
        for withdraw in gone {
            self.queue.mark(Task::Secret(withdraw.position), Lane::Traffic);
        }
    }

    /// A site's Secret wasn't deleted, since all sites go at once.
    pub(super) fn sites_undefined(&mut self, position: &SecretPosition) {
        if let Some(state) = self.regions.get_mut(&position.region) {
            state.guard.hold(&position.secret);
            self.mark_status(StatusOf::Region(position.region.clone()));
        }
    }

    /// True when nobody wants what is published any more, rather than wanting it elsewhere.
    pub(super) fn has_lost_its_object(&self, withdraw: &Withdraw) -> bool {
        withdraw.site.as_ref().is_none_or(|site| {
            let name = Name::new(&site.namespace, &site.name);
            !self.objects.contains_key(&StatusOf::Site(name))
        })
    }

    /// Everything of a region that waits gets its turn.
    pub(super) fn mark_pending_of(&mut self, region: &str) {
        let positions: Vec<SecretPosition> = self.secrets.publishes_of(region).cloned().collect();
        for position in positions {
            self.queue.mark(Task::Secret(position), Lane::Traffic);
        }
        self.judge_withdrawals(region);
    }
}
