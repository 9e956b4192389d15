//! Origins that answer by themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a server does on its connections.
#[derive(Clone)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    /// HTTP/1.1 over TLS.
    Tls1(Arc<ServerConfig>),
    /// HTTP/2 over TLS.
    Tls2(Arc<ServerConfig>),
}

/// A server that counts; it and its connections end when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Server {
    /// A server of HTTP/1.1 that answers everything with its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(Speaks::Http1, move |_| async move { text(name) })
    }

    pub(crate) fn start<F>(
        speaks: Speaks,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), speaks, answer)
    }

    pub(crate) fn start_at<F>(
        place: SocketAddr,
        speaks: Speaks,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let counts = Arc::new(Counts::default());
        let listener = listener(place);
        let address = listener.local_addr().unwrap();
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (io, _) = listener.accept().await.unwrap();
                counted.connections.fetch_add(1, Ordering::Relaxed);
                io.set_nodelay(true).unwrap();
                let (counts, answer) = (Arc::clone(&counted), answer.clone());
                let service = move |request| {
                    counts.requests.fetch_add(1, Ordering::Relaxed);
                    answer(request)
                };
                connections.spawn(connection(speaks.clone(), io, service));
            }
        });
        Self {
            address,
            counts,
            task,
        }
    }

    /// Takes every connection and drops it when a request has begun to come.
    pub(crate) fn hanging_up() -> Self {
        let counts = Arc::new(Counts::default());
        let listener = listener("127.0.0.1:0".parse().unwrap());
        let address = listener.local_addr().unwrap();
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                counted.connections.fetch_add(1, Ordering::Relaxed);
                io.readable().await.unwrap();
            }
        });
        Self {
            address,
            counts,
            task,
        }
    }

    /// Connections that were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Requests that came so far.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listener(place: SocketAddr) -> TcpListener {
    let listener = std::net::TcpListener::bind(place).unwrap();
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

/// However a connection ends, it has ended.
async fn connection<F>(
    speaks: Speaks,
    io: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    match speaks {
        Speaks::Http1 => over_http1(io, answer).await,
        Speaks::Http2 => over_http2(io, answer).await,
        Speaks::Tls1(config) => {
            if let Ok(io) = TlsAcceptor::from(config).accept(io).await {
                over_http1(io, answer).await;
            }
        }
        Speaks::Tls2(config) => {
            if let Ok(io) = TlsAcceptor::from(config).accept(io).await {
                over_http2(io, answer).await;
            }
        }
    }
}

async fn over_http1<F>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    answer: impl Fn(Request<Incoming>) -> F + Send,
) where
    F: Future<Output = Response<Body>> + Send,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn over_http2<F>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    answer: impl Fn(Request<Incoming>) -> F + Send,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}

/// An answer of 200 with this body.
pub(crate) fn text(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).boxed_unsync())
}
