//! The cache: an index in shards, the fills under way, and the memory of both.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Now;
use crate::budget::Held;
use crate::cache_status::Fwd;
use crate::config::{CacheConfig, UnusableConfig};
use crate::directives::RequestDirectives;
use crate::entry::{Entry, Hit};
use crate::fields::FieldsView;
use crate::key::{KeyBuilder, KeyRef};
use crate::lookup::{Lookup, decide};
use crate::near::{Near, Pin};
use crate::reader::FillReader;
use crate::shared::Shared;
use crate::site::Site;
use crate::writer::FillWriter;

/// The part of a cache's bytes that threads may hold at hand, beyond their place in the index: one in so many.
const NEAR_PART: usize = 32;

/// A shared cache in bounded memory. Cloning it gives another handle to the same.
///
/// A hit on what its thread's [`Near`] holds writes nothing that another thread uses; one that it doesn't hold
/// takes its shard's lock for reading and counts the pin.
#[derive(Clone)]
pub struct Cache {
    pub(crate) shared: Arc<Shared>,
}

/// How a fill stands to other requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginMode {
    /// Join a fetch under way, or make one that others can join.
    Shared,
    /// Neither: after [`HeadEvent::Leave`](crate::HeadEvent), and for a hit-for-miss. The answer may still be
    /// stored. Requests with `Authorization`, `Range` or `no-store` that ask for `Shared` are alone all the same.
    Alone,
    /// As `Shared`, for a validation that nobody waits for: whoever caused it, and whatever the last answer
    /// was, one is enough.
    Background,
}

/// A request that needs its origin.
#[derive(Clone, Copy)]
pub struct BeginRequest<'a> {
    /// Whose it is; the same that the key was started with.
    pub site: &'a Arc<Site>,
    /// Its key.
    pub key: KeyRef<'a>,
    /// The visitor's fields, as `lookup` saw them.
    pub fields: &'a dyn FieldsView,
    /// What the look-up found stale.
    pub stale: Option<&'a Hit>,
    /// See [`BeginMode`].
    pub mode: BeginMode,
    /// The time.
    pub now: Now,
}

/// What a request that needs its origin has to do.
#[derive(Debug)]
pub enum Begin {
    /// Ask the origin, in a task that holds the writer; read as everybody else.
    Lead(FillWriter, FillReader),
    /// Read what another is fetching.
    Join(FillReader),
    /// Another's fetch ended between the look-up and now: serve this.
    Found(Hit),
}

/// Counts for metrics. Summed when asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries; each variant is one.
    pub entries: usize,
    /// Bytes of entries with their index.
    pub entry_bytes: usize,
    /// All bytes: entries, fills, fixed tables, and entries that are gone but still being sent.
    pub used_bytes: usize,
    /// The bound.
    pub max_bytes: usize,
    /// Fills that others can join.
    pub fills: usize,
    /// Entries stored since the start.
    pub inserted: u64,
    /// Entries given up for others since the start.
    pub evicted: u64,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: &CacheConfig) -> Result<Self, UnusableConfig> {
        if !(1..=1_024).contains(&config.shards) {
            return Err(UnusableConfig::Shards(config.shards));
        }
        if config.fill.window_bytes == 0 || config.fill.lag_bytes < config.fill.window_bytes {
            return Err(UnusableConfig::Window);
        }
        Ok(Self {
            shared: Arc::new(Shared::new(config)?),
        })
    }

    /// The site of that UID. To be kept with its compiled configuration, not asked for by each request.
    pub fn site(&self, uid: &[u8]) -> Arc<Site> {
        self.shared.sites.get(uid)
    }

    /// Hashes a finished key.
    pub fn key<'a>(&self, builder: &'a KeyBuilder) -> KeyRef<'a> {
        KeyRef {
            hash: self.shared.hasher.hash(builder.bytes()),
            bytes: builder.bytes(),
        }
    }

    /// Parts the parts of a `multipart/byteranges` answer (RFC 2046 §5.1.1): who made the body that is stored
    /// can't know it, so the body can't hold it.
    pub fn boundary(&self, hit: &Hit, now: Now) -> String {
        let mut seed = b"multipart boundary".to_vec();
        seed.extend_from_slice(&hit.entry.hash.to_le_bytes());
        seed.extend_from_slice(&now.mono_ns.to_le_bytes());
        seed.extend_from_slice(&now.wall_ms.to_le_bytes());
        format!("{:032x}", self.shared.hasher.hash(&seed))
    }

    /// A table of what a thread is served, for [`lookup`](Self::lookup); `threads` have one each. Together they
    /// hold a thirty-second of the cache's bytes at most.
    pub fn near(&self, threads: usize) -> Near {
        let budget = &self.shared.budget;
        Near::new(budget.max_bytes / NEAR_PART / threads.max(1), budget)
    }

    /// What is stored for a request. `request` are the visitor's fields: its `Cache-Control`, and whatever an
    /// answer's `Vary` names.
    ///
    /// `near` is this thread's; what is hot is kept there.
    pub fn lookup(
        &self,
        near: &mut Near,
        site: &Site,
        key: KeyRef<'_>,
        request: &dyn FieldsView,
        now: Now,
    ) -> Lookup {
        let asked = RequestDirectives::of(request);
        let miss = match self.find(near, site, key, request) {
            Ok(entry) => {
                entry.touch();
                return decide(Hit::new(entry, now), &asked, now, self.shared.advice_interval_ms);
            }
            Err(miss) => miss,
        };
        if asked.only_if_cached {
            Lookup::OnlyIfCachedMiss
        } else if self.shared.is_marked(key.hash, now) {
            Lookup::HitForMiss
        } else {
            Lookup::Miss(miss)
        }
    }

    fn find(
        &self,
        near: &mut Near,
        site: &Site,
        key: KeyRef<'_>,
        request: &dyn FieldsView,
    ) -> Result<Pin, Fwd> {
        let accepts =
            |entry: &Entry| *entry.key == *key.bytes && !entry.is_purged(site) && entry.vary.matches(request);
        if let Some(pin) = near.find(key.hash, accepts) {
            return Ok(pin);
        }
        let (entry, version) = self.shared.find(site, key, request)?;
        if entry.is_hot() {
            near.keep(&entry, version);
        }
        Ok(entry.into())
    }

    /// Begins, or joins, a fetch from the origin.
    pub fn begin(&self, request: &BeginRequest<'_>) -> Begin {
        let shared = &self.shared;
        let alone = match request.mode {
            BeginMode::Alone => true,
            BeginMode::Background => false,
            BeginMode::Shared => {
                is_personal(request.fields) || shared.is_marked(request.key.hash, request.now)
            }
        };
        if alone {
            return shared.lead(request, false);
        }
        let Some(fills) = shared.fills(request.key.hash) else {
            return shared.lead(request, false);
        };
        let mut fills = fills.lock();
        let under_way = fills.get(&request.key.hash).into_iter().flatten();
        let mut joinable = under_way.filter(|fill| fill.accepts(request.key.bytes, request.fields));
        if let Some(fill) = joinable.next() {
            return Begin::Join(FillReader::new(Arc::clone(fill), false));
        }
        drop(joinable);
        // A fill is stored before it leaves the list, so what ended since the look-up is in the index now.
        if let Some(hit) = shared.settled_since(request) {
            return Begin::Found(hit);
        }
        let begin = shared.lead(request, true);
        if let Begin::Lead(writer, _) = &begin {
            fills
                .entry(request.key.hash)
                .or_default()
                .push(Arc::clone(&writer.fill));
        }
        begin
    }

    /// A request with an unsafe method succeeded on the key: what is stored must be validated before it is
    /// used again, and nobody joins a fetch that began before (RFC 9111 §4.4).
    pub fn invalidate(&self, key: KeyRef<'_>) {
        // Fills first: one that ends in between is stored as invalidated, or found below.
        if let Some(fills) = self.shared.fills(key.hash) {
            for fill in fills
                .lock()
                .get(&key.hash)
                .into_iter()
                .flatten()
                .filter(|fill| *fill.key == *key.bytes)
            {
                fill.invalidated.store(true, Ordering::Release);
            }
        }
        // Then the disk: what is read from it from now on is dropped, what was before is found below.
        self.shared.forget_on_disk(key.hash);
        if let Some(shard) = self.shared.shard(key.hash) {
            shard
                .read()
                .variants(key.hash, key.bytes)
                .for_each(|entry| entry.invalidate());
        }
    }

    /// Takes memory that a request needs to be looked up, for a body that is part of its key: all of them
    /// together a thirty-second of the cache's bytes. `None`: there is none to be had.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        self.shared.hold(bytes)
    }

    /// Counts for metrics.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            used_bytes: self.shared.budget.used_bytes(),
            max_bytes: self.shared.budget.max_bytes,
            ..CacheStats::default()
        };
        for shard in &self.shared.shards {
            let of = shard.0.read().stats();
            stats.entries += of.entries;
            stats.entry_bytes += of.bytes;
            stats.inserted += of.inserted;
            stats.evicted += of.evicted;
        }
        stats.fills = self
            .shared
            .fills
            .iter()
            .map(|fills| fills.0.lock().values().map(Vec::len).sum::<usize>())
            .sum();
        stats
    }
}

/// Requests that others can't wait for, nor they for others': a part, somebody's own, or not to be stored.
fn is_personal(request: &dyn FieldsView) -> bool {
    request.has(b"authorization") || request.has(b"range") || RequestDirectives::of(request).no_store
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyTarget, MethodClass};
    use crate::{Fields, Fwd};
    use crate::{Lifetime, Verdict};

    /// A fill that commits after the purge's sweep has passed its shard leaves an entry from before. Only
    /// the comparison on each hit keeps it from being used.
    #[test]
    fn an_entry_that_a_sweep_missed_is_not_used() {
        let cache = Cache::new(&CacheConfig::new(4 << 20, [0; 16])).unwrap();
        let site = cache.site(b"a");
        let target = KeyTarget {
            scheme: b"http",
            host: b"a",
            port: 80,
            method: MethodClass::Get,
            path: b"/",
            query: None,
        };
        let mut builder = KeyBuilder::default();
        builder.start(&site, b"", &target);
        let key = cache.key(&builder);
        let (fields, now) = (Fields::default(), Now::default());
        let request = BeginRequest {
            site: &site,
            key,
            fields: &fields,
            stale: None,
            mode: BeginMode::Alone,
            now,
        };
        let Begin::Lead(mut writer, _reader) = cache.begin(&request) else {
            panic!("leads")
        };
        let lifetime = Lifetime {
            fresh_ms: 1_000,
            max_object_bytes: 10,
            ..Lifetime::default()
        };
        writer
            .head(200, &fields, None, Verdict::Store(lifetime), now)
            .unwrap();
        writer.finish(None).unwrap().stored.unwrap();
        let mut near = cache.near(1);
        for _ in 0..10 {
            assert!(matches!(
                cache.lookup(&mut near, &site, key, &fields, now),
                Lookup::Fresh(_)
            ));
        }
        site.next_purge();
        assert!(matches!(
            cache.lookup(&mut near, &site, key, &fields, now),
            Lookup::Miss(Fwd::UriMiss)
        ));
    }
}
