//! Content codings: who is asked for what, what is compressed, and what is kept apart.

use std::time::Duration;

use breakwater_edge_config::{CachePolicy, Compression, Encoding};
use breakwater_edge_proxy::BodyHint;

use crate::memory::{Answer, Ended, Request, World};

/// A world whose policy compresses bodies of any length.
fn world(encodings: &[Encoding]) -> World {
    World::shop(|site| {
        site.cache = Some(CachePolicy {
            compression: Some(Compression {
                encodings: encodings.to_vec(),
                min_bytes: 4,
            }),
            ..CachePolicy::rfc()
        });
    })
}

fn from(accepted: &str) -> Request {
    Request::get("/").with("accept-encoding", accepted)
}

const TEXT: &[(&str, &str)] = &[
    ("content-type", "text/plain"),
    ("cache-control", "max-age=60"),
    ("etag", "\"1\""),
];

fn text() -> Answer {
    Answer::new(200, TEXT, "plain text of an origin")
}

fn with(more: &[(&str, &str)]) -> Answer {
    Answer::new(200, &[TEXT, more].concat(), "plain text of an origin")
}

#[test]
fn the_first_visitor_and_later_ones_of_its_class_get_the_body_compressed() {
    let mut world = world(&[Encoding::Gzip]);
    let first = world.exchange(from("deflate, gzip"), &text());
    assert_eq!(world.asked[0].field("accept-encoding").as_deref(), Some("gzip"));
    assert_eq!(first.field("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(first.field("etag").as_deref(), Some("W/\"1\""));
    assert_eq!(first.field("vary").as_deref(), Some("Accept-Encoding"));
    assert_eq!((first.length, first.ended), (None, Some(Ended::Whole)));
    let hit = world.refused(from("gzip;q=0.9, identity;q=0.1"));
    assert_eq!(hit.field("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(hit.field("vary").as_deref(), Some("Accept-Encoding"));
    assert_eq!(hit.body, first.body);
    assert!(hit.length.is_some());
    let head = world.refused(Request::new("HEAD", "shop.example", "/").with("accept-encoding", "gzip"));
    assert_eq!((head.length, head.body.as_str()), (hit.length, ""));
}

#[test]
fn who_does_not_take_it_gets_a_body_of_its_own() {
    let mut world = world(&[Encoding::Gzip]);
    world.exchange(from("gzip"), &text());
    for (at, accepted) in ["br", "gzip;q=0", "identity"].into_iter().enumerate() {
        if at == 0 {
            let plain = world.exchange(from(accepted), &text());
            assert_eq!(
                world.asked[1].field("accept-encoding").as_deref(),
                Some("identity")
            );
            assert_eq!(plain.field("content-encoding"), None);
            assert_eq!(
                plain.field("etag").as_deref(),
                Some("\"1\""),
                "nothing was changed"
            );
            assert_eq!(plain.field("vary").as_deref(), Some("Accept-Encoding"));
        }
        assert_eq!(world.refused(from(accepted)).body, "plain text of an origin");
    }
    assert_eq!(world.refused(Request::get("/")).body, "plain text of an origin");
}

#[test]
fn what_is_not_worth_it_or_must_not_be_changed_stays_as_it_is() {
    let rows: &[(&str, Answer)] = &[
        (
            "an image",
            Answer::new(
                200,
                &[("content-type", "image/png"), ("cache-control", "max-age=60")],
                "image",
            ),
        ),
        (
            "no type",
            Answer::new(200, &[("cache-control", "max-age=60")], "image"),
        ),
        ("too short", Answer::new(200, TEXT, "abc")),
        ("no-transform", with(&[("cache-control", "no-transform")])),
        ("a digest", with(&[("repr-digest", "sha-256=:AAAA:")])),
        (
            "a digest of the content",
            with(&[("content-digest", "sha-256=:AAAA:")]),
        ),
        ("two types", with(&[("content-type", "text/html")])),
    ];
    for (name, answer) in rows {
        let mut world = world(&[Encoding::Gzip]);
        let got = world.exchange(from("gzip"), answer);
        assert_eq!(got.field("content-encoding"), None, "{name}");
        assert_eq!(got.body, answer.body, "{name}");
        assert_eq!(got.field("vary"), None, "{name}: the same for everybody");
        assert_eq!(
            world.refused(Request::get("/")).body,
            answer.body,
            "{name}: stored once"
        );
    }
}

#[test]
fn what_is_not_stored_is_not_compressed() {
    let mut world = world(&[Encoding::Gzip]);
    let private = Answer::new(
        200,
        &[("content-type", "text/html"), ("cache-control", "private")],
        "a secret and what the visitor sent",
    );
    let got = world.exchange(from("gzip"), &private);
    assert_eq!(got.field("content-encoding"), None);
    assert_eq!(got.field("vary").as_deref(), Some("Accept-Encoding"));
    assert_eq!(got.body, private.body);
}

#[test]
fn what_the_origin_has_compressed_is_kept_as_it_came() {
    let mut world = world(&[Encoding::Brotli, Encoding::Gzip]);
    let coded = with(&[("content-encoding", "br")]);
    let got = world.exchange(from("gzip, br"), &coded);
    assert_eq!(got.field("content-encoding").as_deref(), Some("br"));
    assert_eq!(got.field("etag").as_deref(), Some("\"1\""));
    assert_eq!(got.field("vary").as_deref(), Some("Accept-Encoding"));
    assert_eq!((got.body.as_str(), got.length), (coded.body, Some(23)));
    assert_eq!(world.refused(from("br")).body, coded.body);
}

/// Some origins send one coding whatever they are asked for.
#[test]
fn a_coding_that_a_visitor_does_not_take_is_not_served_to_it_from_the_cache() {
    let mut world = world(&[Encoding::Brotli]);
    let coded = with(&[("content-encoding", "gzip")]);
    world.exchange(from("br, gzip"), &coded);
    assert_eq!(
        world
            .refused(from("br, gzip"))
            .field("content-encoding")
            .as_deref(),
        Some("gzip")
    );
    let only_br = world.exchange(from("br"), &Answer::new(406, &[], "no"));
    assert_eq!(only_br.status, 406);
    assert_eq!(
        world.asked[1].field("accept-encoding").as_deref(),
        Some("br"),
        "the visitor's own"
    );
    let refuses_all = world.exchange(from("identity;q=0"), &Answer::new(406, &[], "no"));
    assert_eq!(refuses_all.status, 406);
    assert_eq!(
        world.asked[2].field("accept-encoding").as_deref(),
        Some("identity;q=0")
    );
}

#[test]
fn those_who_wait_for_a_fill_are_told_apart_by_class_and_not_by_spelling() {
    let mut world = world(&[Encoding::Gzip]);
    let leads = world.open(from("gzip"));
    let joins = world.open(from("deflate,  gzip;q=1.0"));
    let other = world.open(from("br"));
    assert_eq!(world.asked.len(), 1);
    world.answer(0, &text());
    assert_eq!(
        world.got(leads).field("content-encoding").as_deref(),
        Some("gzip")
    );
    assert_eq!(world.got(joins).body, world.got(leads).body);
    assert_eq!(world.asked.len(), 2, "another class asks for itself");
    world.answer(1, &text());
    assert_eq!(world.got(other).body, "plain text of an origin");
}

#[test]
fn a_compressed_answer_is_validated_by_the_origins_own_tag_and_lives_on() {
    let mut world = world(&[Encoding::Gzip]);
    let first = world.exchange(from("gzip"), &text());
    world.wait(Duration::from_secs(61));
    let client = world.open(from("gzip").with("if-none-match", "W/\"other\""));
    assert_eq!(world.asked[1].field("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(world.asked[1].field("accept-encoding").as_deref(), Some("gzip"));
    let vary = [
        ("etag", "\"1\""),
        ("cache-control", "max-age=60"),
        ("vary", "x-kind"),
    ];
    world.answer(1, &Answer::new(304, &vary, ""));
    let got = world.got(client);
    assert_eq!((got.status, &got.body), (200, &first.body));
    assert_eq!(got.field("etag").as_deref(), Some("W/\"1\""));
    assert_eq!(got.field("content-encoding").as_deref(), Some("gzip"));
    let names: Vec<_> = got.fields.iter().filter(|(name, _)| name == "vary").collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // Once more: what was confirmed is still known to have been changed.
    world.wait(Duration::from_secs(61));
    world.open(from("gzip"));
    assert_eq!(world.asked[2].field("if-none-match").as_deref(), Some("\"1\""));
}

#[test]
fn an_origin_that_forbids_changes_from_now_on_is_asked_anew() {
    let mut world = world(&[Encoding::Gzip]);
    world.exchange(from("gzip"), &text());
    world.wait(Duration::from_secs(61));
    let client = world.open(from("gzip"));
    world.answer(
        1,
        &Answer::new(
            304,
            &[("etag", "\"1\""), ("cache-control", "max-age=9, no-transform")],
            "",
        ),
    );
    assert_eq!(world.asked[2].field("if-none-match"), None);
    world.answer(2, &with(&[("cache-control", "no-transform")]));
    assert_eq!(world.got(client).body, "plain text of an origin");
}

#[test]
fn visitors_conditions_and_ranges_are_about_what_is_stored() {
    let mut world = world(&[Encoding::Gzip]);
    world.exchange(from("gzip"), &text());
    for tag in ["W/\"1\"", "\"1\""] {
        let got = world.refused(from("gzip").with("if-none-match", tag));
        assert_eq!((got.status, got.body.as_str()), (304, ""), "{tag}");
        assert_eq!(got.field("etag").as_deref(), Some("W/\"1\""));
        assert_eq!(got.field("vary").as_deref(), Some("Accept-Encoding"));
    }
    let part = world.refused(from("gzip").with("range", "bytes=0-1"));
    assert_eq!((part.status, part.length), (206, Some(2)));
    assert_eq!(part.field("content-encoding").as_deref(), Some("gzip"));
    for tag in ["W/\"1\"", "\"1\""] {
        let whole = world.refused(from("gzip").with("range", "bytes=0-1").with("if-range", tag));
        assert_eq!(whole.status, 200, "a weak tag continues nothing: {tag}");
    }
}

#[test]
fn a_body_of_another_length_than_told_is_not_ended_cleanly() {
    let mut world = world(&[Encoding::Gzip]);
    let client = world.open(from("gzip"));
    world.head(0, &text(), BodyHint::Length(100));
    world.body(0, "too short");
    assert_eq!(world.end(0, &Vec::new()), None);
    assert_eq!(world.got(client).ended, Some(Ended::Aborted));
    world.exchange(from("gzip"), &text());
}

#[test]
fn without_a_policy_nothing_is_changed() {
    let mut world = World::shop(|_| ());
    let got = world.exchange(from("br, x"), &text());
    assert_eq!(world.asked[0].field("accept-encoding").as_deref(), Some("br, x"));
    assert_eq!((got.field("content-encoding"), got.field("vary")), (None, None));
    assert_eq!(world.refused(Request::get("/")).body, got.body);
}

#[test]
fn where_there_is_no_memory_for_an_encoder_bodies_stay_as_they_are() {
    let mut world = world(&[Encoding::Gzip]);
    let many: Vec<_> = (0..64)
        .map(|at| {
            let client = world.open(Request::get(&format!("/{at}")).with("accept-encoding", "gzip"));
            world.head(at, &text(), BodyHint::Streamed);
            client
        })
        .collect();
    let coded = |client: &usize| world.got(*client).field("content-encoding").is_some();
    let coded = many.iter().filter(|client| coded(client)).count();
    assert!((1..64).contains(&coded), "{coded}");
}
