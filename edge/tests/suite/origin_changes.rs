//! A change of an origin's configuration costs nobody a request: what is under way ends as it began, what
//! comes later goes by the new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use breakwater_edge::{Change, Edge};
use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{Balancing, Origin, OriginProtocol};

use crate::support::client::Raw;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::{edge_with, options, site_change};

const HOST: &str = "a.example";

fn site(origin: Origin) -> SiteBundle {
    forward_site("a", HOST, origin)
}

fn apply(edge: &Edge, origin: Origin) {
    assert_eq!(edge.apply(vec![site_change(site(origin))]), []);
}

#[tokio::test]
async fn origins_are_replaced_under_load_without_one_failed_request() {
    let (old, new) = (Server::named("old"), Server::named("new"));
    let http2 = Server::start(Speaks::Http2, |_| async { text("h2") });
    let shapes = [
        origin_at(&[old.address]),
        origin_at(&[old.address, new.address]),
        Origin {
            max_connections: 2,
            ..origin_at(&[new.address])
        },
        Origin {
            protocol: OriginProtocol::Http2,
            ..origin_at(&[http2.address])
        },
        Origin {
            name: "renamed".to_owned(),
            balancing: Balancing::LeastRequests,
            ..origin_at(&[new.address, old.address])
        },
    ];
    let edge = edge_with(options(), vec![site(shapes[0].clone())]);
    let address = edge.addresses().http[0];
    let (served, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let visitors: Vec<_> = (0..6)
        .map(|n| {
            let (served, over) = (Arc::clone(&served), Arc::clone(&over));
            tokio::spawn(async move {
                let mut visitor = Raw::connect(address).await;
                while !over.load(Ordering::Relaxed) {
                    let method = ["GET", "POST"][n % 2];
                    visitor
                        .send(&format!(
                            "{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nabc"
                        ))
                        .await;
                    let answer = visitor.answer().await.expect("the connection goes on");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..100 {
        let before = served.load(Ordering::Relaxed);
        apply(&edge, shapes[round % shapes.len()].clone());
        while served.load(Ordering::Relaxed) < before + 10 {
            assert!(visitors.iter().all(|visitor| !visitor.is_finished()));
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    for server in [&old, &new, &http2] {
        assert!(server.requests() > 50);
    }
}

#[tokio::test]
async fn what_is_under_way_ends_with_the_origin_it_began_with_and_its_connections_close() {
    let old = RawOrigin::bind();
    let new = Server::named("new");
    let edge = edge_with(measured(options()), vec![site(origin_at(&[old.address]))]);
    let address = edge.addresses().http[0];
    let get = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    // One connection that is idle, one in the middle of an answer, one that waits for its head.
    let mut connections = Vec::new();
    let mut visitors = Vec::new();
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold-ok",
    ] {
        let mut visitor = Raw::connect(address).await;
        visitor.send(&get).await;
        let mut connection = old.accept().await;
        connection.request().await.unwrap();
        connection.send(said).await;
        connections.push(connection);
        visitors.push(visitor);
    }
    assert_eq!(visitors[2].answer().await.unwrap().body, b"old-ok");
    Metrics::of(&edge).await.until_idle(1).await;
    apply(&edge, origin_at(&[new.address]));
    assert!(connections[2].ends().await, "the idle one closes at once");
    let mut later = Raw::connect(address).await;
    assert_eq!(later.get(HOST, "/").await.body, b"new");
    connections[1].send("-ok").await;
    assert_eq!(visitors[1].answer().await.unwrap().body, b"old-ok");
    connections[0]
        .send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold-ok")
        .await;
    assert_eq!(visitors[0].answer().await.unwrap().body, b"old-ok");
    for connection in &mut connections[..2] {
        assert!(connection.ends().await);
    }
    assert!(old.has_no_more());
}

#[tokio::test]
async fn a_change_that_leaves_an_endpoint_as_it_is_keeps_its_connections() {
    let server = Server::named("same");
    let other = Server::named("other");
    let edge = edge_with(measured(options()), vec![site(origin_at(&[server.address]))]);
    let mut metrics = Metrics::of(&edge).await;
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    for n in 0..10 {
        assert_eq!(visitor.get(HOST, "/").await.body, b"same");
        metrics.until_idle(1).await;
        let mut changed = origin_at(&[server.address]);
        changed.timeouts.first_byte_ms = 1000 + n;
        changed.max_requests = 100 + u32::try_from(n).unwrap();
        apply(&edge, changed);
    }
    assert_eq!((server.connections(), server.requests()), (1, 10));
    apply(&edge, origin_at(&[server.address, other.address]));
    for _ in 0..4 {
        visitor.get(HOST, "/").await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn requests_in_the_queue_of_an_origin_that_goes_are_still_answered() {
    let old = RawOrigin::bind();
    let new = Server::named("new");
    let mut narrow = origin_at(&[old.address]);
    narrow.max_connections = 1;
    let edge = edge_with(measured(options()), vec![site(narrow)]);
    let get = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let mut visitors = Vec::new();
    for _ in 0..3 {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        visitor.send(&get).await;
        visitors.push(visitor);
    }
    let mut metrics = Metrics::of(&edge).await;
    metrics.until("breakwater_origin_exchanges_total", &[], 3).await;
    let mut connection = old.accept().await;
    connection.request().await.unwrap();
    apply(&edge, origin_at(&[new.address]));
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold";
    connection.send(answer).await;
    // They go on with the one that they began with, on connections that nobody uses afterwards.
    for _ in 0..2 {
        let mut connection = old.accept().await;
        connection.request().await.unwrap();
        connection.send(answer).await;
        assert!(connection.ends().await);
    }
    for visitor in &mut visitors {
        assert_eq!(visitor.answer().await.unwrap().body, b"old");
    }
}

#[tokio::test]
async fn a_site_that_goes_takes_its_idle_connections_along() {
    let raw = RawOrigin::bind();
    let edge = edge_with(measured(options()), vec![site(origin_at(&[raw.address]))]);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    let answering = async {
        let mut connection = raw.accept().await;
        connection.request().await.unwrap();
        connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        connection
    };
    let (answer, mut connection) = tokio::join!(visitor.get(HOST, "/"), answering);
    assert_eq!(answer.status, 204);
    Metrics::of(&edge).await.until_idle(1).await;
    let gone = Change::Remove {
        name: "site-a".to_owned(),
    };
    assert_eq!(edge.apply(vec![gone]), []);
    assert!(connection.ends().await);
}
