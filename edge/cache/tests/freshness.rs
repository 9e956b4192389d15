//! For how long an answer is fresh, and how stale it may be used: tables of RFC 9111, RFC 9213 and RFC 5861.

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

use breakwater_edge_cache::{Now, OriginHead, Reason, StoreRules, Verdict, judge};
use common::{DATE, GET, LATER, Pairs, TEN_DAYS_BEFORE, at, judged};

fn fresh_secs(status: u16, fields: Pairs<'_>) -> Result<u64, Reason> {
    judged(GET, status, fields, &StoreRules::default()).map(|lifetime| lifetime.fresh_ms / 1_000)
}

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
