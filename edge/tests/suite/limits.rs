use std::time::{Duration, Instant};

use breakwater_edge::{EdgeOptions, Limits};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::client::{Raw, get, h2, whole};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{PATIENCE, edge_with, fixed_site, options, until, with_certificate};

fn limits(change: impl FnOnce(&mut Limits)) -> EdgeOptions {
    let mut options = options();
    change(&mut options.limits);
    options
}

/// Waits for the end of a connection and says when it came.
async fn ends_after(client: &mut TcpStream, start: Instant) -> Duration {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await;
    // A reset is an end too.
    let _ = read.expect("the connection doesn't end");
    start.elapsed()
}

/// Acts not before the limit, and not long after it.
fn assert_at(limit_ms: u64, took: Duration) {
    let limit = Duration::from_millis(limit_ms);
    assert!(
        took >= limit && took < limit + Duration::from_secs(3),
        "{took:?} for a limit of {limit:?}"
    );
}

#[tokio::test]
async fn a_slow_head_is_cut_off_at_its_limit_however_its_bytes_drip() {
    let edge = edge_with(
        limits(|l| l.head = Duration::from_millis(300)),
        vec![fixed_site("a", "a.example", "a")],
    );
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(client.get("a.example", "/").await.status, 200);
    let start = Instant::now();
    let drip = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut client.io, b"G")
                .await
                .is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut one = [0];
            match client.io.try_read(&mut one) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, drip)
        .await
        .expect("the connection doesn't end");
    assert_at(300, start.elapsed());
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_limit() {
    let options = limits(|l| l.idle_h1 = Duration::from_millis(300));
    let edge = edge_with(options, vec![fixed_site("a", "a.example", "a")]);
    let address = edge.addresses().http[0];
    // Never used.
    let mut fresh = TcpStream::connect(address).await.unwrap();
    assert_at(300, ends_after(&mut fresh, Instant::now()).await);
    // Used, with pauses below the limit.
    let mut used = Raw::connect(address).await;
    for _ in 0..3 {
        assert_eq!(used.get("a.example", "/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    // The edge's clock begins before the answer is here.
    let start = Instant::now();
    assert_eq!(used.get("a.example", "/").await.status, 200);
    assert_at(300, ends_after(&mut used.io, start).await);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off_at_its_limit() {
    let edge = edge_with(
        limits(|l| l.handshake = Duration::from_millis(300)),
        vec![fixed_site("a", "a.example", "a")],
    );
    let start = Instant::now();
    let mut client = TcpStream::connect(edge.addresses().https[0]).await.unwrap();
    assert_at(300, ends_after(&mut client, start).await);
}

#[tokio::test]
async fn an_http2_connection_without_streams_is_closed_at_its_limit() {
    let authority = Authority::new();
    let site = with_certificate(
        fixed_site("a", "a.example", "a"),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(limits(|l| l.idle_h2 = Duration::from_millis(300)), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let mut sender = h2(connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap())
    .await;
    let start = Instant::now();
    assert_eq!(
        sender
            .send_request(get("https://a.example/"))
            .await
            .unwrap()
            .status(),
        200
    );
    while !sender.is_closed() {
        assert!(start.elapsed() < PATIENCE, "the connection doesn't end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_at(300, start.elapsed());
}

/// What is far more than any buffer on the way to a visitor holds.
const LARGE: usize = 32 << 20;

fn least_rate() -> EdgeOptions {
    limits(|l| {
        l.rate_grace = Duration::from_millis(300);
        l.min_rate_bytes = 1 << 20;
    })
}

#[tokio::test]
async fn a_visitor_that_takes_nothing_of_its_answer_is_cut_off_at_the_limit() {
    let edge = edge_with(
        least_rate(),
        vec![fixed_site("a", "a.example", &"x".repeat(LARGE))],
    );
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    // Nothing is read. That the edge has given up shows when it doesn't take another byte.
    while client.io.try_write(b"G").is_ok() {
        assert!(start.elapsed() < PATIENCE, "the connection doesn't end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_at(300, start.elapsed());
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_cut_off_at_the_limit() {
    let authority = Authority::new();
    let site = with_certificate(
        fixed_site("a", "a.example", &"x".repeat(LARGE)),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(least_rate(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let io = connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap();
    let mut sender = h2(io).await;
    let start = Instant::now();
    let answer = sender.send_request(get("https://a.example/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    while !sender.is_closed() {
        assert!(start.elapsed() < PATIENCE, "the connection doesn't end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_at(300, start.elapsed());
    drop(answer);
}

#[tokio::test]
async fn a_stream_that_is_read_in_time_is_sent_whole() {
    let authority = Authority::new();
    let site = with_certificate(
        fixed_site("a", "a.example", &"x".repeat(LARGE)),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(least_rate(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let io = connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap();
    let mut sender = h2(io).await;
    let answer = sender.send_request(get("https://a.example/")).await.unwrap();
    assert_eq!(whole(answer).await.1.len(), LARGE);
    assert!(!sender.is_closed());
}

#[tokio::test]
async fn who_gives_up_more_than_100_requests_in_a_row_loses_the_http2_connection() {
    let authority = Authority::new();
    let origin = RawOrigin::bind();
    let site = with_certificate(
        forward_site("a", "a.example", origin_at(&[origin.address])),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(options(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let io = connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap();
    let mut sender = h2(io).await;
    for _ in 0..=100 {
        assert!(!sender.is_closed(), "not before the limit");
        let answer = sender.send_request(get("https://a.example/"));
        let mut asked = origin.accept().await;
        asked.head().await.unwrap();
        drop(answer);
        assert!(asked.ends().await, "nobody waits for it any more");
    }
    until("the end of the connection", || sender.is_closed()).await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408_at_the_limit() {
    let origin = RawOrigin::bind();
    let site = forward_site("a", "a.example", origin_at(&[origin.address]));
    let edge = edge_with(least_rate(), vec![site]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 100\r\n\r\nbegun")
        .await;
    let start = Instant::now();
    let _asked = origin.accept().await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert_at(300, start.elapsed());
    assert!(client.ends().await);
}

#[tokio::test]
async fn a_head_over_32_kib_or_100_fields_is_answered_431() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let address = edge.addresses().http[0];
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a.example\r\nx: {}\r\n\r\n",
        "y".repeat(40 << 10)
    );
    let fields = (0..101)
        .map(|n| format!("x-{n}: y\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let many = format!("GET / HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n");
    for head in [large, many] {
        let mut client = Raw::connect(address).await;
        client.send(&head).await;
        assert_eq!(client.answer().await.unwrap().status, 431);
        assert!(client.ends().await);
    }
    let fields = (0..99)
        .map(|n| format!("x-{n}: {}\r\n", "y".repeat(300)))
        .collect::<Vec<_>>()
        .concat();
    let mut client = Raw::connect(address).await;
    client
        .send(&format!("GET / HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n"))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn more_than_100_fields_are_answered_431_over_http2_too() {
    let authority = Authority::new();
    let site = with_certificate(
        fixed_site("a", "a.example", "a"),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(options(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let mut sender = h2(connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap())
    .await;
    let mut request = get("https://a.example/");
    for n in 0..101 {
        let name = http::HeaderName::try_from(format!("x-{n}")).unwrap();
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static("y"));
    }
    assert_eq!(sender.send_request(request).await.unwrap().status(), 431);
    assert_eq!(
        sender
            .send_request(get("https://a.example/"))
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_target_over_8_kib_is_answered_414() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(
        client
            .get("a.example", &format!("/{}", "x".repeat(8 << 10)))
            .await
            .status,
        414
    );
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once() {
    let options = EdgeOptions {
        max_connections: 2,
        ..options()
    };
    let edge = edge_with(options, vec![fixed_site("a", "a.example", "a")]);
    let address = edge.addresses().http[0];
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Raw::connect(address).await;
        assert_eq!(client.get("a.example", "/").await.status, 200);
        held.push(client);
    }
    assert!(Raw::connect(address).await.ends().await);
    held.pop();
    // The place is free as soon as the edge has seen the end.
    for attempt in 0.. {
        let mut client = Raw::connect(address).await;
        client.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
        if client.answer().await.is_some() {
            break;
        }
        assert!(attempt < 200, "the place isn't given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
