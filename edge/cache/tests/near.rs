//! What a thread keeps at hand is what the index would find, and is let go when the index has.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::Lookup;
use common::{World, at, whole_body};

const MIB: usize = 1 << 20;

fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => "fresh",
        Lookup::Stale(stale) => stale.reason.as_str(),
        Lookup::Partial { .. } => "partial",
        Lookup::Miss(fwd) => fwd.as_str(),
        Lookup::HitForMiss => "hit-for-miss",
        Lookup::OnlyIfCachedMiss => "only-if-cached-miss",
    }
}

/// Hit until it is kept at hand, and once more from there.
fn heat(world: &World, path: &str, fields: common::Pairs<'_>) {
    for _ in 0..8 {
        assert!(matches!(world.lookup(path, fields, at(1)), Lookup::Fresh(_)));
    }
}

fn body(world: &World, path: &str, fields: common::Pairs<'_>) -> Vec<u8> {
    whole_body(&world.fresh(path, fields, at(1)))
}

#[test]
fn a_hot_entry_that_is_replaced_is_not_served_from_what_is_at_hand() {
    let world = World::new(4 * MIB);
    world
        .store("/", &[], &[("cache-control", "max-age=60")], b"old", at(0))
        .unwrap();
    heat(&world, "/", &[]);
    world
        .store("/", &[], &[("cache-control", "max-age=60")], b"new", at(0))
        .unwrap();
    assert_eq!(body(&world, "/", &[]), b"new");
}

#[test]
fn a_variant_that_comes_later_is_found_though_another_is_at_hand() {
    let world = World::new(4 * MIB);
    let vary = |name| [("cache-control", "max-age=60"), ("vary", name)];
    let request = &[("a", "1"), ("b", "1")];
    world.store("/", request, &vary("a"), b"by a", at(0)).unwrap();
    heat(&world, "/", request);
    // Stands for the same request and is younger.
    world.store("/", request, &vary("b"), b"by b", at(1)).unwrap();
    assert_eq!(body(&world, "/", request), b"by b");
    assert_eq!(body(&world, "/", &[("a", "1"), ("b", "2")]), b"by a");
}

#[test]
fn variants_are_at_hand_side_by_side() {
    let world = World::new(4 * MIB);
    for value in ["1", "2", "3"] {
        let answer = [("cache-control", "max-age=60"), ("vary", "v")];
        world
            .store("/", &[("v", value)], &answer, value.as_bytes(), at(0))
            .unwrap();
    }
    for _ in 0..3 {
        for value in ["1", "2", "3"] {
            heat(&world, "/", &[("v", value)]);
            assert_eq!(body(&world, "/", &[("v", value)]), value.as_bytes());
        }
    }
    assert_eq!(word(&world.lookup("/", &[("v", "4")], at(1))), "vary-miss");
}

#[test]
fn an_invalidated_entry_at_hand_must_be_validated() {
    let world = World::new(4 * MIB);
    world
        .store(
            "/",
            &[],
            &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
            b"old",
            at(0),
        )
        .unwrap();
    heat(&world, "/", &[]);
    world.cache.invalidate(world.cache.key(&world.key("/")));
    assert_eq!(word(&world.lookup("/", &[], at(1))), "invalidated");
}

#[test]
fn a_purged_entry_at_hand_is_not_used_and_its_memory_is_free_after_a_sweep() {
    let world = World::new(4 * MIB);
    let answer = [("cache-control", "max-age=60")];
    world.store("/", &[], &answer, &[7; 8 << 10], at(0)).unwrap();
    heat(&world, "/", &[]);
    let (before, _) = (world.cache.stats(), world.cache.purge_site(&world.site));
    assert_eq!(word(&world.lookup("/other", &[], at(1))), "uri-miss");
    assert!(world.cache.stats().used_bytes + 8_000 > before.used_bytes, "held");
    world.sweep();
    assert!(world.cache.stats().used_bytes + 8_000 < before.used_bytes);
    assert_eq!(word(&world.lookup("/", &[], at(1))), "uri-miss");
}

#[test]
fn what_is_at_hand_is_bounded_in_bytes() {
    let world = World::new(4 * MIB);
    let answer = [("cache-control", "max-age=60")];
    for at_path in 0..40 {
        let path = format!("/{at_path}");
        world.store(&path, &[], &answer, &[7; 8 << 10], at(0)).unwrap();
        heat(&world, &path, &[]);
    }
    world
        .store("/large", &[], &answer, &vec![7; MIB / 2], at(0))
        .unwrap();
    heat(&world, "/large", &[]);
    let near_bytes = world.near_bytes();
    assert!(near_bytes <= 4 * MIB / 32, "{near_bytes}");
    assert!(near_bytes > 4 * MIB / 64, "{near_bytes}");
}
