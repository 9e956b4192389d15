use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use breakwater_edge_config::OriginProtocol;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{OriginError, OriginErrorKind};
use super::guard::{AddressClass, AddressGuard};

/// Silence after which the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a TLS connection needs.
#[derive(Clone, Debug)]
pub(super) struct TlsParams {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// Connects, if the address may be connected to. The caller bounds the time.
pub(super) async fn connect(
    guard: &AddressGuard,
    (address, class): (SocketAddr, AddressClass),
    tls: Option<&TlsParams>,
    protocol: OriginProtocol,
) -> Result<Stream, OriginError> {
    if !guard.permits(address.ip(), class) {
        return Err(
            OriginError::new(OriginErrorKind::Forbidden, "the address may not be an origin").at(address),
        );
    }
    let failed = |kind| move |error: io::Error| OriginError::new(kind, error).at(address);
    let stream = TcpStream::connect(address)
        .await
        .map_err(failed(OriginErrorKind::Connect))?;
    // Failures of these cost speed only.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let Some(TlsParams { config, name }) = tls else {
        return Ok(Stream::Plain(stream));
    };
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream);
    let stream = connecting.await.map_err(failed(OriginErrorKind::Tls))?;
    let agreed = stream.get_ref().1.alpn_protocol();
    let speaks = match protocol {
        OriginProtocol::Http1 => agreed.is_none_or(|name| name == b"http/1.1"),
        OriginProtocol::Http2 => agreed == Some(b"h2"),
    };
    if !speaks {
        let detail = "it doesn't speak the configured protocol (ALPN)";
        return Err(OriginError::new(OriginErrorKind::Tls, detail).at(address));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
