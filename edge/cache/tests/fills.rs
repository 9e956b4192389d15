//! One fetch, many readers.

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

use breakwater_edge_cache::{Begin, BeginMode, Chunk, FieldsBuilder, HeadEvent, Lookup, Reason};
use common::{CountingWaker, Pairs, World, at, head_now, poll_chunk, poll_head, read_available, whole_body};

const MIB: usize = 1 << 20;
const FRESH: Pairs<'static> = &[("cache-control", "max-age=60")];

#[test]
fn readers_stream_what_comes_and_late_ones_catch_up() {
    let world = World::new(MIB);
    let (mut writer, mut leader) = world.lead("/", &[], at(0));
    let mut early = world.join("/", &[], at(0));
    assert!(poll_head(&mut early, &[], at(0)).is_pending());
    world.head(&mut writer, 200, FRESH, None, at(0)).unwrap();
    writer.write("one ".into()).unwrap();
    assert!(matches!(head_now(&mut leader, &[], at(0)), HeadEvent::Head(_)));
    assert!(matches!(head_now(&mut early, &[], at(0)), HeadEvent::Head(_)));
    assert_eq!(read_available(&mut early), (b"one ".to_vec(), None));
    let mut late = world.join("/", &[], at(0));
    writer.write("two".into()).unwrap();
    assert_eq!(read_available(&mut early), (b"two".to_vec(), None));
    assert!(
        matches!(world.lookup("/", &[], at(0)), Lookup::Miss(_)),
        "not stored before it is whole"
    );
    let mut trailers = FieldsBuilder::default();
    trailers.push(b"grpc-status", b"0");
    assert_eq!(writer.finish(Some(trailers.finish())).unwrap().stored, Ok(()));
    assert!(matches!(head_now(&mut late, &[], at(0)), HeadEvent::Head(_)));
    assert_eq!(read_available(&mut late), (b"one two".to_vec(), Some(Ok(()))));
    let Poll::Ready(Chunk::End(Some(trailers))) = poll_chunk(&mut early) else {
        panic!("trailers")
    };
    assert_eq!(trailers.get(b"grpc-status"), Some(&b"0"[..]));
    assert_eq!(read_available(&mut leader), (b"one two".to_vec(), Some(Ok(()))));
    let hit = world.fresh("/", &[], at(1));
    assert_eq!(whole_body(&hit), b"one two");
    assert_eq!(hit.fields().get(b"grpc-status"), None, "trailers aren't stored");
    assert_eq!(world.cache.stats().fills, 0);
}

#[test]
fn readers_are_woken_when_there_is_something_for_them() {
    let world = World::new(MIB);
    let (mut writer, _leader) = world.lead("/", &[], at(0));
    let mut reader = world.join("/", &[], at(0));
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let none: Vec<(&str, &str)> = Vec::new();
    assert!(reader.poll_head(&none, at(0), &mut cx).is_pending());
    world.head(&mut writer, 200, FRESH, None, at(0)).unwrap();
    assert_eq!(woken.count(), 1);
    assert!(reader.poll_chunk(&mut cx).is_pending());
    writer.write("x".into()).unwrap();
    assert_eq!(woken.count(), 2);
    assert!(reader.poll_chunk(&mut cx).is_ready());
    assert!(reader.poll_chunk(&mut cx).is_pending());
    drop(writer);
    assert_eq!(woken.count(), 3);
    assert!(matches!(
        reader.poll_chunk(&mut cx),
        Poll::Ready(Chunk::Abort(Reason::Dropped))
    ));
}

#[test]
fn waiters_of_another_variant_leave_and_those_of_the_same_stay() {
    let world = World::new(MIB);
    let german = [("accept-language", "de")];
    let english = [("accept-language", "en")];
    let (mut writer, mut leader) = world.lead("/", &german, at(0));
    let mut same = world.join("/", &german, at(0));
    let mut others: Vec<_> = (0..3).map(|_| world.join("/", &english, at(0))).collect();
    world
        .head(
            &mut writer,
            200,
            &[("cache-control", "max-age=60"), ("vary", "accept-language")],
            None,
            at(0),
        )
        .unwrap();
    assert!(matches!(
        head_now(&mut leader, &german, at(0)),
        HeadEvent::Head(_)
    ));
    assert!(matches!(head_now(&mut same, &german, at(0)), HeadEvent::Head(_)));
    for other in &mut others {
        assert!(matches!(
            head_now(other, &english, at(0)),
            HeadEvent::Leave(Reason::OtherVariant)
        ));
    }
    // From now on it is known, so they don't even wait.
    assert!(matches!(
        world.begin("/", &english, None, BeginMode::Shared, at(0)),
        Begin::Lead(..)
    ));
    writer.finish(None).unwrap().stored.unwrap();
    assert!(matches!(
        world.begin("/", &[("accept-language", "fr")], None, BeginMode::Shared, at(0)),
        Begin::Lead(..)
    ));
}

#[test]
fn what_varied_before_is_not_waited_for_across_variants() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    world
        .store("/", &[("accept-language", "de")], &answer, b"x", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (_writer, _reader) = world.lead("/", &[("accept-language", "en")], at(0));
    let _same = world.join("/", &[("accept-language", "en")], at(0));
    let (_other, _reader) = world.lead("/", &[("accept-language", "fr")], at(0));
}

#[test]
fn waiters_leave_together_when_the_answer_is_not_to_be_shared() {
    for (answer, reason) in [
        (("cache-control", "private"), Reason::Private),
        (("cache-control", "no-store"), Reason::NoStore),
        (("cache-control", "max-age=60, no-cache"), Reason::NotShared),
        (("set-cookie", "a=b"), Reason::SetCookie),
    ] {
        let world = World::new(MIB);
        let (mut writer, mut leader) = world.lead("/", &[], at(0));
        let mut waiters: Vec<_> = (0..3).map(|_| world.join("/", &[], at(0))).collect();
        let _ = world.head(&mut writer, 200, &[answer, ("etag", "\"a\"")], None, at(0));
        for waiter in &mut waiters {
            let HeadEvent::Leave(why) = head_now(waiter, &[], at(0)) else {
                panic!("leave")
            };
            assert_eq!(why, reason);
        }
        let HeadEvent::Head(head) = head_now(&mut leader, &[], at(0)) else {
            panic!("head")
        };
        assert_eq!(
            head.fields.get(answer.0.as_bytes()),
            Some(answer.1.as_bytes()),
            "the leader gets all of it"
        );
        writer.write("mine".into()).unwrap();
        writer.finish(None).unwrap();
        assert_eq!(read_available(&mut leader), (b"mine".to_vec(), Some(Ok(()))));
        // For a short while nobody waits for anybody.
        let (_one, _r1) = world.lead("/", &[], at(4));
        let (_other, _r2) = world.lead("/", &[], at(4));
        let (_one, _r1) = world.lead("/", &[], at(6));
        let _join = world.join("/", &[], at(6));
    }
}

#[test]
fn hit_for_miss_never_hides_an_entry() {
    let world = World::new(MIB);
    let (mut writer, _reader) = world.lead("/", &[], at(0));
    let _ = world.head(&mut writer, 200, &[("cache-control", "private")], None, at(0));
    assert!(matches!(world.lookup("/", &[], at(1)), Lookup::HitForMiss));
    world
        .store("/", &[], FRESH, b"shared after all", at(1))
        .unwrap()
        .stored
        .unwrap();
    assert_eq!(whole_body(&world.fresh("/", &[], at(1))), b"shared after all");
}

#[test]
fn fields_that_are_not_stored_reach_only_the_leader() {
    let world = World::new(MIB);
    let (mut writer, mut leader) = world.lead("/", &[], at(0));
    let mut waiter = world.join("/", &[], at(0));
    let answer = [
        (
            "cache-control",
            "max-age=60, private=\"x-user\", no-cache=\"set-cookie\"",
        ),
        ("x-user", "me"),
        ("set-cookie", "a=b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    world.head(&mut writer, 200, &answer, None, at(0)).unwrap();
    let HeadEvent::Head(mine) = head_now(&mut leader, &[], at(0)) else {
        panic!("head")
    };
    let HeadEvent::Head(theirs) = head_now(&mut waiter, &[], at(0)) else {
        panic!("head")
    };
    writer.finish(None).unwrap().stored.unwrap();
    let hit = world.fresh("/", &[], at(0));
    for name in [&b"x-user"[..], b"set-cookie"] {
        assert!(mine.fields.get(name).is_some());
        assert_eq!(theirs.fields.get(name), None);
        assert_eq!(hit.fields().get(name), None);
    }
    assert_eq!(mine.fields.get(b"x-hop"), None);
}

#[test]
fn a_body_that_is_not_whole_is_never_stored_and_never_ends_cleanly() {
    let world = World::new(MIB);
    let cases: [fn(breakwater_edge_cache::FillWriter) -> Reason; 4] = [
        |writer| {
            drop(writer);
            Reason::Dropped
        },
        |writer| {
            writer.abort(Reason::OriginFailed);
            Reason::OriginFailed
        },
        |writer| writer.finish(None).unwrap_err(),
        |mut writer| writer.write(vec![0; 100].into()).unwrap_err(),
    ];
    for case in cases {
        let (mut writer, mut leader) = world.lead("/", &[], at(0));
        let mut waiter = world.join("/", &[], at(0));
        world.head(&mut writer, 200, FRESH, Some(10), at(0)).unwrap();
        writer.write("five5".into()).unwrap();
        let reason = case(writer);
        for reader in [&mut leader, &mut waiter] {
            assert!(matches!(head_now(reader, &[], at(0)), HeadEvent::Head(_)));
            assert_eq!(read_available(reader), (Vec::new(), Some(Err(reason))));
        }
        assert!(matches!(world.lookup("/", &[], at(0)), Lookup::Miss(_)));
        assert_eq!(world.cache.stats().fills, 0);
    }
}

#[test]
fn a_failure_before_the_head_is_everybodys() {
    let world = World::new(MIB);
    let (writer, mut leader) = world.lead("/", &[], at(0));
    let mut waiter = world.join("/", &[], at(0));
    writer.abort(Reason::OriginFailed);
    for reader in [&mut leader, &mut waiter] {
        assert!(matches!(
            head_now(reader, &[], at(0)),
            HeadEvent::Abort(Reason::OriginFailed, _)
        ));
    }
}

#[test]
fn a_request_that_came_too_late_to_join_finds_the_entry() {
    let world = World::new(MIB);
    assert!(matches!(world.lookup("/", &[], at(0)), Lookup::Miss(_)));
    world.store("/", &[], FRESH, b"x", at(0)).unwrap().stored.unwrap();
    assert!(matches!(
        world.begin("/", &[], None, BeginMode::Shared, at(0)),
        Begin::Found(_)
    ));
}

#[test]
fn requests_that_must_be_alone_neither_join_nor_are_joined() {
    let world = World::new(MIB);
    let (_shared, _r1) = world.lead("/", &[], at(0));
    let Begin::Lead(_alone, _r2) = world.begin("/", &[], None, BeginMode::Alone, at(0)) else {
        panic!("lead")
    };
    for field in [
        ("authorization", "Basic eA=="),
        ("range", "bytes=0-1"),
        ("cache-control", "no-store"),
    ] {
        let Begin::Lead(mut writer, _reader) = world.begin("/", &[field], None, BeginMode::Shared, at(0))
        else {
            panic!("{field:?} leads alone")
        };
        let _ = world.head(&mut writer, 200, &[("cache-control", "private")], None, at(0));
    }
    assert_eq!(world.cache.stats().fills, 1);
    // Nor does what they are answered keep the others from waiting.
    let _join = world.join("/", &[], at(0));
}
