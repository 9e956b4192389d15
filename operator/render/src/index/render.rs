//! Renders what is marked.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::{EdgeSiteSpec, condition};
use breakwater_edge_config::bundle::{Files, MAX_BYTES};
use breakwater_edge_config::{ContentHash, HostPattern, SiteBundle, SiteId, bundle};
use jiff::Timestamp;

use super::regions::site_secret;
use super::{Index, SiteObject, SiteState};
use crate::changes::{Changes, Condition, Publish, PublishKind};
use crate::key::{Name, SecretPosition};
use crate::object::Meta;
use crate::problem::{Problem, reason};
use crate::site::{self, Fetched, LastGood, Rendered, SiteInput, without_hosts};

/// What came of a site in all its regions.
pub(super) struct Outcome {
    pub(super) rendered: Rendered,
    /// What is to be served, by region.
    pub(super) files: BTreeMap<String, Files>,
    pub(super) hashes: BTreeMap<String, ContentHash>,
    /// The last good configuration is served.
    pub(super) last_good: bool,
}

impl Index {
    /// Everything that changed since the last call, rendered. `now` decides about certificates only.
    pub fn render_dirty(&mut self, now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        self.ring(now);
        self.select();
        let mut late = Vec::new();
        if std::mem::take(&mut self.dirty.settings) {
            late = self.render_settings(&mut changes);
            let shared: Vec<_> = self
                .platform_policies()
                .map(|policy| policy.key.clone())
                .collect();
            self.dirty.policies.extend(shared);
        }
        for name in std::mem::take(&mut self.dirty.sites) {
            self.render_site(&name, now, &mut changes);
        }
        changes.publish.append(&mut late);
        for position in std::mem::take(&mut self.dirty.orphans) {
            changes.withdraw.extend(self.orphan(&position));
        }
        self.tell_policies(&mut changes);
        self.tell_regions(&mut changes);
        changes.needs = {
            let files = std::mem::take(&mut changes.needs.files);
            let mut needs = std::mem::take(&mut self.needs);
            needs.files.extend(files);
            needs
        };
        changes.next = self.alarms.first().map(|(at, _)| *at);
        changes
    }

    /// Marks the sites whose certificates change state by now.
    fn ring(&mut self, now: Timestamp) {
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, name)) = self.alarms.pop_first() {
                if let Some(state) = self.sites.get_mut(&name) {
                    state.alarm = None;
                }
                self.dirty.sites.insert(name);
            }
        }
    }

    fn render_site(&mut self, name: &Name, now: Timestamp, changes: &mut Changes) {
        let Some(state) = self.sites.get(name) else {
            return;
        };
        let outcome = match &state.object {
            SiteObject::Invalid(invalid) => {
                let rendered = Rendered {
                    problems: vec![Problem::invalid(&invalid.problem)],
                    ..Rendered::default()
                };
                self.keep_last_good(name, None, rendered, changes)
            }
            SiteObject::Good(good) => {
                let good = std::sync::Arc::clone(good);
                self.render_good(name, &good, now, changes)
            }
        };
        let Some(outcome) = outcome else { return };
        for (region, files) in &outcome.files {
            changes
                .publish
                .extend(self.publish_site(name, region, files, &outcome));
        }
        let positions = self.reverse.by_site.get(name).cloned().unwrap_or_default();
        self.dirty.orphans.extend(positions);
        self.settle(name, outcome, changes);
    }

    /// Notes what came of a site, and tells it where it differs.
    fn settle(&mut self, name: &Name, outcome: Outcome, changes: &mut Changes) {
        let status = self.site_status(name, &outcome);
        let Some(state) = self.sites.get_mut(name) else {
            return;
        };
        if state.alarm != outcome.rendered.next {
            if let Some(at) = state.alarm {
                self.alarms.remove(&(at, name.clone()));
            }
            if let Some(at) = outcome.rendered.next {
                self.alarms.insert((at, name.clone()));
            }
            state.alarm = outcome.rendered.next;
        }
        if state.hashes != outcome.hashes {
            state.hashes = outcome.hashes;
            let policies = self.reverse.by_target.get(name).into_iter().flatten().cloned();
            self.dirty.policies.extend(policies);
        }
        if state.status.as_ref() != Some(&status) {
            state.status = Some(status.clone());
            changes.statuses.push(status);
        }
    }

    fn publish_site(&self, name: &Name, region: &str, files: &Files, outcome: &Outcome) -> Option<Publish> {
        let position = self.position(name, region);
        let hash = outcome.hashes.get(region)?.clone();
        let there = self.published.get(&position);
        if there.is_some_and(|there| there.hash == hash) {
            return None;
        }
        Some(Publish {
            kind: PublishKind::Site(SiteId {
                home: self.settings.home.clone(),
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            }),
            files: files.clone(),
            hash,
            resource_version: there.map(|there| there.resource_version.clone()),
            position,
        })
    }

    pub(super) fn position(&self, name: &Name, region: &str) -> SecretPosition {
        SecretPosition {
            region: region.to_owned(),
            secret: site_secret(&self.settings.home, name),
        }
    }

    /// `None`: something is still being fetched.
    fn render_good(
        &self,
        name: &Name,
        (meta, spec): &(Meta, EdgeSiteSpec),
        now: Timestamp,
        changes: &mut Changes,
    ) -> Option<Outcome> {
        let needs_objects = spec.origins.iter().any(|origin| origin.service.is_some());
        let objects = self.objects.get(&name.namespace);
        if needs_objects && !self.settings.complete && !objects.is_some_and(|objects| objects.listed) {
            return None;
        }
        let (hosts, host_problems, mut problems) = self.judge_hosts(name, spec);
        let secret = |secret: &str| match self.secrets.get(&Name::new(&name.namespace, secret)) {
            Some(Some(secret)) => Fetched::There(secret),
            Some(None) => Fetched::Absent,
            None if self.settings.complete => Fetched::Absent,
            None => Fetched::Unknown,
        };
        let last_good = self.last_good(name);
        let shared = self
            .sites
            .get(name)
            .map(|state| Self::shared_ids(&state.shared))
            .unwrap_or_default();
        let mut rendered = site::render(&SiteInput {
            settings: &self.settings,
            meta,
            spec,
            hosts,
            host_problems,
            secret: &secret,
            objects,
            addresses: &self.addresses,
            policies: self.attached(name),
            shared,
            last_good: last_good.as_ref(),
            now,
        });
        if rendered.waits {
            return None;
        }
        if !problems.is_empty() {
            rendered.bundle = None;
            problems.append(&mut rendered.problems);
            rendered.problems = problems;
        }
        if rendered.wants_last_good && last_good.is_none() && self.ask_for_files(name, changes) {
            return None;
        }
        self.unknown_regions(spec, &mut rendered);
        let Some(bundle) = rendered.bundle.take() else {
            return self.keep_last_good(name, Some(spec), rendered, changes);
        };
        self.in_regions(name, spec, &bundle, rendered, changes)
    }

    /// Which hosts the site may serve; why not the others; which aren't hosts.
    fn judge_hosts(
        &self,
        name: &Name,
        spec: &EdgeSiteSpec,
    ) -> (Vec<HostPattern>, Vec<Problem>, Vec<Problem>) {
        let (mut good, mut lost, mut malformed) = (BTreeSet::new(), Vec::new(), Vec::new());
        for text in &spec.hosts {
            match site::served_host(text, self.settings.standalone) {
                Err(problem) => malformed.push(problem),
                Ok(host) => match self.claims.verdict(&host, name, &self.settings) {
                    Ok(()) => {
                        good.insert(host);
                    }
                    Err(problem) => lost.push(problem),
                },
            }
        }
        (good.into_iter().collect(), lost, malformed)
    }

    fn last_good(&self, name: &Name) -> Option<LastGood> {
        let positions = self.reverse.by_site.get(name)?;
        positions
            .iter()
            .find_map(|position| LastGood::read(self.published.get(position)?.files.as_ref()?))
    }

    /// Asks for the files of what is published. False when there is nothing to ask for.
    fn ask_for_files(&self, name: &Name, changes: &mut Changes) -> bool {
        let positions = self.reverse.by_site.get(name).into_iter().flatten();
        let unread: Vec<_> = positions
            .filter(|position| {
                self.published
                    .get(*position)
                    .is_some_and(|there| there.files.is_none())
            })
            .cloned()
            .collect();
        let any = !unread.is_empty();
        changes.needs.files.extend(unread);
        any
    }

    fn unknown_regions(&self, spec: &EdgeSiteSpec, rendered: &mut Rendered) {
        if !self.regions_are_known() {
            return;
        }
        for region in spec
            .regions
            .iter()
            .filter(|region| !self.region_objects.contains_key(*region))
        {
            rendered.unresolved.push(Problem::new(
                reason::REGION_NOT_FOUND,
                format!("regions: there is no EdgeRegion {region}"),
            ));
        }
        let services: Vec<&str> = spec
            .origins
            .iter()
            .filter(|o| o.service.is_some())
            .map(|o| o.name.as_str())
            .collect();
        for (region, _) in self
            .regions_of(&spec.regions)
            .filter(|(_, region)| !region.service_sameness)
        {
            for origin in &services {
                rendered.unresolved.push(Problem::new(
                    reason::SERVICE_NOT_IN_REGION,
                    format!(
                        "origin {origin}: EdgeRegion {region} doesn't say serviceSameness: true, so Services don't \
                         resolve there; requests for it are answered 503"
                    ),
                ));
            }
        }
    }

    fn in_regions(
        &self,
        name: &Name,
        spec: &EdgeSiteSpec,
        bundle: &SiteBundle,
        mut rendered: Rendered,
        changes: &mut Changes,
    ) -> Option<Outcome> {
        let mut files = BTreeMap::new();
        for (region_name, region) in self.regions_of(&spec.regions) {
            let variant = site::for_region(bundle, spec, region.https_port, region.service_sameness);
            match variant.to_files() {
                Ok(rendered) => {
                    files.insert(region_name.clone(), rendered);
                }
                Err(error) => rendered
                    .problems
                    .push(Problem::invalid(format!("it can't be written: {error}"))),
            }
        }
        let bytes = |files: &Files| {
            files
                .iter()
                .map(|(name, bytes)| name.len() + bytes.len())
                .sum::<usize>()
        };
        if let Some(bytes) = files.values().map(bytes).max().filter(|bytes| *bytes > MAX_BYTES) {
            rendered.problems.push(Problem::new(
                reason::TOO_LARGE,
                format!(
                    "the rendered site has {bytes} bytes, at most {MAX_BYTES} fit a Secret: split it into several \
                     sites, or use fewer certificates, shorter fixed answers and fewer policies"
                ),
            ));
            return self.keep_last_good(name, Some(spec), rendered, changes);
        }
        let hashes = files
            .iter()
            .map(|(region, files)| (region.clone(), bundle::hash(files)))
            .collect();
        Some(Outcome {
            rendered,
            files,
            hashes,
            last_good: false,
        })
    }

    /// What is published stays, but for hosts that the site may not serve any more.
    fn keep_last_good(
        &self,
        name: &Name,
        spec: Option<&EdgeSiteSpec>,
        rendered: Rendered,
        changes: &mut Changes,
    ) -> Option<Outcome> {
        let mut outcome = Outcome {
            rendered,
            files: BTreeMap::new(),
            hashes: BTreeMap::new(),
            last_good: false,
        };
        let served: BTreeSet<&String> = match spec {
            Some(spec) => self.regions_of(&spec.regions).map(|(name, _)| name).collect(),
            None => self.regions.keys().collect(),
        };
        for position in self.reverse.by_site.get(name).into_iter().flatten() {
            let Some(published) = self
                .published
                .get(position)
                .filter(|_| served.contains(&position.region))
            else {
                continue;
            };
            let lost: Vec<HostPattern> = published
                .hosts
                .iter()
                .filter(|host| self.has_lost(host, name))
                .cloned()
                .collect();
            if lost.is_empty() {
                outcome
                    .hashes
                    .insert(position.region.clone(), published.hash.clone());
                outcome.last_good = true;
                continue;
            }
            let Some(files) = &published.files else {
                changes.needs.files.insert(position.clone());
                return None;
            };
            if let Some(files) = without_hosts(files, &lost) {
                outcome
                    .hashes
                    .insert(position.region.clone(), bundle::hash(&files));
                outcome.files.insert(position.region.clone(), files);
                outcome.last_good = true;
            }
        }
        Some(outcome)
    }

    /// True when a site may not go on serving a host: its grant was taken back, or another site has it.
    fn has_lost(&self, host: &HostPattern, name: &Name) -> bool {
        let settings = &self.settings;
        let granted = settings.host_grants.is_empty() || settings.granted(&name.namespace, host.name());
        !granted || self.claims.verdict(host, name, settings).is_err()
    }

    /// True when the Secret at `position` is to stay.
    pub(super) fn keeps(&self, name: &Name, state: &SiteState, position: &SecretPosition) -> bool {
        // Not decided yet: nothing is taken away.
        let undecided = state.status.is_none();
        let expected = self.position(name, &position.region) == *position;
        expected
            && (undecided && self.regions.contains_key(&position.region)
                || state.hashes.contains_key(&position.region))
    }

    fn tell_policies(&mut self, changes: &mut Changes) {
        for key in std::mem::take(&mut self.dirty.policies) {
            let Some(policy) = self.policies.get(&key) else {
                continue;
            };
            let status = self.policy_status(policy);
            self.tell(status, changes);
        }
    }

    fn tell_regions(&mut self, changes: &mut Changes) {
        if std::mem::take(&mut self.dirty.regions) {
            for status in self.region_statuses() {
                self.tell(status, changes);
            }
        }
    }

    fn tell(&mut self, status: crate::StatusUpdate, changes: &mut Changes) {
        if self.told.get(&status.key) != Some(&status) {
            self.told.insert(status.key.clone(), status.clone());
            changes.statuses.push(status);
        }
    }
}

/// A condition from problems: False with all of them, or True.
pub(super) fn condition_of(kind: &'static str, problems: &[Problem], good: (&str, String)) -> Condition {
    match crate::problem::join(problems) {
        Some((reason, message)) => Condition::bad(kind, reason, message),
        None => Condition::good(kind, good.0, good.1),
    }
}

/// `Accepted` of a site: hosts that it may not serve don't keep the others from being served.
pub(super) fn accepted(problems: &[Problem], last_good: bool, served: bool) -> Condition {
    let mut condition = condition_of(
        condition::ACCEPTED,
        problems,
        (reason::ACCEPTED, "The site is in order".to_owned()),
    );
    if !problems.is_empty() {
        let then = match (last_good, served) {
            (true, _) => "; the last good configuration stays",
            (false, true) => "; its other hosts are served",
            (false, false) => "; nothing is served",
        };
        condition = Condition::bad(condition.kind, &condition.reason, condition.message + then);
    }
    condition
}
