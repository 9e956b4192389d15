//! What is to be published and withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use breakwater_edge_config::SiteId;
use breakwater_render::{
    Changes, Key as ObjectKey, Name, NeedsDelta, Object, Publish, PublishKind, Retire, SecretPosition,
    Withdraw, acknowledge,
};
use jiff::Timestamp;
use tracing::warn;

use super::{Begin, State, StatusOf, Task};
use crate::controllers::sighting::Source;
use crate::publish::{Lane, Origin, PublishedSecret, Resource, Verdict, Write, apply_body, is_newer, judge};

/// How long deletions wait for the writes that go before them.
const AFTER_WRITES: Duration = Duration::from_millis(50);

/// Secrets that differ from what is wanted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    publishes: BTreeMap<SecretPosition, Publish>,
    withdrawals: BTreeMap<SecretPosition, Withdraw>,
}

impl Pending {
    /// True when something of a region waits to be written or deleted.
    pub(super) fn any_of(&self, region: &str) -> bool {
        self.publishes_of(region).next().is_some() || self.withdrawals_of(region).next().is_some()
    }

    fn publishes_of(&self, region: &str) -> impl Iterator<Item = &SecretPosition> {
        let from = SecretPosition {
            region: region.to_owned(),
            secret: String::new(),
        };
        let region = region.to_owned();
        self.publishes
            .range(from..)
            .map(|(p, _)| p)
            .take_while(move |p| p.region == region)
    }

    fn withdrawals_of(&self, region: &str) -> impl Iterator<Item = &Withdraw> {
        let from = SecretPosition {
            region: region.to_owned(),
            secret: String::new(),
        };
        let region = region.to_owned();
        self.withdrawals
            .range(from..)
            .map(|(_, w)| w)
            .take_while(move |w| w.position.region == region)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.publishes.len() + self.withdrawals.len()
    }
}

impl State {
    /// Renders what has been touched. `None` before everything is listed; else when to come again at the
    /// latest, if ever.
    pub fn render(&mut self, now: Timestamp) -> Option<Timestamp> {
        let first = !self.started;
        if first {
            if !self.waiting().is_empty() {
                return None;
            }
            self.started = true;
        }
        let Changes {
            publish,
            withdraw,
            retire,
            statuses,
            needs,
            next,
        } = self.index.render_dirty(now);
        let mut regions: BTreeSet<String> = BTreeSet::new();
        for publish in publish {
            regions.insert(publish.position.region.clone());
            self.want_published(publish, first);
        }
        for withdraw in withdraw {
            regions.insert(withdraw.position.region.clone());
            self.secrets.publishes.remove(&withdraw.position);
            self.secrets
                .withdrawals
                .insert(withdraw.position.clone(), withdraw);
        }
        self.want_retired(retire);
        for region in regions {
            self.judge_withdrawals(&region);
            self.queue.mark(Task::Incarnation(region), Lane::Status);
        }
        for update in statuses {
            self.status_rendered(update);
        }
        self.needed(needs);
        next
    }

    fn want_published(&mut self, publish: Publish, first: bool) {
        let position = publish.position.clone();
        self.secrets.withdrawals.remove(&position);
        if let Some(region) = self.regions.get_mut(&position.region) {
            region.retire.remove(&position.secret);
        }
        let lane = match self.rewrite(&publish) {
            Some(Rewrite::ByNewer) if first => return,
            Some(Rewrite::ByOlder) if first => Lane::Paced,
            _ => Lane::Traffic,
        };
        self.secrets.publishes.insert(position.clone(), publish);
        self.queue.mark(Task::Secret(position), lane);
    }

    /// Whether only another version of the operator makes the difference: the object is still the one that was
    /// published.
    fn rewrite(&self, publish: &Publish) -> Option<Rewrite> {
        let there = self
            .regions
            .get(&publish.position.region)?
            .published
            .get(&publish.position.secret)?;
        let own = env!("CARGO_PKG_VERSION");
        if there.origin != self.origin(&publish.kind) || there.rendered_by == own {
            return None;
        }
        Some(if is_newer(&there.rendered_by, own) {
            Rewrite::ByNewer
        } else {
            Rewrite::ByOlder
        })
    }

    fn origin(&self, kind: &PublishKind) -> Origin {
        let PublishKind::Site(site) = kind else {
            return Origin::default();
        };
        let of = StatusOf::Site(Name::new(&site.namespace, &site.name));
        self.objects.get(&of).map_or_else(Origin::default, |seen| Origin {
            uid: seen.meta.uid.clone(),
            generation: seen.meta.generation,
        })
    }

    fn want_retired(&mut self, retire: Vec<Retire>) {
        let mut regions = BTreeSet::new();
        for retire in retire {
            let region = retire.position.region.clone();
            if let Some(state) = self.regions.get_mut(&region) {
                state.retire.insert(retire.position.secret.clone(), retire);
                regions.insert(region);
            }
        }
        for region in regions {
            self.retire_parts(&region);
        }
    }

    /// Decides which withdrawals of a region are believed, and marks them.
    pub(super) fn judge_withdrawals(&mut self, region: &str) {
        let (missing, plain): (Vec<_>, Vec<_>) = self
            .secrets
            .withdrawals_of(region)
            .cloned()
            .partition(|withdraw| self.is_missing(withdraw));
        for withdraw in plain {
            self.queue.mark(Task::Secret(withdraw.position), Lane::Traffic);
        }
        let names: BTreeSet<String> = missing.iter().map(|w| w.position.secret.clone()).collect();
        let Some(state) = self.regions.get_mut(region) else {
            return;
        };
        let held = match judge(state.sites(), &names, state.accepted.as_deref()) {
            Verdict::Withdraw => None,
            Verdict::Hold(token) => Some((names.len(), token)),
        };
        if held != state.held {
            if let Some((count, token)) = &held {
                warn!(
                    region,
                    count, token, "sites vanished without a deletion; their withdrawal is held"
                );
            }
            state.held.clone_from(&held);
            self.mark_status(StatusOf::Region(region.to_owned()));
        }
        if held.is_none() {
            for withdraw in missing {
                self.queue.mark(Task::Secret(withdraw.position), Lane::Traffic);
            }
        }
    }

    /// True when a site's object is gone and nobody saw it being deleted.
    fn is_missing(&self, withdraw: &Withdraw) -> bool {
        let Some(SiteId { namespace, name, .. }) = &withdraw.site else {
            return true;
        };
        let name = Name::new(namespace, name);
        !self.deleted_sites.contains(&name) && !self.objects.contains_key(&StatusOf::Site(name))
    }

    /// Everything of a region that waits gets its turn.
    pub(super) fn mark_pending_of(&mut self, region: &str) {
        let positions: Vec<SecretPosition> = self.secrets.publishes_of(region).cloned().collect();
        for position in positions {
            self.queue.mark(Task::Secret(position), Lane::Traffic);
        }
        self.judge_withdrawals(region);
    }

    pub(super) fn begin_secret(&mut self, position: &SecretPosition, now: Instant) -> Begin {
        let Some(region) = self.regions.get(&position.region) else {
            return Begin::Nothing;
        };
        let namespace = region.namespace.clone();
        if !self.is_region_listed(&namespace) {
            return Begin::Nothing; // marked again when it is
        }
        if let Some(publish) = self.secrets.publishes.get(position) {
            let body = apply_body(&namespace, publish, &self.origin(&publish.kind));
            return Begin::Write(Box::new(Write::Apply {
                resource: Resource::Secret,
                namespace,
                name: position.secret.clone(),
                body,
            }));
        }
        let version = if let Some(withdraw) = self.secrets.withdrawals.get(position) {
            if region.held.is_some() && self.is_missing(withdraw) {
                return Begin::Nothing;
            }
            withdraw.resource_version.clone()
        } else if let Some(retire) = self.may_retire(position) {
            retire.resource_version
        } else {
            return Begin::Nothing;
        };
        if self.secrets.publishes_of(&position.region).next().is_some() {
            return Begin::Later(now + AFTER_WRITES);
        }
        let uid = region
            .published
            .get(&position.secret)
            .map(|secret| secret.uid.clone());
        Begin::Write(Box::new(Write::Delete {
            resource: Resource::Secret,
            namespace,
            name: position.secret.clone(),
            uid: uid.unwrap_or_default(),
            version,
        }))
    }

    /// A Secret was written.
    pub(super) fn secret_written(&mut self, position: &SecretPosition, uid: String, version: String) {
        let Some(publish) = self.secrets.publishes.get(position) else {
            return;
        };
        let origin = self.origin(&publish.kind);
        let secret = PublishedSecret::written(publish, origin, uid, version);
        self.take_published(secret);
    }

    /// A Secret was deleted.
    pub(super) fn secret_deleted(&mut self, position: &SecretPosition) {
        self.secrets.withdrawals.remove(position);
        self.remove_published(position);
    }

    /// Another version of a Secret is there than was thought: it is read again.
    pub(super) fn secret_conflict(&mut self, position: &SecretPosition) {
        self.fetch_files.insert(position.clone());
    }

    /// A watch told of a published Secret.
    pub(super) fn published(&mut self, mut secret: PublishedSecret) {
        let Some(region) = self.region_of(&secret.object.position.region) else {
            return;
        };
        secret.object.position.region = region;
        self.take_published(secret);
    }

    fn take_published(&mut self, secret: PublishedSecret) {
        let position = secret.object.position.clone();
        let Some(region) = self.regions.get_mut(&position.region) else {
            return;
        };
        let known = region.published.get(&position.secret);
        let version = |secret: &PublishedSecret| acknowledge::version(&secret.object.resource_version);
        if known.is_some_and(|known| version(known) > version(&secret)) {
            return; // a write's answer was faster than this sighting of what was before
        }
        let same = known.is_some_and(|known| known.object.resource_version == secret.object.resource_version);
        if same && secret.object.files.is_none() {
            return;
        }
        if self
            .secrets
            .publishes
            .get(&position)
            .is_some_and(|publish| publish.hash == secret.object.hash)
        {
            self.secrets.publishes.remove(&position);
        }
        self.index.apply(Object::Published(secret.object.clone()));
        let mut kept = secret;
        kept.object.files = None;
        region.published.insert(position.secret.clone(), kept);
        self.carrier_changed(&position);
    }

    /// A watch told that a published Secret is gone.
    pub(super) fn unpublished(&mut self, source: &Source, name: &str) {
        let Some(region) = source.namespace.as_deref().and_then(|n| self.region_of(n)) else {
            return;
        };
        self.remove_published(&SecretPosition {
            region,
            secret: name.to_owned(),
        });
    }

    /// True when this very Secret is what is known under its name.
    pub(super) fn is_published(&self, source: &Source, name: &str, uid: &str) -> bool {
        let region = source.namespace.as_deref().and_then(|n| self.region_of(n));
        let region = region.and_then(|region| self.regions.get(&region));
        region
            .and_then(|region| region.published.get(name))
            .is_some_and(|secret| secret.uid == uid)
    }

    pub(super) fn remove_published(&mut self, position: &SecretPosition) {
        let Some(region) = self.regions.get_mut(&position.region) else {
            return;
        };
        region.retire.remove(&position.secret);
        self.secrets.withdrawals.remove(position);
        if let Some(secret) = region.published.remove(&position.secret) {
            self.index.remove(&ObjectKey::Published(position.clone()));
            if let Some(site) = secret.object.site {
                self.forget_deleted(&site);
            }
            self.carrier_changed(position);
        }
    }

    /// The deletion of a site need not be remembered once nothing of it is published any more.
    fn forget_deleted(&mut self, site: &SiteId) {
        let anywhere = |region: &super::RegionState| {
            region
                .published
                .values()
                .any(|secret| secret.object.site.as_ref() == Some(site))
        };
        let name = Name::new(&site.namespace, &site.name);
        if self.deleted_sites.contains(&name) && !self.regions.values().any(anywhere) {
            self.deleted_sites.remove(&name);
        }
    }

    fn carrier_changed(&mut self, position: &SecretPosition) {
        for of in self.carried.get(position).cloned().unwrap_or_default() {
            self.mark_status(of);
        }
        self.mark_status(StatusOf::Region(position.region.clone()));
        self.queue
            .mark(Task::Incarnation(position.region.clone()), Lane::Status);
        if position.secret == breakwater_edge_config::bundle::REGION_SECRET {
            self.retire_parts(&position.region);
        }
    }

    fn needed(&mut self, needs: NeedsDelta) {
        let NeedsDelta {
            secrets_added,
            secrets_removed,
            namespaces_added,
            namespaces_removed,
            files,
        } = needs;
        for name in secrets_removed {
            self.secret_not_needed(name);
        }
        for name in secrets_added {
            self.secret_needed(name);
        }
        for namespace in namespaces_removed {
            self.service_namespaces.remove(&namespace);
            self.index.remove(&ObjectKey::NamespaceListed(namespace));
        }
        self.service_namespaces.extend(namespaces_added);
        self.fetch_files.extend(files);
    }

    /// How many Secrets wait to be written or deleted.
    pub fn secrets_waiting(&self) -> usize {
        self.secrets.len()
    }
}

enum Rewrite {
    /// An older version of the operator wrote it.
    ByOlder,
    /// A newer one did.
    ByNewer,
}
