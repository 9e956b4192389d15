//! What is stored or coming when an unsafe method succeeds, or a purge comes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{Begin, BeginMode, Lookup, Reason};
use common::{World, at, confirm, stale, whole_body};

const MIB: usize = 1 << 20;

/// One word for each kind of answer, for tables.
/// One word for each kind of answer, for tables.
fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => "fresh",
        Lookup::Stale(stale) => stale.reason.as_str(),
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
