//! Certificates from a CA of this machine's own, for sites without any: trusted by nobody but those who
//! import `ca.crt`.
//!
//! Everything lies in the state directory: `ca/ca.crt`, `ca/ca.key`, and `certificates/HASH.{crt,key}` for
//! each set of names. Keys are readable by their owner only. A certificate is made anew when a third of its
//! life is left.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use breakwater_edge_config::ContentHash;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;

/// Life of a site's certificate, days: what browsers accept at most is 398, public CAs go down to 47.
const LEAF_DAYS: i64 = 90;
/// Life of the CA, days.
const CA_DAYS: i64 = 3650;

/// The CA can't be used, or a certificate can't be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file couldn't be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} is unusable ({problem}): delete the directory {directory} to have a new CA made")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// The CA's directory.
        directory: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate couldn't be made.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate chain and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    /// Leaf, then CA.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

/// The CA.
pub struct Authority {
    state: PathBuf,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the CA in `state`, or makes it. `now` is in seconds since 1970.
    pub fn open(state: &Path, now: i64) -> Result<Self, AuthorityError> {
        let directory = state.join("ca");
        let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        if !certificate_path.exists() || !key_path.exists() {
            make_ca(&directory, &certificate_path, &key_path, now)?;
        }
        let (certificate_pem, key_pem) = (read(&certificate_path)?, read(&key_path)?);
        let unusable = |path: &Path, problem: String| AuthorityError::Unusable {
            path: path.to_owned(),
            directory: directory.clone(),
            problem,
        };
        let key = KeyPair::from_pem(&key_pem).map_err(|error| unusable(&key_path, error.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|error| unusable(&certificate_path, error.to_string()))?;
        Ok(Self {
            state: state.to_owned(),
            certificate_pem,
            issuer,
        })
    }

    /// Where the CA's certificate lies, for those who want to trust it.
    pub fn certificate_path(&self) -> PathBuf {
        self.state.join("ca").join("ca.crt")
    }

    /// A certificate for exactly these names: the one from the state directory while more than a third of
    /// its life is left, else a new one.
    pub fn certificate(&self, names: &[String], now: i64) -> Result<Issued, AuthorityError> {
        let hash = ContentHash::of_parts(
            std::iter::once(self.certificate_pem.as_bytes()).chain(names.iter().map(String::as_bytes)),
        );
        let directory = self.state.join("certificates");
        let chain_path = directory.join(format!("{}.crt", hash.short()));
        let key_path = directory.join(format!("{}.key", hash.short()));
        if let (Ok(chain_pem), Ok(key_pem)) = (read(&chain_path), read(&key_path))
            && still_good(&chain_pem, &key_pem, now)
        {
            return Ok(Issued { chain_pem, key_pem });
        }
        let issued = self.issue(names, now)?;
        private_directory(&directory)?;
        write(&key_path, &issued.key_pem, 0o600)?;
        write(&chain_path, &issued.chain_pem, 0o644)?;
        Ok(issued)
    }

    fn issue(&self, names: &[String], now: i64) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::new(names)?;
        (params.not_before, params.not_after) = validity(now, LEAF_DAYS);
        params.distinguished_name.remove(DnType::CommonName);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            chain_pem: leaf.pem() + &self.certificate_pem,
            key_pem: key.serialize_pem(),
        })
    }
}

fn make_ca(directory: &Path, certificate: &Path, key_path: &Path, now: i64) -> Result<(), AuthorityError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity(now, CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Breakwater local CA");
    let key = KeyPair::generate()?;
    let made = params.self_signed(&key)?;
    private_directory(directory)?;
    write(key_path, &key.serialize_pem(), 0o600)?;
    write(certificate, &made.pem(), 0o644)
}

/// From an hour ago, for visitors whose clocks are behind.
fn validity(now: i64, days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let at = |seconds| {
        time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    };
    (at(now - 3600), at(now + days * 86_400))
}

fn still_good(chain_pem: &str, key_pem: &str, now: i64) -> bool {
    let Ok(der) = rustls_pki_types::CertificateDer::from_pem_slice(chain_pem.as_bytes()) else {
        return false;
    };
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(&der) else {
        return false;
    };
    let (from, to) = (
        leaf.validity().not_before.timestamp(),
        leaf.validity().not_after.timestamp(),
    );
    let matches = KeyPair::from_pem(key_pem).is_ok_and(|key| {
        rcgen::PublicKeyData::der_bytes(&key) == &*leaf.public_key().subject_public_key.data
    });
    matches && from <= now && to - now > (to - from) / 3
}

fn private_directory(path: &Path) -> Result<(), AuthorityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| AuthorityError::File {
            path: path.to_owned(),
            error,
        })
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|error| AuthorityError::File {
        path: path.to_owned(),
        error,
    })
}

/// Whole or not at all: written beside and renamed.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let temporary = path.with_extension("new");
    let result = (|| {
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    result.map_err(|error| AuthorityError::File {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn names() -> Vec<String> {
        vec!["a.example.com".to_owned(), "*.a.example.com".to_owned()]
    }

    #[test]
    fn a_certificate_is_kept_until_a_third_of_its_life_is_left() {
        let state = tempfile::tempdir().unwrap();
        let authority = Authority::open(state.path(), NOW).unwrap();
        let first = authority.certificate(&names(), NOW).unwrap();
        let again = Authority::open(state.path(), NOW)
            .unwrap()
            .certificate(&names(), NOW + 59 * 86_400)
            .unwrap();
        assert_eq!(first.chain_pem, again.chain_pem);
        let renewed = authority.certificate(&names(), NOW + 61 * 86_400).unwrap();
        assert_ne!(first.chain_pem, renewed.chain_pem);
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        Authority::open(state.path(), NOW)
            .unwrap()
            .certificate(&names(), NOW)
            .unwrap();
        for directory in ["ca", "certificates"] {
            for file in fs::read_dir(state.path().join(directory)).unwrap() {
                let file = file.unwrap();
                if file
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "key")
                {
                    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                }
            }
        }
    }

    #[test]
    fn a_broken_ca_says_which_file_and_what_to_do() {
        let state = tempfile::tempdir().unwrap();
        Authority::open(state.path(), NOW).unwrap();
        fs::write(state.path().join("ca/ca.key"), "not a key").unwrap();
        let error = Authority::open(state.path(), NOW).err().unwrap().to_string();
        assert!(
            error.contains("ca.key is unusable") && error.contains("delete the directory"),
            "{error}"
        );
    }

    #[test]
    fn a_torn_certificate_file_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let authority = Authority::open(state.path(), NOW).unwrap();
        authority.certificate(&names(), NOW).unwrap();
        for file in fs::read_dir(state.path().join("certificates")).unwrap() {
            fs::write(file.unwrap().path(), "-----BEGIN").unwrap();
        }
        assert!(still_good_pair(&authority.certificate(&names(), NOW).unwrap()));
    }

    fn still_good_pair(issued: &Issued) -> bool {
        still_good(&issued.chain_pem, &issued.key_pem, NOW)
    }
}
