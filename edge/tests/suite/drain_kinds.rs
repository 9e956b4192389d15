//! What is under way when an edge begins to stop goes on to its end, or to the deadline.

use std::time::{Duration, Instant};

use breakwater_edge::Edge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::support::client::Raw;
use crate::support::frames::{ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, block};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{edge_with, options, until, with_certificate};

const HOST: &str = "a.example";

fn set_up() -> (Edge, RawOrigin, Authority) {
    let origin = RawOrigin::bind();
    let authority = Authority::new();
    let site = with_certificate(
        forward_site("a", HOST, origin_at(&[origin.address])),
        &[HOST],
        authority.issue(&[HOST]),
    );
    (edge_with(options(), vec![site]), origin, authority)
}

/// Begins to stop the edge; nothing new is accepted when this returns.
async fn draining(edge: &Edge, deadline: Duration) -> JoinHandle<()> {
    let stopped = edge.clone();
    let task = tokio::spawn(async move { stopped.drain(deadline).await });
    until("draining", || edge.status().draining).await;
    let address = edge.addresses().http[0];
    until("nothing is accepted", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    task
}

#[tokio::test]
async fn an_answer_and_an_upload_on_their_way_are_finished() {
    let (edge, origin, _) = set_up();
    let mut reader = Raw::connect(edge.addresses().http[0]).await;
    reader.send("GET /long HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    let mut answering = origin.accept().await;
    answering.request().await.unwrap();
    answering
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
        .await;
    reader.head().await.unwrap();
    let mut writer = Raw::connect(edge.addresses().http[0]).await;
    writer
        .send("POST /up HTTP/1.1\r\nhost: a.example\r\ncontent-length: 10\r\n\r\nfirst")
        .await;
    let mut reading = origin.accept().await;

    let drained = draining(&edge, Duration::from_secs(10)).await;
    answering.send(" last").await;
    writer.send(" last").await;
    assert_eq!(reading.request().await.unwrap().body, b"first last");
    reading
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    let answer = writer.answer().await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(writer.ends().await);
    let mut body = reader.take_seen();
    reader.io.read_to_end(&mut body).await.unwrap();
    assert_eq!(body, b"first last");
    drained.await.unwrap();
}

#[tokio::test]
async fn http2_is_told_twice_to_go_away_and_its_streams_are_finished() {
    let (edge, origin, authority) = set_up();
    let tls = authority.client(&["h2"], TLS13);
    let mut frames = Frames::begin(connect(&tls, edge.addresses().https[0], HOST).await.unwrap()).await;
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/"),
    ];
    frames
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))
        .await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();

    let drained = draining(&edge, Duration::from_secs(10)).await;
    // A stream that is on its way when the first is read is served; the second names the last that is.
    let first = frames.until(GOAWAY).await;
    assert_eq!((first.number(0), first.number(4)), (0x7fff_ffff, 0));
    frames
        .send(HEADERS, END_HEADERS | END_STREAM, 3, &block(&fields))
        .await;
    let mut late = origin.accept().await;
    late.request().await.unwrap();
    let ping = frames.until(PING).await;
    frames.send(PING, ACK, 0, &ping.payload).await;
    let second = frames.until(GOAWAY).await;
    assert_eq!((second.number(0), second.number(4)), (3, 0));
    for (server, stream) in [(&mut server, 1), (&mut late, 3)] {
        server
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        let data = frames.until(DATA).await;
        assert_eq!((data.stream, data.payload.as_slice()), (stream, &b"ok"[..]));
    }
    drained.await.unwrap();
}

#[tokio::test]
async fn a_websocket_goes_on_until_the_deadline() {
    let (edge, origin, _) = set_up();
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    visitor
        .send(
            "GET /chat HTTP/1.1\r\nhost: a.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut server = origin.accept().await;
    server.request().await.unwrap();
    server
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .await;
    assert_eq!(visitor.answer().await.unwrap().status, 101);

    let start = Instant::now();
    let drained = draining(&edge, Duration::from_secs(1)).await;
    visitor.io.write_all(b"to").await.unwrap();
    server.io.write_all(b"fro").await.unwrap();
    let (mut to, mut fro) = ([0; 2], [0; 3]);
    server.io.read_exact(&mut to).await.unwrap();
    visitor.io.read_exact(&mut fro).await.unwrap();
    assert_eq!((&to, &fro), (b"to", b"fro"));
    drained.await.unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(visitor.ends().await && server.ends().await);
}

#[tokio::test]
async fn a_second_call_with_a_nearer_deadline_ends_what_the_first_waits_for() {
    let (edge, origin, _) = set_up();
    let mut reader = Raw::connect(edge.addresses().http[0]).await;
    reader.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    let _unanswered = origin.accept().await;
    let start = Instant::now();
    let drained = draining(&edge, Duration::from_mins(1)).await;
    edge.drain(Duration::ZERO).await;
    drained.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(reader.ends().await);
}
