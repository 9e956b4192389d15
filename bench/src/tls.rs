//! TLS connections by number: new ones a second, and many that are only open.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
};

use crate::client;
use crate::parse::Load;

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Takes any certificate: these clients measure servers that this program has just started, and every cycle
/// that they don't spend is one more for the load.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A client of TLS 1.3 with AES-128-GCM and X25519, so that every server does the same work.
pub(crate) fn config(resume: bool) -> anyhow::Result<Arc<ClientConfig>> {
    use rustls::crypto::aws_lc_rs;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if resume {
        Resumption::in_memory_sessions(16)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// A handshake and one verified answer.
pub(crate) fn open(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    number: u32,
    path: &str,
) -> anyhow::Result<Stream> {
    let name = ServerName::try_from(client::HOST)?;
    let connection = ClientConnection::new(Arc::clone(config), name)?;
    let mut stream = StreamOwned::new(connection, client::connect(to, number)?);
    stream.write_all(&client::request(path))?;
    client::verify(&mut BufReader::new(&mut stream), path, &mut Vec::new())?;
    Ok(stream)
}

/// Connections that are made at once: enough that the server never waits for a client.
const THREADS: u32 = 4;

/// New connections, each with one request. One that should have been resumed and wasn't, or the other way
/// round, is an error.
pub(crate) fn connect_for(
    to: SocketAddr,
    path: &str,
    resume: bool,
    duration: Duration,
) -> anyhow::Result<Load> {
    let start = Instant::now();
    let counts: Vec<anyhow::Result<(u64, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || connect_loop(to, path, resume, duration, thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a client's thread died")))
            })
            .collect()
    });
    let (mut requests, mut errors) = (0, 0);
    for count in counts {
        let (more, wrong) = count?;
        requests += more;
        errors += wrong;
    }
    Ok(Load {
        requests,
        seconds: start.elapsed().as_secs_f64(),
        errors,
        bytes: requests * crate::content::body(path).map_or(0, |body| body.len() as u64),
    })
}

fn connect_loop(
    to: SocketAddr,
    path: &str,
    resume: bool,
    duration: Duration,
    thread: u32,
) -> anyhow::Result<(u64, u64)> {
    let config = config(resume)?;
    // Its ticket is for the first that is counted.
    drop(open(&config, to, thread, path)?);
    let start = Instant::now();
    let (mut requests, mut errors, mut number) = (0, 0, thread);
    while start.elapsed() < duration {
        number += THREADS;
        let stream = open(&config, to, number, path)?;
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        errors += u64::from(resumed != resume);
        requests += 1;
    }
    Ok((requests, errors))
}
