//! `breakwater run` with a cache on disk, killed again and again while it is busy: what it gives out afterwards is
//! what the origin said, byte for byte, and nothing that an unsafe request had made questionable.
//!
//! `BREAKWATER_KILLS` says how often it is killed, `BREAKWATER_KILL_SEED` repeats the choices of a run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

mod edge;
mod origin;
mod visitor;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use edge::Edge;
use origin::{KEYS, Origin, Random};
use visitor::{Seen, Visitor};

const VISITORS: u64 = 4;

#[derive(Default)]
struct Tally {
    answers: AtomicU64,
    hits: AtomicU64,
    changes: AtomicU64,
}

#[test]
fn killed_at_random_under_load_it_comes_back_with_the_bytes_that_it_had() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let kills = number("BREAKWATER_KILLS", 15);
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = number("BREAKWATER_KILL_SEED", clock.as_nanos() as u64);
    println!("BREAKWATER_KILL_SEED={seed}");
    let mut random = Random(seed | 1);
    let origin = Origin::start();
    let directory = tempfile::tempdir().unwrap();
    let tally = Tally::default();
    let mut warm = 0;
    for round in 0..kills {
        let edge = Edge::start(directory.path(), &origin);
        warm += u64::from(load(&edge, &origin, &mut random, &tally));
        edge.kill();
        println!("killed {} times", round + 1);
    }
    let edge = Edge::start(directory.path(), &origin);
    let metrics = read_all(&edge, &origin, &tally);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} whole answers, {} of them hits, {} changes, {warm} of {kills} starts were warm\n{metrics}",
        count(&tally.answers),
        count(&tally.hits),
        count(&tally.changes)
    );
    assert!(count(&tally.answers) > 20 * kills && count(&tally.changes) > 0);
    assert!(
        warm * 2 > kills,
        "only {warm} of {kills} starts found what had been stored"
    );
    assert!(edge.metric("breakwater_cache_disk_loaded_total") > 0);
    assert_eq!(edge.metric("breakwater_cache_disk_corrupt_total"), 0);
}

/// Visitors for a moment of random length. Says whether anything was a hit although this process never asked for it.
fn load(edge: &Edge, origin: &Origin, random: &mut Random, tally: &Tally) -> bool {
    let length = Duration::from_millis(60 + random.below(340));
    let asked_before = origin.asked();
    let stops = AtomicBool::new(false);
    let (first_hits, running) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            let mut random = Random(random.next() | 1);
            let (stops, first_hits, running) = (&stops, &first_hits, Arc::clone(&running));
            scope.spawn(move || {
                let mut visitor = Visitor::new(edge.http());
                while !stops.load(Ordering::Relaxed) {
                    let key = random.skewed(KEYS);
                    if random.below(50) == 0 {
                        if !visitor.change(key, origin) {
                            break;
                        }
                        tally.changes.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    match visitor.read(key, origin) {
                        Seen::Hit => {
                            tally.hits.fetch_add(1, Ordering::Relaxed);
                            tally.answers.fetch_add(1, Ordering::Relaxed);
                            if !origin.asked_since(key, asked_before) {
                                first_hits.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        Seen::Other => {
                            tally.answers.fetch_add(1, Ordering::Relaxed);
                        }
                        Seen::Nothing => break,
                    }
                }
                running.fetch_add(1, Ordering::Relaxed);
            });
        }
        // The moment is the point: it is killed in the midst of whatever it does then.
        let end = Instant::now() + length;
        while Instant::now() < end && running.load(Ordering::Relaxed) < VISITORS {
            thread::park_timeout(Duration::from_millis(1));
        }
        edge.kill_now();
        stops.store(true, Ordering::Relaxed);
    });
    first_hits.into_inner() > 0
}

fn read_all(edge: &Edge, origin: &Origin, tally: &Tally) -> String {
    let mut visitor = Visitor::new(edge.http());
    for key in 0..KEYS {
        assert!(!matches!(visitor.read(key, origin), Seen::Nothing), "key {key}");
        tally.answers.fetch_add(1, Ordering::Relaxed);
    }
    let lines = edge.metrics();
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("breakwater_cache_disk"))
        .collect();
    lines.join("\n")
}
