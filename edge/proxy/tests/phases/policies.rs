use std::collections::BTreeMap;
use std::sync::Arc;

use breakwater_edge_config::{
    CachePolicy, HeaderEdits, Mode, Part, PathRewrite, PolicyId, RateKey, RateRule, Redirect, RegionSettings,
    Rewrite, RouteAction, SiteConfig, StatusTtl,
};
use breakwater_edge_proxy::compile::{Shared, Site};

use crate::memory::{Answer, Request, World, site};

fn cache(name: &str, ttl_ms: u64) -> CachePolicy {
    let mut policy = CachePolicy::rfc();
    policy.id = PolicyId(name.to_owned());
    policy.ttl.default_ms = Some(ttl_ms);
    policy
}

fn cache_part(name: &str, mode: Mode, ttl_ms: u64) -> Part {
    Part::Cache {
        mode,
        policy: Box::new(cache(name, ttl_ms)),
    }
}

/// Settings with these parts, those in `all` for every site.
fn settings(parts: &[Part], all: &[&str]) -> (RegionSettings, Shared) {
    let by_hash: BTreeMap<_, _> = parts
        .iter()
        .map(|part| (part.hash().unwrap(), part.clone()))
        .collect();
    let settings = RegionSettings {
        policies: parts
            .iter()
            .map(|part| (part.id().clone(), part.hash().unwrap()))
            .collect(),
        all_sites: all.iter().map(|id| PolicyId((*id).to_owned())).collect(),
        ..RegionSettings::default()
    };
    let shared = Shared::resolve(&settings, &by_hash).unwrap();
    (settings, shared)
}

/// The lifetime that an answer without any gets.
fn ttl(config: SiteConfig, shared: &Shared) -> String {
    let mut world = World::new(site("other", "other.example"));
    world.serve_with(config, shared);
    world.exchange(Request::get("/"), &Answer::new(200, &[], "x"));
    let got = world
        .exchange(Request::get("/"), &Answer::new(200, &[], "x"))
        .field("cache-status")
        .unwrap();
    got.split("ttl=").nth(1).unwrap_or("none").to_owned()
}

#[test]
fn enforced_wins_then_the_route_the_site_the_platforms_default_and_rfc_9111() {
    let config = |route: bool, own: bool, selected: &[&str]| {
        let mut config = site("shop", "shop.example");
        config.routes[0].cache = route.then(|| cache("route", 4_000));
        config.cache = own.then(|| cache("site", 3_000));
        config.shared = selected.iter().map(|id| PolicyId((*id).to_owned())).collect();
        config
    };
    let parts = [
        cache_part("enforced", Mode::Enforced, 5_000),
        cache_part("enforced for some", Mode::Enforced, 6_000),
        cache_part("default", Mode::Default, 2_000),
        cache_part("later", Mode::Default, 1_000),
    ];
    let (_, none) = settings(&parts, &[]);
    let (_, default) = settings(&parts, &["default", "later"]);
    let (_, enforced) = settings(&parts, &["default", "enforced"]);
    assert_eq!(ttl(config(true, true, &[]), &enforced), "5");
    assert_eq!(ttl(config(true, true, &["enforced"]), &none), "5");
    assert_eq!(ttl(config(true, true, &[]), &default), "4");
    assert_eq!(ttl(config(false, true, &[]), &default), "3");
    assert_eq!(ttl(config(false, false, &[]), &default), "2");
    // A policy that selects the site is more specific than one for every site.
    assert_eq!(ttl(config(false, false, &["later"]), &default), "1");
    assert_eq!(ttl(config(true, true, &["enforced for some"]), &enforced), "6");
    assert_eq!(ttl(config(false, false, &["later"]), &none), "1");
    assert_eq!(ttl(config(false, false, &[]), &none), "none");
}

#[test]
fn rates_of_the_platform_and_of_the_site_add_up() {
    let rule = |name: &str, requests: u32, status: u16| RateRule {
        id: PolicyId(name.to_owned()),
        matches: Vec::new(),
        key: RateKey::Site,
        requests,
        period_ms: 1_000_000,
        burst: requests - 1,
        status,
    };
    let part = |mode, requests| Part::Rate {
        mode,
        rule: rule("platform", requests, 503),
    };
    for (platform, own, expected) in [
        (2, 9, [200, 200, 503]),
        (9, 2, [200, 200, 429]),
        (9, 9, [200, 200, 200]),
    ] {
        for mode in [Mode::Default, Mode::Enforced] {
            let (_, shared) = settings(&[part(mode, platform)], &["platform"]);
            let mut world = World::new(site("other", "other.example"));
            let mut config = site("shop", "shop.example");
            config.rates.push(rule("own", own, 429));
            world.serve_with(config, &shared);
            for status in expected {
                assert_eq!(
                    world.exchange(Request::get("/"), &Answer::ok()).status,
                    status,
                    "{platform} {own}"
                );
            }
        }
    }
}

#[test]
fn half_of_the_platforms_policies_are_not_taken_for_all() {
    let part = cache_part("a", Mode::Default, 1);
    let (mut region, _) = settings(std::slice::from_ref(&part), &["a"]);
    let missing = Shared::resolve(&region, &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("policy a: part ") && missing.ends_with(" is not there"),
        "{missing}"
    );
    region.policies = BTreeMap::from([(PolicyId("b".to_owned()), part.hash().unwrap())]);
    let parts = BTreeMap::from([(part.hash().unwrap(), part)]);
    assert_eq!(
        Shared::resolve(&region, &parts).unwrap_err().to_string(),
        "policy b: its part holds a"
    );
}

type Change = Box<dyn Fn(&mut SiteConfig)>;

#[test]
fn a_site_that_cannot_be_served_says_exactly_why() {
    let set = |name: &str, value: &str| HeaderEdits {
        set: vec![(name.to_owned(), value.to_owned())],
        ..HeaderEdits::default()
    };
    let redirect = |status, scheme: Option<&str>, path| {
        RouteAction::Redirect(Redirect {
            status,
            scheme: scheme.map(str::to_owned),
            host: None,
            port: None,
            path,
            strip_query: false,
        })
    };
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(|site| {
                site.routes[0].action = RouteAction::Forward {
                    origin: "nowhere".into(),
                }
            }),
            "route all: the site has no origin \"nowhere\"",
        ),
        (
            Box::new(move |site| site.request_headers = set("a b", "x")),
            "requestHeaders: \"a b\" is not a field name",
        ),
        (
            Box::new(move |site| site.routes[0].request_headers = set("Transfer-Encoding", "x")),
            "route all: requestHeaders: Transfer-Encoding frames messages and can't be changed",
        ),
        (
            Box::new(move |site| site.response_headers = set("x", "a\r\nset-cookie: b")),
            "responseHeaders: \"a\\r\\nset-cookie: b\" holds a byte that no field value may hold",
        ),
        (
            Box::new(|site| {
                let path = Some(PathRewrite::Full("no-slash".into()));
                site.routes[0].rewrite = Some(Rewrite { path, host: None });
            }),
            "route all: \"no-slash\" is not a path",
        ),
        (
            Box::new(|site| {
                let path = Some(PathRewrite::ReplacePrefix("/x".into()));
                site.routes[0].rewrite = Some(Rewrite { path, host: None });
            }),
            "route all: a prefix can be replaced only where the route matches one",
        ),
        (
            Box::new(move |site| site.routes[0].action = redirect(200, None, None)),
            "route all: status 200 can't be sent here",
        ),
        (
            Box::new(move |site| site.routes[0].action = redirect(301, Some("ftp"), None)),
            "route all: \"ftp\" is neither http nor https",
        ),
        (
            Box::new(|site| site.shared.push(PolicyId("CachePolicy/x/y".into()))),
            "policy CachePolicy/x/y is not among the region's",
        ),
    ];
    for (change, message) in cases {
        let mut config = site("shop", "shop.example");
        change(&mut config);
        let error = Site::compile(Arc::new(config), &Shared::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

/// What the operator refuses lifetimes for is what the cache doesn't store, whatever a policy says.
#[test]
fn no_policy_has_a_status_stored_that_is_never_stored() {
    for status in 200..=599 {
        let mut config = site("shop", "shop.example");
        let mut policy = CachePolicy::rfc();
        policy.ttl.statuses = vec![StatusTtl {
            from: 200,
            to: 599,
            ttl_ms: 60_000,
        }];
        config.cache = Some(policy);
        let mut world = World::new(config);
        world.exchange(Request::get("/"), &Answer::new(status, &[], "x"));
        world.open(Request::get("/"));
        let stored = world.asked.len() == 1;
        assert_eq!(stored, !StatusTtl::NEVER_STORED.contains(&status), "{status}");
    }
}
