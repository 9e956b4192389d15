//! Everything that is known, and what a change of it touches.

mod apply;
mod hosts;
mod namespace;
mod policies;
mod publish;
mod regions;
mod render;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use breakwater_crds as crds;
use breakwater_edge_config::{AddressPolicy, ContentHash, HostPattern, PolicyId};
use ipnet::IpNet;
use jiff::Timestamp;

pub(crate) use namespace::NamespaceObjects;

use crate::changes::{NeedsDelta, StatusUpdate};
use crate::key::{Key, Name, PolicyKey, SecretPosition};
use crate::object::{Invalid, Labels, Meta, Published, Secret};
use crate::policy::Policy;
use crate::settings::Settings;
use hosts::Claims;
use regions::Region;

/// Every object, with reverse references: a change marks the sites, policies and regions that it touches, and
/// [`render_dirty`](Index::render_dirty) looks at those alone.
#[derive(Debug)]
pub struct Index {
    settings: Settings,
    sites: BTreeMap<Name, SiteState>,
    policies: BTreeMap<PolicyKey, Policy>,
    region_objects: BTreeMap<String, RegionObject>,
    /// The local regions that take part, made from `region_objects`.
    regions: BTreeMap<String, Region>,
    /// Names of all `EdgeRegion`s at the last look.
    named_regions: BTreeSet<String>,
    namespaces: BTreeMap<String, Labels>,
    nodes: BTreeMap<String, Vec<IpAddr>>,
    service_cidrs: BTreeMap<String, Vec<IpNet>>,
    objects: BTreeMap<String, NamespaceObjects>,
    /// `None`: looked for, not there.
    secrets: BTreeMap<Name, Option<Secret>>,
    published: BTreeMap<SecretPosition, Published>,
    claims: Claims,
    /// Made from nodes, networks and settings.
    addresses: AddressPolicy,
    reverse: Reverse,
    dirty: Dirty,
    needs: NeedsDelta,
    /// Sites by the time at which their certificates change state.
    alarms: BTreeSet<(Timestamp, Name)>,
    /// The last status of each object that isn't a site.
    told: BTreeMap<Key, StatusUpdate>,
}

/// Who refers to what.
#[derive(Debug, Default)]
#[allow(clippy::struct_field_names, reason = "each name says by what it is looked up")]
struct Reverse {
    /// Sites by the Secrets that they name.
    by_secret: BTreeMap<Name, BTreeSet<Name>>,
    /// Sites by the Services that they name.
    by_service: BTreeMap<Name, BTreeSet<Name>>,
    /// Policies by the sites that they name.
    by_target: BTreeMap<Name, BTreeSet<PolicyKey>>,
    /// Published Secrets by site, of this home.
    by_site: BTreeMap<Name, BTreeSet<SecretPosition>>,
}

/// What must be looked at again.
#[derive(Debug, Default)]
struct Dirty {
    sites: BTreeSet<Name>,
    policies: BTreeSet<PolicyKey>,
    /// Settings and parts of every region.
    settings: bool,
    /// `EdgeRegion`s' statuses.
    regions: bool,
    /// Published Secrets that may belong to nothing.
    orphans: BTreeSet<SecretPosition>,
    /// Which sites platform policies select.
    selection: Selection,
}

/// Whose selection must be looked at again.
#[derive(Debug, Default)]
struct Selection {
    every: bool,
    namespaces: BTreeSet<String>,
    sites: BTreeSet<Name>,
}

#[derive(Debug)]
struct SiteState {
    object: SiteObject,
    /// Hosts that it asks for, as far as they are hosts.
    asked: Vec<HostPattern>,
    /// Platform policies with a selector that select it.
    shared: Vec<PolicyKey>,
    /// The platform's `CachePolicy` that is enforced on it.
    enforced: Option<PolicyKey>,
    /// What was last rendered, by region.
    hashes: BTreeMap<String, ContentHash>,
    status: Option<StatusUpdate>,
    alarm: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum SiteObject {
    Good(Arc<(Meta, crds::EdgeSiteSpec)>),
    Invalid(Arc<Invalid>),
}

#[derive(Debug)]
enum RegionObject {
    Good(Meta, Box<crds::EdgeRegionSpec>),
    Invalid(Invalid),
}

impl Index {
    /// An empty index.
    pub fn new(settings: Settings) -> Self {
        let mut index = Self {
            settings,
            sites: BTreeMap::new(),
            policies: BTreeMap::new(),
            region_objects: BTreeMap::new(),
            regions: BTreeMap::new(),
            named_regions: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            nodes: BTreeMap::new(),
            service_cidrs: BTreeMap::new(),
            objects: BTreeMap::new(),
            secrets: BTreeMap::new(),
            published: BTreeMap::new(),
            claims: Claims::default(),
            addresses: AddressPolicy::default(),
            reverse: Reverse::default(),
            dirty: Dirty {
                settings: true,
                ..Dirty::default()
            },
            needs: NeedsDelta::default(),
            alarms: BTreeSet::new(),
            told: BTreeMap::new(),
        };
        index.addresses = index.address_policy();
        index.regions = index.local_regions();
        index
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Renders this site again at the next occasion, whatever changed: its last write failed.
    pub fn touch(&mut self, site: &Name) {
        if self.sites.contains_key(site) {
            self.dirty.sites.insert(site.clone());
        }
    }

    /// Renders everything again at the next occasion, and tells every status: a new leader begins.
    pub fn touch_all(&mut self) {
        for (name, state) in &mut self.sites {
            state.status = None;
            self.dirty.sites.insert(name.clone());
        }
        self.told.clear();
        self.dirty.policies.extend(self.policies.keys().cloned());
        self.dirty.settings = true;
        self.dirty.regions = true;
        self.dirty.orphans.extend(self.published.keys().cloned());
    }

    /// How many sites it holds.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// Secrets that sites name now.
    pub fn needed_secrets(&self) -> impl Iterator<Item = &Name> {
        self.reverse.by_secret.keys()
    }

    /// Namespaces whose Services are needed now.
    pub fn needed_namespaces(&self) -> BTreeSet<&str> {
        self.reverse
            .by_service
            .keys()
            .map(|service| service.namespace.as_str())
            .collect()
    }

    /// What a site was last rendered to in a region.
    pub fn rendered(&self, site: &Name, region: &str) -> Option<&ContentHash> {
        self.sites.get(site)?.hashes.get(region)
    }

    /// A published Secret as it was last applied.
    pub fn published(&self, position: &SecretPosition) -> Option<&Published> {
        self.published.get(position)
    }

    /// The local regions that take part: name and namespace. The implicit region has an empty namespace.
    pub fn local_regions_in_use(&self) -> impl Iterator<Item = (&str, &str)> {
        self.regions
            .iter()
            .map(|(name, region)| (name.as_str(), region.namespace.as_str()))
    }

    /// Sites that the platform policies in `shared` name, as configurations do.
    fn shared_ids(keys: &[PolicyKey]) -> Vec<PolicyId> {
        keys.iter().map(PolicyKey::id).collect()
    }
}
