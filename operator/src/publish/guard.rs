use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use breakwater_edge_config::ContentHash;

/// What goes within this time counts together.
const WINDOW: Duration = Duration::from_mins(10);

/// How many sites of a region may go within ten minutes; the larger of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MayGo {
    /// As many, however few there are.
    pub always: usize,
    /// As many of a hundred.
    pub percent: usize,
}

impl Default for MayGo {
    fn default() -> Self {
        Self {
            always: 10,
            percent: 30,
        }
    }
}

/// Holds back what can't have been meant: too many sites of a region that go at once.
///
/// Deleting a definition deletes every object of its kind, one by one, as a person would; and a watch that
/// lists anew takes what is absent for deleted. Either would take down everything. What is held is served on
/// until its objects come back or a person agrees, by a token that stands for exactly these sites.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// When the object of each Secret was first missed, for the length of the window.
    missed: BTreeMap<String, Instant>,
    held: BTreeSet<String>,
    agreed: BTreeSet<String>,
}

impl Guard {
    /// Takes in which of the published Secrets have lost their objects: `gone`; `may_go` is the bound. `is_there` says whether one is
    /// published still, `sites` is how many are, `accepted` is the token that a person has agreed to. Whatever
    /// isn't held afterwards may go.
    pub fn judge(
        &mut self,
        may_go: MayGo,
        gone: &BTreeSet<String>,
        is_there: impl Fn(&str) -> bool,
        sites: usize,
        accepted: Option<&str>,
        now: Instant,
    ) {
        self.agreed.retain(|name| gone.contains(name));
        self.held.retain(|name| gone.contains(name));
        // What has come back was never gone; what went before counts on.
        self.missed.retain(|name, at| {
            now.saturating_duration_since(*at) < WINDOW && (gone.contains(name) || !is_there(name))
        });
        for name in gone.difference(&self.agreed) {
            if !self.held.contains(name) {
                self.missed.entry(name.clone()).or_insert(now);
            }
        }
        let there_before = sites + self.missed.keys().filter(|name| !is_there(name)).count();
        if self.missed.len() > may_go.always.max(there_before * may_go.percent / 100) {
            self.held.extend(gone.difference(&self.agreed).cloned());
        }
        if !self.held.is_empty() && accepted == Some(self.token().as_str()) {
            for name in &self.held {
                self.missed.remove(name);
            }
            self.agreed.append(&mut self.held);
        }
    }

    /// True when there is nothing to remember but what went.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.agreed.is_empty()
    }

    /// A Secret stays although its object is gone, however few go.
    pub fn hold(&mut self, name: &str) {
        self.held.insert(name.to_owned());
    }

    /// True when a person has agreed to that this Secret goes.
    pub fn is_agreed(&self, name: &str) -> bool {
        self.agreed.contains(name)
    }

    /// True when this Secret stays although its object is gone.
    pub fn holds(&self, name: &str) -> bool {
        self.held.contains(name)
    }

    /// How many are held, and the token to agree to that they go.
    pub fn held(&self) -> Option<(usize, String)> {
        (!self.held.is_empty()).then(|| (self.held.len(), self.token()))
    }

    fn token(&self) -> String {
        ContentHash::of_parts(self.held.iter().map(String::as_bytes))
            .short()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A region with this many sites.
    struct Region {
        published: BTreeSet<String>,
        gone: BTreeSet<String>,
        guard: Guard,
        now: Instant,
    }

    impl Region {
        fn with(sites: usize) -> Self {
            Self {
                published: (0..sites).map(|i| format!("site-{i:05}")).collect(),
                gone: BTreeSet::new(),
                guard: Guard::default(),
                now: Instant::now(),
            }
        }

        fn judge(&mut self, accepted: Option<&str>) -> Option<(usize, String)> {
            let is_there = |name: &str| self.published.contains(name);
            let sites = self.published.len();
            self.guard
                .judge(MayGo::default(), &self.gone, is_there, sites, accepted, self.now);
            self.guard.held()
        }

        /// The objects of so many more are gone; what isn't held is withdrawn.
        fn lose(&mut self, count: usize) -> usize {
            let left: Vec<String> = self
                .published
                .difference(&self.gone)
                .take(count)
                .cloned()
                .collect();
            assert_eq!(left.len(), count, "more than there are");
            self.gone.extend(left);
            let held = self.judge(None).map_or(0, |(count, _)| count);
            self.withdraw();
            held
        }

        fn withdraw(&mut self) {
            let may_go = |name: &String| !self.guard.holds(name);
            let go: Vec<String> = self.gone.iter().filter(|name| may_go(name)).cloned().collect();
            for name in go {
                self.gone.remove(&name);
                self.published.remove(&name);
            }
        }

        fn wait(&mut self, minutes: u64) {
            self.now += Duration::from_mins(minutes);
        }
    }

    #[test]
    fn ten_or_thirty_percent_may_go_at_once_and_more_are_all_held() {
        for (sites, gone, held) in [
            (5, 5, 0),
            (10, 10, 0),
            (12, 11, 11),
            (100, 30, 0),
            (100, 31, 31),
            (10_000, 3_000, 0),
            (10_000, 3_001, 3_001),
        ] {
            assert_eq!(Region::with(sites).lose(gone), held, "{gone} of {sites}");
        }
    }

    #[test]
    fn what_goes_one_by_one_counts_together_for_ten_minutes() {
        let mut region = Region::with(30);
        let held: Vec<usize> = (0..13).map(|_| region.lose(1)).collect();
        assert_eq!(held, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert_eq!(region.published.len(), 20);

        // Later another one may go; those that are held stay until a person agrees.
        region.wait(11);
        assert_eq!(region.lose(1), 3);
        assert_eq!(region.published.len(), 19);
        assert_eq!(region.gone.len(), 3);
    }

    #[test]
    fn a_person_agrees_to_exactly_these() {
        let mut region = Region::with(100);
        assert_eq!(region.lose(40), 40);
        let (_, token) = region.judge(None).unwrap();
        assert_eq!(region.judge(Some("other")), Some((40, token.clone())));
        assert_eq!(region.judge(Some(&token)), None);
        assert_eq!(
            region.judge(Some(&token)),
            None,
            "asked again before they are gone"
        );
        region.withdraw();
        assert_eq!(region.published.len(), 60);
        // They don't count against what goes next, and the old word means nothing any more.
        assert_eq!(region.lose(18), 0);
        region
            .gone
            .extend(region.published.iter().take(20).cloned().collect::<Vec<_>>());
        assert_eq!(region.judge(Some(&token)).map(|(count, _)| count), Some(20));
    }

    #[test]
    fn what_comes_back_is_neither_held_nor_counted() {
        let mut region = Region::with(100);
        assert_eq!(region.lose(100), 100);
        region.gone = region.published.iter().take(3).cloned().collect();
        assert_eq!(region.judge(None).map(|(count, _)| count), Some(3));
        region.gone.clear();
        assert_eq!(region.judge(None), None);
        assert_eq!(region.lose(30), 0);
    }
}
