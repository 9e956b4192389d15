//! What the tests of the cache share: a cache, a clock, keys, wakers that count, and an origin by hand.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses a part; helpers fail loudly"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use breakwater_edge_cache::{
    Begin, BeginMode, BeginRequest, Cache, CacheConfig, Chunk, FillReader, FillWriter, Finished, HeadEvent,
    Hit, KeyBuilder, KeyTarget, Lifetime, Lookup, MethodClass, Near, NotModified, Now, OriginHead, Reason,
    RequestFacts, Site, Stale, StoreRules, Verdict, judge,
};

pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Seconds after some moment in 2026.
pub(crate) fn at(secs: u64) -> Now {
    at_ms(secs * 1_000)
}

pub(crate) fn at_ms(ms: u64) -> Now {
    Now {
        mono_ns: (1_000_000 + ms) * 1_000_000,
        wall_ms: 1_780_000_000_000 + ms,
    }
}

#[derive(Default)]
pub(crate) struct CountingWaker(pub(crate) AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountingWaker {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    pub(crate) cache: Cache,
    pub(crate) site: Arc<Site>,
    pub(crate) rules: StoreRules,
    pub(crate) near: Mutex<HashMap<ThreadId, Near>>,
}

impl World {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self::with(&CacheConfig {
            shards: 4,
            ..CacheConfig::new(max_bytes, [7; 16])
        })
    }

    pub(crate) fn with(config: &CacheConfig) -> Self {
        let cache = Cache::new(config).unwrap();
        let site = cache.site(b"site-a");
        Self {
            cache,
            site,
            rules: StoreRules::default(),
            near: Mutex::default(),
        }
    }

    pub(crate) fn key(&self, path: &str) -> KeyBuilder {
        let mut builder = KeyBuilder::default();
        let target = KeyTarget {
            scheme: b"https",
            host: b"example.com",
            port: 443,
            method: MethodClass::Get,
            path: path.as_bytes(),
            query: None,
        };
        builder.start(&self.site, b"policy", &target);
        builder
    }

    pub(crate) fn lookup(&self, path: &str, fields: Pairs<'_>, now: Now) -> Lookup {
        let key = self.key(path);
        let thread = thread::current().id();
        let taken = self.near.lock().unwrap().remove(&thread);
        let mut near = taken.unwrap_or_else(|| self.cache.near(1));
        let key = self.cache.key(&key);
        let found = self
            .cache
            .lookup(&mut near, &self.site, key, &fields.to_vec(), now);
        self.near.lock().unwrap().insert(thread, near);
        found
    }

    /// Lets go of what threads keep at hand, as their workers do in time.
    pub(crate) fn sweep(&self) {
        for near in self.near.lock().unwrap().values_mut() {
            (0..8).for_each(|_| near.sweep());
        }
    }

    pub(crate) fn near_bytes(&self) -> usize {
        self.near.lock().unwrap().values().map(Near::bytes).sum()
    }

    pub(crate) fn begin(
        &self,
        path: &str,
        fields: Pairs<'_>,
        stale: Option<&Hit>,
        mode: BeginMode,
        now: Now,
    ) -> Begin {
        let key = self.key(path);
        let fields = fields.to_vec();
        let request = BeginRequest {
            site: &self.site,
            key: self.cache.key(&key),
            fields: &fields,
            stale,
            mode,
            now,
        };
        self.cache.begin(&request)
    }

    pub(crate) fn lead(&self, path: &str, fields: Pairs<'_>, now: Now) -> (FillWriter, FillReader) {
        match self.begin(path, fields, None, BeginMode::Shared, now) {
            Begin::Lead(writer, reader) => (writer, reader),
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    pub(crate) fn join(&self, path: &str, fields: Pairs<'_>, now: Now) -> FillReader {
        match self.begin(path, fields, None, BeginMode::Shared, now) {
            Begin::Join(reader) => reader,
            other => panic!("expected to join, got {other:?}"),
        }
    }

    /// Answers with a head, as an origin that was asked and answers at `now`.
    pub(crate) fn head(
        &self,
        writer: &mut FillWriter,
        status: u16,
        answer: Pairs<'_>,
        length: Option<u64>,
        now: Now,
    ) -> Result<(), Reason> {
        let fields = answer.to_vec();
        let head = OriginHead {
            status,
            fields: &fields,
            content_length: length,
            sent: now,
            received: now,
        };
        let facts = RequestFacts::of(writer.request(), true, false);
        let verdict = judge(facts, &head, &self.rules);
        writer.head(status, &fields, length, verdict, now)
    }

    /// Fetches and stores a whole answer.
    pub(crate) fn store(
        &self,
        path: &str,
        request: Pairs<'_>,
        answer: Pairs<'_>,
        body: &[u8],
        now: Now,
    ) -> Result<Finished, Reason> {
        let Begin::Lead(mut writer, _reader) = self.begin(path, request, None, BeginMode::Alone, now) else {
            panic!("a lone request leads")
        };
        writer.mark_sent();
        let _ = self.head(&mut writer, 200, answer, Some(body.len() as u64), now);
        writer.write(body.to_vec().into())?;
        writer.finish(None)
    }

    pub(crate) fn fresh(&self, path: &str, fields: Pairs<'_>, now: Now) -> Hit {
        match self.lookup(path, fields, now) {
            Lookup::Fresh(hit) => hit,
            other => panic!("expected a fresh hit, got {other:?}"),
        }
    }
}

pub(crate) fn whole_body(hit: &Hit) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let part = hit.slice(body.len() as u64, 1_000_000);
        if part.is_empty() {
            return body;
        }
        body.extend_from_slice(part);
    }
}

pub(crate) fn poll_head(reader: &mut FillReader, fields: Pairs<'_>, now: Now) -> Poll<HeadEvent> {
    reader.poll_head(&fields.to_vec(), now, &mut Context::from_waker(Waker::noop()))
}

pub(crate) fn head_now(reader: &mut FillReader, fields: Pairs<'_>, now: Now) -> HeadEvent {
    match poll_head(reader, fields, now) {
        Poll::Ready(event) => event,
        Poll::Pending => panic!("no head yet"),
    }
}

pub(crate) fn poll_chunk(reader: &mut FillReader) -> Poll<Chunk> {
    reader.poll_chunk(&mut Context::from_waker(Waker::noop()))
}

/// Everything that is there now, and how it ended, if it did.
pub(crate) fn read_available(reader: &mut FillReader) -> (Vec<u8>, Option<Result<(), Reason>>) {
    let mut body = Vec::new();
    loop {
        match poll_chunk(reader) {
            Poll::Pending => return (body, None),
            Poll::Ready(Chunk::Data(data)) => body.extend_from_slice(&data),
            Poll::Ready(Chunk::End(_)) => return (body, Some(Ok(()))),
            Poll::Ready(Chunk::Abort(reason)) => return (body, Some(Err(reason))),
        }
    }
}

pub(crate) fn ready(writer: &mut FillWriter) -> Poll<Result<(), Reason>> {
    writer.poll_ready(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn stale(lookup: Lookup) -> Stale {
    match lookup {
        Lookup::Stale(stale) => stale,
        other => panic!("expected something stale, got {other:?}"),
    }
}

pub(crate) fn validate(world: &World, request: Pairs<'_>, secs: u64) -> (FillWriter, FillReader, Hit) {
    let found = stale(world.lookup("/", request, at(secs)));
    match world.begin("/", request, Some(&found.hit), BeginMode::Shared, at(secs)) {
        Begin::Lead(writer, reader) => (writer, reader, found.hit),
        other => panic!("expected to lead, got {other:?}"),
    }
}

pub(crate) fn confirm(
    world: &World,
    writer: FillWriter,
    fields: Pairs<'_>,
    secs: u64,
) -> Result<(), FillWriter> {
    let fields = fields.to_vec();
    let facts = RequestFacts::of(writer.request(), true, false);
    let answer = NotModified {
        fields: &fields,
        sent: at(secs),
        received: at(secs),
    };
    writer.not_modified(&answer, facts, &world.rules)
}

/// A request that has nothing to do with one visitor.
pub(crate) const GET: RequestFacts = RequestFacts {
    explicit_only: false,
    cacheable_method: true,
    authorization: false,
    unkeyed_cookie: false,
    no_store: false,
};

/// What is made of an answer that was asked for and came at `at(0)`.
pub(crate) fn judged(
    facts: RequestFacts,
    status: u16,
    fields: Pairs<'_>,
    rules: &StoreRules,
) -> Result<Lifetime, Reason> {
    let fields = fields.to_vec();
    let head = OriginHead {
        status,
        fields: &fields,
        content_length: None,
        sent: at(0),
        received: at(0),
    };
    match judge(facts, &head, rules) {
        Verdict::Store(lifetime) => Ok(lifetime),
        Verdict::Refuse(reason) => Err(reason),
    }
}

/// `at(0)` on the wall.
pub(crate) const DATE: (&str, &str) = ("date", "Thu, 28 May 2026 20:26:40 GMT");
pub(crate) const LATER: &str = "Thu, 28 May 2026 21:26:40 GMT";
pub(crate) const TEN_DAYS_BEFORE: &str = "Mon, 18 May 2026 20:26:40 GMT";
