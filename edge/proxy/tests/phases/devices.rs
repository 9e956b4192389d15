//! Answers that are kept by class of device.

use breakwater_edge_config::{CachePolicy, SiteConfig};

use crate::memory::{Answer, Request, World};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 Safari/604.1";
const OTHER_PHONE: &str = "Mozilla/5.0 (Android 14; Mobile; rv:131.0) Gecko/131.0 Firefox/131.0";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";

fn by_device(change: impl FnOnce(&mut CachePolicy)) -> impl FnOnce(&mut SiteConfig) {
    |site| {
        let mut policy = CachePolicy::rfc();
        policy.key.device_class = true;
        change(&mut policy);
        site.cache = Some(policy);
    }
}

fn from(agent: &str) -> Request {
    Request::get("/").with("User-Agent", agent)
}

fn page(body: &'static str, vary: &str) -> Answer {
    let fields = [("cache-control", "max-age=60"), ("vary", vary)];
    Answer::new(200, &fields, body)
}

#[test]
fn one_answer_serves_a_class_whatever_its_browsers_and_what_it_varies_by() {
    for vary in ["User-Agent", "x-device-class, Sec-CH-UA-Mobile", "accept"] {
        let mut world = World::shop(by_device(|_| ()));
        world.exchange(from(PHONE), &page("small", vary));
        let hit = world.refused(from(OTHER_PHONE));
        assert_eq!(
            (hit.body.as_str(), hit.field("vary").as_deref()),
            ("small", Some(vary))
        );
        assert_eq!(world.exchange(from(DESKTOP), &page("wide", vary)).body, "wide");
        assert_eq!(world.refused(from("curl/8.9.1")).body, "wide");
        assert_eq!(world.refused(from(PHONE)).body, "small");
    }
}

#[test]
fn those_who_wait_for_an_answer_of_their_class_get_it_whatever_their_browsers() {
    let mut world = World::shop(by_device(|_| ()));
    let first = world.open(from(PHONE));
    let second = world.open(from(OTHER_PHONE));
    world.answer(0, &page("small", "user-agent"));
    assert_eq!(
        (world.got(first).body.as_str(), world.got(second).body.as_str()),
        ("small", "small")
    );
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn without_classes_a_page_that_varies_by_browser_is_kept_for_each() {
    let mut world = World::shop(|_| ());
    world.exchange(from(PHONE), &page("one", "user-agent"));
    assert_eq!(
        world.exchange(from(OTHER_PHONE), &page("two", "user-agent")).body,
        "two"
    );
}

#[test]
fn an_origin_whose_answer_is_stored_sees_the_class_and_not_the_browser() {
    let mut world = World::shop(by_device(|_| ()));
    let asked = world.forwarded(
        from(PHONE)
            .with("x-device-class", "desktop")
            .with("X_Device_Class", "desktop")
            .with("sec-ch-ua-platform", "\"odd\""),
    );
    assert_eq!(asked.field("x-device-class").as_deref(), Some("phone"));
    assert_eq!(asked.field("X_Device_Class"), None);
    assert_eq!(asked.field("sec-ch-ua-platform"), None);
    let agent = asked.field("user-agent").unwrap();
    assert!(agent.contains("Mobile") && !agent.contains("iPhone"), "{agent}");
}

#[test]
fn an_origin_that_answers_one_visitor_sees_both() {
    let mut world = World::shop(by_device(|_| ()));
    let post = Request::new("POST", "shop.example", "/").with("user-agent", PHONE);
    let asked = world.forwarded(post.with("x-device-class", "tablet"));
    assert_eq!(asked.field("x-device-class").as_deref(), Some("phone"));
    assert_eq!(asked.field("user-agent").as_deref(), Some(PHONE));
}

#[test]
fn a_browser_that_is_in_the_key_itself_reaches_the_origin() {
    let mut world = World::shop(by_device(|policy| {
        policy.key.headers = vec!["user-agent".to_owned()];
    }));
    assert_eq!(
        world.forwarded(from(PHONE)).field("user-agent").as_deref(),
        Some(PHONE)
    );
    assert_eq!(
        world.exchange(from(OTHER_PHONE), &page("two", "accept")).body,
        "two"
    );
}

#[test]
fn with_strict_headers_the_class_is_told_all_the_same() {
    let mut world = World::shop(by_device(|policy| policy.strict_headers = true));
    let asked = world.forwarded(from(DESKTOP));
    assert_eq!(asked.field("x-device-class").as_deref(), Some("desktop"));
    assert!(asked.field("user-agent").is_some());
}

/// A field of a visitor's own that nobody asked for says nothing about what is stored.
#[test]
fn without_classes_a_visitor_tells_none() {
    let mut world = World::shop(|_| ());
    assert_eq!(
        world
            .forwarded(Request::get("/").with("x-device-class", "phone"))
            .field("x-device-class"),
        None
    );
}
