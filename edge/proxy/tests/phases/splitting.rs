//! Nothing that a visitor or an origin writes becomes a line of its own in another's message.

use breakwater_edge_config::{
    HttpsRedirect, PathMatch, PathRewrite, Redirect, RequestMatch, Rewrite, Route, RouteAction,
};
use breakwater_edge_proxy::{BodyHint, Reason};
use proptest::prelude::*;

use crate::memory::{Answer, Ended, Request, World, route};

fn under(name: &str, path: &str) -> Route {
    Route {
        matches: RequestMatch {
            path: Some(PathMatch::Prefix(path.to_owned())),
            ..RequestMatch::default()
        },
        ..route(name)
    }
}

fn world() -> World {
    World::shop(|site| {
        let mut moved = under("moved", "/old");
        moved.action = RouteAction::Redirect(Redirect {
            status: 301,
            scheme: None,
            host: None,
            port: None,
            path: Some(PathRewrite::ReplacePrefix("/".into())),
            strip_query: false,
        });
        let mut rewritten = under("rewritten", "/app");
        rewritten.rewrite = Some(Rewrite {
            path: Some(PathRewrite::ReplacePrefix("/".into())),
            host: None,
        });
        site.routes = vec![moved, rewritten, route("all")];
    })
}

fn is_line(value: &str) -> bool {
    !value.bytes().any(|b| b < b' ' || b == 0x7f)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn what_is_captured_from_a_target_stays_within_its_line_and_host(
        start in prop::sample::select(vec!["/old", "/app", "/x"]),
        rest in "[/a%0dDA.:@\\\\?#\\r\\n\\t \0\u{e9}-]{0,12}",
        https in any::<bool>(),
    ) {
        let mut world = world();
        if https {
            let mut config = crate::memory::site("shop", "shop.example");
            config.tls.redirect = Some(HttpsRedirect { status: 308, port: 443 });
            world.serve(config);
        }
        let client = world.open(Request::get(&format!("{start}{rest}")));
        if let Some(asked) = world.asked.first() {
            let target = String::from_utf8_lossy(&asked.plan.target).into_owned();
            prop_assert!(target.starts_with('/') && is_line(&target) && !target.contains(' '), "{target:?}");
        }
        if let Some(location) = world.got(client).field("location") {
            let scheme = if https { "https" } else { "http" };
            let path = location.strip_prefix(&format!("{scheme}://shop.example"));
            prop_assert!(path.is_some_and(|path| path.starts_with('/')), "{location:?}");
            prop_assert!(is_line(&location) && !location.contains(' '), "{location:?}");
        }
    }
}

#[test]
fn a_redirect_never_leaves_its_host_by_what_a_path_holds() {
    for (target, location) in [
        ("/old//evil.example", "http://shop.example//evil.example"),
        ("/old/@evil.example", "http://shop.example/@evil.example"),
        (
            "/old?%0d%0aset-cookie:a=b",
            "http://shop.example/?%0d%0aset-cookie:a=b",
        ),
        ("/old", "http://shop.example/"),
        ("/old?//evil.example", "http://shop.example/?//evil.example"),
    ] {
        let got = world().refused(Request::get(target));
        assert_eq!(got.field("location").as_deref(), Some(location), "{target}");
    }
    for target in ["/old/a\r\nset-cookie: a=b", "/old/%0d%0aset-cookie:a=b"] {
        let split = world().refused(Request::get(target));
        assert_eq!((split.status, split.field("location")), (400, None), "{target}");
    }
}

#[test]
fn what_a_preflight_asks_for_is_answered_in_one_line() {
    let mut world = World::shop(|site| {
        site.cors = Some(breakwater_edge_config::Cors {
            allow_origins: vec![breakwater_edge_config::OriginPattern::Any],
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            allow_credentials: false,
            max_age_secs: 1,
        });
    });
    let ask = |headers: &str| {
        Request::new("OPTIONS", "shop.example", "/")
            .with("origin", "https://a.example")
            .with("access-control-request-method", "GET")
            .with("access-control-request-headers", headers)
    };
    let good = world.refused(ask("x-a"));
    assert_eq!(good.field("access-control-allow-headers").as_deref(), Some("x-a"));
    assert_eq!(good.field("access-control-allow-methods"), None);
    assert_eq!(world.refused(ask("x-a\r\nset-cookie: a=b")).status, 400);
}

/// An adaptor's parser may be less strict than it should be; the phases don't rely on it.
#[test]
fn an_origins_malformed_line_reaches_nobody() {
    for (name, value) in [
        ("x-a", "1\r\nset-cookie: a=b"),
        ("x-a", "\0"),
        ("x a", "1"),
        ("", "1"),
        ("x:", "1"),
    ] {
        let answer = Answer::new(200, &[("cache-control", "max-age=60"), (name, value)], "x");
        for method in ["GET", "POST"] {
            let mut world = World::shop(|_| ());
            let client = world.open(Request::new(method, "shop.example", "/"));
            world.head(0, &answer, BodyHint::Length(1));
            let got = world.got(client);
            assert_eq!(
                (got.status, got.ended),
                (502, Some(Ended::Whole)),
                "{method} {name:?}: {value:?}"
            );
            assert!(got.fields.iter().all(|(_, value)| is_line(value)));
            assert_eq!(world.record(client).1, Some(Reason::OriginProtocol));
        }
    }
}
