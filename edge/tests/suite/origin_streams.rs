//! What an origin says passes at once: an event that waits for the next one in some buffer is late.

use breakwater_edge::Edge;
use breakwater_edge_config::{Origin, OriginTimeouts};
use http_body_util::BodyExt;

use crate::support::client::{Raw, get, h2};
use crate::support::origin::{RawOrigin, caching_site, forward_site, origin_at};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{PATIENCE, edge_with, options, with_certificate};

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
                      transfer-encoding: chunked\r\n\r\n";

fn set_up(origin: &Origin) -> (Edge, Authority) {
    let authority = Authority::new();
    let names = ["pass.example", "fill.example"];
    let sites = vec![
        with_certificate(
            forward_site("pass", names[0], origin.clone()),
            &names[..1],
            authority.issue(&names[..1]),
        ),
        with_certificate(
            caching_site("fill", names[1], origin.clone()),
            &names[1..],
            authority.issue(&names[1..]),
        ),
    ];
    (edge_with(options(), sites), authority)
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn each_event_reaches_the_visitor_before_the_next_is_made() {
    for host in ["pass.example", "fill.example"] {
        let origin = RawOrigin::bind();
        let (edge, _) = set_up(&origin_at(&[origin.address]));
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        visitor
            .send(&format!(
                "GET /events HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n"
            ))
            .await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        server.send(EVENTS).await;
        let head = visitor.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for n in 0..20 {
            let event = format!("data: {n}\n\n");
            server.send(&chunk(&event)).await;
            assert_eq!(
                visitor.chunk().await.unwrap().unwrap(),
                event.as_bytes(),
                "{host}"
            );
        }
        server.send("0\r\n\r\n").await;
        assert_eq!(visitor.chunk().await, Some(None));
    }
}

#[tokio::test]
async fn each_event_reaches_the_visitor_before_the_next_is_made_over_http2_too() {
    for host in ["pass.example", "fill.example"] {
        let origin = RawOrigin::bind();
        let (edge, authority) = set_up(&origin_at(&[origin.address]));
        let tls = authority.client(&["h2"], TLS13);
        let mut visitor = h2(connect(&tls, edge.addresses().https[0], host).await.unwrap()).await;
        let asking = visitor.send_request(get(&format!("https://{host}/events")));
        let answering = async {
            let mut server = origin.accept().await;
            server.request().await.unwrap();
            server.send(EVENTS).await;
            server
        };
        let (answer, mut server) = tokio::join!(asking, answering);
        let mut body = answer.unwrap().into_body();
        for n in 0..20 {
            let event = format!("data: {n}\n\n");
            server.send(&chunk(&event)).await;
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap();
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), event, "{host}");
        }
        server.send("0\r\n\r\n").await;
        let rest = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap();
        assert!(rest.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn an_event_stream_may_be_silent_for_longer_than_another_body() {
    let origin = RawOrigin::bind();
    let limited = Origin {
        timeouts: OriginTimeouts {
            between_bytes_ms: 200,
            ..OriginTimeouts::default()
        },
        ..origin_at(&[origin.address])
    };
    let (edge, _) = set_up(&limited);
    let mut begun = Vec::new();
    for head in [EVENTS, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        visitor.send("GET / HTTP/1.1\r\nhost: pass.example\r\n\r\n").await;
        let mut server = origin.accept().await;
        server.request().await.unwrap();
        server.send(head).await;
        visitor.head().await.unwrap();
        begun.push((visitor, server));
    }
    let (mut ordinary, _its_server) = begun.pop().unwrap();
    let (mut events, mut server) = begun.pop().unwrap();
    // The one that began later passes the limit; the event stream has been silent for longer by then.
    assert!(ordinary.ends().await);
    server.send(&chunk("data: late\n\n")).await;
    assert_eq!(events.chunk().await.unwrap().unwrap(), b"data: late\n\n");
}
