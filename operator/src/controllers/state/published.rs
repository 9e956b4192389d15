//! What is published, as the cluster says.

use breakwater_render::{Key as ObjectKey, Object, SecretPosition, acknowledge};

use super::{State, StatusOf, Task};
use crate::controllers::sighting::Source;
use crate::publish::{Lane, PublishedSecret};

impl State {
    /// A Secret was written; `there` is what is there now, with the names of its files. False when that isn't
    /// what was written.
    pub(super) fn secret_written(
        &mut self,
        position: &SecretPosition,
        (mut there, names): (PublishedSecret, Vec<String>),
    ) -> bool {
        there.object.position = position.clone();
        let Some(written) = self.secrets.writing.remove(position) else {
            self.take_published(there);
            return true;
        };
        let as_written = there.object.hash == written.hash;
        if !as_written {
            // An apply leaves alone what somebody else has put in.
            let foreign = names.into_iter().filter(|name| !written.names.contains(name));
            self.secrets.foreign.insert(position.clone(), foreign.collect());
        }
        self.take_published(there);
        as_written
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
        if region.published.remove(&position.secret).is_some() {
            self.index.remove(&ObjectKey::Published(position.clone()));
            self.carrier_changed(position);
        }
    }

    /// A region is gone, or is somewhere else: what is published there is none of ours at present, and nothing
    /// waits for it. It stays; should the region come back, it is listed anew.
    pub(super) fn forget_published(&mut self, region: &str) {
        let Some(state) = self.regions.get_mut(region) else {
            return;
        };
        for (secret, _) in std::mem::take(&mut state.published) {
            let region = region.to_owned();
            self.index
                .remove(&ObjectKey::Published(SecretPosition { region, secret }));
        }
        self.secrets.forget(region);
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
}
