//! Parts that came as 206: kept, joined under one strong validator, whole once nothing is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use std::collections::BTreeMap;

use breakwater_edge_cache::{Begin, BeginMode, ByteRange, Hit, Lookup, Purge, Reason};
use common::{Pairs, World, at, whole_body};
use proptest::prelude::*;

const MIB: usize = 1 << 20;

/// The byte of a version at an offset.
fn byte(version: u64, offset: u64) -> u8 {
    u8::try_from((offset * 31 + version * 7) % 251).unwrap()
}

/// Fetches a part as a visitor's request alone.
fn part(
    world: &World,
    fields: Pairs<'_>,
    (start, end, complete): (u64, u64, u64),
    version: u64,
    secs: u64,
) -> Result<(), Reason> {
    let range = format!("bytes={start}-{}", end - 1);
    let request = [("range", range.as_str())];
    let Begin::Lead(mut writer, _reader) = world.begin("/", &request, None, BeginMode::Alone, at(secs))
    else {
        panic!("a lone request leads")
    };
    writer.mark_sent();
    let content_range = format!("bytes {start}-{}/{complete}", end - 1);
    let mut answer = vec![("content-range", content_range.as_str())];
    answer.extend_from_slice(fields);
    let body: Vec<u8> = (start..end).map(|offset| byte(version, offset)).collect();
    let stored = world.head(&mut writer, 206, &answer, Some(end - start), at(secs));
    writer.write(body.into()).unwrap();
    writer.finish(None).unwrap().stored.and(stored)
}

fn found(world: &World, secs: u64) -> Hit {
    match world.lookup("/", &[], at(secs)) {
        Lookup::Partial { hit, .. } | Lookup::Fresh(hit) => hit,
        other => panic!("expected a part, got {other:?}"),
    }
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

const ONE: Pairs<'_> = &[
    ("cache-control", "max-age=60"),
    ("etag", "\"1\""),
    ("x-of", "one"),
];
const TWO: Pairs<'_> = &[("cache-control", "max-age=60"), ("etag", "\"2\"")];
const WEAK: Pairs<'_> = &[("cache-control", "max-age=60"), ("etag", "W/\"1\"")];
const NONE: Pairs<'_> = &[("cache-control", "max-age=60")];

#[test]
fn a_part_is_never_taken_for_the_whole() {
    let world = World::new(4 * MIB);
    part(&world, ONE, (2, 5, 10), 1, 0).unwrap();
    assert!(matches!(
        world.lookup("/", &[], at(1)),
        Lookup::Partial { fresh: true, .. }
    ));
    assert!(matches!(
        world.lookup("/", &[], at(61)),
        Lookup::Partial { fresh: false, .. }
    ));
    let hit = found(&world, 1);
    assert_eq!((hit.is_whole(), hit.body_len(), hit.status()), (false, 10, 200));
    assert!(hit.holds(range(2, 5)) && !hit.holds(range(2, 6)) && !hit.holds(range(1, 2)));
    assert_eq!(hit.fields().get(b"content-range"), None);
    let begun = world.begin("/", &[], None, BeginMode::Shared, at(1));
    assert!(
        matches!(begun, Begin::Lead(..)),
        "not found by who needs the whole"
    );
}

#[test]
fn parts_of_one_version_make_the_whole() {
    let world = World::new(4 * MIB);
    part(&world, ONE, (5, 10, 10), 1, 0).unwrap();
    let newer = [("cache-control", "max-age=90"), ("etag", "\"1\"")];
    part(&world, &newer, (0, 5, 10), 1, 10).unwrap();
    let hit = world.fresh("/", &[], at(99));
    let expected: Vec<u8> = (0..10).map(|offset| byte(1, offset)).collect();
    assert_eq!(whole_body(&hit), expected);
    assert_eq!(
        hit.fields().get(b"x-of"),
        Some(&b"one"[..]),
        "fields of the first live on"
    );
    assert_eq!(world.cache.stats().entries, 1);
}

#[test]
fn a_part_that_is_all_of_it_needs_no_validator() {
    let world = World::new(4 * MIB);
    part(&world, NONE, (0, 10, 10), 1, 0).unwrap();
    assert_eq!(whole_body(&world.fresh("/", &[], at(1))).len(), 10);
    part(&world, NONE, (0, 10, 10), 2, 100).unwrap();
    assert_eq!(
        world.fresh("/", &[], at(101)).slice(0, 1),
        &[byte(2, 0)],
        "as a 200 takes the place of a 200"
    );
}

#[test]
fn what_is_not_one_strong_version_is_not_joined() {
    let table: &[(Pairs<'_>, Pairs<'_>, u64)] = &[
        (ONE, TWO, 10),
        (ONE, ONE, 11),
        (WEAK, WEAK, 10),
        (NONE, NONE, 10),
        (ONE, NONE, 10),
        (NONE, ONE, 10),
    ];
    for (first, second, complete) in table {
        let world = World::new(4 * MIB);
        part(&world, first, (0, 5, 10), 1, 0).unwrap();
        part(&world, second, (5, 10, *complete), 2, 1).unwrap();
        let hit = found(&world, 2);
        assert!(!hit.is_whole(), "{first:?} {second:?}");
        assert!(
            !hit.holds(range(0, 1)) && hit.holds(range(5, 10)),
            "the newer is kept"
        );
    }
}

#[test]
fn a_whole_answer_gives_way_only_to_another_version() {
    let whole: Vec<u8> = (0..10).map(|offset| byte(1, offset)).collect();
    let table: &[(Pairs<'_>, Pairs<'_>, Result<(), Reason>, bool)] = &[
        (ONE, ONE, Ok(()), true),
        (ONE, TWO, Ok(()), false),
        (ONE, NONE, Err(Reason::Partial), true),
        (NONE, NONE, Err(Reason::Partial), true),
        (WEAK, WEAK, Err(Reason::Partial), true),
    ];
    for (stored, came, expected, stays) in table {
        let world = World::new(4 * MIB);
        world
            .store("/", &[], stored, &whole, at(0))
            .unwrap()
            .stored
            .unwrap();
        assert_eq!(
            part(&world, came, (2, 4, 10), 1, 100),
            *expected,
            "{stored:?} {came:?}"
        );
        let lookup = world.lookup("/", &[], at(101));
        let fresh = matches!(lookup, Lookup::Fresh(_));
        assert_eq!(
            fresh,
            expected.is_ok() && *stays,
            "{stored:?} {came:?}: the same version is validated"
        );
        assert_eq!(!matches!(lookup, Lookup::Partial { .. }), *stays);
    }
}

#[test]
fn an_answer_that_contradicts_itself_is_not_kept() {
    for (content_range, length, sent) in [
        ("bytes 0-4/10", Some(4), 4),
        ("bytes 0-4/10", None, 4),
        ("bytes 0-4/*", Some(5), 5),
        ("bytes 0-4/5, bytes 0-4/5", Some(5), 5),
        ("", Some(5), 5),
    ] {
        let world = World::new(4 * MIB);
        let Begin::Lead(mut writer, _reader) = world.begin("/", &[], None, BeginMode::Alone, at(0)) else {
            panic!("a lone request leads")
        };
        let answer = [("cache-control", "max-age=60"), ("content-range", content_range)];
        let _ = world.head(&mut writer, 206, &answer, length, at(0));
        writer.write(vec![0; sent].into()).unwrap();
        let finished = writer.finish(None).unwrap();
        assert_eq!(finished.stored, Err(Reason::Partial), "{content_range}");
        assert!(matches!(world.lookup("/", &[], at(1)), Lookup::Miss(_)));
    }
}

#[test]
fn a_purge_takes_parts_and_nothing_joins_what_was_before() {
    let world = World::new(4 * MIB);
    part(&world, ONE, (0, 5, 10), 1, 0).unwrap();
    world.cache.purge_site(&world.site);
    assert!(matches!(world.lookup("/", &[], at(1)), Lookup::Miss(_)));
    part(&world, ONE, (5, 10, 10), 1, 2).unwrap();
    assert!(!found(&world, 3).is_whole());
}

#[test]
fn a_tag_of_any_part_is_a_tag_of_what_they_make() {
    let tagged = |tag| {
        [
            ("cache-control", "max-age=60"),
            ("etag", "\"1\""),
            ("cache-tag", tag),
        ]
    };
    for tag in ["a", "b"] {
        let world = World::new(4 * MIB);
        part(&world, &tagged("a"), (0, 5, 10), 1, 0).unwrap();
        part(&world, &tagged("b"), (5, 10, 10), 1, 1).unwrap();
        assert!(found(&world, 2).is_whole());
        let mut purge = Purge::new(false);
        purge.tag(tag.as_bytes()).unwrap();
        world.cache.purge(&world.site, &purge, at(3).wall_ms);
        assert!(matches!(world.lookup("/", &[], at(4)), Lookup::Miss(_)), "{tag}");
    }
}

#[test]
fn parts_of_what_is_too_large_to_be_whole_are_not_kept() {
    let world = World::new(4 * MIB);
    let complete = world.rules.max_object_bytes + 1;
    assert_eq!(part(&world, ONE, (0, 5, complete), 1, 0), Err(Reason::TooLarge));
    assert_eq!(
        part(&world, ONE, (0, 5, 3 * MIB as u64), 1, 0),
        Err(Reason::TooLarge),
        "more than one entry may take"
    );
}

#[test]
fn memory_is_given_back_with_the_parts() {
    let world = World::new(16 * MIB);
    let empty = world.cache.stats().used_bytes;
    for turn in 0..300 {
        let start = turn * 997 % 9_000;
        part(&world, ONE, (start, start + 1_000, 10_000), 1, 0).unwrap();
    }
    let stats = world.cache.stats();
    assert_eq!(stats.entries, 1);
    assert!(
        stats.used_bytes - empty < 64 << 10,
        "{} bytes",
        stats.used_bytes - empty
    );
    world.cache.purge_site(&world.site);
    let left = world.cache.stats();
    assert!(left.entry_bytes == 0 && left.used_bytes <= empty + 4_096);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Against a map from offset to byte: what is held is of the current version and exactly its bytes.
    #[test]
    fn what_is_held_is_what_came_of_one_version(
        came in prop::collection::vec((0_u64..400, 1_u64..200, 1_u64..3), 1..40),
        complete in 400_u64..600,
    ) {
        let world = World::new(16 * MIB);
        let mut model: BTreeMap<u64, u8> = BTreeMap::new();
        let mut current = 0;
        for (turn, (start, length, version)) in came.into_iter().enumerate() {
            let end = (start + length).min(complete);
            let tag = format!("\"{version}\"");
            let fields = [("cache-control", "max-age=6000"), ("etag", tag.as_str())];
            part(&world, &fields, (start, end, complete), version, turn as u64).unwrap();
            if version != current {
                model.clear();
                current = version;
            }
            model.extend((start..end).map(|offset| (offset, byte(version, offset))));
            let hit = found(&world, turn as u64);
            prop_assert_eq!(hit.body_len(), complete);
            prop_assert!(hit.holds(range(start, end)), "what came last is here");
            for offset in 0..complete {
                if hit.holds(range(offset, offset + 1)) {
                    prop_assert_eq!(hit.slice(offset, 1), &[model[&offset]]);
                } else {
                    prop_assert!(hit.slice(offset, 1).is_empty());
                }
            }
            prop_assert_eq!(hit.is_whole(), (0..complete).all(|offset| hit.holds(range(offset, offset + 1))));
            if hit.is_whole() {
                prop_assert_eq!(whole_body(&hit), model.values().copied().collect::<Vec<u8>>());
            }
        }
    }
}
