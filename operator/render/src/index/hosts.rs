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

    /// Sites that a change of the claims to `host` may concern: those that ask for it, or for one below it.
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
            .flat_map(|slot| slot.asked.keys().cloned())
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
            .filter(|rank| rank.permitted(name, above, settings).is_ok())
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
        if above
            .iter()
            .any(|winner| winner.site.namespace != *namespace && winner < self)
        {
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
mod tests {
    use super::*;
    use crate::settings::HostGrant;

    fn host(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn name(text: &str) -> Name {
        let (namespace, name) = text.split_once('/').unwrap();
        Name::new(namespace, name)
    }

    fn cluster() -> Settings {
        Settings::cluster("fra", "breakwater-system")
    }

    #[test]
    fn among_new_claimants_the_older_wins_then_namespace_and_name() {
        let mut claims = Claims::default();
        let h = host("a.example.com");
        claims.ask(&h, &name("z/old"), Some(at(1)));
        claims.ask(&h, &name("a/new"), Some(at(2)));
        claims.ask(&h, &name("b/new"), Some(at(2)));
        assert!(claims.verdict(&h, &name("z/old"), &cluster()).is_ok());
        assert!(claims.verdict(&h, &name("a/new"), &cluster()).is_err());
        claims.forget(&h, &name("z/old"));
        assert!(claims.verdict(&h, &name("a/new"), &cluster()).is_ok());
        assert!(claims.verdict(&h, &name("b/new"), &cluster()).is_err());
    }

    #[test]
    fn whoever_serves_a_host_keeps_it_against_older_objects_until_it_lets_go() {
        let mut claims = Claims::default();
        let h = host("a.example.com");
        claims.ask(&h, &name("b/site"), Some(at(9)));
        claims.serve(&h, &name("b/site"));
        claims.ask(&h, &name("a/older"), Some(at(1)));
        assert!(claims.verdict(&h, &name("b/site"), &cluster()).is_ok());
        let problem = claims.verdict(&h, &name("a/older"), &cluster()).unwrap_err();
        assert_eq!(problem.reason, reason::HOST_CONFLICT);
        assert!(!problem.message.contains("b/site"), "{problem}");
        // Its object doesn't ask any more, but the Secret still stands.
        claims.forget(&h, &name("b/site"));
        assert!(claims.verdict(&h, &name("a/older"), &cluster()).is_err());
        // Another site of that namespace takes it over without a gap.
        claims.ask(&h, &name("b/next"), Some(at(10)));
        assert!(claims.verdict(&h, &name("b/next"), &cluster()).is_ok());
        claims.let_go(&h, &name("b/site"));
        assert!(claims.verdict(&h, &name("a/older"), &cluster()).is_ok());
    }

    #[test]
    fn a_host_below_another_namespaces_name_needs_a_grant() {
        for above in ["example.com", "*.example.com"] {
            let mut claims = Claims::default();
            claims.ask(&host(above), &name("a/site"), Some(at(1)));
            claims.serve(&host(above), &name("a/site"));
            for below in ["shop.example.com", "x.shop.example.com", "*.shop.example.com"] {
                claims.ask(&host(below), &name("b/site"), Some(at(2)));
                claims.ask(&host(below), &name("a/other"), Some(at(3)));
                let problem = claims
                    .verdict(&host(below), &name("b/site"), &cluster())
                    .unwrap_err();
                assert_eq!(problem.reason, reason::HOST_NOT_ALLOWED, "{below}");
                assert!(
                    claims.verdict(&host(below), &name("a/other"), &cluster()).is_ok(),
                    "{below}"
                );
                let mut granted = cluster();
                granted.host_grants = vec![HostGrant {
                    namespaces: vec!["a".into(), "b".into()],
                    suffixes: vec!["example.com".into()],
                }];
                assert!(
                    claims.verdict(&host(below), &name("b/site"), &granted).is_ok(),
                    "{below}"
                );
                claims.forget(&host(below), &name("b/site"));
            }
        }
    }

    #[test]
    fn what_was_served_first_is_not_taken_by_a_name_above_it() {
        let mut claims = Claims::default();
        claims.ask(&host("shop.example.com"), &name("b/site"), Some(at(5)));
        claims.serve(&host("shop.example.com"), &name("b/site"));
        claims.ask(&host("example.com"), &name("a/site"), Some(at(1)));
        assert!(
            claims
                .verdict(&host("shop.example.com"), &name("b/site"), &cluster())
                .is_ok()
        );
        assert!(
            claims
                .verdict(&host("example.com"), &name("a/site"), &cluster())
                .is_ok()
        );
    }

    #[test]
    fn with_grants_a_namespace_claims_what_it_was_granted_only() {
        let mut claims = Claims::default();
        let mut settings = cluster();
        settings.host_grants = vec![HostGrant {
            namespaces: vec!["a".into()],
            suffixes: vec!["a.example".into()],
        }];
        for (text, site, good) in [
            ("a.example", "a/site", true),
            ("*.a.example", "a/site", true),
            ("b.example", "a/site", false),
            ("x.a.example", "b/site", false),
        ] {
            claims.ask(&host(text), &name(site), Some(at(1)));
            assert_eq!(
                claims.verdict(&host(text), &name(site), &settings).is_ok(),
                good,
                "{text}"
            );
        }
    }

    #[test]
    fn a_change_concerns_those_who_ask_for_the_host_or_below_it() {
        let mut claims = Claims::default();
        for (text, site) in [
            ("example.com", "a/a"),
            ("x.example.com", "a/b"),
            ("*.example.com", "a/c"),
            ("example.org", "a/d"),
        ] {
            claims.ask(&host(text), &name(site), Some(at(1)));
        }
        let concerned = |text: &str| {
            claims
                .concerned(&host(text))
                .into_iter()
                .map(|n| n.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(concerned("example.com"), ["a", "b", "c"]);
        assert_eq!(concerned("*.example.com"), ["b", "c"]);
        assert_eq!(concerned("x.example.com"), ["b"]);
    }
}
