//! The store against the simplest model of it: never a wrong body, never more memory than the bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use std::collections::HashMap;

use breakwater_edge_cache::{Begin, BeginMode, CacheConfig, Hit, Lookup};
use common::{World, at, whole_body};
use proptest::prelude::*;

const KEYS: u8 = 24;
const VARIANTS: u8 = 3;

#[derive(Clone, Debug)]
enum Op {
    Store { key: u8, variant: u8, size: usize },
    Abort { key: u8, variant: u8, size: usize },
    Get { key: u8, variant: u8 },
    Pin { key: u8, variant: u8 },
    Unpin,
    Invalidate { key: u8 },
    Purge,
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![4 => 0_usize..2_000, 1 => 2_000_usize..40_000, 1 => 130_000_usize..140_000];
    prop_oneof![
        8 => (0..KEYS, 0..VARIANTS, size.clone()).prop_map(|(key, variant, size)| Op::Store { key, variant, size }),
        2 => (0..KEYS, 0..VARIANTS, size).prop_map(|(key, variant, size)| Op::Abort { key, variant, size }),
        12 => (0..KEYS, 0..VARIANTS).prop_map(|(key, variant)| Op::Get { key, variant }),
        2 => (0..KEYS, 0..VARIANTS).prop_map(|(key, variant)| Op::Pin { key, variant }),
        2 => Just(Op::Unpin),
        1 => (0..KEYS).prop_map(|key| Op::Invalidate { key }),
        1 => Just(Op::Purge),
    ]
}

/// A body that says whose it is, in every byte.
fn body(stamp: u64, size: usize) -> Vec<u8> {
    let seed = stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..size)
        .map(|at| seed[at % 8] ^ u8::try_from(at % 251).unwrap())
        .collect()
}

struct Model {
    world: World,
    /// What was stored last under key and variant, and not purged: the only body that may come.
    bodies: HashMap<(u8, u8), Vec<u8>>,
    pins: Vec<(Hit, Vec<u8>)>,
    stamp: u64,
}

impl Model {
    fn new(max_bytes: usize) -> Self {
        let world = World::with(&CacheConfig {
            shards: 3,
            ..CacheConfig::new(max_bytes, [3; 16])
        });
        Self {
            world,
            bodies: HashMap::new(),
            pins: Vec::new(),
            stamp: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = at(1);
        match *op {
            Op::Store { key, variant, size } => {
                self.stamp += 1;
                let (path, value) = names(key, variant);
                let content = body(self.stamp, size);
                let answer = [("cache-control", "max-age=600"), ("vary", "v")];
                let request = [("v", value.as_str())];
                let finished = self.world.store(&path, &request, &answer, &content, now).unwrap();
                if finished.stored.is_ok() {
                    self.bodies.insert((key, variant), content);
                }
            }
            Op::Abort { key, variant, size } => {
                self.stamp += 1;
                let (path, value) = names(key, variant);
                let request = [("v", value.as_str())];
                let Begin::Lead(mut writer, _reader) =
                    self.world.begin(&path, &request, None, BeginMode::Alone, now)
                else {
                    panic!("lead");
                };
                let _ = self.world.head(
                    &mut writer,
                    200,
                    &[("cache-control", "max-age=600"), ("vary", "v")],
                    None,
                    now,
                );
                let _ = writer.write(body(self.stamp, size).into());
            }
            Op::Get { key, variant } => {
                self.get(key, variant);
            }
            Op::Pin { key, variant } => {
                if let Some(hit) = self.get(key, variant)
                    && self.pins.len() < 4
                {
                    let content = whole_body(&hit);
                    self.pins.push((hit, content));
                }
            }
            Op::Unpin => {
                if let Some((hit, content)) = self.pins.pop() {
                    assert_eq!(whole_body(&hit), content, "a pinned body stays as it was");
                }
            }
            Op::Invalidate { key } => {
                let key = self.world.key(&names(key, 0).0);
                self.world.cache.invalidate(self.world.cache.key(&key));
            }
            Op::Purge => {
                self.world.cache.purge_site(&self.world.site);
                self.bodies.clear();
                assert_eq!(self.world.cache.stats().entries, 0);
            }
        }
        self.check_memory();
    }

    fn get(&self, key: u8, variant: u8) -> Option<Hit> {
        let (path, value) = names(key, variant);
        let hit = match self.world.lookup(&path, &[("v", value.as_str())], at(1)) {
            Lookup::Fresh(hit) => hit,
            Lookup::Stale(stale) => stale.hit,
            _ => return None,
        };
        let expected = self
            .bodies
            .get(&(key, variant))
            .expect("only what was stored and not purged is found");
        assert!(whole_body(&hit) == *expected, "a wrong body for {path} {value}");
        Some(hit)
    }

    fn check_memory(&self) {
        let stats = self.world.cache.stats();
        assert!(stats.used_bytes <= stats.max_bytes, "{stats:?}");
        assert!(stats.entry_bytes <= stats.used_bytes, "{stats:?}");
        let bodies: usize = self.bodies.values().map(Vec::len).sum();
        assert!(stats.entries <= self.bodies.len(), "{stats:?}");
        assert!(stats.entry_bytes <= bodies + stats.entries * 2_000, "{stats:?}");
    }
}

fn names(key: u8, variant: u8) -> (String, String) {
    (format!("/{key}"), format!("v{variant}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bodies_are_right_and_memory_is_bounded(
        max_bytes in prop_oneof![Just(700_000_usize), Just(1_500_000), Just(20_000_000)],
        ops in prop::collection::vec(op(), 1..300),
    ) {
        let mut model = Model::new(max_bytes);
        for op in &ops {
            model.apply(op);
        }
        if max_bytes == 20_000_000 {
            // Nothing had to go, so everything must be there.
            for (key, variant) in model.bodies.keys() {
                prop_assert!(model.get(*key, *variant).is_some());
            }
        }
        model.pins.clear();
        model.world.near.lock().unwrap().clear();
        model.world.cache.purge_site(&model.world.site);
        let empty = World::with(&CacheConfig { shards: 3, ..CacheConfig::new(max_bytes, [3; 16]) });
        prop_assert_eq!(model.world.cache.stats().used_bytes, empty.cache.stats().used_bytes, "all was given back");
    }
}

#[test]
fn what_is_asked_for_often_outlives_a_scan() {
    let world = World::with(&CacheConfig {
        shards: 2,
        ..CacheConfig::new(1 << 20, [3; 16])
    });
    let answer = [("cache-control", "max-age=600")];
    let hot: Vec<String> = (0..100).map(|n| format!("/hot/{n}")).collect();
    for path in &hot {
        world
            .store(path, &[], &answer, &[1; 1_000], at(0))
            .unwrap()
            .stored
            .unwrap();
    }
    for _ in 0..3 {
        for path in &hot {
            world.fresh(path, &[], at(1));
        }
    }
    for n in 0..20_000 {
        world
            .store(&format!("/scan/{n}"), &[], &answer, &[2; 1_000], at(1))
            .unwrap()
            .stored
            .unwrap();
    }
    let left = hot
        .iter()
        .filter(|path| matches!(world.lookup(path, &[], at(1)), Lookup::Fresh(_)))
        .count();
    assert!(
        left >= 95,
        "{left} of 100 hot objects left after a scan of 20,000"
    );
    let stats = world.cache.stats();
    assert!(
        stats.evicted > 19_000 && stats.used_bytes <= stats.max_bytes,
        "{stats:?}"
    );
}
