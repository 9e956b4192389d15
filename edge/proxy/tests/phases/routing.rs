use breakwater_edge_config::{
    FixedResponse, HeaderMatch, HeaderValueMatch, PathMatch, PathRewrite, Redirect, RequestMatch, Rewrite,
    Route, RouteAction,
};
use breakwater_edge_proxy::{Protocol, Reason};

use crate::memory::{Answer, Request, World, origin, route, tls_connection};

fn prefix(name: &str, path: &str) -> Route {
    let matches = RequestMatch {
        path: Some(PathMatch::Prefix(path.to_owned())),
        ..RequestMatch::default()
    };
    Route {
        matches,
        ..route(name)
    }
}

fn redirect() -> Redirect {
    Redirect {
        status: 302,
        scheme: None,
        host: None,
        port: None,
        path: None,
        strip_query: false,
    }
}

#[test]
fn the_first_route_that_matches_is_taken() {
    let mut world = World::shop(|site| {
        site.origins.push(origin("api"));
        let mut api = prefix("api", "/api");
        api.action = RouteAction::Forward {
            origin: "api".to_owned(),
        };
        let mut beta = prefix("beta", "/api");
        beta.matches.headers = vec![HeaderMatch {
            name: "x-beta".to_owned(),
            value: HeaderValueMatch::Present,
        }];
        site.routes = vec![beta, api];
    });
    for (request, name) in [
        (Request::get("/api/x").with("X-Beta", ""), Some("beta")),
        (Request::get("/api"), Some("api")),
        (Request::get("/apix"), None),
    ] {
        let client = world.open(request);
        let (_, reason, _, route) = world.record(client);
        assert_eq!(route.as_deref(), name);
        assert_eq!(reason, name.is_none().then_some(Reason::NoRoute));
    }
    assert_eq!(world.asked[1].plan.origin, 1);
}

#[test]
fn redirects_keep_what_they_do_not_change() {
    let cases: [(Redirect, &str); 6] = [
        (
            Redirect {
                scheme: Some("https".into()),
                ..redirect()
            },
            "https://shop.example/old/a?q=1",
        ),
        (
            Redirect {
                host: Some("other.example".into()),
                ..redirect()
            },
            "http://other.example/old/a?q=1",
        ),
        (
            Redirect {
                port: Some(8080),
                ..redirect()
            },
            "http://shop.example:8080/old/a?q=1",
        ),
        (
            Redirect {
                path: Some(PathRewrite::ReplacePrefix("/new".into())),
                ..redirect()
            },
            "http://shop.example:81/new/a?q=1",
        ),
        (
            Redirect {
                path: Some(PathRewrite::ReplacePrefix("/".into())),
                strip_query: true,
                ..redirect()
            },
            "http://shop.example:81/a",
        ),
        (
            Redirect {
                path: Some(PathRewrite::Full("/x".into())),
                scheme: Some("http".into()),
                ..redirect()
            },
            "http://shop.example:81/x?q=1",
        ),
    ];
    for (redirect, location) in cases {
        let mut world = World::shop(|site| {
            let mut route = prefix("old", "/old");
            route.action = RouteAction::Redirect(redirect);
            site.routes = vec![route];
        });
        let got = world.refused(Request::new("GET", "shop.example:81", "/old/a?q=1"));
        assert_eq!(
            (got.status, got.field("location").as_deref()),
            (302, Some(location))
        );
    }
}

#[test]
fn fixed_answers_come_from_the_configuration() {
    let mut world = World::shop(|site| {
        let mut route = route("robots");
        route.action = RouteAction::Respond(FixedResponse {
            status: 200,
            content_type: "text/plain".into(),
            body: "User-agent: *".into(),
        });
        site.routes = vec![route];
    });
    let got = world.refused(Request::get("/robots.txt"));
    assert_eq!(
        (got.status, got.body.as_str(), got.length),
        (200, "User-agent: *", Some(13))
    );
    let head = world.refused(Request::new("HEAD", "shop.example", "/robots.txt"));
    assert_eq!(
        (head.status, head.body.as_str(), head.length),
        (200, "", Some(13))
    );
}

#[test]
fn a_fixed_answer_without_content_has_none_whatever_is_configured() {
    for (status, length) in [(204, None), (205, Some(0)), (304, None)] {
        let mut world = World::shop(|site| {
            let mut route = route("none");
            route.action = RouteAction::Respond(FixedResponse {
                status,
                content_type: "text/plain".into(),
                body: "text".into(),
            });
            site.routes = vec![route];
        });
        let got = world.refused(Request::get("/"));
        assert_eq!((got.status, got.body.as_str(), got.length), (status, "", length));
        assert_eq!(got.field("content-type"), None);
    }
}

#[test]
fn rewrites_change_what_the_origin_is_asked() {
    let rewritten = |rewrite: Rewrite, target: &str| {
        let mut world = World::shop(|site| {
            let mut route = prefix("app", "/app");
            route.rewrite = Some(rewrite);
            site.routes = vec![route];
        });
        world.forwarded(Request::get(target)).line()
    };
    let path = |path| Rewrite {
        path: Some(path),
        host: None,
    };
    assert_eq!(
        rewritten(path(PathRewrite::ReplacePrefix("/".into())), "/app"),
        "GET shop.example /"
    );
    assert_eq!(
        rewritten(path(PathRewrite::ReplacePrefix("/v2/".into())), "/app/x?y"),
        "GET shop.example /v2/x?y"
    );
    assert_eq!(
        rewritten(
            Rewrite {
                path: None,
                host: Some("in.example".into())
            },
            "/app/x"
        ),
        "GET in.example /app/x"
    );
    assert_eq!(
        rewritten(path(PathRewrite::Full("/one".into())), "/app/x?y"),
        "GET shop.example /one?y"
    );
}

#[test]
fn the_scheme_of_a_redirect_is_the_visitors() {
    let mut world = World::shop(|site| {
        let mut route = route("moved");
        route.action = RouteAction::Redirect(Redirect {
            host: Some("new.example".into()),
            ..redirect()
        });
        site.routes = vec![route];
    });
    world.conn = tls_connection(Protocol::Http2, &["shop.example"]);
    let got = world.refused(Request::get("/"));
    assert_eq!(got.field("location").as_deref(), Some("https://new.example/"));
    assert_eq!(world.exchange(Request::get("/"), &Answer::ok()).status, 302);
}
