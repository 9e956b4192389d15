//! Unsafe methods that succeed make what is stored questionable: for their target and what their answers name.

use breakwater_edge_proxy::BodyHint;

use crate::memory::{Answer, Request, World};

fn stored(targets: &[&str]) -> World {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "old");
    for target in targets {
        world.exchange(Request::get(target), &answer);
    }
    world
}

fn unsafe_one(method: &'static str, target: &str) -> Request {
    Request {
        body: BodyHint::Length(1),
        ..Request::new(method, "shop.example", target)
    }
}

/// Whether a GET of the target goes to the origin.
fn is_questioned(world: &mut World, target: &str) -> bool {
    let before = world.asked.len();
    world.open(Request::get(target));
    let asked = world.asked.len() > before;
    if asked {
        world.answer(before, &Answer::new(304, &[("etag", "\"1\"")], ""));
    }
    asked
}

#[test]
fn what_the_answer_names_on_the_same_host_is_questioned_too() {
    let table: &[(&str, &str, bool)] = &[
        ("/x/item", "/x/item", true),
        ("item", "/x/item", true),
        ("./item", "/x/item", true),
        ("../item", "/item", true),
        ("../../../item", "/item", true),
        ("?q=1", "/x/y?q=1", true),
        ("/x/item?q=1#top", "/x/item?q=1", true),
        ("http://shop.example/x/item", "/x/item", true),
        ("HTTP://SHOP.example:80/x/item", "/x/item", true),
        ("https://shop.example/x/item", "/x/item", true),
        ("//shop.example/x/item", "/x/item", true),
        ("http://shop.example?q=1", "/?q=1", true),
        ("http://shop.example:8080/x/item", "/x/item", false),
        ("http://other.example/x/item", "/x/item", false),
        ("//other.example/x/item", "/x/item", false),
        ("ftp://shop.example/x/item", "/x/item", false),
        ("http:/x/item", "/x/item", true),
        ("mailto:item", "/x/item", false),
        ("", "/x/item", false),
        ("http://shop.example:x/x/item", "/x/item", false),
    ];
    for field in ["location", "content-location"] {
        for (reference, target, expected) in table {
            let mut world = stored(&[target]);
            let answer = Answer::new(201, &[(field, reference)], "");
            world.exchange(unsafe_one("POST", "/x/y"), &answer);
            assert_eq!(
                is_questioned(&mut world, target),
                *expected,
                "{field}: {reference}"
            );
        }
    }
}

#[test]
fn only_what_succeeded_and_may_change_something_questions() {
    for (method, status, expected) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 204, true),
        ("PATCH", 303, true),
        ("BREW", 200, true),
        ("POST", 404, false),
        ("POST", 500, false),
        ("OPTIONS", 200, false),
    ] {
        let mut world = stored(&["/x", "/y"]);
        let answer = Answer::new(status, &[("location", "/y")], "");
        world.exchange(unsafe_one(method, "/x"), &answer);
        for target in ["/x", "/y"] {
            assert_eq!(
                is_questioned(&mut world, target),
                expected,
                "{method} {status} {target}"
            );
        }
    }
}

#[test]
fn a_redirect_to_a_get_questions_nothing() {
    let mut world = stored(&["/y"]);
    let answer = Answer::new(302, &[("location", "/y")], "");
    world.exchange(Request::get("/x"), &answer);
    assert!(!is_questioned(&mut world, "/y"));
}
