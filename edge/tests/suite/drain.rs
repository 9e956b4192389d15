use std::time::{Duration, Instant};

use breakwater_edge::EdgeOptions;

use crate::support::client::{Raw, get, h2};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{edge_with, fixed_site, options, until, with_certificate};

#[tokio::test]
async fn an_edge_with_nothing_to_do_stops_at_once() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let start = Instant::now();
    edge.drain(Duration::from_secs(30)).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(
        tokio::net::TcpStream::connect(edge.addresses().http[0])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn connections_that_were_made_before_draining_are_all_served() {
    let edge = edge_with(
        EdgeOptions {
            workers: 1,
            ..options()
        },
        vec![fixed_site("a", "a.example", "a")],
    );
    let address = edge.addresses().http[0];
    for _ in 0..5 {
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(Raw::new(tokio::net::TcpStream::connect(address).await.unwrap()));
        }
        drop(clients);
    }
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(Raw::new(tokio::net::TcpStream::connect(address).await.unwrap()));
    }
    let draining = tokio::spawn({
        let edge = edge.clone();
        async move { edge.drain(Duration::from_secs(10)).await }
    });
    until("draining", || edge.status().draining).await;
    for client in &mut clients {
        let answer = client.get("a.example", "/").await;
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
        assert!(client.ends().await);
    }
    draining.await.unwrap();
}

#[tokio::test]
async fn idle_connections_get_a_moment_and_are_closed_then() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.get("a.example", "/").await;
    let start = Instant::now();
    edge.drain(Duration::from_secs(20)).await;
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert!(client.ends().await);
}

#[tokio::test]
async fn http2_is_told_to_go_away_and_ends() {
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
    assert_eq!(
        sender
            .send_request(get("https://a.example/"))
            .await
            .unwrap()
            .status(),
        200
    );
    edge.drain(Duration::from_secs(10)).await;
    until("the end", || sender.is_closed()).await;
}

#[tokio::test]
async fn the_deadline_cuts_off_what_is_left() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send("GET / HTTP/1.1\r\nhost: a.exa").await;
    let start = Instant::now();
    edge.drain(Duration::from_millis(300)).await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(2),
        "{took:?}"
    );
    assert!(client.ends().await);
}
