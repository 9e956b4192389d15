//! Purges by the admin server: `POST /purge` with a JSON body.

use std::sync::Arc;

use breakwater_edge_config::{PurgeTarget, SiteId};
use breakwater_edge_proxy::compile::{Directory, PurgeTargetError, Site};
use serde::{Deserialize, Serialize};

use super::{KINDS, NotDurable, Order, Purger};

/// Most targets of one request.
pub(crate) const MAX_VALUES: usize = 1_000;
/// How often a purge is made anew because the site's configuration changed meanwhile.
const MAX_TURNS: usize = 5;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    /// `home/namespace/name`, or a host that it serves.
    site: String,
    kind: Kind,
    /// URLs, prefixes, masks or tags.
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    soft: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Everything,
    Url,
    Prefix,
    Mask,
    Tag,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    site: String,
    sequence: u64,
}

/// Why it wasn't.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// 400.
    #[error("the body is not a purge: {0}")]
    Malformed(#[from] serde_json::Error),
    /// 400.
    #[error("{0}")]
    Values(&'static str),
    /// 404.
    #[error(
        "no site in force has the name or host {0:?}: give home/namespace/name, or a host that it serves"
    )]
    NoSite(String),
    /// 422.
    #[error(transparent)]
    Target(#[from] PurgeTargetError),
    /// 409.
    #[error("the site's configuration changes faster than purges can follow: try again")]
    Unsettled,
    /// 503.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Values(_) => 400,
            Self::NoSite(_) => 404,
            Self::Unsettled => 409,
            Self::Target(_) => 422,
            Self::NotDurable(_) => 503,
        }
    }
}

impl Wanted {
    fn targets(self) -> Result<Vec<PurgeTarget>, Refusal> {
        let make = match self.kind {
            Kind::Everything if self.values.is_empty() => return Ok(vec![PurgeTarget::Everything]),
            Kind::Everything => return Err(Refusal::Values("everything takes no values")),
            Kind::Url => PurgeTarget::Url,
            Kind::Prefix => PurgeTarget::Prefix,
            Kind::Mask => PurgeTarget::Mask,
            Kind::Tag => PurgeTarget::Tag,
        };
        match self.values.len() {
            0 => Err(Refusal::Values("values: give at least one")),
            count if count > MAX_VALUES => Err(Refusal::Values("values: 1000 at most; send several purges")),
            _ => Ok(self.values.into_iter().map(make).collect()),
        }
    }
}

/// Carries out what a request's body asks for. Waits for the disk.
pub(crate) fn carry_out(purger: &Purger, directory: &Directory, body: &[u8]) -> Result<Done, Refusal> {
    let wanted: Wanted = serde_json::from_slice(body)?;
    let (name, soft) = (wanted.site.clone(), wanted.soft);
    let targets = wanted.targets()?;
    note(purger, &targets);
    for _ in 0..MAX_TURNS {
        let site = find(directory, &name).ok_or_else(|| Refusal::NoSite(name.clone()))?;
        let order = Order {
            site: Arc::clone(site.cache_site(purger.cache())),
            purge: site.purge(&targets, soft)?,
            progress: None,
            relayed: false,
        };
        let sequence = purger.purge(order)?;
        // What was fetched under a configuration that came meanwhile may have other keys for the same URLs.
        if find(directory, &name).is_some_and(|now| Arc::ptr_eq(&now, &site)) {
            return Ok(Done {
                site: site.id().to_string(),
                sequence,
            });
        }
    }
    Err(Refusal::Unsettled)
}

fn find(directory: &Directory, name: &str) -> Option<Arc<Site>> {
    let snapshot = directory.current();
    let parts: Vec<&str> = name.split('/').collect();
    if let [home, namespace, name] = parts.as_slice() {
        let is = |id: &SiteId| id.home == *home && id.namespace == *namespace && id.name == *name;
        return snapshot.sites().find(|site| is(site.id())).cloned();
    }
    let host = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    snapshot.find(&host).cloned()
}

pub(super) fn note(purger: &Purger, targets: &[PurgeTarget]) {
    for target in targets {
        let kind = match target {
            PurgeTarget::Everything => "everything",
            PurgeTarget::Url(_) => "url",
            PurgeTarget::Prefix(_) => "prefix",
            PurgeTarget::Mask(_) => "mask",
            PurgeTarget::Tag(_) => "tag",
        };
        if let Some(at) = KINDS.iter().position(|known| *known == kind) {
            purger.counts().note_target(at);
        }
    }
}
