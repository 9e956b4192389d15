//! Who serves which host.
//!
//! The namespace that serves a host keeps it until its published Secret doesn't name it any more; only among
//! new claimants does the older object win, then namespace and name. (Were it always the oldest, a restore or
//! a replaced object would flip the winner, and squatting would pay.) A host below a name that another
//! namespace has needs a grant, exact or wildcard alike.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::HostPattern;
use jiff::Timestamp;

use crate::key::Name;
use crate::problem::{Problem, reason};
use crate::settings::Settings;

/// A host with its labels reversed, so that what is below a name follows it: `com.example.shop`, and
/// `com.example.*` for a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reversed(String);

impl Reversed {
    fn of(host: &HostPattern) -> Self {
        let mut labels: Vec<&str> = host.name().rsplit('.').collect();
        if host.is_wildcard() {
            labels.push("*");
        }
        Self(labels.join("."))
    }

    /// What every key below this one begins with.
    fn below(&self) -> String {
        let base = self.0.strip_suffix(".*").unwrap_or(&self.0);
        format!("{base}.")
    }

    /// Keys that this one is below, from the top: `com`, `com.*`, `com.example`, `com.example.*`.
    fn above(&self) -> Vec<Self> {
        let mut keys = Vec::new();
        for (end, _) in self.0.match_indices('.') {
            let prefix = self.0.get(..end).unwrap_or_default();
            keys.push(Self(prefix.to_owned()));
            keys.push(Self(format!("{prefix}.*")));
        }
        keys.retain(|key| key != self);
        keys
    }

    /// The name, for a wildcard what follows `*.`.
    fn name(&self) -> String {
        let base = self.0.strip_suffix(".*").unwrap_or(&self.0);
        base.rsplit('.').collect::<Vec<_>>().join(".")
    }
}

/// Order of precedence among claimants; less is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    /// Not given (in files) counts as the latest.
    created: (bool, Option<Timestamp>),
    site: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Asked for, and served by this very site.
    Served,
    /// Asked for, and served by another site of the namespace.
    ServedInNamespace,
    /// Not asked for any more, but still published.
    LeftOver,
    /// Asked for.
    New,
}

#[derive(Debug, Default)]
struct Slot {
    /// Sites whose objects ask for it.
    asked: BTreeMap<Name, Option<Timestamp>>,
    /// Sites whose published Secrets have it, with the number of regions.
    served: BTreeMap<Name, usize>,
}

/// Every claim to a host.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    slots: BTreeMap<Reversed, Slot>,
}

impl Claims {
    /// True when this is new, or the object is another one.
    pub(crate) fn ask(&mut self, host: &HostPattern, site: &Name, created: Option<Timestamp>) -> bool {
        let slot = self.slots.entry(Reversed::of(host)).or_default();
        slot.asked.insert(site.clone(), created) != Some(created)
    }

    pub(crate) fn forget(&mut self, host: &HostPattern, site: &Name) {
        let key = Reversed::of(host);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.asked.remove(site);
            self.tidy(&key);
        }
    }

    pub(crate) fn serve(&mut self, host: &HostPattern, site: &Name) {
        let slot = self.slots.entry(Reversed::of(host)).or_default();
        *slot.served.entry(site.clone()).or_default() += 1;
    }

    pub(crate) fn let_go(&mut self, host: &HostPattern, site: &Name) {
        let key = Reversed::of(host);
        if let Some(slot) = self.slots.get_mut(&key) {
            if let Some(count) = slot.served.get_mut(site) {
                *count -= 1;
                if *count == 0 {
                    slot.served.remove(site);
                }
            }
            self.tidy(&key);
        }
    }

    fn tidy(&mut self, key: &Reversed) {
        if self
            .slots
            .get(key)
            .is_some_and(|slot| slot.asked.is_empty() && slot.served.is_empty())
        {
            self.slots.remove(key);
        }
    }

    /// Sites that a change of the claims to `host` may concern: those that ask for it or for one below it, and
    /// those that still serve such a host (an object that can't be read any more asks for nothing).
    pub(crate) fn concerned(&self, host: &HostPattern) -> BTreeSet<Name> {
        let key = Reversed::of(host);
        let below = key.below();
        let own = self.slots.get(&key);
        let others = self
            .slots
            .range(Reversed(below.clone())..)
            .take_while(|(key, _)| key.0.starts_with(&below))
            .map(|(_, slot)| slot);
        own.into_iter()
            .chain(others)
            .flat_map(|slot| slot.asked.keys().chain(slot.served.keys()).cloned())
            .collect()
    }

    /// Whether `site` may serve `host`, which it asks for.
    pub(crate) fn verdict(
        &self,
        host: &HostPattern,
        site: &Name,
        settings: &Settings,
    ) -> Result<(), Problem> {
        let key = Reversed::of(host);
        let mut winners = Vec::new();
        for above in key.above() {
            if let Some(slot) = self.slots.get(&above) {
                let winner = slot.winner(&above.name(), &winners, settings);
                winners.extend(winner);
            }
        }
        let Some(slot) = self.slots.get(&key) else {
            return Ok(());
        };
        let Some(own) = slot.ranks().find(|rank| rank.site == *site) else {
            return Ok(());
        };
        own.permitted(host.name(), &winners, settings)
            .map_err(|denied| denied.tell(host, site))?;
        match slot.winner(host.name(), &winners, settings) {
            Some(winner) if winner.site != *site => Err(conflict(host, site, &winner)),
            _ => Ok(()),
        }
    }
}

impl Slot {
    fn ranks(&self) -> impl Iterator<Item = Rank> + '_ {
        let served_by = |namespace: &str| self.served.keys().any(|site| site.namespace == namespace);
        let asked = self.asked.iter().map(move |(site, created)| Rank {
            class: if self.served.contains_key(site) {
                Class::Served
            } else if served_by(&site.namespace) {
                Class::ServedInNamespace
            } else {
                Class::New
            },
            created: (created.is_none(), *created),
            site: site.clone(),
        });
        let left = self
            .served
            .keys()
            .filter(|site| !self.asked.contains_key(*site))
            .map(|site| Rank {
                class: Class::LeftOver,
                created: (true, None),
                site: site.clone(),
            });
        asked.chain(left)
    }

    fn winner(&self, name: &str, above: &[Rank], settings: &Settings) -> Option<Rank> {
        self.ranks()
            .filter_map(|rank| match rank.permitted(name, above, settings) {
                Ok(()) => Some(rank),
                // It must let go first: until its Secret is written anew its edges serve the host.
                Err(_) if rank.class == Class::Served => Some(Rank {
                    class: Class::LeftOver,
                    ..rank
                }),
                Err(_) => None,
            })
            .min()
    }
}

/// Why a host may not be claimed.
enum Denied {
    NotGranted,
    /// Another namespace has a name above it.
    Below,
}

impl Denied {
    fn tell(&self, host: &HostPattern, site: &Name) -> Problem {
        let namespace = &site.namespace;
        let message = match self {
            Self::NotGranted => format!(
                "host {host}: namespace {namespace} may not claim it; ask the platform for a grant of its suffix"
            ),
            Self::Below => format!(
                "host {host}: another namespace has a name above it; ask the platform to grant namespace \
                 {namespace} this suffix"
            ),
        };
        Problem::new(reason::HOST_NOT_ALLOWED, message)
    }
}

impl Rank {
    fn permitted(&self, name: &str, above: &[Self], settings: &Settings) -> Result<(), Denied> {
        let namespace = &self.site.namespace;
        if self.class == Class::LeftOver || settings.granted(namespace, name) {
            return Ok(());
        }
        if !settings.host_grants.is_empty() {
            return Err(Denied::NotGranted);
        }
        // A namespace that serves the host keeps it, whoever claims a name above it later.
        let is_new = self.class == Class::New;
        let below = |winner: &Self| winner.site.namespace != *namespace && winner < self;
        if is_new && above.iter().any(below) {
            return Err(Denied::Below);
        }
        Ok(())
    }
}

/// A tenant learns the names of its own namespace only.
fn conflict(host: &HostPattern, site: &Name, winner: &Rank) -> Problem {
    let message = if winner.site.namespace == site.namespace {
        format!(
            "host {host}: EdgeSite {} of this namespace has it; list it in one of them",
            winner.site.name
        )
    } else {
        format!("host {host}: another namespace has it, until it lets go")
    };
    Problem::new(reason::HOST_CONFLICT, message)
}

#[cfg(test)]
mod tests;
