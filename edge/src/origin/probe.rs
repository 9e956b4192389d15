use std::sync::{Arc, Weak};
use std::time::Duration;

use breakwater_edge_config::{HealthCheck, OriginProtocol};
use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::connect::{self, Stream, TlsParams};
use super::endpoint::Endpoint;
use super::health::passes;
use super::task::Task;

/// The probing of one endpoint.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) spec: ProbeSpec,
    _task: Task,
}

/// What is asked. A change of anything else leaves the probing as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeSpec {
    pub(super) check: HealthCheck,
    /// Host of the GET.
    pub(super) host: String,
}

impl Probe {
    pub(super) fn start(endpoint: &Arc<Endpoint>, spec: ProbeSpec, tls: Option<TlsParams>) -> Self {
        let running = run(Arc::downgrade(endpoint), spec.clone(), tls);
        Self {
            spec,
            _task: Task::spawn(&endpoint.common.control, running),
        }
    }
}

async fn run(endpoint: Weak<Endpoint>, spec: ProbeSpec, tls: Option<TlsParams>) {
    let interval = Duration::from_millis(spec.check.interval_ms.max(1));
    // Spread, so that ten thousand sites aren't probed in one instant after a start.
    tokio::time::sleep(interval.mul_f64(0.1 * fastrand::f64())).await;
    loop {
        let Some(live) = endpoint.upgrade() else { return };
        let timeout = Duration::from_millis(spec.check.timeout_ms.max(1));
        let result = match tokio::time::timeout(timeout, probe(&live, &spec, tls.as_ref())).await {
            Ok(Ok(status)) if passes(&spec.check, status) => Ok(()),
            Ok(Ok(status)) => Err(format!("status {status}")),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
        };
        note(&live, &spec, result);
        drop(live);
        tokio::time::sleep(interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

fn note(endpoint: &Endpoint, spec: &ProbeSpec, result: Result<(), String>) {
    if !endpoint.health().on_check(result.is_ok(), &spec.check) {
        return;
    }
    let (address, origin, site) = (endpoint.address(), &endpoint.key.origin, &endpoint.key.site_uid);
    match result {
        Ok(()) => tracing::info!(%address, %origin, %site, "origin endpoint is healthy"),
        Err(problem) => tracing::warn!(%address, %origin, %site, %problem, "origin endpoint is unhealthy"),
    }
}

/// One GET on a connection of its own: so it proves that the server still accepts. The answer's body isn't
/// read.
async fn probe(endpoint: &Endpoint, spec: &ProbeSpec, tls: Option<&TlsParams>) -> Result<u16, String> {
    let protocol = endpoint.key.protocol();
    let target = (endpoint.address(), endpoint.key.class());
    let stream = connect::connect(&endpoint.common.guard, target, tls, protocol)
        .await
        .map_err(|error| error.to_string())?;
    let request = request(spec, protocol, tls.is_some()).map_err(|error| error.to_string())?;
    match protocol {
        OriginProtocol::Http1 => ask_http1(stream, request).await,
        OriginProtocol::Http2 => ask_http2(stream, request).await,
    }
    .map_err(|error| error.to_string())
}

fn request(spec: &ProbeSpec, protocol: OriginProtocol, tls: bool) -> http::Result<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    match protocol {
        OriginProtocol::Http1 => {
            *request.uri_mut() = Uri::try_from(spec.check.path.as_str())?;
            request
                .headers_mut()
                .insert(HOST, HeaderValue::try_from(spec.host.as_str())?);
        }
        OriginProtocol::Http2 => {
            *request.uri_mut() = Uri::builder()
                .scheme(if tls { "https" } else { "http" })
                .authority(spec.host.as_str())
                .path_and_query(spec.check.path.as_str())
                .build()?;
        }
    }
    request
        .headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static("breakwater-health-check"));
    Ok(request)
}

async fn ask_http1(stream: Stream, request: Request<Empty<Bytes>>) -> hyper::Result<u16> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    answer(sender.send_request(request), connection).await
}

async fn ask_http2(stream: Stream, request: Request<Empty<Bytes>>) -> hyper::Result<u16> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(16 << 10)
        .initial_connection_window_size(64 << 10)
        .handshake(TokioIo::new(stream))
        .await?;
    answer(sender.send_request(request), connection).await
}

/// Drives the connection in this task, so that it ends with the probe.
async fn answer<B>(
    asking: impl Future<Output = hyper::Result<http::Response<B>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<u16> {
    let mut asking = std::pin::pin!(asking);
    let status = |answer: http::Response<B>| answer.status().as_u16();
    tokio::select! {
        biased;
        answer = &mut asking => answer.map(status),
        // The connection has ended; whatever it had to say is there.
        _ = connection => asking.await.map(status),
    }
}
