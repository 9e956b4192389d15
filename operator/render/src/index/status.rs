//! Statuses of sites and policies.

use breakwater_crds::condition;
use breakwater_edge_config::{ContentHash, Mode};

use super::policies::section;
use super::render::{Outcome, accepted, condition_of};
use super::{Index, SiteObject};
use crate::changes::{Condition, StatusUpdate, TargetStatus, Wanted};
use crate::key::{Key, Name};
use crate::policy::{Policy, Reach};
use crate::problem::{Problem, reason};

impl Index {
    pub(super) fn site_status(&self, name: &Name, outcome: &Outcome) -> StatusUpdate {
        let rendered = &outcome.rendered;
        let generation = match self.sites.get(name).map(|state| &state.object) {
            Some(SiteObject::Good(site)) => site.0.generation,
            Some(SiteObject::Invalid(invalid)) => invalid.generation,
            None => 0,
        };
        let served = !outcome.hashes.is_empty();
        let mut conditions = vec![
            accepted(&rendered.problems, outcome.last_good, served),
            condition_of(
                condition::RESOLVED_REFS,
                &rendered.unresolved,
                (
                    reason::RESOLVED,
                    "Everything that it refers to is there".to_owned(),
                ),
            ),
        ];
        conditions.extend(rendered.certificate.clone());
        StatusUpdate {
            key: Key::EdgeSite(name.clone()),
            generation,
            conditions,
            config_hash: combined(outcome.hashes.values()),
            targets: Vec::new(),
            target_count: 0,
            carriers: self.carriers(name, &outcome.hashes),
            last_good: outcome.last_good,
        }
    }

    fn carriers(&self, name: &Name, hashes: &std::collections::BTreeMap<String, ContentHash>) -> Vec<Wanted> {
        hashes
            .iter()
            .map(|(region, hash)| Wanted {
                position: self.position(name, region),
                hash: hash.clone(),
            })
            .collect()
    }

    pub(super) fn policy_status(&self, policy: &Policy) -> StatusUpdate {
        match &policy.reach {
            Reach::Targets(targets) => self.attached_status(policy, targets),
            Reach::Shared(mode, selector) => self.shared_status(policy, *mode, selector.is_none()),
        }
    }

    fn attached_status(&self, policy: &Policy, targets: &[breakwater_crds::TargetRef]) -> StatusUpdate {
        let mut statuses = Vec::new();
        let mut unresolved = Vec::new();
        let mut carriers = Vec::new();
        let mut count = 0;
        for target in targets {
            let effect = match &policy.content {
                Ok(_) => self.effect(policy, target),
                Err(_) => Err(Problem::new(
                    reason::INVALID,
                    "the policy is refused, see its condition Accepted",
                )),
            };
            let condition = match &effect {
                Ok(()) => Condition::good(condition::ACCEPTED, reason::ACCEPTED, "It is in effect here"),
                Err(problem) => Condition::bad(condition::ACCEPTED, problem.reason, &problem.message),
            };
            match effect {
                Ok(()) => {
                    count += 1;
                    let name = Name::new(&policy.key.name.namespace, &target.name);
                    if let Some(state) = self.sites.get(&name) {
                        carriers.extend(self.carriers(&name, &state.hashes));
                    }
                }
                Err(problem) if policy.content.is_ok() => unresolved.push(problem),
                Err(_) => {}
            }
            statuses.push(TargetStatus {
                name: target.name.clone(),
                section_name: section(target).to_owned(),
                condition,
            });
        }
        carriers.sort();
        carriers.dedup();
        let good = "The policy is in order".to_owned();
        let mut status = self.status(policy, good, &unresolved);
        status.targets = statuses;
        status.target_count = count;
        status.carriers = carriers;
        status
    }

    fn shared_status(&self, policy: &Policy, mode: Mode, every_site: bool) -> StatusUpdate {
        if let (Ok(_), Some(first)) = (&policy.content, self.beaten_by(policy)) {
            let message = format!(
                "CachePolicy {} applies to every site too and comes first by name; there is one for every site and mode",
                first.name.name
            );
            let mut status = self.status(policy, String::new(), &[]);
            status.conditions = vec![Condition::bad(condition::ACCEPTED, reason::CONFLICTED, message)];
            return status;
        }
        let reach = if every_site {
            "every site"
        } else {
            "the sites that its selector selects"
        };
        let how = match mode {
            Mode::Default => "as a default",
            Mode::Enforced => "whatever their own policies say",
        };
        let mut status = self.status(policy, format!("The policy applies to {reach}, {how}"), &[]);
        if self.takes_part(policy) {
            let count = if every_site {
                self.sites.len()
            } else {
                self.sites
                    .values()
                    .filter(|state| state.shared.contains(&policy.key))
                    .count()
            };
            status.target_count = i64::try_from(count).unwrap_or(i64::MAX);
            status.carriers = self.settings_carriers();
        }
        status
    }

    fn status(&self, policy: &Policy, good: String, unresolved: &[Problem]) -> StatusUpdate {
        let problems = policy
            .content
            .as_ref()
            .err()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut accepted = condition_of(condition::ACCEPTED, problems, (reason::ACCEPTED, good));
        let stays = !problems.is_empty() && policy.is_shared() && self.stays(&policy.key);
        if stays {
            accepted = Condition::bad(
                accepted.kind,
                &accepted.reason,
                accepted.message + "; what was published of it before stays",
            );
        }
        StatusUpdate {
            key: Key::Policy(policy.key.clone()),
            generation: policy.generation,
            conditions: vec![
                accepted,
                condition_of(
                    condition::RESOLVED_REFS,
                    unresolved,
                    (
                        reason::RESOLVED,
                        "Everything that it refers to is there".to_owned(),
                    ),
                ),
            ],
            config_hash: None,
            targets: Vec::new(),
            target_count: 0,
            carriers: Vec::new(),
            last_good: stays,
        }
    }
}

/// One hash for what several regions serve.
fn combined<'a>(hashes: impl Iterator<Item = &'a ContentHash>) -> Option<ContentHash> {
    let all: Vec<&ContentHash> = hashes.collect();
    match all.as_slice() {
        [] => None,
        [first, rest @ ..] if rest.iter().all(|hash| hash == first) => Some((*first).clone()),
        all => Some(ContentHash::of_parts(
            all.iter().map(|hash| hash.as_str().as_bytes()),
        )),
    }
}
