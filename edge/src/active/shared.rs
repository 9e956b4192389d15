use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::{ContentHash, Part, PolicyId, RegionSettings};
use breakwater_edge_proxy::compile::Shared;

use super::objects::{Object, SiteObject};

/// What the region's sites share: the settings in force, which had every part when they came into force.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    in_force: Option<(RegionSettings, Shared)>,
    /// A region object or a part has come or gone since the last look.
    changed: bool,
}

/// Which sites a change of the shared settings touches.
#[derive(Debug)]
pub(super) enum Affected {
    /// None.
    Nothing,
    /// Those that name one of these policies.
    Policies(BTreeSet<PolicyId>),
    /// All.
    Everything,
}

impl Affected {
    pub(super) fn touches(&self, site: &SiteObject) -> bool {
        let named = |shared: &[PolicyId]| match self {
            Self::Nothing => false,
            Self::Policies(changed) => shared.iter().any(|id| changed.contains(id)),
            Self::Everything => true,
        };
        site.wanted().is_some_and(|bundle| named(&bundle.config.shared))
            || site.in_force().is_some_and(|config| named(&config.shared))
    }

    pub(super) fn any(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl SharedState {
    pub(super) fn in_force(&self) -> Option<(&RegionSettings, &Shared)> {
        self.in_force
            .as_ref()
            .map(|(settings, shared)| (settings, shared))
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.in_force
            .as_ref()
            .map(|(settings, _)| settings.region.as_str())
    }

    pub(super) fn note_put(&mut self, object: &Object) {
        self.changed |= matches!(object, Object::Region(_) | Object::Part(_));
    }

    /// Settings and policies that are in force stay so when their objects go: absence weakens nothing.
    pub(super) fn note_gone(&mut self, object: &Object) {
        self.changed |= matches!(object, Object::Region(_) | Object::Part(_));
    }

    /// Brings the newest settings into force if every part of them is there.
    pub(super) fn settle(&mut self, objects: &mut BTreeMap<String, Object>) -> Affected {
        if !std::mem::take(&mut self.changed) {
            return Affected::Nothing;
        }
        let parts: BTreeMap<ContentHash, Part> = objects
            .values()
            .filter_map(|object| match object {
                Object::Part(part) => Some(part.value.clone()),
                _ => None,
            })
            .collect();
        let mut affected = Affected::Nothing;
        let mut first = None;
        for (name, object) in objects.iter_mut() {
            let Object::Region(region) = object else { continue };
            if let Some(first) = &first {
                region.refuse(Some(format!(
                    "object {first} already holds the region's settings"
                )));
                continue;
            }
            first = Some(name.clone());
            match Shared::resolve(&region.value, &parts) {
                Ok(shared) => {
                    region.refuse(None);
                    affected = self.replace(region.value.clone(), shared);
                }
                Err(error) => region.refuse(Some(error.to_string())),
            }
        }
        affected
    }

    fn replace(&mut self, settings: RegionSettings, shared: Shared) -> Affected {
        let affected = match &self.in_force {
            None => Affected::Everything,
            Some((old, _)) => difference(old, &settings),
        };
        self.in_force = Some((settings, shared));
        affected
    }
}

fn difference(old: &RegionSettings, new: &RegionSettings) -> Affected {
    let changed: BTreeSet<PolicyId> = old
        .policies
        .iter()
        .filter(|(id, hash)| new.policies.get(*id) != Some(hash))
        .chain(
            new.policies
                .iter()
                .filter(|(id, _)| !old.policies.contains_key(*id)),
        )
        .map(|(id, _)| id.clone())
        .collect();
    let for_all = old.all_sites != new.all_sites || new.all_sites.iter().any(|id| changed.contains(id));
    if for_all || old.origin_addresses != new.origin_addresses {
        Affected::Everything
    } else if changed.is_empty() {
        Affected::Nothing
    } else {
        Affected::Policies(changed)
    }
}
