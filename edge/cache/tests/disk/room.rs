//! The bounds of the disk tier.

use crate::common::at;
use crate::rig::{MIB, body, content, open_with, stats, until};

const FRESH: [(&str, &str); 1] = [("cache-control", "max-age=600")];

#[test]
fn files_stay_under_their_bound_and_what_is_read_outlives_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    // Memory holds a fraction, so that nearly everything is read from the disk.
    let world = open_with(dir.path(), 1, 2 * MIB, |_| ());
    let path = |key: u64| format!("/{key}");
    for key in 0..400_u64 {
        world
            .store(&path(key), &[], &FRESH, &content(key, 0, 100_000), at(0))
            .unwrap()
            .stored
            .unwrap();
        until(&world, "it is written or left out", |stats| {
            stats.written + stats.dropped > key
        });
        // A few are asked for all the time.
        if key % 10 == 9 {
            for hot in 0..5 {
                // What memory has just given up may be on its way to the disk.
                until(&world, "all are written", |stats| stats.waiting == 0);
                let found = body(&world, &path(hot), &[], at(1));
                assert!(found == Some(content(hot, 0, 100_000)), "{hot} at {key}");
            }
        }
        let stats = stats(&world);
        assert!(stats.used_bytes <= stats.max_bytes, "{stats:?}");
    }
    let stats = stats(&world);
    assert!(
        stats.kept > 0 && stats.corrupt == 0 && stats.write_errors == 0,
        "{stats:?}"
    );
    assert!(stats.entries < 200 && stats.entries > 100, "{stats:?}");
    let mut found = 0;
    for key in 0..400 {
        if let Some(got) = body(&world, &path(key), &[], at(1)) {
            assert!(got == content(key, 0, 100_000));
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
    let memory = world.cache.stats();
    assert!(memory.used_bytes <= memory.max_bytes, "{memory:?}");
}

#[test]
fn an_entry_larger_than_a_file_stays_in_memory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 1, 16 * MIB, |_| ());
    world
        .store("/", &[], &FRESH, &vec![7; 2 * MIB], at(0))
        .unwrap()
        .stored
        .unwrap();
    until(&world, "it is left out", |stats| stats.dropped == 1);
    assert!(body(&world, "/", &[], at(1)) == Some(vec![7; 2 * MIB]));
    assert_eq!(stats(&world).entries, 0);
}

#[test]
fn the_index_is_charged_to_the_memory_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 1, MIB, |_| ());
    for key in 0..30_000_u64 {
        let _ = world.store(&format!("/{key}"), &[], &FRESH, b"x", at(0));
        if key % 500 == 0 {
            until(&world, "all are written", |stats| stats.waiting == 0);
        }
    }
    let (disk, memory) = (stats(&world), world.cache.stats());
    assert!(disk.index_bytes <= MIB / 2, "{disk:?}");
    assert!(memory.used_bytes <= memory.max_bytes, "{memory:?} {disk:?}");
}
