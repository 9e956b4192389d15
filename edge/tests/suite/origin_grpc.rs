//! gRPC passes from end to end: HTTP/2 on both sides, messages both ways at their own time, trailers.

use std::convert::Infallible;

use breakwater_edge::Edge;
use breakwater_edge_config::{Origin, OriginProtocol, OriginTimeouts, OriginTls};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::origin::{caching_site, origin_at};
use crate::support::server::{Body, Server, Speaks};
use crate::support::tls::{Authority, TLS13, connect, server};
use crate::support::{PATIENCE, edge_with, options, with_certificate};

const HOST: &str = "grpc.example";

type Frames = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

fn channel() -> (Frames, Body) {
    let (sender, frames) = mpsc::channel(1);
    (sender, StreamBody::new(frames).boxed_unsync())
}

fn status(code: &'static str) -> HeaderMap {
    [
        ("grpc-status", HeaderValue::from_static(code)),
        ("grpc-message", HeaderValue::from_static("done")),
    ]
    .into_iter()
    .map(|(name, value)| (http::HeaderName::from_static(name), value))
    .collect()
}

/// Sends each message back at once, says in its trailers how it ended.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["grpc-timeout"], "1S");
    assert_eq!(request.uri().authority().unwrap().as_str(), HOST);
    let (mut frames, body) = channel();
    tokio::spawn(async move {
        let mut messages = request.into_body();
        while let Some(Ok(frame)) = messages.frame().await {
            if frames.send(Ok(frame)).await.is_err() {
                return;
            }
        }
        let _ = frames.send(Ok(Frame::trailers(status("0")))).await;
    });
    let mut answer = Response::new(body);
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    answer
}

fn edge_before(origin: Origin) -> (Edge, Authority) {
    let authority = Authority::new();
    let names = [HOST];
    let mut site = with_certificate(caching_site("a", HOST, origin), &names, authority.issue(&names));
    site.ca_files.insert("own".to_owned(), authority.pem());
    (edge_with(options(), vec![site]), authority)
}

async fn visitor(edge: &Edge, authority: &Authority) -> http2::SendRequest<Body> {
    let tls = authority.client(&["h2"], TLS13);
    let io = connect(&tls, edge.addresses().https[0], HOST).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn call(body: Body) -> Request<Body> {
    Request::post(format!("https://{HOST}/package.Service/Method"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1S")
        .body(body)
        .unwrap()
}

fn message(n: u8) -> Bytes {
    // Uncompressed, five bytes.
    Bytes::copy_from_slice(&[0, 0, 0, 0, 5, n, n, n, n, n])
}

/// The next bytes of a body, an empty frame left out.
async fn next(body: &mut Incoming) -> Option<Frame<Bytes>> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame())
            .await
            .unwrap()?
            .unwrap();
        if frame.data_ref().is_none_or(|data| !data.is_empty()) {
            return Some(frame);
        }
    }
}

/// One message at a time, each answered before the next is sent.
async fn converse(sender: &mut http2::SendRequest<Body>) {
    let (mut frames, body) = channel();
    let answer = sender.send_request(call(body));
    frames.send(Ok(Frame::data(message(0)))).await.unwrap();
    let mut answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    for n in 1..20 {
        let echoed = next(answer.body_mut()).await.unwrap();
        assert_eq!(echoed.into_data().unwrap(), message(n - 1));
        frames.send(Ok(Frame::data(message(n)))).await.unwrap();
    }
    next(answer.body_mut()).await.unwrap();
    drop(frames);
    let trailers = next(answer.body_mut()).await.unwrap().into_trailers().unwrap();
    assert_eq!(trailers, status("0"));
    assert!(next(answer.body_mut()).await.is_none());
}

#[tokio::test]
async fn messages_pass_both_ways_as_they_come_and_the_status_in_trailers() {
    let origin = Server::start(Speaks::Http2, echo);
    let (edge, authority) = edge_before(Origin {
        protocol: OriginProtocol::Http2,
        ..origin_at(&[origin.address])
    });
    let mut sender = visitor(&edge, &authority).await;
    for _ in 0..3 {
        converse(&mut sender).await;
    }
    assert_eq!((origin.connections(), origin.requests()), (1, 3));
}

#[tokio::test]
async fn calls_beside_each_other_share_one_connection_over_tls() {
    let authority = Authority::new();
    let config = server(&authority.issue(&[HOST]), &["h2"], None);
    let origin = Server::start(Speaks::Tls2(config), echo);
    let mut site = caching_site(
        "a",
        HOST,
        Origin {
            protocol: OriginProtocol::Http2,
            tls: Some(OriginTls {
                ca_file: Some("own".to_owned()),
                ..OriginTls::default()
            }),
            ..origin_at(&[origin.address])
        },
    );
    site.ca_files.insert("own".to_owned(), authority.pem());
    let site = with_certificate(site, &[HOST], authority.issue(&[HOST]));
    let edge = edge_with(options(), vec![site]);
    let sender = visitor(&edge, &authority).await;
    let calls = (0..50).map(|_| {
        let mut sender = sender.clone();
        async move { converse(&mut sender).await }
    });
    futures::future::join_all(calls).await;
    assert_eq!((origin.connections(), origin.requests()), (1, 50));
}

#[tokio::test]
async fn an_answer_of_trailers_alone_is_told_in_its_head() {
    let origin = Server::start(Speaks::Http2, |_| async {
        let mut answer = Response::new(channel().1);
        *answer.body_mut() = http_body_util::Empty::new().boxed_unsync();
        *answer.headers_mut() = status("12");
        answer
    });
    let (edge, authority) = edge_before(Origin {
        protocol: OriginProtocol::Http2,
        ..origin_at(&[origin.address])
    });
    let mut sender = visitor(&edge, &authority).await;
    let body = http_body_util::Empty::new().boxed_unsync();
    let answer = sender.send_request(call(body)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
    assert_eq!(answer.headers()["grpc-message"], "done");
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_call_may_be_silent_for_longer_than_another_body() {
    let origin = Server::start(Speaks::Http2, |request| async move {
        if request.headers().contains_key("te") {
            return echo(request).await;
        }
        // Says nothing more.
        let first = futures::stream::iter([Ok(Frame::data(message(0)))]);
        let body = StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync();
        Response::new(body)
    });
    let (edge, authority) = edge_before(Origin {
        protocol: OriginProtocol::Http2,
        timeouts: OriginTimeouts {
            between_bytes_ms: 200,
            ..OriginTimeouts::default()
        },
        ..origin_at(&[origin.address])
    });
    let mut sender = visitor(&edge, &authority).await;
    let (mut frames, body) = channel();
    let calling = sender.send_request(call(body));
    frames.send(Ok(Frame::data(message(1)))).await.unwrap();
    let mut called = calling.await.unwrap();
    next(called.body_mut()).await.unwrap();
    let ordinary = Request::get(format!("https://{HOST}/"))
        .body(http_body_util::Empty::new().boxed_unsync())
        .unwrap();
    let body = sender.send_request(ordinary).await.unwrap().into_body();
    let broken = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap();
    assert!(broken.is_err(), "broken off at the limit");
    frames.send(Ok(Frame::data(message(2)))).await.unwrap();
    let echoed = next(called.body_mut()).await.unwrap();
    assert_eq!(echoed.into_data().unwrap(), message(2));
}
