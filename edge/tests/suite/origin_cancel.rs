//! A visitor that goes away takes its request to the origin with it, unless others need the answer.

use std::time::Duration;

use breakwater_edge::{Edge, EdgeOptions, Limits};
use breakwater_edge_config::{Origin, OriginProtocol};
use tokio::io::AsyncWriteExt as _;

use crate::support::client::{Raw, get, h2};
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, caching_site, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{edge_with, options, until, with_certificate};

const STORABLE: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 6\r\n\r\n";

fn set_up(origin: &Origin) -> (Edge, Authority) {
    let authority = Authority::new();
    let names = ["pass.example"];
    let sites = vec![
        with_certificate(
            forward_site("pass", names[0], origin.clone()),
            &names,
            authority.issue(&names),
        ),
        caching_site("fill", "fill.example", origin.clone()),
    ];
    (edge_with(measured(options()), sites), authority)
}

async fn asking(edge: &Edge, host: &str) -> Raw {
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    visitor
        .send(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"))
        .await;
    visitor
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_is_cancelled_at_the_origin() {
    for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc"] {
        let origin = RawOrigin::bind();
        let (edge, _) = set_up(&origin_at(&[origin.address]));
        let mut visitor = asking(&edge, "pass.example").await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        server.send(said).await;
        if !said.is_empty() {
            visitor.head().await.unwrap();
        }
        drop(visitor);
        assert!(server.ends().await, "after {said:?}");
        assert!(origin.has_no_more());
    }
}

#[tokio::test]
async fn a_visitor_that_sends_no_more_still_gets_its_answer() {
    for body in ["", "abc"] {
        let origin = RawOrigin::bind();
        let limits = Limits {
            half_closed: Duration::from_mins(10),
            ..Limits::default()
        };
        let site = forward_site("pass", "pass.example", origin_at(&[origin.address]));
        let edge = edge_with(EdgeOptions { limits, ..options() }, vec![site]);
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        let length = body.len();
        visitor
            .send(&format!(
                "POST / HTTP/1.1\r\nhost: pass.example\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        visitor.io.shutdown().await.unwrap();
        server
            .send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
            .await;
        server.send("def").await;
        assert_eq!(visitor.answer().await.unwrap().body, b"abcdef");
        assert!(visitor.ends().await);
    }
}

#[tokio::test]
async fn a_stream_that_a_visitor_resets_is_cancelled_and_its_connection_goes_on() {
    let origin = RawOrigin::bind();
    let (edge, authority) = set_up(&origin_at(&[origin.address]));
    let tls = authority.client(&["h2"], TLS13);
    let mut visitor = h2(connect(&tls, edge.addresses().https[0], "pass.example")
        .await
        .unwrap())
    .await;
    let mut doomed = Box::pin(visitor.send_request(get("https://pass.example/a")));
    let accepting = origin.accept();
    let mut server = tokio::select! {
        server = accepting => server,
        _ = &mut doomed => panic!("nobody has answered"),
    };
    server.request().await.unwrap();
    drop(doomed);
    assert!(server.ends().await);
    let answering = async {
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(visitor.send_request(get("https://pass.example/b")), answering);
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test]
async fn a_cancelled_request_over_http2_leaves_the_origins_connection_to_the_others() {
    let origin = Server::start(Speaks::Http2, |request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        text("ok")
    });
    let (edge, _) = set_up(&Origin {
        protocol: OriginProtocol::Http2,
        ..origin_at(&[origin.address])
    });
    let mut metrics = Metrics::of(&edge).await;
    for n in 0..5 {
        let mut doomed = Raw::connect(edge.addresses().http[0]).await;
        doomed
            .send("GET /never HTTP/1.1\r\nhost: pass.example\r\n\r\n")
            .await;
        until("the request is with the origin", || {
            origin.requests() == 2 * n + 1
        })
        .await;
        drop(doomed);
        // Nothing uses the connection once the stream was reset.
        metrics.until_idle(1).await;
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        assert_eq!(visitor.get("pass.example", "/").await.body, b"ok");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn what_is_being_stored_is_fetched_to_its_end_for_those_who_come_later() {
    for said_before in [0, STORABLE.len(), STORABLE.len() + 3] {
        let origin = RawOrigin::bind();
        let (edge, _) = set_up(&origin_at(&[origin.address]));
        let mut gone = asking(&edge, "fill.example").await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        let whole = format!("{STORABLE}abcdef");
        server.send(&whole[..said_before]).await;
        if said_before > 0 {
            gone.head().await.unwrap();
        }
        drop(gone);
        let mut metrics = Metrics::of(&edge).await;
        metrics.until("breakwater_connections ", &[], 0).await;
        let mut late = asking(&edge, "fill.example").await;
        server.send(&whole[said_before..]).await;
        assert_eq!(late.answer().await.unwrap().body, b"abcdef", "{said_before}");
        assert!(origin.has_no_more());
    }
}

#[tokio::test]
async fn who_waits_for_anothers_fill_is_answered_when_that_one_goes() {
    let origin = RawOrigin::bind();
    let (edge, _) = set_up(&origin_at(&[origin.address]));
    let first = asking(&edge, "fill.example").await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(asking(&edge, "fill.example").await);
    }
    drop(first);
    server.send(STORABLE).await;
    server.send("abcdef").await;
    for other in &mut others {
        assert_eq!(other.answer().await.unwrap().body, b"abcdef");
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn what_cannot_be_stored_ends_with_its_only_reader() {
    let origin = RawOrigin::bind();
    let (edge, _) = set_up(&origin_at(&[origin.address]));
    let mut visitor = asking(&edge, "fill.example").await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server
        .send("HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 1000000\r\n\r\nabc")
        .await;
    visitor.head().await.unwrap();
    drop(visitor);
    assert!(server.ends().await);
}
