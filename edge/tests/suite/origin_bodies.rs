//! Bodies of any length pass, whole and unchanged, in both protocols on both sides; who is slow slows down
//! the other side, and the edge holds a bounded part of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use breakwater_edge::Edge;
use breakwater_edge_config::{Origin, OriginProtocol};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::client::Raw;
use crate::support::origin::{caching_site, forward_site, origin_at};
use crate::support::server::{Body, Server, Speaks};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{PATIENCE, edge_with, fixed_site, options, with_certificate};

const PIECE: usize = 64 << 10;

/// What the system may hold of a stream in its socket buffers, twice, besides what the edge holds.
const ON_THE_WAY_BYTES: u64 = 32 << 20;

/// The byte at a position: a prime period, so that a lost piece shows.
fn byte(at: u64) -> u8 {
    u8::try_from(at % 251).unwrap()
}

/// Makes a body as fast as it is taken, and counts.
struct Source {
    made: Arc<AtomicU64>,
    total: u64,
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let at = self.made.load(Ordering::Relaxed);
        if at >= self.total {
            return Poll::Ready(None);
        }
        let end = (at + PIECE as u64).min(self.total);
        let piece: Vec<u8> = (at..end).map(byte).collect();
        self.made.store(end, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

fn source(total: u64) -> (Arc<AtomicU64>, Body) {
    let made = Arc::new(AtomicU64::new(0));
    let body = Source {
        made: Arc::clone(&made),
        total,
    };
    (made, body.boxed_unsync())
}

/// Reads a body and compares it with what was made.
struct Sink {
    body: Incoming,
    read: u64,
}

impl Sink {
    /// Reads up to `until`; false at the end.
    async fn read(&mut self, until: u64) -> bool {
        while self.read < until {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame());
            let Some(frame) = frame.await.expect("nothing came") else {
                return false;
            };
            let data = frame.unwrap().into_data().unwrap();
            for (at, got) in (self.read..).zip(&data) {
                assert_eq!(*got, byte(at), "at {at}");
            }
            self.read += data.len() as u64;
        }
        true
    }
}

enum Visitor {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Visitor {
    async fn send(&mut self, mut request: Request<Body>) -> Response<Incoming> {
        match self {
            Self::Http1(sender) => {
                *request.uri_mut() = http::Uri::from_static("/file");
                let host = http::HeaderValue::from_static("a.example");
                request.headers_mut().insert("host", host);
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => sender.send_request(request).await.unwrap(),
        }
    }
}

struct SetUp {
    edge: Edge,
    authority: Authority,
}

impl SetUp {
    /// `a.example` with this origin, and a site that answers by itself.
    fn before(address: SocketAddr, protocol: OriginProtocol, cached: bool) -> Self {
        let authority = Authority::new();
        let make = if cached { caching_site } else { forward_site };
        let origin = Origin {
            protocol,
            ..origin_at(&[address])
        };
        let names = ["a.example"];
        let sites = vec![
            with_certificate(make("a", names[0], origin), &names, authority.issue(&names)),
            fixed_site("other", "other.example", "meanwhile"),
        ];
        Self {
            edge: edge_with(options(), sites),
            authority,
        }
    }

    async fn visitor(&self, h2: bool) -> Visitor {
        let alpn = if h2 { "h2" } else { "http/1.1" };
        let tls = self.authority.client(&[alpn], TLS13);
        let io = connect(&tls, self.edge.addresses().https[0], "a.example")
            .await
            .unwrap();
        let io = TokioIo::new(io);
        if h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Visitor::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Visitor::Http1(sender)
        }
    }

    /// Time for whoever is fast to run ahead: both of the edge's workers do a lot else meanwhile.
    async fn meanwhile(&self) {
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(Raw::connect(self.edge.addresses().http[0]).await);
        }
        for _ in 0..50 {
            for other in &mut others {
                assert_eq!(other.get("other.example", "/").await.body, b"meanwhile");
            }
        }
    }
}

const URI: &str = "https://a.example/file";

/// Every pair of protocols: the visitor's is HTTP/2, the origin's is.
fn pairs() -> impl Iterator<Item = (bool, Speaks, OriginProtocol)> {
    [false, true].into_iter().flat_map(|h2| {
        [
            (h2, Speaks::Http1, OriginProtocol::Http1),
            (h2, Speaks::Http2, OriginProtocol::Http2),
        ]
    })
}

#[tokio::test]
async fn a_download_runs_no_further_ahead_than_buffers_are_large_and_arrives_whole() {
    const TOTAL: u64 = 80 << 20;
    for cached in [false, true] {
        for (h2, speaks, protocol) in pairs() {
            let made = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&made);
            let origin = Server::start(speaks, move |_| {
                let body = Source {
                    made: Arc::clone(&counter),
                    total: TOTAL,
                };
                async move { Response::new(body.boxed_unsync()) }
            });
            let set_up = SetUp::before(origin.address, protocol, cached);
            let mut visitor = set_up.visitor(h2).await;
            let request = Request::get(URI).body(http_body_util::Empty::new().boxed_unsync());
            let mut sink = Sink {
                body: visitor.send(request.unwrap()).await.into_body(),
                read: 0,
            };
            for part in 0..4 {
                assert!(sink.read(part * (8 << 20) + 1).await);
                set_up.meanwhile().await;
                let ahead = made.load(Ordering::Relaxed) - sink.read;
                assert!(
                    ahead < ON_THE_WAY_BYTES,
                    "{} MiB ahead, {protocol:?}, h2: {h2}, cached: {cached}",
                    ahead >> 20
                );
            }
            sink.read(u64::MAX).await;
            assert_eq!(sink.read, TOTAL, "{protocol:?}, h2: {h2}, cached: {cached}");
        }
    }
}

#[tokio::test]
async fn an_upload_runs_no_further_ahead_than_buffers_are_large_and_arrives_whole() {
    const TOTAL: u64 = 80 << 20;
    for (h2, speaks, protocol) in pairs() {
        let (bodies, mut came) = tokio::sync::mpsc::unbounded_channel();
        let origin = Server::start(speaks, move |request: Request<Incoming>| {
            let (finish, finished) = tokio::sync::oneshot::channel::<()>();
            bodies.send((request.into_body(), finish)).unwrap();
            async move {
                let _ = finished.await;
                Response::new(http_body_util::Empty::new().boxed_unsync())
            }
        });
        let set_up = SetUp::before(origin.address, protocol, false);
        let mut visitor = set_up.visitor(h2).await;
        let (made, body) = source(TOTAL);
        let answered = tokio::spawn(async move {
            let request = Request::post(URI).body(body).unwrap();
            visitor.send(request).await.status()
        });
        let (body, finish) = tokio::time::timeout(PATIENCE, came.recv())
            .await
            .expect("no request came")
            .unwrap();
        let mut sink = Sink { body, read: 0 };
        for part in 0..4 {
            assert!(sink.read(part * (8 << 20) + 1).await);
            set_up.meanwhile().await;
            let ahead = made.load(Ordering::Relaxed) - sink.read;
            assert!(
                ahead < ON_THE_WAY_BYTES,
                "{} MiB ahead, {protocol:?}, h2: {h2}",
                ahead >> 20
            );
        }
        sink.read(u64::MAX).await;
        assert_eq!(sink.read, TOTAL, "{protocol:?}, h2: {h2}");
        finish.send(()).unwrap();
        assert_eq!(answered.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn what_comes_back_while_the_body_is_still_going_up_passes_at_once() {
    for (h2, speaks, protocol) in pairs() {
        let origin = Server::start(speaks, |request: Request<Incoming>| async move {
            Response::new(request.into_body().map_err(|_| unreachable!()).boxed_unsync())
        });
        let set_up = SetUp::before(origin.address, protocol, false);
        let mut visitor = set_up.visitor(h2).await;
        let (mut pieces, frames) = futures::channel::mpsc::channel(1);
        let body = http_body_util::StreamBody::new(frames).boxed_unsync();
        let asking = visitor.send(Request::post(URI).body(body).unwrap());
        let sending = async {
            let first: Bytes = (0..100).map(byte).collect::<Vec<_>>().into();
            futures::SinkExt::send(&mut pieces, Ok(Frame::data(first)))
                .await
                .unwrap();
        };
        let (answer, ()) = tokio::join!(asking, sending);
        let mut sink = Sink {
            body: answer.into_body(),
            read: 0,
        };
        for n in 1..10 {
            assert!(sink.read(100 * n).await);
            let next: Bytes = (100 * n..100 * (n + 1)).map(byte).collect::<Vec<_>>().into();
            futures::SinkExt::send(&mut pieces, Ok(Frame::data(next)))
                .await
                .unwrap();
        }
        drop(pieces);
        sink.read(u64::MAX).await;
        assert_eq!(sink.read, 1000, "{protocol:?}, h2: {h2}");
    }
}
