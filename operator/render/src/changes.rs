use std::collections::BTreeSet;

use breakwater_crds::ConditionStatus;
use breakwater_edge_config::bundle::Files;
use breakwater_edge_config::{ContentHash, SiteId};
use jiff::Timestamp;

use crate::key::{Key, Name, SecretPosition};

/// What has changed since the last time that it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Secrets to write: parts first, then regions' settings, then sites.
    pub publish: Vec<Publish>,
    /// Secrets to delete, after everything in [`Self::publish`] is written: their site is gone or not served
    /// in that region any more.
    pub withdraw: Vec<Withdraw>,
    /// Parts that the settings don't name any more. They may be deleted once every live edge of the region has
    /// acknowledged the settings as they are published now; until then they are listed again on every render
    /// of the settings.
    pub retire: Vec<Retire>,
    /// Statuses that differ from the last ones, by object.
    pub statuses: Vec<StatusUpdate>,
    /// What must be fetched and watched, and what needn't be any more.
    pub needs: NeedsDelta,
    /// When to ask again although nothing came in: a certificate is about to expire.
    pub next: Option<Timestamp>,
}

/// A Secret to write.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub position: SecretPosition,
    /// What it is.
    pub kind: PublishKind,
    /// Its files.
    pub files: Files,
    /// Their hash.
    pub hash: ContentHash,
    /// The resource version that this was rendered against; `None`: it isn't there yet. Another version in
    /// the cluster means that this is out of date: don't write it, apply the newer one to the index.
    pub resource_version: Option<String>,
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Publish({:?} {:?} {:?})", self.position, self.kind, self.hash)
    }
}

/// What a published Secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishKind {
    /// A shared policy.
    Part,
    /// A region's settings.
    Region,
    /// A site.
    Site(SiteId),
}

/// A Secret to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdraw {
    /// Where.
    pub position: SecretPosition,
    /// The site.
    pub site: Option<SiteId>,
    /// The version to delete; another one means that this is out of date.
    pub resource_version: String,
}

/// A part that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retire {
    /// Where.
    pub position: SecretPosition,
    /// The version to delete.
    pub resource_version: String,
}

/// A condition as render sees it; whoever writes it adds the time of its last transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// One of [`breakwater_crds::condition`].
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people: what is wrong, and what to do.
    pub message: String,
}

/// Longest message of a condition, in characters.
const MAX_MESSAGE: usize = 4096;

impl Condition {
    /// A condition; a message that is too long is cut.
    pub fn new(
        kind: &'static str,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        let mut message: String = message.into();
        if let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE - 1) {
            message.truncate(cut);
            message.push('…');
        }
        Self {
            kind,
            status,
            reason: reason.to_owned(),
            message,
        }
    }

    /// It holds.
    pub fn good(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self::new(kind, ConditionStatus::True, reason, message)
    }

    /// It doesn't.
    pub fn bad(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self::new(kind, ConditionStatus::False, reason, message)
    }
}

/// The status of one object. `Programmed` and `Ready` come from [`crate::conditions::overall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The object.
    pub key: Key,
    /// Its generation that this is about.
    pub generation: i64,
    /// `Accepted`, `ResolvedRefs`, for sites `CertificateReady`.
    pub conditions: Vec<Condition>,
    /// For sites: the hash of what is to be served.
    pub config_hash: Option<ContentHash>,
    /// For policies: one entry for each of `targetRefs`.
    pub targets: Vec<TargetStatus>,
    /// For policies: how many sites and routes it applies to.
    pub target_count: i64,
    /// The Secrets that carry it: `Programmed` holds when every live edge of their regions has loaded them.
    pub carriers: Vec<Wanted>,
    /// For sites: what is served is an older configuration than this generation asks for.
    pub last_good: bool,
}

impl StatusUpdate {
    /// True when the object is refused.
    pub fn is_refused(&self) -> bool {
        self.conditions
            .iter()
            .any(|c| c.kind == breakwater_crds::condition::ACCEPTED && c.status == ConditionStatus::False)
    }

    /// The conditions that don't hold, for people.
    pub fn problems(&self) -> impl Iterator<Item = &Condition> {
        self.conditions
            .iter()
            .filter(|c| c.status == ConditionStatus::False)
    }
}

/// A Secret, and the content that is meant to be in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Where.
    pub position: SecretPosition,
    /// The content.
    pub hash: ContentHash,
}

/// Status of a policy towards one of its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Name of the site.
    pub name: String,
    /// Name of the route; empty for the whole site.
    pub section_name: String,
    /// `Accepted`.
    pub condition: Condition,
}

/// What render needs besides what it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeedsDelta {
    /// Secrets that a site names: get each, apply it or [`SecretAbsent`](crate::Object::SecretAbsent), and
    /// again when it changes.
    pub secrets_added: BTreeSet<Name>,
    /// Secrets that no site names any more: remove them.
    pub secrets_removed: BTreeSet<Name>,
    /// Namespaces with an origin by Service: apply their Services, `EndpointSlices` and Pods, then
    /// [`NamespaceListed`](crate::Object::NamespaceListed).
    pub namespaces_added: BTreeSet<String>,
    /// Namespaces that needn't be watched any more: remove what was applied of them.
    pub namespaces_removed: BTreeSet<String>,
    /// Published Secrets to apply again with their files: parts of them are still good where the objects are
    /// broken.
    pub files: BTreeSet<SecretPosition>,
}

impl NeedsDelta {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
