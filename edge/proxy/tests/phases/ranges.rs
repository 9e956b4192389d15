//! Parts of what is stored, as visitors get them.

use std::time::Duration;

use breakwater_edge_proxy::BodyHint;

use crate::memory::{Answer, Request, World};

fn stored() -> World {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(
        200,
        &[
            ("cache-control", "max-age=60"),
            ("etag", "\"1\""),
            ("content-type", "text/plain"),
            ("x-mine", "1"),
        ],
        "0123456789",
    );
    world.exchange(Request::get("/"), &answer);
    world
}

#[test]
fn one_range_gets_one_part() {
    let mut world = stored();
    for (range, part, said) in [
        ("bytes=0-1", "01", "bytes 0-1/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=0-3, 2-5", "012345", "bytes 0-5/10"),
    ] {
        let got = world.refused(Request::get("/").with("range", range));
        assert_eq!((got.status, got.body.as_str()), (206, part), "{range}");
        assert_eq!(got.length, Some(part.len() as u64));
        assert_eq!(got.field("content-range").as_deref(), Some(said));
        assert_eq!(got.field("content-type").as_deref(), Some("text/plain"));
        assert_eq!(got.field("x-mine").as_deref(), Some("1"));
        assert_eq!(got.field("etag").as_deref(), Some("\"1\""));
        assert!(got.field("cache-status").unwrap().starts_with("breakwater; hit"));
    }
}

#[test]
fn several_ranges_get_a_multipart_with_a_boundary_of_its_own() {
    let mut world = stored();
    let got = world.refused(Request::get("/").with("range", "bytes=5-6,0-1"));
    assert_eq!(got.status, 206);
    let content_type = got.field("content-type").unwrap();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    assert_eq!(boundary.len(), 32);
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-6/10\r\n\r\n56\
         \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(got.body, expected);
    assert_eq!(got.length, Some(expected.len() as u64));
    assert_eq!(got.field("content-range"), None);
}

#[test]
fn a_range_beyond_the_end_is_told_the_length() {
    let mut world = stored();
    let got = world.refused(Request::get("/").with("range", "bytes=10-"));
    assert_eq!((got.status, got.body.as_str(), got.length), (416, "", Some(0)));
    assert_eq!(got.field("content-range").as_deref(), Some("bytes */10"));
    assert_eq!(got.field("content-type"), None);
    assert_eq!(got.field("etag"), None);
}

#[test]
fn ranges_that_are_ignored_get_the_whole() {
    let mut world = stored();
    for range in [
        "lines=0-1",
        "bytes=3-1",
        "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8",
    ] {
        let got = world.refused(Request::get("/").with("range", range));
        assert_eq!((got.status, got.body.as_str()), (200, "0123456789"), "{range}");
    }
    let outdated = Request::get("/")
        .with("range", "bytes=0-1")
        .with("if-range", "\"0\"");
    assert_eq!(world.refused(outdated).status, 200);
    let head = Request::new("HEAD", "shop.example", "/").with("range", "bytes=0-1");
    let got = world.refused(head);
    assert_eq!(
        (got.status, got.length, got.field("content-range")),
        (200, Some(10), None)
    );
}

/// The origin's own `Content-Range` on a 200 means nothing (RFC 9110 §14.4); on a part of ours it would.
#[test]
fn a_part_says_its_own_range_and_no_other() {
    let mut world = World::shop(|_| ());
    let odd = Answer::new(
        200,
        &[
            ("cache-control", "max-age=60"),
            ("content-range", "bytes 5-6/7"),
            ("content-type", "text/plain"),
        ],
        "0123456789",
    );
    world.exchange(Request::get("/"), &odd);
    let got = world.refused(Request::get("/"));
    assert_eq!(got.field("content-range").as_deref(), Some("bytes 5-6/7"));
    let got = world.refused(Request::get("/").with("range", "bytes=0-1"));
    assert_eq!(got.field("content-range").as_deref(), Some("bytes 0-1/10"));
}

#[test]
fn an_empty_answer_has_no_parts() {
    let mut world = World::shop(|_| ());
    let client = world.open(Request::get("/"));
    let empty = Answer::new(200, &[("cache-control", "max-age=60")], "");
    world.head(0, &empty, BodyHint::None);
    world.end(0, &Vec::new());
    assert_eq!(world.got(client).status, 200);
    let got = world.refused(Request::get("/").with("range", "bytes=0-"));
    assert_eq!((got.status, got.length), (200, Some(0)));
}

fn part(range: &str, body: &'static str) -> Answer {
    Answer::new(
        206,
        &[
            ("content-range", range),
            ("cache-control", "max-age=60"),
            ("etag", "\"1\""),
        ],
        body,
    )
}

fn ranged(range: &str) -> Request {
    Request::get("/").with("range", range)
}

/// Players ask for `bytes=0-` first: what they get is the whole.
#[test]
fn parts_that_were_fetched_are_kept_and_become_the_whole() {
    let mut world = World::shop(|_| ());
    let got = world.exchange(ranged("bytes=0-4"), &part("bytes 0-4/10", "01234"));
    assert_eq!((got.status, got.body.as_str()), (206, "01234"));
    assert_eq!(got.field("content-range").as_deref(), Some("bytes 0-4/10"));
    assert_eq!(
        got.field("cache-status").as_deref(),
        Some("breakwater; fwd=uri-miss; stored")
    );
    assert_eq!(world.asked[0].field("range").as_deref(), Some("bytes=0-4"));
    let got = world.refused(ranged("bytes=1-2"));
    assert_eq!((got.status, got.body.as_str()), (206, "12"));
    assert_eq!(got.field("content-range").as_deref(), Some("bytes 1-2/10"));
    assert_eq!(
        world.refused(ranged("bytes=20-")).status,
        416,
        "the length is known"
    );
    let got = world.exchange(ranged("bytes=3-"), &part("bytes 3-9/10", "3456789"));
    assert_eq!(
        got.field("cache-status").as_deref(),
        Some("breakwater; fwd=partial; stored")
    );
    let got = world.exchange(ranged("bytes=0-2"), &part("bytes 0-2/10", "012"));
    assert_eq!(got.body, "012");
    let got = world.refused(Request::get("/"));
    assert_eq!(
        (got.status, got.body.as_str(), got.length),
        (200, "0123456789", Some(10))
    );
}

#[test]
fn the_whole_is_asked_for_as_ever_where_only_a_part_is_kept() {
    let mut world = World::shop(|_| ());
    world.exchange(ranged("bytes=0-4"), &part("bytes 0-4/10", "01234"));
    let only = Request::get("/").with("cache-control", "only-if-cached");
    assert_eq!(world.refused(only).status, 504);
    let outdated = ranged("bytes=0-1").with("if-range", "\"0\"");
    let whole = Answer::new(
        200,
        &[("cache-control", "max-age=60"), ("etag", "\"2\"")],
        "abcdefghij",
    );
    let got = world.exchange(outdated, &whole);
    assert_eq!((got.status, got.body.as_str()), (200, "abcdefghij"));
    assert_eq!(world.asked[1].field("if-range").as_deref(), Some("\"0\""));
    assert_eq!(world.refused(ranged("bytes=0-1")).body, "ab");
    let mut world = World::shop(|_| ());
    world.exchange(ranged("bytes=0-4"), &part("bytes 0-4/10", "01234"));
    let client = world.open(Request::get("/"));
    assert_eq!(
        world.asked[1].field("range"),
        None,
        "a plain GET is one to the origin, too"
    );
    world.answer(1, &whole);
    assert_eq!(world.got(client).body, "abcdefghij");
    assert_eq!(world.refused(Request::get("/")).body, "abcdefghij");
}

/// An error that a visitor's `Range` may have caused is nobody else's.
#[test]
fn of_a_request_for_a_part_only_what_is_about_the_whole_is_kept() {
    for (status, fields) in [
        (416, &[("content-range", "bytes */10")][..]),
        (400, &[]),
        (404, &[]),
        (301, &[("location", "/x")]),
        (206, &[("content-range", "bytes 0-1/*")]),
        (206, &[("content-range", "bytes 0-7/10")]),
        (206, &[("content-type", "multipart/byteranges; boundary=x")]),
        (200, &[("content-range", "bytes 0-4/10")]),
    ] {
        let mut world = World::shop(|_| ());
        let mut lines = vec![("cache-control", "max-age=60"), ("etag", "\"1\"")];
        lines.extend_from_slice(fields);
        let got = world.exchange(ranged("bytes=0-4"), &Answer::new(status, &lines, "01234"));
        assert_eq!((got.status, got.body.as_str()), (status, "01234"));
        assert_eq!(
            got.field("cache-status").as_deref(),
            Some("breakwater; fwd=uri-miss; detail=partial"),
            "{status} {fields:?}"
        );
        world.exchange(Request::get("/"), &Answer::ok());
        assert_eq!(world.asked.len(), 2);
    }
}

#[test]
fn a_206_that_nobody_asked_for_is_not_kept() {
    let mut world = World::shop(|_| ());
    let got = world.exchange(Request::get("/"), &part("bytes 0-4/10", "01234"));
    assert_eq!((got.status, got.body.as_str()), (206, "01234"));
    let before = world.asked.len();
    world.exchange(ranged("bytes=0-1"), &part("bytes 0-1/10", "01"));
    assert_eq!(world.asked.len(), before + 1);
}

#[test]
fn a_part_of_the_same_version_validates_what_is_stale() {
    let mut world = stored();
    world.wait(Duration::from_secs(100));
    world.exchange(ranged("bytes=0-1"), &part("bytes 0-1/10", "01"));
    assert_eq!(world.refused(Request::get("/")).body, "0123456789");
}

#[test]
fn several_ranges_and_conditions_pass_to_the_origin_as_they_are() {
    for (request, field, value) in [
        (ranged("bytes=0-1,5-6"), "range", "bytes=0-1,5-6"),
        (ranged("lines=1"), "range", "lines=1"),
        (
            ranged("bytes=0-1").with("if-none-match", "\"1\""),
            "if-none-match",
            "\"1\"",
        ),
    ] {
        let mut world = World::shop(|_| ());
        world.open(request);
        assert!(!world.asked[0].is_fill());
        assert_eq!(world.asked[0].field(field).as_deref(), Some(value));
    }
}
