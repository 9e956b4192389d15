//! What one visitor or tenant does must not show in what another gets.

use breakwater_edge_config::{
    CachePolicy, HeaderMatch, HeaderValueMatch, HostPattern, PathRewrite, Rewrite, RouteAction,
};
use breakwater_edge_proxy::Protocol;

use crate::memory::{Answer, Request, World, origin, route, site, tls_connection};

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60")], body)
}

#[test]
fn two_tenants_never_share_an_entry_and_a_host_that_moves_takes_none_along() {
    let mut world = World::new(site("a", "a.example"));
    world.serve(site("b", "b.example"));
    let get = |host: &str| Request::new("GET", host, "/");
    world.exchange(get("a.example"), &fresh("a"));
    assert_eq!(world.exchange(get("b.example"), &fresh("b")).body, "b");
    let mut taker = site("b", "b.example");
    taker.hosts.push(HostPattern::parse("a.example").unwrap());
    world.serve(taker);
    assert_eq!(world.exchange(get("a.example"), &fresh("b's a")).body, "b's a");
    let mut recreated = site("b", "b.example");
    recreated.uid = "uid-b-again".to_owned();
    world.serve(recreated);
    assert_eq!(world.exchange(get("b.example"), &fresh("new b")).body, "new b");
}

#[test]
fn host_port_scheme_path_and_query_are_in_the_key() {
    let mut world = World::new(site("wild", "*.example.com"));
    let requests = || {
        [
            Request::new("GET", "a.example.com", "/"),
            Request::new("GET", "b.example.com", "/"),
            Request::new("GET", "a.example.com:8080", "/"),
            Request::new("GET", "a.example.com", "/?"),
            Request::new("GET", "a.example.com", "/?x"),
            Request::new("GET", "a.example.com", "/x"),
            Request::new("GET", "a.example.com", "/X"),
            Request::new("GET", "a.example.com", "//x"),
            Request::new("GET", "a.example.com", "/%78"),
        ]
    };
    for request in requests() {
        world.exchange(request, &fresh("x"));
    }
    assert_eq!(world.asked.len(), 9);
    world.conn = tls_connection(Protocol::Http2, &["*.example.com"]);
    world.exchange(Request::new("GET", "a.example.com", "/"), &fresh("tls"));
    assert_eq!(world.asked.len(), 10);
    for same in ["A.EXAMPLE.COM", "a.example.com.", "a.example.com:443"] {
        assert_eq!(
            world.refused(Request::new("GET", same, "/")).body,
            "tls",
            "{same}"
        );
    }
}

#[test]
fn an_unkeyed_field_cannot_steer_what_is_stored() {
    let mut world = World::shop(|_| ());
    let evil = Request::get("/")
        .with("x-forwarded-host", "evil.example")
        .with("x-forwarded-scheme", "http")
        .with("x-original-url", "/admin")
        .with("x-http-method-override", "POST")
        .with("forwarded", "host=evil.example");
    let asked = world.forwarded(evil);
    let sent: Vec<_> = asked
        .plan
        .fields
        .iter()
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert!(
        !sent
            .iter()
            .any(|value| value.contains("evil") || value.contains("admin") || value.contains("POST")),
        "{sent:?}"
    );
    assert_eq!(asked.field("x-forwarded-scheme"), None);
}

#[test]
fn the_host_that_reaches_the_origin_is_the_one_in_the_key() {
    let mut world = World::shop(|_| ());
    let asked = world.forwarded(Request::new("GET", "SHOP.Example.", "/"));
    assert_eq!(asked.line(), "GET shop.example /");
}

#[test]
fn routes_that_ask_different_things_never_share_entries() {
    let mut world = World::shop(|site| {
        site.origins.push(origin("beta"));
        let with = |name: &str| {
            let mut route = route(name);
            route.matches.headers = vec![HeaderMatch {
                name: format!("x-{name}"),
                value: HeaderValueMatch::Present,
            }];
            route
        };
        let mut beta = with("beta");
        beta.action = RouteAction::Forward {
            origin: "beta".into(),
        };
        let mut host = with("host");
        host.rewrite = Some(Rewrite {
            path: None,
            host: Some("in.example".into()),
        });
        let mut edited = with("edited");
        edited.request_headers.set = vec![("x-tenant".into(), "1".into())];
        let mut path = with("path");
        path.rewrite = Some(Rewrite {
            path: Some(PathRewrite::Full("/other".into())),
            host: None,
        });
        let same = with("same");
        site.routes.splice(0..0, [beta, host, edited, path, same]);
    });
    for (name, body) in [
        ("beta", "1"),
        ("host", "2"),
        ("edited", "3"),
        ("path", "4"),
        ("none", "5"),
    ] {
        let request = || Request::get("/").with(&format!("x-{name}"), "");
        assert_eq!(world.exchange(request(), &fresh(body)).body, body, "{name}");
        assert_eq!(world.refused(request()).body, body, "{name}");
    }
    assert_eq!(
        world.refused(Request::get("/").with("x-same", "")).body,
        "5",
        "it asks the same of the same"
    );
}

#[test]
fn a_policy_that_adds_to_the_key_does_not_use_entries_made_without_it() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("old"));
    let mut config = site("shop", "shop.example");
    let mut policy = CachePolicy::rfc();
    policy.key.cookies = vec!["sid".into()];
    config.cache = Some(policy);
    world.serve(config);
    assert_eq!(world.exchange(Request::get("/"), &fresh("new")).body, "new");
}

#[test]
fn what_one_routes_policy_lets_be_stored_is_not_served_under_anothers() {
    let mut world = World::shop(|site| {
        let mut eager = route("eager");
        eager.matches.headers = vec![HeaderMatch {
            name: "x-eager".to_owned(),
            value: HeaderValueMatch::Present,
        }];
        let mut policy = CachePolicy::rfc();
        policy.id.0 = "CachePolicy/team/eager".to_owned();
        policy.ttl.force_ms = Some(60_000);
        eager.cache = Some(policy);
        site.routes.insert(0, eager);
    });
    let answer = |body| Answer::new(200, &[("cache-control", "max-age=0")], body);
    let eager = Request::get("/").with("x-eager", "").with("cookie", "sid=evil");
    world.exchange(eager, &answer("evil"));
    assert_eq!(world.exchange(Request::get("/"), &answer("good")).body, "good");
}

#[test]
fn a_policy_that_changes_its_lifetimes_keeps_what_is_stored() {
    let with = |ttl_ms| {
        let mut config = site("shop", "shop.example");
        let mut policy = CachePolicy::rfc();
        policy.ttl.default_ms = Some(ttl_ms);
        config.cache = Some(policy);
        config
    };
    let mut world = World::new(with(60_000));
    world.exchange(Request::get("/"), &Answer::new(200, &[], "kept"));
    world.serve(with(90_000));
    assert_eq!(world.refused(Request::get("/")).body, "kept");
}

#[test]
fn an_error_of_one_visitors_making_is_not_given_to_others() {
    let mut world = World::shop(|_| ());
    let bad = Request::get("/").with("x-oversized", &"a".repeat(4000));
    for status in [400, 413, 431] {
        world.exchange(bad.clone(), &Answer::new(status, &[], "bad"));
    }
    assert_eq!(world.exchange(Request::get("/"), &fresh("good")).body, "good");
}

#[test]
fn keyed_values_cannot_run_into_each_other() {
    let mut world = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.key.headers = vec!["x-a".into(), "x-b".into()];
        site.cache = Some(policy);
    });
    let requests = [
        Request::get("/").with("x-a", "1"),
        Request::get("/").with("x-b", "1"),
        Request::get("/").with("x-a", "1").with("x-b", ""),
        Request::get("/").with("x-a", "1").with("x-a", "2"),
        Request::get("/").with("x-a", "1, 2"),
    ];
    for request in requests {
        world.exchange(request, &fresh("x"));
    }
    assert_eq!(world.asked.len(), 5);
}

#[test]
fn a_field_that_the_origin_does_not_see_selects_no_entry() {
    let answer = |body| {
        Answer::new(
            200,
            &[("cache-control", "max-age=60"), ("vary", "accept-language")],
            body,
        )
    };
    let mut world = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.key.headers = vec!["x-tenant".into()];
        site.cache = Some(policy);
    });
    for name in ["accept-language", "x-tenant"] {
        let hidden = || {
            Request::get("/")
                .with(name, "1")
                .with("connection", &format!("keep-alive, {name}"))
        };
        let got = world.exchange(hidden(), &answer("without"));
        assert_eq!(
            got.field("cache-status").as_deref(),
            Some("breakwater; fwd=bypass; detail=bypass")
        );
        let seen = world.exchange(Request::get("/").with(name, "1"), &answer("with"));
        assert_eq!(seen.body, "with");
    }
    let harmless = Request::get("/plain")
        .with("connection", "upgrade, te, http2-settings, x-absent")
        .with("te", "trailers")
        .with("upgrade", "h2c")
        .with("http2-settings", "x");
    assert_eq!(
        world
            .exchange(harmless, &answer("x"))
            .field("cache-status")
            .as_deref(),
        Some("breakwater; fwd=uri-miss; stored")
    );
}
