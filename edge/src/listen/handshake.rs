use std::io;

use breakwater_edge_config::TlsVersion;
use breakwater_edge_proxy::TlsFacts;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::meter::Socket;
use super::worker::Local;
use crate::observe::Handshake;

/// A finished handshake.
pub(crate) struct Secured {
    pub(crate) stream: Box<TlsStream<Socket>>,
    pub(crate) facts: TlsFacts,
    pub(crate) h2: bool,
}

/// Makes a TLS connection of a TCP one; counts how it went.
pub(crate) async fn run(local: &Local, socket: Socket) -> Option<Secured> {
    let counters = local.recorder.counters();
    match tokio::time::timeout(local.common.limits.handshake, shake(local, socket)).await {
        Ok(Ok(secured)) => {
            let resumed = secured.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            counters.handshake(if resumed {
                Handshake::Resumed
            } else {
                Handshake::Full
            });
            Some(secured)
        }
        Ok(Err(refused)) => {
            counters.handshake(refused);
            None
        }
        Err(_elapsed) => {
            counters.handshake(Handshake::Timeout);
            None
        }
    }
}

async fn shake(local: &Local, socket: Socket) -> Result<Secured, Handshake> {
    let failed = |_: io::Error| Handshake::Failed;
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(failed)?;
    let (config, names) = {
        let hello = start.client_hello();
        // Without a name, or with one that nobody has here: not a word, and so no certificate to look at.
        let name = hello
            .server_name()
            .ok_or(Handshake::UnknownName)?
            .to_ascii_lowercase();
        let snapshot = local.common.proxy.directory.current();
        let site = snapshot.find(&name).ok_or(Handshake::UnknownName)?;
        let tls = local
            .common
            .certificates
            .get(site.id())
            .ok_or(Handshake::UnknownName)?;
        let chosen = tls
            .pick(&name, hello.signature_schemes())
            .ok_or(Handshake::UnknownName)?;
        (chosen.config.clone(), chosen.names.clone())
    };
    let stream = start.into_stream(config).await.map_err(failed)?;
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    let h2 = session.alpn_protocol() == Some(b"h2");
    Ok(Secured {
        facts: TlsFacts { names, version },
        h2,
        stream: Box::new(stream),
    })
}
