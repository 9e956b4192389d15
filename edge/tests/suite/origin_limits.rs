//! How much of an origin one edge uses.

use breakwater_edge::{Edge, EdgeOptions};
use breakwater_edge_config::{Origin, OriginProtocol};

use crate::support::client::Raw;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::{edge_with, options, until};

const HOST: &str = "a.example";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn edge_before(origin: Origin) -> Edge {
    edge_with(measured(options()), vec![forward_site("a", HOST, origin)])
}

async fn asking(edge: &Edge) -> Raw {
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    visitor
        .send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
        .await;
    visitor
}

#[tokio::test]
async fn more_requests_than_may_wait_for_an_answer_are_refused_at_once() {
    let origin = RawOrigin::bind();
    let edge = edge_before(Origin {
        max_requests: 2,
        ..origin_at(&[origin.address])
    });
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let visitor = asking(&edge).await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        waiting.push((visitor, server));
    }
    let answer = asking(&edge).await.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("breakwater-reason")),
        (503, Some("origin-overloaded"))
    );
    assert!(origin.has_no_more());
    // One whose body is on its way doesn't wait for an answer any more.
    let (visitor, server) = &mut waiting[0];
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    visitor.head().await.unwrap();
    let mut next = asking(&edge).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server.send(OK).await;
    assert_eq!(next.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn requests_queue_for_connections_in_order_and_each_is_answered() {
    let origin = RawOrigin::bind();
    let edge = edge_before(Origin {
        max_connections: 1,
        ..origin_at(&[origin.address])
    });
    let mut first = asking(&edge).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    let mut metrics = Metrics::of(&edge).await;
    let mut queue = Vec::new();
    for n in 0..10 {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        visitor
            .send(&format!("GET /{n} HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
            .await;
        metrics
            .until("breakwater_origin_exchanges_total", &[], n + 2)
            .await;
        queue.push(visitor);
    }
    server.send(OK).await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    for (n, visitor) in queue.iter_mut().enumerate() {
        assert_eq!(server.request().await.unwrap().line(), format!("GET /{n}"));
        server.send(OK).await;
        assert_eq!(visitor.answer().await.unwrap().status, 200);
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn the_end_of_a_connection_makes_room_for_the_next_in_the_queue() {
    let origin = RawOrigin::bind();
    let edge = edge_before(Origin {
        max_connections: 1,
        ..origin_at(&[origin.address])
    });
    let mut first = asking(&edge).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    let mut metrics = Metrics::of(&edge).await;
    let gone = asking(&edge).await;
    metrics.until("breakwater_origin_exchanges_total", &[], 2).await;
    let mut second = asking(&edge).await;
    metrics.until("breakwater_origin_exchanges_total", &[], 3).await;
    // Who has gone from the queue takes nobody's place.
    drop(gone);
    metrics.until("breakwater_connections ", &[], 2).await;
    server
        .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    let mut next = origin.accept().await;
    next.request().await.unwrap();
    next.send(OK).await;
    assert_eq!(second.answer().await.unwrap().status, 200);
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn who_gets_no_connection_in_time_is_refused() {
    let origin = RawOrigin::bind();
    let mut limited = Origin {
        max_connections: 1,
        ..origin_at(&[origin.address])
    };
    limited.timeouts.connect_ms = 100;
    let edge = edge_before(limited);
    let mut first = asking(&edge).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    let answer = asking(&edge).await.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("breakwater-reason")),
        (503, Some("origin-overloaded"))
    );
    server.send(OK).await;
    assert_eq!(first.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn over_http2_further_connections_are_made_only_when_one_is_full() {
    let held = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let gate = std::sync::Arc::clone(&held);
    let origin = Server::start(Speaks::Http2, move |_| {
        let gate = std::sync::Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            text("ok")
        }
    });
    let edge = edge_with(
        EdgeOptions {
            workers: 1,
            ..measured(options())
        },
        vec![forward_site(
            "a",
            HOST,
            Origin {
                protocol: OriginProtocol::Http2,
                max_connections: 2,
                ..origin_at(&[origin.address])
            },
        )],
    );
    let mut visitors = Vec::new();
    for _ in 0..100 {
        visitors.push(asking(&edge).await);
    }
    until("a connection's worth of requests", || origin.requests() == 100).await;
    assert_eq!(origin.connections(), 1);
    for _ in 0..100 {
        visitors.push(asking(&edge).await);
    }
    until("two connections' worth of requests", || origin.requests() == 200).await;
    assert_eq!(origin.connections(), 2);
    // More have to wait until a stream ends.
    for _ in 0..50 {
        visitors.push(asking(&edge).await);
    }
    Metrics::of(&edge)
        .await
        .until("breakwater_origin_exchanges_total", &[], 250)
        .await;
    held.add_permits(250);
    for visitor in &mut visitors {
        assert_eq!(visitor.answer().await.unwrap().body, b"ok");
    }
    assert_eq!((origin.connections(), origin.requests()), (2, 250));
}
