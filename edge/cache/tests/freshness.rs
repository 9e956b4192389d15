//! What is stored and for how long: tables of RFC 9111, RFC 9213 and RFC 5861.

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

use breakwater_edge_cache::{
    Lifetime, Now, OriginHead, Reason, RequestFacts, StatusTtl, StoreRules, TtlPolicy, Verdict, judge,
};
use common::{Pairs, at};

const GET: RequestFacts = RequestFacts {
    cacheable_method: true,
    authorization: false,
    unkeyed_cookie: false,
    no_store: false,
};

fn judged(
    facts: RequestFacts,
    status: u16,
    fields: Pairs<'_>,
    rules: &StoreRules,
) -> Result<Lifetime, Reason> {
    let fields = fields.to_vec();
    let head = OriginHead {
        status,
        fields: &fields,
        content_length: None,
        sent: at(0),
        received: at(0),
    };
    match judge(facts, &head, rules) {
        Verdict::Store(lifetime) => Ok(lifetime),
        Verdict::Refuse(reason) => Err(reason),
    }
}

fn fresh_secs(status: u16, fields: Pairs<'_>) -> Result<u64, Reason> {
    judged(GET, status, fields, &StoreRules::default()).map(|lifetime| lifetime.fresh_ms / 1_000)
}

// `at(0)` on the wall.
const DATE: (&str, &str) = ("date", "Thu, 28 May 2026 20:26:40 GMT");
const LATER: &str = "Thu, 28 May 2026 21:26:40 GMT";
const TEN_DAYS_BEFORE: &str = "Mon, 18 May 2026 20:26:40 GMT";

#[test]
fn the_tables_dates_are_what_they_claim() {
    assert_eq!(
        breakwater_edge_cache::parse_http_date(DATE.1.as_bytes()),
        Some(Now::wall_secs(at(0)))
    );
}

#[test]
fn lifetimes_are_read_as_rfc_9111_says() {
    let table: &[(Pairs<'_>, Result<u64, Reason>)] = &[
        (&[("cache-control", "max-age=60")], Ok(60)),
        (&[("Cache-Control", "MAX-AGE=\"60\"")], Ok(60)),
        (&[("cache-control", "max-age=60, s-maxage=10")], Ok(10)),
        (
            &[("cache-control", "max-age=60"), ("expires", LATER), DATE],
            Ok(60),
        ),
        (&[("expires", LATER), DATE], Ok(3_600)),
        (&[("expires", LATER)], Ok(3_600)),
        (&[("cache-control", "max-age=99999999999999999999")], Ok(1 << 31)),
        (&[("cache-control", "max-age=60, max-age=60")], Ok(60)),
        // What can't be read, or contradicts itself, is stale: stored only where it can be validated.
        (
            &[("cache-control", "max-age=60, max-age=70")],
            Err(Reason::NoFreshness),
        ),
        (
            &[("cache-control", "max-age=60, max-age=70"), ("etag", "\"a\"")],
            Ok(0),
        ),
        (&[("cache-control", "max-age=6o")], Err(Reason::NoFreshness)),
        (&[("cache-control", "max-age=-1")], Err(Reason::NoFreshness)),
        (&[("cache-control", "max-age =60")], Err(Reason::NoFreshness)),
        (&[("cache-control", "max-age=60.0")], Err(Reason::NoFreshness)),
        (&[("expires", "0")], Err(Reason::NoFreshness)),
        (&[("expires", LATER), ("expires", "0")], Err(Reason::NoFreshness)),
        (&[("cache-control", "xmax-age=60")], Err(Reason::NoFreshness)),
        (&[("cache-control", "a=\"max-age=60\"")], Err(Reason::NoFreshness)),
        // Heuristics: a tenth of the time since the last change, no more than a day.
        (&[("last-modified", TEN_DAYS_BEFORE), DATE], Ok(86_400)),
        (
            &[("last-modified", "Thu, 28 May 2026 20:10:00 GMT"), DATE],
            Ok(100),
        ),
        (
            &[("last-modified", TEN_DAYS_BEFORE), ("cache-control", "max-age=5")],
            Ok(5),
        ),
        (&[], Err(Reason::NoFreshness)),
    ];
    for (fields, expected) in table {
        assert_eq!(fresh_secs(200, fields), *expected, "{fields:?}");
    }
}

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
            &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/2")],
            Some(Reason::Partial),
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
fn a_targeted_field_stands_for_cache_control_and_expires() {
    let table: &[(Pairs<'_>, Result<u64, Reason>)] = &[
        (
            &[("cdn-cache-control", "max-age=10"), ("cache-control", "no-store")],
            Ok(10),
        ),
        (
            &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=60")],
            Err(Reason::NoStore),
        ),
        (
            &[("cdn-cache-control", "must-revalidate"), ("expires", LATER)],
            Err(Reason::NoFreshness),
        ),
        // Not a dictionary: as if it weren't there.
        (
            &[
                ("cdn-cache-control", "max-age=10, &"),
                ("cache-control", "max-age=60"),
            ],
            Ok(60),
        ),
        (
            &[
                ("cdn-cache-control", "Max-Age=10"),
                ("cache-control", "max-age=60"),
            ],
            Ok(60),
        ),
        (
            &[("cdn-cache-control", ""), ("cache-control", "max-age=60")],
            Ok(60),
        ),
        // Of the wrong type: as if the member weren't there.
        (
            &[
                ("cdn-cache-control", "max-age=\"10\""),
                ("cache-control", "max-age=60"),
            ],
            Err(Reason::NoFreshness),
        ),
        (&[("cdn-cache-control", "max-age=10, max-age=20")], Ok(20)),
        (
            &[
                ("cdn-cache-control", "max-age=10"),
                ("cdn-cache-control", "foo=(1 2);bar"),
            ],
            Ok(10),
        ),
    ];
    for (fields, expected) in table {
        assert_eq!(fresh_secs(200, fields), *expected, "{fields:?}");
    }
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

#[test]
fn stale_use_is_what_was_permitted_and_never_where_it_was_forbidden() {
    let mut rules = StoreRules::default();
    rules.ttl.stale_if_error_ms = Some(9_000);
    rules.ttl.stale_while_revalidate_ms = Some(8_000);
    let table: &[(&str, u64, u64, bool)] = &[
        ("max-age=60", 8_000, 9_000, true),
        (
            "max-age=60, stale-while-revalidate=1, stale-if-error=2",
            1_000,
            2_000,
            true,
        ),
        ("max-age=60, stale-while-revalidate=x", 8_000, 9_000, true),
        ("max-age=60, must-revalidate", 0, 0, false),
        ("max-age=60, proxy-revalidate, stale-if-error=5", 0, 0, false),
        ("s-maxage=60", 0, 0, false),
        ("s-maxage=60, stale-while-revalidate=3", 3_000, 0, false),
    ];
    for (control, revalidate_ms, error_ms, allowed) in table {
        let lifetime = judged(GET, 200, &[("cache-control", control)], &rules);
        let got = lifetime.map(|of| {
            (
                of.stale_while_revalidate_ms,
                of.stale_if_error_ms,
                of.stale_allowed,
            )
        });
        assert_eq!(got, Ok((*revalidate_ms, *error_ms, *allowed)), "{control}");
    }
}

#[test]
fn age_is_the_larger_of_what_the_clocks_and_what_the_caches_before_say() {
    let age = |fields: Pairs<'_>, sent: u64, received: u64| {
        let fields = fields.to_vec();
        let head = OriginHead {
            status: 200,
            fields: &fields,
            content_length: None,
            sent: at(sent),
            received: at(received),
        };
        match judge(GET, &head, &StoreRules::default()) {
            Verdict::Store(lifetime) => lifetime.age_ms(at(received + 10)) / 1_000,
            Verdict::Refuse(reason) => panic!("{reason}"),
        }
    };
    let control = ("cache-control", "max-age=600");
    assert_eq!(age(&[control, DATE], 0, 0), 10);
    assert_eq!(age(&[control, DATE], 0, 3), 13);
    assert_eq!(age(&[control, DATE, ("age", "100")], 0, 3), 113);
    assert_eq!(age(&[control, DATE, ("age", "100, 7")], 0, 0), 110);
    assert_eq!(age(&[control, DATE, ("age", "abc")], 0, 0), 10);
    assert_eq!(
        age(
            &[control, ("date", "Thu, 28 May 2026 20:26:20 GMT"), ("age", "5")],
            0,
            0
        ),
        30
    );
    // The origin's clock is ahead: no age below what passed here.
    assert_eq!(age(&[control, ("date", LATER)], 0, 0), 10);
}
