//! Tags: names that an origin gives its answers, to purge them by.

use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;

use crate::fields::FieldsView;

/// Most fields that carry tags.
pub const MAX_TAG_FIELDS: usize = 4;
/// Most tags of an answer, and most bytes of them, that are told apart.
const MAX_TAGS: usize = 64;
const MAX_TAG_BYTES: usize = 8 * 1024;

/// Which fields of an answer carry its tags, and whether visitors see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRules {
    fields: Vec<Box<[u8]>>,
    expose: bool,
}

impl Default for TagRules {
    /// The usual fields, left in what visitors get: without a policy an answer passes as it is.
    fn default() -> Self {
        Self::new(&[], true)
    }
}

impl TagRules {
    /// Of names in lower case, the first four; `Cache-Tag`, `Surrogate-Key` and `xkey` where there is none.
    pub fn new(fields: &[String], expose: bool) -> Self {
        let usual = ["cache-tag", "surrogate-key", "xkey"];
        let fields = if fields.is_empty() {
            usual.iter().map(|name| name.as_bytes().into()).collect()
        } else {
            let named = fields.iter().take(MAX_TAG_FIELDS);
            named.map(|name| name.as_bytes().into()).collect()
        };
        Self { fields, expose }
    }

    /// The fields that visitors don't get.
    pub fn hidden(&self) -> &[Box<[u8]>] {
        if self.expose { &[] } else { &self.fields }
    }
}

/// The tags of a stored answer, by hash: two that share one are purged together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// The lowest two bits say by which field it came, so that a 304 can replace them a field at a time.
    hashes: Box<[u32]>,
    /// There were more than are told apart: every purge of a tag holds for it.
    pub(crate) any: bool,
    /// The fields that carry them are stored too.
    pub(crate) exposed: bool,
}

impl Tags {
    /// Those of an answer.
    pub(crate) fn of(answer: &dyn FieldsView, rules: &TagRules) -> Self {
        Collector::default().collect(answer, rules)
    }

    /// Those of a stored answer after a 304: the fields that it repeats replace what they said (RFC 9111
    /// §3.2).
    pub(crate) fn updated(&self, answer: &dyn FieldsView, rules: &TagRules) -> Self {
        let kept = self.hashes.iter().copied().filter(|hash| {
            let field = rules.fields.get((hash & 3) as usize);
            field.is_none_or(|name| !answer.has(name))
        });
        let collector = Collector {
            hashes: kept.collect(),
            any: self.any,
            ..Collector::default()
        };
        let tags = collector.collect(answer, rules);
        Self {
            exposed: (self.exposed && rules.expose) || tags.exposed,
            ..tags
        }
    }

    /// Hashes, in the form of [`tag_hash`].
    /// Those of both: for parts that are joined, where a purge of either's tags holds for all.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut hashes = self.hashes.to_vec();
        let more = other.hashes.iter().filter(|hash| !self.hashes.contains(hash));
        hashes.extend(more);
        let told_apart = hashes.len() <= MAX_TAGS;
        hashes.truncate(MAX_TAGS);
        Self {
            hashes: hashes.into(),
            any: self.any || other.any || !told_apart,
            exposed: self.exposed || other.exposed,
        }
    }

    pub(crate) fn hashes(&self) -> impl Iterator<Item = u32> + '_ {
        self.hashes.iter().map(|hash| hash >> 2)
    }

    /// As they are kept.
    pub(crate) fn stored(&self) -> &[u32] {
        &self.hashes
    }

    /// What [`stored`](Self::stored) gave.
    pub(crate) fn from_stored(hashes: Vec<u32>, any: bool, exposed: bool) -> Self {
        Self {
            hashes: hashes.into_boxed_slice(),
            any,
            exposed,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.hashes)
    }
}

/// What a tag is known by: 30 bits, the same in every process. ASCII case doesn't count.
pub(crate) fn tag_hash(tag: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new();
    hasher.write(&tag.to_ascii_lowercase());
    (hasher.finish() >> 34) as u32
}

#[derive(Default)]
struct Collector {
    hashes: Vec<u32>,
    bytes: usize,
    any: bool,
}

impl Collector {
    fn collect(mut self, answer: &dyn FieldsView, rules: &TagRules) -> Tags {
        let mut present = false;
        for (index, name) in rules.fields.iter().enumerate() {
            answer.visit(name, &mut |line| {
                present = true;
                self.line(name, index, line);
            });
        }
        self.hashes.sort_unstable();
        self.hashes.dedup();
        Tags {
            hashes: self.hashes.into_boxed_slice(),
            any: self.any,
            exposed: present && rules.expose,
        }
    }

    /// Commas separate, and in the fields whose users separate by spaces, spaces. In any other a member that
    /// holds spaces counts whole and by its words: whichever was meant, a purge of it finds the answer.
    fn line(&mut self, name: &[u8], index: usize, line: &[u8]) {
        let spaced = matches!(name, b"surrogate-key" | b"xkey");
        for member in line.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if !spaced {
                self.push(index, member);
            }
            if spaced || member.iter().any(u8::is_ascii_whitespace) {
                for word in member.split(u8::is_ascii_whitespace) {
                    self.push(index, word);
                }
            }
            if self.any {
                return;
            }
        }
    }

    fn push(&mut self, index: usize, tag: &[u8]) {
        if tag.is_empty() {
            return;
        }
        self.bytes += tag.len();
        if self.hashes.len() >= MAX_TAGS || self.bytes > MAX_TAG_BYTES {
            self.any = true;
            return;
        }
        self.hashes
            .push(tag_hash(tag) << 2 | u32::try_from(index).unwrap_or(0) & 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(tags: &[&str]) -> Vec<u32> {
        let mut hashes: Vec<u32> = tags.iter().map(|tag| tag_hash(tag.as_bytes())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    fn found(tags: &Tags) -> Vec<u32> {
        let mut hashes: Vec<u32> = tags.hashes().collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    #[test]
    fn each_field_separates_its_tags_in_its_own_way() {
        type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let table: &[Row] = &[
            (&[("Cache-Tag", "a, b,,c")], &["a", "b", "c"]),
            (
                &[("Cache-Tag", "Summer Sale,b")],
                &["summer sale", "summer", "sale", "b"],
            ),
            (&[("Surrogate-Key", "a b  c")], &["a", "b", "c"]),
            (
                &[("xkey", "a"), ("xkey", "b\tc"), ("xkey", "d,e")],
                &["a", "b", "c", "d", "e"],
            ),
            (&[("Cache-Tag", "a"), ("Surrogate-Key", "b")], &["a", "b"]),
            (&[("Cache-Tag", "PRODUCT-1")], &["product-1"]),
            (&[("Cache-Tag", " , ")], &[]),
            (&[("X-Tags", "a")], &[]),
        ];
        for (fields, expected) in table {
            let tags = Tags::of(&fields.to_vec(), &TagRules::default());
            assert_eq!(found(&tags), hashes(expected), "{fields:?}");
            assert!(!tags.any);
        }
        let rules = TagRules::new(&["x-tags".to_owned()], false);
        let tags = Tags::of(&vec![("X-Tags", "a b, c"), ("Cache-Tag", "d")], &rules);
        assert_eq!(found(&tags), hashes(&["a b", "a", "b", "c"]));
    }

    #[test]
    fn a_304_replaces_the_tags_of_the_fields_that_it_repeats() {
        let rules = TagRules::new(&[], false);
        let stored = Tags::of(&vec![("cache-tag", "a,b"), ("surrogate-key", "c d")], &rules);
        let updated = stored.updated(&vec![("cache-tag", "e")], &rules);
        assert_eq!(found(&updated), hashes(&["e", "c", "d"]));
        let silent = stored.updated(&vec![("etag", "\"x\"")], &rules);
        assert_eq!(found(&silent), hashes(&["a", "b", "c", "d"]));
    }

    #[test]
    fn more_tags_than_are_told_apart_are_none_lost() {
        let many = |count: usize| {
            (0..count)
                .map(|n| format!("tag-{n}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(!Tags::of(&vec![("cache-tag", many(64))], &TagRules::default()).any);
        assert!(Tags::of(&vec![("cache-tag", many(65))], &TagRules::default()).any);
        let long = "x".repeat(MAX_TAG_BYTES + 1);
        assert!(Tags::of(&vec![("cache-tag", long)], &TagRules::default()).any);
    }
}
