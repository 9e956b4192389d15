//! Certificates and keys from Secrets.

use std::collections::BTreeMap;

use breakwater_edge_config::bundle::KeyPair;
use jiff::Timestamp;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::object::Secret;
use crate::problem::{Problem, reason};

const TLS_TYPE: &str = "kubernetes.io/tls";
const USE_LABEL: &str = "edge.breakwater.dev/use: \"true\"";

/// A key pair that fits.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) pem: KeyPair,
    /// DNS names, lower case, sorted.
    pub(crate) names: Vec<String>,
    pub(crate) ecdsa: bool,
    pub(crate) not_before: Timestamp,
    /// Of the whole chain, the earliest.
    pub(crate) not_after: Timestamp,
}

fn invalid(secret: &Secret, what: impl std::fmt::Display) -> Problem {
    Problem::new(
        reason::INVALID_CERTIFICATE,
        format!("Secret {}: {what}", secret.name.name),
    )
}

/// A certificate towards visitors.
pub(crate) fn server_pair(secret: &Secret) -> Result<Pair, Problem> {
    let pair = pair(secret)?;
    if pair.names.is_empty() {
        return Err(invalid(
            secret,
            "the certificate names no host (it has no DNS subject alternative name)",
        ));
    }
    Ok(pair)
}

/// A certificate towards an origin.
pub(crate) fn client_pair(secret: &Secret) -> Result<Pair, Problem> {
    usable(secret)?;
    pair(secret)
}

/// Trusted CAs, PEM.
pub(crate) fn ca_file(secret: &Secret) -> Result<Vec<u8>, Problem> {
    usable(secret)?;
    let pem = field(secret, "ca.crt")?;
    let chain = chain(secret, "ca.crt", pem)?;
    for certificate in &chain {
        X509Certificate::from_der(certificate)
            .map_err(|error| invalid(secret, format!("ca.crt: a certificate can't be read: {error}")))?;
    }
    Ok(pem.to_vec())
}

fn usable(secret: &Secret) -> Result<(), Problem> {
    if secret.usable {
        return Ok(());
    }
    Err(Problem::new(
        reason::SECRET_NOT_USABLE,
        format!(
            "Secret {} lacks the label {USE_LABEL}, which lets edges use it",
            secret.name.name
        ),
    ))
}

fn pair(secret: &Secret) -> Result<Pair, Problem> {
    if secret.kind != TLS_TYPE {
        let kind = &secret.kind;
        return Err(invalid(
            secret,
            format!("it has type {kind}; a certificate needs type {TLS_TYPE}"),
        ));
    }
    let chain_pem = field(secret, "tls.crt")?;
    let key_pem = field(secret, "tls.key")?;
    let chain = chain(secret, "tls.crt", chain_pem)?;
    let key = private_key(secret, key_pem)?;
    let facts = facts(secret, &chain)?;
    check_pair(secret, chain, &key)?;
    Ok(Pair {
        pem: KeyPair {
            chain_pem: chain_pem.to_vec(),
            key_pem: key_pem.to_vec(),
        },
        ..facts
    })
}

fn field<'a>(secret: &'a Secret, name: &str) -> Result<&'a [u8], Problem> {
    match secret.data.get(name) {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(invalid(secret, format!("{name} is missing or empty"))),
    }
}

fn not_pem(error: &pem::Error) -> String {
    match error {
        // Its own words would show the marker as a list of numbers.
        pem::Error::MissingSectionEnd { .. } => "a block of PEM has no end (-----END …-----)".to_owned(),
        error => format!("not PEM: {error}"),
    }
}

fn chain(secret: &Secret, name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(secret, format!("{name}: {}", not_pem(&error))))?;
    if chain.is_empty() {
        return Err(invalid(
            secret,
            format!("{name} holds no certificate (no -----BEGIN CERTIFICATE-----)"),
        ));
    }
    Ok(chain)
}

fn private_key(secret: &Secret, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|window| window == *mark));
    if encrypted {
        return Err(invalid(
            secret,
            "tls.key is encrypted; store it without a passphrase",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        // The parser's words may quote the key.
        invalid(
            secret,
            "tls.key holds no private key that can be read (PKCS#8, SEC1 or PKCS#1 in PEM)",
        )
    })
}

fn check_pair(
    secret: &Secret,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<(), Problem> {
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).map_err(|_| {
        invalid(
            secret,
            "tls.key is broken, or of a kind that TLS doesn't use (RSA, ECDSA, Ed25519)",
        )
    })?;
    rustls::sign::CertifiedKey::new(chain, signer).keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => invalid(
            secret,
            "tls.key is not the key of the first certificate in tls.crt; the site's own certificate must stand first",
        ),
        other => invalid(secret, format!("tls.crt can't be used: {other}")),
    })
}

/// What the certificates say. The pair is filled in by the caller.
fn facts(secret: &Secret, chain: &[CertificateDer<'_>]) -> Result<Pair, Problem> {
    let mut facts: Option<Pair> = None;
    for (i, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| {
            invalid(
                secret,
                format!("tls.crt: certificate {} can't be read: {error}", i + 1),
            )
        })?;
        let validity = certificate.validity();
        let not_after = timestamp(validity.not_after.timestamp());
        match &mut facts {
            Some(facts) => facts.not_after = facts.not_after.min(not_after),
            None => {
                facts = Some(Pair {
                    pem: KeyPair {
                        chain_pem: Vec::new(),
                        key_pem: Vec::new(),
                    },
                    names: dns_names(&certificate),
                    ecdsa: certificate.public_key().algorithm.algorithm
                        == x509_parser::oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY,
                    not_before: timestamp(validity.not_before.timestamp()),
                    not_after,
                });
            }
        }
    }
    facts.ok_or_else(|| invalid(secret, "tls.crt holds no certificate"))
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The pairs in the order that edges prefer them: ECDSA first, then by name.
pub(crate) fn by_preference(pairs: &BTreeMap<String, Pair>) -> Vec<(&String, &Pair)> {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_by_key(|(name, pair)| (!pair.ecdsa, *name));
    sorted
}
