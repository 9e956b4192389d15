//! Answers that are kept by the request's body.

use breakwater_edge_config::{BodyMethods, CachePolicy, OriginProtocol, SiteConfig};
use breakwater_edge_proxy::{BodyHint, BodyMode, FailureKind};

use crate::memory::{Answer, Ended, Request, World};

fn by_body(change: impl FnOnce(&mut CachePolicy)) -> impl FnOnce(&mut SiteConfig) {
    |site| {
        let mut policy = CachePolicy::rfc();
        policy.body_methods = Some(BodyMethods {
            methods: vec!["POST".to_owned(), "QUERY".to_owned()],
            max_body_bytes: 100,
            graphql: false,
        });
        change(&mut policy);
        site.cache = Some(policy);
    }
}

fn graphql(policy: &mut CachePolicy) {
    if let Some(methods) = &mut policy.body_methods {
        methods.graphql = true;
    }
}

fn ask(method: &'static str, body: &str) -> Request {
    Request::new(method, "shop.example", "/search").carrying(body)
}

fn post(body: &str) -> Request {
    ask("POST", body)
}

fn json(body: &str) -> Request {
    post(body).with("content-type", "application/json")
}

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60")], body)
}

fn whole(body: &'static str) -> BodyMode {
    BodyMode::Whole(body.into())
}

#[test]
fn equal_bodies_get_the_stored_answer_and_others_their_own() {
    for method in ["POST", "QUERY"] {
        let mut world = World::shop(by_body(|_| ()));
        world.exchange(ask(method, "q=1"), &fresh("one"));
        let asked = &world.asked[0];
        assert_eq!(asked.line(), format!("{method} shop.example /search"));
        assert_eq!(asked.plan.body, whole("q=1"));
        assert_eq!(world.refused(ask(method, "q=1")).body, "one");
        assert_eq!(world.exchange(ask(method, "q=2"), &fresh("two")).body, "two");
        assert_eq!(world.exchange(ask(method, ""), &fresh("none")).body, "none");
        assert_eq!(world.refused(ask(method, "q=2")).body, "two");
    }
}

#[test]
fn get_post_and_query_have_answers_of_their_own() {
    let mut world = World::shop(by_body(|_| ()));
    for (method, body) in [("POST", "post"), ("QUERY", "query")] {
        assert_eq!(world.exchange(ask(method, ""), &fresh(body)).body, body);
    }
    assert_eq!(world.exchange(Request::get("/search"), &fresh("get")).body, "get");
    assert_eq!(world.refused(Request::get("/search")).body, "get");
    assert_eq!(world.refused(post("")).body, "post");
}

/// What a body means is in the key with it, and all lines of it: an origin may take the last.
#[test]
fn the_same_bytes_of_another_type_are_another_request() {
    let mut world = World::shop(by_body(|_| ()));
    let types: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "text/plain")],
        &[("content-type", "application/json")],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "text/plain"), ("content-encoding", "gzip")],
        &[("content-type", "text/plain"), ("content-language", "de")],
    ];
    for (at, fields) in types.iter().enumerate() {
        let request = fields
            .iter()
            .fold(post("x"), |request, (name, value)| request.with(name, value));
        world.exchange(request, &fresh("x"));
        assert_eq!(world.asked.len(), at + 1, "{fields:?}");
        for (name, value) in *fields {
            assert!(world.asked[at].field(name).unwrap().contains(value));
        }
    }
}

#[test]
fn nothing_but_a_lifetime_lets_an_answer_be_stored() {
    let answers: [(&[(&str, &str)], bool); 7] = [
        (&[], false),
        (&[("last-modified", "Fri, 01 Jan 2010 00:00:00 GMT")], false),
        (&[("etag", "\"a\"")], false),
        (&[("etag", "\"a\""), ("cache-control", "no-cache")], false),
        (&[("etag", "\"a\""), ("cache-control", "max-age=0")], false),
        (&[("cache-control", "s-maxage=9")], true),
        (&[("cdn-cache-control", "max-age=9")], true),
    ];
    for (fields, stored) in answers {
        let mut world = World::shop(by_body(|_| ()));
        world.exchange(post("x"), &Answer::new(200, fields, "x"));
        world.exchange(post("x"), &Answer::new(200, fields, "x"));
        assert_eq!(world.asked.len() == 1, stored, "{fields:?}");
    }
    let mut world = World::shop(by_body(|policy| policy.ttl.default_ms = Some(9_000)));
    world.exchange(post("x"), &Answer::new(200, &[], "x"));
    assert_eq!(
        world.refused(post("x")).field("cache-status").as_deref(),
        Some("breakwater; hit; ttl=9")
    );
}

/// A condition on a request that isn't for a representation is the origin's to judge; a stale answer is fetched anew.
#[test]
fn stale_answers_are_asked_for_without_a_condition() {
    let mut world = World::shop(by_body(|_| ()));
    let answer = Answer::new(200, &[("cache-control", "max-age=1"), ("etag", "\"a\"")], "x");
    world.exchange(post("x"), &answer);
    world.now.mono_ns += 5_000_000_000;
    assert_eq!(world.exchange(post("x"), &fresh("y")).body, "y");
    assert_eq!(world.asked[1].field("if-none-match"), None);
    assert_eq!(world.asked[1].plan.body, whole("x"));
    for (name, value) in [
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Fri, 01 Jan 2010 00:00:00 GMT"),
        ("range", "bytes=0-1"),
    ] {
        let asked = world.forwarded(post("x").with(name, value));
        assert_eq!(asked.field(name).as_deref(), Some(value));
        assert_eq!(asked.plan.body, BodyMode::Stream { length: Some(1) });
    }
}

#[test]
fn requests_for_the_same_answer_wait_for_one() {
    let mut world = World::shop(by_body(|_| ()));
    let clients: Vec<_> = ["x", "x", "y"].map(|body| world.open(post(body))).into();
    assert_eq!(world.asked.len(), 2);
    world.answer(0, &fresh("of x"));
    world.answer(1, &fresh("of y"));
    let bodies: Vec<_> = clients
        .iter()
        .map(|client| world.got(*client).body.clone())
        .collect();
    assert_eq!(bodies, ["of x", "of x", "of y"]);
}

#[test]
fn larger_bodies_pass_as_they_come() {
    let large = "x".repeat(101);
    for body in [BodyHint::Length(101), BodyHint::Streamed] {
        let mut world = World::shop(by_body(|_| ()));
        let request = || Request { body, ..post(&large) };
        for _ in 0..2 {
            let before = world.asked.len();
            let got = world.exchange(request(), &fresh("x"));
            assert_eq!(
                got.field("cache-status").as_deref(),
                Some("breakwater; fwd=bypass; detail=body-too-large")
            );
            let length = match body {
                BodyHint::Length(length) => Some(length),
                _ => None,
            };
            assert_eq!(world.asked[before].plan.body, BodyMode::Stream { length });
        }
    }
}

/// The cache of these tests has 8 MiB, of which bodies may take 256 KiB.
#[test]
fn bodies_that_there_is_no_memory_for_pass() {
    let mut world = World::shop(by_body(|policy| {
        if let Some(methods) = &mut policy.body_methods {
            methods.max_body_bytes = 100 << 10;
        }
    }));
    let large = "x".repeat(90 << 10);
    let bodies: Vec<_> = ["1", "2", "3"].map(|end| format!("{large}{end}")).into();
    let clients: Vec<_> = bodies.iter().map(|body| world.open(post(body))).collect();
    assert_eq!(
        world.asked[1].plan.body,
        BodyMode::Whole(bodies[1].clone().into())
    );
    assert_eq!(
        world.asked[2].plan.body,
        BodyMode::Stream {
            length: Some(90 * 1_024 + 1)
        }
    );
    // What is answered gives its memory back.
    world.answer(0, &fresh("x"));
    for client in clients {
        world.release(client);
    }
    world.asked.clear();
    assert_eq!(world.exchange(post(&bodies[2]), &fresh("z")).body, "z");
    assert_eq!(world.refused(post(&bodies[2])).body, "z");
}

#[test]
fn a_body_that_breaks_off_asks_nobody() {
    let mut world = World::shop(by_body(|_| ()));
    let client = world.open(Request {
        breaks: Some(FailureKind::ClientTimeout),
        ..post("x")
    });
    assert_eq!((world.got(client).status, world.asked.len()), (408, 0));
    assert!(matches!(
        world.got(client).ended,
        Some(Ended::Whole | Ended::WholeThenClose)
    ));
}

#[test]
fn other_methods_and_bypassed_requests_pass_unread() {
    let mut world = World::shop(by_body(|policy| {
        policy.body_methods.as_mut().unwrap().methods = vec!["QUERY".to_owned()];
    }));
    for request in [post("x"), ask("PUT", "x"), ask("post", "x")] {
        assert_eq!(
            world.forwarded(request).plan.body,
            BodyMode::Stream { length: Some(1) }
        );
    }
}

#[test]
fn what_is_cached_leaves_stored_answers_as_they_are_and_what_passes_does_not() {
    let mut world = World::shop(by_body(graphql));
    let page = Answer::new(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], "page");
    world.exchange(Request::get("/search"), &page);
    world.exchange(json(r#"{"query":"{a}"}"#), &fresh("a"));
    world.exchange(ask("QUERY", "x"), &fresh("a"));
    world.refused(Request::get("/search"));
    world.exchange(json(r#"{"query":"mutation{a}"}"#), &fresh("done"));
    assert_eq!(
        world
            .exchange(Request::get("/search"), &page)
            .field("cache-status")
            .as_deref(),
        Some("breakwater; fwd=stale; stored")
    );
}

#[test]
fn graphql_queries_are_cached_and_what_does_something_passes() {
    let mut world = World::shop(by_body(graphql));
    world.exchange(json(r#"{"query":"{a}"}"#), &fresh("a"));
    assert_eq!(world.refused(json(r#"{"query":"{a}"}"#)).body, "a");
    let charset = post(r#"{"query":"{a}"}"#).with("content-type", "Application/JSON; charset=UTF-8");
    world.exchange(charset.clone(), &fresh("a"));
    world.refused(charset);
    let query = r#"{"query":"{a}"}"#;
    for request in [
        json(r#"{"query":"mutation{a}"}"#),
        json(r#"{"query":"subscription{a}"}"#),
        json(r#"[{"query":"{a}"},{"query":"mutation{a}"}]"#),
        json(r#"{"extensions":{"persistedQuery":{"sha256Hash":"a"}}}"#),
        json("{"),
        json(""),
        post(query),
        post(query).with("content-type", "text/plain"),
        post(query).with("content-type", "application/json; charset=utf-7"),
        json(query).with("content-encoding", "gzip"),
        Request {
            target: "/search?query=mutation{a}".to_owned(),
            ..json(query)
        },
    ] {
        for _ in 0..2 {
            let before = world.asked.len();
            let got = world.exchange(request.clone(), &fresh("x"));
            assert_eq!(
                got.field("cache-status").as_deref(),
                Some("breakwater; fwd=method; detail=not-a-query"),
                "{request:?}"
            );
            assert_eq!(
                world.asked[before].plan.body,
                BodyMode::Whole(request.content.clone().into())
            );
            assert!(!world.asked[before].plan.repeatable);
        }
    }
}

#[test]
fn graphql_by_get_is_cached_unless_it_does_something() {
    let mut world = World::shop(by_body(graphql));
    for target in [
        "/search?query=%7Ba%7D",
        "/search?extensions=%7B%7D&variables=1",
        "/search",
    ] {
        world.exchange(Request::get(target), &fresh("a"));
        world.refused(Request::get(target));
    }
    let mutation = || Request::get("/search?query=mutation%7Ba%7D");
    for _ in 0..2 {
        let got = world.exchange(mutation(), &fresh("done"));
        assert_eq!(
            got.field("cache-status").as_deref(),
            Some("breakwater; fwd=bypass; detail=not-a-query")
        );
    }
    let mut plain = World::shop(by_body(|_| ()));
    plain.exchange(mutation(), &fresh("a"));
    plain.refused(mutation());
}

#[test]
fn a_query_is_sent_again_when_its_connection_fails() {
    let mut world = World::shop(by_body(|_| ()));
    let client = world.open(post("x"));
    world.fail(0, FailureKind::Connect);
    assert_eq!(world.asked[1].plan.body, whole("x"));
    world.answer(1, &fresh("a"));
    assert_eq!(world.got(client).body, "a");
    let mut plain = World::shop(|site| site.origins[0].protocol = OriginProtocol::Http1);
    let client = plain.open(post("x"));
    plain.fail(0, FailureKind::Connect);
    assert_eq!(plain.got(client).status, 502);
}
