//! Each field of a `CachePolicy` on the way of a request: what it says of an answer is what a visitor sees.

use breakwater_edge_config::{
    CachePolicy, HeaderMatch, HeaderValueMatch, PathMatch, QueryKey, RequestMatch, StatusTtl, Ttl,
};

use crate::memory::{Answer, Request, World};

type Lines = &'static [(&'static str, &'static str)];

fn shop(change: impl FnOnce(&mut CachePolicy)) -> World {
    World::shop(|site| {
        let mut policy = CachePolicy::rfc();
        change(&mut policy);
        site.cache = Some(policy);
    })
}

/// Seconds for which an answer of the origin is kept; `None`: it isn't stored.
fn kept(ttl: &Ttl, status: u16, fields: &[(&str, &str)]) -> Option<i64> {
    let mut world = shop(|policy| policy.ttl.clone_from(ttl));
    let answer = Answer::new(status, fields, "x");
    world.exchange(Request::get("/"), &answer);
    let said = world.exchange(Request::get("/"), &answer).field("cache-status")?;
    said.strip_prefix("breakwater; hit; ttl=")?.parse().ok()
}

#[test]
fn lifetimes_are_the_origins_or_the_policys_as_it_says() {
    let secs = |secs: u64| Some(secs * 1_000);
    let none = Ttl::default();
    let default = Ttl {
        default_ms: secs(30),
        ..none.clone()
    };
    let force = Ttl {
        force_ms: secs(7),
        ..none.clone()
    };
    let bounds = Ttl {
        min_ms: secs(10),
        max_ms: secs(100),
        ..none.clone()
    };
    let both = Ttl {
        default_ms: secs(500),
        ..bounds.clone()
    };
    let table: [(&Ttl, u16, Lines, Option<i64>); 19] = [
        (&none, 200, &[("cache-control", "max-age=60")], Some(60)),
        (&none, 200, &[], None),
        (&default, 200, &[], Some(30)),
        (&default, 404, &[], Some(30)),
        // Not one whose answers are stored without a word.
        (&default, 403, &[], None),
        (&default, 200, &[("cache-control", "max-age=60")], Some(60)),
        (&default, 200, &[("cache-control", "no-store")], None),
        (&default, 200, &[("cache-control", "private")], None),
        (&force, 200, &[], Some(7)),
        (&force, 200, &[("cache-control", "max-age=60")], Some(7)),
        (&force, 200, &[("cache-control", "no-cache")], Some(7)),
        (&force, 200, &[("cache-control", "no-store")], None),
        (&force, 200, &[("cache-control", "private")], None),
        (&force, 200, &[("set-cookie", "a=b")], None),
        (&bounds, 200, &[("cache-control", "max-age=1")], Some(10)),
        (&bounds, 200, &[("cache-control", "max-age=60")], Some(60)),
        (&bounds, 200, &[("cache-control", "max-age=6000")], Some(100)),
        (&bounds, 200, &[("cache-control", "max-age=1, no-store")], None),
        (&both, 200, &[], Some(100)),
    ];
    for (ttl, status, fields, expected) in table {
        assert_eq!(kept(ttl, status, fields), expected, "{ttl:?} {status} {fields:?}");
    }
}

#[test]
fn the_first_of_the_statuses_that_match_holds_where_the_origin_is_silent() {
    let of = |from: u16, to: u16, secs: u64| StatusTtl {
        from,
        to,
        ttl_ms: secs * 1_000,
    };
    let ttl = Ttl {
        default_ms: Some(30_000),
        statuses: vec![of(404, 404, 0), of(400, 499, 5), of(500, 599, 2), of(200, 299, 9)],
        ..Ttl::default()
    };
    let table: [(u16, Lines, Option<i64>); 8] = [
        (404, &[], None),
        (400, &[], Some(5)),
        (403, &[], Some(5)),
        (429, &[], None),
        (503, &[], Some(2)),
        (200, &[], Some(9)),
        (301, &[], Some(30)),
        (404, &[("cache-control", "max-age=60")], Some(60)),
    ];
    for (status, fields, expected) in table {
        assert_eq!(kept(&ttl, status, fields), expected, "{status} {fields:?}");
    }
}

#[test]
fn any_of_the_bypass_rules_passes_a_request_that_it_matches_in_all() {
    let mut world = shop(|policy| {
        let header = |name: &str, value| HeaderMatch {
            name: name.to_owned(),
            value,
        };
        policy.bypass = vec![
            RequestMatch {
                path: Some(PathMatch::Exact("/live".into())),
                methods: vec!["GET".to_owned()],
                ..RequestMatch::default()
            },
            RequestMatch {
                headers: vec![
                    header("x-preview", HeaderValueMatch::Present),
                    header("x-user", HeaderValueMatch::Prefix("staff-".into())),
                ],
                ..RequestMatch::default()
            },
        ];
    });
    let fresh = Answer::new(200, &[("cache-control", "max-age=60")], "x");
    let preview = |target: &str| Request::get(target).with("x-preview", "1");
    for request in [
        Request::get("/live"),
        Request::get("/live?x"),
        preview("/").with("x-user", "staff-7"),
    ] {
        for _ in 0..2 {
            let got = world.exchange(request.clone(), &fresh);
            assert_eq!(
                got.field("cache-status").as_deref(),
                Some("breakwater; fwd=bypass; detail=bypass")
            );
        }
    }
    for request in [
        Request::get("/live/a"),
        preview("/1"),
        preview("/2").with("x-user", "guest-1"),
    ] {
        world.exchange(request.clone(), &fresh);
        world.refused(request);
    }
}

/// Pairs of queries under a rule: whether the second finds what the first was answered, and what the origin was
/// asked by the first.
#[test]
fn queries_are_the_same_when_what_counts_of_them_is() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let allow = || QueryKey::Allow(names(&["a", "b"]));
    let deny = || QueryKey::Deny(names(&["utm"]));
    let table: [(QueryKey, bool, &str, &str, bool, &str); 15] = [
        (QueryKey::All, false, "/?a=1&b=2", "/?b=2&a=1", false, "/?a=1&b=2"),
        (QueryKey::All, true, "/?b=2&a=1", "/?a=1&b=2", true, "/?a=1&b=2"),
        // The order of one name's values means something.
        (QueryKey::All, true, "/?a=2&a=1", "/?a=1&a=2", false, "/?a=2&a=1"),
        (QueryKey::All, false, "/?", "/", false, "/?"),
        (QueryKey::None, false, "/?a=1", "/", true, "/"),
        (allow(), false, "/?a=1&x=1", "/?y=2&a=1", true, "/?a=1"),
        (allow(), false, "/?x=1", "/", true, "/"),
        (allow(), false, "/?a", "/?a=", false, "/?a"),
        (allow(), false, "/?a=1&A=2", "/?a=1&A=3", true, "/?a=1"),
        (allow(), true, "/?b=1&a=1", "/?a=1&b=1&c", true, "/?a=1&b=1"),
        (deny(), false, "/?a=1&utm=x", "/?utm=y&a=1", true, "/?a=1"),
        (deny(), false, "/?utm", "/", true, "/"),
        (deny(), false, "/?utm=1&utm=2&a", "/?a", true, "/?a"),
        // Names are compared as they stand: one that is written otherwise counts, and the origin gets it.
        (deny(), false, "/?%75tm=1", "/?%75tm=2", false, "/?%75tm=1"),
        (allow(), false, "/?%61=1", "/?%61=2", true, "/"),
    ];
    for (query, sort_query, first, second, same, asked) in table {
        let place = format!("{query:?} {sort_query} {first} {second}");
        let mut world = shop(|policy| {
            policy.key.query = query;
            policy.key.sort_query = sort_query;
        });
        let fresh = Answer::new(200, &[("cache-control", "max-age=60")], "x");
        world.exchange(Request::get(first), &fresh);
        assert_eq!(
            world.asked[0].line(),
            format!("GET shop.example {asked}"),
            "{place}"
        );
        world.exchange(Request::get(second), &fresh);
        assert_eq!(world.asked.len() == 1, same, "{place}");
    }
}

#[test]
fn a_body_above_the_policys_bound_is_not_stored() {
    let fresh = |body| Answer::new(200, &[("cache-control", "max-age=60")], body);
    for (body, stored) in [("1234", true), ("12345", false)] {
        let mut world = shop(|policy| policy.max_object_bytes = 4);
        world.exchange(Request::get("/"), &fresh(body));
        world.exchange(Request::get("/"), &fresh(body));
        assert_eq!(world.asked.len() == 1, stored, "{body}");
    }
}
