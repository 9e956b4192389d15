//! What a hit on one hot entry costs with one thread and with two: nanoseconds a look-up, and how much a second
//! thread slows the first. Run with `cargo run --release -p breakwater-edge-cache --example hits`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program for developers"
)]

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use breakwater_edge_cache::{
    Begin, BeginMode, BeginRequest, Cache, CacheConfig, KeyBuilder, KeyTarget, Lifetime, Lookup, MethodClass,
    Now, Site, Verdict,
};

const HITS: u32 = 4_000_000;

fn key(site: &Site, builder: &mut KeyBuilder) {
    let target = KeyTarget {
        scheme: b"https",
        host: b"www.example.com",
        port: 443,
        method: MethodClass::Get,
        path: b"/assets/app.js",
        query: None,
    };
    builder.start(site, b"policy-fingerprint", &target);
}

fn store(cache: &Cache) {
    let (site, mut builder, now) = (cache.site(b"site"), KeyBuilder::default(), Now::default());
    key(&site, &mut builder);
    let fields = [
        ("content-type", "text/javascript"),
        ("cache-control", "max-age=600"),
    ];
    let request = BeginRequest {
        site: &site,
        key: cache.key(&builder),
        fields: &fields,
        stale: None,
        mode: BeginMode::Alone,
        now,
    };
    let Begin::Lead(mut writer, _reader) = cache.begin(&request) else {
        panic!("a lone request leads")
    };
    let lifetime = Lifetime {
        fresh_ms: 600_000,
        max_object_bytes: 1 << 20,
        ..Lifetime::default()
    };
    writer
        .head(200, &fields, None, Verdict::Store(lifetime), now)
        .unwrap();
    writer.write(vec![7; 1_024].into()).unwrap();
    writer.finish(None).unwrap().stored.unwrap();
}

/// Nanoseconds a hit, of the slowest of so many threads.
fn measure(cache: &Cache, threads: usize) -> f64 {
    let barrier = Arc::new(Barrier::new(threads));
    let runs: Vec<_> = (0..threads)
        .map(|_| {
            let (cache, barrier) = (cache.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                let (site, mut near, mut builder) =
                    (cache.site(b"site"), cache.near(2), KeyBuilder::default());
                let request: [(&str, &str); 2] = [("host", "www.example.com"), ("accept", "*/*")];
                barrier.wait();
                let start = Instant::now();
                for _ in 0..HITS {
                    key(&site, &mut builder);
                    let found = cache.lookup(&mut near, &site, cache.key(&builder), &request, Now::default());
                    assert!(matches!(found, Lookup::Fresh(_)));
                }
                start.elapsed().as_nanos() as f64 / f64::from(HITS)
            })
        })
        .collect();
    runs.into_iter()
        .map(|run| run.join().unwrap())
        .fold(0.0, f64::max)
}

fn main() {
    let cache = Cache::new(&CacheConfig::new(64 << 20, [7; 16])).unwrap();
    store(&cache);
    for round in 1..=5 {
        let (one, two) = (measure(&cache, 1), measure(&cache, 2));
        println!(
            "round {round}: 1 thread {one:.0} ns, 2 threads {two:.0} ns a hit, {:.2} of linear",
            one / two
        );
    }
}
