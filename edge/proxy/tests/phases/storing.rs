use std::time::Duration;

use breakwater_edge_config::{CachePolicy, PathMatch, QueryKey, RequestMatch};
use breakwater_edge_proxy::{BodyHint, FailureKind};

use crate::memory::{Answer, Ended, Request, World, lines, route};

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], body)
}

fn cache_status(world: &mut World, request: Request, answer: &Answer) -> String {
    world.exchange(request, answer).field("cache-status").unwrap()
}

#[test]
fn a_miss_is_stored_and_the_next_is_a_hit_with_its_age() {
    let mut world = World::shop(|_| ());
    let miss = world.exchange(Request::get("/a?b"), &fresh("hello"));
    assert_eq!(
        miss.field("cache-status").as_deref(),
        Some("breakwater; fwd=uri-miss; stored")
    );
    assert_eq!((miss.body.as_str(), miss.length), ("hello", Some(5)));
    world.wait(Duration::from_secs(7));
    let hit = world.refused(Request::get("/a?b"));
    assert_eq!(
        hit.field("cache-status").as_deref(),
        Some("breakwater; hit; ttl=53")
    );
    assert_eq!(hit.field("age").as_deref(), Some("7"));
    assert_eq!((hit.body.as_str(), hit.length), ("hello", Some(5)));
    let head = world.refused(Request::new("HEAD", "shop.example", "/a?b"));
    assert_eq!((head.status, head.body.as_str(), head.length), (200, "", Some(5)));
}

#[test]
fn a_visitors_condition_is_answered_from_what_is_stored() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("hello"));
    let got = world.refused(Request::get("/").with("if-none-match", "W/\"1\""));
    assert_eq!((got.status, got.body.as_str(), got.length), (304, "", None));
    assert_eq!(got.field("etag").as_deref(), Some("\"1\""));
    assert!(got.field("cache-status").unwrap().starts_with("breakwater; hit"));
    let other = world.refused(Request::get("/").with("if-none-match", "\"2\""));
    assert_eq!((other.status, other.body.as_str()), (200, "hello"));
}

#[test]
fn a_range_of_what_is_stored_gets_its_part_and_of_what_is_not_passes() {
    let mut world = World::shop(|_| ());
    let range = || Request::get("/").with("range", "bytes=0-1");
    let part = Answer::new(
        206,
        &[("content-range", "bytes 0-1/5"), ("cache-control", "max-age=60")],
        "he",
    );
    let got = world.exchange(range(), &part);
    assert_eq!((got.status, got.body.as_str()), (206, "he"));
    assert!(!world.asked[0].is_fill());
    assert_eq!(world.asked[0].field("range").as_deref(), Some("bytes=0-1"));
    world.exchange(Request::get("/"), &fresh("hello"));
    assert_eq!(world.asked.len(), 2, "the part was not stored");
    let got = world.refused(range());
    assert_eq!((got.status, got.body.as_str()), (206, "he"));
}

#[test]
fn only_if_cached_never_reaches_the_origin() {
    let mut world = World::shop(|_| ());
    let ask = || Request::get("/").with("cache-control", "only-if-cached");
    let got = world.refused(ask());
    assert_eq!((got.status, got.field("cache-status")), (504, None));
    world.exchange(Request::get("/"), &fresh("hello"));
    assert_eq!(world.refused(ask()).body, "hello");
    for (target, name, value) in [("/a%2fb", "x", "y"), ("/", "if-match", "\"1\"")] {
        let unusable = Request::get(target)
            .with("cache-control", "only-if-cached")
            .with(name, value);
        assert_eq!(world.refused(unusable).status, 504, "{target} {name}");
    }
}

#[test]
fn what_is_for_one_visitor_is_not_stored() {
    let with = |name: &str, value: &str| Request::get("/").with(name, value);
    let answer = |fields: &[(&str, &str)]| Answer::new(200, fields, "x");
    let max_age = ("cache-control", "max-age=60");
    for (label, request, answer, stored) in [
        ("plain", Request::get("/"), answer(&[max_age]), true),
        (
            "Authorization",
            with("authorization", "x"),
            answer(&[max_age]),
            false,
        ),
        (
            "Authorization, public",
            with("authorization", "x"),
            answer(&[("cache-control", "public, max-age=60")]),
            true,
        ),
        (
            "Set-Cookie",
            Request::get("/"),
            answer(&[max_age, ("set-cookie", "a=b")]),
            false,
        ),
        ("Cookie", with("cookie", "a=b"), answer(&[max_age]), false),
        (
            "Cookie, public",
            with("cookie", "a=b"),
            answer(&[("cache-control", "public, max-age=60")]),
            true,
        ),
        (
            "Cookie, s-maxage",
            with("cookie", "a=b"),
            answer(&[("cache-control", "s-maxage=60")]),
            true,
        ),
        (
            "private",
            Request::get("/"),
            answer(&[("cache-control", "private, max-age=60")]),
            false,
        ),
        (
            "no-store",
            Request::get("/"),
            answer(&[("cache-control", "no-store")]),
            false,
        ),
        (
            "request no-store",
            with("cache-control", "no-store"),
            answer(&[max_age]),
            false,
        ),
        (
            "Vary: *",
            Request::get("/"),
            answer(&[max_age, ("vary", "*")]),
            false,
        ),
        (
            "Vary: X-Forwarded-For",
            Request::get("/"),
            answer(&[max_age, ("vary", "a, X-Forwarded-For")]),
            false,
        ),
        (
            "400",
            Request::get("/"),
            Answer {
                status: 400,
                ..answer(&[max_age])
            },
            false,
        ),
    ] {
        let mut world = World::shop(|_| ());
        let got = world.exchange(request, &answer);
        assert_eq!(got.body, "x", "{label}");
        world.exchange(Request::get("/"), &answer);
        assert_eq!(
            world.asked.len() == 1,
            stored,
            "{label}: {:?}",
            got.field("cache-status")
        );
    }
}

#[test]
fn paths_that_origins_read_differently_are_stored_only_where_they_are_opaque() {
    for opaque in [false, true] {
        let mut world = World::shop(|site| site.routes[0].opaque_paths = opaque);
        let first = cache_status(&mut world, Request::get("/a%2fb"), &fresh("x"));
        let second = cache_status(&mut world, Request::get("/a%2fb"), &fresh("x"));
        let expected = if opaque {
            ("breakwater; fwd=uri-miss; stored", "breakwater; hit; ttl=60")
        } else {
            (
                "breakwater; fwd=bypass; detail=ambiguous-path",
                "breakwater; fwd=bypass; detail=ambiguous-path",
            )
        };
        assert_eq!((first.as_str(), second.as_str()), expected);
    }
}

#[test]
fn a_policy_says_what_bypasses_and_what_is_in_the_key() {
    let mut world = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.bypass = vec![RequestMatch {
            path: Some(PathMatch::Prefix("/api".into())),
            ..RequestMatch::default()
        }];
        policy.key.query = QueryKey::Deny(vec!["utm".into()]);
        policy.key.sort_query = true;
        policy.key.cookies = vec!["lang".into()];
        site.cache = Some(policy);
    });
    assert_eq!(
        cache_status(&mut world, Request::get("/api/x"), &fresh("x")),
        "breakwater; fwd=bypass; detail=bypass"
    );
    world.exchange(Request::get("/?b=1&a=2&utm=x"), &fresh("x"));
    assert_eq!(
        world.asked[1].line(),
        "GET shop.example /?a=2&b=1",
        "the origin is asked what is in the key"
    );
    world.refused(Request::get("/?a=2&utm=y&b=1"));
    let lang = |lang: &str| Request::get("/?a=2&b=1").with("cookie", lang);
    world.exchange(lang("lang=de"), &fresh("de"));
    assert_eq!(world.refused(lang("lang=de")).body, "de");
    assert_eq!(world.exchange(lang("lang=en"), &fresh("en")).body, "en");
    assert_eq!(
        world.exchange(lang("lang=de; lang=en"), &fresh("both")).body,
        "both"
    );
}

#[test]
fn a_route_has_its_own_policy_as_a_whole() {
    let mut world = World::shop(|site| {
        let mut api = route("api");
        api.matches.path = Some(PathMatch::Prefix("/api".into()));
        api.cache = Some(CachePolicy {
            enabled: false,
            ..CachePolicy::rfc()
        });
        site.routes.insert(0, api);
        let mut policy = CachePolicy::rfc();
        policy.ttl.default_ms = Some(5_000);
        site.cache = Some(policy);
    });
    let silent = Answer::new(200, &[], "x");
    assert_eq!(
        cache_status(&mut world, Request::get("/api"), &silent),
        "breakwater; fwd=bypass; detail=bypass"
    );
    assert_eq!(
        cache_status(&mut world, Request::get("/"), &silent),
        "breakwater; fwd=uri-miss; stored"
    );
    assert_eq!(
        cache_status(&mut world, Request::get("/"), &silent),
        "breakwater; hit; ttl=5"
    );
}

#[test]
fn a_truncated_body_is_neither_stored_nor_ended_cleanly() {
    let mut world = World::shop(|_| ());
    let client = world.open(Request::get("/"));
    world.head(0, &fresh("hello"), BodyHint::Length(5));
    world.body(0, "hel");
    world.fail(0, FailureKind::Reset);
    assert_eq!(
        (world.got(client).body.as_str(), world.got(client).ended),
        ("hel", Some(Ended::Aborted))
    );
    let short = world.open(Request::get("/"));
    world.head(1, &fresh("hello"), BodyHint::Length(5));
    world.body(1, "hel");
    assert_eq!(world.end(1, &lines(&[])), None);
    assert_eq!(world.got(short).ended, Some(Ended::Aborted));
    assert_eq!(world.exchange(Request::get("/"), &fresh("hello")).body, "hello");
}

#[test]
fn trailers_pass_and_are_not_stored() {
    let mut world = World::shop(|_| ());
    let client = world.open(Request::get("/"));
    world.head(0, &fresh("hello"), BodyHint::Streamed);
    world.body(0, "hello");
    world.end(0, &lines(&[("x-checksum", "1"), ("content-length", "9")]));
    assert_eq!(world.got(client).trailers, lines(&[("x-checksum", "1")]));
    assert!(world.refused(Request::get("/")).trailers.is_empty());
}
