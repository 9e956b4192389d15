//! Objects come in and go; what they touch is marked.

use std::collections::BTreeSet;
use std::sync::Arc;

use breakwater_crds as crds;
use breakwater_edge_config::HostPattern;

use super::{Index, NamespaceObjects, RegionObject, SiteObject, SiteState};
use crate::key::{Key, Name, PolicyKey};
use crate::object::{Invalid, Labels, Meta, Object, Secret};
use crate::policy::{Policy, Reach};
use crate::site;

impl Index {
    /// Puts an object in place of the one with the same key.
    pub fn apply(&mut self, object: Object) {
        let key = object.key();
        match object {
            Object::EdgeSite(meta, spec) => {
                let name = meta.key();
                self.set_site(&name, Some(SiteObject::Good(Arc::new((meta, *spec)))));
            }
            Object::CachePolicy(meta, spec) => {
                self.set_known_policy(key, |key, settings| {
                    Policy::from_cache(key, &meta, &spec, settings)
                });
            }
            Object::RateRule(meta, spec) => {
                self.set_known_policy(key, |key, settings| {
                    Policy::from_rate(key, &meta, &spec, settings)
                });
            }
            Object::EdgeRegion(meta, spec) => {
                self.region_objects
                    .insert(meta.name.clone(), RegionObject::Good(meta, spec));
                self.regions_changed();
            }
            Object::Invalid(invalid) => self.apply_invalid(invalid),
            Object::Namespace(name, labels) => {
                let old = self.namespaces.insert(name.clone(), labels.clone());
                self.labels_changed(name, old.as_ref(), Some(&labels));
            }
            Object::Node(name, mut addresses) => {
                addresses.sort();
                if self.nodes.insert(name, addresses.clone()) != Some(addresses) {
                    self.addresses_changed();
                }
            }
            Object::ServiceCidr(name, networks) => {
                if self.service_cidrs.insert(name, networks.clone()) != Some(networks) {
                    self.addresses_changed();
                }
            }
            Object::Service(service) => {
                let name = service.name.clone();
                let objects = self.objects.entry(name.namespace.clone()).or_default();
                if objects.services.insert(name.name.clone(), service.clone()) != Some(service) {
                    self.service_changed(&name);
                }
            }
            Object::EndpointSlice(slice) => {
                let name = slice.name.clone();
                self.set_slice(&name, Some(slice));
            }
            Object::Pod(pod) => {
                let name = pod.name.clone();
                let objects = self.objects.entry(name.namespace.clone()).or_default();
                if objects.pods.insert(name.name.clone(), pod.clone()) != Some(pod) {
                    self.pod_changed(&name);
                }
            }
            Object::Secret(secret) => self.set_secret(secret.name.clone(), Some(secret)),
            Object::SecretAbsent(name) => self.set_secret(name, None),
            Object::NamespaceListed(name) => {
                let objects = self.objects.entry(name.clone()).or_default();
                if !std::mem::replace(&mut objects.listed, true) {
                    self.namespace_changed(&name);
                }
            }
            Object::Published(published) => {
                let position = published.position.clone();
                let old = self.published.insert(position.clone(), published.clone());
                self.published_changed(&position, old.as_ref(), Some(&published));
            }
        }
    }

    /// Takes an object away; nothing happens when it isn't there.
    pub fn remove(&mut self, key: &Key) {
        match key {
            Key::EdgeSite(name) => self.set_site(name, None),
            Key::Policy(key) => self.set_policy(key, None),
            Key::EdgeRegion(name) => {
                if self.region_objects.remove(name).is_some() {
                    self.told.remove(&Key::EdgeRegion(name.clone()));
                    self.regions_changed();
                }
            }
            Key::Namespace(name) => {
                let old = self.namespaces.remove(name);
                self.labels_changed(name.clone(), old.as_ref(), None);
            }
            Key::Node(name) => {
                if self.nodes.remove(name).is_some() {
                    self.addresses_changed();
                }
            }
            Key::ServiceCidr(name) => {
                if self.service_cidrs.remove(name).is_some() {
                    self.addresses_changed();
                }
            }
            Key::Service(name) => {
                if self
                    .objects_of(name)
                    .is_some_and(|objects| objects.services.remove(&name.name).is_some())
                {
                    self.service_changed(name);
                }
            }
            Key::EndpointSlice(name) => self.set_slice(name, None),
            Key::Pod(name) => {
                if self
                    .objects_of(name)
                    .is_some_and(|objects| objects.pods.remove(&name.name).is_some())
                {
                    self.pod_changed(name);
                }
            }
            Key::Secret(name) => {
                if self.secrets.remove(name).is_some() {
                    self.secret_changed(name);
                }
            }
            Key::NamespaceListed(name) => {
                if let Some(objects) = self.objects.get_mut(name) {
                    objects.listed = false;
                    self.namespace_changed(name);
                }
            }
            Key::Published(position) => {
                if let Some(old) = self.published.remove(position) {
                    self.published_changed(position, Some(&old), None);
                }
            }
        }
        self.objects
            .retain(|_, objects| !NamespaceObjects::is_empty(objects));
    }

    fn objects_of(&mut self, name: &Name) -> Option<&mut NamespaceObjects> {
        self.objects.get_mut(&name.namespace)
    }

    fn apply_invalid(&mut self, invalid: Invalid) {
        match invalid.key.clone() {
            Key::EdgeSite(name) => self.set_site(&name, Some(SiteObject::Invalid(Arc::new(invalid)))),
            Key::Policy(key) => {
                let Invalid {
                    generation,
                    problem,
                    targets,
                    ..
                } = invalid;
                let policy = Policy::unreadable(key.clone(), generation, targets, &problem);
                self.set_policy(&key, Some(policy));
            }
            Key::EdgeRegion(name) => {
                self.region_objects.insert(name, RegionObject::Invalid(invalid));
                self.regions_changed();
            }
            _ => {}
        }
    }

    fn set_known_policy(&mut self, key: Key, make: impl FnOnce(PolicyKey, &crate::Settings) -> Policy) {
        if let Key::Policy(key) = key {
            let policy = make(key.clone(), &self.settings);
            self.set_policy(&key, Some(policy));
        }
    }

    fn set_site(&mut self, name: &Name, object: Option<SiteObject>) {
        let old = self.sites.remove(name);
        if old.is_none() && object.is_none() {
            return;
        }
        self.dirty.sites.insert(name.clone());
        let policies = self.reverse.by_target.get(name).cloned().unwrap_or_default();
        self.dirty.policies.extend(policies);
        if old.is_none() != object.is_none() {
            self.every_site_policies_dirty();
        }
        let (old_refs, old_hosts) = match &old {
            Some(old) => (References::of(name, &old.object), old.asked.clone()),
            None => Default::default(),
        };
        let new_refs = object
            .as_ref()
            .map(|object| References::of(name, object))
            .unwrap_or_default();
        let asked = object
            .as_ref()
            .map(|object| self.asked(object))
            .unwrap_or_default();
        self.change_claims(name, &old_hosts, &asked, object.as_ref());
        self.change_references(name, &old_refs, &new_refs);
        self.dirty.selection.sites.insert(name.clone());
        match (old, object) {
            (Some(old), Some(object)) => {
                self.sites
                    .insert(name.clone(), SiteState { object, asked, ..old });
            }
            (None, Some(object)) => {
                let state = SiteState {
                    object,
                    asked,
                    shared: Vec::new(),
                    enforced: None,
                    hashes: std::collections::BTreeMap::new(),
                    status: None,
                    alarm: None,
                };
                self.sites.insert(name.clone(), state);
            }
            (Some(old), None) => self.forget_site(name, &old),
            (None, None) => {}
        }
    }

    fn forget_site(&mut self, name: &Name, old: &SiteState) {
        if let Some(at) = old.alarm {
            self.alarms.remove(&(at, name.clone()));
        }
        self.dirty.policies.extend(old.shared.iter().cloned());
        let positions = self.reverse.by_site.get(name).cloned().unwrap_or_default();
        self.dirty.orphans.extend(positions);
    }

    fn asked(&self, object: &SiteObject) -> Vec<HostPattern> {
        let SiteObject::Good(site) = object else {
            return Vec::new();
        };
        let mut hosts: Vec<_> = site
            .1
            .hosts
            .iter()
            .filter_map(|host| site::served_host(host, self.settings.standalone).ok())
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    fn change_claims(
        &mut self,
        name: &Name,
        old: &[HostPattern],
        new: &[HostPattern],
        object: Option<&SiteObject>,
    ) {
        let created = match object {
            Some(SiteObject::Good(site)) => site.0.created,
            _ => None,
        };
        for host in old.iter().filter(|host| !new.contains(host)) {
            self.dirty.sites.extend(self.claims.concerned(host));
            self.claims.forget(host, name);
        }
        for host in new {
            if self.claims.ask(host, name, created) {
                self.dirty.sites.extend(self.claims.concerned(host));
            }
        }
    }

    fn change_references(&mut self, name: &Name, old: &References, new: &References) {
        for secret in old.secrets.difference(&new.secrets) {
            if unlink(&mut self.reverse.by_secret, secret, name) && !self.needs.secrets_added.remove(secret) {
                self.needs.secrets_removed.insert(secret.clone());
            }
        }
        for secret in new.secrets.difference(&old.secrets) {
            let sites = self.reverse.by_secret.entry(secret.clone()).or_default();
            if sites.is_empty() && !self.needs.secrets_removed.remove(secret) {
                self.needs.secrets_added.insert(secret.clone());
            }
            sites.insert(name.clone());
        }
        let before = self.needs_namespace(&name.namespace);
        for service in old.services.difference(&new.services) {
            unlink(&mut self.reverse.by_service, service, name);
        }
        for service in new.services.difference(&old.services) {
            self.reverse
                .by_service
                .entry(service.clone())
                .or_default()
                .insert(name.clone());
        }
        let after = self.needs_namespace(&name.namespace);
        let namespace = &name.namespace;
        if after && !before && !self.needs.namespaces_removed.remove(namespace) {
            self.needs.namespaces_added.insert(namespace.clone());
        }
        if before && !after && !self.needs.namespaces_added.remove(namespace) {
            self.needs.namespaces_removed.insert(namespace.clone());
        }
    }

    fn needs_namespace(&self, namespace: &str) -> bool {
        let from = Name::new(namespace, "");
        self.reverse
            .by_service
            .range(from..)
            .next()
            .is_some_and(|(service, _)| service.namespace == namespace)
    }

    fn set_policy(&mut self, key: &PolicyKey, policy: Option<Policy>) {
        let old = match policy {
            Some(policy) => {
                self.target(&policy);
                self.policies.insert(key.clone(), policy)
            }
            None => self.policies.remove(key),
        };
        let new = self.policies.get(key);
        if old.is_none() && new.is_none() {
            return;
        }
        let touched: BTreeSet<Name> = old.iter().chain(new).flat_map(targets).collect();
        let kept: BTreeSet<Name> = new.into_iter().flat_map(targets).collect();
        let shared = old.iter().chain(new).any(Policy::is_shared);
        // What stays of a broken one may be the region's.
        let broken = old.iter().chain(new).any(|policy| policy.content.is_err());
        for site in touched.difference(&kept) {
            unlink(&mut self.reverse.by_target, site, key);
        }
        // The others on the same sites may win or lose now.
        for site in &touched {
            self.dirty
                .policies
                .extend(self.reverse.by_target.get(site).into_iter().flatten().cloned());
        }
        self.dirty
            .sites
            .extend(touched.into_iter().filter(|site| self.sites.contains_key(site)));
        self.dirty.policies.insert(key.clone());
        if shared || broken {
            self.shared_policy_changed(key);
        }
        if !self.policies.contains_key(key) {
            self.told.remove(&Key::Policy(key.clone()));
        }
    }

    fn target(&mut self, policy: &Policy) {
        for site in targets(policy) {
            self.reverse
                .by_target
                .entry(site)
                .or_default()
                .insert(policy.key.clone());
        }
    }

    fn labels_changed(&mut self, name: String, old: Option<&Labels>, new: Option<&Labels>) {
        if old != new {
            self.dirty.selection.namespaces.insert(name);
        }
    }

    fn set_slice(&mut self, name: &Name, slice: Option<crate::object::EndpointSlice>) {
        let objects = self.objects.entry(name.namespace.clone()).or_default();
        for service in objects.set_slice(&name.name, slice) {
            self.service_changed(&Name::new(&name.namespace, service));
        }
    }

    fn service_changed(&mut self, name: &Name) {
        self.dirty
            .sites
            .extend(self.reverse.by_service.get(name).into_iter().flatten().cloned());
    }

    /// A Pod matters to the Services whose slices name it.
    fn pod_changed(&mut self, name: &Name) {
        let services = self
            .objects
            .get(&name.namespace)
            .map(|objects| objects.services_of_pod(&name.name))
            .unwrap_or_default();
        for service in services {
            self.service_changed(&Name::new(&name.namespace, service));
        }
    }

    fn namespace_changed(&mut self, namespace: &str) {
        let from = Name::new(namespace, "");
        let sites = self
            .reverse
            .by_service
            .range(from..)
            .take_while(|(service, _)| service.namespace == namespace)
            .flat_map(|(_, sites)| sites.iter().cloned());
        self.dirty.sites.extend(sites);
    }

    /// `None`: it was looked for and isn't there.
    fn set_secret(&mut self, name: Name, secret: Option<Secret>) {
        if self.secrets.get(&name) == Some(&secret) {
            return;
        }
        self.secret_changed(&name);
        self.secrets.insert(name, secret);
    }

    fn secret_changed(&mut self, name: &Name) {
        self.dirty
            .sites
            .extend(self.reverse.by_secret.get(name).into_iter().flatten().cloned());
    }
}

fn targets(policy: &Policy) -> impl Iterator<Item = Name> + '_ {
    let list = match &policy.reach {
        Reach::Targets(list) => list.as_slice(),
        Reach::Shared(..) => &[],
    };
    list.iter()
        .map(|target| Name::new(&policy.key.name.namespace, &target.name))
}

/// Takes a link away; true when it was the last one.
pub(super) fn unlink<K: Ord, V: Ord>(
    links: &mut std::collections::BTreeMap<K, BTreeSet<V>>,
    key: &K,
    value: &V,
) -> bool {
    let Some(set) = links.get_mut(key) else {
        return false;
    };
    set.remove(value);
    let empty = set.is_empty();
    if empty {
        links.remove(key);
    }
    empty
}

/// What a site refers to.
#[derive(Default)]
struct References {
    secrets: BTreeSet<Name>,
    services: BTreeSet<Name>,
}

impl References {
    fn of(site: &Name, object: &SiteObject) -> Self {
        let SiteObject::Good(good) = object else {
            return Self::default();
        };
        let (_, spec): &(Meta, crds::EdgeSiteSpec) = good;
        let here = |name: &String| Name::new(&site.namespace, name);
        Self {
            secrets: spec.secrets().map(|secret| here(&secret.name)).collect(),
            services: spec
                .origins
                .iter()
                .filter_map(|origin| origin.service.as_ref())
                .map(|service| here(&service.name))
                .collect(),
        }
    }
}
