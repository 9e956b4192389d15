//! An origin that says more than it was asked for, or something else: nobody but whoever asked is given any of
//! it, and a connection that may hold more is never used for another visitor.

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, options};

const HOST: &str = "a.example";
const OWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncache-control: no-store\r\n\r\nown";
const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncache-control: max-age=600\r\n\r\nevil";

/// What the origin sends for one request, the request's method, and the body that its visitor may get.
const CASES: &[(&str, &str, &str)] = &[
    (
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{EVIL}",
        "ok",
    ),
    ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{EVIL}", ""),
    ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{EVIL}", ""),
    (
        "GET",
        "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\n{EVIL}",
        "",
    ),
    ("GET", "HTTP/1.1 204 No Content\r\n\r\n{EVIL}", ""),
    ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n{EVIL}", ""),
    (
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{EVIL}",
        "ok",
    ),
    (
        "GET",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{EVIL}",
        "ok",
    ),
];

#[tokio::test]
async fn what_an_origin_sends_beyond_its_answer_reaches_nobody() {
    for (method, answer, body) in CASES {
        let origin = RawOrigin::bind();
        let edge = edge_with(
            options(),
            vec![caching_site("a", HOST, origin_at(&[origin.address]))],
        );
        let address = edge.addresses().http[0];
        let mut attacker = Raw::connect(address).await;
        attacker
            .send(&format!("{method} /first HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
            .await;
        let mut connection = origin.accept().await;
        connection.request().await.unwrap();
        connection.send(&answer.replace("{EVIL}", EVIL)).await;
        if *method == "HEAD" {
            assert!(attacker.head().await.is_some(), "{answer}");
        } else if let Some(got) = attacker.answer().await {
            // An answer that contradicts itself may be refused as a whole.
            let fine = got.body == body.as_bytes() || got.status == 502;
            assert!(fine, "{answer}: {got:?}");
        }
        let mut victim = Raw::connect(address).await;
        victim
            .send(&format!("GET /victim HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
            .await;
        // On a connection of its own: the first may hold what nobody asked for.
        let mut second = origin.accept().await;
        assert_eq!(second.request().await.unwrap().line(), "GET /victim", "{answer}");
        second.send(OWN).await;
        assert_eq!(victim.answer().await.unwrap().body, b"own", "{method} {answer}");
    }
}

/// A tenant's answer that is no HTTP, or never ends, or claims another's name: its own visitors bear it.
#[tokio::test]
async fn a_hostile_origin_harms_its_own_site_only() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(256 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(20_000);
    let tags = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncache-tag: {}\r\n\r\n",
        "t,".repeat(3_000)
    );
    let answers = [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-location: http://b.example/\r\nlocation: http://b.example/\r\ncontent-length: 0\r\n\r\n",
        &long,
        &many,
        &interim,
        &tags,
    ];
    let neighbour = RawOrigin::bind();
    let hostile = RawOrigin::bind();
    let edge = edge_with(
        options(),
        vec![
            caching_site("a", HOST, origin_at(&[hostile.address])),
            caching_site("b", "b.example", origin_at(&[neighbour.address])),
        ],
    );
    let address = edge.addresses().http[0];
    let mut first = Raw::connect(address).await;
    first.send("GET / HTTP/1.1\r\nhost: b.example\r\n\r\n").await;
    let mut connection = neighbour.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncache-tag: t\r\ncontent-length: 1\r\n\r\nb")
        .await;
    assert_eq!(first.answer().await.unwrap().body, b"b");
    for answer in answers {
        for method in ["GET", "POST"] {
            let mut visitor = Raw::connect(address).await;
            visitor
                .send(&format!(
                    "{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n"
                ))
                .await;
            let mut connection = hostile.accept().await;
            if connection.request().await.is_some() {
                // It may be cut off before it has said all.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut connection.io, answer.as_bytes()).await;
            }
            drop(connection);
            let _ = visitor.answer().await;
            // Still a hit: nobody is asked.
            let got = first.get("b.example", "/").await;
            assert_eq!(got.body, b"b");
            assert!(got.field("cache-status").unwrap().contains("hit"), "{answer:.80}");
        }
    }
    assert!(neighbour.has_no_more());
}
