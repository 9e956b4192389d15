//! What is stored and stale, or questioned.

use std::time::Duration;

use breakwater_edge_config::{CachePolicy, Ttl};
use breakwater_edge_proxy::{BodyHint, FailureKind, Reason};

use crate::memory::{Answer, Request, World};

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], body)
}

#[test]
fn stale_answers_are_validated_and_live_on() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("hello"));
    world.wait(Duration::from_secs(61));
    let client = world.open(Request::get("/").with("if-none-match", "\"visitor\""));
    assert_eq!(
        world.asked[1].field("if-none-match").as_deref(),
        Some("\"1\""),
        "our validator, not the visitor's"
    );
    world.answer(
        1,
        &Answer::new(
            304,
            &[("cache-control", "max-age=60"), ("etag", "\"1\""), ("x-new", "1")],
            "",
        ),
    );
    let got = world.got(client);
    assert_eq!((got.status, got.body.as_str()), (200, "hello"));
    assert_eq!(got.field("x-new").as_deref(), Some("1"));
    assert_eq!(
        got.field("cache-status").as_deref(),
        Some("breakwater; fwd=stale; fwd-status=304; ttl=60")
    );
    assert_eq!(world.refused(Request::get("/")).body, "hello");
}

#[test]
fn a_304_about_something_else_is_not_believed() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("hello"));
    world.wait(Duration::from_secs(61));
    let client = world.open(Request::get("/"));
    world.answer(1, &Answer::new(304, &[("etag", "\"other\"")], ""));
    assert_eq!(world.asked[2].field("if-none-match"), None);
    world.answer(2, &fresh("new"));
    assert_eq!(world.got(client).body, "new");
}

#[test]
fn a_304_that_varies_by_the_visitors_address_is_not_shared() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("hello"));
    world.wait(Duration::from_secs(61));
    let client = world.open(Request::get("/"));
    let varies = [
        ("etag", "\"1\""),
        ("vary", "x-forwarded-for"),
        ("cache-control", "max-age=60"),
    ];
    world.answer(1, &Answer::new(304, &varies, ""));
    assert_eq!(world.asked[2].field("if-none-match"), None);
    world.answer(2, &Answer::new(200, &varies, "for one"));
    assert_eq!(world.got(client).body, "for one");
    let other = world.exchange(Request::get("/"), &fresh("for all"));
    assert_eq!(other.body, "for all");
}

/// HEAD and Range ask the origin directly, and the origin's failure is told by what is stored all the same.
#[test]
fn a_stale_answer_stands_in_for_a_failed_head_or_range_too() {
    let answer = Answer::new(
        200,
        &[
            ("cache-control", "max-age=10, stale-if-error=60"),
            ("etag", "\"1\""),
        ],
        "old",
    );
    let head = || Request::new("HEAD", "shop.example", "/");
    let range = || Request::get("/").with("range", "bytes=0-1");
    let detail = Some("breakwater; fwd=stale; ttl=-10; detail=origin-failed");
    for (request, status, body, length) in [(head(), 200, "", 3), (range(), 206, "ol", 2)] {
        let mut world = World::shop(|_| ());
        world.exchange(Request::get("/"), &answer);
        world.wait(Duration::from_secs(20));
        let client = world.open(request.clone());
        world.fail(1, FailureKind::Dns);
        let got = world.got(client);
        assert_eq!(
            (got.status, got.body.as_str(), got.length),
            (status, body, Some(length))
        );
        assert_eq!(got.field("cache-status").as_deref(), detail);
        let got = world.exchange(request.clone(), &Answer::new(503, &[], "down"));
        assert_eq!((got.status, got.length), (status, Some(length)));
        let got = world.exchange(request.clone(), &Answer::new(404, &[], "gone"));
        assert_eq!(got.status, 404, "no error of the origin");
        world.wait(Duration::from_mins(1));
        let client = world.open(request);
        world.fail(world.asked.len() - 1, FailureKind::Dns);
        assert_eq!(world.got(client).status, 502, "not beyond its window");
    }
}

#[test]
fn what_is_one_visitors_own_is_validated_by_the_origin() {
    let not_modified = Answer::new(304, &[("etag", "\"1\"")], "");
    let mine = Answer::new(200, &[("cache-control", "private"), ("etag", "\"1\"")], "mine");
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &mine);
    let conditional = || Request::get("/").with("if-none-match", "\"1\"");
    let got = world.exchange(conditional(), &not_modified);
    assert_eq!((got.status, got.body.as_str()), (304, ""));
    assert_eq!(world.asked[1].field("if-none-match").as_deref(), Some("\"1\""));
    let login = Request::get("/other")
        .with("authorization", "Bearer x")
        .with("if-modified-since", "Thu, 28 May 2026 20:26:40 GMT");
    assert_eq!(world.exchange(login, &not_modified).status, 304);
}

#[test]
fn a_stale_answer_is_served_while_one_request_validates_it() {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(
        200,
        &[
            ("cache-control", "max-age=10, stale-while-revalidate=60"),
            ("etag", "\"1\""),
        ],
        "old",
    );
    world.exchange(Request::get("/"), &answer);
    world.wait(Duration::from_secs(20));
    for _ in 0..3 {
        let client = world.open(Request::get("/"));
        assert_eq!(world.got(client).body, "old");
        assert_eq!(
            world.got(client).field("cache-status").as_deref(),
            Some("breakwater; hit; ttl=-10; detail=expired")
        );
    }
    assert_eq!(world.asked.len(), 2, "one validates for all");
    world.answer(
        1,
        &Answer {
            body: "new",
            ..answer
        },
    );
    assert_eq!(world.refused(Request::get("/")).body, "new");
}

/// Or a flood of such requests would be a flood on the origin.
#[test]
fn in_the_background_one_validates_whoever_asks() {
    let answer = Answer::new(
        200,
        &[
            ("cache-control", "public, max-age=10, stale-while-revalidate=600"),
            ("etag", "\"1\""),
        ],
        "old",
    );
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &answer);
    world.wait(Duration::from_secs(20));
    let served = |world: &mut World, name, value| {
        let client = world.open(Request::get("/").with(name, value));
        let body = if name == "range" { "o" } else { "old" };
        assert_eq!(world.got(client).body, body, "{name}");
    };
    served(&mut world, "cache-control", "no-store");
    assert_eq!(world.asked.len(), 1, "what it brings could not be stored");
    for _ in 0..3 {
        served(&mut world, "range", "bytes=0-0");
        served(&mut world, "authorization", "Bearer x");
        served(&mut world, "x", "y");
    }
    assert_eq!(world.asked.len(), 2);
    assert_eq!(world.asked[1].field("range"), None);
    // Not shared: the next ones don't wait for each other, but they don't ask each for themselves either.
    world.answer(1, &Answer::new(200, &[("cache-control", "private")], "mine"));
    for _ in 0..3 {
        served(&mut world, "x", "y");
    }
    assert_eq!(world.asked.len(), 3);
    world.answer(
        2,
        &Answer::new(304, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], ""),
    );
    assert!(
        world
            .refused(Request::get("/"))
            .field("cache-status")
            .unwrap()
            .contains("hit; ttl=60")
    );
}

#[test]
fn a_stale_answer_stands_in_for_an_origin_that_fails() {
    let mut world = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.ttl = Ttl {
            stale_if_error_ms: Some(600_000),
            ..Ttl::default()
        };
        site.cache = Some(policy);
    });
    world.exchange(Request::get("/"), &fresh("old"));
    world.wait(Duration::from_secs(100));
    let client = world.open(Request::get("/"));
    world.fail(1, FailureKind::Timeout);
    assert_eq!(
        (world.got(client).status, world.got(client).body.as_str()),
        (200, "old")
    );
    let client = world.open(Request::get("/"));
    world.answer(2, &Answer::new(503, &[], "down"));
    assert_eq!(
        (world.got(client).status, world.got(client).body.as_str()),
        (200, "old")
    );
    world.wait(Duration::from_secs(700));
    let client = world.open(Request::get("/"));
    world.fail(3, FailureKind::Timeout);
    assert_eq!(world.got(client).status, 504);
}

#[test]
fn unsafe_methods_that_succeed_make_what_is_stored_questionable() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("old"));
    let post = || Request {
        body: BodyHint::Length(1),
        ..Request::new("POST", "shop.example", "/")
    };
    world.exchange(post(), &Answer::new(403, &[], ""));
    assert_eq!(world.refused(Request::get("/")).body, "old", "it failed");
    world.exchange(post(), &Answer::new(303, &[], ""));
    assert_eq!(world.exchange(Request::get("/"), &fresh("new")).body, "new");
    assert_eq!(world.asked[3].field("if-none-match").as_deref(), Some("\"1\""));
}

#[test]
fn a_request_for_a_fresher_answer_is_granted_once_a_second() {
    let mut world = World::shop(|_| ());
    let no_cache = || Request::get("/").with("cache-control", "no-cache");
    world.exchange(Request::get("/"), &fresh("hello"));
    world.refused(no_cache());
    world.wait(Duration::from_secs(2));
    let client = world.open(no_cache());
    assert_eq!(world.asked.len(), 2);
    world.answer(1, &Answer::new(304, &[("etag", "\"1\"")], ""));
    assert!(
        world
            .got(client)
            .field("cache-status")
            .unwrap()
            .starts_with("breakwater; fwd=request; fwd-status=304")
    );
    assert_eq!(world.record(client).1, None::<Reason>);
    world.refused(no_cache());
}

/// Whoever leads the fill decides for nobody else.
#[test]
fn each_visitor_stands_by_its_own_stale_if_error() {
    let answer = Answer::new(200, &[("cache-control", "max-age=10"), ("etag", "\"1\"")], "old");
    let accepting = || Request::get("/").with("cache-control", "stale-if-error=60");
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &answer);
    world.wait(Duration::from_secs(20));
    let strict = world.open(Request::get("/"));
    let accepts = world.open(accepting());
    assert_eq!(world.asked.len(), 2, "they share one fetch");
    world.fail(1, FailureKind::Dns);
    assert_eq!(world.got(strict).status, 502);
    let got = world.got(accepts);
    assert_eq!((got.status, got.body.as_str()), (200, "old"));
    let detail = "breakwater; fwd=stale; ttl=-10; detail=origin-failed";
    assert_eq!(got.field("cache-status").as_deref(), Some(detail));
    let accepts = world.open(accepting());
    world.answer(2, &Answer::new(503, &[], "down"));
    assert_eq!(world.got(accepts).body, "old");
    let strict = world.exchange(Request::get("/"), &Answer::new(503, &[], "down"));
    assert_eq!((strict.status, strict.body.as_str()), (503, "down"));
}

#[test]
fn a_fresh_answer_that_a_request_questions_stands_in_for_an_origin_that_fails() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("hello"));
    world.wait(Duration::from_secs(2));
    let client = world.open(Request::get("/").with("cache-control", "no-cache"));
    world.fail(1, FailureKind::Connect);
    if world.asked.len() > 2 {
        world.fail(2, FailureKind::Connect);
    }
    assert_eq!(world.got(client).body, "hello");
}

/// RFC 9111 §4.3.5.
#[test]
fn what_a_head_is_answered_tells_of_what_is_stored() {
    type Row = (u16, &'static [(&'static str, &'static str)], &'static str);
    let stored = [
        ("cache-control", "max-age=10, stale-if-error=600"),
        ("etag", "\"1\""),
        ("x-old", "1"),
    ];
    // Fields of the answer, and whether what is stored is fresh again, or questioned, or as it was.
    let table: &[Row] = &[
        (200, &[("etag", "\"1\""), ("content-length", "3")], "fresh"),
        (200, &[("etag", "\"1\"")], "fresh"),
        (200, &[("etag", "\"2\""), ("content-length", "3")], "questioned"),
        (200, &[("etag", "\"1\""), ("content-length", "4")], "questioned"),
        (
            200,
            &[("last-modified", "Thu, 28 May 2026 10:00:00 GMT")],
            "questioned",
        ),
        (200, &[("content-length", "3")], "as it was"),
        (200, &[], "as it was"),
        (404, &[("etag", "\"2\"")], "as it was"),
    ];
    for (status, fields, expected) in table {
        let mut world = World::shop(|_| ());
        world.exchange(Request::get("/"), &Answer::new(200, &stored, "old"));
        world.wait(Duration::from_secs(20));
        let mut lines = vec![("cache-control", "max-age=100"), ("x-new", "1")];
        lines.extend_from_slice(fields);
        let head = Request::new("HEAD", "shop.example", "/").with("x-forwarded-host", "evil");
        let client = world.open(head);
        assert_eq!(world.asked[1].line(), "HEAD shop.example /");
        assert_eq!(
            world.asked[1].field("x-forwarded-host").as_deref(),
            Some("shop.example")
        );
        world.head(1, &Answer::new(*status, &lines, ""), BodyHint::None);
        assert_eq!(world.got(client).status, *status);
        if *expected == "fresh" {
            let got = world.refused(Request::get("/"));
            assert_eq!(
                (got.body.as_str(), got.field("x-new").as_deref()),
                ("old", Some("1"))
            );
            assert_eq!(got.field("x-old").as_deref(), Some("1"));
        } else {
            let client = world.open(Request::get("/"));
            world.fail(2, FailureKind::Dns);
            let stands_in = world.got(client).status == 200;
            assert_eq!(stands_in, *expected == "as it was", "{status} {fields:?}");
        }
    }
}

#[test]
fn what_one_visitors_head_is_answered_tells_nothing() {
    for (name, value) in [
        ("authorization", "Basic x"),
        ("cookie", "a=b"),
        ("if-none-match", "\"2\""),
    ] {
        let mut world = World::shop(|_| ());
        world.exchange(Request::get("/"), &fresh("old"));
        world.wait(Duration::from_secs(100));
        let head = Request::new("HEAD", "shop.example", "/").with(name, value);
        world.open(head);
        let answer = [("cache-control", "public, max-age=100"), ("etag", "\"1\"")];
        world.head(1, &Answer::new(200, &answer, ""), BodyHint::None);
        world.open(Request::get("/"));
        assert_eq!(world.asked.len(), 3, "{name}");
    }
}
