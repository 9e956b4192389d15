use breakwater_edge_config::{
    Balancing, CachePolicy, ClientAddress, HashKey, HeaderEdits, HostHeader, OriginProtocol,
};
use breakwater_edge_proxy::{BodyHint, BodyMode, Protocol};

use crate::memory::{Answer, Ended, Request, World, connection, lines};

fn post() -> Request {
    Request {
        body: BodyHint::Length(3),
        ..Request::new("POST", "shop.example", "/")
    }
}

#[test]
fn what_belongs_to_the_visitors_connection_stays_there() {
    let mut world = World::shop(|_| ());
    let asked = world.forwarded(
        post()
            .with("Connection", "keep-alive, X-Hop")
            .with("keep-alive", "5")
            .with("Proxy-Connection", "x")
            .with("proxy-authorization", "x")
            .with("Proxy", "http://evil.example")
            .with("te", "gzip")
            .with("upgrade", "h2c")
            .with("http2-settings", "x")
            .with("content-length", "3")
            .with("expect", "100-continue")
            .with("x-hop", "1")
            .with("X-Api-Key", "secret"),
    );
    let names: Vec<_> = asked
        .plan
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(
        names,
        [
            "x-api-key",
            "via",
            "cdn-loop",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host"
        ]
    );
    assert_eq!(asked.plan.body, BodyMode::Stream { length: Some(3) });
    assert_eq!(
        asked.plan.upgrade, None,
        "an upgrade to h2c would speak around every phase"
    );
}

#[test]
fn what_a_visitor_nominates_cannot_remove_what_we_add() {
    let mut world = World::shop(|_| ());
    let asked = world.forwarded(post().with("connection", "x-forwarded-for, via, cdn-loop, host"));
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("198.51.100.7"));
    assert_eq!(asked.field("via").as_deref(), Some("1.1 breakwater"));
    assert_eq!(asked.field("cdn-loop").as_deref(), Some("breakwater"));
    assert_eq!(asked.line(), "POST shop.example /");
}

#[test]
fn origins_are_told_who_asked_for_what() {
    let mut world = World::shop(|_| ());
    world.conn = connection(Protocol::Http2, "2001:db8::5");
    let asked = world.forwarded(
        Request {
            fields: lines(&[("host", "SHOP.example:8080")]),
            ..post()
        }
        .with("x-forwarded-for", "192.0.2.1")
        .with("x-forwarded-proto", "https")
        .with("x-forwarded-host", "evil.example")
        .with("forwarded", "for=192.0.2.1")
        .with("via", "1.1 other"),
    );
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1, 2001:db8::5"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example:8080"),
        (
            "forwarded",
            "for=192.0.2.1, for=\"[2001:db8::5]\";proto=http;host=\"shop.example\"",
        ),
        ("via", "1.1 other, 2 breakwater"),
    ] {
        assert_eq!(asked.field(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(asked.line(), "POST shop.example:8080 /");
}

#[test]
fn on_what_may_be_stored_steering_fields_are_left_out_unless_keyed() {
    let request = || {
        Request::get("/")
            .with("x-forwarded-for", "6.6.6.6")
            .with("X-Forwarded-Host", "evil.example")
            .with("x-forwarded-port", "1")
            .with("forwarded", "host=evil.example")
            .with("X-Original-URL", "/admin")
            .with("x-rewrite-url", "/admin")
            .with("x-host", "evil.example")
            .with("X-HTTP-Method-Override", "DELETE")
            .with("x-real-ip", "6.6.6.6")
            .with("x-custom", "kept")
            .with("cookie", "a=1")
            .with("if-none-match", "\"x\"")
    };
    let mut world = World::shop(|_| ());
    let asked = world.forwarded(request());
    let names: Vec<_> = asked
        .plan
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(
        names,
        [
            "x-custom",
            "cookie",
            "via",
            "cdn-loop",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host"
        ]
    );
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("198.51.100.7"));
    assert_eq!(asked.field("x-forwarded-host").as_deref(), Some("shop.example"));
    let mut keyed = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.key.headers = vec!["x-host".to_owned()];
        site.cache = Some(policy);
    });
    assert_eq!(
        keyed.forwarded(request()).field("x-host").as_deref(),
        Some("evil.example")
    );
}

#[test]
fn strict_headers_forward_what_is_in_the_key_and_nothing_else_of_the_visitors() {
    let mut world = World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        policy.strict_headers = true;
        policy.key.headers = vec!["accept-language".to_owned()];
        policy.key.cookies = vec!["theme".to_owned()];
        site.cache = Some(policy);
    });
    let asked = world.forwarded(
        Request::get("/")
            .with("accept-language", "de")
            .with("user-agent", "x")
            .with("cookie", "sid=secret; theme=dark"),
    );
    let names: Vec<_> = asked
        .plan
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(
        names,
        [
            "accept-language",
            "cookie",
            "via",
            "cdn-loop",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host"
        ]
    );
    assert_eq!(asked.field("cookie").as_deref(), Some("theme=dark"));
}

#[test]
fn behind_trusted_proxies_the_identified_visitor_is_told() {
    let mut world = World::shop(|site| {
        site.client_address = ClientAddress {
            trusted_proxies: vec!["198.51.100.0/24".parse().unwrap()],
            header: None,
        };
    });
    let asked = world.forwarded(Request::get("/").with("x-forwarded-for", "6.6.6.6, 192.0.2.1"));
    assert_eq!(
        asked.field("x-forwarded-for").as_deref(),
        Some("192.0.2.1, 198.51.100.7")
    );
}

#[test]
fn edits_of_site_and_route_come_last_and_in_order() {
    let mut world = World::shop(|site| {
        site.request_headers = HeaderEdits {
            remove: vec!["user-agent".into()],
            set: vec![
                ("x-a".into(), "site".into()),
                ("x-forwarded-for".into(), "hidden".into()),
            ],
            add: vec![("x-b".into(), "2".into())],
        };
        site.routes[0].request_headers.set = vec![("x-a".into(), "route".into())];
    });
    let asked = world.forwarded(post().with("user-agent", "x").with("X-A", "1").with("x-b", "1"));
    assert_eq!(asked.field("user-agent"), None);
    assert_eq!(asked.field("x-a").as_deref(), Some("route"));
    assert_eq!(asked.field("x-b").as_deref(), Some("1, 2"));
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("hidden"));
}

#[test]
fn bodies_of_gets_are_discarded_on_cacheable_routes_only() {
    let get = || Request {
        body: BodyHint::Length(9),
        ..Request::get("/")
    };
    let head = || Request {
        body: BodyHint::Streamed,
        ..Request::new("HEAD", "shop.example", "/")
    };
    let mut world = World::shop(|_| ());
    assert_eq!(
        world.forwarded(get()).plan.body,
        BodyMode::None,
        "a fill never carries a visitor's body"
    );
    assert_eq!(world.forwarded(head()).plan.body, BodyMode::Discard);
    let mut world = World::shop(|site| {
        site.cache = Some(CachePolicy {
            enabled: false,
            ..CachePolicy::rfc()
        });
    });
    assert_eq!(
        world.forwarded(get()).plan.body,
        BodyMode::Stream { length: Some(9) }
    );
    assert_eq!(
        world.forwarded(head()).plan.body,
        BodyMode::Stream { length: None }
    );
}

#[test]
fn websockets_are_upgraded_and_nothing_else_is() {
    let handshake = || {
        Request::get("/ws")
            .with("Connection", "Upgrade")
            .with("Upgrade", "WebSocket")
    };
    let mut world = World::shop(|_| ());
    let client = world.open(handshake().with("sec-websocket-key", "abc"));
    assert_eq!(world.asked[0].plan.upgrade.as_deref(), Some(&b"websocket"[..]));
    assert_eq!(world.asked[0].field("sec-websocket-key").as_deref(), Some("abc"));
    world.answer(0, &Answer::new(101, &[("sec-websocket-accept", "def")], ""));
    assert_eq!(world.got(client).ended, Some(Ended::Upgraded));
    assert_eq!(
        world.got(client).field("sec-websocket-accept").as_deref(),
        Some("def")
    );
    let refused = world.exchange(handshake(), &Answer::new(403, &[], "no"));
    assert_eq!((refused.status, refused.body.as_str()), (403, "no"));
    let not_asked = world.exchange(post(), &Answer::new(101, &[], ""));
    assert_eq!(not_asked.status, 502, "a 101 that nobody asked for");
    for request in [
        Request::get("/ws").with("Upgrade", "websocket"),
        Request {
            http10: true,
            ..handshake()
        },
        Request {
            body: BodyHint::Length(1),
            ..handshake()
        },
    ] {
        assert_eq!(world.forwarded(request).plan.upgrade, None);
    }
}

#[test]
fn grpc_passes_with_its_trailers_wanted() {
    let mut world = World::shop(|site| site.origins[0].protocol = OriginProtocol::Http2);
    world.conn = connection(Protocol::Http2, "198.51.100.7");
    let call = Request {
        body: BodyHint::Streamed,
        ..Request::new("POST", "shop.example", "/pkg.Svc/Call")
    };
    let asked = world.forwarded(
        call.with("content-type", "application/grpc+proto")
            .with("te", "trailers"),
    );
    assert!(asked.plan.grpc);
    assert_eq!(asked.field("te").as_deref(), Some("trailers"));
    assert_eq!(asked.plan.body, BodyMode::Stream { length: None });
}

#[test]
fn origins_get_the_host_that_they_ask_for() {
    let mut world = World::shop(|site| site.origins[0].host_header = HostHeader::Fixed("in.example".into()));
    assert_eq!(world.forwarded(Request::get("/")).line(), "GET in.example /");
}

#[test]
fn consistent_hashing_gets_the_same_number_for_the_same_key() {
    let number = |key: HashKey, request: Request| {
        let mut world = World::shop(|site| site.origins[0].balancing = Balancing::ConsistentHash { key });
        world.forwarded(request).plan.hash
    };
    let path = |target: &str| number(HashKey::Path, Request::get(target));
    assert_eq!(path("/a"), path("/a"));
    assert_ne!(path("/a"), path("/b"));
    let header = |request| number(HashKey::Header("x-user".into()), request);
    assert_eq!(header(Request::get("/")), None);
    assert!(header(Request::get("/").with("x-user", "1")).is_some());
    assert!(number(HashKey::ClientAddress, Request::get("/")).is_some());
}

#[test]
fn cookies_that_http2_split_reach_the_origin_as_one_line() {
    let mut world = World::shop(|_| ());
    world.conn = connection(Protocol::Http2, "198.51.100.7");
    let asked = world.forwarded(post().with("cookie", "a=1").with("x", "y").with("cookie", "b=2"));
    let cookies = asked
        .plan
        .fields
        .iter()
        .filter(|(name, _)| *name == b"cookie")
        .count();
    assert_eq!((cookies, asked.field("cookie").as_deref()), (1, Some("a=1; b=2")));
}
