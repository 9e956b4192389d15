//! What comes in.

use std::collections::HashSet;

use breakwater_render::object::Meta;
use breakwater_render::{Key as ObjectKey, Name, Object, PolicyKey, PolicyKind, acknowledge, object};
use ipnet::IpNet;
use kube::api::ObjectMeta;
use tracing::{info, warn};

use super::notes::{Seen, Status};
use super::{State, StatusOf};
use crate::controllers::sighting::{Item, Key, Kind, Machine, Malformed, Sighting, Source, What, Whole};

impl State {
    /// Takes in what a watch told.
    pub fn sighted(&mut self, sighting: Sighting) {
        let Sighting { source, what, .. } = sighting;
        match what {
            What::Applied(key, item) => {
                self.known.entry(source.clone()).or_default().insert(key.clone());
                self.applied(&source, key, item);
            }
            What::Deleted(key, uid) => {
                if let Some(known) = self.known.get_mut(&source) {
                    known.remove(&key);
                }
                if source.kind == Kind::Published && !self.is_published(&source, &key.name, &uid) {
                    return; // it was written anew meanwhile
                }
                self.gone(&source, &key);
            }
            What::Listed(there) => self.all_listed(&source, &there),
            What::Failing(error) => {
                if self.failing.insert(source.clone(), error.clone()).is_none() {
                    warn!(%source, error, "a watch fails; it is tried again");
                }
                if Self::is_region_source(&source) {
                    self.regions_changed();
                }
            }
        }
    }

    fn all_listed(&mut self, source: &Source, there: &HashSet<Key>) {
        if self.failing.remove(source).is_some() {
            info!(%source, "a watch works again");
        }
        let before = self
            .known
            .insert(source.clone(), there.clone())
            .unwrap_or_default();
        for key in before.difference(there) {
            self.gone(source, key);
        }
        let first = self.listed.insert(source.clone());
        if first && let Some(namespace) = &source.namespace {
            if self.service_namespaces.contains(namespace) && self.are_services_listed(namespace) {
                self.index.apply(Object::NamespaceListed(namespace.clone()));
            }
            self.region_listed(namespace);
        }
        if source.kind == Kind::Namespace {
            self.regions_changed();
        }
    }

    /// A watch was stopped because nobody needs it any more.
    pub fn stopped(&mut self, source: &Source) {
        self.listed.remove(source);
        self.failing.remove(source);
        for key in self.known.remove(source).unwrap_or_default() {
            self.gone(source, &key);
        }
    }

    /// Every watch is started anew: what they told stays until they have listed again.
    pub fn restarted(&mut self) {
        self.failing.clear();
        // Versions of another history say nothing about what is newer in this one.
        for seen in self.objects.values_mut() {
            seen.version.clear();
        }
        for region in self.regions.values_mut() {
            region.forget_versions();
        }
    }

    fn applied(&mut self, source: &Source, key: Key, item: Item) {
        match item {
            Item::Site(Ok(site)) => {
                let Whole { meta, spec, status } = *site;
                self.object(&meta, status.map(Status::Site), |meta| {
                    Object::EdgeSite(meta, Box::new(spec))
                });
            }
            Item::CachePolicy(Ok(policy)) => {
                let Whole { meta, spec, status } = *policy;
                let status = status.map(Status::Policy);
                self.object(&meta, status, |meta| Object::CachePolicy(meta, Box::new(spec)));
            }
            Item::RateRule(Ok(rule)) => {
                let Whole { meta, spec, status } = *rule;
                self.object(&meta, status.map(Status::Policy), |meta| {
                    Object::RateRule(meta, Box::new(spec))
                });
            }
            Item::Region(Ok(region)) => {
                let Whole { meta, spec, status } = *region;
                self.region_seen(&meta, &spec);
                let status = status.map(Status::Region);
                self.object(&meta, status, |meta| Object::EdgeRegion(meta, Box::new(spec)));
                self.regions_changed();
            }
            Item::Site(Err(bad)) => self.malformed(ObjectKey::EdgeSite(name_of(&key)), &bad),
            Item::CachePolicy(Err(bad)) => self.malformed(policy(PolicyKind::CachePolicy, &key), &bad),
            Item::RateRule(Err(bad)) => self.malformed(policy(PolicyKind::RateRule, &key), &bad),
            Item::Region(Err(bad)) => self.malformed(ObjectKey::EdgeRegion(key.name), &bad),
            Item::SecretMeta(version) => self.secret_changed(&name_of(&key), Some(&version)),
            Item::Machine(machine) => self.machine(key.name, *machine),
            Item::Plain(object) => {
                if let Object::Namespace(name, _) = &object
                    && self.namespaces.insert(name.clone())
                {
                    self.regions_changed();
                }
                self.index.apply(object);
            }
            Item::ApiServer(addresses) => {
                let networks = addresses.into_iter().map(IpNet::from).collect();
                self.api_servers.insert(key, networks);
                self.api_servers_changed();
            }
            Item::Published(secret) => self.published(*secret),
            Item::EdgeNode(Ok(node)) => self.edge_node(source, &key.name, Some(&node)),
            Item::EdgeNode(Err(bad)) => {
                warn!(%key, error = bad.error, "an EdgeNode can't be read");
                self.edge_node(source, &key.name, None);
            }
            Item::EdgePod(pod) => self.edge_pod(source, &key.name, Some(pod)),
            Item::DaemonSet(counts) => self.daemon_set(source, Some(counts)),
            Item::Incarnation(map) => self.incarnation(source, Some(map)),
        }
    }

    fn gone(&mut self, source: &Source, key: &Key) {
        let object = match source.kind {
            Kind::Site => ObjectKey::EdgeSite(name_of(key)),
            Kind::CachePolicy => policy(PolicyKind::CachePolicy, key),
            Kind::RateRule => policy(PolicyKind::RateRule, key),
            Kind::Region => ObjectKey::EdgeRegion(key.name.clone()),
            Kind::Namespace => {
                self.namespaces.remove(&key.name);
                ObjectKey::Namespace(key.name.clone())
            }
            Kind::Machine => {
                self.machines.remove(&key.name);
                ObjectKey::Node(key.name.clone())
            }
            Kind::ServiceCidr => ObjectKey::ServiceCidr(key.name.clone()),
            Kind::Service => ObjectKey::Service(name_of(key)),
            Kind::EndpointSlice => ObjectKey::EndpointSlice(name_of(key)),
            Kind::Pod => ObjectKey::Pod(name_of(key)),
            Kind::TlsSecret | Kind::LabelledSecret => return self.secret_changed(&name_of(key), None),
            Kind::ApiServer => {
                self.api_servers.remove(key);
                return self.api_servers_changed();
            }
            Kind::Published => return self.unpublished(source, &key.name),
            Kind::EdgeNode => return self.edge_node(source, &key.name, None),
            Kind::EdgePod => return self.edge_pod(source, &key.name, None),
            Kind::DaemonSet => return self.daemon_set(source, None),
            Kind::Incarnation => return self.incarnation(source, None),
        };
        self.index.remove(&object);
        if let Some(of) = StatusOf::of(&object) {
            self.objects.remove(&of);
            self.forget_status(&of);
        }
        if let ObjectKey::EdgeRegion(name) = &object {
            self.region_gone(name);
        }
        if matches!(source.kind, Kind::Region | Kind::Namespace | Kind::Machine) {
            self.regions_changed();
        }
    }

    /// An object with a status. Where only the status has changed, render isn't asked.
    fn object(&mut self, meta: &ObjectMeta, status: Option<Status>, object: impl FnOnce(Meta) -> Object) {
        let version = meta.resource_version.clone().unwrap_or_default();
        let meta = slim(meta);
        let made = object(meta.clone());
        let Some(of) = StatusOf::of(&made.key()) else {
            return;
        };
        if let Some(seen) = self.objects.get_mut(&of).filter(|seen| seen.meta == meta) {
            // A write's answer may have been faster than this sighting of it.
            if acknowledge::version(&version) >= acknowledge::version(&seen.version) {
                seen.version = version;
                seen.status = status;
                self.mark_status(of);
            }
            return;
        }
        let seen = Seen {
            meta,
            version,
            status,
        };
        self.objects.insert(of.clone(), seen);
        self.mark_status(of);
        self.index.apply(made);
    }

    fn malformed(&mut self, key: ObjectKey, bad: &Malformed) {
        let meta = slim(&bad.meta);
        let version = bad.meta.resource_version.clone().unwrap_or_default();
        if let Some(of) = StatusOf::of(&key) {
            let before = self.objects.remove(&of).filter(|seen| seen.meta.uid == meta.uid);
            let status = before.and_then(|seen| seen.status);
            let (generation, labels) = (meta.generation, meta.labels.clone());
            self.objects.insert(
                of.clone(),
                Seen {
                    meta,
                    version,
                    status,
                },
            );
            self.mark_status(of);
            self.index.apply(Object::Invalid(object::Invalid {
                key,
                generation,
                labels,
                problem: bad.error.clone(),
                targets: bad.targets.clone(),
            }));
        }
    }

    fn machine(&mut self, name: String, machine: Machine) {
        let before = self.machines.get(&name);
        if before == Some(&machine) {
            return;
        }
        if before.is_none_or(|before| before.addresses != machine.addresses) {
            self.index
                .apply(Object::Node(name.clone(), machine.addresses.clone()));
        }
        self.machines.insert(name, machine);
        self.regions_changed();
    }

    fn api_servers_changed(&mut self) {
        // To render they are what a network of Services is: no origin may be in it.
        let mut networks: Vec<IpNet> = self.api_servers.values().flatten().copied().collect();
        networks.sort_unstable();
        networks.dedup();
        self.index
            .apply(Object::ServiceCidr("the API server".to_owned(), networks));
    }

    fn is_region_source(source: &Source) -> bool {
        matches!(
            source.kind,
            Kind::Published | Kind::EdgeNode | Kind::EdgePod | Kind::DaemonSet | Kind::Incarnation
        )
    }
}

fn name_of(key: &Key) -> Name {
    Name::new(&key.namespace, &key.name)
}

fn policy(kind: PolicyKind, key: &Key) -> ObjectKey {
    ObjectKey::Policy(PolicyKey {
        kind,
        name: name_of(key),
    })
}

fn slim(meta: &ObjectMeta) -> Meta {
    Meta {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(|time| time.0),
        labels: meta.labels.clone().unwrap_or_default(),
    }
}
