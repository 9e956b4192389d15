//! What is to be published and withdrawn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use breakwater_edge_config::ContentHash;
use breakwater_render::{
    Changes, Key as ObjectKey, Name, NeedsDelta, Publish, PublishKind, Retire, SecretPosition, Withdraw,
};
use jiff::Timestamp;

use super::{Begin, State, StatusOf, Task};
use crate::publish::{Lane, Origin, Resource, Write, apply_body, is_newer};

/// How long deletions wait for the writes that go before them.
const AFTER_WRITES: Duration = Duration::from_millis(50);

/// Secrets that differ from what is wanted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) publishes: BTreeMap<SecretPosition, Publish>,
    pub(super) withdrawals: BTreeMap<SecretPosition, Withdraw>,
    /// What is being written.
    pub(super) writing: HashMap<SecretPosition, Writing>,
    /// Files that somebody else has put into Secrets of ours.
    pub(super) foreign: HashMap<SecretPosition, Vec<String>>,
}

/// What was to be there after a write.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) hash: ContentHash,
    pub(super) names: BTreeSet<String>,
}

impl Pending {
    /// True when something of a region waits to be written or deleted.
    pub(super) fn any_of(&self, region: &str) -> bool {
        self.publishes_of(region).next().is_some() || self.withdrawals_of(region).next().is_some()
    }

    pub(super) fn publishes_of(&self, region: &str) -> impl Iterator<Item = &SecretPosition> {
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

    pub(super) fn withdrawals_of(&self, region: &str) -> impl Iterator<Item = &Withdraw> {
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

    /// Nothing of a region is to be written or deleted any more.
    pub(super) fn forget(&mut self, region: &str) {
        self.publishes.retain(|position, _| position.region != region);
        self.withdrawals.retain(|position, _| position.region != region);
        self.foreign.retain(|position, _| position.region != region);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.publishes.len() + self.withdrawals.len()
    }
}

impl State {
    /// Renders what has been touched. `None` before everything is listed; else when to come again at the
    /// latest, if ever.
    pub fn render(&mut self, wall: Timestamp, now: Instant) -> Option<Timestamp> {
        self.now = now;
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
        } = self.index.render_dirty(wall);
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

    pub(super) fn begin_secret(&mut self, position: &SecretPosition, now: Instant) -> Begin {
        let Some(region) = self.regions.get(&position.region) else {
            return Begin::Nothing;
        };
        let namespace = region.namespace.clone();
        if !self.is_region_listed(&namespace) {
            return Begin::Nothing; // marked again when it is
        }
        if self.secrets.publishes.contains_key(position) {
            return self.begin_publish(position, namespace);
        }
        let mut if_sites_are_defined = false;
        let version = if let Some(withdraw) = self.secrets.withdrawals.get(position) {
            if region.guard.holds(&position.secret) {
                return Begin::Nothing;
            }
            if_sites_are_defined =
                self.has_lost_its_object(withdraw) && !region.guard.is_agreed(&position.secret);
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
            if_sites_are_defined,
        }))
    }

    fn begin_publish(&mut self, position: &SecretPosition, namespace: String) -> Begin {
        let Some(publish) = self.secrets.publishes.get(position) else {
            return Begin::Nothing;
        };
        if let PublishKind::Site(site) = &publish.kind
            && let name = Name::new(&site.namespace, &site.name)
            && self
                .index
                .rendered(&name, &position.region)
                .is_some_and(|hash| *hash != publish.hash)
        {
            // Changed back before it was written.
            self.secrets.publishes.remove(position);
            return Begin::Nothing;
        }
        let name = position.secret.clone();
        let writing = Writing {
            hash: publish.hash.clone(),
            names: publish.files.keys().cloned().collect(),
        };
        let foreign = self
            .secrets
            .foreign
            .remove(position)
            .filter(|names| !names.is_empty());
        let write = match (foreign, &publish.resource_version) {
            (Some(keys), Some(version)) => Write::Remove {
                namespace,
                name,
                version: version.clone(),
                keys,
            },
            _ => Write::Apply {
                resource: Resource::Secret,
                body: apply_body(&namespace, publish, &self.origin(&publish.kind)),
                namespace,
                name,
            },
        };
        self.secrets.writing.insert(position.clone(), writing);
        Begin::Write(Box::new(write))
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
