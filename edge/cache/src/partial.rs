//! Parts of an answer that came as 206 (RFC 9111 §3.3, §3.4): kept, joined with others of the same version, and
//! a whole answer once no byte is missing.

use std::sync::Arc;

use crate::Reason;
use crate::body::Body;
use crate::entry::{Entry, EntryParts};
use crate::etag::ETag;
use crate::fields::Fields;
use crate::range::ContentRange;
use crate::shared::Shared;
use crate::update::merge;

impl Shared {
    /// What is to be stored for a part that came: joined with what is stored of the same version, else alone.
    ///
    /// `Err`: a whole answer is stored that isn't known to be another version, and stays.
    pub(crate) fn with_other_parts(&self, new: EntryParts, part: ContentRange) -> Result<EntryParts, Reason> {
        // All of it: as good as a 200, and in blocks as every whole body.
        if part.range.len() == part.complete {
            return Ok(EntryParts { status: 200, ..new });
        }
        let alone = Body::of_part(
            part.range.start,
            Arc::clone(&new.body),
            part.complete,
            &self.budget,
        );
        let stored = self.shard(new.hash).and_then(|shard| {
            let shard = shard.read();
            let mut variants = shard.variants(new.hash, &new.key);
            variants.find(|entry| entry.vary == new.vary).cloned()
        });
        let stored = stored.filter(|entry| !entry.is_purged(&new.site));
        let joined = match &stored {
            Some(stored) if is_same_version(stored, &new, part.complete) => {
                let body = if stored.is_whole() {
                    Arc::clone(&stored.body)
                } else {
                    Arc::new(stored.body.joined(&alone, &self.budget).unwrap_or(alone))
                };
                let fields = merge(&stored.fields, &new.fields);
                let mut lifetime = new.lifetime;
                lifetime.tags = lifetime.tags.with(&stored.lifetime.tags);
                return Ok(EntryParts {
                    lifetime,
                    status: 200,
                    fields,
                    body,
                    ..new
                });
            }
            Some(stored) if stored.is_whole() && !is_other_version(stored, &new.fields) => {
                return Err(Reason::Partial);
            }
            _ => Arc::new(alone),
        };
        Ok(EntryParts {
            status: 200,
            body: joined,
            ..new
        })
    }
}

/// Parts are joined only under one strong validator and one length: a weak one, or a date, may stand for
/// versions that differ by a byte.
fn is_same_version(stored: &Entry, new: &EntryParts, complete: u64) -> bool {
    let same = tag(&stored.fields)
        .zip(tag(&new.fields))
        .is_some_and(|(stored, new)| stored.strong_eq(&new));
    same && stored.status == 200 && stored.body_len() == complete
}

fn is_other_version(stored: &Entry, new: &Fields) -> bool {
    tag(&stored.fields)
        .zip(tag(new))
        .is_some_and(|(stored, new)| !stored.weak_eq(&new))
}

fn tag(fields: &Fields) -> Option<ETag<'_>> {
    fields.get(b"etag").and_then(ETag::parse)
}
