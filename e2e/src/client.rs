//! Visitors: requests over plain HTTP/1.1, TLS or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

/// Longest time for one request.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer with its whole body.
pub type Answer = Response<Bytes>;

/// What a visitor speaks.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS, trusting this CA (PEM).
    Tls(String),
    /// HTTP/2 over TLS, trusting this CA (PEM).
    H2(String),
}

/// Over plain HTTP/1.1, on a connection of its own.
pub async fn get(edge: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    Visitor::new(edge, host, Speaks::Plain).get(path).await
}

/// Over TLS and HTTP/1.1, on a connection of its own.
pub async fn get_tls(edge: SocketAddr, host: &str, path: &str, ca_pem: &str) -> Result<Answer> {
    Visitor::new(edge, host, Speaks::Tls(ca_pem.to_owned()))
        .get(path)
        .await
}

/// Over TLS and HTTP/2, on a connection of its own.
pub async fn get_h2(edge: SocketAddr, host: &str, path: &str, ca_pem: &str) -> Result<Answer> {
    Visitor::new(edge, host, Speaks::H2(ca_pem.to_owned()))
        .get(path)
        .await
}

/// A POST over plain HTTP/1.1, to a server that isn't an edge.
pub async fn post(server: SocketAddr, path: &str, body: &str) -> Result<Answer> {
    let request = Request::post(path)
        .header("host", server.to_string())
        .body(http_body_util::Full::new(Bytes::from(body.to_owned())))?;
    limited(async {
        let stream = TokioIo::new(TcpStream::connect(server).await?);
        let (mut sender, connection) = http1::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let answer = Response::from_parts(head, body.collect().await?.to_bytes());
        driver.abort();
        Ok(answer)
    })
    .await
}

/// Somebody who asks again and again, on one connection as long as it lasts.
#[derive(Debug)]
pub struct Visitor {
    edge: SocketAddr,
    host: String,
    speaks: Speaks,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    driver: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
enum Sender {
    H1(http1::SendRequest<Empty<Bytes>>),
    H2(http2::SendRequest<Empty<Bytes>>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Visitor {
    /// Asks `host` at an edge.
    pub fn new(edge: SocketAddr, host: &str, speaks: Speaks) -> Self {
        Self {
            edge,
            host: host.to_owned(),
            speaks,
            connection: None,
        }
    }

    /// One request. What fails isn't tried again, and its connection isn't used again.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Request::get(self.target(path)).body(Empty::new())?)
            .await
    }

    /// One request with header fields.
    pub async fn get_with(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let mut request = Request::get(self.target(path));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Empty::new())?).await
    }

    /// Closes its connection.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    fn target(&self, path: &str) -> String {
        match self.speaks {
            Speaks::H2(_) => format!("https://{}{path}", self.host),
            Speaks::Plain | Speaks::Tls(_) => path.to_owned(),
        }
    }

    async fn send(&mut self, mut request: Request<Empty<Bytes>>) -> Result<Answer> {
        if !matches!(self.speaks, Speaks::H2(_)) {
            request.headers_mut().insert("host", self.host.parse()?);
        }
        let mut usable = self.connection.take();
        if let Some(connection) = &mut usable
            && !connection.sender.ready().await
        {
            usable = None;
        }
        let mut connection = match usable {
            Some(connection) => connection,
            None => limited(self.connect()).await?,
        };
        let answer = limited(async {
            let response = match &mut connection.sender {
                Sender::H1(sender) => sender.send_request(request).await?,
                Sender::H2(sender) => sender.send_request(request).await?,
            };
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        })
        .await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Connection> {
        let (host, edge) = (&self.host, self.edge);
        match &self.speaks {
            Speaks::Plain => h1(TcpStream::connect(edge).await?).await,
            Speaks::Tls(ca) => h1(tls(edge, host, ca, b"http/1.1").await?).await,
            Speaks::H2(ca) => {
                let stream = TokioIo::new(tls(edge, host, ca, b"h2").await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let driver = tokio::spawn(async move {
                    let _ = connection.await;
                });
                Ok(Connection {
                    sender: Sender::H2(sender),
                    driver,
                })
            }
        }
    }
}

impl Sender {
    /// False when the connection has ended; then nothing was sent on it.
    async fn ready(&mut self) -> bool {
        match self {
            Self::H1(sender) => sender.ready().await.is_ok(),
            Self::H2(sender) => sender.ready().await.is_ok(),
        }
    }
}

async fn h1<S>(stream: S) -> Result<Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection {
        sender: Sender::H1(sender),
        driver,
    })
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
