use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_config::OriginProtocol;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{OriginError, OriginErrorKind};
use super::guard::{AddressClass, AddressGuard};
use crate::transport::Transport;

/// Silence after which the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A connection, with or without TLS.
pub(super) type Stream = Transport<TcpStream, TlsStream<TcpStream>>;

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
