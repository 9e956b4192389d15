//! A visitor: one request on a connection of its own, over plain HTTP/1.1, TLS or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

/// Longest time for one request.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer with its whole body.
pub type Answer = Response<Bytes>;

/// Over plain HTTP/1.1.
pub async fn get(edge: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    let request = Request::get(path)
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    limited(async { h1(TcpStream::connect(edge).await?, request).await }).await
}

/// Over TLS and HTTP/1.1.
pub async fn get_tls(edge: SocketAddr, host: &str, path: &str, ca_pem: &str) -> Result<Answer> {
    let request = Request::get(path)
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    limited(async { h1(tls(edge, host, ca_pem, b"http/1.1").await?, request).await }).await
}

/// Over TLS and HTTP/2.
pub async fn get_h2(edge: SocketAddr, host: &str, path: &str, ca_pem: &str) -> Result<Answer> {
    let request = Request::get(format!("https://{host}{path}")).body(Empty::<Bytes>::new())?;
    limited(async {
        let stream = TokioIo::new(tls(edge, host, ca_pem, b"h2").await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        let driver = tokio::spawn(connection);
        let answer = whole(sender.send_request(request).await?).await;
        driver.abort();
        answer
    })
    .await
}

/// The certificate that an edge presents for a name.
pub async fn certificate(edge: SocketAddr, host: &str, ca_pem: &str) -> Result<Vec<u8>> {
    limited(async {
        let stream = tls(edge, host, ca_pem, b"http/1.1").await?;
        let chain = stream.get_ref().1.peer_certificates().context("no certificate")?;
        Ok(chain.first().context("an empty chain")?.to_vec())
    })
    .await
}

async fn limited<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LIMIT, work)
        .await
        .context("no answer in time")?
}

async fn h1<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = whole(sender.send_request(request).await?).await;
    driver.abort();
    answer
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

async fn tls(
    edge: SocketAddr,
    host: &str,
    ca_pem: &str,
    protocol: &[u8],
) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(connector
        .connect(
            ServerName::try_from(host.to_owned())?,
            TcpStream::connect(edge).await?,
        )
        .await?)
}
