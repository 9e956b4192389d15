//! Any order of storing, asking, questioning, purging, restarting and crashing: what is found is what was stored
//! last, or nothing.

use std::collections::HashMap;
use std::path::PathBuf;

use proptest::prelude::*;

use breakwater_edge_cache::Lookup;

use crate::common::{World, at, whole_body};
use crate::rig::{content, crash, find, open_with};

const FRESH: [(&str, &str); 2] = [("cache-control", "max-age=600"), ("vary", "v")];

#[derive(Clone, Debug)]
enum Op {
    Store { key: u8, variant: u8, len: usize },
    Ask { key: u8, variant: u8 },
    Invalidate { key: u8 },
    Purge,
    Restart,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![0_usize..2_000, 15_000..18_000_usize, 120_000..300_000_usize];
    prop_oneof![
        8 => (0_u8..12, 0_u8..3, len).prop_map(|(key, variant, len)| Op::Store { key, variant, len }),
        8 => (0_u8..12, 0_u8..3).prop_map(|(key, variant)| Op::Ask { key, variant }),
        1 => (0_u8..12).prop_map(|key| Op::Invalidate { key }),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        1 => Just(Op::Purge),
    ]
}

struct Model {
    root: tempfile::TempDir,
    dir: PathBuf,
    run: u64,
    world: World,
    /// Version and length of what was stored last, as long as it may be found.
    last: HashMap<(u8, u8), (u64, usize)>,
    version: u64,
    /// The version up to which a key was voided.
    voided: HashMap<u8, u64>,
    crashed: bool,
}

fn world(dir: &std::path::Path, run: u64) -> World {
    open_with(dir, run, 2 << 20, |config| config.segment_bytes = Some(512 << 10))
}

impl Model {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("0");
        Self {
            world: world(&dir, 0),
            root,
            dir,
            run: 0,
            last: HashMap::new(),
            version: 0,
            voided: HashMap::new(),
            crashed: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Store { key, variant, len } => self.store(key, variant, len),
            Op::Ask { key, variant } => self.ask(key, variant),
            Op::Invalidate { key } => {
                let path = self.world.key(&format!("/{key}"));
                self.world.cache.invalidate(self.world.cache.key(&path));
                self.last.retain(|(other, _), _| *other != key);
                self.voided.insert(key, self.version);
            }
            Op::Purge => {
                self.world.cache.purge_site(&self.world.site);
                self.last.clear();
                // Without a log of purges their sequence ends with the process.
                self.restart_empty();
            }
            Op::Restart => {
                self.world.cache.close_disk();
                self.run += 1;
                self.world = world(&self.dir, self.run);
            }
            Op::Crash => {
                self.crashed = true;
                self.run += 1;
                let dir = self.root.path().join(self.run.to_string());
                crash(&self.dir, &dir);
                self.dir = dir;
                self.world = world(&self.dir, self.run);
            }
        }
    }

    fn restart_empty(&mut self) {
        self.run += 1;
        self.dir = self.root.path().join(self.run.to_string());
        self.world = world(&self.dir, self.run);
    }

    fn store(&mut self, key: u8, variant: u8, len: usize) {
        self.version += 1;
        let body = content(u64::from(key) << 8 | u64::from(variant), self.version % 256, len);
        let value = variant.to_string();
        let stored = self
            .world
            .store(&format!("/{key}"), &[("v", &value)], &FRESH, &body, at(0));
        if stored.is_ok_and(|finished| finished.stored.is_ok()) {
            self.last.insert((key, variant), (self.version, len));
        }
    }

    fn ask(&mut self, key: u8, variant: u8) {
        let value = variant.to_string();
        let Lookup::Fresh(found) = find(&self.world, &format!("/{key}"), &[("v", &value)], at(1)) else {
            return;
        };
        let found = whole_body(&found);
        // What waited to be written is lost with a process that is killed: an older version may be found then. What
        // was voided never is.
        let (version, len) = *self.last.get(&(key, variant)).expect("voided, and found");
        let id = u64::from(key) << 8 | u64::from(variant);
        let first = self.voided.get(&key).copied().unwrap_or(0);
        let older = (first + 1..=version).any(|version| found == content(id, version % 256, found.len()));
        let newest = found == content(id, version % 256, len);
        assert!(
            newest || (older && self.crashed),
            "a wrong body for {key} {variant}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_found_is_what_was_stored(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model::new();
        for op in &ops {
            model.apply(op);
        }
    }
}
