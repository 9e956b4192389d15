//! Certificates for servers of the tests.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A CA.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate with its key, PEM.
pub struct Leaf {
    /// Leaf, then CA.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

impl Ca {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A certificate for these names and addresses.
    pub fn leaf(&self, names: &[&str]) -> Result<Leaf> {
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            chain: leaf.pem() + &self.pem,
            key: key.serialize_pem(),
        })
    }
}
