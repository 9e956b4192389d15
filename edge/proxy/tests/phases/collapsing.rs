use breakwater_edge_proxy::{BodyHint, FailureKind, Reason};

use crate::memory::{Answer, Ended, Request, World, lines};

fn fresh(body: &'static str) -> Answer {
    Answer::new(200, &[("cache-control", "max-age=60")], body)
}

#[test]
fn many_visitors_cause_one_request_and_read_it_as_it_comes() {
    let mut world = World::shop(|_| ());
    let clients: Vec<_> = (0..5).map(|_| world.open(Request::get("/"))).collect();
    assert_eq!(world.asked.len(), 1);
    world.head(0, &fresh(""), BodyHint::Streamed);
    world.body(0, "hel");
    for client in &clients {
        assert_eq!(
            (world.got(*client).body.as_str(), world.got(*client).ended),
            ("hel", None)
        );
    }
    world.wait(std::time::Duration::from_secs(3));
    let late = world.open(Request::get("/"));
    assert_eq!(world.got(late).body, "hel");
    let age = |client: usize| world.got(client).field("age");
    assert_eq!(age(clients[0]), None, "the one who asked has the origin's answer");
    assert_eq!(age(clients[1]).as_deref(), Some("0"));
    assert_eq!(age(late).as_deref(), Some("3"));
    world.body(0, "lo");
    world.end(0, &lines(&[]));
    for client in clients.iter().chain([&late]) {
        assert_eq!(
            (world.got(*client).body.as_str(), world.got(*client).ended),
            ("hello", Some(Ended::Whole))
        );
    }
    let status = |client: usize| world.got(client).field("cache-status").unwrap();
    assert_eq!(status(0), "breakwater; fwd=uri-miss; stored");
    assert_eq!(status(1), "breakwater; fwd=uri-miss; stored; collapsed");
}

#[test]
fn a_fill_outlives_the_visitor_that_caused_it() {
    let mut world = World::shop(|_| ());
    let client = world.open(Request::get("/"));
    world.head(0, &fresh(""), BodyHint::Length(5));
    world.leave(client);
    world.body(0, "hello");
    assert!(world.end(0, &lines(&[])).unwrap().stored.is_ok());
    assert_eq!(world.refused(Request::get("/")).body, "hello");
}

#[test]
fn who_waits_gets_the_answer_though_the_visitor_who_asked_left_before_its_head() {
    let mut world = World::shop(|_| ());
    let first = world.open(Request::get("/"));
    let second = world.open(Request::get("/"));
    world.leave(first);
    world.answer(0, &fresh("hello"));
    assert_eq!((world.asked.len(), world.got(second).body.as_str()), (1, "hello"));
    assert_eq!(world.refused(Request::get("/")).body, "hello");
}

#[test]
fn visitors_who_waited_for_what_cannot_be_shared_ask_for_themselves_at_once() {
    let mut world = World::shop(|_| ());
    let clients: Vec<_> = (0..3).map(|_| world.open(Request::get("/"))).collect();
    assert_eq!(world.asked.len(), 1);
    let private = Answer::new(200, &[("cache-control", "private")], "for one");
    world.head(0, &private, BodyHint::Streamed);
    assert_eq!(world.asked.len(), 3, "those who waited left in parallel");
    world.body(0, "for one");
    world.end(0, &lines(&[]));
    assert_eq!(world.got(clients[0]).body, "for one");
    assert_eq!(world.got(clients[1]).ended, None);
    world.answer(1, &Answer::new(200, &[("cache-control", "private")], "for two"));
    world.answer(2, &Answer::new(200, &[("cache-control", "private")], "for three"));
    assert_eq!(world.got(clients[1]).body, "for two");
    assert_eq!(world.got(clients[2]).body, "for three");
    let (one, two) = (world.open(Request::get("/")), world.open(Request::get("/")));
    assert_eq!(world.asked.len(), 5, "and for a while nobody waits");
    world.leave(one);
    world.leave(two);
}

#[test]
fn visitors_of_another_variant_leave() {
    let mut world = World::shop(|_| ());
    let de = world.open(Request::get("/").with("accept-language", "de"));
    let en = world.open(Request::get("/").with("accept-language", "en"));
    assert_eq!(world.asked.len(), 1);
    let answer = |body| {
        Answer::new(
            200,
            &[("cache-control", "max-age=60"), ("vary", "accept-language")],
            body,
        )
    };
    world.answer(0, &answer("deutsch"));
    assert_eq!(world.asked[1].field("accept-language").as_deref(), Some("en"));
    world.answer(1, &answer("english"));
    assert_eq!(
        (world.got(de).body.as_str(), world.got(en).body.as_str()),
        ("deutsch", "english")
    );
    assert_eq!(
        world
            .refused(Request::get("/").with("accept-language", "en"))
            .body,
        "english"
    );
    assert_eq!(
        world
            .refused(Request::get("/").with("accept-language", "de"))
            .body,
        "deutsch"
    );
}

#[test]
fn range_unsafe_and_authorized_requests_do_not_join() {
    let mut world = World::shop(|_| ());
    let first = world.open(Request::get("/"));
    world.open(Request::get("/").with("range", "bytes=0-1"));
    world.open(Request::get("/").with("authorization", "Bearer x"));
    world.open(Request::new("POST", "shop.example", "/"));
    assert_eq!(world.asked.len(), 4);
    assert_eq!(world.asked[2].field("authorization").as_deref(), Some("Bearer x"));
    world.answer(0, &fresh("hello"));
    assert_eq!(world.got(first).body, "hello");
}

#[test]
fn who_waits_too_long_for_another_asks_alone() {
    let mut world = World::shop(|_| ());
    let _slow = world.open(Request::get("/"));
    let second = world.open(Request::get("/"));
    world.time_out(second);
    assert_eq!(world.asked.len(), 2);
    world.answer(1, &fresh("hello"));
    assert_eq!(world.got(second).body, "hello");
}

#[test]
fn an_origin_that_fails_is_not_asked_again_for_each_who_waited() {
    let mut world = World::shop(|_| ());
    let clients: Vec<_> = (0..3).map(|_| world.open(Request::get("/"))).collect();
    world.fail(0, FailureKind::Timeout);
    assert_eq!(world.asked.len(), 1);
    for client in clients {
        let (status, reason, ..) = world.record(client);
        assert_eq!(
            (status, reason),
            (504, Some(Reason::OriginTimeout)),
            "and each is told why"
        );
    }
}

#[test]
fn a_fill_whose_task_vanished_is_begun_again() {
    let mut world = World::shop(|_| ());
    let clients: Vec<_> = (0..2).map(|_| world.open(Request::get("/"))).collect();
    world.drop_fill(0);
    assert_eq!(world.asked.len(), 2);
    world.answer(1, &fresh("hello"));
    assert!(clients.iter().all(|client| world.got(*client).body == "hello"));
    let unlucky = world.open(Request::new("GET", "shop.example", "/other"));
    for asked in 2..5 {
        world.drop_fill(asked);
    }
    assert_eq!((world.asked.len(), world.got(unlucky).status), (5, 502));
}

#[test]
fn a_purge_keeps_what_was_asked_before_it_from_everybody() {
    let mut world = World::shop(|_| ());
    let early = world.open(Request::get("/"));
    let cache = world.worker.shared().cache.clone();
    cache.purge_site(&cache.site(b"uid-shop"));
    let late = world.open(Request::get("/"));
    assert_eq!(world.asked.len(), 2, "nobody joins an older fill");
    world.answer(0, &fresh("old"));
    world.answer(1, &fresh("new"));
    assert_eq!(
        (world.got(early).body.as_str(), world.got(late).body.as_str()),
        ("old", "new")
    );
    assert_eq!(world.refused(Request::get("/")).body, "new");
}
