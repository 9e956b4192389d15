//! Purges by what visitors ask for: through rewrites, queries and keyed values, under this configuration and
//! the one before it.

use breakwater_edge_config::{
    CachePolicy, HostPattern, PathMatch, PathRewrite, PurgeTarget, QueryKey, Rewrite, Route, SiteConfig,
};

use crate::memory::{Answer, Request, World, route, site};

fn answer() -> Answer {
    Answer::new(
        200,
        &[("cache-control", "max-age=600"), ("cache-tag", "all")],
        "old",
    )
}

fn under(name: &str, prefix: &str, path: PathRewrite) -> Route {
    let mut route = route(name);
    route.matches.path = Some(PathMatch::Prefix(prefix.to_owned()));
    route.rewrite = Some(Rewrite {
        path: Some(path),
        host: None,
    });
    route
}

/// A site with one of everything that stands between a URL and its key.
fn shop() -> SiteConfig {
    let mut config = site("shop", "shop.example");
    config.hosts.push(HostPattern::parse("*.img.example").unwrap());
    let mut policy = CachePolicy::rfc();
    policy.key.query = QueryKey::Deny(vec!["utm".into()]);
    policy.key.sort_query = true;
    policy.key.cookies = vec!["lang".into()];
    config.cache = Some(policy);
    config.routes.splice(
        0..0,
        [
            under("blog", "/blog", PathRewrite::ReplacePrefix("/wp".into())),
            under("app", "/app", PathRewrite::Full("/index.html".into())),
        ],
    );
    config
}

fn purge(world: &World, target: PurgeTarget) {
    let site = world.directory.current().sites().next().unwrap().clone();
    let purge = site.purge(&[target], false).unwrap();
    let cache = &world.worker.shared().cache;
    cache.purge(site.cache_site(cache), &purge, world.now.wall_ms);
}

/// Whether a request finds something stored.
fn is_stored(world: &mut World, request: Request) -> bool {
    let before = world.asked.len();
    world.exchange(request, &answer());
    world.asked.len() == before
}

const STORED: [&str; 9] = [
    "/a",
    "/a?q=1",
    "/a?q=2",
    "/a/b.jpg",
    "/blog/x",
    "/blog/y?q=1",
    "/app/one",
    "/wp/x",
    "/index.html",
];

#[test]
fn what_visitors_ask_for_is_purged_whatever_the_origin_is_asked() {
    let url = |url: &str| PurgeTarget::Url(format!("https://shop.example{url}"));
    let prefix = |url: &str| PurgeTarget::Prefix(format!("http://Shop.Example{url}"));
    let mask = |url: &str| PurgeTarget::Mask(format!("*://Shop.example{url}"));
    let table: Vec<(PurgeTarget, &[&str])> = vec![
        (url("/a"), &["/a"]),
        (url("/%61#x"), &["/a"]),
        (url("/a?utm=7"), &["/a"]),
        (url("/a?utm=3&q=1"), &["/a?q=1"]),
        (url("/blog/x"), &["/blog/x"]),
        (url("/app/two"), &["/app/one"]),
        (url("/wp/x"), &["/wp/x"]),
        (url("/nothing"), &[]),
        (prefix("/a"), &["/a", "/a?q=1", "/a?q=2", "/a/b.jpg", "/app/one"]),
        (prefix("/blog"), &["/blog/x", "/blog/y?q=1"]),
        (prefix("/app/one/below"), &["/app/one"]),
        (prefix("/wp"), &["/wp/x"]),
        (mask("/*/x"), &["/blog/x", "/wp/x", "/app/one"]),
        (mask("/a*.jpg"), &["/a/b.jpg", "/app/one"]),
        (PurgeTarget::Tag("ALL".into()), &STORED),
        (PurgeTarget::Everything, &STORED),
    ];
    for (target, gone) in table {
        let mut world = World::new(shop());
        for path in STORED {
            for lang in ["de", "en"] {
                let request = Request::get(path).with("cookie", &format!("lang={lang}"));
                assert!(!is_stored(&mut world, request), "{path}");
            }
        }
        purge(&world, target.clone());
        for path in STORED {
            for lang in ["de", "en"] {
                let request = Request::get(path).with("cookie", &format!("lang={lang}"));
                // The path that all of a route become is in the key of each, and of no other.
                let purged = gone.contains(&path) || (path == "/index.html" && gone.contains(&"/app/one"));
                assert_eq!(is_stored(&mut world, request), !purged, "{target:?} {path}");
            }
        }
    }
}

#[test]
fn a_purge_holds_for_what_was_stored_under_a_configuration_that_comes_back() {
    let all = site("shop", "shop.example");
    let mut none = all.clone();
    let mut policy = CachePolicy::rfc();
    policy.key.query = QueryKey::None;
    none.cache = Some(policy);
    let mut world = World::new(none.clone());
    assert!(!is_stored(&mut world, Request::get("/a?q=1")));
    assert!(!is_stored(&mut world, Request::get("/b")));
    world.serve(all);
    purge(&world, PurgeTarget::Url("https://shop.example/a?q=1".into()));
    world.serve(none);
    assert!(
        !is_stored(&mut world, Request::get("/a?q=1")),
        "its key has no query"
    );
    // Nobody can tell which of the others it would have been.
    assert!(!is_stored(&mut world, Request::get("/b")));
    purge(&world, PurgeTarget::Url("https://shop.example/c".into()));
    assert!(is_stored(&mut world, Request::get("/a?q=1")));
    assert!(is_stored(&mut world, Request::get("/b")));
}

#[test]
fn what_makes_no_sense_for_a_site_is_refused_with_what_to_do() {
    let world = World::new(shop());
    let site = world.directory.current().sites().next().unwrap().clone();
    for (target, message) in [
        (
            PurgeTarget::Url("/a".into()),
            "\"/a\" is not a URL as visitors ask for it: write https://HOST/PATH, in a URL with its query",
        ),
        (
            PurgeTarget::Url("ftp://shop.example/".into()),
            "\"ftp://shop.example/\" is not a URL as visitors ask for it: write https://HOST/PATH, in a URL with its query",
        ),
        (
            PurgeTarget::Url("https://shop.example:x/".into()),
            "\"https://shop.example:x/\" is not a URL as visitors ask for it: write https://HOST/PATH, in a URL with its query",
        ),
        (
            PurgeTarget::Url("https://other.example/".into()),
            "\"https://other.example/\": the site doesn't serve other.example",
        ),
        (
            PurgeTarget::Prefix("https://shop.example/a?b".into()),
            "\"https://shop.example/a?b\": a prefix or mask holds whatever the query: leave it out",
        ),
        (
            PurgeTarget::Mask("https://shop.example/*?b".into()),
            "\"https://shop.example/*?b\": a prefix or mask holds whatever the query: leave it out",
        ),
        (
            PurgeTarget::Mask("/img/*".into()),
            "\"/img/*\" is not a URL as visitors ask for it: write https://HOST/PATH, in a URL with its query",
        ),
        (
            PurgeTarget::Mask("*://*/a*b*c*d*e*f*g*h*".into()),
            "\"*://*/a*b*c*d*e*f*g*h*\": a prefix or mask has at most 1024 bytes, a mask at most 8 stars",
        ),
        (
            PurgeTarget::Tag("a,b".into()),
            "\"a,b\": a tag has 1 to 1024 bytes and no comma",
        ),
    ] {
        let error = site.purge(&[target], false).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    for good in [
        "https://x.img.example",
        "http://shop.example.:8080/?a",
        "https://SHOP.example?q",
    ] {
        site.purge(&[PurgeTarget::Url(good.into())], false).unwrap();
    }
}
