//! What is served from what is stored: freshness as time goes, variants, requests' directives, conditions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{Fwd, Lookup, Reason, Selection, select};
use common::{Pairs, World, at, stale, whole_body};

const MIB: usize = 1 << 20;

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
    let table: &[(Pairs<'_>, Selection)] = &[
        (&[], Selection::Whole),
        (&[("if-none-match", "\"a,b\"")], Selection::NotModified),
        (&[("if-none-match", "\"x\", W/\"a,b\"")], Selection::NotModified),
        (
            &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")],
            Selection::NotModified,
        ),
        (&[("if-none-match", "*")], Selection::NotModified),
        (&[("if-none-match", "\"x\"")], Selection::Whole),
        (&[("if-none-match", "a,b")], Selection::Whole),
        (
            &[("if-none-match", "\"x\""), ("if-modified-since", modified)],
            Selection::Whole,
        ),
        (&[("if-modified-since", modified)], Selection::NotModified),
        (
            &[("if-modified-since", "Thu, 28 May 2026 09:59:59 GMT")],
            Selection::Whole,
        ),
        (&[("if-modified-since", "yesterday")], Selection::Whole),
        (&[("if-match", "\"other\"")], Selection::Whole),
    ];
    for (request, expected) in table {
        assert_eq!(select(&hit, true, &request.to_vec()), *expected, "{request:?}");
    }
}

#[test]
fn what_is_immutable_is_not_questioned_by_a_reload_while_it_is_fresh() {
    let table: &[(&str, Pairs<'_>, u64, &str)] = &[
        (
            "max-age=60, immutable",
            &[("cache-control", "max-age=0")],
            10,
            "fresh",
        ),
        (
            "max-age=60, immutable",
            &[("cache-control", "no-cache")],
            10,
            "request-directive",
        ),
        (
            "max-age=60, immutable",
            &[("cache-control", "max-age=0")],
            61,
            "expired",
        ),
        (
            "max-age=60",
            &[("cache-control", "max-age=0")],
            10,
            "request-directive",
        ),
    ];
    for (answer, request, secs, expected) in table {
        let world = World::new(MIB);
        world
            .store(
                "/",
                &[],
                &[("cache-control", answer), ("etag", "\"1\"")],
                b"x",
                at(0),
            )
            .unwrap()
            .stored
            .unwrap();
        assert_eq!(
            word(&world.lookup("/", request, at(*secs))),
            *expected,
            "{answer} {request:?}"
        );
    }
}

#[test]
fn a_request_may_accept_what_is_stale_in_place_of_an_error() {
    let sie: Pairs<'_> = &[("cache-control", "stale-if-error=60")];
    let table: &[(&str, Pairs<'_>, u64, bool)] = &[
        ("max-age=10", sie, 70, true),
        ("max-age=10", sie, 71, false),
        ("max-age=10", &[], 20, false),
        ("max-age=10, must-revalidate", sie, 20, false),
        ("max-age=10, proxy-revalidate", sie, 20, false),
        ("s-maxage=10", sie, 20, false),
        ("no-cache", sie, 0, false),
        ("max-age=10, stale-if-error=5", sie, 20, true),
        (
            "max-age=10",
            &[("cache-control", "stale-if-error=60, stale-if-error=5")],
            20,
            false,
        ),
        ("max-age=10", &[("cache-control", "stale-if-error=x")], 20, false),
        // Fresh: only the request wanted it validated.
        ("max-age=60", &[("cache-control", "no-cache")], 20, true),
    ];
    for (answer, request, secs, expected) in table {
        let world = World::new(MIB);
        world
            .store(
                "/",
                &[],
                &[("cache-control", answer), ("etag", "\"1\"")],
                b"x",
                at(0),
            )
            .unwrap()
            .stored
            .unwrap();
        let found = stale(world.lookup("/", request, at(*secs)));
        assert_eq!(found.serve_on_error, *expected, "{answer} {request:?} {secs}");
    }
}
