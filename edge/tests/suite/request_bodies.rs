//! Answers that are kept by the request's body, over sockets.

use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{BodyMethods, CachePolicy};

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, options};

fn searching(origin: &RawOrigin, max_body_bytes: u64) -> SiteBundle {
    let mut site = caching_site("a", "a.example", origin_at(&[origin.address]));
    site.config.cache = Some(CachePolicy {
        body_methods: Some(BodyMethods {
            methods: vec!["POST".to_owned()],
            max_body_bytes,
            graphql: false,
        }),
        ..CachePolicy::rfc()
    });
    site
}

const FRESH: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\nfound";

fn post(framing: &str, body: &str) -> String {
    format!("POST /search HTTP/1.1\r\nhost: a.example\r\n{framing}\r\n\r\n{body}")
}

#[tokio::test]
async fn the_same_body_is_answered_from_the_cache_however_it_is_framed() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![searching(&origin, 100)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send(&post("content-length: 6", "q=fish")).await;
    let mut at_origin = origin.accept().await;
    let asked = at_origin.request().await.unwrap();
    assert_eq!((asked.line(), &asked.body[..]), ("POST /search", &b"q=fish"[..]));
    at_origin.send(FRESH).await;
    assert_eq!(client.answer().await.unwrap().body, b"found");
    for request in [
        post("content-length: 6", "q=fish"),
        post("transfer-encoding: chunked", "2\r\nq=\r\n4\r\nfish\r\n0\r\n\r\n"),
    ] {
        client.send(&request).await;
        let answer = client.answer().await.unwrap();
        let status = answer.field("cache-status").unwrap();
        assert!(status.starts_with("breakwater; hit"), "{status}");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"found"[..]));
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn a_body_that_is_too_large_reaches_the_origin_whole() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![searching(&origin, 1_000)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let body: String = (b'a'..=b'w').cycle().take(40_000).map(char::from).collect();
    let chunks: Vec<_> = body
        .as_bytes()
        .chunks(700)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
        .collect();
    let mut at_origin = None;
    for request in [
        post("content-length: 40000", &body),
        post(
            "transfer-encoding: chunked",
            &format!("{}0\r\n\r\n", chunks.concat()),
        ),
    ] {
        client.send(&request).await;
        if at_origin.is_none() {
            at_origin = Some(origin.accept().await);
        }
        let at_origin = at_origin.as_mut().unwrap();
        let asked = at_origin.request().await.unwrap();
        assert!(asked.body == body.as_bytes(), "{} bytes came", asked.body.len());
        at_origin.send(FRESH).await;
        let answer = client.answer().await.unwrap();
        let status = answer.field("cache-status").unwrap();
        assert_eq!(status, "breakwater; fwd=bypass; detail=body-too-large");
        assert_eq!(answer.body, b"found");
    }
}

#[tokio::test]
async fn who_waits_for_100_is_told_to_go_on_when_the_body_is_needed() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![searching(&origin, 100)]);
    for asks in [true, false] {
        let mut client = Raw::connect(edge.addresses().http[0]).await;
        client
            .send(&post("expect: 100-continue\r\ncontent-length: 6", ""))
            .await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
        client.send("q=fish").await;
        if asks {
            let mut at_origin = origin.accept().await;
            let asked = at_origin.request().await.unwrap();
            assert_eq!((asked.field("expect"), &asked.body[..]), (None, &b"q=fish"[..]));
            at_origin.send(FRESH).await;
        }
        assert_eq!(client.answer().await.unwrap().body, b"found");
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn a_visitor_who_leaves_amid_the_body_asks_the_origin_nothing() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![searching(&origin, 100)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send(&post("content-length: 6", "q=")).await;
    drop(client);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send(&post("content-length: 6", "q=fish")).await;
    let mut at_origin = origin.accept().await;
    assert_eq!(at_origin.request().await.unwrap().body, b"q=fish");
    at_origin.send(FRESH).await;
    assert_eq!(client.answer().await.unwrap().body, b"found");
    assert!(origin.has_no_more());
}

/// An origin that confirms what isn't stored is asked for the whole: by a request without the condition.
#[tokio::test]
async fn after_a_304_for_something_else_the_next_request_has_no_condition() {
    let origin = RawOrigin::bind();
    let site = caching_site("a", "a.example", origin_at(&[origin.address]));
    let edge = edge_with(options(), vec![site]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let get = "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
    client.send(get).await;
    let mut at_origin = origin.accept().await;
    at_origin.request().await.unwrap();
    at_origin
        .send("HTTP/1.1 200 OK\r\ncache-control: no-cache\r\netag: \"a\"\r\ncontent-length: 1\r\n\r\na")
        .await;
    assert_eq!(client.answer().await.unwrap().body, b"a");
    client.send(get).await;
    assert_eq!(
        at_origin.request().await.unwrap().field("if-none-match"),
        Some("\"a\"")
    );
    at_origin
        .send("HTTP/1.1 304 Not Modified\r\netag: \"b\"\r\n\r\n")
        .await;
    assert_eq!(at_origin.request().await.unwrap().field("if-none-match"), None);
    at_origin.send(FRESH).await;
    assert_eq!(client.answer().await.unwrap().body, b"found");
}
