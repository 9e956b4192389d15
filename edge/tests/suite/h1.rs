use breakwater_edge_config::RouteAction;

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::{edge_with, fixed, fixed_site, options, route};

#[tokio::test]
async fn a_connection_answers_one_request_after_the_other() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    for _ in 0..3 {
        let answer = client.get("a.example", "/x?y").await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
        assert!(answer.field("date").is_some(), "{}", answer.head);
        assert_eq!(answer.field("connection"), None);
    }
}

#[tokio::test]
async fn requests_that_come_in_one_go_are_answered_in_order() {
    let mut site = fixed_site("a", "a.example", "rest");
    site.config.routes.insert(
        0,
        route("one", Some("/1"), RouteAction::Respond(fixed(200, "one"))),
    );
    let edge = edge_with(options(), vec![site]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let head = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n\r\n");
    client.send(&[head("/1"), head("/2"), head("/1")].concat()).await;
    for expected in ["one", "rest", "one"] {
        assert_eq!(client.answer().await.unwrap().body, expected.as_bytes());
    }
}

#[tokio::test]
async fn an_unknown_host_gets_no_answer() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client
        .send("GET / HTTP/1.1\r\nhost: unknown.example\r\n\r\n")
        .await;
    assert!(client.ends().await);
}

#[tokio::test]
async fn a_head_request_tells_the_length_and_sends_no_body() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send("HEAD / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    // The next answer begins right there.
    assert_eq!(client.get("a.example", "/").await.body, b"hello");
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_is_read_away_and_a_large_one_ends_the_connection() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let post = |bytes: usize| {
        format!(
            "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: {bytes}\r\n\r\n{}",
            "x".repeat(bytes)
        )
    };
    client.send(&post(60 << 10)).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, None));
    assert_eq!(client.get("a.example", "/").await.status, 200);

    client.send(&post(200 << 10)).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(client.ends().await);
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_its_answer_and_the_connection_ends() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(client.ends().await);
}

/// An origin that merges trailers into the head would be told what no phase has looked at.
#[tokio::test]
async fn trailers_of_a_visitor_pass_without_those_that_could_pass_for_fields_of_the_head() {
    let origin = RawOrigin::bind();
    let site = forward_site("a", "a.example", origin_at(&[origin.address]));
    let edge = edge_with(options(), vec![site]);
    let post = |trailers: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\
             trailer: x-sum, authorization, content-length\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
        )
    };
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client
        .send(&post(
            "X-Sum: 1\r\nAuthorization: Basic eA==\r\nContent-Length: 1\r\n",
        ))
        .await;
    let mut asked = origin.accept().await;
    let head = asked.head().await.unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let mut body = Vec::new();
    while !body.ends_with(b"\r\n\r\n") {
        body.extend(asked.take_seen());
        if !body.ends_with(b"\r\n\r\n") {
            assert!(asked.more().await);
        }
    }
    assert_eq!(
        String::from_utf8(body).unwrap().to_ascii_lowercase(),
        "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
    );
    asked.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.unwrap().body, b"ok");
    // Too many of them break the request off.
    client
        .send(&post(&format!("x-sum: {}\r\n", "a".repeat(9 << 10))))
        .await;
    let answer = client.answer().await;
    assert!(answer.is_none_or(|answer| answer.status >= 400));
}
