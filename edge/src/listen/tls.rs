use std::sync::Arc;

use breakwater_edge_config::bundle::{KeyPair, SiteBundle};
use breakwater_edge_config::{HostPattern, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The configuration names a key pair that the bundle lacks.
    #[error("certificate {0}: its key pair is not there")]
    Missing(String),
    /// The chain isn't PEM, or holds no certificate.
    #[error("certificate {name}: the chain can't be read: {problem}")]
    Chain {
        /// The key pair.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The key isn't PEM, or of a kind that isn't supported.
    #[error("certificate {name}: the private key can't be read: {problem}")]
    Key {
        /// The key pair.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// They belong to different certificates.
    #[error("certificate {0}: the private key doesn't belong to the certificate")]
    Mismatch(String),
    /// The library refuses its defaults.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What all sites of one oldest version share. Each has its own ticket keys, so that a session of one is
/// never resumed under the other.
#[derive(Debug)]
pub(crate) struct Policies {
    provider: Arc<CryptoProvider>,
    tls12: ServerConfig,
    tls13: ServerConfig,
}

impl Policies {
    pub(crate) fn new() -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            tls12: base(&provider, &[&rustls::version::TLS13, &rustls::version::TLS12])?,
            tls13: base(&provider, &[&rustls::version::TLS13])?,
            provider,
        })
    }
}

fn base(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Nothing));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets work on every worker and cost no memory; rustls turns early data off with them.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The certificates of one site.
#[derive(Debug)]
pub(crate) struct SiteTls {
    certificates: Vec<Certificate>,
}

/// A certificate, ready for handshakes.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) names: Arc<[HostPattern]>,
    pub(crate) config: Arc<ServerConfig>,
    key: Arc<CertifiedKey>,
}

impl SiteTls {
    /// Parses chains and keys; the first bad one is the error of the whole site.
    pub(crate) fn compile(bundle: &SiteBundle, policies: &Policies) -> Result<Self, TlsError> {
        let base = match bundle.config.tls.min_version {
            TlsVersion::Tls12 => &policies.tls12,
            TlsVersion::Tls13 => &policies.tls13,
        };
        let mut certificates = Vec::with_capacity(bundle.config.certificates.len());
        for wanted in &bundle.config.certificates {
            let name = &wanted.key_pair;
            let pair = bundle
                .key_pairs
                .get(name)
                .ok_or_else(|| TlsError::Missing(name.clone()))?;
            let key = Arc::new(certified_key(name, pair, &policies.provider)?);
            let mut config = base.clone();
            config.cert_resolver = Arc::new(One(Arc::clone(&key)));
            certificates.push(Certificate {
                names: wanted
                    .names
                    .iter()
                    .filter_map(|n| HostPattern::parse(n).ok())
                    .collect(),
                config: Arc::new(config),
                key,
            });
        }
        Ok(Self { certificates })
    }

    /// The first certificate for `host` that the client can verify.
    pub(crate) fn pick(&self, host: &str, schemes: &[SignatureScheme]) -> Option<&Certificate> {
        let covering = || {
            self.certificates
                .iter()
                .filter(|c| c.names.iter().any(|n| n.covers(host)))
        };
        covering()
            .find(|c| c.key.key.choose_scheme(schemes).is_some())
            // None fits: the handshake with any of them fails with the right alert.
            .or_else(|| covering().next())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

fn certified_key(name: &str, pair: &KeyPair, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let name = || name.to_owned();
    let chain = CertificateDer::pem_slice_iter(&pair.chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Chain {
            name: name(),
            problem: error.to_string(),
        })?;
    if chain.is_empty() {
        return Err(TlsError::Chain {
            name: name(),
            problem: "it holds no certificate".to_owned(),
        });
    }
    let key_error = |problem: String| TlsError::Key {
        name: name(),
        problem,
    };
    let key = PrivateKeyDer::from_pem_slice(&pair.key_pem).map_err(|error| key_error(error.to_string()))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| key_error(error.to_string()))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Unknown: the key can't tell its public half; the handshake will.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(key),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch(name())),
        Err(error) => Err(TlsError::Chain {
            name: name(),
            problem: error.to_string(),
        }),
    }
}

/// The certificate has been chosen before the handshake goes on.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Stands where a certificate is put in later; never serves a handshake.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
