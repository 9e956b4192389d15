use breakwater_edge_config::Endpoints;
use breakwater_edge_proxy::{BodyHint, FailureKind, OriginFailure, Protocol, Reason};

use crate::memory::{Answer, Request, World, connection, lines};

fn post() -> Request {
    Request {
        body: BodyHint::Length(3),
        ..Request::new("POST", "shop.example", "/")
    }
}

#[test]
fn answers_pass_without_what_belongs_to_the_origins_connection() {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(
        201,
        &[
            ("Connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("Keep-Alive", "5"),
            ("content-length", "2"),
            ("X-A", "1"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ],
        "ok",
    );
    let got = world.exchange(post(), &answer);
    assert_eq!((got.status, got.body.as_str(), got.length), (201, "ok", Some(2)));
    let names: Vec<_> = got.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "x-a", "set-cookie", "set-cookie", "cache-status"]);
    assert_eq!(
        got.field("cache-status").as_deref(),
        Some("breakwater; fwd=method")
    );
}

#[test]
fn failures_are_told_by_their_own_status_and_reason() {
    for (kind, status, reason) in [
        (FailureKind::Unavailable, 503, Reason::OriginUnavailable),
        (FailureKind::Overloaded, 503, Reason::OriginOverloaded),
        (FailureKind::NoHealthyEndpoint, 503, Reason::NoHealthyEndpoint),
        (FailureKind::Dns, 502, Reason::OriginDns),
        (FailureKind::Forbidden, 502, Reason::OriginForbidden),
        (FailureKind::Timeout, 504, Reason::OriginTimeout),
        (FailureKind::Protocol, 502, Reason::OriginProtocol),
    ] {
        for request in [post(), Request::get("/")] {
            let mut world = World::shop(|site| site.debug_headers = true);
            let client = world.open(request);
            world.fail(0, kind);
            let got = world.got(client);
            assert_eq!(got.status, status, "{kind:?}");
            assert_eq!(got.field("breakwater-reason").as_deref(), Some(reason.as_str()));
            assert_eq!(world.record(client).1, Some(reason), "{kind:?}");
        }
    }
}

#[test]
fn only_idempotent_requests_without_any_effect_seen_are_tried_again_and_not_for_ever() {
    let clean = OriginFailure {
        kind: FailureKind::Reset,
        answer_began: false,
        body_consumed: false,
        reused_connection: false,
    };
    let put = || Request {
        body: BodyHint::Length(3),
        ..Request::new("PUT", "shop.example", "/")
    };
    for (label, request, failure, attempts) in [
        ("GET", Request::get("/"), clean, 2),
        ("PUT", put(), clean, 2),
        ("POST", post(), clean, 1),
        (
            "answer began",
            put(),
            OriginFailure {
                answer_began: true,
                ..clean
            },
            1,
        ),
        (
            "body consumed",
            put(),
            OriginFailure {
                body_consumed: true,
                ..clean
            },
            1,
        ),
        (
            "closed while idle",
            Request::get("/"),
            OriginFailure {
                reused_connection: true,
                ..clean
            },
            3,
        ),
        (
            "POST, closed while idle",
            post(),
            OriginFailure {
                reused_connection: true,
                ..clean
            },
            1,
        ),
        (
            "timeout",
            Request::get("/"),
            OriginFailure {
                kind: FailureKind::Timeout,
                ..clean
            },
            1,
        ),
    ] {
        let mut world = World::shop(|_| ());
        let client = world.open(request);
        let mut asked = 0;
        while asked < world.asked.len() {
            world.fail_with(asked, failure);
            asked += 1;
        }
        assert_eq!(asked, attempts, "{label}");
        assert!(world.got(client).status >= 500, "{label}");
    }
}

#[test]
fn a_second_attempt_that_succeeds_is_the_answer() {
    for request in [Request::get("/"), Request::new("PUT", "shop.example", "/")] {
        let mut world = World::shop(|_| ());
        let client = world.open(request);
        world.fail(0, FailureKind::Connect);
        world.answer(1, &Answer::ok());
        assert_eq!(world.got(client).body, "hello");
    }
}

#[test]
fn an_origin_that_does_not_exist_here_is_not_asked() {
    let mut world = World::shop(|site| {
        site.origins[0].endpoints = Endpoints::Unavailable {
            reason: "ServiceNotInRegion".into(),
        };
    });
    for request in [post(), Request::get("/")] {
        assert_eq!(world.refused(request).status, 503);
    }
}

#[test]
fn interim_answers_pass_to_one_visitor_but_100_ends_here() {
    use breakwater_edge_proxy::{Fields, OriginHead, RequestHead, Scratch};
    let world = World::shop(|_| ());
    let fields = lines(&[("link", "</a.css>"), ("connection", "x"), ("x", "1")]);
    let pass = |status, http10| {
        let mut scratch = Scratch::default();
        let index = Fields::from_lines(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))).unwrap();
        let interim = OriginHead {
            status,
            fields: index,
            body: BodyHint::None,
        };
        let request = RequestHead {
            method: b"GET",
            http10,
            ..RequestHead::default()
        };
        let passes = world.worker.on_interim(&request, &interim, &mut scratch);
        passes.then(|| scratch.response.fields.iter().count())
    };
    assert_eq!(pass(103, false), Some(1));
    assert_eq!(pass(100, false), None);
    assert_eq!(pass(101, false), None);
    assert_eq!(pass(103, true), None);
}

#[test]
fn a_head_answers_with_the_length_of_the_body_it_leaves_out() {
    let told = [
        (vec![("content-length", "5")], Some(5)),
        (vec![("content-length", "5"), ("content-length", "5")], Some(5)),
        (vec![("content-length", "5"), ("content-length", "6")], None),
        (vec![("content-length", "+5")], None),
        (vec![], None),
    ];
    for (fields, length) in told {
        let mut world = World::shop(|_| ());
        world.conn = connection(Protocol::Http2, "198.51.100.7");
        let client = world.open(Request::new("HEAD", "shop.example", "/"));
        world.head(0, &Answer::new(200, &fields, ""), BodyHint::None);
        assert_eq!(world.got(client).length, length, "{fields:?}");
        assert_eq!(world.got(client).field("content-length"), None);
    }
}
