//! Fields that carry tags are the site's affair: visitors get them where the policy says so.

use breakwater_edge_config::{CachePolicy, SiteConfig, Tags};

use crate::memory::{Answer, Request, World, site};

fn tagged() -> Answer {
    let fields = [
        ("cache-control", "max-age=60"),
        ("cache-tag", "a,b"),
        ("surrogate-key", "c"),
        ("x-tags", "d"),
    ];
    Answer::new(200, &fields, "x")
}

fn shop(tags: Option<Tags>) -> SiteConfig {
    let mut config = site("shop", "shop.example");
    config.cache = Some(CachePolicy {
        tags,
        ..CachePolicy::rfc()
    });
    config
}

/// Which of the fields a visitor gets: on a miss, on a hit, and where the answer passes.
fn seen(world: &mut World) -> [String; 3] {
    let fetched = world.exchange(Request::get("/"), &tagged());
    let hit = world.refused(Request::get("/"));
    let passed = world.exchange(Request::new("POST", "shop.example", "/"), &tagged());
    [fetched, hit, passed].map(|got| {
        let shown = ["cache-tag", "surrogate-key", "x-tags"]
            .into_iter()
            .filter(|name| got.field(name).is_some());
        shown.collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn visitors_get_tags_only_where_the_policy_shows_them() {
    let tags = |fields: &[&str], expose| {
        Some(Tags {
            fields: fields.iter().map(|name| (*name).to_owned()).collect(),
            expose,
        })
    };
    for (tags, expected) in [
        (None, "cache-tag surrogate-key x-tags"),
        (tags(&[], false), "x-tags"),
        (tags(&["x-tags"], false), "cache-tag surrogate-key"),
        (tags(&["x-tags"], true), "cache-tag surrogate-key x-tags"),
    ] {
        let mut world = World::new(shop(tags.clone()));
        assert_eq!(seen(&mut world), [expected; 3], "{tags:?}");
    }
}

#[test]
fn a_policy_that_hides_tags_hides_those_of_stored_answers_at_once() {
    let mut world = World::new(shop(None));
    world.exchange(Request::get("/"), &tagged());
    let hidden = Tags {
        fields: vec!["cache-tag".into()],
        expose: false,
    };
    world.serve(shop(Some(hidden)));
    let hit = world.refused(Request::get("/"));
    assert_eq!((hit.field("cache-tag"), hit.body.as_str()), (None, "x"));
}
