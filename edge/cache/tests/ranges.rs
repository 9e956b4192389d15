//! Parts of what is stored: which ones, and the bytes that are sent for them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod common;

use breakwater_edge_cache::{ByteRange, Hit, Selection, StoredBody, select};
use common::{Pairs, World, at};
use proptest::prelude::*;

const MIB: usize = 1 << 20;
const MODIFIED: &str = "Thu, 28 May 2026 10:00:00 GMT";

fn stored(world: &World, answer: Pairs<'_>, body: &[u8]) -> Hit {
    let mut fields = vec![("cache-control", "max-age=60")];
    fields.extend_from_slice(answer);
    world
        .store("/", &[], &fields, body, at(0))
        .unwrap()
        .stored
        .unwrap();
    world.fresh("/", &[], at(1))
}

fn part(start: u64, end: u64) -> Selection {
    Selection::Part(ByteRange { start, end })
}

#[test]
fn a_part_is_sent_only_to_who_may_continue_with_it() {
    let world = World::new(4 * MIB);
    let strong = stored(
        &world,
        &[("etag", "\"a\""), ("last-modified", MODIFIED)],
        b"0123456789",
    );
    let weak = stored(&world, &[("etag", "W/\"a\"")], b"0123456789");
    // Changed within the minute before it was sent: the same date may name two versions.
    let young = [
        ("last-modified", "Thu, 28 May 2026 20:26:10 GMT"),
        ("date", "Thu, 28 May 2026 20:26:40 GMT"),
    ];
    let young_hit = stored(&world, &young, b"0123456789");
    let range = ("range", "bytes=2-3");
    let table: &[(&Hit, Pairs<'_>, Selection)] = &[
        (&strong, &[range], part(2, 4)),
        (&strong, &[range, ("if-range", "\"a\"")], part(2, 4)),
        (&strong, &[range, ("if-range", "\"b\"")], Selection::Whole),
        (&strong, &[range, ("if-range", "W/\"a\"")], Selection::Whole),
        (&strong, &[range, ("if-range", "a")], Selection::Whole),
        (&strong, &[range, ("if-range", MODIFIED)], part(2, 4)),
        (
            &strong,
            &[range, ("if-range", "Thu, 28 May 2026 10:00:01 GMT")],
            Selection::Whole,
        ),
        (
            &strong,
            &[range, ("if-range", "\"a\""), ("if-range", "\"a\"")],
            Selection::Whole,
        ),
        (&strong, &[("if-range", "\"a\"")], Selection::Whole),
        (
            &strong,
            &[range, ("if-none-match", "\"a\"")],
            Selection::NotModified,
        ),
        (&strong, &[range, ("if-none-match", "\"b\"")], part(2, 4)),
        (&strong, &[("range", "bytes=10-")], Selection::Unsatisfiable),
        (
            &strong,
            &[("range", "bytes=10-"), ("if-range", "\"b\"")],
            Selection::Whole,
        ),
        (&weak, &[range], part(2, 4)),
        (&weak, &[range, ("if-range", "W/\"a\"")], Selection::Whole),
        (&young_hit, &[range, ("if-range", young[0].1)], Selection::Whole),
    ];
    for (hit, request, expected) in table {
        assert_eq!(select(hit, true, &request.to_vec()), *expected, "{request:?}");
    }
    assert_eq!(
        select(&strong, false, &[range]),
        Selection::Whole,
        "HEAD knows no ranges (RFC 9110 §14.2)"
    );
}

#[test]
fn several_parts_never_make_much_more_than_the_whole() {
    let world = World::new(4 * MIB);
    let several = [("range", "bytes=0-0,2-2,4-4,6-6,8-8")];
    let hit = stored(&world, &[("content-type", "text/plain")], b"0123456789");
    assert!(matches!(select(&hit, true, &several), Selection::Parts(_)));
    let long = "a".repeat(300);
    let hit = stored(&world, &[("content-type", &long)], b"0123456789");
    assert_eq!(select(&hit, true, &several), Selection::Whole);
    assert_eq!(select(&hit, true, &[("range", "bytes=0-0")]), part(0, 1));
}

#[test]
fn only_a_200_has_parts() {
    let world = World::new(4 * MIB);
    let (mut writer, _reader) = world.lead("/", &[], at(0));
    let answer = [("cache-control", "max-age=60")];
    world.head(&mut writer, 404, &answer, Some(4), at(0)).unwrap();
    writer.write("gone".into()).unwrap();
    writer.finish(None).unwrap().stored.unwrap();
    let hit = world.fresh("/", &[], at(1));
    assert_eq!(select(&hit, true, &[("range", "bytes=0-0")]), Selection::Whole);
    assert_eq!(hit.fields().get(b"accept-ranges"), None);
}

#[test]
fn what_is_stored_says_that_it_has_parts() {
    let world = World::new(4 * MIB);
    let said = |hit: &Hit| hit.fields().get(b"accept-ranges").map(<[u8]>::to_vec);
    assert_eq!(said(&stored(&world, &[], b"x")), Some(b"bytes".to_vec()));
    let none = stored(&world, &[("accept-ranges", "none")], b"x");
    assert_eq!(said(&none), Some(b"none".to_vec()), "what the origin says stays");
}

/// Everything that a cursor gives, taken in pieces of these sizes by either way.
fn sent(mut body: StoredBody, sizes: &[(usize, bool)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (size, counted) in sizes.iter().cycle() {
        let before = body.remaining();
        if before == 0 {
            assert!(body.peek(1).is_empty());
            return all;
        }
        let got = if *counted {
            let chunk = body.chunk(*size);
            all.extend_from_slice(&chunk);
            chunk.len()
        } else {
            let peeked = body.peek(*size).to_vec();
            all.extend_from_slice(&peeked);
            body.advance(peeked.len());
            peeked.len()
        };
        assert!(got > 0 && got <= *size);
        assert_eq!(body.remaining(), before - got as u64);
    }
    all
}

#[test]
fn parts_are_framed_as_multipart() {
    let world = World::new(4 * MIB);
    let hit = stored(&world, &[("content-type", "text/plain")], b"0123456789");
    let ranges = [ByteRange { start: 0, end: 2 }, ByteRange { start: 7, end: 10 }];
    let body = StoredBody::parts(hit, &ranges, "B");
    let text = String::from_utf8(sent(body, &[(100, false)])).unwrap();
    let expected = "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
        \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\r\n--B--\r\n";
    assert_eq!(text, expected);
}

#[test]
fn a_boundary_is_another_each_time() {
    let world = World::new(4 * MIB);
    let hit = stored(&world, &[], b"x");
    let one = world.cache.boundary(&hit, at(1));
    assert_eq!(one.len(), 32);
    assert_ne!(one, world.cache.boundary(&hit, at(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_cursor_gives_what_was_asked_for_whatever_the_pieces(
        blocks in 0_usize..3,
        more in 1_usize..3_000,
        asked in prop::collection::vec((0_u64..300_000, 1_u64..200_000), 1..4),
        sizes in prop::collection::vec((1_usize..100_000, any::<bool>()), 1..5),
    ) {
        let len = blocks * 128 * 1024 + more;
        let whole: Vec<u8> = (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        let world = World::new(64 * MIB);
        let hit = stored(&world, &[], &whole);
        prop_assert_eq!(&sent(StoredBody::whole(hit.clone()), &sizes), &whole);
        prop_assert_eq!(sent(StoredBody::none(hit.clone()), &sizes).len(), 0);
        let ranges: Vec<ByteRange> = asked
            .into_iter()
            .map(|(start, length)| (start % len as u64, length))
            .map(|(start, length)| ByteRange { start, end: (start + length).min(len as u64) })
            .collect();
        let bytes = |range: &ByteRange| {
            whole[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
        };
        prop_assert_eq!(sent(StoredBody::part(hit.clone(), ranges[0]), &sizes), bytes(&ranges[0]));
        let mut expected = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\r\n" };
            expected.extend_from_slice(format!("{gap}--B\r\nContent-Range: {}\r\n\r\n", range.content_range(len as u64)).as_bytes());
            expected.extend_from_slice(&bytes(range));
        }
        expected.extend_from_slice(b"\r\n--B--\r\n");
        prop_assert_eq!(sent(StoredBody::parts(hit, &ranges, "B"), &sizes), expected);
    }
}
