//! What is fetched before the first visitor asks.

use std::sync::Arc;

use breakwater_edge_config::{
    CachePolicy, CertificateRef, HostPattern, HttpsRedirect, PathMatch, PolicyId, RateKey, RateRule,
    SiteConfig,
};
use breakwater_edge_proxy::compile::{MAX_WARM, Shared, Site};

use crate::memory::{Answer, Request, World, route, site};

fn list(paths: &[&str]) -> CachePolicy {
    CachePolicy {
        prewarm: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..CachePolicy::rfc()
    }
}

fn compiled(change: impl FnOnce(&mut SiteConfig)) -> Site {
    let mut config = site("shop", "shop.example");
    config.cache = Some(list(&["/", "/list?page=1"]));
    change(&mut config);
    Site::compile(Arc::new(config), &Shared::default()).unwrap()
}

fn warms(change: impl FnOnce(&mut SiteConfig)) -> Vec<String> {
    let line = |tls: bool| if tls { "https" } else { "http" };
    let port = |port: Option<u16>| port.map_or(String::new(), |port| format!(":{port}"));
    let of = compiled(change);
    of.warm()
        .iter()
        .map(|warm| {
            format!(
                "{}://{}{}{}",
                line(warm.tls),
                warm.host,
                port(warm.port),
                warm.target
            )
        })
        .collect()
}

fn certificate(config: &mut SiteConfig) {
    config.certificates = vec![CertificateRef {
        names: Vec::new(),
        key_pair: "a".to_owned(),
    }];
}

#[test]
fn each_path_is_fetched_at_each_known_host_over_what_visitors_come_by() {
    assert_eq!(
        warms(|_| ()),
        ["http://shop.example/", "http://shop.example/list?page=1"]
    );
    assert_eq!(
        warms(|config| {
            certificate(config);
            config.tls.redirect = Some(HttpsRedirect {
                status: 308,
                port: 8443,
            });
            config.cache = Some(list(&["/"]));
            config.hosts = ["*.shop.example", "a.example", "b.example"]
                .map(|host| HostPattern::parse(host).unwrap())
                .into();
        }),
        ["https://a.example:8443/", "https://b.example:8443/"]
    );
    assert_eq!(
        warms(|config| {
            certificate(config);
            config.cache = Some(list(&["/"]));
        }),
        ["https://shop.example/", "http://shop.example/"]
    );
}

#[test]
fn lists_of_the_sites_and_the_routes_policies_add_up_and_what_is_off_warms_nothing() {
    let with_route = |policy: CachePolicy| {
        warms(|config| {
            let mut own = route("own");
            own.matches.path = Some(PathMatch::Prefix("/own".into()));
            own.cache = Some(policy);
            config.routes.insert(0, own);
        })
    };
    assert_eq!(with_route(list(&["/own/a", "/"])).len(), 3);
    let off = CachePolicy {
        enabled: false,
        ..list(&["/own/a"])
    };
    assert_eq!(with_route(off).len(), 2);
}

#[test]
fn what_is_kept_by_class_of_device_is_fetched_for_each() {
    let site = compiled(|config| {
        let mut policy = list(&["/"]);
        policy.key.device_class = true;
        config.cache = Some(policy);
    });
    let mut world = World::new(SiteConfig::clone(site.config()));
    for warm in site.warm() {
        world.warm(warm);
    }
    let classes: Vec<_> = world
        .asked
        .iter()
        .map(|asked| asked.field("x-device-class").unwrap())
        .collect();
    assert_eq!(classes, ["desktop", "phone", "tablet"]);
}

#[test]
fn a_site_warms_so_much_and_no_more() {
    let hosts = (0..100).map(|at| HostPattern::parse(&format!("h{at}.example")).unwrap());
    let site = compiled(|config| {
        config.hosts = hosts.collect();
        let paths: Vec<_> = (0..100).map(|at| format!("/{at}")).collect();
        config.cache = Some(list(&paths.iter().map(String::as_str).collect::<Vec<_>>()));
    });
    assert_eq!(site.warm().len(), MAX_WARM);
}

#[test]
fn a_visitor_finds_what_was_fetched_and_nobody_was_limited_for_it() {
    let fresh = Answer::new(200, &[("cache-control", "max-age=60")], "warm");
    let site = compiled(|config| {
        config.rates = vec![RateRule {
            id: PolicyId("r".to_owned()),
            matches: Vec::new(),
            key: RateKey::Site,
            requests: 1,
            period_ms: 1_000_000,
            burst: 0,
            status: 429,
        }];
    });
    let mut world = World::new(SiteConfig::clone(site.config()));
    for (at, warm) in site.warm().iter().enumerate() {
        let client = world.warm(warm);
        assert!(world.asked[at].is_fill());
        world.answer(at, &fresh);
        assert_eq!(world.got(client).body, "warm");
        // Once more costs a look-up.
        world.warm(warm);
        assert_eq!(world.asked.len(), at + 1);
    }
    assert_eq!(world.refused(Request::get("/list?page=1")).body, "warm");
    assert_eq!(
        world.refused(Request::get("/")).status,
        429,
        "visitors are limited"
    );
}
