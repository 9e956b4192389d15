//! Connections to an origin are used again, unless it isn't certain that the last answer is over; one that
//! turns out to be closed costs a visitor nothing, and no request is ever done twice that may not be.

use breakwater_edge::Edge;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use crate::support::client::Raw;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::{edge_with, options};

const HOST: &str = "a.example";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An edge in front of one origin, and a visitor.
async fn set_up() -> (Edge, RawOrigin, Raw) {
    let origin = RawOrigin::bind();
    let edge = edge_with(
        measured(options()),
        vec![forward_site("a", HOST, origin_at(&[origin.address]))],
    );
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, origin, visitor)
}

async fn ask(visitor: &mut Raw, method: &str, body: &str) {
    let length = match method {
        "GET" | "HEAD" => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    visitor
        .send(&format!(
            "{method} / HTTP/1.1\r\nhost: {HOST}\r\n{length}\r\n{body}"
        ))
        .await;
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection_whoever_asks() {
    let (edge, origin, mut visitor) = set_up().await;
    let mut metrics = Metrics::of(&edge).await;
    ask(&mut visitor, "GET", "").await;
    let mut connection = origin.accept().await;
    connection.request().await.unwrap();
    connection.send(OK).await;
    assert_eq!(visitor.answer().await.unwrap().body, b"ok");
    for (method, body, answer) in [
        ("GET", "", OK),
        ("POST", "abc", OK),
        ("PUT", "", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("GET", "", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
        (
            "GET",
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        // Another visitor each time: connections to origins belong to nobody.
        metrics.until_idle(1).await;
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        ask(&mut visitor, method, body).await;
        let request = connection.request().await.unwrap();
        assert_eq!(
            (request.line(), &*request.body),
            (&*format!("{method} /"), body.as_bytes())
        );
        assert_eq!(request.field("host"), Some(HOST));
        connection.send(answer).await;
        let last_head = answer.rsplit("HTTP/1.1 ").next().unwrap();
        assert_eq!(
            visitor.answer().await.unwrap().status.to_string(),
            last_head[..3],
            "{answer:?}"
        );
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn a_connection_that_may_hold_something_else_is_never_used_again() {
    for (answer, why) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
            "the origin says so",
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 without keep-alive",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            "bytes after the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "two lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            "one length twice",
        ),
        (
            "HTTP/1.1 200 OK\nx: y\r\ncontent-length: 2\r\n\r\nok",
            "a bare line feed",
        ),
    ] {
        let (_edge, origin, mut visitor) = set_up().await;
        ask(&mut visitor, "GET", "").await;
        let mut first = origin.accept().await;
        first.request().await.unwrap();
        first.send(answer).await;
        assert_eq!(visitor.answer().await.unwrap().body, b"ok", "{why}");
        ask(&mut visitor, "GET", "").await;
        let mut second = origin.accept().await;
        second.request().await.unwrap();
        second.send(OK).await;
        assert_eq!(visitor.answer().await.unwrap().body, b"ok", "{why}");
        assert!(first.ends().await, "{why}");
    }
}

#[tokio::test]
async fn a_final_answer_before_the_body_was_sent_ends_the_connection() {
    let (_edge, origin, mut visitor) = set_up().await;
    visitor
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\nabc"
        ))
        .await;
    let mut first = origin.accept().await;
    first.head().await.unwrap();
    first
        .send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(visitor.answer().await.unwrap().status, 403);
    while first.more().await {}
    assert!(origin.has_no_more());
}

/// Brings about a connection that has served once, then dies with the next request on it.
async fn die_with_next_request(
    edge: &Edge,
    origin: &RawOrigin,
    visitor: &mut Raw,
    next: (&str, &str),
    reset: bool,
) {
    ask(visitor, "GET", "").await;
    let mut connection = origin.accept().await;
    connection.request().await.unwrap();
    connection.send(OK).await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
    Metrics::of(edge).await.until_idle(1).await;
    ask(visitor, next.0, next.1).await;
    connection.request().await.unwrap();
    if reset {
        SockRef::from(&connection.io)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }
}

#[tokio::test]
async fn an_idempotent_request_that_a_stale_connection_swallowed_is_made_on_a_new_one_without_any_retry_configured()
 {
    for (method, body) in [("GET", ""), ("HEAD", ""), ("PUT", "new"), ("DELETE", "")] {
        for reset in [false, true] {
            let (edge, origin, mut visitor) = set_up().await;
            die_with_next_request(&edge, &origin, &mut visitor, (method, body), reset).await;
            let mut second = origin.accept().await;
            let request = second.request().await.unwrap();
            assert_eq!(
                (request.line(), &*request.body),
                (&*format!("{method} /"), body.as_bytes())
            );
            second.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            assert_eq!(
                visitor.answer().await.unwrap().status,
                204,
                "{method} reset: {reset}"
            );
            assert!(origin.has_no_more());
        }
    }
}

#[tokio::test]
async fn a_stale_connection_is_replaced_once() {
    let (edge, origin, mut visitor) = set_up().await;
    die_with_next_request(&edge, &origin, &mut visitor, ("GET", ""), false).await;
    let mut second = origin.accept().await;
    second.request().await.unwrap();
    drop(second);
    let answer = visitor.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("breakwater-reason")),
        (502, Some("origin-reset"))
    );
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn a_post_that_reached_the_origin_is_never_made_twice() {
    for reset in [false, true] {
        let (edge, origin, mut visitor) = set_up().await;
        die_with_next_request(&edge, &origin, &mut visitor, ("POST", "pay"), reset).await;
        let answer = visitor.answer().await.unwrap();
        assert_eq!(
            (answer.status, answer.field("breakwater-reason")),
            (502, Some("origin-reset")),
            "reset: {reset}"
        );
        assert!(origin.has_no_more());
    }
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_while_idle_is_not_asked_so_that_a_post_is_answered() {
    let (_edge, origin, mut visitor) = set_up().await;
    ask(&mut visitor, "GET", "").await;
    let mut first = origin.accept().await;
    first.request().await.unwrap();
    first.send(OK).await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
    first.io.shutdown().await.unwrap();
    assert!(first.ends().await, "the edge closes its side too");
    ask(&mut visitor, "POST", "pay").await;
    let mut second = origin.accept().await;
    assert_eq!(second.request().await.unwrap().body, b"pay");
    second.send(OK).await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
    assert!(origin.has_no_more());
}
