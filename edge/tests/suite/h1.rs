use breakwater_edge_config::RouteAction;

use crate::support::client::Raw;
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
