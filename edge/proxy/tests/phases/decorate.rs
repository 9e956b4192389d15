use breakwater_edge_config::{
    Cors, FrameOptions, HeaderEdits, Hsts, OriginPattern, SecurityHeaders, SiteConfig,
};
use breakwater_edge_proxy::Protocol;

use crate::memory::{Answer, Request, World, site, tls_connection};

fn storable() -> Answer {
    Answer::new(
        200,
        &[
            ("cache-control", "max-age=60"),
            ("x-frame-options", "ALLOWALL"),
            ("strict-transport-security", "max-age=1"),
            ("access-control-allow-origin", "https://made.for.another"),
            ("vary", "accept-encoding"),
        ],
        "hello",
    )
}

fn cors(site: &mut SiteConfig) {
    site.cors = Some(Cors {
        allow_origins: vec![
            OriginPattern::Exact("https://a.example".into()),
            OriginPattern::Exact("https://b.example".into()),
        ],
        allow_methods: vec!["GET".into()],
        allow_headers: Vec::new(),
        expose_headers: vec!["x-total".into()],
        allow_credentials: true,
        max_age_secs: 1,
    });
}

#[test]
fn fields_that_browsers_heed_replace_the_origins_on_every_answer() {
    let mut world = World::shop(|site| {
        site.security_headers = SecurityHeaders {
            no_sniff: true,
            frame_options: Some(FrameOptions::Deny),
            referrer_policy: Some("no-referrer".into()),
            ..SecurityHeaders::default()
        };
        site.tls.hsts = Some(Hsts {
            max_age_secs: 63_072_000,
            include_sub_domains: true,
            preload: true,
        });
    });
    for (request, tls) in [
        (Request::get("/"), false),
        (Request::get("/"), true),
        (Request::get("/"), true),
        (Request::new("POST", "shop.example", "/"), true),
    ] {
        if tls {
            world.conn = tls_connection(Protocol::Http1, &["shop.example"]);
        }
        let got = world.exchange(request, &storable());
        assert_eq!(got.field("x-frame-options").as_deref(), Some("DENY"));
        assert_eq!(got.field("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(got.field("referrer-policy").as_deref(), Some("no-referrer"));
        let hsts = tls.then_some("max-age=63072000; includeSubDomains; preload");
        assert_eq!(
            got.field("strict-transport-security").as_deref(),
            hsts,
            "RFC 6797: over TLS only"
        );
    }
    assert_eq!(world.asked.len(), 3, "the second GET over TLS was a hit");
}

#[test]
fn no_visitor_gets_cross_origin_fields_that_were_made_for_another() {
    let mut world = World::shop(cors);
    for (origin, allowed) in [
        (Some("https://a.example"), Some("https://a.example")),
        (Some("https://b.example"), Some("https://b.example")),
        (Some("https://evil.example"), None),
        (None, None),
    ] {
        let request = Request::get("/");
        let request = origin
            .into_iter()
            .fold(request, |request, origin| request.with("origin", origin));
        let got = world.exchange(request, &storable());
        assert_eq!(
            got.field("access-control-allow-origin").as_deref(),
            allowed,
            "{origin:?}"
        );
        assert_eq!(
            got.field("access-control-allow-credentials").is_some(),
            allowed.is_some()
        );
        assert!(got.field("vary").unwrap().contains("Origin"), "{origin:?}");
    }
    assert_eq!(world.asked.len(), 1, "all of them came from one stored answer");
}

#[test]
fn a_change_of_the_configuration_changes_stored_answers_at_once() {
    let edited = |value: &str| {
        let mut config = site("shop", "shop.example");
        config.response_headers = HeaderEdits {
            set: vec![("x-v".into(), value.into())],
            ..HeaderEdits::default()
        };
        config
    };
    let mut world = World::new(edited("1"));
    assert_eq!(
        world
            .exchange(Request::get("/"), &storable())
            .field("x-v")
            .as_deref(),
        Some("1")
    );
    world.serve(edited("2"));
    let hit = world.exchange(Request::get("/"), &storable());
    assert_eq!(hit.field("x-v").as_deref(), Some("2"));
    assert_eq!(
        hit.field("cache-status").as_deref(),
        Some("breakwater; hit; ttl=60")
    );
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn edits_of_answers_apply_in_order_and_to_errors_too() {
    let mut world = World::shop(|site| {
        site.response_headers = HeaderEdits {
            remove: vec!["server".into()],
            set: vec![("x-a".into(), "site".into())],
            add: vec![("x-b".into(), "site".into())],
        };
        site.routes[0].response_headers.set = vec![("x-a".into(), "route".into())];
    });
    let answer = Answer::new(200, &[("server", "x"), ("x-a", "origin"), ("x-b", "origin")], "");
    let got = world.exchange(Request::get("/"), &answer);
    assert_eq!(got.field("server"), None);
    assert_eq!(got.field("x-a").as_deref(), Some("route"));
    assert_eq!(got.field("x-b").as_deref(), Some("origin, site"));
    let error = world.refused(Request::get("/%00"));
    assert_eq!(
        error.field("x-a"),
        None,
        "the head was refused before its site was known"
    );
    let looped = world.refused(Request::get("/").with("cdn-loop", "breakwater"));
    assert_eq!(
        (looped.status, looped.field("x-a").as_deref()),
        (508, Some("route"))
    );
}

#[test]
fn caches_before_us_are_listed_before_us() {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(
        200,
        &[("cache-status", "inner; hit"), ("cache-control", "no-store")],
        "",
    );
    let got = world.exchange(Request::get("/"), &answer);
    assert_eq!(
        got.field("cache-status").as_deref(),
        Some("inner; hit, breakwater; fwd=uri-miss; detail=no-store")
    );
}
