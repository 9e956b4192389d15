//! Which policies have an effect where.
//!
//! `RateRule`s add up. Of `CachePolicy`s the most specific wins whole: an enforced one of the platform, then the
//! route's, the site's, the platform's for selected sites, the platform's for every site. Among equals the
//! first by name wins (not the older: a restored object must not change what holds), and the others are told.

use std::collections::BTreeSet;

use breakwater_crds as crds;
use breakwater_edge_config::Mode;

use super::{Index, SiteObject};
use crate::key::{Name, PolicyKey, PolicyKind};
use crate::object::Labels;
use crate::policy::{Policy, Reach, selects};
use crate::problem::{Problem, reason};
use crate::site::Attached;

impl Index {
    /// The policies of a site that have an effect, sorted.
    pub(super) fn attached<'a>(&'a self, site: &Name) -> Vec<Attached<'a>> {
        let mut attached = Vec::new();
        for key in self.reverse.by_target.get(site).into_iter().flatten() {
            let Some(policy) = self.policies.get(key) else {
                continue;
            };
            let Reach::Targets(targets) = &policy.reach else {
                continue;
            };
            for target in targets.iter().filter(|target| target.name == site.name) {
                let section = section(target);
                if self.effect(policy, target).is_ok() {
                    let content = policy.content.as_ref().ok();
                    attached.push(Attached {
                        section,
                        id: key.id(),
                        content,
                    });
                }
            }
        }
        attached.sort_by(|a, b| (a.section, &a.id).cmp(&(b.section, &b.id)));
        attached
    }

    /// Whether a policy has an effect on one of its targets. A broken policy is looked at as if it were in
    /// order: what was published of it may still be in effect.
    pub(super) fn effect(&self, policy: &Policy, target: &crds::TargetRef) -> Result<(), Problem> {
        let site_name = Name::new(&policy.key.name.namespace, &target.name);
        let Some(state) = self.sites.get(&site_name) else {
            return Err(Problem::new(
                reason::TARGET_NOT_FOUND,
                format!(
                    "there is no EdgeSite {} in namespace {}",
                    target.name, site_name.namespace
                ),
            ));
        };
        let SiteObject::Good(site) = &state.object else {
            return Ok(());
        };
        if let Some(section) = &target.section_name {
            let Some(route) = site.1.routes.iter().find(|route| route.name == *section) else {
                return Err(Problem::new(
                    reason::TARGET_NOT_FOUND,
                    format!("EdgeSite {} has no route {section}", target.name),
                ));
            };
            let answers_itself = route.redirect.is_some() || route.respond.is_some();
            if answers_itself && policy.key.kind == PolicyKind::CachePolicy {
                return Err(Problem::new(
                    reason::TARGET_INVALID,
                    format!(
                        "route {section} of EdgeSite {} goes to no origin: there is nothing to cache",
                        target.name
                    ),
                ));
            }
        }
        if policy.key.kind == PolicyKind::CachePolicy {
            self.cache_effect(policy, target, &site_name)?;
        }
        Ok(())
    }

    fn cache_effect(&self, policy: &Policy, target: &crds::TargetRef, site: &Name) -> Result<(), Problem> {
        if let Some(above) = self.enforced_cache(site) {
            return Err(Problem::new(
                reason::OVERRIDDEN,
                format!(
                    "the platform enforces CachePolicy {} on EdgeSite {}",
                    above.name.name, site.name
                ),
            ));
        }
        let rivals = self.reverse.by_target.get(site).into_iter().flatten();
        for key in rivals.filter(|key| key.kind == PolicyKind::CachePolicy && **key < policy.key) {
            let Some(rival) = self.policies.get(key).filter(|rival| rival.content.is_ok()) else {
                continue;
            };
            let Reach::Targets(targets) = &rival.reach else {
                continue;
            };
            if targets
                .iter()
                .any(|t| t.name == target.name && section(t) == section(target))
            {
                return Err(Problem::new(
                    reason::CONFLICTED,
                    format!(
                        "CachePolicy {} has the same target and comes first by name; a target has one CachePolicy",
                        key.name.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The platform's enforced `CachePolicy` for a site.
    fn enforced_cache(&self, site: &Name) -> Option<&PolicyKey> {
        let selected = self
            .sites
            .get(site)
            .map(|state| state.shared.as_slice())
            .unwrap_or_default();
        let of_all = self
            .platform_policies()
            .filter(|policy| matches!(policy.reach, Reach::Shared(_, None)));
        let selected = selected.iter().filter_map(|key| self.policies.get(key));
        selected
            .chain(of_all)
            .find(|policy| {
                policy.key.kind == PolicyKind::CachePolicy
                    && matches!(policy.reach, Reach::Shared(Mode::Enforced, _))
                    && self.takes_part(policy)
            })
            .map(|policy| &policy.key)
    }

    /// Policies with a scope, by name.
    pub(super) fn platform_policies(&self) -> impl Iterator<Item = &Policy> {
        let namespace = self.settings.operator_namespace.as_str();
        [PolicyKind::CachePolicy, PolicyKind::RateRule]
            .into_iter()
            .flat_map(move |kind| {
                let from = PolicyKey {
                    kind,
                    name: Name::new(namespace, ""),
                };
                self.policies
                    .range(from..)
                    .take_while(move |(key, _)| key.kind == kind && key.name.namespace == namespace)
            })
            .map(|(_, policy)| policy)
            .filter(|policy| policy.is_shared())
    }

    /// True when edges enforce a platform policy: it is in order, or what was published of it stays.
    pub(super) fn takes_part(&self, policy: &Policy) -> bool {
        policy.content.is_ok() || self.stays(&policy.key)
    }

    /// The first platform `CachePolicy` of a mode for every site, other than `policy`, that comes before it.
    pub(super) fn beaten_by(&self, policy: &Policy) -> Option<&PolicyKey> {
        let Reach::Shared(mode, None) = &policy.reach else {
            return None;
        };
        if policy.key.kind != PolicyKind::CachePolicy {
            return None;
        }
        self.platform_policies()
            .take_while(|other| other.key < policy.key)
            .find(|other| {
                other.key.kind == PolicyKind::CachePolicy
                    && other.reach == Reach::Shared(*mode, None)
                    && self.takes_part(other)
            })
            .map(|other| &other.key)
    }

    /// A platform policy came, went or changed.
    pub(super) fn shared_policy_changed(&mut self, key: &PolicyKey) {
        self.dirty.settings = true;
        self.dirty.selection.every = true;
        if key.kind == PolicyKind::CachePolicy {
            // What is enforced on every site decides about every tenant's CachePolicy.
            let tenants = self
                .policies
                .iter()
                .filter(|(key, _)| key.kind == PolicyKind::CachePolicy);
            self.dirty.policies.extend(tenants.map(|(key, _)| key.clone()));
        }
    }

    /// The number of sites changed.
    pub(super) fn every_site_policies_dirty(&mut self) {
        let keys: Vec<PolicyKey> = self
            .platform_policies()
            .filter(|policy| matches!(policy.reach, Reach::Shared(_, None)))
            .map(|policy| policy.key.clone())
            .collect();
        self.dirty.policies.extend(keys);
    }

    /// Looks again at which platform policies select which sites, and marks the sites where that changed.
    pub(super) fn select(&mut self) {
        let selection = std::mem::take(&mut self.dirty.selection);
        let names: Vec<Name> = if selection.every {
            self.sites.keys().cloned().collect()
        } else {
            let of = |namespace: &String| {
                let namespace = namespace.clone();
                self.sites
                    .range(Name::new(&namespace, "")..)
                    .map(|(name, _)| name.clone())
                    .take_while(move |name| name.namespace == namespace)
            };
            selection
                .namespaces
                .iter()
                .flat_map(of)
                .chain(selection.sites.iter().cloned())
                .collect()
        };
        for name in names {
            self.select_for(name);
        }
    }

    fn select_for(&mut self, name: Name) {
        let shared = self.selecting(&name);
        let Some(state) = self.sites.get_mut(&name) else {
            return;
        };
        let selected_anew = state.shared != shared;
        if selected_anew {
            let old = std::mem::replace(&mut state.shared, shared.clone());
            self.dirty.policies.extend(old.into_iter().chain(shared));
        }
        let enforced = self.enforced_cache(&name).cloned();
        let own = self.reverse.by_target.get(&name);
        let Some(state) = self.sites.get_mut(&name) else {
            return;
        };
        // A policy that goes on selecting the site may enforce now what it only proposed before.
        let enforced_anew = state.enforced != enforced;
        state.enforced = enforced;
        if selected_anew || (enforced_anew && own.is_some()) {
            self.dirty.policies.extend(own.into_iter().flatten().cloned());
            self.dirty.sites.insert(name);
        }
    }

    /// Platform policies with a selector that select this site. Of `CachePolicy`s one a mode, the first by name.
    fn selecting(&self, name: &Name) -> Vec<PolicyKey> {
        let Some(state) = self.sites.get(name) else {
            return Vec::new();
        };
        let labels = match &state.object {
            SiteObject::Good(site) => &site.0.labels,
            SiteObject::Invalid(invalid) => &invalid.labels,
        };
        let none = Labels::new();
        let namespace = self.namespaces.get(&name.namespace).unwrap_or(&none);
        let mut modes = BTreeSet::new();
        self.platform_policies()
            .filter(|policy| match &policy.reach {
                Reach::Shared(mode, Some(selector)) => {
                    selects(selector, labels, namespace)
                        && self.takes_part(policy)
                        && (policy.key.kind != PolicyKind::CachePolicy
                            || modes.insert(*mode == Mode::Enforced))
                }
                _ => false,
            })
            .map(|policy| policy.key.clone())
            .collect()
    }
}

pub(super) fn section(target: &crds::TargetRef) -> &str {
    target.section_name.as_deref().unwrap_or_default()
}
