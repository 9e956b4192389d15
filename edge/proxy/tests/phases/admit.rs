use std::time::Duration;

use breakwater_edge_config::{
    ClientAddress, Cors, Hotlink, OriginPattern, PathMatch, PolicyId, RateKey, RateRule, RequestMatch,
};
use breakwater_edge_proxy::Reason;

use crate::memory::{Answer, Request, World, connection, route, site};
use breakwater_edge_proxy::Protocol;

fn rule(name: &str, key: RateKey) -> RateRule {
    RateRule {
        id: PolicyId(format!("RateRule/team/{name}")),
        matches: Vec::new(),
        key,
        requests: 1,
        period_ms: 10_000,
        burst: 1,
        status: 429,
    }
}

fn status(world: &mut World, request: Request) -> u16 {
    world.exchange(request, &Answer::ok()).status
}

#[test]
fn requests_above_the_rate_wait_as_long_as_they_are_told() {
    let mut world = World::shop(|site| site.rates.push(rule("login", RateKey::ClientAddress)));
    assert_eq!(status(&mut world, Request::get("/")), 200);
    assert_eq!(status(&mut world, Request::get("/")), 200);
    let refused = world.refused(Request::get("/"));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.field("retry-after").as_deref(), Some("10"));
    world.conn = connection(Protocol::Http1, "198.51.100.8");
    assert_eq!(
        status(&mut world, Request::get("/")),
        200,
        "another address has its own count"
    );
    world.conn = connection(Protocol::Http1, "198.51.100.7");
    world.wait(Duration::from_secs(9));
    assert_eq!(status(&mut world, Request::get("/")), 429);
    world.wait(Duration::from_secs(1));
    assert_eq!(status(&mut world, Request::get("/")), 200);
}

#[test]
fn an_ipv6_client_is_its_64_and_a_header_or_cookie_counts_by_value() {
    let mut world = World::shop(|site| site.rates.push(rule("r", RateKey::ClientAddress)));
    for (peer, expected) in [
        ("2001:db8::1", 200),
        ("2001:db8::2", 200),
        ("2001:db8::3", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        world.conn = connection(Protocol::Http1, peer);
        assert_eq!(status(&mut world, Request::get("/")), expected, "{peer}");
    }
    for (key, one, other) in [
        (RateKey::Header("x-key".into()), ("x-key", "1"), ("x-key", "2")),
        (
            RateKey::Cookie("sid".into()),
            ("cookie", "sid=1"),
            ("cookie", "sid=2"),
        ),
    ] {
        let mut world = World::shop(|site| site.rates.push(rule("r", key)));
        for expected in [200, 200, 429] {
            assert_eq!(status(&mut world, Request::get("/").with(one.0, one.1)), expected);
        }
        assert_eq!(status(&mut world, Request::get("/").with(other.0, other.1)), 200);
    }
}

#[test]
fn rules_of_sites_and_routes_add_up_and_count_apart() {
    let mut world = World::shop(|site| {
        let mut api = route("api");
        api.matches.path = Some(PathMatch::Prefix("/api".into()));
        api.rates.push(rule("shared-name", RateKey::Site));
        site.routes = vec![api, route("all")];
        let mut posts = rule("shared-name", RateKey::Site);
        posts.matches = vec![RequestMatch {
            methods: vec!["POST".into()],
            ..RequestMatch::default()
        }];
        posts.status = 503;
        site.rates.push(posts);
    });
    let mut other = site("other", "other.example");
    other.rates.push(rule("shared-name", RateKey::Site));
    world.serve(other);
    for expected in [200, 200, 429] {
        assert_eq!(status(&mut world, Request::get("/api")), expected);
    }
    assert_eq!(
        status(&mut world, Request::get("/")),
        200,
        "GETs elsewhere are not counted"
    );
    for expected in [200, 200, 503] {
        assert_eq!(
            status(&mut world, Request::new("POST", "shop.example", "/")),
            expected
        );
    }
    assert_eq!(
        status(&mut world, Request::new("GET", "other.example", "/")),
        200,
        "nor by another tenant"
    );
}

#[test]
fn only_trusted_proxies_name_the_client() {
    let trusting = |header: Option<&str>| {
        World::shop(|site| {
            site.client_address = ClientAddress {
                trusted_proxies: vec![
                    "198.51.100.0/24".parse().unwrap(),
                    "2001:db8::/32".parse().unwrap(),
                ],
                header: header.map(str::to_owned),
            };
        })
    };
    for (peer, forwarded, client) in [
        ("203.0.113.5", "192.0.2.1", "203.0.113.5"),
        ("198.51.100.7", "192.0.2.1", "192.0.2.1"),
        ("198.51.100.7", "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.7", "192.0.2.1, 198.51.100.9", "192.0.2.1"),
        ("198.51.100.7", "192.0.2.1:4711", "192.0.2.1"),
        ("198.51.100.7", "[2001:db9::1]:4711", "2001:db9::1"),
        ("2001:db8::1", "2001:db9::1", "2001:db9::1"),
        ("::ffff:198.51.100.7", "192.0.2.1", "192.0.2.1"),
        ("198.51.100.7", "6.6.6.6, unknown, 198.51.100.9", "198.51.100.9"),
        ("198.51.100.7", "garbage", "198.51.100.7"),
    ] {
        let mut world = trusting(None);
        world.conn = connection(Protocol::Http1, peer);
        let id = world.open(Request::get("/").with("X-Forwarded-For", forwarded));
        assert_eq!(world.record(id).2, client, "{peer} {forwarded}");
    }
    let mut world = trusting(Some("x-client"));
    let id = world.open(
        Request::get("/")
            .with("x-forwarded-for", "6.6.6.6")
            .with("X-Client", "192.0.2.1"),
    );
    assert_eq!(world.record(id).2, "192.0.2.1");
}

#[test]
fn a_trusted_proxy_itself_is_never_limited_by_its_address() {
    let mut world = World::shop(|site| {
        site.client_address.trusted_proxies = vec!["198.51.100.0/24".parse().unwrap()];
        site.rates.push(rule("r", RateKey::ClientAddress));
    });
    for _ in 0..5 {
        assert_eq!(status(&mut world, Request::get("/")), 200);
    }
    for expected in [200, 200, 429] {
        assert_eq!(
            status(&mut world, Request::get("/").with("x-forwarded-for", "192.0.2.1")),
            expected
        );
    }
}

#[test]
fn a_request_that_was_here_before_is_a_loop() {
    let mut world = World::shop(|_| ());
    for (value, expected) in [
        ("other", 200),
        ("other, Breakwater; v=1", 508),
        ("breakwater", 508),
        ("breakwater-not", 200),
    ] {
        assert_eq!(
            status(&mut world, Request::get("/").with("CDN-Loop", value)),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        world.asked[0].field("cdn-loop").as_deref(),
        Some("other, breakwater")
    );
    let stripped = Request::get("/")
        .with("connection", "cdn-loop")
        .with("cdn-loop", "breakwater");
    assert_eq!(
        status(&mut world, stripped),
        508,
        "nominating the field doesn't hide it"
    );
}

#[test]
fn preflights_are_answered_here_and_only_for_trusted_origins() {
    let mut world = World::shop(|site| {
        site.cors = Some(Cors {
            allow_origins: vec![OriginPattern::Exact("https://app.example".into())],
            allow_methods: vec!["GET".into(), "PUT".into()],
            allow_headers: Vec::new(),
            expose_headers: vec!["x-total".into()],
            allow_credentials: true,
            max_age_secs: 600,
        });
    });
    let ask = |origin: &str| {
        Request::new("OPTIONS", "shop.example", "/")
            .with("origin", origin)
            .with("access-control-request-method", "PUT")
            .with("access-control-request-headers", "x-a, x-b")
    };
    let trusted = world.refused(ask("https://app.example"));
    assert_eq!(trusted.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-max-age", "600"),
        (
            "vary",
            "Access-Control-Request-Method, Access-Control-Request-Headers, Origin",
        ),
    ] {
        assert_eq!(trusted.field(name).as_deref(), Some(value), "{name}");
    }
    let foreign = world.refused(ask("https://evil.example"));
    assert_eq!(foreign.status, 204);
    assert!(
        !foreign
            .fields
            .iter()
            .any(|(name, _)| name.starts_with("access-control-")),
        "{foreign:?}"
    );
    assert!(foreign.field("vary").unwrap().contains("Origin"));
    let plain = Request::new("OPTIONS", "shop.example", "/").with("origin", "https://app.example");
    assert_eq!(
        status(&mut world, plain),
        200,
        "an OPTIONS that is no preflight is the origin's"
    );
}

#[test]
fn foreign_pages_get_no_protected_files() {
    let protected = |redirect: Option<&str>| {
        World::shop(|site| {
            site.hotlink = Some(Hotlink {
                allow_referers: Vec::new(),
                allow_empty: false,
                extensions: vec!["jpg".into()],
                redirect: redirect.map(str::to_owned),
            });
        })
    };
    let foreign = || Request::get("/a.jpg").with("referer", "https://evil.example/");
    let mut world = protected(None);
    assert_eq!(world.refused(foreign()).status, 403);
    assert_eq!(world.refused(Request::get("/a.jpg")).status, 403);
    assert_eq!(
        status(
            &mut world,
            Request::get("/a.jpg").with("referer", "https://shop.example/p")
        ),
        200
    );
    let client = world.open(foreign());
    assert_eq!(world.record(client).1, Some(Reason::Hotlink));
    let got = protected(Some("https://shop.example/no.png")).refused(foreign());
    assert_eq!(
        (got.status, got.field("location").as_deref()),
        (302, Some("https://shop.example/no.png"))
    );
}
