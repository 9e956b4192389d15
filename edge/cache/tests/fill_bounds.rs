//! What a fill holds in memory, and how long it goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use breakwater_edge_cache::{Begin, BeginMode, CacheConfig, FillLimits, HeadEvent, Reason};
use common::{CountingWaker, Pairs, World, at, head_now, read_available, ready, whole_body};

const MIB: usize = 1 << 20;
const FRESH: Pairs<'static> = &[("cache-control", "max-age=60")];

fn small_fills() -> World {
    let fill = FillLimits {
        window_bytes: 100,
        lag_bytes: 200,
        orphan_bytes: 300,
    };
    World::with(&CacheConfig {
        shards: 4,
        fill,
        ..CacheConfig::new(MIB, [7; 16])
    })
}

#[test]
fn a_writer_waits_for_the_fastest_reader_only() {
    let world = small_fills();
    let (mut writer, mut fast) = world.lead("/", &[], at(0));
    let mut slow = world.join("/", &[], at(0));
    world.head(&mut writer, 200, FRESH, None, at(0)).unwrap();
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut written = Vec::new();
    for round in 0..20_u8 {
        assert!(ready(&mut writer).is_ready());
        writer.write(vec![round; 100].into()).unwrap();
        written.extend_from_slice(&[round; 100]);
        assert!(writer.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(read_available(&mut fast).0, [round; 100]);
        assert_eq!(woken.count(), usize::from(round) + 1);
    }
    writer.finish(None).unwrap().stored.unwrap();
    assert_eq!(
        read_available(&mut slow),
        (written, Some(Ok(()))),
        "kept whole, since it is stored"
    );
}

#[test]
fn an_answer_that_grows_too_large_streams_on_in_bounded_memory() {
    let mut world = small_fills();
    world.rules.max_object_bytes = 1_000;
    let (mut writer, mut fast) = world.lead("/", &[], at(0));
    let mut slow = world.join("/", &[], at(0));
    let mut waiting = world.join("/", &[], at(0));
    world.head(&mut writer, 200, FRESH, None, at(0)).unwrap();
    let before = world.cache.stats().used_bytes;
    for round in 0..200_u8 {
        assert!(ready(&mut writer).is_ready());
        writer.write(vec![round; 50].into()).unwrap();
        assert_eq!(read_available(&mut fast).0, [round; 50]);
        let used = world.cache.stats().used_bytes - before;
        assert!(used <= 1_100, "{used} bytes buffered");
    }
    assert!(world.cache.stats().used_bytes - before <= 300);
    // No one joins what isn't kept any more; who fell behind is aborted, not ended.
    assert!(matches!(
        world.begin("/", &[], None, BeginMode::Shared, at(0)),
        Begin::Lead(..)
    ));
    assert_eq!(read_available(&mut slow), (Vec::new(), Some(Err(Reason::Lagged))));
    // Who has not sent a head yet need not fail.
    assert!(matches!(
        head_now(&mut waiting, &[], at(0)),
        HeadEvent::Leave(Reason::Lagged)
    ));
    let finished = writer.finish(None).unwrap();
    assert_eq!(
        (finished.stored, finished.body_bytes),
        (Err(Reason::TooLarge), 10_000)
    );
    assert_eq!(read_available(&mut fast), (Vec::new(), Some(Ok(()))));
}

#[test]
fn a_fill_without_readers_goes_on_within_its_bound() {
    let world = small_fills();
    // Stored and short: to the end.
    let (mut writer, reader) = world.lead("/short", &[], at(0));
    world.head(&mut writer, 200, FRESH, None, at(0)).unwrap();
    drop(reader);
    assert!(
        writer
            .poll_orphaned(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
    for _ in 0..3 {
        assert_eq!(ready(&mut writer), Poll::Ready(Ok(())));
        writer.write(vec![0; 100].into()).unwrap();
    }
    writer.write("x".into()).unwrap();
    assert_eq!(ready(&mut writer), Poll::Ready(Err(Reason::Abandoned)));
    // Who comes keeps it alive.
    let reader = world.join("/short", &[], at(0));
    assert!(ready(&mut writer).is_pending());
    drop(reader);
    writer.finish(None).unwrap().stored.unwrap();
    // Known to be long: not at all.
    let (mut writer, reader) = world.lead("/long", &[], at(0));
    world.head(&mut writer, 200, FRESH, Some(301), at(0)).unwrap();
    drop(reader);
    assert_eq!(ready(&mut writer), Poll::Ready(Err(Reason::Abandoned)));
    // Not stored: not at all.
    let (mut writer, reader) = world.lead("/private", &[], at(0));
    let _ = world.head(&mut writer, 200, &[("cache-control", "private")], None, at(0));
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        writer
            .poll_orphaned(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(reader);
    assert_eq!(woken.count(), 1);
    assert_eq!(ready(&mut writer), Poll::Ready(Err(Reason::Abandoned)));
}

#[test]
fn an_answer_that_no_entry_can_have_is_passed_on_and_pushes_nothing_out() {
    let world = World::with(&CacheConfig {
        shards: 1,
        ..CacheConfig::new(256 * 1024, [7; 16])
    });
    let stored = |path| {
        world
            .store(path, &[], FRESH, &vec![1; 50_000], at(0))
            .unwrap()
            .stored
    };
    assert_eq!(stored("/kept"), Ok(()));
    for length in [None, Some(1_000_000)] {
        let (mut writer, mut reader) = world.lead("/", &[], at(0));
        let begun = world.head(&mut writer, 200, FRESH, length, at(0));
        assert_eq!(begun.is_ok(), length.is_none(), "what is known isn't begun");
        let mut read = 0;
        for _ in 0..20 {
            writer.write(vec![1; 50_000].into()).unwrap();
            read += read_available(&mut reader).0.len();
        }
        assert_eq!(writer.finish(None).unwrap().stored, Err(Reason::TooLarge));
        assert_eq!(read, 1_000_000);
        assert!(world.cache.stats().used_bytes <= 256 * 1024);
        world.fresh("/kept", &[], at(0));
    }
}

#[test]
fn answers_that_come_together_and_find_no_memory_are_passed_on() {
    let world = World::with(&CacheConfig {
        shards: 1,
        ..CacheConfig::new(256 * 1024, [7; 16])
    });
    let mut fills: Vec<_> = ["/a", "/b", "/c"].map(|path| world.lead(path, &[], at(0))).into();
    for (writer, _) in &mut fills {
        world.head(writer, 200, FRESH, None, at(0)).unwrap();
    }
    for _ in 0..5 {
        for (writer, reader) in &mut fills {
            writer.write(vec![1; 20_000].into()).unwrap();
            assert_eq!(read_available(reader).0.len(), 20_000);
            assert!(world.cache.stats().used_bytes <= 256 * 1024 + 20_000);
        }
    }
    let ends: Vec<_> = fills
        .into_iter()
        .map(|(writer, _)| writer.finish(None).unwrap().stored)
        .collect();
    assert!(ends.contains(&Err(Reason::NoMemory)), "{ends:?}");
    assert!(world.cache.stats().used_bytes <= 256 * 1024);
}

#[test]
fn what_is_gone_but_still_being_sent_counts_until_it_was_sent() {
    let world = World::new(MIB);
    world
        .store("/", &[], FRESH, &vec![1; 100_000], at(0))
        .unwrap()
        .stored
        .unwrap();
    let hit = world.fresh("/", &[], at(0));
    world.cache.purge_site(&world.site);
    let stats = world.cache.stats();
    assert_eq!((stats.entries, stats.entry_bytes), (0, 0));
    assert!(stats.used_bytes > 100_000);
    assert_eq!(whole_body(&hit), vec![1; 100_000]);
    drop(hit);
    assert!(world.cache.stats().used_bytes < 100_000);
}
