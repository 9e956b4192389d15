//! Regions: which take part, and what their sites share.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::{EdgeRegionSpec, LocalRegion, condition};
use breakwater_edge_config::bundle::{PART_SECRET_PREFIX, REGION_SECRET};
use breakwater_edge_config::{AddressPolicy, ContentHash, Document, Part, PolicyId, RegionSettings, bundle};
use ipnet::IpNet;

use super::{Index, RegionObject, SiteObject};
use crate::changes::{Changes, Condition, Publish, PublishKind, Retire, StatusUpdate, Wanted};
use crate::key::{Key, Name, PolicyKey, SecretPosition};
use crate::object::Meta;
use crate::policy::Reach;
use crate::problem::{Problem, reason};

/// A local region that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// Empty for the implicit region.
    pub(super) namespace: String,
    pub(super) https_port: u16,
    pub(super) service_sameness: bool,
}

/// Namespace of a local region's edges.
pub(super) fn namespace_of(name: &str, local: &LocalRegion) -> String {
    local
        .namespace
        .clone()
        .unwrap_or_else(|| format!("breakwater-edge-{name}"))
}

impl Index {
    pub(super) fn local_regions(&self) -> BTreeMap<String, Region> {
        let local = |name: &String, object: &RegionObject| {
            let RegionObject::Good(meta, spec) = object else {
                return None;
            };
            let local = spec.local.as_ref()?;
            self.region_problem(meta, spec).is_none().then(|| {
                let region = Region {
                    namespace: namespace_of(name, local),
                    https_port: local.ports.https,
                    service_sameness: spec.service_sameness,
                };
                (name.clone(), region)
            })
        };
        let regions: BTreeMap<_, _> = self
            .region_objects
            .iter()
            .filter_map(|(name, object)| local(name, object))
            .collect();
        match &self.settings.implicit_region {
            Some(implicit) if self.region_objects.is_empty() => {
                let region = Region {
                    namespace: String::new(),
                    https_port: implicit.https_port,
                    service_sameness: true,
                };
                BTreeMap::from([(implicit.name.clone(), region)])
            }
            _ => regions,
        }
    }

    /// Sites name regions that aren't there only where regions are known at all.
    pub(super) fn regions_are_known(&self) -> bool {
        self.settings.implicit_region.is_none() || !self.region_objects.is_empty()
    }

    fn region_problem(&self, meta: &Meta, spec: &EdgeRegionSpec) -> Option<Problem> {
        let Some(local) = &spec.local else {
            return Some(Problem::new(
                reason::UNSUPPORTED,
                "peer is not supported by this version: give local for edges in this cluster",
            ));
        };
        let namespace = namespace_of(&meta.name, local);
        if namespace == self.settings.operator_namespace {
            return Some(Problem::new(
                reason::NAMESPACE_CONFLICT,
                format!(
                    "local.namespace: {namespace} is the operator's; edges need a namespace of their own"
                ),
            ));
        }
        let rank = |meta: &Meta| (meta.created.is_none(), meta.created, meta.name.clone());
        let rival = self.region_objects.values().find_map(|other| match other {
            RegionObject::Good(other, spec) if other.name != meta.name => {
                let local = spec.local.as_ref()?;
                (namespace_of(&other.name, local) == namespace && rank(other) < rank(meta))
                    .then_some(&other.name)
            }
            _ => None,
        });
        rival.map(|rival| {
            Problem::new(
                reason::NAMESPACE_CONFLICT,
                format!(
                    "local.namespace: {namespace} belongs to EdgeRegion {rival}; each region needs its own"
                ),
            )
        })
    }

    pub(super) fn regions_changed(&mut self) {
        self.dirty.regions = true;
        let regions = self.local_regions();
        let named: BTreeSet<String> = self.region_objects.keys().cloned().collect();
        if regions == self.regions && named == self.named_regions {
            return;
        }
        self.regions = regions;
        self.named_regions = named;
        self.dirty.settings = true;
        self.dirty.sites.extend(self.sites.keys().cloned());
        self.dirty.orphans.extend(self.published.keys().cloned());
        self.dirty.policies.extend(self.policies.keys().cloned());
        self.dirty.selection.every = true;
    }

    pub(super) fn address_policy(&self) -> AddressPolicy {
        let mut allow = self.settings.allow_origin_cidrs.clone();
        if self.settings.standalone {
            allow.extend(
                ["127.0.0.0/8", "::1/128"]
                    .iter()
                    .filter_map(|net| net.parse::<IpNet>().ok()),
            );
        }
        let nodes = self.nodes.values().flatten().map(|address| IpNet::from(*address));
        let mut deny: Vec<IpNet> = nodes
            .chain(self.service_cidrs.values().flatten().copied())
            .chain(self.settings.pod_cidrs.iter().copied())
            .chain(self.settings.service_cidrs.iter().copied())
            .chain(self.settings.deny_origin_cidrs.iter().copied())
            .map(|net| net.trunc())
            .collect();
        for list in [&mut allow, &mut deny] {
            list.sort();
            list.dedup();
        }
        AddressPolicy { allow, deny }
    }

    /// Marks the sites that have an origin whose verdict changes.
    pub(super) fn addresses_changed(&mut self) {
        let new = self.address_policy();
        if new == self.addresses {
            return;
        }
        let old = std::mem::replace(&mut self.addresses, new);
        self.dirty.settings = true;
        for (name, state) in &self.sites {
            let SiteObject::Good(site) = &state.object else {
                continue;
            };
            let mut addresses = site.1.origins.iter().flat_map(|origin| &origin.addresses);
            let changes = addresses.any(|address| {
                let parsed = address.address.parse();
                parsed.is_ok_and(|address| old.allows(address) != self.addresses.allows(address))
            });
            if changes {
                self.dirty.sites.insert(name.clone());
            }
        }
    }

    /// The region's settings as they are published, if they can be read.
    fn published_settings(&self, region: &str) -> Option<RegionSettings> {
        let position = SecretPosition {
            region: region.to_owned(),
            secret: REGION_SECRET.to_owned(),
        };
        match Document::from_files(self.published.get(&position)?.files.as_ref()?) {
            Ok(Document::Region(settings)) => Some(settings),
            _ => None,
        }
    }

    /// What stays of a broken platform policy in a region: its published part.
    fn stays_in(
        &self,
        settings: Option<&RegionSettings>,
        region: &str,
        key: &PolicyKey,
    ) -> Option<ContentHash> {
        let hash = settings?.policies.get(&key.id())?;
        self.published
            .contains_key(&part_position(region, hash))
            .then(|| hash.clone())
    }

    /// True when every region still has what was published of a broken platform policy.
    pub(super) fn stays(&self, key: &PolicyKey) -> bool {
        !self.regions.is_empty()
            && self.regions.keys().all(|region| {
                let settings = self.published_settings(region);
                self.stays_in(settings.as_ref(), region, key).is_some()
            })
    }

    /// Settings and parts of every region.
    pub(super) fn render_settings(&self, changes: &mut Changes) -> Vec<Publish> {
        let mut late = Vec::new();
        for region in self.regions.keys() {
            let published = self.published_settings(region);
            let (settings, parts) = self.region_settings(region, published.as_ref());
            for (hash, part) in parts {
                let document = Document::Part(hash.clone(), part);
                changes.publish.extend(self.publish(
                    part_position(region, &hash),
                    PublishKind::Part,
                    &document,
                ));
            }
            let dropped = published
                .is_some_and(|old| old.policies.keys().any(|id| !settings.policies.contains_key(id)));
            let used: BTreeSet<SecretPosition> = settings
                .policies
                .values()
                .map(|hash| part_position(region, hash))
                .collect();
            let position = SecretPosition {
                region: region.clone(),
                secret: REGION_SECRET.to_owned(),
            };
            let publish = self.publish(position, PublishKind::Region, &Document::Region(settings));
            // Sites must stop naming a policy before the settings drop it.
            if dropped {
                late.extend(publish);
            } else {
                changes.publish.extend(publish);
            }
            let from = SecretPosition {
                region: region.clone(),
                secret: PART_SECRET_PREFIX.to_owned(),
            };
            let parts = self
                .published
                .range(from..)
                .take_while(|(at, _)| at.region == *region && at.secret.starts_with(PART_SECRET_PREFIX));
            changes.retire.extend(
                parts
                    .filter(|(at, _)| !used.contains(at))
                    .map(|(at, part)| Retire {
                        position: at.clone(),
                        resource_version: part.resource_version.clone(),
                    }),
            );
        }
        late
    }

    fn region_settings(
        &self,
        region: &str,
        published: Option<&RegionSettings>,
    ) -> (RegionSettings, BTreeMap<ContentHash, Part>) {
        let mut policies = BTreeMap::new();
        let mut parts = BTreeMap::new();
        let mut all_sites: Vec<PolicyId> = Vec::new();
        for policy in self.platform_policies() {
            if self.beaten_by(policy).is_some() {
                continue;
            }
            let id = policy.key.id();
            let part = policy.part().and_then(|part| Some((part.hash().ok()?, part)));
            if let Some((hash, part)) = part {
                policies.insert(id.clone(), hash.clone());
                parts.insert(hash, part);
            } else if let Some(hash) = self.stays_in(published, region, &policy.key) {
                policies.insert(id.clone(), hash);
            } else {
                continue;
            }
            if matches!(policy.reach, Reach::Shared(_, None)) {
                all_sites.push(id);
            }
        }
        // Policies that can't be read any more say nothing about their scope; the settings do.
        for (key, _) in self
            .policies
            .iter()
            .filter(|(_, policy)| policy.content.is_err() && !policy.is_shared())
        {
            if let Some(hash) = self.stays_in(published, region, key) {
                let id = key.id();
                if published.is_some_and(|settings| settings.all_sites.contains(&id)) {
                    all_sites.push(id.clone());
                }
                policies.insert(id, hash);
            }
        }
        all_sites.sort();
        let settings = RegionSettings {
            region: region.to_owned(),
            policies,
            all_sites,
            origin_addresses: self.addresses.clone(),
        };
        (settings, parts)
    }

    /// What to write, unless it is there already.
    fn publish(&self, position: SecretPosition, kind: PublishKind, document: &Document) -> Option<Publish> {
        let files = document.to_files().ok()?;
        let hash = bundle::hash(&files);
        let there = self.published.get(&position);
        if there.is_some_and(|there| there.hash == hash) {
            return None;
        }
        Some(Publish {
            resource_version: there.map(|there| there.resource_version.clone()),
            position,
            kind,
            files,
            hash,
        })
    }

    /// The settings' Secret of every region, with the content that it is to have.
    pub(super) fn settings_carriers(&self) -> Vec<Wanted> {
        self.regions
            .keys()
            .filter_map(|region| {
                let published = self.published_settings(region);
                let (settings, _) = self.region_settings(region, published.as_ref());
                let files = Document::Region(settings).to_files().ok()?;
                Some(Wanted {
                    position: SecretPosition {
                        region: region.clone(),
                        secret: REGION_SECRET.to_owned(),
                    },
                    hash: bundle::hash(&files),
                })
            })
            .collect()
    }

    pub(super) fn region_statuses(&self) -> Vec<StatusUpdate> {
        let status = |name: &String, generation: i64, problem: Option<Problem>| StatusUpdate {
            key: Key::EdgeRegion(name.clone()),
            generation,
            conditions: vec![match problem {
                Some(problem) => Condition::bad(condition::ACCEPTED, problem.reason, problem.message),
                None => Condition::good(condition::ACCEPTED, reason::ACCEPTED, "The region takes part"),
            }],
            config_hash: None,
            targets: Vec::new(),
            target_count: 0,
            carriers: Vec::new(),
            last_good: false,
        };
        self.region_objects
            .iter()
            .map(|(name, object)| match object {
                RegionObject::Good(meta, spec) => {
                    status(name, meta.generation, self.region_problem(meta, spec))
                }
                RegionObject::Invalid(invalid) => {
                    status(name, invalid.generation, Some(Problem::invalid(&invalid.problem)))
                }
            })
            .collect()
    }

    /// Regions that a site is served in, by name.
    pub(super) fn regions_of<'a>(
        &'a self,
        regions: &'a [String],
    ) -> impl Iterator<Item = (&'a String, &'a Region)> {
        let all = regions.is_empty() || !self.regions_are_known();
        self.regions
            .iter()
            .filter(move |(name, _)| all || regions.contains(name))
    }
}

fn part_position(region: &str, hash: &ContentHash) -> SecretPosition {
    SecretPosition {
        region: region.to_owned(),
        secret: format!("{PART_SECRET_PREFIX}{}", hash.short()),
    }
}

/// Name of a site's Secret: of fixed length, whatever the site's name is.
pub(super) fn site_secret(home: &str, site: &Name) -> String {
    let id = breakwater_edge_config::SiteId {
        home: home.to_owned(),
        namespace: site.namespace.clone(),
        name: site.name.clone(),
    };
    let hash = ContentHash::of(id.to_string().as_bytes());
    format!("{}{}", bundle::SITE_SECRET_PREFIX, hash.short())
}
