//! WebSocket passes: a handshake that the origin accepts turns both connections into one stream of bytes,
//! each direction with an end of its own.

use breakwater_edge::Edge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Raw, RawRequest};
use crate::support::origin::{RawOrigin, caching_site, forward_site, origin_at};
use crate::support::{edge_with, options};

const HOST: &str = "a.example";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn handshake(protocol: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nhost: {HOST}\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

async fn set_up(cached: bool) -> (Edge, RawOrigin, Raw) {
    let origin = RawOrigin::bind();
    let make = if cached { caching_site } else { forward_site };
    let edge = edge_with(options(), vec![make("a", HOST, origin_at(&[origin.address]))]);
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, origin, visitor)
}

/// Both sides after the handshake.
async fn switched(cached: bool) -> (Edge, Raw, Raw, RawRequest) {
    let (edge, origin, mut visitor) = set_up(cached).await;
    visitor.send(&handshake("websocket")).await;
    let mut server = origin.accept().await;
    let request = server.request().await.unwrap();
    server.send(SWITCHED).await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("sec-websocket-accept")),
        (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    );
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert!(
        answer
            .field("connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
    (edge, visitor, server, request)
}

async fn arrives(sender: &mut Raw, receiver: &mut Raw, bytes: &[u8]) {
    sender.io.write_all(bytes).await.unwrap();
    let mut got = vec![0; bytes.len()];
    receiver.io.read_exact(&mut got).await.unwrap();
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn bytes_pass_both_ways_as_they_are_whatever_the_cache_is_for() {
    for cached in [false, true] {
        let (_edge, mut visitor, mut server, request) = switched(cached).await;
        assert_eq!(request.line(), "GET /chat");
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert_eq!(request.field(name), Some(value));
        }
        // What looks like HTTP isn't.
        for n in 0..20_u8 {
            arrives(&mut visitor, &mut server, &[0x81, n, 0, b'\r', b'\n']).await;
            arrives(&mut server, &mut visitor, b"HTTP/1.1 400 Bad\r\n\r\n").await;
        }
    }
}

#[tokio::test]
async fn a_direction_that_ends_leaves_the_other_open() {
    let (_edge, mut visitor, mut server, _) = switched(false).await;
    arrives(&mut visitor, &mut server, b"goodbye").await;
    visitor.io.shutdown().await.unwrap();
    assert_eq!(server.io.read(&mut [0; 8]).await.unwrap(), 0);
    for _ in 0..3 {
        arrives(&mut server, &mut visitor, b"not yet").await;
    }
    drop(server);
    assert!(visitor.ends().await);

    let (_edge, mut visitor, mut server, _) = switched(false).await;
    server.io.shutdown().await.unwrap();
    assert_eq!(visitor.io.read(&mut [0; 8]).await.unwrap(), 0);
    arrives(&mut visitor, &mut server, b"one more").await;
    drop(visitor);
    assert!(server.ends().await);
}

#[tokio::test]
async fn bytes_that_come_with_the_handshake_are_not_lost() {
    let (_edge, origin, mut visitor) = set_up(false).await;
    visitor.send(&handshake("websocket")).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server.send(&format!("{SWITCHED}hello")).await;
    assert_eq!(visitor.answer().await.unwrap().status, 101);
    let mut seen = visitor.take_seen();
    while seen.len() < 5 {
        assert!(visitor.more().await);
        seen.extend(visitor.take_seen());
    }
    assert_eq!(seen, b"hello");
}

#[tokio::test]
async fn an_origin_may_decline_and_the_connection_goes_on() {
    let (_edge, origin, mut visitor) = set_up(false).await;
    visitor.send(&handshake("websocket")).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server
        .send("HTTP/1.1 426 Upgrade Required\r\nupgrade: h3\r\ncontent-length: 3\r\n\r\nno!")
        .await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.body), (426, &b"no!"[..]));
    visitor
        .send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
        .await;
    server.request().await.unwrap();
    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(visitor.answer().await.unwrap().status, 204);
}

#[tokio::test]
async fn no_other_protocol_is_asked_for_and_a_switch_that_nobody_asked_for_is_an_error() {
    for protocol in ["h2c", "websocket2", "TLS/1.0"] {
        let (_edge, origin, mut visitor) = set_up(false).await;
        visitor.send(&handshake(protocol)).await;
        let mut server = origin.accept().await;
        let request = server.request().await.unwrap();
        assert_eq!(
            (request.field("upgrade"), request.field("connection")),
            (None, None)
        );
        server
            .send(&SWITCHED.replace("upgrade: websocket", &format!("upgrade: {protocol}")))
            .await;
        let answer = visitor.answer().await.unwrap();
        assert_eq!(
            (answer.status, answer.field("breakwater-reason")),
            (502, Some("origin-protocol")),
            "{protocol}"
        );
        assert!(server.ends().await);
    }
    let (_edge, origin, mut visitor) = set_up(false).await;
    visitor.send(&handshake("websocket")).await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server
        .send(&SWITCHED.replace("upgrade: websocket", "upgrade: h2c"))
        .await;
    assert_eq!(visitor.answer().await.unwrap().status, 502);
}

#[tokio::test]
async fn a_visitor_that_goes_away_takes_the_origins_connection_with_it() {
    let (_edge, visitor, mut server, _) = switched(false).await;
    drop(visitor);
    assert!(server.ends().await);
}
