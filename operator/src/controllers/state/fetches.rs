//! Which Secrets are to be read.

use breakwater_render::{Key as ObjectKey, Name, Object, SecretPosition};
use tracing::debug;

use super::State;
use crate::controllers::fetch::{Fetched, Wanted};

impl State {
    /// What is to be read now; each is handed out once.
    pub fn to_fetch(&mut self) -> Vec<Wanted> {
        let named = std::mem::take(&mut self.fetch).into_iter().map(Wanted::Named);
        let mut wanted: Vec<Wanted> = named.collect();
        for position in std::mem::take(&mut self.fetch_files) {
            if let Some(region) = self.regions.get(&position.region) {
                wanted.push(Wanted::Published(Name::new(&region.namespace, &position.secret)));
            }
        }
        wanted
    }

    /// Whether somebody still wants it.
    pub fn wants(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Named(name) => self.needed_secrets.contains(name),
            Wanted::Published(name) => self.region_of(&name.namespace).is_some(),
        }
    }

    /// Secrets that sites name and that no watch tells of: they aren't there, or of a type that isn't
    /// watched. They are looked at again now and then.
    pub fn unwatched(&self) -> Vec<Wanted> {
        let unwatched = self
            .needed_secrets
            .iter()
            .filter(|name| !self.secret_versions.contains_key(*name));
        unwatched.cloned().map(Wanted::Named).collect()
    }

    /// Takes in what was read.
    pub fn fetched(&mut self, fetched: Fetched) {
        match fetched {
            Fetched::Named(name, found) => {
                if !self.needed_secrets.contains(&name) {
                    return;
                }
                match found {
                    Some(secret) => self.index.apply(Object::Secret(*secret)),
                    None => self.index.apply(Object::SecretAbsent(name)),
                }
            }
            Fetched::Published(name, Some(secret)) => {
                debug!(%name, "a published Secret was read again");
                self.published(*secret);
            }
            Fetched::Published(name, None) => {
                if let Some(region) = self.region_of(&name.namespace) {
                    self.remove_published(&SecretPosition {
                        region,
                        secret: name.name,
                    });
                }
            }
            Fetched::Failed(..) => {}
        }
    }

    /// A watch told that a Secret has this version, or is gone.
    pub(super) fn secret_changed(&mut self, name: &Name, version: Option<&str>) {
        let changed = match version {
            Some(version) => {
                self.secret_versions
                    .insert(name.clone(), version.to_owned())
                    .as_deref()
                    != Some(version)
            }
            None => self.secret_versions.remove(name).is_some(),
        };
        if changed && self.needed_secrets.contains(name) {
            self.fetch.insert(name.clone());
        }
    }

    /// A site names a Secret.
    pub(super) fn secret_needed(&mut self, name: Name) {
        self.fetch.insert(name.clone());
        self.needed_secrets.insert(name);
    }

    /// No site names it any more.
    pub(super) fn secret_not_needed(&mut self, name: Name) {
        self.needed_secrets.remove(&name);
        self.fetch.remove(&name);
        self.index.remove(&ObjectKey::Secret(name));
    }
}
