//! Policies: from what people wrote to what edges enforce, and where they apply.

mod cache;
mod rate;
mod selector;

use std::sync::Arc;

use breakwater_crds::{self as crds, PolicyMode, PolicyScope, SiteSelector, TargetRef};
use breakwater_edge_config::{CachePolicy, Mode, Part, RateRule};

pub(crate) use selector::selects;

use crate::key::PolicyKey;
use crate::object::Meta;
use crate::problem::{Problem, reason};
use crate::settings::Settings;

/// A policy as the index holds it.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) key: PolicyKey,
    pub(crate) generation: i64,
    pub(crate) reach: Reach,
    /// What edges enforce, or why it can't be.
    pub(crate) content: Result<Content, Vec<Problem>>,
}

/// Where a policy applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Sites and routes of its namespace.
    Targets(Vec<TargetRef>),
    /// The platform's: every site, or the selected ones.
    Shared(Mode, Option<SiteSelector>),
}

/// What edges enforce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Rate(Arc<RateRule>),
    Cache(Arc<CachePolicy>),
}

impl Policy {
    pub(crate) fn from_rate(
        key: PolicyKey,
        meta: &Meta,
        spec: &crds::RateRuleSpec,
        settings: &Settings,
    ) -> Self {
        let compiled = rate::compile(&key.id(), spec).map(|rule| Content::Rate(Arc::new(rule)));
        let attachment = Attachment {
            targets: &spec.target_refs,
            scope: spec.scope,
            selector: spec.selector.as_ref(),
            mode: spec.mode,
        };
        Self::new(key, meta, &attachment, compiled, settings)
    }

    pub(crate) fn from_cache(
        key: PolicyKey,
        meta: &Meta,
        spec: &crds::CachePolicySpec,
        settings: &Settings,
    ) -> Self {
        let compiled = cache::compile(&key.id(), spec).map(|policy| Content::Cache(Arc::new(policy)));
        let attachment = Attachment {
            targets: &spec.target_refs,
            scope: spec.scope,
            selector: spec.selector.as_ref(),
            mode: spec.mode,
        };
        Self::new(key, meta, &attachment, compiled, settings)
    }

    /// A policy that can't be read.
    pub(crate) fn unreadable(
        key: PolicyKey,
        generation: i64,
        targets: Vec<TargetRef>,
        problem: &str,
    ) -> Self {
        Self {
            key,
            generation,
            reach: Reach::Targets(targets),
            content: Err(vec![Problem::invalid(problem)]),
        }
    }

    fn new(
        key: PolicyKey,
        meta: &Meta,
        attachment: &Attachment<'_>,
        compiled: Result<Content, Vec<Problem>>,
        settings: &Settings,
    ) -> Self {
        let (reach, refused) = attachment.reach(&key, settings);
        let content = match (compiled, refused) {
            (Ok(content), None) => Ok(content),
            (Ok(_), Some(problem)) => Err(vec![problem]),
            (Err(problems), refused) => Err(refused.into_iter().chain(problems).collect()),
        };
        Self {
            key,
            generation: meta.generation,
            reach,
            content,
        }
    }

    /// The part that carries it, for a platform's policy that is in order.
    pub(crate) fn part(&self) -> Option<Part> {
        let Reach::Shared(mode, _) = &self.reach else {
            return None;
        };
        Some(match self.content.as_ref().ok()? {
            Content::Rate(rule) => Part::Rate {
                mode: *mode,
                rule: RateRule::clone(rule),
            },
            Content::Cache(policy) => Part::Cache {
                mode: *mode,
                policy: Box::new(CachePolicy::clone(policy)),
            },
        })
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.reach, Reach::Shared(..))
    }
}

struct Attachment<'a> {
    targets: &'a [TargetRef],
    scope: Option<PolicyScope>,
    selector: Option<&'a SiteSelector>,
    mode: Option<PolicyMode>,
}

impl Attachment<'_> {
    fn reach(&self, key: &PolicyKey, settings: &Settings) -> (Reach, Option<Problem>) {
        let targets = || Reach::Targets(self.targets.to_vec());
        let Some(scope) = self.scope else {
            let problem = self.targets.is_empty().then(|| {
                Problem::new(
                    reason::NO_TARGET,
                    "it has neither targetRefs nor scope: name the sites and routes that it is for in targetRefs",
                )
            });
            return (targets(), problem);
        };
        if key.name.namespace != settings.operator_namespace {
            let problem = Problem::new(
                reason::SCOPE_NOT_ALLOWED,
                format!(
                    "scope belongs to policies in namespace {}; name the sites of this namespace in targetRefs",
                    settings.operator_namespace
                ),
            );
            return (targets(), Some(problem));
        }
        let mode = match self.mode.unwrap_or_default() {
            PolicyMode::Default => Mode::Default,
            PolicyMode::Enforced => Mode::Enforced,
        };
        let selector = match scope {
            PolicyScope::AllSites => None,
            PolicyScope::Selected => Some(self.selector.cloned().unwrap_or_default()),
        };
        let problem = selector
            .as_ref()
            .filter(|s| s.sites.is_none() && s.namespaces.is_none())
            .map(|_| {
                Problem::invalid(
                    "selector: give sites, namespaces or both; for every site use scope AllSites",
                )
            });
        (Reach::Shared(mode, selector), problem)
    }
}

/// Gathers what isn't done by this version.
pub(crate) fn unsupported(fields: &[(bool, &str)]) -> Vec<Problem> {
    fields
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, field)| {
            Problem::new(
                reason::UNSUPPORTED,
                format!("{field} is not supported by this version: remove it"),
            )
        })
        .collect()
}
