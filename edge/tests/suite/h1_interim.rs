//! What stands before the final answer: 1xx of the origin, and 100 (Continue) of our own.

use breakwater_edge::Edge;
use tokio::io::AsyncWriteExt;

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, caching_site, forward_site, origin_at};
use crate::support::{edge_with, options};

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x\r\nx: y\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok";

async fn set_up(cached: bool) -> (Edge, RawOrigin, Raw) {
    let origin = RawOrigin::bind();
    let make = if cached { caching_site } else { forward_site };
    let edge = edge_with(
        options(),
        vec![make("a", "a.example", origin_at(&[origin.address]))],
    );
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, origin, visitor)
}

#[tokio::test]
async fn early_hints_reach_the_visitor_before_the_answer_and_without_fields_of_the_connection() {
    for cached in [false, true] {
        let (_edge, origin, mut visitor) = set_up(cached).await;
        visitor.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        server.send(HINTS).await;
        assert_eq!(
            visitor.head().await.unwrap(),
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        );
        // Those that come with the answer stand before it too.
        server
            .send(&[HINTS, "HTTP/1.1 102 Processing\r\n\r\n", OK].concat())
            .await;
        let answer = visitor.answer().await.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
        assert_eq!(answer.interim.len(), 2, "{:?}", answer.interim);
    }
}

#[tokio::test]
async fn what_is_stored_is_served_without_hints_and_http_1_0_gets_none() {
    let (edge, origin, mut visitor) = set_up(true).await;
    visitor.send("GET / HTTP/1.0\r\nhost: a.example\r\n\r\n").await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server.send(&[HINTS, OK].concat()).await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(visitor.ends().await);
    let answer = Raw::connect(edge.addresses().http[0])
        .await
        .get("a.example", "/")
        .await;
    assert_eq!(
        (answer.status, answer.interim.len(), &*answer.body),
        (200, 0, &b"ok"[..])
    );
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn a_visitor_is_told_to_continue_when_the_origin_takes_its_body() {
    let (_edge, origin, mut visitor) = set_up(false).await;
    visitor.send(EXPECTING).await;
    let mut server = origin.accept().await;
    assert_eq!(visitor.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send("hello").await;
    let request = server.request().await.unwrap();
    assert_eq!((request.field("expect"), &*request.body), (None, &b"hello"[..]));
    server.send(OK).await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, None));
    // One who doesn't wait for it isn't told.
    visitor.send(&[EXPECTING, "hello"].concat()).await;
    assert_eq!(server.request().await.unwrap().body, b"hello");
    server.send(OK).await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
}

#[tokio::test]
async fn a_body_that_was_not_asked_for_ends_the_connection() {
    // Nobody listens there: the origin's answer is ours.
    let nowhere = crate::support::origin::Nowhere::new();
    let edge = edge_with(
        options(),
        vec![forward_site("a", "a.example", origin_at(&[nowhere.address]))],
    );
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    visitor.send(EXPECTING).await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (502, 0));
    assert_eq!(answer.field("connection"), Some("close"));
    // What it sends all the same isn't taken for a request.
    let _ = visitor
        .io
        .write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    assert!(visitor.ends().await);
}
