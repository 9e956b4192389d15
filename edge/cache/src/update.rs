//! A 304 from the origin (RFC 9111 §4.3.4): what is stored gets the new fields and a new life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::date::parse_http_date;
use crate::entry::{Entry, EntryParts};
use crate::etag::ETag;
use crate::fields::{Fields, FieldsBuilder, FieldsView};
use crate::fill::Phase;
use crate::freshness::{Lifetime, OriginHead, RequestFacts, Verdict, judge};
use crate::rules::StoreRules;
use crate::stored::stored_fields;
use crate::vary::VaryKey;
use crate::writer::FillWriter;
use crate::{Now, Reason};

/// An origin's 304.
#[derive(Clone, Copy)]
pub struct NotModified<'a> {
    /// As received.
    pub fields: &'a dyn FieldsView,
    /// When the request was sent.
    pub sent: Now,
    /// When the head came.
    pub received: Now,
}

impl FillWriter {
    /// The origin confirmed what is stored. Everybody who waits gets it, with the new fields.
    ///
    /// `Err` gives the writer back: nothing was being validated, the 304 is about something else, or a purge
    /// came meanwhile. Ask the origin again, without a condition.
    pub fn not_modified(
        mut self,
        answer: &NotModified<'_>,
        request: RequestFacts,
        rules: &StoreRules,
    ) -> Result<(), Self> {
        let Some(entry) = self.stale.as_ref().map(|hit| Arc::clone(hit.entry.entry())) else {
            return Err(self);
        };
        let tags = entry.lifetime.tags.updated(answer.fields, &rules.tags);
        let purged = self.is_purged(&tags) || entry.is_purged(&self.fill.site);
        if purged || !is_about(&entry, answer.fields) {
            return Err(self);
        }
        let merged = merge(&entry.fields, answer.fields);
        let head = OriginHead {
            status: entry.status,
            fields: &merged,
            content_length: Some(entry.body_len()),
            sent: answer.sent,
            received: answer.received,
        };
        let (updated, shared) = self.updated(&entry, (&head, answer.fields), request, rules);
        let shared = match shared {
            Ok(()) => {
                let stored = self.fill.shared.insert(&updated);
                self.update_others(&updated, answer, request, rules);
                stored
            }
            Err(reason) => {
                if takes_out(&head, rules) {
                    self.fill.shared.remove(&entry);
                }
                Err(reason)
            }
        };
        self.settle(Phase::Validated {
            entry: updated,
            shared,
        });
        Ok(())
    }

    /// A 200 to a HEAD for what is stored (RFC 9111 §4.3.5), which this writer was begun with as stale. Where a
    /// validator and the length say that it is the same, it gets the new fields and a new life; where they say
    /// that it isn't, it is validated before it is used again. Without a validator nothing is known.
    pub fn learn_from_head(self, answer: &NotModified<'_>, request: RequestFacts, rules: &StoreRules) {
        let Some(entry) = self.stale.as_ref().map(|hit| Arc::clone(hit.entry.entry())) else {
            return;
        };
        // What one visitor is told says nothing of what others would be.
        if request.authorization || request.unkeyed_cookie {
            return;
        }
        match compare(&entry, answer.fields) {
            Some(true) => drop(self.not_modified(answer, request, rules)),
            Some(false) => entry.invalidate(),
            None => {}
        }
    }

    fn updated(
        &self,
        entry: &Arc<Entry>,
        (head, answer): (&OriginHead<'_>, &dyn FieldsView),
        request: RequestFacts,
        rules: &StoreRules,
    ) -> (Arc<Entry>, Result<(), Reason>) {
        let vary = VaryKey::new(head.fields, &self.fill.request, rules.unvaried_fields);
        let (lifetime, shared) = match (judge(request, head, rules), &vary) {
            (Verdict::Store(mut lifetime), Ok(_)) => {
                lifetime.tags = entry.lifetime.tags.updated(answer, &rules.tags);
                lifetime.transformed = entry.lifetime.transformed;
                (lifetime, Ok(()))
            }
            (Verdict::Store(lifetime), Err(_)) => (lifetime, Err(Reason::VaryTooLarge)),
            (Verdict::Refuse(reason), _) => (entry.lifetime.clone(), Err(reason)),
        };
        let vary = vary.unwrap_or_else(|_| entry.vary.clone());
        (self.renewed(entry, head, lifetime, vary), shared)
    }

    /// A strong `ETag` of the 304 names every variant that has it (RFC 9111 §4.3.4): they get the new fields and a
    /// new life, too.
    fn update_others(
        &self,
        updated: &Arc<Entry>,
        answer: &NotModified<'_>,
        request: RequestFacts,
        rules: &StoreRules,
    ) {
        let strong = |value: &[u8]| ETag::parse(value).is_some_and(|tag| !tag.weak);
        let Some(tag) = answer.fields.first(b"etag").filter(|tag| strong(tag)) else {
            return;
        };
        let named = |entry: &&Arc<Entry>| {
            let same = entry.vary != updated.vary && entry.fields.get(b"etag") == Some(tag);
            same && entry.is_whole() && !entry.is_purged(&self.fill.site)
        };
        let others: Vec<Arc<Entry>> = match self.fill.shared.shard(updated.hash) {
            Some(shard) => {
                let shard = shard.read();
                let variants = shard.variants(updated.hash, &updated.key);
                variants.filter(named).cloned().collect()
            }
            None => return,
        };
        let nobody = Fields::default();
        for other in others {
            let merged = merge(&other.fields, answer.fields);
            // By which fields it was selected must be as before: with what values is known of those alone.
            let selected_by = VaryKey::new(&merged, &nobody, rules.unvaried_fields);
            if selected_by.ok() != other.vary.rekeyed(&nobody).ok() {
                continue;
            }
            let head = OriginHead {
                status: other.status,
                fields: &merged,
                content_length: Some(other.body_len()),
                sent: answer.sent,
                received: answer.received,
            };
            if let Verdict::Store(mut lifetime) = judge(request, &head, rules) {
                lifetime.tags = other.lifetime.tags.updated(answer.fields, &rules.tags);
                if !self.is_purged(&lifetime.tags) {
                    let renewed = self.renewed(&other, &head, lifetime, other.vary.clone());
                    // No room for it is no harm.
                    let _ = self.fill.shared.insert(&renewed);
                }
            }
        }
    }

    /// The entry with the fields of `head`, asked for by this writer.
    fn renewed(&self, entry: &Entry, head: &OriginHead<'_>, lifetime: Lifetime, vary: VaryKey) -> Arc<Entry> {
        let fields = stored_fields(
            head.status,
            head.fields,
            &lifetime.unstored_fields,
            head.received.wall_secs(),
        );
        let parts = EntryParts {
            hash: entry.hash,
            key: entry.key.clone(),
            site: Arc::clone(&entry.site),
            purge: self.fill.purge.load(Ordering::Acquire),
            status: entry.status,
            fields,
            vary,
            lifetime,
            body: Arc::clone(&entry.body),
            invalidated: self.fill.invalidated.load(Ordering::Acquire),
        };
        Arc::new(Entry::new(parts, &self.fill.shared.budget))
    }
}

/// Whether what is stored must go, because the origin says now that it must not be stored. What only the
/// visitor who asked brought about (a cookie, `no-store`, a `Set-Cookie` in return) leaves it as it was:
/// no visitor empties the cache.
fn takes_out(head: &OriginHead<'_>, rules: &StoreRules) -> bool {
    match judge(RequestFacts::ANYBODY, head, rules) {
        Verdict::Store(_) | Verdict::Refuse(Reason::SetCookie) => false,
        Verdict::Refuse(_) => true,
    }
}

/// Whether a 304 confirms this entry (RFC 9111 §4.3.4): by the strongest validator that it has.
fn is_about(entry: &Entry, answer: &dyn FieldsView) -> bool {
    if let Some(etag) = answer.first(b"etag") {
        let stored = entry.fields.get(b"etag").and_then(ETag::parse);
        return stored.zip(ETag::parse(etag)).is_some_and(|(stored, new)| {
            // A strong one must be the same octets; a weak one matches what is equivalent.
            if new.weak {
                stored.weak_eq(&new)
            } else {
                stored.strong_eq(&new)
            }
        });
    }
    match answer.first(b"last-modified").map(parse_http_date) {
        Some(new) => new.is_some() && new == entry.fields.get(b"last-modified").and_then(parse_http_date),
        None => true,
    }
}

/// Whether the head of a whole answer is that of what is stored; `None` where nothing says so.
fn compare(entry: &Entry, answer: &dyn FieldsView) -> Option<bool> {
    let stored = |name: &[u8]| entry.fields.get(name);
    let etag = answer.first(b"etag").map(|etag| stored(b"etag") == Some(etag));
    let modified = answer
        .first(b"last-modified")
        .map(|modified| stored(b"last-modified") == Some(modified));
    let length = answer
        .first(b"content-length")
        .map(|length| length == entry.body_len().to_string().as_bytes());
    if [etag, modified, length].contains(&Some(false)) {
        return Some(false);
    }
    etag.or(modified)
}

/// The stored fields, each name that the 304 has replaced by its lines (RFC 9111 §3.2).
pub(crate) fn merge(stored: &Fields, answer: &dyn FieldsView) -> Fields {
    // About the body that is stored, and not changed by a message without one.
    let keeps = |name: &[u8]| {
        [
            &b"content-length"[..],
            b"content-encoding",
            b"content-range",
            b"content-type",
        ]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    };
    let mut merged = FieldsBuilder::default();
    for (name, value) in stored {
        // Its date was that of the answer before.
        let replaced = !keeps(name) && answer.has(name) || name.eq_ignore_ascii_case(b"date");
        if !replaced {
            merged.push(name, value);
        }
    }
    answer.visit_all(&mut |name, value| {
        if !keeps(name) {
            merged.push(name, value);
        }
    });
    merged.finish()
}
