//! What an origin says of an answer that is stored: a 304, an error, nothing yet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{HeadEvent, Lookup, Reason};
use common::{Pairs, World, at, confirm, head_now, stale, validate, whole_body};

const MIB: usize = 1 << 20;

/// One word for each kind of answer, for tables.
/// One word for each kind of answer, for tables.
fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => "fresh",
        Lookup::Stale(stale) => stale.reason.as_str(),
        Lookup::Partial { .. } => "partial",
        Lookup::Miss(fwd) => fwd.as_str(),
        Lookup::HitForMiss => "hit-for-miss",
        Lookup::OnlyIfCachedMiss => "only-if-cached",
    }
}

#[test]
fn a_304_gives_what_is_stored_new_fields_and_a_new_life() {
    let world = World::new(MIB);
    let answer = [
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("last-modified", "Thu, 28 May 2026 10:00:00 GMT"),
        ("content-type", "text/plain"),
        ("x-old", "1"),
        ("x-both", "old"),
    ];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (writer, mut reader, _) = validate(&world, &[], 100);
    let condition = writer.condition().unwrap();
    assert_eq!(condition.if_none_match, Some(&b"\"a\""[..]));
    assert_eq!(
        condition.if_modified_since,
        Some(&b"Thu, 28 May 2026 10:00:00 GMT"[..])
    );
    let mut other = world.join("/", &[], at(100));

    let new = [
        ("etag", "\"a\""),
        ("x-both", "new"),
        ("content-length", "0"),
        ("content-type", "text/html"),
        ("cache-control", "max-age=90"),
    ];
    confirm(&world, writer, &new, 100).unwrap();
    for reader in [&mut reader, &mut other] {
        let HeadEvent::Validated(hit) = head_now(reader, &[], at(100)) else {
            panic!("validated")
        };
        assert_eq!(whole_body(&hit), b"body");
    }
    let hit = world.fresh("/", &[], at(189));
    assert_eq!(hit.fields().get(b"x-both"), Some(&b"new"[..]));
    assert_eq!(hit.fields().get(b"x-old"), Some(&b"1"[..]));
    assert_eq!(hit.fields().get(b"content-type"), Some(&b"text/plain"[..]));
    assert_eq!(hit.fields().get(b"content-length"), None);
    assert_eq!(world.cache.stats().entries, 1);
    assert_eq!(word(&world.lookup("/", &[], at(191))), "expired");
}

#[test]
fn a_304_about_something_else_is_not_believed() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (writer, _reader, _) = validate(&world, &[], 100);
    let writer = confirm(&world, writer, &[("etag", "\"b\"")], 100).unwrap_err();
    // Weak, so not the same octets as the strong one that is stored, but said by the origin to be equivalent.
    assert!(confirm(&world, writer, &[("etag", "W/\"a\"")], 100).is_ok());
}

#[test]
fn a_304_that_forbids_storing_takes_the_entry_out() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (writer, mut leader, _) = validate(&world, &[], 100);
    let mut other = world.join("/", &[], at(100));
    confirm(&world, writer, &[("cache-control", "no-store")], 100).unwrap();
    assert!(matches!(
        head_now(&mut leader, &[], at(100)),
        HeadEvent::Validated(_)
    ));
    assert!(matches!(
        head_now(&mut other, &[], at(100)),
        HeadEvent::Leave(Reason::NoStore)
    ));
    assert_eq!(word(&world.lookup("/", &[], at(100))), "uri-miss");
}

#[test]
fn no_visitor_takes_an_entry_out_by_how_it_asks() {
    let requests: [(Pairs<'_>, Pairs<'_>); 4] = [
        (&[("cookie", "a=b")], &[]),
        (&[("cache-control", "no-store")], &[]),
        (&[("authorization", "Basic eA==")], &[]),
        (&[], &[("set-cookie", "session=me")]),
    ];
    for (request, answer) in requests {
        let world = World::new(MIB);
        let stored = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
        world
            .store("/", &[], &stored, b"body", at(0))
            .unwrap()
            .stored
            .unwrap();
        let (writer, mut leader, _) = validate(&world, request, 100);
        confirm(&world, writer, answer, 100).unwrap();
        let HeadEvent::Validated(hit) = head_now(&mut leader, request, at(100)) else {
            panic!("validated")
        };
        assert_eq!(whole_body(&hit), b"body");
        let found = stale(world.lookup("/", &[], at(100)));
        assert_eq!(found.reason, Reason::Expired, "as it was: {request:?}");
        assert_eq!(found.hit.fields().get(b"set-cookie"), None);
    }
}

#[test]
fn what_is_stored_stands_in_for_an_error_only_within_its_window() {
    for (control, secs, stands_in) in [
        ("max-age=60, stale-if-error=30", 90, true),
        ("max-age=60, stale-if-error=30", 91, false),
        ("max-age=60", 61, false),
        ("max-age=60, stale-if-error=30, must-revalidate", 61, false),
    ] {
        let world = World::new(MIB);
        world
            .store(
                "/",
                &[],
                &[("cache-control", control), ("etag", "\"a\"")],
                b"body",
                at(0),
            )
            .unwrap()
            .stored
            .unwrap();
        let (mut writer, mut reader, _) = validate(&world, &[], secs);
        let mut other = world.join("/", &[], at(secs));
        assert_eq!(
            writer.serve_stale(Reason::OriginFailed, at(secs)),
            stands_in,
            "{control} {secs}"
        );
        if stands_in {
            for reader in [&mut reader, &mut other] {
                let event = head_now(reader, &[], at(secs));
                assert!(
                    matches!(event, HeadEvent::Stale(_, Reason::OriginFailed)),
                    "{event:?}"
                );
            }
        } else {
            writer.abort(Reason::OriginFailed);
            assert!(matches!(
                head_now(&mut other, &[], at(secs)),
                HeadEvent::Abort(Reason::OriginFailed, _)
            ));
        }
    }
}

#[test]
fn stale_while_revalidate_serves_at_once_within_its_window() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60, stale-while-revalidate=30")];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    assert!(stale(world.lookup("/", &[], at(90))).serve_now);
    assert!(!stale(world.lookup("/", &[], at(91))).serve_now);
    assert!(!stale(world.lookup("/", &[("cache-control", "no-cache")], at(90))).serve_now);
}

/// RFC 9111 §4.3.4.
#[test]
fn a_strong_etag_of_a_304_gives_every_variant_that_has_it_a_new_life() {
    let answer = |etag| {
        [
            ("cache-control", "max-age=60"),
            ("vary", "a"),
            ("etag", etag),
            ("x-of", "old"),
        ]
    };
    let variants: &[(Pairs<'_>, &str, &[u8])] = &[
        (&[("a", "1")], "\"one\"", b"first"),
        (&[("a", "2")], "\"one\"", b"second"),
        (&[("a", "3")], "\"two\"", b"third"),
        (&[("a", "4")], "W/\"one\"", b"fourth"),
    ];
    // What the 304 says, and which variants are fresh then.
    let table: &[(Pairs<'_>, [bool; 4])] = &[
        (
            &[("etag", "\"one\""), ("x-of", "new")],
            [true, true, false, false],
        ),
        (&[("x-of", "new")], [true, false, false, false]),
        // Selected by another field from now on: with which value is known of one alone.
        (
            &[("etag", "\"one\""), ("x-of", "new"), ("vary", "b")],
            [true, false, false, false],
        ),
        (
            &[("etag", "\"one\""), ("cache-control", "private")],
            [false, false, false, false],
        ),
    ];
    for (fields, fresh) in table {
        let world = World::new(MIB);
        for (request, etag, body) in variants {
            world
                .store("/", request, &answer(etag), body, at(0))
                .unwrap()
                .stored
                .unwrap();
        }
        let (writer, _reader, _) = validate(&world, &[("a", "1")], 100);
        confirm(&world, writer, fields, 100).unwrap();
        for ((request, _, body), fresh) in variants.iter().zip(fresh) {
            match world.lookup("/", request, at(101)) {
                Lookup::Fresh(hit) if *fresh => {
                    assert_eq!(whole_body(&hit), *body);
                    assert_eq!(hit.fields().get(b"x-of"), Some(&b"new"[..]));
                }
                Lookup::Fresh(hit) => {
                    assert_eq!(fields.last().unwrap().0, "vary", "{fields:?} {request:?}");
                    assert_eq!(
                        whole_body(&hit),
                        b"first",
                        "which b it was made for, they all have"
                    );
                }
                other => assert!(!fresh, "{fields:?} {request:?} {other:?}"),
            }
        }
    }
}
