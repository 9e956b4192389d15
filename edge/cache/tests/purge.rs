//! What is stored or coming when an unsafe method succeeds, or a purge comes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{Begin, BeginMode, Lookup, Purge, PurgeUrl, Reason, Sweep};
use common::{Pairs, World, at, confirm, stale, whole_body};

const MIB: usize = 1 << 20;

/// One word for each kind of answer, for tables.
fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => "fresh",
        Lookup::Stale(stale) => stale.reason.as_str(),
        Lookup::Partial { .. } => "partial",
        Lookup::Miss(fwd) => fwd.as_str(),
        Lookup::HitForMiss => "hit-for-miss",
        Lookup::OnlyIfCachedMiss => "only-if-cached",
    }
}

#[test]
fn an_unsafe_method_makes_what_is_stored_and_what_is_coming_be_validated() {
    let world = World::new(MIB);
    let answer = [
        ("cache-control", "max-age=60, stale-while-revalidate=60"),
        ("etag", "\"a\""),
    ];
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let (mut writer, _reader) = world.lead("/coming", &[], at(0));
    for path in ["/", "/coming"] {
        let key = world.key(path);
        world.cache.invalidate(world.cache.key(&key));
    }
    let found = stale(world.lookup("/", &[], at(1)));
    assert_eq!(
        (found.reason, found.serve_now, found.serve_on_error),
        (Reason::Invalidated, false, false)
    );
    assert!(matches!(
        world.begin("/coming", &[], None, BeginMode::Shared, at(1)),
        Begin::Lead(..)
    ));
    world.head(&mut writer, 200, &answer, None, at(1)).unwrap();
    writer.finish(None).unwrap().stored.unwrap();
    assert_eq!(word(&world.lookup("/coming", &[], at(1))), "invalidated");
}

#[test]
fn nothing_asked_for_before_a_purge_is_used_after_it() {
    let world = World::new(MIB);
    let answer = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    let other_site = World {
        site: world.cache.site(b"site-b"),
        cache: world.cache.clone(),
        rules: world.rules.clone(),
        near: std::sync::Mutex::default(),
    };
    other_site
        .store("/", &[], &answer, b"theirs", at(0))
        .unwrap()
        .stored
        .unwrap();
    world
        .store("/", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    world
        .store("/validated", &[], &answer, b"body", at(0))
        .unwrap()
        .stored
        .unwrap();
    let found = stale(world.lookup("/validated", &[], at(100)));
    let Begin::Lead(validating, _r1) =
        world.begin("/validated", &[], Some(&found.hit), BeginMode::Shared, at(100))
    else {
        panic!("lead")
    };
    let (mut filling, _r2) = world.lead("/filling", &[], at(100));
    filling.mark_sent();
    let (mut unsent, _r3) = world.lead("/unsent", &[], at(100));

    world.cache.purge_site(&world.site);

    assert_eq!(world.cache.stats().entries, 1, "the other site's");
    assert_eq!(whole_body(&other_site.fresh("/", &[], at(1))), b"theirs");
    assert_eq!(word(&world.lookup("/", &[], at(1))), "uri-miss");
    assert!(confirm(&world, validating, &[], 100).is_err());
    assert!(matches!(
        world.begin("/filling", &[], None, BeginMode::Shared, at(100)),
        Begin::Lead(..)
    ));
    assert_eq!(
        world.head(&mut filling, 200, &answer, None, at(100)),
        Err(Reason::Purged)
    );
    assert_eq!(filling.finish(None).unwrap().stored, Err(Reason::Purged));
    // Sent after the purge, so what comes is from after it.
    unsent.mark_sent();
    world.head(&mut unsent, 200, &answer, None, at(100)).unwrap();
    world.cache.purge_site(&other_site.site);
    assert_eq!(unsent.finish(None).unwrap().stored, Ok(()));
    assert_eq!(word(&world.lookup("/unsent", &[], at(100))), "fresh");
}

#[test]
fn a_purge_between_head_and_end_keeps_the_answer_out() {
    let world = World::new(MIB);
    let (mut writer, mut reader) = world.lead("/", &[], at(0));
    writer.mark_sent();
    world
        .head(&mut writer, 200, &[("cache-control", "max-age=60")], None, at(0))
        .unwrap();
    writer.write(b"old".to_vec().into()).unwrap();
    world.cache.purge_site(&world.site);
    assert_eq!(writer.finish(None).unwrap().stored, Err(Reason::Purged));
    assert_eq!(
        common::read_available(&mut reader),
        (b"old".to_vec(), Some(Ok(())))
    );
    assert_eq!(word(&world.lookup("/", &[], at(0))), "uri-miss");
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn store(world: &World, path: &str, request: Pairs<'_>, answer: Pairs<'_>) {
    let stored = world.store(path, request, answer, b"old", at(0)).unwrap().stored;
    stored.unwrap();
}

/// A purge of this world's site.
fn purge(world: &World, soft: bool, fill: impl FnOnce(&mut Purge)) {
    let mut purge = Purge::new(soft);
    fill(&mut purge);
    purge.under_policies([&b"policy"[..]].into_iter());
    world.cache.purge(&world.site, &purge, at(10).wall_ms);
}

fn url(path: &str) -> PurgeUrl<'_> {
    PurgeUrl {
        host: b"example.com",
        port: None,
        path: path.as_bytes(),
        query: None,
    }
}

fn tagged(tag: &str) -> impl FnOnce(&mut Purge) {
    let tag = tag.to_owned();
    move |purge| purge.tag(tag.as_bytes()).unwrap()
}

#[test]
fn each_kind_of_purge_takes_what_it_names_with_all_variants_and_nothing_else() {
    type Fill = fn(&mut Purge);
    let table: &[(&str, Fill, &[&str])] = &[
        (
            "url",
            |purge| purge.url(&url("/a/one.jpg")),
            &["/a/two.jpg", "/b/one.jpg"],
        ),
        (
            "encoded url",
            |purge| purge.url(&url("/%61/one%2ejpg")),
            &["/a/two.jpg", "/b/one.jpg"],
        ),
        (
            "path",
            |purge| purge.path(&url("/a/one.jpg")).unwrap(),
            &["/a/two.jpg", "/b/one.jpg"],
        ),
        (
            "prefix",
            |purge| purge.prefix(&url("/a")).unwrap(),
            &["/b/one.jpg"],
        ),
        (
            "mask",
            |purge| purge.mask(b"example.com/*/one.*").unwrap(),
            &["/a/two.jpg"],
        ),
        (
            "another host",
            |purge| purge.mask(b"other.example/*").unwrap(),
            &["/a/one.jpg", "/a/two.jpg", "/b/one.jpg"],
        ),
        ("tag", |purge| purge.tag(b"A").unwrap(), &["/b/one.jpg"]),
        ("everything", Purge::everything, &[]),
    ];
    for (name, fill, left) in table {
        let world = World::new(MIB);
        for path in ["/a/one.jpg", "/a/two.jpg", "/b/one.jpg"] {
            let tag = path.get(1..2).unwrap();
            for language in ["de", "en"] {
                let answer = [FRESH, ("vary", "accept-language"), ("cache-tag", tag)];
                store(&world, path, &[("accept-language", language)], &answer);
            }
        }
        purge(&world, false, fill);
        for path in ["/a/one.jpg", "/a/two.jpg", "/b/one.jpg"] {
            for language in ["de", "en"] {
                let found = word(&world.lookup(path, &[("accept-language", language)], at(1)));
                let expected = if left.contains(&path) { "fresh" } else { "uri-miss" };
                assert_eq!(found, expected, "{name}: {path}");
            }
        }
        let mut sweep = Sweep::default();
        let (mut dropped, mut steps) = (0, 0);
        while let Some(count) = world.cache.sweep(&mut sweep, 2) {
            (dropped, steps) = (dropped + count, steps + 1);
        }
        assert_eq!(dropped, 2 * (3 - left.len()), "{name}");
        assert!(steps >= 4, "in steps");
        assert_eq!(world.cache.stats().entries, 2 * left.len(), "{name}");
    }
}

#[test]
fn what_was_purged_softly_is_stale_and_is_served_by_the_rules_for_that() {
    let world = World::new(MIB);
    let rules = [
        ("/validated", "max-age=600", false, false),
        (
            "/meanwhile",
            "max-age=600, stale-while-revalidate=30",
            true,
            false,
        ),
        ("/on-error", "max-age=600, stale-if-error=30", false, true),
        (
            "/strict",
            "max-age=600, must-revalidate, stale-if-error=30",
            false,
            false,
        ),
    ];
    for (path, control, _, _) in rules {
        store(
            &world,
            path,
            &[],
            &[("cache-control", control), ("etag", "\"a\""), ("xkey", "k")],
        );
    }
    purge(&world, true, tagged("k"));
    for (path, _, serve_now, serve_on_error) in rules {
        let found = stale(world.lookup(path, &[], at(15)));
        assert_eq!(found.reason, Reason::SoftPurged, "{path}");
        assert_eq!(
            (found.serve_now, found.serve_on_error),
            (serve_now, serve_on_error),
            "{path}"
        );
        // The windows count from the purge.
        let later = stale(world.lookup(path, &[], at(45)));
        assert_eq!((later.serve_now, later.serve_on_error), (false, false), "{path}");
        assert_eq!(
            word(&world.lookup(path, &[("cache-control", "max-stale")], at(15))),
            "soft-purged"
        );
    }
    // The origin confirms it: it is as good as new.
    let found = stale(world.lookup("/validated", &[], at(15)));
    let Begin::Lead(writer, _reader) =
        world.begin("/validated", &[], Some(&found.hit), BeginMode::Shared, at(15))
    else {
        panic!("lead")
    };
    writer.mark_sent();
    assert!(confirm(&world, writer, &[FRESH], 15).is_ok());
    assert_eq!(word(&world.lookup("/validated", &[], at(16))), "fresh");
    // Its tags are those that it had.
    purge(&world, false, tagged("k"));
    assert_eq!(word(&world.lookup("/validated", &[], at(16))), "uri-miss");
}

#[test]
fn nobody_joins_a_fetch_that_a_purge_may_hold_for() {
    let world = World::new(MIB);
    let joins = |path: &str| {
        matches!(
            world.begin(path, &[], None, BeginMode::Shared, at(1)),
            Begin::Join(_)
        )
    };
    let (mut tagged_fill, _r1) = world.lead("/tagged", &[], at(1));
    let (other, _r2) = world.lead("/other", &[], at(1));
    for writer in [&tagged_fill, &other] {
        writer.mark_sent();
    }
    world
        .head(&mut tagged_fill, 200, &[FRESH, ("cache-tag", "a")], None, at(1))
        .unwrap();
    purge(&world, false, |purge| purge.url(&url("/elsewhere")));
    assert!(joins("/tagged") && joins("/other"), "it holds for neither");
    purge(&world, true, tagged("b"));
    assert!(joins("/tagged"), "its tags are known");
    assert!(!joins("/other"), "it may get this tag");
    purge(&world, true, tagged("a"));
    assert!(!joins("/tagged"));
}

#[test]
fn a_purge_that_comes_while_an_answer_does_holds_for_it_by_its_own_tags() {
    let world = World::new(MIB);
    for (path, tag, soft, expected) in [
        ("/a", "a", false, "uri-miss"),
        ("/b", "b", false, "fresh"),
        ("/c", "a", true, "soft-purged"),
    ] {
        let (mut writer, _reader) = world.lead(path, &[], at(1));
        writer.mark_sent();
        world
            .head(&mut writer, 200, &[FRESH, ("surrogate-key", tag)], None, at(1))
            .unwrap();
        purge(&world, soft, tagged("a"));
        let stored = writer.finish(None).unwrap().stored;
        assert_eq!(stored.is_ok(), expected != "uri-miss", "{path}");
        assert_eq!(word(&world.lookup(path, &[], at(11))), expected, "{path}");
    }
}

#[test]
fn an_answer_that_a_purge_kept_out_does_not_keep_requests_from_waiting_for_each_other() {
    let world = World::new(MIB);
    let (mut writer, _reader) = world.lead("/", &[], at(1));
    writer.mark_sent();
    world.cache.purge_site(&world.site);
    assert_eq!(
        world.head(&mut writer, 200, &[FRESH], None, at(1)),
        Err(Reason::Purged)
    );
    assert_eq!(word(&world.lookup("/", &[], at(1))), "uri-miss");
    let _next = world.lead("/", &[], at(1));
    world.join("/", &[], at(1));
}

#[test]
fn what_was_confirmed_before_a_purge_and_comes_after_it_is_asked_for_again_by_its_new_tags() {
    let world = World::new(MIB);
    let answer = [FRESH, ("etag", "\"a\""), ("cache-tag", "a")];
    store(&world, "/", &[], &answer);
    let (writer, _reader, _hit) = common::validate(&world, &[], 100);
    writer.mark_sent();
    purge(&world, false, tagged("b"));
    let writer = confirm(&world, writer, &[FRESH, ("cache-tag", "b")], 100).unwrap_err();
    writer.mark_sent();
    assert!(confirm(&world, writer, &[FRESH, ("cache-tag", "b")], 100).is_ok());
    assert_eq!(word(&world.lookup("/", &[], at(101))), "fresh");
}
