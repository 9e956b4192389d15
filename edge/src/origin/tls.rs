use std::sync::{Arc, OnceLock};

use breakwater_edge_config::bundle::{KeyPair, SiteBundle};
use breakwater_edge_config::{ContentHash, OriginProtocol, OriginTls};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// TLS sessions that an origin's configuration remembers; tickets are single-use.
const SESSIONS: usize = 32;

/// Why an origin can't be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OriginConfigError {
    /// The configuration names a CA bundle that isn't there.
    #[error("origin {origin}: the CA bundle {name} is not there")]
    CaMissing {
        /// The origin.
        origin: String,
        /// The bundle's name.
        name: String,
    },
    /// The CA bundle isn't PEM, holds no certificate, or one that can't be a trust anchor.
    #[error("origin {origin}: the CA bundle {name} can't be used: {problem}")]
    Ca {
        /// The origin.
        origin: String,
        /// The bundle's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The configuration names a client certificate that isn't there.
    #[error("origin {origin}: the client certificate {name} is not there")]
    ClientMissing {
        /// The origin.
        origin: String,
        /// The key pair's name.
        name: String,
    },
    /// The chain or the key can't be read, or they don't belong together.
    #[error("origin {origin}: the client certificate {name} can't be used: {problem}")]
    Client {
        /// The origin.
        origin: String,
        /// The key pair's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The server name is neither a DNS name nor an address.
    #[error("origin {origin}: {name:?} can't be a server name")]
    ServerName {
        /// The origin.
        origin: String,
        /// The name.
        name: String,
    },
    /// The library refuses its defaults.
    #[error("origin {origin}: TLS can't be set up: {error}")]
    Setup {
        /// The origin.
        origin: String,
        /// What it says.
        error: rustls::Error,
    },
}

/// What tells two TLS set-ups apart. Connections are shared only where all of it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TlsKey {
    server_name: Option<String>,
    ca: Option<ContentHash>,
    client: Option<ContentHash>,
}

/// TLS to one origin.
#[derive(Clone, Debug)]
pub(super) struct TlsTarget {
    pub(super) key: TlsKey,
    pub(super) config: Arc<ClientConfig>,
    /// `None`: the Host that is sent.
    pub(super) server_name: Option<ServerName<'static>>,
}

impl TlsTarget {
    /// Reads what the bundle holds for an origin.
    pub(super) fn compile(
        origin: &str,
        tls: &OriginTls,
        protocol: OriginProtocol,
        bundle: &SiteBundle,
    ) -> Result<Self, OriginConfigError> {
        let ca = match &tls.ca_file {
            None => None,
            Some(name) => Some((
                name,
                bundle
                    .ca_files
                    .get(name)
                    .ok_or_else(|| OriginConfigError::CaMissing {
                        origin: origin.to_owned(),
                        name: name.clone(),
                    })?,
            )),
        };
        let client = match &tls.client_key_pair {
            None => None,
            Some(name) => {
                let pair = bundle
                    .key_pairs
                    .get(name)
                    .ok_or_else(|| OriginConfigError::ClientMissing {
                        origin: origin.to_owned(),
                        name: name.clone(),
                    })?;
                Some((name, pair))
            }
        };
        let server_name = match &tls.server_name {
            None => None,
            Some(name) => {
                Some(
                    ServerName::try_from(name.clone()).map_err(|_| OriginConfigError::ServerName {
                        origin: origin.to_owned(),
                        name: name.clone(),
                    })?,
                )
            }
        };
        let key = TlsKey {
            server_name: tls.server_name.clone(),
            ca: ca.map(|(_, pem)| ContentHash::of(pem)),
            client: client
                .map(|(_, pair)| ContentHash::of_parts([pair.chain_pem.as_slice(), pair.key_pem.as_slice()])),
        };
        let verifier = match ca {
            None => public_verifier(origin)?,
            Some((name, pem)) => own_verifier(origin, name, pem)?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| OriginConfigError::Setup {
                origin: origin.to_owned(),
                error,
            })?
            .with_webpki_verifier(verifier);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some((name, pair)) => {
                let key = client_key(pair).map_err(|problem| OriginConfigError::Client {
                    origin: origin.to_owned(),
                    name: name.clone(),
                    problem,
                })?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.alpn_protocols = match protocol {
            OriginProtocol::Http1 => vec![b"http/1.1".to_vec()],
            OriginProtocol::Http2 => vec![b"h2".to_vec()],
        };
        Ok(Self {
            key,
            config: Arc::new(config),
            server_name,
        })
    }

    /// The name to ask for and to verify, when `authority` is the Host that is sent.
    pub(super) fn name_for(&self, authority: &str) -> Option<ServerName<'static>> {
        match &self.server_name {
            Some(name) => Some(name.clone()),
            None => ServerName::try_from(host_of(authority).to_owned()).ok(),
        }
    }
}

/// The host of an authority, without port and brackets.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// Trusts the public CAs, as Mozilla does; built in, for the image holds no files. Shared by all origins.
fn public_verifier(origin: &str) -> Result<Arc<WebPkiServerVerifier>, OriginConfigError> {
    static PUBLIC: OnceLock<Arc<WebPkiServerVerifier>> = OnceLock::new();
    if let Some(verifier) = PUBLIC.get() {
        return Ok(Arc::clone(verifier));
    }
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let verifier = built.map_err(|error| OriginConfigError::Ca {
        origin: origin.to_owned(),
        name: "of the public CAs".to_owned(),
        problem: error.to_string(),
    })?;
    Ok(Arc::clone(PUBLIC.get_or_init(|| verifier)))
}

fn own_verifier(
    origin: &str,
    name: &str,
    pem: &[u8],
) -> Result<Arc<WebPkiServerVerifier>, OriginConfigError> {
    let error = |problem: String| OriginConfigError::Ca {
        origin: origin.to_owned(),
        name: name.to_owned(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for (n, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate = certificate.map_err(|e| error(format!("certificate {}: {e}", n + 1)))?;
        roots
            .add(certificate)
            .map_err(|e| error(format!("certificate {}: {e}", n + 1)))?;
    }
    if roots.is_empty() {
        return Err(error("it holds no PEM certificate".to_owned()));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| error(e.to_string()))
}

fn client_key(pair: &KeyPair) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_slice_iter(&pair.chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the chain can't be read: {error}"))?;
    if chain.is_empty() {
        return Err("the chain holds no PEM certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&pair.key_pem)
        .map_err(|error| format!("the private key can't be read: {error}"))?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("the private key can't be read: {error}"))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(key),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("the private key doesn't belong to the certificate".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
