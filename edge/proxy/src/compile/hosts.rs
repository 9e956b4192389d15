use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use breakwater_edge_config::HostPattern;
use smallvec::SmallVec;

/// A change copies one of these many shards; a shard of 10,000 sites with two hosts each holds about 80.
const SHARDS: usize = 256;

/// Position of a site in its snapshot.
pub(super) type SiteIndex = u32;

type Shard = HashMap<Arc<str>, SmallVec<[SiteIndex; 2]>, RandomState>;

/// Which site serves a host: constant time for exact names and wildcards, and cheap to copy with a change,
/// since unchanged shards are shared.
#[derive(Clone, Debug)]
pub(super) struct HostMap {
    hasher: RandomState,
    exact: Vec<Arc<Shard>>,
    /// By what follows `*.`.
    wildcard: Vec<Arc<Shard>>,
}

impl HostMap {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        let shards = || {
            (0..SHARDS)
                .map(|_| Arc::new(Shard::with_hasher(hasher.clone())))
                .collect()
        };
        Self {
            exact: shards(),
            wildcard: shards(),
            hasher,
        }
    }

    /// `host` in lower case, without port. An exact name wins over a wildcard.
    pub(super) fn find(&self, host: &str) -> Option<SiteIndex> {
        lookup(&self.exact, &self.hasher, host).or_else(|| {
            let (label, rest) = host.split_once('.')?;
            if label.is_empty() {
                None
            } else {
                lookup(&self.wildcard, &self.hasher, rest)
            }
        })
    }

    /// Where two sites claim one host, the later claim serves it, and the earlier does again when the later
    /// lets go. (The operator lets one claim stand; both exist only while a host moves.)
    pub(super) fn add(&mut self, host: &HostPattern, site: SiteIndex) {
        if let Some(shard) = self.shard(host) {
            let claims = shard.entry(host.name().into()).or_default();
            claims.retain(|claim| *claim != site);
            claims.push(site);
        }
    }

    pub(super) fn remove(&mut self, host: &HostPattern, site: SiteIndex) {
        if let Some(shard) = self.shard(host)
            && let Some(claims) = shard.get_mut(host.name())
        {
            claims.retain(|claim| *claim != site);
            if claims.is_empty() {
                shard.remove(host.name());
            }
        }
    }

    fn shard(&mut self, host: &HostPattern) -> Option<&mut Shard> {
        let at = place(&self.hasher, host.name());
        let shards = if host.is_wildcard() {
            &mut self.wildcard
        } else {
            &mut self.exact
        };
        shards.get_mut(at).map(Arc::make_mut)
    }
}

fn lookup(shards: &[Arc<Shard>], hasher: &RandomState, name: &str) -> Option<SiteIndex> {
    shards.get(place(hasher, name))?.get(name)?.last().copied()
}

fn place(hasher: &RandomState, name: &str) -> usize {
    usize::try_from(hasher.hash_one(name) >> 56).unwrap_or(0)
}
