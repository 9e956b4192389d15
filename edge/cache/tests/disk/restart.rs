//! What a restart finds, and what it must not.

use breakwater_edge_cache::{Begin, BeginMode, DiskConfig, DiskError, Lookup, Now};

use crate::common::{World, at, confirm};
use crate::rig::{MIB, body, content, crash, find, hit, open, open_with, stats, until};

const FRESH: [(&str, &str); 1] = [("cache-control", "max-age=600")];

fn store(world: &World, path: &str, request: &[(&str, &str)], answer: &[(&str, &str)], body: &[u8]) {
    world
        .store(path, request, answer, body, at(0))
        .unwrap()
        .stored
        .unwrap();
}

#[test]
fn what_was_stored_is_found_after_a_restart_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    let sizes = [0, 1, 4_000, 16_000, 17_000, 128 << 10, (128 << 10) + 1, 500_000];
    for (key, len) in sizes.into_iter().enumerate() {
        store(
            &world,
            &format!("/{key}"),
            &[],
            &FRESH,
            &content(key as u64, 0, len),
        );
    }
    until(&world, "all are written", |stats| {
        stats.written == sizes.len() as u64
    });
    crash(dir.path(), crashed.path());
    world.cache.close_disk();
    drop(world);
    for place in [dir.path(), crashed.path()] {
        let world = open(place, 2);
        assert_eq!(stats(&world).entries, sizes.len());
        assert_eq!(world.cache.stats().entries, 0);
        for (key, len) in sizes.into_iter().enumerate() {
            let found = find(&world, &format!("/{key}"), &[], at(1));
            assert!(matches!(found, Lookup::Fresh(_)), "{len}");
            let found = body(&world, &format!("/{key}"), &[], at(1));
            assert!(found == Some(content(key as u64, 0, len)), "{len}");
        }
        assert_eq!(body(&world, "/other", &[], at(1)), None);
        let stats = stats(&world);
        assert_eq!(
            (stats.loaded, stats.corrupt, stats.read_errors),
            (sizes.len() as u64, 0, 0)
        );
    }
}

#[test]
fn all_that_is_known_of_an_entry_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    let answer = [
        (
            "cache-control",
            "max-age=600, stale-while-revalidate=30, stale-if-error=60",
        ),
        ("etag", "\"a\""),
        ("vary", "accept-language"),
        ("x-mine", "1"),
        ("x-mine", "2"),
        ("age", "100"),
        ("cache-tag", "t"),
    ];
    for language in ["de", "fr"] {
        store(
            &world,
            "/",
            &[("accept-language", language)],
            &answer,
            language.as_bytes(),
        );
    }
    let before = hit(find(&world, "/", &[("accept-language", "fr")], at(10))).unwrap();
    world.cache.close_disk();
    let world = open(dir.path(), 2);
    let found = hit(find(&world, "/", &[("accept-language", "fr")], at(10))).unwrap();
    assert_eq!(found.fields(), before.fields());
    assert_eq!(found.status(), before.status());
    assert_eq!(
        (found.age_secs(), found.ttl_secs()),
        (before.age_secs(), before.ttl_secs())
    );
    assert_eq!(
        body(&world, "/", &[("accept-language", "de")], at(10)),
        Some(b"de".to_vec())
    );
    assert_eq!(body(&world, "/", &[("accept-language", "es")], at(10)), None);
    let late = find(&world, "/", &[("accept-language", "fr")], at(520));
    assert!(matches!(late, Lookup::Stale(stale) if stale.serve_now && stale.serve_on_error));
}

#[test]
fn age_goes_on_by_the_wall_clock_and_a_clock_that_stepped_back_makes_stale() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    store(
        &world,
        "/",
        &[],
        &[("cache-control", "max-age=600"), ("etag", "\"a\"")],
        b"x",
    );
    world.cache.close_disk();
    drop(world);
    // The monotonic clock of another process begins anew.
    let now = |wall_secs: u64| Now {
        mono_ns: 5_000_000_000,
        wall_ms: at(wall_secs).wall_ms,
    };
    for (run, wall, age) in [(2, 100, Some(100)), (3, 599, Some(599)), (4, 601, None)] {
        let world = open(dir.path(), run);
        match (find(&world, "/", &[], now(wall)), age) {
            (Lookup::Fresh(hit), Some(age)) => assert_eq!(hit.age_secs(), age),
            (Lookup::Stale(stale), None) => assert_eq!(stale.hit.age_secs(), wall),
            (other, _) => panic!("{other:?} {wall}"),
        }
        world.cache.close_disk();
    }
    let world = open(dir.path(), 5);
    let before = Now {
        wall_ms: at(0).wall_ms - 1_000_000,
        ..now(0)
    };
    assert!(matches!(find(&world, "/", &[], before), Lookup::Stale(_)));
}

#[test]
fn an_invalidated_entry_does_not_come_back_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    store(&world, "/gone", &[], &FRESH, b"old");
    store(&world, "/stays", &[], &FRESH, b"stays");
    until(&world, "both are written", |stats| stats.written == 2);
    world.cache.invalidate(world.cache.key(&world.key("/gone")));
    // Written in order: what follows shows that the void is there.
    store(&world, "/after", &[], &FRESH, b"after");
    until(&world, "the next is written", |stats| stats.written == 3);
    crash(dir.path(), crashed.path());
    world.cache.close_disk();
    for place in [dir.path(), crashed.path()] {
        let world = open(place, 2);
        assert_eq!(body(&world, "/gone", &[], at(1)), None);
        assert_eq!(body(&world, "/stays", &[], at(1)), Some(b"stays".to_vec()));
        assert_eq!(body(&world, "/after", &[], at(1)), Some(b"after".to_vec()));
    }
}

#[test]
fn a_newer_version_comes_back_in_place_of_an_older() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    for version in 0..5 {
        store(&world, "/", &[], &FRESH, &content(1, version, 3_000));
    }
    world.cache.close_disk();
    let world = open(dir.path(), 2);
    assert_eq!(stats(&world).entries, 1);
    assert!(body(&world, "/", &[], at(1)) == Some(content(1, 4, 3_000)));
}

#[test]
fn a_confirmed_entry_comes_back_with_its_new_life_and_its_body_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    let large = content(1, 0, 300_000);
    store(
        &world,
        "/",
        &[],
        &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
        &large,
    );
    // Bodies in the oldest files are written again; this one is not in one of them.
    for key in 2..20 {
        store(&world, &format!("/{key}"), &[], &FRESH, &content(key, 0, 400_000));
    }
    until(&world, "all are written", |stats| stats.written == 19);
    let before = stats(&world).used_bytes;
    let Lookup::Stale(stale) = world.lookup("/19", &[], at(700)) else {
        panic!("stale")
    };
    let Begin::Lead(writer, _reader) = world.begin("/19", &[], Some(&stale.hit), BeginMode::Shared, at(700))
    else {
        panic!("leads")
    };
    assert!(
        confirm(
            &world,
            writer,
            &[("cache-control", "max-age=60"), ("x-new", "1")],
            700
        )
        .is_ok()
    );
    until(&world, "the confirmed one is written", |stats| {
        stats.written == 20
    });
    assert!(
        stats(&world).used_bytes - before < 10_000,
        "the body was written again"
    );
    world.cache.close_disk();
    let world = open(dir.path(), 2);
    let found = hit(find(&world, "/19", &[], at(710))).unwrap();
    assert_eq!(found.fields().get(b"x-new"), Some(&b"1"[..]));
    assert_eq!((found.age_secs(), found.ttl_secs()), (10, 50));
    assert!(body(&world, "/19", &[], at(710)) == Some(content(19, 0, 400_000)));
}

#[test]
fn a_purged_entry_is_not_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 1, 2 * MIB, |_| ());
    store(&world, "/", &[], &FRESH, b"old");
    until(&world, "it is written", |stats| stats.written == 1);
    world.cache.purge_site(&world.site);
    assert_eq!(body(&world, "/", &[], at(1)), None);
    store(&world, "/", &[], &FRESH, b"new");
    assert_eq!(body(&world, "/", &[], at(1)), Some(b"new".to_vec()));
}

#[test]
fn one_process_at_a_time_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 1);
    store(&first, "/", &[], &FRESH, b"x");
    let second = World::new(8 * MIB);
    let config = DiskConfig::new(dir.path().to_owned(), 16 << 20);
    let refused = second.cache.open_disk(config, 2);
    assert!(matches!(refused, Err(DiskError::Busy)), "{refused:?}");
    first.cache.close_disk();
    let third = open(dir.path(), 3);
    assert_eq!(body(&third, "/", &[], at(1)), Some(b"x".to_vec()));
    // The first goes on with what it has in memory, and asks the disk for nothing.
    assert_eq!(body(&first, "/", &[], at(1)), Some(b"x".to_vec()));
    assert_eq!(body(&first, "/other", &[], at(1)), None);
}

#[test]
fn files_of_another_secret_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path(), 1);
    store(&world, "/", &[], &FRESH, b"x");
    world.cache.close_disk();
    std::fs::write(dir.path().join("seed"), [1; 16]).unwrap();
    let world = open(dir.path(), 2);
    assert_eq!(stats(&world).entries, 0);
    assert_eq!(body(&world, "/", &[], at(1)), None);
}
