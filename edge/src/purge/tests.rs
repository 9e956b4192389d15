//! Purges that outlive their process: everything is done on real files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::fs;
use std::path::PathBuf;

use breakwater_edge_cache::{CacheConfig, KeyBuilder, KeyTarget, MethodClass, PurgeUrl, Tags};

use super::*;

fn cache() -> Cache {
    Cache::new(&CacheConfig::new(8 << 20, [5; 16])).unwrap()
}

fn purger(dir: &Path) -> Purger {
    Purger::new(cache(), Some(dir), false)
}

/// What the site's entry for a path is stored under.
fn key(site: &Site, path: &str) -> Vec<u8> {
    let target = KeyTarget {
        scheme: b"https",
        host: b"a.example",
        port: 443,
        method: MethodClass::Get,
        path: path.as_bytes(),
        query: None,
    };
    let mut builder = KeyBuilder::default();
    builder.start(site, b"policy", &target).bytes().to_vec()
}

fn order(purger: &Purger, path: &str) -> Order {
    let mut purge = Purge::new(false);
    purge.url(&PurgeUrl {
        host: b"a.example",
        port: None,
        path: path.as_bytes(),
        query: None,
    });
    purge.under_policies([&b"policy"[..]].into_iter());
    Order {
        site: purger.cache.site(b"site"),
        purge,
        progress: None,
        relayed: false,
    }
}

fn has_purged(purger: &Purger, path: &str, sequence: u64) -> bool {
    let site = purger.cache.site(b"site");
    site.has_purged(&key(&site, path), &Tags::default(), sequence)
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    logs.sort();
    logs
}

/// Bytes of the only log, without what follows the last whole record.
fn log_bytes(dir: &Path) -> Vec<u8> {
    let logs = logs(dir);
    assert_eq!(logs.len(), 1, "{logs:?}");
    fs::read(&logs[0]).unwrap()
}

#[test]
fn what_was_acknowledged_holds_after_a_crash_and_sequences_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = purger(dir.path());
    let stored_at = first.cache.site(b"site").purge_seq();
    let acknowledged = first.purge(order(&first, "/a")).unwrap();
    let progress = PurgeProgress {
        history: "h".to_owned(),
        revision: 7,
    };
    let told = Order {
        progress: Some(progress.clone()),
        ..order(&first, "/b")
    };
    first.purge(told).unwrap();
    // What the disk has at this moment is what a crash leaves.
    let crashed = tempfile::tempdir().unwrap();
    fs::write(crashed.path().join("1.log"), log_bytes(dir.path())).unwrap();
    let next = purger(crashed.path());
    let site = next.cache.site(b"site");
    assert!(has_purged(&next, "/a", stored_at) && has_purged(&next, "/b", stored_at));
    assert!(!has_purged(&next, "/c", stored_at), "no more than was purged");
    assert!(!has_purged(&next, "/a", acknowledged));
    assert_eq!(site.purge_progress(), Some(progress));
    assert!(next.purge(order(&next, "/c")).unwrap() > acknowledged);
}

#[test]
fn a_record_that_a_crash_tore_is_left_out_and_one_that_is_damaged_purges_everything() {
    let dir = tempfile::tempdir().unwrap();
    let first = purger(dir.path());
    let stored_at = first.cache.site(b"site").purge_seq();
    first.purge(order(&first, "/a")).unwrap();
    let before = log_bytes(dir.path()).len();
    first.purge(order(&first, "/b")).unwrap();
    let bytes = log_bytes(dir.path());
    let restart = |bytes: &[u8]| {
        let crashed = tempfile::tempdir().unwrap();
        fs::write(crashed.path().join("3.log"), bytes).unwrap();
        let next = purger(crashed.path());
        let found = ["/a", "/b", "/c"].map(|path| has_purged(&next, path, stored_at));
        assert!(next.purge(order(&next, "/x")).is_ok());
        found
    };
    for torn in before..bytes.len() {
        assert_eq!(restart(&bytes[..torn]), [true, false, false], "cut at {torn}");
    }
    let mut grown = bytes[..before].to_vec();
    grown.extend([0; 100]);
    assert_eq!(restart(&grown), [true, false, false], "longer, and never written");
    for flipped in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[flipped] ^= 0x10;
        assert_eq!(restart(&damaged), [true; 3], "flipped at {flipped}");
    }
    assert_eq!(restart(&[]), [false; 3], "begun and never written");
}

#[test]
fn a_log_that_is_gone_leaves_nothing_that_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let first = purger(dir.path());
    let stored_at = first.purge(order(&first, "/a")).unwrap();
    drop(first);
    fs::remove_file(&logs(dir.path())[0]).unwrap();
    let next = purger(dir.path());
    assert!(has_purged(&next, "/anything", stored_at));
}

#[test]
fn a_log_stays_short_and_its_files_few() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let purger = purger(dir.path());
        for n in 0..30 {
            let mut order = order(&purger, "/");
            for m in 0..4_000 {
                order.purge.tag(format!("tag-{n}-{m}").as_bytes()).unwrap();
            }
            let sequence = purger.purge(order).unwrap();
            assert!(sequence > last);
            last = sequence;
        }
        assert!(log_bytes(dir.path()).len() < 5 << 20);
    }
    // 3 x 30 x 4,000 tags of 5 bytes each have been written.
    assert!(log_bytes(dir.path()).len() < 1 << 20);
}

#[test]
fn two_processes_that_run_at_once_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let old = purger(dir.path());
    let start = old.cache.site(b"site").purge_seq();
    old.purge(order(&old, "/a")).unwrap();
    let new = purger(dir.path());
    assert_eq!(logs(dir.path()).len(), 2);
    let (in_old, in_new) = (
        old.cache.site(b"site").purge_seq(),
        new.cache.site(b"site").purge_seq(),
    );
    assert!(has_purged(&new, "/a", start) && !has_purged(&new, "/b", start));
    old.purge(order(&old, "/from-old")).unwrap();
    new.purge(order(&new, "/from-new")).unwrap();
    for _ in 0..3 {
        new.follow();
        old.follow();
    }
    assert!(has_purged(&new, "/from-old", in_new) && has_purged(&old, "/from-new", in_old));
    assert!(!has_purged(&new, "/other", in_new));
    // What one relays the other doesn't take for news.
    let settled = (
        old.cache.site(b"site").purge_seq(),
        new.cache.site(b"site").purge_seq(),
    );
    old.follow();
    new.follow();
    assert_eq!(
        settled,
        (
            old.cache.site(b"site").purge_seq(),
            new.cache.site(b"site").purge_seq()
        )
    );
    old.purge(order(&old, "/last")).unwrap();
    drop(old);
    new.follow();
    assert_eq!(
        logs(dir.path()).len(),
        1,
        "what the old one wrote is in the new one's"
    );
    drop(new);
    let next = purger(dir.path());
    for path in ["/a", "/from-old", "/from-new", "/last"] {
        assert!(has_purged(&next, path, start), "{path}");
    }
}

#[test]
fn a_purge_that_cannot_be_written_holds_and_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("purges");
    let purger = purger(&log);
    let before = purger.cache.site(b"site").purge_seq();
    // Nothing can be written or begun there any more.
    fs::remove_dir_all(&log).unwrap();
    lock(&purger.log).broken = true;
    let error = purger.purge(order(&purger, "/a")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Purge again when the disk is in order"),
        "{error}"
    );
    assert!(has_purged(&purger, "/a", before));
    fs::create_dir(&log).unwrap();
    purger.purge(order(&purger, "/b")).unwrap();
    drop(purger);
    let next = super::tests::purger(&log);
    assert!(has_purged(&next, "/a", before) && has_purged(&next, "/b", before));
}

#[test]
fn purges_that_wait_at_once_are_all_in_force_when_they_return() {
    let dir = tempfile::tempdir().unwrap();
    let purger = purger(dir.path());
    let before = purger.cache.site(b"site").purge_seq();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let purger = &purger;
            scope.spawn(move || {
                for n in 0..50 {
                    let path = format!("/{thread}/{n}");
                    let sequence = purger.purge(order(purger, &path)).unwrap();
                    assert!(has_purged(purger, &path, before));
                    assert!(purger.cache.site(b"site").purge_seq() >= sequence);
                }
            });
        }
    });
    let metrics = purger.measure();
    assert_eq!((metrics.count, metrics.failed), (400, 0));
    println!(
        "400 purges from 8 threads: {} µs each",
        metrics.sum_us / metrics.count
    );
    let bytes = log_bytes(dir.path());
    let crashed = tempfile::tempdir().unwrap();
    fs::write(crashed.path().join("9.log"), bytes).unwrap();
    let next = super::tests::purger(crashed.path());
    for thread in 0..8 {
        assert!(has_purged(&next, &format!("/{thread}/49"), before));
    }
}
