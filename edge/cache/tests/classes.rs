//! Small and large files share the memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{CacheConfig, Lookup, StorageClass};
use common::{World, at};

const MAX_BYTES: usize = 32 << 20;
const FRESH: [(&str, &str); 1] = [("Cache-Control", "max-age=1000")];

/// xorshift, so that a run can be repeated.
fn random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    f64::from(u32::try_from(*state >> 32).unwrap()) / f64::from(u32::MAX)
}

/// Asks for a path and stores it where it isn't there. True: it was.
fn ask(world: &World, path: &str, body: &[u8]) -> bool {
    if matches!(world.lookup(path, &[], at(0)), Lookup::Fresh(_)) {
        return true;
    }
    world.store(path, &[], &FRESH, body, at(0)).unwrap();
    false
}

/// The part of small files that was there, by Zipf's law over 2,000 of 6 KiB. `large_every`: after so many of them
/// come two large files of a round of 50, together far more than the memory; each twice, so that it isn't new.
fn hit_ratio(class: Option<StorageClass>, large_every: Option<usize>) -> f64 {
    let mut world = World::with(&CacheConfig::new(MAX_BYTES, [7; 16]));
    world.rules.class = class;
    let (small, large) = (vec![b's'; 6 << 10], vec![b'l'; 3 << 19]);
    let mut sums = vec![0.0_f64];
    for rank in 1..=2_000_u32 {
        sums.push(sums[sums.len() - 1] + 1.0 / f64::from(rank));
    }
    let total = sums[sums.len() - 1];
    let (mut state, mut hits, mut asked, mut file) = (0x9e37_79b9_7f4a_7c15, 0_u32, 0_u32, 0);
    for turn in 0..60_000 {
        let drawn = random(&mut state) * total;
        let rank = sums.partition_point(|sum| *sum < drawn);
        let hit = ask(&world, &format!("/small/{rank}"), &small);
        // The first half warms it.
        if turn >= 30_000 {
            asked += 1;
            hits += u32::from(hit);
        }
        if large_every.is_some_and(|every| turn % every == 0) {
            for at in [file, file, file + 1, file + 1] {
                ask(&world, &format!("/large/{}", at % 50), &large);
            }
            file += 2;
        }
    }
    assert!(world.cache.stats().used_bytes <= MAX_BYTES);
    f64::from(hits) / f64::from(asked)
}

#[test]
fn large_files_that_come_by_leave_the_small_ones_where_they_are() {
    let alone = hit_ratio(None, None);
    let beside = hit_ratio(None, Some(100));
    let mixed = hit_ratio(Some(StorageClass::Small), Some(100));
    println!("alone {alone:.4}, beside {beside:.4}, without classes {mixed:.4}");
    assert!(alone > 0.99, "all of them fit: {alone}");
    assert!(beside > alone - 0.01, "{beside} of {alone}");
    assert!(
        mixed < beside - 0.05,
        "this load does harm without classes: {mixed}"
    );
}

#[test]
fn large_files_take_what_small_ones_leave_and_give_it_back() {
    let world = World::with(&CacheConfig::new(MAX_BYTES, [7; 16]));
    let large = vec![b'l'; 3 << 19];
    let resident = |world: &World| {
        let there = |file: &i32| world.lookup(&format!("/large/{file}"), &[], at(0));
        (0..20)
            .filter(|file| matches!(there(file), Lookup::Fresh(_)))
            .count()
    };
    for at in 0..20 {
        ask(&world, &format!("/large/{at}"), &large);
    }
    // Asked for again and again: they have proved themselves.
    for _ in 0..3 {
        assert_eq!(resident(&world), 20, "30 of 32 MiB");
    }
    let small = vec![b's'; 6 << 10];
    for at in 0..4_000 {
        ask(&world, &format!("/small/{at}"), &small);
    }
    let left = resident(&world);
    assert!((8..=10).contains(&left), "half of the memory: {left}");
}

#[test]
fn a_policy_says_whatever_the_size() {
    for (class, stay) in [(StorageClass::Large, false), (StorageClass::Small, true)] {
        let mut world = World::with(&CacheConfig::new(MAX_BYTES, [7; 16]));
        world.rules.class = Some(class);
        ask(&world, "/first", b"x");
        world.rules.class = None;
        let small = vec![b's'; 6 << 10];
        let large = vec![b'l'; 3 << 19];
        // A tiny file that a policy calls large gives way with the large ones.
        for at in 0..2_000 {
            ask(&world, &format!("/small/{at}"), &small);
        }
        ask(&world, "/first", b"x");
        for at in 0..30 {
            ask(&world, &format!("/large/{at}"), &large);
        }
        let there = matches!(world.lookup("/first", &[], at(0)), Lookup::Fresh(_));
        assert_eq!(there, stay, "{class:?}");
    }
}
