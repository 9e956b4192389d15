//! What a site remembers of its purges.

use std::collections::VecDeque;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::mark::{Mark, Marks};
use super::pattern::Pattern;
use super::url::PurgeUrl;
use super::{Item, Purge, PurgeProgress};
use crate::key::KeyParts;
use crate::tags::Tags;

/// Most prefixes and masks that a site's purges are told apart by; of more, the oldest hold for everything.
pub(super) const MAX_PATTERNS: usize = 64;
/// Most policies of a site that are told apart; what is stored under more is purged with every URL.
const MAX_POLICIES: usize = 1024;

/// Something that purges may hold for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Its whole key.
    pub(crate) key: &'a [u8],
    /// Its tags; `None`: not known yet, so every purge of a tag holds for it.
    pub(crate) tags: Option<&'a Tags>,
    /// The site's sequence when the origin was asked.
    pub(crate) sequence: u64,
}

/// Where something stands after a site's purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None holds for it.
    Current,
    /// A soft one does: stale since then, wall clock in milliseconds.
    Soft { since_ms: u64 },
    /// A hard one does.
    Purged,
}

/// A site's purges, in bounded memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(super) everything: Mark,
    /// Of any tag.
    pub(super) tags: Mark,
    /// Of anything that goes by URL.
    pub(super) urls: Mark,
    /// Policies under which URLs were brought into the form of keys for every purge since the mark, by hash.
    pub(super) known: Vec<(u64, Mark)>,
    /// Of tags and whole URLs.
    pub(super) slots: Marks,
    /// Oldest first.
    pub(super) patterns: VecDeque<Placed>,
    /// How far the site has come with the purges of its configuration.
    pub(super) progress: Option<PurgeProgress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) pattern: Pattern,
    pub(super) sequence: u64,
    /// For a soft purge its time.
    pub(super) soft_at_ms: Option<u64>,
}

/// How a policy's fingerprint is known.
pub(super) fn policy_hash(fingerprint: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x706f_6c69, 0x6379_2121);
    hasher.write(fingerprint);
    hasher.finish()
}

impl State {
    /// Everything up to that sequence is purged.
    pub(crate) fn purged_before(sequence: u64) -> Self {
        let mut state = Self::default();
        state.everything.raise(sequence, None);
        state
    }

    /// Takes a purge over. `may_grow`: there is memory for a larger table.
    pub(crate) fn apply(&mut self, sequence: u64, purge: &Purge, at_ms: u64, may_grow: bool) {
        let soft_at_ms = purge.soft.then_some(at_ms);
        let before = self.urls;
        let mut by_url = false;
        for item in &purge.items {
            match item {
                Item::Everything => {
                    self.everything.raise(sequence, soft_at_ms);
                    if !purge.soft {
                        // All that is remembered besides is older.
                        *self = Self {
                            everything: self.everything,
                            progress: self.progress.take(),
                            ..Self::default()
                        };
                    }
                }
                Item::Tag(hash) => {
                    self.tags.raise(sequence, soft_at_ms);
                    self.slots.raise(*hash, sequence, soft_at_ms, may_grow);
                }
                Item::Url(hash) => {
                    by_url = true;
                    self.slots.raise(*hash, sequence, soft_at_ms, may_grow);
                }
                Item::Pattern(pattern) => {
                    by_url = true;
                    self.place(Placed {
                        pattern: pattern.clone(),
                        sequence,
                        soft_at_ms,
                    });
                }
            }
        }
        if by_url {
            self.urls.raise(sequence, soft_at_ms);
            self.know(&purge.policies, before);
        }
    }

    fn place(&mut self, placed: Placed) {
        let superseded = |old: &Placed| {
            old.pattern == placed.pattern && (placed.soft_at_ms.is_none() || old.soft_at_ms.is_some())
        };
        self.patterns.retain(|old| !superseded(old));
        self.patterns.push_back(placed);
        while self.patterns.len() > MAX_PATTERNS {
            if let Some(oldest) = self.patterns.pop_front() {
                self.everything.raise(oldest.sequence, oldest.soft_at_ms);
            }
        }
    }

    /// A purge by URL came for these policies; the one before it that came for others too is `before`.
    fn know(&mut self, policies: &[u64], before: Mark) {
        self.known
            .retain(|(policy, _)| policies.binary_search(policy).is_ok());
        for policy in policies {
            if self.known.len() < MAX_POLICIES && !self.known.iter().any(|(known, _)| known == policy) {
                self.known.push((*policy, before));
            }
        }
    }

    /// Everything up to that sequence is purged.
    pub(crate) fn raise_floor(&mut self, sequence: u64) {
        self.everything.raise(sequence, None);
    }

    pub(crate) fn progress(&self) -> Option<&PurgeProgress> {
        self.progress.as_ref()
    }

    /// Where something stands.
    pub(crate) fn standing(&self, subject: &Subject<'_>) -> Standing {
        let mut found = Found {
            after: subject.sequence,
            hard: false,
            soft_at_ms: None,
        };
        found.see(self.everything);
        match subject.tags {
            Some(tags) if !tags.any => tags.hashes().for_each(|hash| found.see(self.slots.get(hash))),
            _ => found.see(self.tags),
        }
        if !found.hard && self.urls.hard.max(self.urls.soft) > subject.sequence {
            self.by_url(subject, &mut found);
        }
        match (found.hard, found.soft_at_ms) {
            (true, _) => Standing::Purged,
            (false, Some(since_ms)) => Standing::Soft { since_ms },
            (false, None) => Standing::Current,
        }
    }

    fn by_url(&self, subject: &Subject<'_>, found: &mut Found) {
        let Some(key) = KeyParts::read(subject.key) else {
            return found.see(self.urls);
        };
        let policy = policy_hash(key.policy);
        let known = self.known.iter().find(|(known, _)| *known == policy);
        found.see(known.map_or(self.urls, |(_, others)| *others));
        let url = PurgeUrl::from(&key);
        found.see(self.slots.get(url.hash()));
        let mut later = self
            .patterns
            .iter()
            .rev()
            .take_while(|placed| placed.sequence > subject.sequence)
            .peekable();
        if later.peek().is_none() {
            return;
        }
        let text = url.text();
        for placed in later.filter(|placed| placed.pattern.holds(&text)) {
            let mut mark = Mark::default();
            mark.raise(placed.sequence, placed.soft_at_ms);
            found.see(mark);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.bytes()
            + self.patterns.capacity() * size_of::<Placed>()
            + self
                .patterns
                .iter()
                .map(|placed| placed.pattern.bytes())
                .sum::<usize>()
            + self.known.capacity() * size_of::<(u64, Mark)>()
    }
}

/// What holds for a subject.
struct Found {
    after: u64,
    hard: bool,
    soft_at_ms: Option<u64>,
}

impl Found {
    fn see(&mut self, mark: Mark) {
        self.hard |= mark.hard > self.after;
        if mark.soft > self.after {
            let earlier = self
                .soft_at_ms
                .map_or(mark.soft_at_ms, |at| at.min(mark.soft_at_ms));
            self.soft_at_ms = Some(earlier);
        }
    }
}

impl State {
    /// The site's configuration has brought its purges this far.
    pub(crate) fn advance(&mut self, progress: Option<PurgeProgress>) {
        let Some(new) = progress else { return };
        let older = |old: &PurgeProgress| old.history == new.history && old.revision > new.revision;
        if !self.progress.as_ref().is_some_and(older) {
            self.progress = Some(new);
        }
    }

    /// Takes over what another process remembers of the same site: a purge that either knows holds.
    pub(super) fn merge(&mut self, other: Self) {
        if *self == Self::default() {
            *self = other;
            return;
        }
        let Self {
            everything,
            tags,
            urls,
            known,
            slots,
            patterns,
            progress,
        } = other;
        self.everything.merge(everything);
        self.tags.merge(tags);
        self.urls.merge(urls);
        // A policy that one of them doesn't know is known for none of its purges.
        self.known.retain_mut(|(policy, mark)| {
            let theirs = known.iter().find(|(known, _)| known == policy);
            if let Some((_, theirs)) = theirs {
                mark.merge(*theirs);
            }
            theirs.is_some()
        });
        self.slots.merge(&slots);
        let mut all: Vec<Placed> = self.patterns.drain(..).chain(patterns).collect();
        all.sort_by_key(|placed| placed.sequence);
        for placed in all {
            self.place(placed);
        }
        self.advance(progress);
    }
}

#[cfg(test)]
mod tests;
