//! A request is made again only where nobody can see that it was: another endpoint gets it, the body is
//! whole, and a failing origin gets little more load than it had.

use std::net::SocketAddr;

use breakwater_edge::Edge;
use breakwater_edge_config::Origin;

use crate::support::client::Raw;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{Nowhere, RawOrigin, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::{edge_with, options};

const HOST: &str = "a.example";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn origin(addresses: &[SocketAddr], attempts: u8) -> Origin {
    let mut origin = origin_at(addresses);
    origin.retries.attempts = attempts;
    origin
}

async fn set_up(origin: Origin) -> (Edge, Raw) {
    let edge = edge_with(measured(options()), vec![forward_site("a", HOST, origin)]);
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, visitor)
}

#[tokio::test]
async fn a_request_that_an_endpoint_does_not_take_goes_to_another() {
    let (nowhere, hanging_up) = (Nowhere::new(), Server::hanging_up());
    for (what, address) in [("refused", nowhere.address), ("hung up", hanging_up.address)] {
        let good = Server::named("good");
        let (_edge, mut visitor) = set_up(origin(&[address, good.address], 1)).await;
        for _ in 0..8 {
            let answer = visitor.get(HOST, "/").await;
            assert_eq!(
                (answer.status, &*answer.body),
                (200, &b"good"[..]),
                "{what}: {answer:?}"
            );
        }
        assert_eq!(good.requests(), 8);
    }
}

#[tokio::test]
async fn there_are_as_many_attempts_as_configured_and_no_more() {
    for attempts in [0, 1, 3] {
        let bad = Server::hanging_up();
        let (_edge, mut visitor) = set_up(origin(&[bad.address], attempts)).await;
        let answer = visitor.get(HOST, "/").await;
        assert_eq!(
            (answer.status, answer.field("breakwater-reason")),
            (502, Some("origin-reset"))
        );
        assert_eq!(bad.connections(), usize::from(attempts) + 1);
    }
}

#[tokio::test]
async fn a_post_is_not_made_again() {
    let bad = Server::hanging_up();
    let (_edge, mut visitor) = set_up(origin(&[bad.address], 3)).await;
    visitor
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\npay"
        ))
        .await;
    assert_eq!(visitor.answer().await.unwrap().status, 502);
    assert_eq!(bad.connections(), 1);
}

#[tokio::test]
async fn nothing_is_made_again_once_a_byte_of_the_answer_came() {
    for (said, visible) in [
        ("H", Some(502)),
        ("HTTP/1.1 200 OK\r\ncontent-len", Some(502)),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", Some(502)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", None),
    ] {
        let raw = RawOrigin::bind();
        let (_edge, mut visitor) = set_up(origin(&[raw.address], 3)).await;
        visitor
            .send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
            .await;
        let mut connection = raw.accept().await;
        connection.request().await.unwrap();
        connection.send(said).await;
        drop(connection);
        assert_eq!(
            visitor.answer().await.map(|answer| answer.status),
            visible,
            "{said:?}"
        );
        assert!(raw.has_no_more(), "{said:?}");
    }
}

#[tokio::test]
async fn a_body_of_up_to_64_kib_is_sent_again_whole_and_a_larger_one_is_not() {
    for (bytes, repeated) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let raw = RawOrigin::bind();
        let (_edge, mut visitor) = set_up(origin(&[raw.address], 1)).await;
        let body: String = ('a'..='z').cycle().take(bytes).collect();
        visitor
            .send(&format!(
                "PUT / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {bytes}\r\n\r\n{body}"
            ))
            .await;
        let mut first = raw.accept().await;
        assert_eq!(first.request().await.unwrap().body, body.as_bytes());
        drop(first);
        if repeated {
            let mut second = raw.accept().await;
            assert_eq!(second.request().await.unwrap().body, body.as_bytes());
            second.send(OK).await;
        }
        let answer = visitor.answer().await.unwrap();
        assert_eq!(answer.status, if repeated { 200 } else { 502 });
        assert!(raw.has_no_more());
    }
}

#[tokio::test]
async fn a_body_that_is_still_coming_is_repeated_from_its_start_and_goes_on() {
    let raw = RawOrigin::bind();
    let (_edge, mut visitor) = set_up(origin(&[raw.address], 1)).await;
    visitor
        .send(&format!(
            "PUT / HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        ))
        .await;
    let mut first = raw.accept().await;
    first.head().await.unwrap();
    assert_eq!(first.chunk().await.unwrap().unwrap(), b"abc");
    drop(first);
    let mut second = raw.accept().await;
    visitor.send("3\r\ndef\r\n0\r\n\r\n").await;
    assert_eq!(second.request().await.unwrap().body, b"abcdef");
    second.send(OK).await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn when_everything_fails_retries_add_a_fifth_to_the_load() {
    let bad = Server::hanging_up();
    let (edge, mut visitor) = set_up(origin(&[bad.address], 5)).await;
    for _ in 0..100 {
        assert_eq!(visitor.get(HOST, "/").await.status, 502);
    }
    // Ten to begin with, one for five requests (the first finds the account full); time gives one in ten
    // seconds.
    let retries = bad.connections() - 100;
    assert!((29..=31).contains(&retries), "{retries} retries of 100 requests");
    let mut metrics = Metrics::of(&edge).await;
    let counted = metrics.value("breakwater_origin_retries_total", &[]).await;
    assert_eq!(counted, retries as u64);
    let refused = metrics
        .value("breakwater_origin_retries_refused_total", &[])
        .await;
    assert!(refused > 60, "{refused}");
}

#[tokio::test]
async fn what_an_origin_answers_is_an_answer_whatever_its_status() {
    let server = Server::start(Speaks::Http1, |_| async {
        let mut answer = text("busy");
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        answer
    });
    let (_edge, mut visitor) = set_up(origin(&[server.address], 3)).await;
    let answer = visitor.get(HOST, "/").await;
    assert_eq!((answer.status, &*answer.body), (503, &b"busy"[..]));
    assert_eq!(server.requests(), 1);
}
