//! Each step of an exchange with an origin has its limit, and a visitor is told which one was passed.

use std::net::SocketAddr;

use breakwater_edge::{Edge, EdgeOptions};
use breakwater_edge_config::{Origin, OriginTimeouts, OriginTls};
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Raw, RawAnswer};
use crate::support::origin::{Nowhere, RawOrigin, caching_site, forward_site, origin_at};
use crate::support::{edge_with, options};

/// Limits that no test waits long for: the one that is meant is short.
const LONG_MS: u64 = 60_000;
const SHORT_MS: u64 = 150;

fn connect_limited(address: SocketAddr) -> Origin {
    with_limits(address, SHORT_MS, LONG_MS, LONG_MS)
}

fn with_limits(address: SocketAddr, connect_ms: u64, first_byte_ms: u64, between_bytes_ms: u64) -> Origin {
    Origin {
        timeouts: OriginTimeouts {
            connect_ms,
            first_byte_ms,
            between_bytes_ms,
        },
        ..origin_at(&[address])
    }
}

/// One edge with the origin behind a site that caches nothing (`pass.example`) and one that caches.
async fn set_up(origin: &Origin) -> (Edge, Raw) {
    let edge = edge_with(
        EdgeOptions {
            workers: 1,
            ..options()
        },
        vec![
            forward_site("pass", "pass.example", origin.clone()),
            caching_site("fill", "fill.example", origin.clone()),
        ],
    );
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, visitor)
}

fn told(answer: &RawAnswer) -> (u16, &str, &str) {
    let field = |name| answer.field(name).unwrap_or_default();
    (answer.status, field("breakwater-reason"), field("cache-status"))
}

/// The same, whether the visitor's own request failed or a fill that it waited for.
async fn both_are_told(visitor: &mut Raw, status: u16, reason: &str) {
    for (host, cache) in [
        ("pass.example", "breakwater; fwd=bypass; detail=bypass"),
        ("fill.example", "breakwater; fwd=uri-miss; detail=origin-failed"),
    ] {
        let answer = visitor.get(host, "/").await;
        assert_eq!(told(&answer), (status, reason, cache), "{host}");
    }
}

/// Listens with a full queue, so that the system answers no further connection.
struct FullQueue {
    socket: Socket,
    _queued: Vec<std::net::TcpStream>,
}

impl FullQueue {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        let brief = std::time::Duration::from_millis(50);
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, brief) {
            queued.push(stream);
        }
        Self {
            socket,
            _queued: queued,
        }
    }
}

#[tokio::test]
async fn an_origin_that_does_not_take_the_connection_is_a_connect_timeout() {
    let origin = FullQueue::new();
    let address = origin.socket.local_addr().unwrap().as_socket().unwrap();
    let (_edge, mut visitor) = set_up(&connect_limited(address)).await;
    both_are_told(&mut visitor, 504, "origin-connect-timeout").await;
}

#[tokio::test]
async fn an_origin_that_is_silent_in_the_handshake_is_a_connect_timeout() {
    let origin = RawOrigin::bind();
    let tls = Some(OriginTls::default());
    let (_edge, mut visitor) = set_up(&Origin {
        tls,
        ..connect_limited(origin.address)
    })
    .await;
    both_are_told(&mut visitor, 504, "origin-connect-timeout").await;
}

#[tokio::test]
async fn an_origin_where_nobody_listens_is_refused_at_once() {
    let nowhere = Nowhere::new();
    let (_edge, mut visitor) = set_up(&origin_at(&[nowhere.address])).await;
    both_are_told(&mut visitor, 502, "origin-connect").await;
}

#[tokio::test]
async fn an_origin_that_says_nothing_or_half_a_head_is_a_timeout_and_is_not_asked_again() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
    ] {
        let origin = RawOrigin::bind();
        let mut config = with_limits(origin.address, LONG_MS, SHORT_MS, LONG_MS);
        config.retries.attempts = 3;
        let (_edge, mut visitor) = set_up(&config).await;
        let silent = async {
            for _ in 0..2 {
                let mut connection = origin.accept().await;
                connection.request().await.unwrap();
                connection.send(said).await;
                assert!(connection.ends().await, "the edge hangs up");
            }
        };
        tokio::join!(silent, both_are_told(&mut visitor, 504, "origin-timeout"));
        assert!(origin.has_no_more(), "a slow origin would get its load twice");
    }
}

#[tokio::test]
async fn the_time_to_the_first_byte_begins_when_the_body_has_been_sent() {
    let origin = RawOrigin::bind();
    let config = with_limits(origin.address, LONG_MS, SHORT_MS, LONG_MS);
    let (edge, mut other) = set_up(&config).await;
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    visitor
        .send("POST / HTTP/1.1\r\nhost: pass.example\r\ncontent-length: 4\r\n\r\nab")
        .await;
    let mut uploading = origin.accept().await;
    uploading.head().await.unwrap();
    // Meanwhile the limit passes for another request that was sent later.
    let silent = async {
        let mut connection = origin.accept().await;
        while connection.more().await {}
    };
    let (answer, ()) = tokio::join!(other.get("pass.example", "/"), silent);
    assert_eq!(answer.status, 504);
    visitor.send("cd").await;
    uploading
        .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_broken_off_and_never_looks_complete() {
    for host in ["pass.example", "fill.example"] {
        for framing in ["content-length: 10", "transfer-encoding: chunked"] {
            let origin = RawOrigin::bind();
            let config = with_limits(origin.address, LONG_MS, LONG_MS, SHORT_MS);
            let (_edge, mut visitor) = set_up(&config).await;
            visitor
                .send(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"))
                .await;
            let mut connection = origin.accept().await;
            connection.request().await.unwrap();
            connection
                .send(&format!(
                    "HTTP/1.1 200 OK\r\n{framing}\r\ncache-control: max-age=60\r\n\r\n3\r\nabc\r\n"
                ))
                .await;
            assert!(visitor.answer().await.is_none(), "{host} {framing}");
            assert!(connection.ends().await, "{host} {framing}: the edge hangs up");
            assert!(origin.has_no_more());
        }
    }
}

#[tokio::test]
async fn an_origin_that_does_not_read_the_body_is_a_timeout() {
    let origin = RawOrigin::bind();
    let config = with_limits(origin.address, LONG_MS, LONG_MS, SHORT_MS);
    let (edge, _) = set_up(&config).await;
    let visitor = TcpStream::connect(edge.addresses().http[0]).await.unwrap();
    let (reading, mut writing) = visitor.into_split();
    let upload = tokio::spawn(async move {
        let head = "PUT / HTTP/1.1\r\nhost: pass.example\r\ncontent-length: 1000000000\r\n\r\n";
        let piece = vec![7; 64 << 10];
        let mut sent = writing.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            sent = writing.write_all(&piece).await;
        }
    });
    let mut reading = Raw::new(tokio::io::join(reading, tokio::io::sink()));
    let connection = origin.accept().await;
    let answer = reading.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("breakwater-reason")),
        (504, Some("origin-timeout"))
    );
    drop(connection);
    // Nobody reads the rest of a gigabyte.
    assert!(reading.ends().await);
    upload.await.unwrap();
}
