//! Files that aren't as they were written: a miss and a count, never a wrong byte.

use std::path::{Path, PathBuf};

use crate::common::at;
use crate::rig::{body, content, crash, open, open_with, stats, until};

const FRESH: [(&str, &str); 1] = [("cache-control", "max-age=600")];
const KEYS: u64 = 4;
const LEN: usize = 300;

/// A store of some small entries in one file, completed or not.
fn small(dir: &Path, completed: bool) {
    let world = open(dir, 1);
    for key in 0..KEYS {
        world
            .store(&format!("/{key}"), &[], &FRESH, &content(key, 0, LEN), at(0))
            .unwrap()
            .stored
            .unwrap();
    }
    until(&world, "all are written", |stats| stats.written == KEYS);
    if completed {
        world.cache.close_disk();
    }
}

fn segment(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments = files.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    let found = segments.next().unwrap();
    assert_eq!(segments.next(), None);
    found
}

/// How many are found; each must be right.
fn found(dir: &Path) -> u64 {
    let world = open(dir, 2);
    let mut count = 0;
    for key in 0..KEYS {
        if let Some(found) = body(&world, &format!("/{key}"), &[], at(1)) {
            assert!(found == content(key, 0, LEN), "a wrong body for {key}");
            count += 1;
        }
    }
    world.cache.close_disk();
    count
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_what_it_is_part_of() {
    for completed in [true, false] {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        small(dir.path(), completed);
        let whole = std::fs::read(segment(dir.path())).unwrap();
        crash(dir.path(), copy.path());
        let target = segment(copy.path());
        let mut lost = 0;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&target, &flipped).unwrap();
            // A header that isn't ours drops the file.
            let found = found(copy.path());
            lost += u64::from(found < KEYS);
            // What a completed file lists is found though one of its records is broken.
            if completed && at >= 64 {
                assert!(found >= KEYS - 1, "{at}: {found}");
            }
            std::fs::remove_file(&target).ok();
            for file in std::fs::read_dir(copy.path()).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|e| e == "seg") {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
        assert!(
            lost > u64::try_from(whole.len()).unwrap() / 2,
            "most bytes matter: {lost} of {}",
            whole.len()
        );
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_gives_what_is_whole() {
    for completed in [true, false] {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        small(dir.path(), completed);
        let whole = std::fs::read(segment(dir.path())).unwrap();
        crash(dir.path(), copy.path());
        let target = segment(copy.path());
        let mut before = 0;
        for len in (0..=whole.len()).step_by(7).chain([whole.len()]) {
            std::fs::write(&target, &whole[..len]).unwrap();
            let found = found(copy.path());
            assert!(found >= before, "{len}: {found} of {before}");
            before = found;
            std::fs::remove_file(&target).ok();
        }
        assert_eq!(before, KEYS);
    }
}

#[test]
fn a_record_of_another_file_in_the_place_of_one_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path(), true);
    let path = segment(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    // Exchanges the bodies of the first two entries, which have the same length: both checksums are of somebody.
    let find = |bytes: &[u8], key: u64| {
        let wanted = content(key, 0, LEN);
        bytes.windows(LEN).position(|window| window == wanted).unwrap()
    };
    let (first, second) = (find(&bytes, 0), find(&bytes, 1));
    bytes[first..first + LEN].copy_from_slice(&content(1, 0, LEN));
    bytes[second..second + LEN].copy_from_slice(&content(0, 0, LEN));
    std::fs::write(&path, bytes).unwrap();
    let world = open(dir.path(), 2);
    assert_eq!(body(&world, "/0", &[], at(1)), None);
    assert_eq!(body(&world, "/1", &[], at(1)), None);
    assert_eq!(stats(&world).corrupt, 2);
    assert_eq!(body(&world, "/2", &[], at(1)), Some(content(2, 0, LEN)));
}

#[test]
fn a_directory_that_goes_away_costs_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("cache");
    let world = open_with(&inner, 1, 8 << 20, |config| {
        config.segment_bytes = Some(256 << 10);
    });
    let store = |key: u64| {
        world
            .store(&format!("/{key}"), &[], &FRESH, &content(key, 0, 100_000), at(0))
            .unwrap()
            .stored
            .unwrap();
    };
    store(0);
    until(&world, "it is written", |stats| stats.written == 1);
    std::fs::remove_dir_all(&inner).unwrap();
    for key in 1..8 {
        store(key);
    }
    until(&world, "a write fails", |stats| stats.write_errors > 0);
    assert!(stats(&world).last_error.is_some());
    // Memory goes on.
    for key in 0..8 {
        assert!(body(&world, &format!("/{key}"), &[], at(1)) == Some(content(key, 0, 100_000)));
    }
}
