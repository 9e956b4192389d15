//! Purges: what must not be used any more, and what a site remembers of that in bounded memory.
//!
//! A purge has a sequence, higher than all before. What was asked of an origin at a lower one, and matches, is
//! out: gone after a hard purge; after a soft one stale, so that it is validated, or served by the rules for
//! stale answers. Whatever doesn't fit the memory makes a purge hold for more, never for less.

mod codec;
mod log;
mod mark;
mod pattern;
mod state;
mod url;

pub use log::{LogDamage, PurgeLog, PurgeProgress, PurgeRecord};
pub use pattern::{MAX_PATTERN_BYTES, MAX_STARS};
pub use url::{PurgeUrl, decode as percent_decode};

pub(crate) use state::{Standing, State, Subject};

use pattern::{Kind, Pattern};

use crate::tags::tag_hash;

/// Longest tag, bytes.
pub const MAX_TAG_BYTES: usize = 1024;

/// What is purged at once, of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    soft: bool,
    items: Vec<Item>,
    /// Hashes of the policies' fingerprints for which URLs were brought into the form of keys.
    policies: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Everything,
    Tag(u32),
    Url(u32),
    Pattern(Pattern),
}

/// Why something can't be purged by what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// Empty, too long, or with a comma, which no tag has.
    #[error("a tag has 1 to {MAX_TAG_BYTES} bytes and no comma")]
    Tag,
    /// Too long, or too many stars.
    #[error("a prefix or mask has at most {MAX_PATTERN_BYTES} bytes, a mask at most {MAX_STARS} stars")]
    Pattern,
}

impl Purge {
    /// Nothing yet. `soft`: what is purged is stale from then on, not gone.
    pub fn new(soft: bool) -> Self {
        Self {
            soft,
            ..Self::default()
        }
    }

    /// Everything of the site.
    pub fn everything(&mut self) {
        self.items.push(Item::Everything);
    }

    /// What has a tag. ASCII case doesn't count.
    pub fn tag(&mut self, tag: &[u8]) -> Result<(), PurgeError> {
        let tag = tag.trim_ascii();
        if tag.is_empty() || tag.len() > MAX_TAG_BYTES || tag.contains(&b',') {
            return Err(PurgeError::Tag);
        }
        self.items.push(Item::Tag(tag_hash(tag)));
        Ok(())
    }

    /// What is stored for a URL: all methods, variants and keyed values.
    pub fn url(&mut self, url: &PurgeUrl<'_>) {
        self.push(Item::Url(url.hash()));
    }

    /// What is stored for a path, whatever the query.
    pub fn path(&mut self, url: &PurgeUrl<'_>) -> Result<(), PurgeError> {
        // Stars of a path are none of a mask: they hold for more than themselves only.
        self.pattern(Pattern::of_text(Kind::Mask, url.text()))
    }

    /// What begins with a path, whatever follows and whatever the query.
    pub fn prefix(&mut self, url: &PurgeUrl<'_>) -> Result<(), PurgeError> {
        self.pattern(Pattern::of_text(Kind::Prefix, url.text()))
    }

    /// What a mask of `host[:port]/path` holds for, whatever the query; `*` stands for any bytes,
    /// slashes included.
    pub fn mask(&mut self, mask: &[u8]) -> Result<(), PurgeError> {
        self.pattern(Pattern::mask(mask))
    }

    /// The fingerprints, as keys have them, of all policies under which what was given by URL stands for
    /// what visitors ask. What is stored under any other can't be told apart, so it is purged.
    pub fn under_policies<'p>(&mut self, fingerprints: impl Iterator<Item = &'p [u8]>) {
        self.policies = fingerprints.map(state::policy_hash).collect();
        self.policies.sort_unstable();
        self.policies.dedup();
    }

    /// Nothing was given.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn pattern(&mut self, pattern: Option<Pattern>) -> Result<(), PurgeError> {
        self.push(Item::Pattern(pattern.ok_or(PurgeError::Pattern)?));
        Ok(())
    }

    fn push(&mut self, item: Item) {
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }
}
