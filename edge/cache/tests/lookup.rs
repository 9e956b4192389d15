//! What is served from what is stored: freshness as time goes, variants, requests' directives, conditions,
//! validation, invalidation and purge.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{
    Begin, BeginMode, Condition, FillReader, FillWriter, Fwd, HeadEvent, Hit, Lookup, NotModified, Reason,
    RequestFacts, Stale, evaluate,
};
use common::{Pairs, World, at, head_now, whole_body};

const MIB: usize = 1 << 20;

fn stale(lookup: Lookup) -> Stale {
    match lookup {
        Lookup::Stale(stale) => stale,
        other => panic!("expected something stale, got {other:?}"),
    }
}

/// One word for each kind of answer, for tables.
fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => "fresh",
        Lookup::Stale(stale) => stale.reason.as_str(),
        Lookup::Miss(fwd) => fwd.as_str(),
        Lookup::HitForMiss => "hit-for-miss",
        Lookup::OnlyIfCachedMiss => "only-if-cached",
    }
}

#[test]
fn an_answer_is_fresh_for_its_lifetime_and_says_its_age() {
    let world = World::new(MIB);
    world
        .store(
            "/",
            &[],
            &[("cache-control", "max-age=60"), ("age", "10")],
            b"body",
            at(0),
        )
        .unwrap()
        .stored
        .unwrap();
    let hit = world.fresh("/", &[], at(49));
    assert_eq!((hit.age_secs(), hit.ttl_secs()), (59, 1));
    assert_eq!(whole_body(&hit), b"body");
    assert_eq!(hit.fields().get(b"age"), None);
    assert_eq!(
        hit.fields().get(b"date"),
        Some(&b"Thu, 28 May 2026 20:26:40 GMT"[..])
    );
    let late = stale(world.lookup("/", &[], at(53)));
    assert_eq!(
        (late.reason, late.fwd(), late.hit.ttl_secs()),
        (Reason::Expired, Fwd::Stale, -3)
    );
    assert_eq!(word(&world.lookup("/other", &[], at(0))), "uri-miss");
}

#[test]
fn requests_advise_but_do_not_command() {
    let table: &[(Pairs<'_>, &str, u64, &str)] = &[
        (&[], "max-age=60", 30, "fresh"),
        (
            &[("cache-control", "no-cache")],
            "max-age=60",
            30,
            "request-directive",
        ),
        (&[("pragma", "no-cache")], "max-age=60", 30, "request-directive"),
        (
            &[("pragma", "no-cache"), ("cache-control", "max-age=40")],
            "max-age=60",
            30,
            "fresh",
        ),
        (
            &[("cache-control", "max-age=0")],
            "max-age=60",
            30,
            "request-directive",
        ),
        (&[("cache-control", "max-age=30")], "max-age=60", 30, "fresh"),
        (
            &[("cache-control", "min-fresh=31")],
            "max-age=60",
            30,
            "request-directive",
        ),
        (&[("cache-control", "min-fresh=30")], "max-age=60", 30, "fresh"),
        (&[("cache-control", "no-store")], "max-age=60", 30, "fresh"),
        // Less than a second old: no client makes it be fetched again.
        (&[("cache-control", "no-cache")], "max-age=60", 0, "fresh"),
        (&[("cache-control", "only-if-cached")], "max-age=60", 30, "fresh"),
        (
            &[("cache-control", "only-if-cached")],
            "max-age=60",
            61,
            "only-if-cached",
        ),
        (
            &[("cache-control", "only-if-cached, max-stale")],
            "max-age=60",
            61,
            "fresh",
        ),
        (&[("cache-control", "max-stale=5")], "max-age=60", 65, "fresh"),
        (&[("cache-control", "max-stale=5")], "max-age=60", 66, "expired"),
        (
            &[("cache-control", "max-stale")],
            "max-age=60, must-revalidate",
            61,
            "expired",
        ),
        (&[("cache-control", "max-stale")], "s-maxage=60", 61, "expired"),
        (&[], "no-cache, max-age=60", 1, "no-cache"),
        (
            &[("cache-control", "max-stale")],
            "no-cache, max-age=60",
            1,
            "no-cache",
        ),
    ];
    for (request, control, age, expected) in table {
        let world = World::new(MIB);
        let answer = [("cache-control", *control), ("etag", "\"a\"")];
        world
            .store("/", &[], &answer, b"x", at(0))
            .unwrap()
            .stored
            .unwrap();
        assert_eq!(
            word(&world.lookup("/", request, at(*age))),
            *expected,
            "{request:?} {control} {age}"
        );
    }
    let world = World::new(MIB);
    assert_eq!(
        word(&world.lookup("/", &[("cache-control", "only-if-cached")], at(0))),
        "only-if-cached"
    );
}

#[test]
fn a_client_makes_an_entry_be_validated_once_a_second() {
    let world = World::new(MIB);
    world
        .store("/", &[], &[("cache-control", "max-age=600")], b"x", at(0))
        .unwrap()
        .stored
        .unwrap();
    let asked = [("cache-control", "no-cache")];
    let count = |from_ms: u64| {
        (0..1_000)
            .filter(|ms| word(&world.lookup("/", &asked, common::at_ms(from_ms + ms))) != "fresh")
            .count()
    };
    assert_eq!(count(5_000), 1);
    assert_eq!(count(6_000), 1);
}

#[test]
fn each_request_gets_its_variant() {
    let world = World::new(MIB);
    let control = ("cache-control", "max-age=60");
    for (language, body) in [("de", b"hallo"), ("en", b"hello")] {
        let answer = [control, ("vary", "Accept-Language")];
        world
            .store("/", &[("accept-language", language)], &answer, body, at(0))
            .unwrap()
            .stored
            .unwrap();
    }
    assert_eq!(
        whole_body(&world.fresh("/", &[("Accept-Language", "de")], at(1))),
        b"hallo"
    );
    assert_eq!(
        whole_body(&world.fresh("/", &[("accept-language", "en")], at(1))),
        b"hello"
    );
    assert_eq!(
        word(&world.lookup("/", &[("accept-language", "fr")], at(1))),
        "vary-miss"
    );
    assert_eq!(word(&world.lookup("/", &[], at(1))), "vary-miss");
    // A variant replaces only itself.
    let answer = [control, ("vary", "accept-language")];
    world
        .store("/", &[("accept-language", "de")], &answer, b"servus", at(2))
        .unwrap()
        .stored
        .unwrap();
    assert_eq!(
        whole_body(&world.fresh("/", &[("accept-language", "de")], at(3))),
        b"servus"
    );
    assert_eq!(world.cache.stats().entries, 2);
}

#[test]
fn a_key_has_no_more_than_32_variants() {
    let world = World::new(4 * MIB);
    let answer = [("cache-control", "max-age=60"), ("vary", "x")];
    for n in 0..100 {
        let value = n.to_string();
        world
            .store("/", &[("x", &value)], &answer, value.as_bytes(), at(0))
            .unwrap()
            .stored
            .unwrap();
    }
    assert_eq!(world.cache.stats().entries, 32);
    assert_eq!(whole_body(&world.fresh("/", &[("x", "99")], at(0))), b"99");
    assert_eq!(word(&world.lookup("/", &[("x", "0")], at(0))), "vary-miss");
}

#[test]
fn of_several_answers_that_match_the_newest_by_date_is_used() {
    let world = World::new(MIB);
    let control = ("cache-control", "max-age=86400");
    let newer = [control, ("date", "Thu, 28 May 2026 20:26:39 GMT"), ("vary", "a")];
    let older = [control, ("date", "Thu, 28 May 2026 20:26:30 GMT"), ("vary", "b")];
    world
        .store("/", &[], &newer, b"newer", at(0))
        .unwrap()
        .stored
        .unwrap();
    world
        .store("/", &[], &older, b"older", at(1))
        .unwrap()
        .stored
        .unwrap();
    assert_eq!(whole_body(&world.fresh("/", &[], at(2))), b"newer");
}

#[test]
fn conditions_of_visitors_are_answered_from_what_is_stored() {
    let world = World::new(MIB);
    let modified = "Thu, 28 May 2026 10:00:00 GMT";
    let answer = [
        ("cache-control", "max-age=60"),
        ("etag", "W/\"a,b\""),
        ("last-modified", modified),
    ];
    world
        .store("/", &[], &answer, b"x", at(0))
        .unwrap()
        .stored
        .unwrap();
    let hit = world.fresh("/", &[], at(1));
    let table: &[(Pairs<'_>, Condition)] = &[
        (&[], Condition::Full),
        (&[("if-none-match", "\"a,b\"")], Condition::NotModified),
        (&[("if-none-match", "\"x\", W/\"a,b\"")], Condition::NotModified),
        (
            &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")],
            Condition::NotModified,
        ),
        (&[("if-none-match", "*")], Condition::NotModified),
        (&[("if-none-match", "\"x\"")], Condition::Full),
        (&[("if-none-match", "a,b")], Condition::Full),
        (
            &[("if-none-match", "\"x\""), ("if-modified-since", modified)],
            Condition::Full,
        ),
        (&[("if-modified-since", modified)], Condition::NotModified),
        (
            &[("if-modified-since", "Thu, 28 May 2026 09:59:59 GMT")],
            Condition::Full,
        ),
        (&[("if-modified-since", "yesterday")], Condition::Full),
        (&[("if-match", "\"other\"")], Condition::Full),
    ];
    for (request, expected) in table {
        assert_eq!(evaluate(&hit, &request.to_vec()), *expected, "{request:?}");
    }
}

fn validate(world: &World, request: Pairs<'_>, secs: u64) -> (FillWriter, FillReader, Hit) {
    let found = stale(world.lookup("/", request, at(secs)));
    match world.begin("/", request, Some(&found.hit), BeginMode::Shared, at(secs)) {
        Begin::Lead(writer, reader) => (writer, reader, found.hit),
        other => panic!("expected to lead, got {other:?}"),
    }
}

fn confirm(world: &World, writer: FillWriter, fields: Pairs<'_>, secs: u64) -> Result<(), FillWriter> {
    let fields = fields.to_vec();
    let facts = RequestFacts::of(writer.request(), true, false);
    let answer = NotModified {
        fields: &fields,
        sent: at(secs),
        received: at(secs),
    };
    writer.not_modified(&answer, facts, &world.rules)
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
                HeadEvent::Abort(Reason::OriginFailed)
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

#[test]
fn an_unsafe_method_makes_what_is_stored_and_what_is_coming_be_validated() {
    let world = World::new(MIB);
    let answer = [
        ("cache-control", "max-age=60, stale-while-revalidate=60"),
        ("etag", "\"a\""),
    ];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (mut writer, _reader) = world.lead("/coming", &[], at(0));
    for path in ["/", "/coming"] {
        let key = world.key(path);
        world.cache.invalidate(world.cache.key(&key));
    }
    let found = stale(world.lookup("/", &[], at(1)));
    assert_eq!(
        (found.reason, found.serve_now, found.serve_on_error),
        (Reason::Invalidated, false, false)
    );
    assert!(matches!(
        world.begin("/coming", &[], None, BeginMode::Shared, at(1)),
        Begin::Lead(..)
    ));
    world.head(&mut writer, 200, &answer, None, at(1)).unwrap();
    writer.finish(None).unwrap().stored.unwrap();
    assert_eq!(word(&world.lookup("/coming", &[], at(1))), "invalidated");
}

#[test]
fn nothing_asked_for_before_a_purge_is_used_after_it() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    let other_site = World {
        site: world.cache.site(b"site-b"),
        cache: world.cache.clone(),
        rules: world.rules.clone(),
    };
    other_site
        .store("/", &[], &answer, b"theirs", at(0))
        .unwrap()
        .stored
        .unwrap();
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    world
        .store("/validated", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let found = stale(world.lookup("/validated", &[], at(100)));
    let Begin::Lead(validating, _r1) =
        world.begin("/validated", &[], Some(&found.hit), BeginMode::Shared, at(100))
    else {
        panic!("lead")
    };
    let (mut filling, _r2) = world.lead("/filling", &[], at(100));
    filling.mark_sent();
    let (mut unsent, _r3) = world.lead("/unsent", &[], at(100));

    world.cache.purge_site(&world.site);

    assert_eq!(world.cache.stats().entries, 1, "the other site's");
    assert_eq!(whole_body(&other_site.fresh("/", &[], at(1))), b"theirs");
    assert_eq!(word(&world.lookup("/", &[], at(1))), "uri-miss");
    assert!(confirm(&world, validating, &[], 100).is_err());
    assert!(matches!(
        world.begin("/filling", &[], None, BeginMode::Shared, at(100)),
        Begin::Lead(..)
    ));
    assert_eq!(
        world.head(&mut filling, 200, &answer, None, at(100)),
        Err(Reason::Purged)
    );
    assert_eq!(filling.finish(None).unwrap().stored, Err(Reason::Purged));
    // Sent after the purge, so what comes is from after it.
    unsent.mark_sent();
    world.head(&mut unsent, 200, &answer, None, at(100)).unwrap();
    world.cache.purge_site(&other_site.site);
    assert_eq!(unsent.finish(None).unwrap().stored, Ok(()));
    assert_eq!(word(&world.lookup("/unsent", &[], at(100))), "fresh");
}

#[test]
fn a_purge_between_head_and_end_keeps_the_answer_out() {
    let world = World::new(MIB);
    let (mut writer, mut reader) = world.lead("/", &[], at(0));
    writer.mark_sent();
    world
        .head(&mut writer, 200, &[("cache-control", "max-age=60")], None, at(0))
        .unwrap();
    writer.write(b"old".to_vec().into()).unwrap();
    world.cache.purge_site(&world.site);
    assert_eq!(writer.finish(None).unwrap().stored, Err(Reason::Purged));
    assert_eq!(
        common::read_available(&mut reader),
        (b"old".to_vec(), Some(Ok(())))
    );
    assert_eq!(word(&world.lookup("/", &[], at(0))), "uri-miss");
}
