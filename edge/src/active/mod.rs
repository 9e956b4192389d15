//! What is in force, out of everything that a source has told.
//!
//! In: [`Change`]s, in any order and as often as the source likes. Out: the sites that requests and
//! handshakes see, and [`Failure`]s. A site is in force only as a whole: its configuration, certificates and
//! origins, under region settings of which every part is there. What can't be used leaves what was in force
//! as it is.

mod change;
mod objects;
mod publish;
mod shared;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use breakwater_edge_config::{SiteBundle, SiteConfig, SiteId};

pub use change::{Change, Failure};
use objects::{Object, SiteObject};
use publish::Batch;
pub(crate) use publish::Target;
use shared::SharedState;

/// Every object by name, and what is served of it.
#[derive(Debug)]
pub(crate) struct Active {
    target: Target,
    objects: BTreeMap<String, Object>,
    /// Which object a site in force, or one that is to be, comes from.
    owners: HashMap<SiteId, String>,
    shared: SharedState,
    sites: usize,
    generation: u64,
}

impl Active {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            objects: BTreeMap::new(),
            owners: HashMap::new(),
            shared: SharedState::default(),
            sites: 0,
            generation: 0,
        }
    }

    /// Takes changes over, all at once; returns what can't be used of them, or because of them.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Vec<Failure> {
        let mut batch = Batch::default();
        let mut touched = BTreeSet::new();
        let (gone, rest): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| matches!(change, Change::Remove { .. }));
        // An object may be replaced by one of another name: the old one goes first.
        for change in gone.into_iter().chain(rest) {
            if !self.is_known(&change) {
                touched.insert(change.name().to_owned());
                self.note(change, &mut batch);
            }
        }
        let affected = self.shared.settle(&mut self.objects);
        if affected.any() {
            if let Some((settings, _)) = self.shared.in_force() {
                self.target.origins.set_policy(&settings.origin_addresses);
            }
            // Looks at every site, but only when what they share has changed.
            let concerned = self.objects.iter().filter(|(_, object)| match object {
                Object::Site(site) => affected.touches(site),
                _ => false,
            });
            touched.extend(concerned.map(|(name, _)| name.clone()));
        }
        for name in &touched {
            self.settle_site(name, &mut batch);
        }
        if self.target.publish(batch) || affected.any() {
            self.generation += 1;
        }
        touched
            .iter()
            .filter_map(|name| self.objects.get(name)?.failure(name))
            .collect()
    }

    /// The region that the settings in force name.
    pub(crate) fn region(&self) -> Option<&str> {
        self.shared.region()
    }

    /// How many sites are served.
    pub(crate) fn sites(&self) -> usize {
        self.sites
    }

    /// What can't be used, sorted by object name.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.objects
            .iter()
            .filter_map(|(name, object)| object.failure(name))
            .collect()
    }

    /// Counts changes of what is served.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// True when the change says what is in use already: a source that lists anew repeats everything.
    fn is_known(&self, change: &Change) -> bool {
        match change {
            Change::Put { name, hash, .. } => self.objects.get(name).is_some_and(|o| o.is_good(hash)),
            _ => false,
        }
    }

    /// Enters a change into the table of objects; decides nothing yet.
    fn note(&mut self, change: Change, batch: &mut Batch) {
        match change {
            Change::Remove { name } => {
                if let Some(old) = self.objects.remove(&name) {
                    self.retire(&name, &old, batch);
                    self.shared.note_gone(&old);
                }
            }
            Change::Unreadable { name, hash, reason } => {
                let object = self
                    .objects
                    .entry(name)
                    .or_insert_with(|| Object::unread(hash.clone()));
                object.set_unreadable(hash, reason);
            }
            Change::Put { name, hash, document } => {
                let old = self.objects.remove(&name);
                let (new, replaced) = Object::put(old, hash, document);
                if let Some(replaced) = replaced {
                    self.retire(&name, &replaced, batch);
                    self.shared.note_gone(&replaced);
                }
                self.shared.note_put(&new);
                self.objects.insert(name, new);
            }
        }
    }

    /// The object serves nothing any more.
    fn retire(&mut self, name: &str, object: &Object, batch: &mut Batch) {
        let Object::Site(site) = object else { return };
        if let Some(config) = site.in_force() {
            batch.remove_origins(&config.uid);
        }
        self.sites -= usize::from(site.in_force().is_some());
        for id in site.ids() {
            if self.owners.get(id).is_some_and(|owner| owner == name) {
                self.owners.remove(id);
                batch.remove(id.clone());
            }
        }
    }

    /// Brings a site as far as it can be brought.
    fn settle_site(&mut self, name: &str, batch: &mut Batch) {
        let Some(Object::Site(site)) = self.objects.get_mut(name) else {
            return;
        };
        let Some(shared) = self.shared.in_force() else {
            site.waiting("the region's settings aren't there yet");
            return;
        };
        if let Some(wanted) = site.wanted().cloned() {
            let id = wanted.config.id.clone();
            let owner = self.owners.entry(id.clone()).or_insert_with(|| name.to_owned());
            if owner != name {
                site.refuse(format!("object {owner} already holds site {id}"));
                return;
            }
            match self.target.compile(&wanted, shared) {
                Ok(compiled) => {
                    self.sites += usize::from(site.in_force().is_none());
                    let before = site.in_force().map(|config| config.uid.clone());
                    if let Some(uid) = before.filter(|uid| *uid != compiled.site.config().uid) {
                        batch.remove_origins(&uid);
                    }
                    if let Some(old) = site.accept(Arc::clone(compiled.site.config())) {
                        // The object names another site than before.
                        self.owners.remove(&old);
                        batch.remove(old);
                    }
                    batch.set(compiled);
                    return;
                }
                Err(reason) => site.refuse(reason),
            }
        }
        // What is in force goes on under the newest settings, if it can.
        if let Some(good) = site.in_force().map(Arc::clone) {
            match Target::recompile(good, shared) {
                Ok(compiled) => batch.set_site(compiled),
                Err(reason) => site.refuse(reason),
            }
        }
    }
}

/// Looks at a site object from outside.
impl SiteObject {
    /// The names of the sites that it holds: the one in force and the one wanted.
    fn ids(&self) -> impl Iterator<Item = &SiteId> {
        let wanted = self.wanted().map(|bundle: &Arc<SiteBundle>| &bundle.config.id);
        let in_force = self.in_force().map(|config: &Arc<SiteConfig>| &config.id);
        wanted.into_iter().chain(in_force)
    }
}
