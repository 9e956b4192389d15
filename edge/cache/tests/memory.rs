//! What the cache says that it holds, against what the allocator was asked for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use breakwater_edge_cache::CacheConfig;
use common::{World, at};

/// Counts the bytes that are allocated, as an allocator rounds them: to 16, and a header of 8 each.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

fn rounded(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16)
}

// SAFETY: every call goes to the system's allocator unchanged; the counter doesn't allocate.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: as the trait asks; passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(rounded(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as the trait asks; passed on.
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(rounded(layout.size()), Ordering::Relaxed);
        // SAFETY: `ptr` came from `alloc` above, so from the system's allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// xorshift, so that a run can be repeated.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 1).unwrap()
}

/// One test, since it counts for the whole process.
#[test]
fn the_bound_holds_with_all_overhead_whatever_is_stored_after_what() {
    const MAX_BYTES: usize = 16 << 20;
    let before = LIVE.load(Ordering::Relaxed);
    let world = World::with(&CacheConfig {
        shards: 8,
        ..CacheConfig::new(MAX_BYTES, [3; 16])
    });
    let answer = [
        ("cache-control", "max-age=600"),
        ("content-type", "text/plain"),
        ("vary", "accept-encoding"),
    ];
    let request = [("accept-encoding", "gzip")];
    let (mut state, mut stored, mut worst) = (88_172_645_463_325_252, 0_u32, 0.0_f64);
    // Many small ones grow the index, then large ones take their place, then small ones again.
    for (rounds, bodies) in [
        (120_000, 0..1),
        (20_000, 1_000..3_000),
        (1_500, 50_000..300_000),
        (60_000, 0..400),
        (400, 130_000..131_200),
    ] {
        for _ in 0..rounds {
            stored += 1;
            let size = bodies.start + random(&mut state) % (bodies.end - bodies.start);
            let path = format!("/{stored}");
            let finished = world
                .store(&path, &request, &answer, &vec![1; size], at(1))
                .unwrap();
            assert_eq!(finished.stored, Ok(()));
            let used_bytes = world.cache.stats().used_bytes;
            assert!(used_bytes <= MAX_BYTES, "{used_bytes}");
            if stored % 64 == 0 {
                #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
                let part = (LIVE.load(Ordering::Relaxed) - before) as f64 / MAX_BYTES as f64;
                worst = worst.max(part);
                assert!(
                    part <= 1.0,
                    "{part} of the bound is held at {stored}: {:?}",
                    world.cache.stats()
                );
            }
        }
        println!(
            "bodies of {bodies:?}: {:?}, {worst:.3} of the bound at most",
            world.cache.stats()
        );
    }
    world.cache.purge_site(&world.site);
    assert_eq!(world.cache.stats().entries, 0);
}
