//! Published classes of cache poisoning and deception, as far as the phases see them: what one visitor sends
//! must not change what another gets, and what is for one visitor must not be stored for all.

use breakwater_edge_config::{CachePolicy, ClientAddress, QueryKey, SiteConfig};
use breakwater_edge_proxy::{BodyHint, BodyMode, Protocol};

use crate::memory::{Answer, Request, World, connection, tls_connection};

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60")], body)
}

fn policy(site: &mut SiteConfig, change: impl FnOnce(&mut CachePolicy)) {
    let mut policy = CachePolicy::rfc();
    change(&mut policy);
    site.cache = Some(policy);
}

/// Everything that an origin could make its answer from, in one line.
fn question(world: &mut World, request: Request) -> String {
    let asked = world.forwarded(request);
    let fields: Vec<_> = asked
        .plan
        .fields
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        })
        .collect();
    format!("{} {:?} {}", asked.line(), asked.plan.body, fields.join(" "))
}

/// What the origin is asked for `/a`, and for this request, which shares its key.
fn assert_asks_as_plain(class: &str, request: Request) {
    let plain = question(&mut World::shop(|_| ()), Request::get("/a"));
    assert_eq!(question(&mut World::shop(|_| ()), request), plain, "{class}");
}

#[test]
fn fields_outside_of_the_key_do_not_change_what_the_origin_is_asked() {
    for (name, value) in [
        ("X-Forwarded-Host", "evil.example"),
        ("X_Forwarded_Host", "evil.example"),
        ("X-Forwarded-Server", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Scheme", "nothttps"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Proto", "nothttps"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("True-Client-IP", "127.0.0.1"),
        ("Forwarded", "for=1;host=evil.example"),
        ("X-Host", "evil.example"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "POST"),
        ("X-Method-Override", "PUT"),
        ("x-middleware-subrequest", "middleware"),
        ("x-invoke-path", "/admin"),
        ("If-Range", "\"x\""),
        ("If-None-Match", "*"),
        ("Expect", "100-continue"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "x"),
        ("TE", "trailers"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ] {
        assert_asks_as_plain(name, Request::get("/a").with(name, value));
    }
}

#[test]
fn other_ways_to_write_a_host_do_not_change_what_the_origin_is_asked() {
    for host in [
        "shop.example:80",
        "SHOP.example",
        "shop.example.",
        "Shop.Example.:80",
    ] {
        assert_asks_as_plain(host, Request::new("GET", host, "/a"));
    }
    let absolute = Request {
        scheme: Some("https"),
        authority: Some("Shop.Example"),
        ..Request::get("/a")
    };
    assert_asks_as_plain("absolute form", absolute);
}

#[test]
fn a_fat_get_asks_as_one_without_a_body() {
    let with = |body, name, value| Request {
        body,
        ..Request::get("/a")
            .with("content-type", "application/json")
            .with(name, value)
    };
    assert_asks_as_plain("length", with(BodyHint::Length(9), "content-length", "9"));
    assert_asks_as_plain(
        "chunked",
        with(BodyHint::Streamed, "transfer-encoding", "chunked"),
    );
}

#[test]
fn the_port_of_https_is_told_as_none() {
    let mut world = World::shop(|_| ());
    world.conn = tls_connection(Protocol::Http2, &["shop.example"]);
    let asked = world.forwarded(Request::new("GET", "shop.example:443", "/"));
    assert_eq!(asked.line(), "GET shop.example /");
    assert_eq!(asked.field("x-forwarded-host").as_deref(), Some("shop.example"));
    let asked = world.forwarded(Request::new("GET", "shop.example:80", "/"));
    assert_eq!(
        asked.line(),
        "GET shop.example:80 /",
        "another port is in the key"
    );
}

#[test]
fn of_the_query_the_origin_sees_what_is_in_the_key() {
    for (rule, target, asked) in [
        (QueryKey::None, "/?a=evil", "/"),
        (QueryKey::Deny(vec!["utm".into()]), "/?utm=1;a=evil&b=2", "/?b=2"),
        (
            QueryKey::Deny(vec!["utm".into()]),
            "/?b=2&utm=1&utm=evil",
            "/?b=2",
        ),
        (QueryKey::Deny(vec!["utm".into()]), "/?%75tm=1", "/?%75tm=1"),
        (
            QueryKey::Allow(vec!["a".into()]),
            "/?%61=evil&A=evil&a[]=evil",
            "/",
        ),
        (QueryKey::Allow(vec!["a".into()]), "/?a=1&a=2&b=evil", "/?a=1&a=2"),
        (QueryKey::All, "/?b=2&a=1", "/?b=2&a=1"),
        (QueryKey::All, "/?", "/?"),
    ] {
        let label = format!("{rule:?} {target}");
        let mut world = World::shop(|site| policy(site, |policy| policy.key.query = rule));
        let line = world.forwarded(Request::get(target)).line();
        assert_eq!(line, format!("GET shop.example {asked}"), "{label}");
    }
    let mut world = World::shop(|site| policy(site, |policy| policy.key.query = QueryKey::None));
    let post = Request::new("POST", "shop.example", "/?a=1");
    assert_eq!(
        world.forwarded(post).line(),
        "POST shop.example /?a=1",
        "what can't be stored passes whole"
    );
}

#[test]
fn a_visitor_cannot_pose_as_a_proxy() {
    let trusting = || {
        World::shop(|site| {
            site.client_address = ClientAddress {
                trusted_proxies: vec!["198.51.100.0/24".parse().unwrap()],
                header: Some("x-client".into()),
            };
        })
    };
    let post = || Request::new("POST", "shop.example", "/").with("x-client", "192.0.2.1");
    for (peer, told) in [("198.51.100.7", Some("192.0.2.1")), ("203.0.113.5", None)] {
        let mut world = trusting();
        world.conn = connection(Protocol::Http1, peer);
        assert_eq!(
            world.forwarded(post()).field("x-client").as_deref(),
            told,
            "{peer}"
        );
        let get = Request::get("/").with("x-client", "192.0.2.1");
        let asked = world.forwarded(get);
        assert_eq!(asked.field("x-client"), None, "what is stored is nobody's own");
        let list = told.map_or_else(|| peer.to_owned(), |told| format!("{told}, {peer}"));
        assert_eq!(asked.field("x-forwarded-for"), Some(list));
    }
}

#[test]
fn names_with_underscores_pass_unless_they_pose_as_ours() {
    let post = Request {
        body: BodyHint::Length(3),
        ..Request::new("POST", "shop.example", "/")
    };
    let mut world = World::shop(|_| ());
    let asked = world.forwarded(
        post.with("api_key", "1")
            .with("Content_Length", "9")
            .with("Transfer_Encoding", "chunked")
            .with("x_forwarded_for", "127.0.0.1")
            .with("CDN_Loop", "x"),
    );
    let odd: Vec<_> = asked
        .plan
        .fields
        .iter()
        .filter(|(name, _)| name.contains(&b'_'))
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(odd, ["api_key"]);
    assert_eq!(asked.plan.body, BodyMode::Stream { length: Some(3) });
}

#[test]
fn a_loop_shows_whatever_a_visitor_or_a_policy_hides() {
    let mut world = World::shop(|site| policy(site, |policy| policy.strict_headers = true));
    let loops = |world: &mut World, request: Request| {
        let asked = world.forwarded(request.with("cdn-loop", "other").with("via", "1.1 other"));
        (asked.field("cdn-loop").unwrap(), asked.field("via").unwrap())
    };
    let both = (
        "other, breakwater".to_owned(),
        "1.1 other, 1.1 breakwater".to_owned(),
    );
    assert_eq!(loops(&mut world, Request::get("/strict")), both);
    let nominated = Request::new("POST", "shop.example", "/").with("connection", "cdn-loop");
    assert_eq!(loops(&mut world, nominated), both);
}

#[test]
fn what_a_visitor_nominates_is_not_told_in_our_name() {
    let mut world = World::shop(|_| ());
    let post = Request::new("POST", "shop.example", "/")
        .with("connection", "x-forwarded-for, forwarded")
        .with("x-forwarded-for", "6.6.6.6")
        .with("forwarded", "for=6.6.6.6");
    let asked = world.forwarded(post);
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("198.51.100.7"));
    assert_eq!(asked.field("forwarded"), None);
}

/// Web cache deception: a path that origin and cache could read as two different ones.
#[test]
fn a_private_page_is_not_stored_under_the_name_of_a_file() {
    for target in [
        "/account%2fa.css",
        "/account%2Fa.css",
        "/account%3ba.css",
        "/account%23a.css",
        "/account%3fa.css",
        "/account%09.css",
        "/account%5ca.css",
        "/static/..%2faccount",
        "/static/%2e%2e/account",
        "/static/../account",
        "/static/..;/account",
        "/static/.%2e;x=y/account",
        "/./account.css",
    ] {
        // A policy that stores whatever comes, as for a directory of files.
        let mut world = World::shop(|site| policy(site, |policy| policy.ttl.force_ms = Some(60_000)));
        let victim = || Request::get(target).with("cookie", "sid=victim");
        world.exchange(victim(), &fresh("private"));
        assert_eq!(
            world.exchange(Request::get(target), &fresh("public")).body,
            "public",
            "{target}"
        );
    }
}

#[test]
fn a_visitors_cookie_or_login_keeps_an_answer_from_the_others() {
    for (name, value) in [("cookie", "sid=victim"), ("authorization", "Bearer victim")] {
        for said in [
            "max-age=60",
            "no-store",
            "private",
            "no-cache, private",
            "max-age=60, no-cache=\"x\"",
        ] {
            let mut world = World::shop(|_| ());
            let private = Answer::new(200, &[("cache-control", said), ("etag", "\"1\"")], "private");
            world.exchange(Request::get("/account").with(name, value), &private);
            let other = world.exchange(Request::get("/account"), &fresh("public"));
            assert_eq!(other.body, "public", "{name} {said}");
        }
    }
}

/// Denial of service by a poisoned cache: an error that one visitor brings about by an oversized, odd or forbidden field.
#[test]
fn an_error_that_a_visitor_brought_about_stays_theirs() {
    let odd = || Request::get("/").with("x-odd", "\u{80}");
    for status in [
        400, 403, 405, 406, 413, 414, 415, 416, 422, 429, 431, 500, 501, 502, 503,
    ] {
        let mut world = World::shop(|_| ());
        world.exchange(
            odd(),
            &Answer::new(status, &[("content-type", "text/html")], "bad"),
        );
        let good = world.exchange(Request::get("/"), &fresh("good"));
        assert_eq!(good.body, "good", "{status}");
    }
    for status in [400, 413] {
        let mut world = World::shop(|_| ());
        let answer = Answer::new(status, &[("cache-control", "public, max-age=60")], "bad");
        world.exchange(odd(), &answer);
        assert_eq!(
            world.exchange(Request::get("/"), &fresh("good")).body,
            "good",
            "never by default"
        );
    }
}

#[test]
fn methods_that_differ_in_case_or_name_never_share_with_get() {
    let mut world = World::shop(|_| ());
    world.exchange(Request::get("/"), &fresh("page"));
    for method in ["get", "GETX", "POST", "PUT", "OPTIONS", "PATCH", "PROPFIND"] {
        let got = world.exchange(Request::new(method, "shop.example", "/"), &fresh("other"));
        assert_eq!(got.body, "other", "{method}");
    }
    let head = world.exchange(Request::new("HEAD", "shop.example", "/new"), &fresh(""));
    assert_eq!(head.status, 200);
    assert_eq!(
        world.exchange(Request::get("/new"), &fresh("page")).body,
        "page",
        "an answer to HEAD has no body to give to a GET"
    );
}
