use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, oneshot};

use crate::purge::{Done, Refusal};

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 64;

/// Between two attempts to take an address that another process has.
const RETRY: Duration = Duration::from_millis(200);

/// Attempts after which it isn't the process before that has it: a minute.
const SUSPICIOUS: u32 = 300;

/// What `/metrics` answers.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the process is.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Health {
    /// It may be sent visitors.
    pub(crate) ready: bool,
    /// What is still missing, or what holds.
    pub(crate) state: &'static str,
    /// Sites in force.
    pub(crate) sites: usize,
    /// Objects that can't be used.
    pub(crate) failed: usize,
}

/// The sockets of the admin server, bound.
#[derive(Debug, Default)]
pub(crate) struct AdminSockets {
    tcp: Option<Tcp>,
    unix: Option<(StdUnixListener, PathBuf)>,
}

#[derive(Debug)]
enum Tcp {
    Bound(std::net::TcpListener),
    /// The process before has it.
    InUse(SocketAddr),
}

impl AdminSockets {
    /// Binds what is asked for. A socket file left by a process that is gone is replaced. With `patient`, an
    /// address in use is no error: the server takes it when it is free.
    pub(crate) fn bind(tcp: Option<SocketAddr>, unix: Option<&Path>, patient: bool) -> io::Result<Self> {
        let mut sockets = Self::default();
        if let Some(address) = tcp {
            sockets.tcp = Some(match bind_tcp(address) {
                Ok(listener) => Tcp::Bound(listener),
                Err(error) if patient && error.kind() == io::ErrorKind::AddrInUse => Tcp::InUse(address),
                Err(error) => return Err(error),
            });
        }
        if let Some(path) = unix {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = StdUnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            sockets.unix = Some((listener, path.to_owned()));
        }
        Ok(sockets)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.tcp.as_ref()? {
            Tcp::Bound(listener) => listener.local_addr().ok(),
            Tcp::InUse(address) => Some(*address),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Waits until the address is free. The process before gives it up when it has handed its listeners over;
/// whoever has it longer is somebody else.
async fn bind_when_free(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    tracing::info!(%address, "the admin server's address is in use; it is taken when it is free");
    let mut attempts = 0_u32;
    loop {
        match bind_tcp(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(RETRY).await,
            bound => return bound,
        }
        attempts += 1;
        if attempts == SUSPICIOUS {
            tracing::warn!(%address, "another program has the admin server's address: there are no metrics of this edge");
        }
    }
}

/// The admin server: a thread and runtime of its own, so that a busy worker can't make a probe fail.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: Option<oneshot::Sender<()>>,
    release: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    health: Box<dyn Fn() -> Health + Send + Sync>,
    registry: Registry,
    purge: Arc<Purge>,
}

/// Carries out the body of a request to purge; waits for the disk.
type Purge = dyn Fn(&[u8]) -> Result<Done, Refusal> + Send + Sync;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl Admin {
    pub(crate) fn start(
        sockets: AdminSockets,
        registry: Registry,
        health: impl Fn() -> Health + Send + Sync + 'static,
        purge: impl Fn(&[u8]) -> Result<Done, Refusal> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = Arc::new(State {
            health: Box::new(health),
            registry,
            purge: Arc::new(purge),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(sockets, state, stopped, released)) {
                tracing::error!(%error, "the admin server has ended");
            }
        })?;
        Ok(Self {
            stop: Some(stop),
            release: Some(release),
            thread: Some(thread),
        })
    }

    /// Leaves its address to the next process, whose metrics count from now; the Unix socket stays.
    pub(crate) fn release(&mut self) {
        if let Some(release) = self.release.take() {
            // An error: it has ended.
            let _ = release.send(());
        }
    }

    /// Ends it and removes its socket file.
    pub(crate) fn finish(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

async fn serve(
    sockets: AdminSockets,
    state: Arc<State>,
    stopped: oneshot::Receiver<()>,
    released: oneshot::Receiver<()>,
) -> io::Result<()> {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    if let Some(tcp) = sockets.tcp {
        let served = serve_tcp(tcp, Arc::clone(&state), Arc::clone(&limit));
        tokio::spawn(async move {
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::error!(%error, "the admin server's address can't be used");
                },
                Ok(()) = released => {}
            }
        });
    }
    let mut file = None;
    if let Some((listener, path)) = sockets.unix {
        let listener = UnixListener::from_std(listener)?;
        file = Some(path);
        tokio::spawn(async move {
            accept(
                || async { listener.accept().await.map(|(socket, _)| (socket, Way::Socket)) },
                state,
                limit,
            )
            .await;
        });
    }
    // Ends when the sender goes.
    let _ = stopped.await;
    if let Some(path) = file {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

async fn serve_tcp(tcp: Tcp, state: Arc<State>, limit: Arc<Semaphore>) -> io::Result<()> {
    let listener = match tcp {
        Tcp::Bound(listener) => listener,
        Tcp::InUse(address) => bind_when_free(address).await?,
    };
    let listener = TcpListener::from_std(listener)?;
    accept(
        || async { listener.accept().await.map(|(socket, _)| tcp_way(socket)) },
        state,
        limit,
    )
    .await;
    Ok(())
}

async fn accept<S, F>(next: impl Fn() -> F, state: Arc<State>, limit: Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<(S, Way)>>,
{
    while let Ok(permit) = Arc::clone(&limit).acquire_owned().await {
        match next().await {
            Ok((socket, way)) => {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    connection(socket, way, state).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server can't accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How a request came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Whoever may open the socket's file may change what the edge has stored.
    Socket,
    /// From this node, to an address that is reached from nowhere else.
    Loopback,
    /// From anywhere that the node's address is reached from: to look, not to change.
    Network,
}

fn tcp_way(socket: TcpStream) -> (TcpStream, Way) {
    let loopback = socket
        .local_addr()
        .is_ok_and(|local| local.ip().to_canonical().is_loopback());
    (socket, if loopback { Way::Loopback } else { Way::Network })
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    way: Way,
    state: Arc<State>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let answer = if request.uri().path() == "/purge" {
                purge(&state, way, request).await
            } else {
                answer(&state, request.method(), request.uri().path())
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(16 << 10);
    // A scraper or probe that goes away isn't worth a line.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

/// Most bytes of a purge's body, and how long it may take to come.
const MAX_PURGE_BYTES: usize = 1 << 20;
const MAX_PURGE_TIME: Duration = Duration::from_secs(10);

async fn purge(state: &State, way: Way, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Err((status, why)) = may_purge(way, &request) {
        return refuse(status, why);
    }
    let body = Limited::new(request.into_body(), MAX_PURGE_BYTES).collect();
    let body = match tokio::time::timeout(MAX_PURGE_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body has 1 MiB at most"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    let purge = Arc::clone(&state.purge);
    let outcome = tokio::task::spawn_blocking(move || purge(&body)).await;
    match outcome {
        Ok(Ok(done)) => {
            let mut body = serde_json::to_vec(&done).unwrap_or_default();
            body.push(b'\n');
            respond(StatusCode::OK, "application/json", body)
        }
        Ok(Err(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            refuse(status, &refusal.to_string())
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the purge was broken off"),
    }
}

/// A page in a browser on this node must not be able to purge either: it can't send this media type to another
/// origin unasked, and it names the host that it thinks this is.
fn may_purge(way: Way, request: &Request<Incoming>) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "only POST"));
    }
    let host = text(header::HOST).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, _)| name)
        .trim_matches(['[', ']']);
    let local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if way == Way::Network || (way == Way::Loopback && !local) {
        return Err((
            StatusCode::FORBIDDEN,
            "purges are taken over the Unix socket and on loopback, under its name or address",
        ));
    }
    let media = text(header::CONTENT_TYPE)
        .and_then(|media| media.split(';').next())
        .unwrap_or_default();
    if !media.trim().eq_ignore_ascii_case("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    Ok(())
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

fn answer(state: &State, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n");
    }
    match path {
        "/healthz" => respond(StatusCode::OK, "text/plain", "alive\n"),
        "/readyz" => {
            let health = (state.health)();
            let status = if health.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let mut body = serde_json::to_vec(&health).unwrap_or_default();
            body.push(b'\n');
            respond(status, "application/json", body)
        }
        "/metrics" => {
            let mut text = String::new();
            match prometheus_client::encoding::text::encode(&mut text, &state.registry) {
                Ok(()) => respond(StatusCode::OK, OPENMETRICS, text),
                Err(error) => {
                    tracing::error!(%error, "metrics can't be written");
                    respond(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "text/plain",
                        "metrics can't be written\n",
                    )
                }
            }
        }
        _ => respond(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /healthz, /readyz, /metrics and, to POST to, /purge\n",
        ),
    }
}

fn respond(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(media));
    response
}
