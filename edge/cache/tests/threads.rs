//! Threads that look up, lead, join, abort, purge and invalidate at once. Every body says which key it
//! belongs to and after which purge the origin was asked, and carries a checksum.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use breakwater_edge_cache::{
    Begin, BeginMode, CacheConfig, Chunk, FillLimits, FillReader, FillWriter, HeadEvent, Lookup, Purge,
    PurgeUrl, Reason, Sweep,
};
use common::{World, at, whole_body};

const THREADS: u64 = 6;
const KEYS: u64 = 40;
const ROUNDS: u64 = 4_000;
const DEADLINE: Duration = Duration::from_mins(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls until ready; a lost wake-up shows as a deadline that passes.
fn block<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        assert!(Instant::now() < deadline, "nobody woke this thread");
        thread::park_timeout(DEADLINE);
    }
}

/// xorshift, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// key, epoch, filler, checksum of all before.
fn body(key: u64, epoch: u64, random: &mut Random) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&key.to_le_bytes());
    body.extend_from_slice(&epoch.to_le_bytes());
    let filler = if random.below(10) == 0 {
        200_000
    } else {
        random.below(3_000)
    };
    body.extend((0..filler).map(|at| (at ^ key ^ epoch).to_le_bytes()[0]));
    body.extend_from_slice(&checksum(&body).to_le_bytes());
    body
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Run {
    world: World,
    /// Raised just before a purge.
    epoch: AtomicU64,
    /// The epoch of the last purge that was acknowledged.
    purged: AtomicU64,
    served: AtomicU64,
    joined: AtomicU64,
    aborted: AtomicU64,
}

impl Run {
    fn verify(&self, key: u64, oldest: u64, body: &[u8]) {
        let (content, sum) = body.split_at(body.len() - 8);
        assert_eq!(
            checksum(content).to_le_bytes(),
            sum,
            "not the body that was written"
        );
        assert_eq!(content[..8], key.to_le_bytes(), "another key's body");
        let epoch = u64::from_le_bytes(content[8..16].try_into().unwrap());
        assert!(
            epoch >= oldest,
            "a body from before a purge that was acknowledged: {epoch} < {oldest}"
        );
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Purges all keys, each time in another way; the ways that leave memory to be swept are swept now and then.
    fn purge(&self, epoch: u64) {
        let World { cache, site, .. } = &self.world;
        let mut purge = Purge::new(false);
        match epoch % 5 {
            0 => {
                cache.purge_site(site);
                return;
            }
            1 => purge.tag(b"ALL").unwrap(),
            2 => purge.mask(b"example.com/*").unwrap(),
            3 => purge
                .prefix(&PurgeUrl {
                    host: b"example.com",
                    port: None,
                    path: b"/",
                    query: None,
                })
                .unwrap(),
            _ => {
                for key in 0..KEYS {
                    purge.url(&PurgeUrl {
                        host: b"example.com",
                        port: None,
                        path: format!("/{key}").as_bytes(),
                        query: None,
                    });
                }
            }
        }
        purge.under_policies([&b"policy"[..]].into_iter());
        cache.purge(site, &purge, 0);
        let mut sweep = Sweep::default();
        while epoch.is_multiple_of(2) && cache.sweep(&mut sweep, 3).is_some() {}
    }

    fn request(&self, key: u64, random: &mut Random) {
        let oldest = self.purged.load(Ordering::SeqCst);
        let path = format!("/{key}");
        let stale = match self.world.lookup(&path, &[], at(1)) {
            Lookup::Fresh(hit) => return self.verify(key, oldest, &whole_body(&hit)),
            Lookup::Stale(stale) => {
                self.verify(key, oldest, &whole_body(&stale.hit));
                Some(stale.hit)
            }
            Lookup::Miss(_) | Lookup::HitForMiss => None,
            Lookup::OnlyIfCachedMiss | Lookup::Partial { .. } => panic!("not asked for"),
        };
        match self
            .world
            .begin(&path, &[], stale.as_ref(), BeginMode::Shared, at(1))
        {
            Begin::Found(hit) => self.verify(key, oldest, &whole_body(&hit)),
            Begin::Lead(writer, reader) => self.lead(key, writer, reader, random),
            Begin::Join(reader) => {
                self.joined.fetch_add(1, Ordering::Relaxed);
                if random.below(10) > 0 {
                    self.join(key, oldest, reader);
                }
            }
        }
    }

    fn lead(&self, key: u64, mut writer: FillWriter, reader: FillReader, random: &mut Random) {
        writer.mark_sent();
        let epoch = self.epoch.load(Ordering::SeqCst);
        let body = body(key, epoch, random);
        let fails_at = if random.below(4) == 0 {
            random.below(body.len() as u64)
        } else {
            u64::MAX
        };
        let mut reader = (random.below(5) > 0).then_some(reader);
        let private = random.below(20) == 0;
        let control = if private { "private" } else { "max-age=600" };
        let _ = self.world.head(
            &mut writer,
            200,
            &[("cache-control", control), ("cache-tag", "a,all")],
            None,
            at(1),
        );
        let mut read = Vec::new();
        let mut written = 0;
        while written < body.len() {
            if written as u64 >= fails_at {
                self.aborted.fetch_add(1, Ordering::Relaxed);
                return if random.below(2) == 0 {
                    drop(writer);
                } else {
                    writer.abort(Reason::Truncated);
                };
            }
            if let Some(reader) = &mut reader {
                drain(reader, &mut read);
            }
            match block(|cx| writer.poll_ready(cx)) {
                Ok(()) => {}
                Err(Reason::Abandoned) => return,
                Err(other) => panic!("{other}"),
            }
            let size = usize::try_from(1 + random.below(20_000))
                .unwrap()
                .min(body.len() - written);
            writer
                .write(body[written..written + size].to_vec().into())
                .unwrap();
            written += size;
        }
        let finished = writer.finish(None).unwrap();
        assert_eq!(finished.body_bytes, body.len() as u64);
        if let Some(reader) = &mut reader {
            drain(reader, &mut read);
            assert!(read == body, "the leader reads what it wrote");
        }
    }

    fn join(&self, key: u64, oldest: u64, mut reader: FillReader) {
        let none: Vec<(&str, &str)> = Vec::new();
        match block(|cx| reader.poll_head(&none, at(1), cx)) {
            HeadEvent::Head(_) => {}
            HeadEvent::Leave(Reason::Private | Reason::Purged | Reason::Lagged) | HeadEvent::Abort(..) => {
                return;
            }
            other => panic!("{other:?}"),
        }
        let mut body = Vec::new();
        loop {
            match block(|cx| reader.poll_chunk(cx)) {
                Chunk::Data(data) => body.extend_from_slice(&data),
                Chunk::End(_) => return self.verify(key, oldest, &body),
                Chunk::Abort(_) => return,
            }
        }
    }
}

fn drain(reader: &mut FillReader, into: &mut Vec<u8>) {
    while let Poll::Ready(Chunk::Data(data)) = common::poll_chunk(reader) {
        into.extend_from_slice(&data);
    }
}

#[test]
fn nobody_gets_a_wrong_a_torn_or_a_purged_body() {
    let fill = FillLimits {
        window_bytes: 30_000,
        lag_bytes: 30_000,
        orphan_bytes: 100_000,
    };
    let config = CacheConfig {
        shards: 2,
        fill,
        hit_for_miss_secs: 0,
        ..CacheConfig::new(400_000, [9; 16])
    };
    let zero = || AtomicU64::new(0);
    let run = Run {
        world: World::with(&config),
        epoch: zero(),
        purged: zero(),
        served: zero(),
        joined: zero(),
        aborted: zero(),
    };
    let empty = run.world.cache.stats().used_bytes;
    let purging = std::sync::Mutex::new(());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (run, purging) = (&run, &purging);
            scope.spawn(move || {
                let mut random = Random(0x1234_5678_9abc_def1 + thread * 77);
                for _ in 0..ROUNDS {
                    let (one, other) = (random.below(KEYS), random.below(KEYS));
                    let key = one.min(other);
                    match random.below(200) {
                        0 => {
                            let _one_at_a_time = purging.lock().unwrap();
                            let epoch = run.epoch.fetch_add(1, Ordering::SeqCst) + 1;
                            run.purge(epoch);
                            run.purged.store(epoch, Ordering::SeqCst);
                        }
                        1 => {
                            let key = run.world.key(&format!("/{key}"));
                            run.world.cache.invalidate(run.world.cache.key(&key));
                        }
                        _ => run.request(key, &mut random),
                    }
                }
            });
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert!(
        count(&run.served) > 1_000 && count(&run.joined) > 10 && count(&run.aborted) > 100,
        "all ways were taken"
    );
    let stats = run.world.cache.stats();
    assert_eq!(stats.fills, 0);
    assert!(stats.used_bytes <= stats.max_bytes, "{stats:?}");
    assert!(stats.evicted > 0, "{stats:?}");
    run.world.cache.purge_site(&run.world.site);
    run.world.near.lock().unwrap().clear();
    assert_eq!(
        run.world.cache.stats().used_bytes,
        empty,
        "all memory was given back"
    );
}
