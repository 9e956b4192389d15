use std::sync::Arc;

use breakwater_edge_config::{HostPattern, HttpsRedirect, TlsVersion};
use breakwater_edge_proxy::compile::Directory;
use breakwater_edge_proxy::{Protocol, Reason};

use crate::memory::{Answer, Ended, Request, World, connection, site, tls_connection};

#[test]
fn an_unknown_host_gets_no_answer() {
    let mut world = World::shop(|_| ());
    let unknown = || Request::new("GET", "other.example", "/");
    assert_eq!(
        world.refused(unknown()).ended,
        Some(Ended::Closed(Reason::UnknownHost))
    );
    world.conn = connection(Protocol::Http2, "198.51.100.7");
    assert_eq!(
        world.refused(unknown()).ended,
        Some(Ended::Reset(Reason::UnknownHost))
    );
}

#[test]
fn an_exact_host_wins_over_a_wildcard_and_a_wildcard_covers_one_label() {
    let mut world = World::new(site("wild", "*.example.com"));
    world.serve(site("exact", "www.example.com"));
    for (host, owner) in [
        ("a.example.com", Some("uid-wild")),
        ("WWW.example.com", Some("uid-exact")),
        ("a.b.example.com", None),
        ("example.com", None),
    ] {
        let before = world.asked.len();
        let got = world.exchange(Request::new("GET", host, "/"), &Answer::ok());
        let served = world
            .asked
            .get(before)
            .map(|asked| asked.plan.site.uid().to_owned());
        assert_eq!(served.as_deref(), owner, "{host} {got:?}");
    }
}

#[test]
fn a_host_that_moves_is_served_by_its_new_site_and_one_that_goes_is_not_served() {
    let mut world = World::new(site("old", "a.example"));
    let ask = |world: &mut World| {
        let before = world.asked.len();
        world.exchange(Request::new("GET", "a.example", "/"), &Answer::ok());
        world
            .asked
            .get(before)
            .map(|asked| asked.plan.site.uid().to_owned())
    };
    world.serve(site("new", "a.example"));
    assert_eq!(ask(&mut world).as_deref(), Some("uid-new"));
    let mut renamed = site("new", "b.example");
    world.serve(renamed.clone());
    assert_eq!(ask(&mut world).as_deref(), Some("uid-old"));
    renamed.hosts.push(HostPattern::parse("a.example").unwrap());
    world.serve(renamed.clone());
    let id = site("old", "a.example").id;
    assert!(world.directory.change(|change| change.remove(&id)));
    assert!(!world.directory.change(|change| change.remove(&id)));
    assert_eq!(ask(&mut world).as_deref(), Some("uid-new"));
    world.directory.change(|change| change.remove(&renamed.id));
    assert_eq!(ask(&mut world), None);
}

#[test]
fn a_request_in_flight_finishes_on_the_configuration_that_it_began_with() {
    let edited = |value: &str| {
        let mut config = site("shop", "shop.example");
        config
            .response_headers
            .set
            .push(("x-version".to_owned(), value.to_owned()));
        config
    };
    let mut world = World::new(edited("1"));
    let client = world.open(Request::get("/"));
    world.serve(edited("2"));
    world.answer(0, &Answer::ok());
    assert_eq!(world.got(client).field("x-version").as_deref(), Some("1"));
    let next = world.exchange(Request::get("/"), &Answer::ok());
    assert_eq!(next.field("x-version").as_deref(), Some("2"));
}

#[test]
fn a_host_that_the_connection_does_not_vouch_for_is_misdirected() {
    let mut world = World::new(site("a", "a.example"));
    let mut strict = site("b", "b.example");
    strict.tls.min_version = TlsVersion::Tls13;
    world.serve(strict);
    world.conn = tls_connection(Protocol::Http2, &["a.example"]);
    let get = |host: &str| Request::new("GET", host, "/");
    assert_eq!(world.exchange(get("a.example"), &Answer::ok()).status, 200);
    assert_eq!(world.refused(get("b.example")).status, 421);
    world.conn = tls_connection(Protocol::Http2, &["a.example", "b.example"]);
    assert_eq!(world.exchange(get("b.example"), &Answer::ok()).status, 200);
    if let Some(tls) = &mut world.conn.tls {
        tls.version = TlsVersion::Tls12;
    }
    assert_eq!(world.refused(get("b.example")).status, 421);
}

#[test]
fn plain_http_is_sent_to_https_with_its_whole_target() {
    let mut world = World::shop(|site| {
        site.tls.redirect = Some(HttpsRedirect {
            status: 308,
            port: 8443,
        });
    });
    let got = world.refused(Request::new("GET", "SHOP.example:80", "/a?b=c"));
    assert_eq!(got.status, 308);
    assert_eq!(
        got.field("location").as_deref(),
        Some("https://shop.example:8443/a?b=c")
    );
    world.conn = tls_connection(Protocol::Http1, &["shop.example"]);
    assert_eq!(world.exchange(Request::get("/"), &Answer::ok()).status, 200);
}

#[test]
fn snapshots_count_and_list_their_sites() {
    let world = World::new(site("a", "a.example"));
    let directory: &Arc<Directory> = &world.directory;
    assert_eq!(directory.generation(), directory.current().generation());
    world.serve(site("b", "b.example"));
    assert_eq!(directory.generation(), 2);
    assert_eq!(directory.current().sites().count(), 2);
    assert_eq!(directory.current().find("b.example").unwrap().uid(), "uid-b");
}

/// A pool of scratches must hold neither old configurations nor what is gone from the cache.
#[test]
fn a_request_that_was_recorded_holds_nothing_any_more() {
    let mut world = World::shop(|_| ());
    let answer = Answer::new(
        200,
        &[("cache-control", "max-age=10, stale-if-error=60")],
        "hello",
    );
    world.exchange(Request::get("/"), &answer);
    world.release(0);
    world.wait(std::time::Duration::from_secs(20));
    let configuration = Arc::downgrade(&world.directory.current());
    // What is stored may have to stand in for its answer.
    let client = world.open(Request::new("HEAD", "shop.example", "/"));
    world.answer(1, &Answer::new(200, &[], ""));
    world.serve(site("shop", "shop.example"));
    world.exchange(Request::get("/other"), &Answer::ok());
    assert!(configuration.upgrade().is_some());
    world.asked.clear();
    world.release(client);
    assert!(configuration.upgrade().is_none());
}
