//! What is stored, and what a policy changes about it: tables of RFC 9111.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{Reason, RequestFacts, StatusTtl, StoreRules, TtlPolicy};
use common::{DATE, GET, Pairs, TEN_DAYS_BEFORE, judged};

#[test]
fn what_must_not_be_stored_is_not() {
    let rules = StoreRules::default();
    let with_auth = RequestFacts {
        authorization: true,
        ..GET
    };
    let with_cookie = RequestFacts {
        unkeyed_cookie: true,
        ..GET
    };
    let no_store = RequestFacts {
        no_store: true,
        ..GET
    };
    let head = RequestFacts {
        cacheable_method: false,
        ..GET
    };
    let table: &[(RequestFacts, u16, Pairs<'_>, Option<Reason>)] = &[
        (
            GET,
            200,
            &[("cache-control", "no-store, max-age=60")],
            Some(Reason::NoStore),
        ),
        (
            GET,
            200,
            &[("cache-control", "private, max-age=60")],
            Some(Reason::Private),
        ),
        (
            GET,
            200,
            &[("cache-control", "max-age=60"), ("vary", "a, *")],
            Some(Reason::VaryStar),
        ),
        (
            GET,
            200,
            &[("cache-control", "public, max-age=60"), ("set-cookie", "a=b")],
            Some(Reason::SetCookie),
        ),
        (
            GET,
            200,
            &[
                ("cache-control", "max-age=60, no-cache=\"set-cookie\""),
                ("set-cookie", "a=b"),
            ],
            None,
        ),
        (
            no_store,
            200,
            &[("cache-control", "max-age=60")],
            Some(Reason::RequestNoStore),
        ),
        (
            head,
            200,
            &[("cache-control", "max-age=60")],
            Some(Reason::Method),
        ),
        (
            with_auth,
            200,
            &[("cache-control", "max-age=60")],
            Some(Reason::Authorization),
        ),
        (with_auth, 200, &[("cache-control", "max-age=60, public")], None),
        (with_auth, 200, &[("cache-control", "s-maxage=60")], None),
        (
            with_auth,
            200,
            &[("cache-control", "max-age=60, must-revalidate")],
            None,
        ),
        (
            with_cookie,
            200,
            &[("cache-control", "max-age=60")],
            Some(Reason::Cookie),
        ),
        (with_cookie, 200, &[("cache-control", "max-age=60, public")], None),
        (with_cookie, 200, &[("cache-control", "s-maxage=60")], None),
        (with_cookie, 200, &[("cdn-cache-control", "max-age=60")], None),
        (
            with_cookie,
            200,
            &[("cache-control", "max-age=60"), ("vary", "Cookie")],
            None,
        ),
        (
            GET,
            206,
            &[("cache-control", "max-age=60")],
            Some(Reason::Partial),
        ),
        (
            GET,
            200,
            // The field means nothing here (RFC 9110 §14.4).
            &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/2")],
            None,
        ),
        (GET, 304, &[("cache-control", "max-age=60")], Some(Reason::Status)),
        (GET, 400, &[("cache-control", "max-age=60")], Some(Reason::Status)),
        (GET, 413, &[("cache-control", "max-age=60")], Some(Reason::Status)),
        (
            GET,
            500,
            &[("last-modified", TEN_DAYS_BEFORE)],
            Some(Reason::Status),
        ),
        (GET, 500, &[("cache-control", "max-age=60")], None),
        (GET, 302, &[("cache-control", "max-age=60")], None),
        (
            GET,
            302,
            &[("last-modified", TEN_DAYS_BEFORE)],
            Some(Reason::Status),
        ),
        (
            GET,
            302,
            &[("last-modified", TEN_DAYS_BEFORE), ("cache-control", "public")],
            None,
        ),
        (
            GET,
            200,
            &[("cache-control", "no-store, must-understand, max-age=60")],
            None,
        ),
        (
            GET,
            299,
            &[("cache-control", "no-store, must-understand, max-age=60")],
            Some(Reason::Status),
        ),
    ];
    for (facts, status, fields, expected) in table {
        assert_eq!(
            judged(*facts, *status, fields, &rules).err(),
            *expected,
            "{status} {facts:?} {fields:?}"
        );
    }
}

#[test]
fn what_tells_of_one_request_is_stored_under_no_policy() {
    let everything = StatusTtl {
        from: 200,
        to: 599,
        ttl_ms: 30_000,
    };
    let mut rules = StoreRules::default();
    rules.ttl.force_ms = Some(30_000);
    rules.ttl.statuses = vec![everything];
    for status in [408, 421, 425, 428, 429, 431, 508, 511] {
        for said in [
            "public, max-age=60",
            "s-maxage=60",
            "must-understand, max-age=60",
            "x",
        ] {
            let got = judged(GET, status, &[("cache-control", said)], &rules);
            assert_eq!(got.err(), Some(Reason::Status), "{status} {said}");
        }
    }
    assert!(judged(GET, 503, &[], &rules).is_ok());
}

#[test]
fn a_policy_fills_the_gaps_and_overrides_only_what_it_may() {
    let secs = |secs: u64| Some(secs * 1_000);
    let ttl = |change: fn(&mut TtlPolicy)| {
        let mut rules = StoreRules::default();
        change(&mut rules.ttl);
        rules
    };
    let default = ttl(|ttl| ttl.default_ms = Some(30_000));
    let force = ttl(|ttl| ttl.force_ms = Some(30_000));
    let min = ttl(|ttl| ttl.min_ms = Some(30_000));
    let max = ttl(|ttl| ttl.max_ms = Some(30_000));
    let statuses = ttl(|ttl| {
        ttl.statuses = vec![
            StatusTtl {
                from: 404,
                to: 404,
                ttl_ms: 0,
            },
            StatusTtl {
                from: 400,
                to: 499,
                ttl_ms: 30_000,
            },
        ];
    });
    let table: &[(&StoreRules, u16, Pairs<'_>, Result<Option<u64>, Reason>)] = &[
        (&default, 200, &[], Ok(secs(30))),
        (&default, 200, &[("cache-control", "max-age=5")], Ok(secs(5))),
        (
            &default,
            200,
            &[("last-modified", TEN_DAYS_BEFORE), DATE],
            Ok(secs(30)),
        ),
        (&default, 500, &[], Err(Reason::Status)),
        (&force, 200, &[("cache-control", "max-age=5")], Ok(secs(30))),
        (
            &force,
            200,
            &[("cache-control", "no-store")],
            Err(Reason::NoStore),
        ),
        (&force, 200, &[("cache-control", "private")], Err(Reason::Private)),
        (
            &force,
            400,
            &[("cache-control", "max-age=5")],
            Err(Reason::Status),
        ),
        (&min, 200, &[("cache-control", "max-age=5")], Ok(secs(30))),
        (&max, 200, &[("cache-control", "max-age=60")], Ok(secs(30))),
        (&statuses, 404, &[], Err(Reason::PolicyZero)),
        (&statuses, 404, &[("cache-control", "max-age=5")], Ok(secs(5))),
        (&statuses, 400, &[], Ok(secs(30))),
        (&statuses, 413, &[("cache-control", "max-age=5")], Ok(secs(5))),
    ];
    for (rules, status, fields, expected) in table {
        let got = judged(GET, *status, fields, rules).map(|lifetime| Some(lifetime.fresh_ms));
        assert_eq!(got, *expected, "{status} {fields:?} {:?}", rules.ttl);
    }
    let forced = judged(GET, 200, &[("cache-control", "no-cache")], &force);
    assert!(forced.is_ok_and(|lifetime| !lifetime.always_validate));
    let at_least = judged(
        GET,
        200,
        &[("cache-control", "no-cache"), ("etag", "\"a\"")],
        &min,
    );
    assert!(at_least.is_ok_and(|lifetime| lifetime.always_validate));
}
