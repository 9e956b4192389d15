//! A small cluster for property tests: what is in it, an index that hears of it bit by bit, and what was told.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::{Document, HostPattern};
use breakwater_render::{Changes, Index, Key, Name, Object, Settings, StatusUpdate};
use jiff::Timestamp;

use super::cluster::Cluster;

/// Everything that there is, and an index that follows it.
#[derive(Debug)]
pub(crate) struct World {
    settings: Settings,
    index: Index,
    pub(crate) cluster: Cluster,
    /// The objects as they are now.
    pub(crate) objects: BTreeMap<Key, Object>,
    /// The last status of each object.
    pub(crate) told: BTreeMap<Key, StatusUpdate>,
    /// What the index asked for.
    secrets: BTreeSet<Name>,
    namespaces: BTreeSet<String>,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            index: Index::new(settings.clone()),
            settings,
            cluster: Cluster::default(),
            objects: BTreeMap::new(),
            told: BTreeMap::new(),
            secrets: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            now,
        }
    }

    /// The same cluster seen by an index that has just started: what is published is there already.
    pub(crate) fn restarted(&self) -> Self {
        let mut fresh = Self::new(self.settings.clone(), self.now);
        fresh.cluster = self.cluster.clone();
        for object in fresh.cluster.objects() {
            fresh.index.apply(object);
        }
        for object in self.objects.values().rev() {
            fresh.apply(object.clone());
        }
        fresh
    }

    pub(crate) fn apply(&mut self, object: Object) {
        let key = object.key();
        self.objects.insert(key.clone(), object.clone());
        if self.hears_of(&key) {
            self.index.apply(object);
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
        self.told.remove(key);
        match key {
            _ if !self.hears_of(key) => {}
            Key::Secret(name) if !self.settings.complete => {
                self.index.apply(Object::SecretAbsent(name.clone()));
            }
            _ => self.index.remove(key),
        }
    }

    /// In a cluster some objects are fetched only once the index asks for them.
    fn hears_of(&self, key: &Key) -> bool {
        match key {
            _ if self.settings.complete => true,
            Key::Secret(name) => self.secrets.contains(name),
            Key::Service(name) | Key::EndpointSlice(name) | Key::Pod(name) => {
                self.namespaces.contains(&name.namespace)
            }
            _ => true,
        }
    }

    /// One rendering, written to the cluster.
    pub(crate) fn render(&mut self) -> Changes {
        let changes = self.index.render_dirty(self.now);
        for status in &changes.statuses {
            self.told.insert(status.key.clone(), status.clone());
        }
        self.cluster.take(&changes, &mut self.index);
        self.one_namespace_a_host();
        if !self.settings.complete {
            self.answer(&changes);
        }
        changes
    }

    fn answer(&mut self, changes: &Changes) {
        let needs = &changes.needs;
        for name in &needs.secrets_added {
            self.secrets.insert(name.clone());
            let there = self.objects.get(&Key::Secret(name.clone())).cloned();
            self.index
                .apply(there.unwrap_or_else(|| Object::SecretAbsent(name.clone())));
        }
        for name in &needs.secrets_removed {
            self.secrets.remove(name);
            self.index.remove(&Key::Secret(name.clone()));
        }
        let of = |key: &Key, namespace: &String| match key {
            Key::Service(name) | Key::EndpointSlice(name) | Key::Pod(name) => name.namespace == *namespace,
            _ => false,
        };
        for namespace in &needs.namespaces_added {
            self.namespaces.insert(namespace.clone());
            for (_, object) in self.objects.iter().filter(|(key, _)| of(key, namespace)) {
                self.index.apply(object.clone());
            }
            self.index.apply(Object::NamespaceListed(namespace.clone()));
        }
        for namespace in &needs.namespaces_removed {
            self.namespaces.remove(namespace);
            self.index.remove(&Key::NamespaceListed(namespace.clone()));
            for key in self.objects.keys().filter(|key| of(key, namespace)) {
                self.index.remove(key);
            }
        }
    }

    /// Renders until nothing follows any more; what was done on the way.
    pub(crate) fn settle(&mut self) -> Vec<Changes> {
        let mut all = Vec::new();
        for _ in 0..20 {
            let changes = self.render();
            let quiet = changes.publish.is_empty()
                && changes.withdraw.is_empty()
                && changes.retire.is_empty()
                && changes.statuses.is_empty()
                && changes.needs.is_empty();
            if quiet {
                return all;
            }
            all.push(changes);
        }
        panic!("it never settles: {:#?}", all.last());
    }

    /// Hosts by region, with the sites that serve them.
    pub(crate) fn hosts(&self) -> BTreeMap<(String, HostPattern), BTreeSet<Name>> {
        let mut hosts: BTreeMap<_, BTreeSet<Name>> = BTreeMap::new();
        for (position, (_, files)) in &self.cluster.secrets {
            if let Document::Site(site) = Document::from_files(files).unwrap() {
                let name = Name::new(&site.config.id.namespace, &site.config.id.name);
                for host in site.config.hosts {
                    let sites = hosts.entry((position.region.clone(), host)).or_default();
                    sites.insert(name.clone());
                }
            }
        }
        hosts
    }

    /// At no moment do two namespaces serve one host: a visitor of one would reach the other.
    fn one_namespace_a_host(&self) {
        for (host, sites) in self.hosts() {
            let namespaces: BTreeSet<&str> = sites.iter().map(|site| site.namespace.as_str()).collect();
            assert!(namespaces.len() == 1, "{host:?} is served by {sites:?}");
        }
    }
}
