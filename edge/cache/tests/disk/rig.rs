//! A cache with a disk tier, and restarts of it.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use breakwater_edge_cache::{CacheConfig, DiskConfig, DiskStats, Hit, Lookup, Now, seed_in};

use crate::common::{Pairs, World, whole_body};

pub(crate) const MIB: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// Numbers of processes: each opening is another one.
pub(crate) fn open(dir: &Path, run: u64) -> World {
    open_with(dir, run, 8 * MIB, |_| ())
}

pub(crate) fn open_with(dir: &Path, run: u64, memory: usize, change: impl FnOnce(&mut DiskConfig)) -> World {
    let seed = seed_in(dir, [9; 16]).unwrap();
    let world = World::with(&CacheConfig {
        shards: 4,
        ..CacheConfig::new(memory, seed)
    });
    let mut config = DiskConfig::new(dir.to_owned(), 16 << 20);
    config.segment_bytes = Some(1 << 20);
    change(&mut config);
    world.cache.open_disk(config, run).unwrap();
    world
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Looks up as a request does: in memory, then on the disk, then in memory again, twice at most.
pub(crate) fn find(world: &World, path: &str, fields: Pairs<'_>, now: Now) -> Lookup {
    let mut found = world.lookup(path, fields, now);
    for _ in 0..2 {
        if !(matches!(found, Lookup::Miss(_)) && read(world, path, fields, now)) {
            break;
        }
        found = world.lookup(path, fields, now);
    }
    found
}

/// Waits for a reading; false where there is none.
fn read(world: &World, path: &str, fields: Pairs<'_>, now: Now) -> bool {
    let key = world.key(path);
    let request = fields.to_vec();
    let load = world
        .cache
        .load(&world.site, world.cache.key(&key), &request, now);
    let Some(mut load) = load else { return false };
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + DEADLINE;
    while load.poll(&mut Context::from_waker(&waker)) == Poll::Pending {
        assert!(Instant::now() < deadline, "nobody woke this thread");
        thread::park_timeout(DEADLINE);
    }
    true
}

pub(crate) fn hit(lookup: Lookup) -> Option<Hit> {
    match lookup {
        Lookup::Fresh(hit) => Some(hit),
        Lookup::Stale(stale) => Some(stale.hit),
        _ => None,
    }
}

pub(crate) fn body(world: &World, path: &str, fields: Pairs<'_>, now: Now) -> Option<Vec<u8>> {
    hit(find(world, path, fields, now)).map(|hit| whole_body(&hit))
}

pub(crate) fn stats(world: &World) -> DiskStats {
    world.cache.disk_stats().unwrap()
}

/// Waits until `holds` of the counts.
pub(crate) fn until(world: &World, what: &str, holds: impl Fn(&DiskStats) -> bool) {
    let start = Instant::now();
    loop {
        let stats = stats(world);
        if holds(&stats) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{what} didn't happen: {stats:?}");
        thread::yield_now();
    }
}

/// What a process that was killed at this moment leaves behind.
pub(crate) fn crash(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // First, as each of its rows goes when a segment has it: a copy takes its time, a kill doesn't.
    std::fs::copy(from.join("voids"), to.join("voids")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "voids" {
            continue;
        }
        // A segment may go while its neighbours are copied.
        let _ = std::fs::copy(entry.path(), to.join(entry.file_name()));
    }
}

/// A body that says whose it is, in each of its parts.
pub(crate) fn content(key: u64, version: u64, len: usize) -> Vec<u8> {
    let mut body: Vec<u8> = Vec::with_capacity(len);
    let mut at = 0_u64;
    while body.len() < len {
        body.extend_from_slice(&(key << 40 | version << 32 | at).to_le_bytes());
        at += 1;
    }
    body.truncate(len);
    body
}
